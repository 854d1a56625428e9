//! How a voice's spectrum is likely to go on: it drifts from what it was towards what speech is
//! on average.

use std::sync::LazyLock;

use crate::lpc::{Autocorrelation, ORDER, Predictor, dot};

/// Frequencies at which the spectrum is known, evenly spaced from 0 to half the rate.
const POINTS: usize = 64;
/// The time constant of the drift. In 90 minutes of speech of five speakers a spectrum's shape
/// 20 ms later has 0.73 of its distance from the average left, 40 ms later 0.52: 53 ms. Slower
/// is better received, since an average voice is nobody's.
const DRIFT_MS: f32 = 120.0;
/// Mean shape of speech over the Bark scale, in decibels: from 60 Hz on, each
/// [`AVERAGE_STEP_BARK`].
const AVERAGE_DB: [f32; 26] = [
    10.5, 12.6, 16.0, 15.9, 13.8, 11.0, 7.1, 3.4, 0.5, -1.8, -4.1, -6.3, -7.6, -7.9, -8.3, -9.2,
    -9.0, -9.4, -11.0, -13.0, -14.4, -16.4, -20.2, -22.0, -22.1, -24.9,
];
const AVERAGE_STEP_BARK: f32 = 0.764;

/// Cosines of k·ω for each lag k and each frequency ω.
static COSINES: LazyLock<[[f32; POINTS]; ORDER + 1]> = LazyLock::new(|| {
    std::array::from_fn(|lag| std::array::from_fn(|point| (lag as f32 * angle(point)).cos()))
});

/// Natural logarithm of the average spectrum at each frequency, for sound of 8 and 16 kHz.
static AVERAGES: LazyLock<[[f32; POINTS]; 2]> = LazyLock::new(|| {
    [8_000.0, 16_000.0].map(|rate_hz| {
        std::array::from_fn(|point| average_ln(angle(point) / std::f32::consts::TAU * rate_hz))
    })
});

/// The spectrum at a gap's start, and the filters that follow from it.
#[derive(Debug)]
pub(super) struct Envelope {
    average: &'static [f32; POINTS],
    /// Its natural logarithm.
    ln: [f32; POINTS],
    /// Its mean.
    energy: f32,
}

impl Envelope {
    /// Makes a flat one, for sound of `rate_hz`.
    pub(super) fn new(rate_hz: usize) -> Self {
        let [narrow, wide] = &*AVERAGES;
        // The tables are made here, and not when the first packet is missing.
        LazyLock::force(&COSINES);
        Self {
            average: if rate_hz > 8_000 { wide } else { narrow },
            ln: [0.0; POINTS],
            energy: 1.0,
        }
    }

    /// Takes the spectrum of `predictor`.
    pub(super) fn begin(&mut self, predictor: &Predictor) {
        let spectrum = spectrum(predictor);
        self.ln = spectrum.map(f32::ln);
        self.energy = spectrum.iter().sum::<f32>() / POINTS as f32;
    }

    /// The filter after `ms` of drift, and the gain of its input against the start's. White noise
    /// comes out of it as strong as before, and of a tone nearly all is left.
    pub(super) fn after(&self, ms: f32) -> (Predictor, f32) {
        let kept = (-ms / DRIFT_MS).exp();
        let mut spectrum = [0.0; POINTS];
        for (to, (start, average)) in spectrum.iter_mut().zip(self.ln.iter().zip(self.average)) {
            *to = (average + kept * (start - average)).exp();
        }
        let level = self.energy * POINTS as f32 / spectrum.iter().sum::<f32>();
        spectrum.iter_mut().for_each(|power| *power *= level);
        filter_of(&spectrum)
    }
}

/// The filter that gives noise of 16 kHz the colour which `predictor` gives noise of 8 kHz, and
/// hardly anything above.
pub(super) fn widened(predictor: &Predictor) -> Predictor {
    let narrow = spectrum(predictor);
    let above = narrow.iter().copied().fold(f32::MAX, f32::min) * 1e-2;
    let wide = std::array::from_fn(|point| narrow.get(2 * point).copied().unwrap_or(above));
    filter_of(&wide).0
}

/// Power of what a predictor's filter makes of white noise.
fn spectrum(predictor: &Predictor) -> [f32; POINTS] {
    let mut filter = [0.0; ORDER + 1];
    filter[0] = 1.0;
    for (to, from) in filter.iter_mut().skip(1).zip(&predictor.coefficients) {
        *to = *from;
    }
    let mut inverse = [0.0; POINTS];
    for (lag, cosines) in COSINES.iter().enumerate() {
        let twice = if lag == 0 { 1.0 } else { 2.0 };
        let weight = twice * dot(&filter, filter.get(lag..).unwrap_or_default());
        for (sum, cosine) in inverse.iter_mut().zip(cosines) {
            *sum += weight * cosine;
        }
    }
    inverse.map(|inverse| 1.0 / inverse.max(1e-6))
}

/// The filter of a spectrum, and the gain of its input for that power.
fn filter_of(spectrum: &[f32; POINTS]) -> (Predictor, f32) {
    let mut lags: Autocorrelation = [0.0; ORDER + 1];
    for (lag, cosines) in lags.iter_mut().zip(COSINES.iter()) {
        *lag = dot(spectrum, cosines) / POINTS as f32;
    }
    lags[0] *= 1.0 + 1e-4;
    let predictor = Predictor::new(&lags, ORDER);
    (predictor, (lags[0] * predictor.residual).sqrt())
}

fn angle(point: usize) -> f32 {
    std::f32::consts::PI * (point as f32 + 0.5) / POINTS as f32
}

/// Natural logarithm of the average spectrum.
fn average_ln(hz: f32) -> f32 {
    let place = (bark(hz) - bark(60.0)).max(0.0) / AVERAGE_STEP_BARK;
    let below = (place as usize).min(AVERAGE_DB.len() - 2);
    let share = (place - below as f32).min(1.0);
    let at = |n: usize| AVERAGE_DB.get(n).copied().unwrap_or_default();
    let db = at(below) + share * (at(below + 1) - at(below));
    db * std::f32::consts::LN_10 / 10.0
}

/// Schroeder's approximation of the Bark scale.
fn bark(hz: f32) -> f32 {
    6.0 * (hz / 600.0).asinh()
}
