//! What is heard behind a voice: made again where the voice has faded, or where the source tells
//! how its silence sounds.

use crate::lpc::{Predictor, autocorrelation};
use crate::noise::Noise;

/// The floor rises by 1 dB a second while louder sound comes, 20 ms at a time.
const RISE: f32 = 1.004_6;
/// A frame within 3 dB of the floor is taken for background.
const NEAR: f32 = 2.0;
/// The longest stretch of background that is kept: 20 ms at 16 kHz.
const MAX_SAMPLES: usize = 320;
/// Coefficients that describe its colour.
const COLOUR_ORDER: usize = 8;
/// Nothing is taken for background that is louder than −40 dBov: somebody may be speaking on and
/// on.
const LOUDEST: f32 = 327.68 * 327.68;

/// Follows the softest sound of a stream.
#[derive(Debug)]
pub(super) struct Background {
    /// Mean square of the softest recent frames; nothing is known before the first.
    floor: Option<f32>,
    /// One of them.
    sample: Box<[i16]>,
    len: usize,
    noise: Noise,
}

impl Background {
    /// Knows nothing yet of sound of `rate_hz`.
    pub(super) fn new(rate_hz: usize) -> Self {
        Self {
            floor: None,
            sample: vec![0; (rate_hz / 50).min(MAX_SAMPLES)].into(),
            len: 0,
            noise: Noise::SILENT,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.sample)
    }

    /// Takes sound that came.
    pub(super) fn observe(&mut self, sound: &[i16]) {
        let sound = sound
            .get(..sound.len().min(self.sample.len()))
            .unwrap_or_default();
        if sound.is_empty() {
            return;
        }
        let energy: i64 = sound
            .iter()
            .map(|s| i64::from(i32::from(*s) * i32::from(*s)))
            .sum();
        let mean_square = energy as f32 / sound.len() as f32;
        let floor = self.floor.unwrap_or(mean_square);
        if mean_square > floor * NEAR + 1.0 {
            self.floor = Some((floor * RISE).max(1.0));
            return;
        }
        self.floor = Some(floor + (mean_square - floor) / 4.0);
        if let Some(kept) = self.sample.get_mut(..sound.len()) {
            kept.copy_from_slice(sound);
            self.len = sound.len();
        }
    }

    /// Lets the noise sound as the background does.
    pub(super) fn take_over(&mut self) {
        let floor = self.floor.unwrap_or(0.0);
        // A step of µ-law around zero is no noise.
        if floor < 16.0 {
            self.noise.set(0.0, Predictor::FLAT);
            return;
        }
        let mut sound = [0.0; MAX_SAMPLES];
        let sound = sound.get_mut(..self.len).unwrap_or_default();
        for (n, (to, from)) in sound.iter_mut().zip(&self.sample).enumerate() {
            // Hann's window.
            let angle = std::f32::consts::TAU * (n as f32 + 0.5) / self.len as f32;
            *to = f32::from(*from) * (0.5 - 0.5 * angle.cos());
        }
        let mut lags = autocorrelation(sound);
        lags[0] *= 1.0 + 1e-3;
        let colour = Predictor::new(&lags, COLOUR_ORDER);
        self.noise.set(floor.min(LOUDEST).sqrt(), colour);
    }

    /// Lets the noise sound as the source says.
    pub(super) fn describe(&mut self, rms: f32, colour: Predictor) {
        self.noise.set(rms, colour);
    }

    pub(super) fn fill(&mut self, out: &mut [f32]) {
        self.noise.fill(out);
    }
}
