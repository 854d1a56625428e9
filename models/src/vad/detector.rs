//! One call's detector: frames in, edges of speech out.

use std::time::Instant;

use offhook_media::Frame;

use super::silero::{Silero, SileroState, WINDOW};
use crate::resample::Upsampler;
use crate::runtime::ModelError;

/// Windows that may be skipped before Silero's memory of the call is worth nothing: 2 s.
const STALE_WINDOWS: u32 = 64;
/// A frame this far below the loudest of its utterance is not audible speech.
const AUDIBLE_RANGE_DB: f32 = 35.0;
/// No frame below this is audible, however quiet the rest, in dB of full scale.
const AUDIBLE_FLOOR_DB: f32 = -55.0;

/// Where speech begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VadEdge {
    /// Somebody speaks.
    SpeechStart {
        /// When the first voiced packet arrived.
        at: Instant,
    },
    /// Nobody speaks any more.
    SpeechStop {
        /// When the last audible voiced packet arrived.
        at: Instant,
    },
}

/// How the detector decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VadSettings {
    /// Probability from which a window counts as voiced.
    pub threshold: f32,
    /// Probability below which a window counts as silent once there is speech.
    pub release: f32,
    /// Probability from which a single window makes speech: a barge-in is noticed 32 ms sooner,
    /// and what it was is judged afterwards.
    pub sure: f32,
    /// Voiced windows of 32 ms in a row that make speech.
    pub onset_windows: u32,
    /// Silent windows of 32 ms in a row that end it.
    pub hangover_windows: u32,
}

impl Default for VadSettings {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            release: 0.35,
            sure: 0.8,
            onset_windows: 2,
            hangover_windows: 4,
        }
    }
}

/// Gives the level of sound in dB of full scale, −100 for digital silence.
#[must_use]
pub fn level_db(samples: &[i16]) -> f32 {
    let energy: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample) * f64::from(sample))
        .sum();
    let mean = energy / samples.len().max(1) as f64;
    let full = f64::from(i16::MAX) * f64::from(i16::MAX);
    (10.0 * (mean / full).max(1e-10).log10()) as f32
}

/// Says whether a frame can be heard beside the loudest frame of its utterance, both in dB.
#[must_use]
pub fn is_audible(level_db: f32, loudest_db: f32) -> bool {
    level_db > AUDIBLE_FLOOR_DB && level_db > loudest_db - AUDIBLE_RANGE_DB
}

/// Follows one call.
#[derive(Debug)]
pub struct VoiceDetector {
    settings: VadSettings,
    upsampler: Upsampler,
    state: SileroState,
    /// Samples at 16 kHz that do not fill a window yet.
    pending: Vec<f32>,
    /// Arrival of the frame with the first of them.
    pending_since: Option<Instant>,
    /// The last window that was skipped, run late when the gate opens after it.
    skipped: Option<Box<[f32; WINDOW]>>,
    skipped_in_a_row: u32,
    /// The gate let one of the pending frames through.
    passed: bool,
    speaking: bool,
    voiced_in_a_row: u32,
    silent_in_a_row: u32,
    /// Arrival of the first frame of the voiced windows in a row.
    onset: Option<Instant>,
    loudest_db: f32,
    last_audible: Option<Instant>,
}

impl VoiceDetector {
    /// Makes a detector that has heard nothing.
    #[must_use]
    pub fn new(settings: VadSettings) -> Self {
        Self {
            settings,
            upsampler: Upsampler::new(),
            state: SileroState::default(),
            pending: Vec::with_capacity(2 * WINDOW),
            pending_since: None,
            skipped: None,
            skipped_in_a_row: 0,
            passed: false,
            speaking: false,
            voiced_in_a_row: 0,
            silent_in_a_row: 0,
            onset: None,
            loudest_db: f32::MIN,
            last_audible: None,
        }
    }

