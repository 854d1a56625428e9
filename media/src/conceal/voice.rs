//! A voice that goes on: its last two periods again and again, through a filter that keeps its
//! spectrum at first and lets it drift towards the average of speech.

use super::envelope::Envelope;
use super::limit::Limit;
use super::pitch::{best_lag, resemblance};
use crate::lpc::{ORDER, Predictor, Synthesis, autocorrelation, dot};

/// Pitch from 66 to 250 Hz; a higher one is found as a multiple of its period.
const SHORTEST_LAG_US: usize = 4_000;
const LONGEST_LAG_US: usize = 15_000;
/// The stretch that is compared to find the period: a short one knows the pitch of now.
const WINDOW_US: usize = 6_000;
/// The filter is found from so much, weighted towards the newest.
const FILTER_US: usize = 30_000;
const FILTER_FALL_US: usize = 3_000;
const MAX_FILTER: usize = 480;
/// Smears the spectrum's lines by 40 Hz, so that harmonics do not become formants.
const SMEAR_HZ: f32 = 40.0;
/// How long ago the pitch is compared with that of now, and over which stretch.
const DRIFT_US: usize = 12_000;
const DRIFT_WINDOW_US: usize = 10_000;
/// Share of its period by which the pitch may have moved over that time, to be followed.
const DRIFT_SHARE: f32 = 0.12;
/// Resemblance from which a period counts as one.
const VOICED: f32 = 0.5;
/// The pitch goes on moving by so much of its slope, for so long, and by so much at most.
const DRIFT_KEPT: f32 = 0.7;
const DRIFT_FOR_US: usize = 40_000;
const DRIFT_MOST: f32 = 0.2;
/// The older period is made as strong as the newer one by this factor at most.
const LEVEL_MOST: f32 = 2.0;
/// The filter drifts in steps of 20 ms.
const STEP_US: usize = 20_000;

/// Carries on the sound at whose end it began.
#[derive(Debug)]
pub(super) struct Voice {
    rate_hz: usize,
    /// What the filter turns into the last two periods, and how long they are.
    excitation: Box<[f32]>,
    excitation_len: usize,
    loop_len: f32,
    position: f32,
    /// Samples by which the period grows with each sample.
    drift: f32,
    gain: f32,
    limit: Limit,
    envelope: Envelope,
    synthesis: Synthesis,
    /// The newest outputs, from which a changed filter goes on.
    past: [f32; ORDER],
    made: usize,
}

impl Voice {
    pub(super) fn new(rate_hz: usize) -> Self {
        // Two of the longest periods, and room to interpolate.
        let longest = 2 * (rate_hz * LONGEST_LAG_US / 1_000_000) + 4;
        Self {
            rate_hz,
            excitation: vec![0.0; longest].into(),
            excitation_len: 0,
            loop_len: 1.0,
            position: 0.0,
            drift: 0.0,
            gain: 1.0,
            limit: Limit::SILENT,
            envelope: Envelope::new(rate_hz),
            synthesis: Synthesis::SILENT,
            past: [0.0; ORDER],
            made: 0,
        }
    }

