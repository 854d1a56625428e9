//! Brings what a caller says to the level that recognisers and detectors expect.
//!
//! Slowly, so that nothing pumps: the gain follows the level of speech alone, over seconds, and
//! stands still while nobody speaks. It lifts no background above what passes for silence, and no
//! peak over full scale.

use crate::frame::Frame;

/// The level that speech is brought to, in dB of full scale, over all frames that stand out of the
/// background. Over those within 25 dB of the loudest this is −20 dB.
const TARGET_DB: f32 = -22.5;
/// The gain's limits, in dB.
const MOST_DB: f32 = 24.0;
const LEAST_DB: f32 = -20.0;
/// Background is never lifted above this.
const BACKGROUND_DB: f32 = -55.0;
/// Speech stands out of the background by so much, and is louder than this in any case.
const STANDS_OUT_DB: f32 = 12.0;
const FAINTEST_DB: f32 = -58.0;
/// No voice is as steady as this for so many frames: what is, is background, however quiet it was
/// before, as it is while a line is muted.
const STEADY_DB: f32 = 2.0;
const STEADY_FRAMES: u32 = 25;
/// How fast the gain rises and falls, in dB a second of speech.
const RISES_DB_S: f32 = 8.0;
const FALLS_DB_S: f32 = 30.0;
/// How fast what is taken for background rises, in dB a second; it falls at once.
const BACKGROUND_RISES_DB_S: f32 = 2.0;
/// Seconds of speech over which its level is averaged.
const MEMORY_S: f32 = 1.5;
/// No sample becomes louder: 1 dB below full scale.
const PEAK: f32 = 29_200.0;
/// How fast a gain that was lowered for a peak's sake recovers, in dB a second.
const RECOVERS_DB_S: f32 = 8.0;
/// Over so many seconds a gain becomes the next one.
const RAMP_S: f32 = 0.005;

/// Controls the gain of one caller's sound. It takes 40 bytes.
#[derive(Debug)]
pub(crate) struct GainControl {
    gain_db: f32,
    /// The gain of the last sample, as a factor.
    factor: f32,
    /// The most that the peaks allow.
    ceiling: f32,
    background_db: f32,
    /// Mean power of speech, of full scale; none before any was heard.
    speech: Option<f32>,
    seconds: f32,
    /// The level from which the last frames kept near, and how many they are.
    steady: (f32, u32),
}

impl GainControl {
    pub(crate) fn new() -> Self {
        Self {
            gain_db: 0.0,
            factor: 1.0,
            ceiling: 100.0,
            background_db: -60.0,
            speech: None,
            seconds: 0.0,
            steady: (0.0, 0),
        }
    }

    /// Learns from a frame, unless it was made up or silenced, and scales it.
    pub(crate) fn apply(&mut self, frame: &mut Frame) {
        if !frame.concealed && !frame.echo {
            self.learn(frame);
        }
        let seconds = frame.duration_us() as f32 / 1e6;
        let (rate_hz, samples) = (frame.rate_hz as f32, frame.samples_mut());
        let peak = samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
        let recovered = self.ceiling * from_db(RECOVERS_DB_S * seconds);
        self.ceiling = recovered.min(PEAK / f32::from(peak.max(1))).min(100.0);
        let wanted = from_db(self.gain_db).min(self.ceiling);
        let slope = (wanted - self.factor) / (RAMP_S * rate_hz).max(1.0);
        for sample in samples {
            let next = self.factor + slope;
            let reached = (slope >= 0.0 && next >= wanted) || (slope < 0.0 && next <= wanted);
            self.factor = if reached { wanted } else { next };
            let scaled = f32::from(*sample) * self.factor;
            *sample = scaled.clamp(-PEAK, PEAK).round() as i16;
        }
    }

    /// Whether the level has been the same for longer than a voice's is.
    fn is_steady(&mut self, level_db: f32) -> bool {
        let (near, frames) = &mut self.steady;
        if (level_db - *near).abs() < STEADY_DB {
            *frames = frames.saturating_add(1);
        } else {
            (*near, *frames) = (level_db, 0);
        }
        *frames >= STEADY_FRAMES
    }

    fn learn(&mut self, frame: &Frame) {
        let samples = frame.samples();
        let squares = samples.iter().map(|s| f32::from(*s) * f32::from(*s));
        let power = squares.sum::<f32>() / samples.len().max(1) as f32 / 32_768f32.powi(2);
        let level_db = to_db(power).max(-96.0);
        let seconds = frame.duration_us() as f32 / 1e6;
        let risen = self.background_db + BACKGROUND_RISES_DB_S * seconds;
        self.background_db = risen.min(level_db.max(-90.0));
        if self.is_steady(level_db) {
            self.background_db = level_db;
        }
        let speech = level_db > FAINTEST_DB && level_db > self.background_db + STANDS_OUT_DB;
        let most_db = (BACKGROUND_DB - self.background_db).clamp(0.0, MOST_DB);
        if !speech {
            // What is behind the voice is known better by now.
            let least_db = self.gain_db - RISES_DB_S * seconds;
            self.gain_db = self.gain_db.min(most_db.max(least_db));
            return;
        }
        // The first of it counts more, since there is nothing else yet.
        self.seconds = (self.seconds + seconds).min(MEMORY_S);
        let mean = self.speech.unwrap_or(power);
        let mean = mean + (power - mean) * (seconds / self.seconds).min(1.0);
        self.speech = Some(mean);
        let wanted_db = (TARGET_DB - to_db(mean)).clamp(LEAST_DB, most_db);
        let change = wanted_db - self.gain_db;
        self.gain_db += change.clamp(-FALLS_DB_S * seconds, RISES_DB_S * seconds);
    }
}

fn to_db(power: f32) -> f32 {
    10.0 * power.max(1e-12).log10()
}

fn from_db(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}
