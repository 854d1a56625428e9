//! One call's detector: frames in, edges of speech out.

use std::time::Instant;

use offhook_media::Frame;

use super::silero::{Silero, SileroBatch, SileroState};
use super::sound::Sound;

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
            sure: 0.6,
            onset_windows: 2,
            hangover_windows: 4,
        }
    }
}

/// Gives the level of sound in dB of full scale, −100 for digital silence.
#[must_use]
pub fn level_db(samples: &[i16]) -> f32 {
    // Whole numbers, which are added side by side: the sum is exact.
    let square = |sample: &i16| u64::from(i32::from(*sample).unsigned_abs().pow(2));
    let energy: u64 = samples.iter().map(square).sum();
    let mean = energy as f64 / samples.len().max(1) as f64;
    let full = f64::from(i16::MAX) * f64::from(i16::MAX);
    (10.0 * (mean / full).max(1e-10).log10()) as f32
}

/// Says whether a frame can be heard beside the loudest frame of its utterance, both in dB.
#[must_use]
pub fn is_audible(level_db: f32, loudest_db: f32) -> bool {
    level_db > AUDIBLE_FLOOR_DB && level_db > loudest_db - AUDIBLE_RANGE_DB
}

/// What waits for Silero: the next window.
#[derive(Debug)]
struct Due {
    /// The window before it, which was skipped, goes first: it only brings the memory up to date.
    before: bool,
    /// Arrival of the frame with its first sample.
    since: Instant,
}

/// Follows one call.
///
/// Frames go in by [`push`](Self::push); while [`is_due`](Self::is_due), a window goes to Silero by
/// [`add_to`](Self::add_to), with those of other calls, and what came of it back in by
/// [`judge`](Self::judge).
#[derive(Debug)]
pub struct VoiceDetector {
    settings: VadSettings,
    state: SileroState,
    /// The window before the next one, and what there is of that.
    sound: Sound,
    /// Arrival of the frame with the next window's first sample.
    pending_since: Option<Instant>,
    /// The window before was skipped; it is run late when the gate opens after it.
    skipped: bool,
    /// The gate let one of the pending frames through.
    passed: bool,
    /// The frame that came last: its arrival, and whether the gate let it through.
    latest: Option<(Instant, bool)>,
    due: Option<Due>,
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
            state: SileroState::after_silence(),
            sound: Sound::new(),
            pending_since: None,
            skipped: false,
            passed: false,
            latest: None,
            due: None,
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

    /// Takes the next frame; `passed` says whether the gate let it through. No window may be due.
    pub fn push(&mut self, frame: &Frame, passed: bool) {
        self.pending_since.get_or_insert(frame.received);
        self.sound.push(frame);
        self.passed |= passed;
        self.note_level(frame);
        self.latest = Some((frame.received, passed));
        self.advance();
    }

    /// Whether a window waits for Silero.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// Adds the window that is due to a batch.
    pub fn add_to(&mut self, batch: &mut SileroBatch) {
        if let Some(due) = &self.due {
            let window = if due.before {
                self.sound.window_before()
            } else {
                self.sound.window()
            };
            batch.add(&mut self.state, &window);
        }
    }

    /// Takes what came of the window that was added to the batch `number` windows after the first,
    /// and gives the edge that it brought. A window that was not judged counts for nothing.
    pub fn judge(&mut self, batch: &SileroBatch, number: usize) -> Option<VadEdge> {
        let mut due = self.due.take()?;
        let probability = batch.take(number, &mut self.state);
        if probability.is_some() && due.before {
            due.before = false;
            self.due = Some(due);
            return None;
        }
        let edge = probability.and_then(|probability| self.step(probability, due.since));
        self.finish_window();
        self.advance();
        edge
    }

    /// Takes the next frame and judges it alone. Gives the edge that it brought and how often
    /// Silero ran.
    pub fn hear(&mut self, silero: &Silero, frame: &Frame, passed: bool) -> (Option<VadEdge>, u64) {
        self.push(frame, passed);
        let (mut batch, mut edge, mut runs) = (SileroBatch::default(), None, 0);
        while self.is_due() {
            batch.clear();
            self.add_to(&mut batch);
            silero.run(&mut batch);
            runs += 1;
            edge = edge.or(self.judge(&batch, 0));
        }
        (edge, runs)
    }

    /// Goes on to the next window that Silero must judge; those that it need not are left out.
    fn advance(&mut self) {
        while self.due.is_none() && self.sound.has_window() {
            let Some((received, _)) = self.latest else {
                return;
            };
            let since = self.pending_since.unwrap_or(received);
            if self.passed || self.speaking || self.voiced_in_a_row > 0 {
                // However long nothing was judged, what was heard before it helps: who has spoken
                // is recognised sooner than after a silence that was judged.
                let before = std::mem::take(&mut self.skipped);
                self.due = Some(Due { before, since });
            } else {
                self.skipped = true;
                self.step(0.0, since);
                self.finish_window();
            }
        }
    }

    /// Leaves a window behind; what is there of the next one is the latest frame's.
    fn finish_window(&mut self) {
        self.sound.advance();
        if let Some((received, passed)) = self.latest {
            self.pending_since = (!self.sound.is_empty()).then_some(received);
            self.passed = passed;
        }
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

    fn step(&mut self, probability: f32, since: Instant) -> Option<VadEdge> {
        if self.speaking {
            return self.step_speaking(probability);
        }
        if probability < self.settings.threshold {
            self.voiced_in_a_row = 0;
            self.onset = None;
            if self.skipped {
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