    /// Samples of the past that [`Voice::begin`] wants, for sound of `rate_hz`.
    pub(super) const fn history_samples(rate_hz: usize) -> usize {
        rate_hz * (DRIFT_WINDOW_US + DRIFT_US + LONGEST_LAG_US + 3_000) / 1_000_000
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.excitation)
    }

    /// Begins at the end of `past`.
    pub(super) fn begin(&mut self, past: &[f32]) {
        let predictor = self.find_filter(past);
        self.envelope.begin(&predictor);
        let period = self.find_period(past);
        self.loop_len = 2.0 * period;
        self.find_excitation(past, &predictor);
        let piece = self.samples(super::PIECE_US);
        let newest = past.len().saturating_sub(piece.max(self.loop_len as usize));
        self.limit = Limit::new(past.get(newest..).unwrap_or_default(), piece);
        self.synthesis = Synthesis::new(&predictor, past);
        let newest = past.iter().rev().take(ORDER).rev();
        self.past = [0.0; ORDER];
        for (to, from) in self.past.iter_mut().zip(newest) {
            *to = *from;
        }
        // The newer period comes first: it is the one that sounds like now.
        (self.gain, self.position, self.made) = (1.0, period, 0);
    }

    /// Makes the next samples, a piece at a time.
    pub(super) fn fill(&mut self, out: &mut [f32]) {
        self.go_on(out);
        self.limit.apply(out);
    }

    fn go_on(&mut self, mut out: &mut [f32]) {
        let step = self.samples(STEP_US).max(1);
        while !out.is_empty() {
            if self.made > 0 && self.made.is_multiple_of(step) {
                self.let_filter_drift();
            }
            let len = (step - self.made % step).min(out.len());
            let (now, later) = out.split_at_mut(len);
            self.excite(now);
            self.made = self.made.saturating_add(len);
            self.synthesis.filter(now);
            let newest = self.past.len().min(now.len());
            self.past.rotate_left(newest);
            let kept = self.past.len() - newest;
            for (to, from) in self
                .past
                .iter_mut()
                .skip(kept)
                .zip(now.iter().skip(len - newest))
            {
                *to = *from;
            }
            out = later;
        }
    }

    fn let_filter_drift(&mut self) {
        let ms = (self.made * 1_000 / self.rate_hz) as f32 + STEP_US as f32 / 2_000.0;
        let (predictor, gain) = self.envelope.after(ms);
        self.synthesis = Synthesis::new(&predictor, &self.past);
        self.gain = gain;
    }

    /// The filter's next input: between the samples of the loop where the pitch moves or is no
    /// whole number of them (Hermite's cubic).
    fn excite(&mut self, out: &mut [f32]) {
        let period = self.loop_len / 2.0;
        let start = self.excitation_len as f32 - 2.0 - self.loop_len;
        let most = self.samples(DRIFT_FOR_US);
        let longest = DRIFT_MOST * period;
        for (made, out) in (self.made..).zip(out) {
            let place = (start + self.position).max(1.0);
            let whole = place as usize;
            let part = place - whole as f32;
            if let Some(&[a, b, c, d]) = self.excitation.get(whole - 1..whole + 3) {
                let (slope, next, bend) = (0.5 * (c - a), 0.5 * (d - b), b - c);
                let cubic = 2.0 * bend + slope + next;
                let square = -3.0 * bend - 2.0 * slope - next;
                *out = self.gain * (b + part * (slope + part * (square + part * cubic)));
            }
            let moved = (self.drift * made.min(most) as f32).clamp(-longest, longest);
            self.position += period / (period + moved);
            if self.position >= self.loop_len {
                self.position -= self.loop_len;
            }
        }
    }

    fn find_filter(&self, past: &[f32]) -> Predictor {
        let len = self.samples(FILTER_US).min(past.len()).min(MAX_FILTER);
        let fall = self.samples(FILTER_FALL_US).min(len);
        let mut sound = [0.0; MAX_FILTER];
        let sound = sound.get_mut(..len).unwrap_or_default();
        let newest = past.iter().skip(past.len() - len);
        for (n, (to, from)) in sound.iter_mut().zip(newest).enumerate() {
            *to = from * window(n, len - fall, fall);
        }
        let mut lags = autocorrelation(sound);
        // White noise 40 dB below keeps the filter tame, and silence silent.
        lags[0] = lags[0] * (1.0 + 1e-4) + 1.0;
        for (lag, value) in lags.iter_mut().enumerate() {
            let turn = std::f32::consts::TAU * SMEAR_HZ * lag as f32 / self.rate_hz as f32;
            *value *= (-0.5 * turn * turn).exp();
        }
        Predictor::new(&lags, ORDER)
    }

    /// Finds the period in samples, and how fast it grows.
    fn find_period(&mut self, past: &[f32]) -> f32 {
        let shortest = self.samples(SHORTEST_LAG_US);
        let longest = self.samples(LONGEST_LAG_US);
        let window = self.samples(WINDOW_US);
        self.drift = 0.0;
        let Some(found) = best_lag(past, shortest..=longest, window) else {
            return shortest as f32;
        };
        let period = between(past, found, window);
        let window = self.samples(DRIFT_WINDOW_US);
        let before = self.samples(DRIFT_US);
        let then = past
            .get(..past.len().saturating_sub(before))
            .unwrap_or_default();
        let reach = (DRIFT_SHARE * found.0 as f32) as usize + 1;
        let lags = found.0.saturating_sub(reach).max(1)..=found.0 + reach;
        if let Some(earlier) = best_lag(then, lags, window)
            && found.1.min(earlier.1) > VOICED
            && earlier.0.abs_diff(found.0) < reach
        {
            let moved = period - between(then, earlier, window);
            self.drift = DRIFT_KEPT * moved / before as f32;
        }
        period
    }

    /// What the filter would have been fed over the last two periods.
    fn find_excitation(&mut self, past: &[f32], predictor: &Predictor) {
        // Two samples before the loop and two behind it are there to interpolate.
        let kept = (self.loop_len as usize + 2).min(self.excitation.len() - 2);
        let start = past.len().saturating_sub(kept);
        let sound = past.get(start..).unwrap_or_default();
        self.excitation.fill(0.0);
        for (to, from) in self.excitation.iter_mut().zip(sound) {
            *to = *from;
        }
        for (n, a) in predictor.coefficients.iter().enumerate() {
            let earlier = past.get(start.saturating_sub(n + 1)..).unwrap_or_default();
            for (to, from) in self.excitation.iter_mut().zip(earlier).take(sound.len()) {
                *to += a * from;
            }
        }
        self.excitation_len = sound.len() + 2;
        self.level(sound.len());
        // Behind the end the loop begins again.
        for n in 0..2 {
            let again = sound.len() + n;
            let from = again.saturating_sub(self.loop_len.round() as usize);
            let value = self.excitation.get(from).copied().unwrap_or_default();
            if let Some(to) = self.excitation.get_mut(again) {
                *to = value;
            }
        }
    }

    /// Makes the older period as strong as the newer one, so that the loop does not pulse.
    fn level(&mut self, len: usize) {
        let period = (self.loop_len / 2.0) as usize;
        let Some(both) = len
            .checked_sub(2 * period)
            .and_then(|from| self.excitation.get_mut(from..len))
        else {
            return;
        };
        let (older, newer) = both.split_at_mut(period);
        let ratio = ((dot(newer, newer) + 1.0) / (dot(older, older) + 1.0)).sqrt();
        let growth = ratio.clamp(1.0 / LEVEL_MOST, LEVEL_MOST);
        // From the middle of the one to the middle of the other the gain comes down to 1.
        let (mut gain, step) = (growth, growth.powf(-1.0 / period.max(1) as f32));
        let half = period / 2;
        older
            .iter_mut()
            .take(half)
            .for_each(|sample| *sample *= growth);
        let slope = older
            .iter_mut()
            .skip(half)
            .chain(newer.iter_mut().take(half));
        for sample in slope {
            *sample *= gain;
            gain *= step;
        }
    }

    fn samples(&self, us: usize) -> usize {
        self.rate_hz * us / 1_000_000
    }
}

/// A slow rise and a fast fall, so that the newest sound counts most: two parabolas.
fn window(n: usize, rise: usize, fall: usize) -> f32 {
    if n < rise {
        let left = 1.0 - (n as f32 + 0.5) / rise as f32;
        1.0 - left * left
    } else {
        let done = ((n - rise) as f32 + 0.5) / fall.max(1) as f32;
        1.0 - done * done
    }
}

/// Puts a lag between the samples: where the parabola through it and its neighbours is highest.
fn between(sound: &[f32], (lag, best): (usize, f32), window: usize) -> f32 {
    let below = resemblance(sound, lag.saturating_sub(1), window);
    let above = resemblance(sound, lag + 1, window);
    let (Some(below), Some(above)) = (below, above) else {
        return lag as f32;
    };
    let bend = (below - 2.0 * best + above).min(-1e-6);
    lag as f32 + (0.5 * (below - above) / bend).clamp(-0.5, 0.5)
}