    /// Tells whether there is speech now.
    #[must_use]
    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Takes the next frame; `passed` says whether the gate let it through. Gives the edge that
    /// it brought and how often Silero ran.
    ///
    /// # Errors
    /// ONNX Runtime fails.
    pub fn hear(
        &mut self,
        silero: &Silero,
        frame: &Frame,
        passed: bool,
    ) -> Result<(Option<VadEdge>, u64), ModelError> {
        self.pending_since.get_or_insert(frame.received);
        if frame.rate_hz == 16_000 {
            let scale = 1.0 / 32_768.0;
            self.pending
                .extend(frame.samples().iter().map(|&s| f32::from(s) * scale));
        } else {
            self.upsampler.process(frame.samples(), &mut self.pending);
        }
        self.passed |= passed;
        self.note_level(frame);
        let (mut edge, mut runs) = (None, 0);
        while self.pending.len() >= WINDOW {
            let mut window = Box::new([0.0; WINDOW]);
            for (to, from) in window.iter_mut().zip(self.pending.drain(..WINDOW)) {
                *to = from;
            }
            let (probability, ran) = self.judge(silero, window)?;
            runs += ran;
            let since = self.pending_since.take().unwrap_or(frame.received);
            edge = edge.or(self.step(probability, since));
            self.pending_since = (!self.pending.is_empty()).then_some(frame.received);
            self.passed = passed;
        }
        Ok((edge, runs))
    }

    /// Keeps the arrival of the last frame that can be heard, while there may be speech.
    fn note_level(&mut self, frame: &Frame) {
        if !self.speaking && self.voiced_in_a_row == 0 && !self.passed {
            return;
        }
        let level = level_db(frame.samples());
        if !frame.concealed && is_audible(level, self.loudest_db) {
            self.loudest_db = self.loudest_db.max(level);
            self.last_audible = Some(frame.received);
        }
    }

    fn judge(
        &mut self,
        silero: &Silero,
        window: Box<[f32; WINDOW]>,
    ) -> Result<(f32, u64), ModelError> {
        if !self.passed && !self.speaking && self.voiced_in_a_row == 0 {
            self.skipped_in_a_row = self.skipped_in_a_row.saturating_add(1);
            self.skipped = Some(window);
            return Ok((0.0, 0));
        }
        let mut runs = 1;
        if self.skipped_in_a_row > STALE_WINDOWS {
            self.state.reset();
        }
        self.skipped_in_a_row = 0;
        if let Some(before) = self.skipped.take() {
            silero.probability(&mut self.state, &before)?;
            runs += 1;
        }
        Ok((silero.probability(&mut self.state, &window)?, runs))
    }

    fn step(&mut self, probability: f32, since: Instant) -> Option<VadEdge> {
        if self.speaking {
            return self.step_speaking(probability);
        }
        if probability < self.settings.threshold {
            self.voiced_in_a_row = 0;
            self.onset = None;
            if self.skipped_in_a_row > 0 {
                self.loudest_db = f32::MIN;
            }
            return None;
        }
        self.voiced_in_a_row += 1;
        let onset = *self.onset.get_or_insert(since);
        if self.voiced_in_a_row < self.settings.onset_windows && probability < self.settings.sure {
            return None;
        }
        self.speaking = true;
        self.silent_in_a_row = 0;
        Some(VadEdge::SpeechStart { at: onset })
    }

    fn step_speaking(&mut self, probability: f32) -> Option<VadEdge> {
        if probability >= self.settings.release {
            self.silent_in_a_row = 0;
            return None;
        }
        self.silent_in_a_row += 1;
        if self.silent_in_a_row < self.settings.hangover_windows {
            return None;
        }
        self.speaking = false;
        self.voiced_in_a_row = 0;
        self.loudest_db = f32::MIN;
        let onset = self.onset.take();
        self.last_audible
            .take()
            .or(onset)
            .map(|at| VadEdge::SpeechStop { at })
    }
}
