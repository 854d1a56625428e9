//! Tells our own echo from the caller's voice, so that the agent does not interrupt itself.
//!
//! A line's hybrid, a phone on a table and a gateway that loops its media all send back what we
//! said, a moment later. What was sent is the reference. Its echo is found by correlation, over
//! sound of 2 kHz with an exponential window of 80 ms, for every delay up to 500 ms; from then on
//! its path is learned by an adaptive filter, and a frame is our echo only when the echo that the
//! filter expects explains nearly all of its energy. A caller who speaks over the agent leaves
//! more than that, however much the two voices resemble each other for a moment.

mod align;
mod filter;
mod front;
mod high;
mod products;
mod reference;
mod search;
mod short;
mod verdict;
mod window;

use align::{Alignment, SLACK};
use fearless_simd::{Level, Simd, dispatch};
use front::{Front, LowPass};
use reference::Reference;
use search::Search;
use verdict::{Heard, Verdict};

use crate::frame::Frame;

/// The rate of the comparison. Below 1 kHz is most of speech's energy.
const RATE_HZ: u32 = 2_000;
/// Delays that are searched: 500 ms.
const LAGS: usize = RATE_HZ as usize / 2;
/// Reference that the search looks back on.
const HISTORY: usize = LAGS + SLACK + 2 * STEP_MAX;
/// A longer gap in what is sent begins the reference anew.
const RUN: usize = 400;
/// The longest frame: 20 ms.
const STEP_MAX: usize = RATE_HZ as usize / 50;
/// Frames without a packet of sound sent after which no echo can come.
const SILENT_AFTER: u32 = 40;
/// Mean square of a received sample, at 2 kHz, below which there is nothing to compare: −70 dB.
const QUIET: f32 = 100.0;

/// Follows one session: what it sends, and whether what it receives is that again.
///
/// It works only while sound is sent, and for 800 ms after. It then holds 12 KB, of which 10 are
/// there for so long only: whoever is about to have sound sent gets them by
/// [`EchoGate::expect_sound`], so that no step has to.
#[derive(Debug)]
pub(crate) struct EchoGate {
    /// What the processor computes with.
    level: Level,
    decimation: usize,
    low_pass: LowPass,
    sent: Front,
    heard: Front,
    silent_frames: u32,
    /// Nothing was sent for so long that no echo can come.
    rests: bool,
    /// Frames for which the comparison stays all the same, since sound is expected.
    awaited_frames: u32,
    align: Alignment,
    verdict: Verdict,
    comparison: Option<Box<Comparison>>,
    echoes: u64,
}

/// Whether a step that is sent is more than silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sounds {
    Now,
    /// No, but a later one may be without anybody's saying so before.
    Soon,
    NoMore,
}

/// What was sent lately, and how what is heard resembles it.
#[derive(Debug)]
struct Comparison {
    reference: Reference,
    search: Search,
}

impl Comparison {
    /// Begins at a position, as though silence had gone before.
    fn new(position: u64) -> Self {
        Self {
            reference: Reference::new(position),
            search: Search::new(),
        }
    }
}

impl EchoGate {
    /// Makes a gate for a session of that rate, a multiple of 2 kHz.
    #[must_use]
    pub(crate) fn new(rate_hz: u32) -> Self {
        let decimation = (rate_hz / RATE_HZ).max(1) as usize;
        Self {
            level: Level::new(),
            decimation,
            low_pass: LowPass::new(decimation),
            sent: Front::new(),
            heard: Front::new(),
            silent_frames: SILENT_AFTER,
            rests: true,
            awaited_frames: 0,
            align: Alignment::default(),
            verdict: Verdict::new(),
            comparison: None,
            echoes: 0,
        }
    }

    /// Frames that were found to be our echo.
    #[must_use]
    pub(crate) fn echoes(&self) -> u64 {
        self.echoes
    }

    /// Takes the memory for what will be sent soon, or within 800 ms: allocating is for whoever has
    /// time for it.
    pub(crate) fn expect_sound(&mut self) {
        self.awaited_frames = SILENT_AFTER;
        self.comparison
            .get_or_insert_with(|| Box::new(Comparison::new(0)));
    }

    /// Takes one step of what is sent: `samples` at `position` of our RTP time.
    pub(crate) fn sends(&mut self, position: u64, samples: &[i16], sounds: Sounds) {
        if sounds == Sounds::Now {
            self.silent_frames = 0;
        } else {
            self.silent_frames = self.silent_frames.saturating_add(1);
            if self.silent_frames >= SILENT_AFTER {
                return self.rest(sounds);
            }
        }
        let position = position / self.decimation as u64;
        let begin = || Box::new(Comparison::new(position));
        let comparison = self.comparison.get_or_insert_with(begin);
        let gap = position.abs_diff(comparison.reference.end()) > RUN as u64;
        if std::mem::take(&mut self.rests) || gap {
            // The alignment of the clocks and the delay that is known stay: they hold for the next
            // utterance too.
            **comparison = Comparison::new(position);
        }
        let (sent, low_pass) = (&mut self.sent, &self.low_pass);
        dispatch!(self.level, simd => {
            let step = sent.process(simd, low_pass, samples);
            comparison.reference.push(position, &step);
        });
    }

    /// No echo can come any more: nothing is compared until the next sound.
    fn rest(&mut self, sounds: Sounds) {
        self.rests = true;
        self.awaited_frames = self.awaited_frames.saturating_sub(1);
        if sounds == Sounds::NoMore && self.awaited_frames == 0 {
            self.comparison = None;
        }
    }

    /// Tells whether a received frame is our echo.
    pub(crate) fn is_echo(&mut self, frame: &Frame) -> bool {
        if self.rests {
            return false;
        }
        dispatch!(self.level, simd => self.compare(simd, frame))
    }

    #[inline(always)]
    fn compare<S: Simd>(&mut self, simd: S, frame: &Frame) -> bool {
        let Some(Comparison { reference, search }) = self.comparison.as_deref_mut() else {
            return false;
        };
        let step = self.heard.process(simd, &self.low_pass, frame.samples());
        let heard = step.low();
        let start = frame.rtp_timestamp / self.decimation as u64;
        let delay = reference.end() as i64 - (start as i64 + heard.len() as i64);
        let placed = self.align.place(delay);
        if placed.anew {
            search.clear();
        }
        self.verdict.shift(placed.moved);
        let length = LAGS - 1 + heard.len();
        let Some(sent) = reference.piece(placed.back, length) else {
            return false;
        };
        let heard = Heard::new(heard, step.high());
        if !self.verdict.wants_search() {
            search.clear();
        } else if heard.is_quiet() {
            search.rest(heard.low.len());
        } else {
            search.step(simd, heard.low, sent.padded());
        }
        let echo = self.verdict.judge(search, &heard, &sent) && !heard.is_quiet();
        self.echoes += u64::from(echo);
        echo
    }

    /// Heap memory in bytes, at most.
    #[must_use]
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Comparison>() + self.low_pass.heap_bytes() + self.verdict.heap_bytes()
    }
}
