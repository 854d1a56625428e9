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
mod reference;
mod search;
mod verdict;

use align::{Alignment, SLACK};
use front::Front;
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
/// The reference is moved back to its buffer's start once in so many samples.
const RUN: usize = 400;
/// The longest frame: 20 ms.
const STEP_MAX: usize = RATE_HZ as usize / 50;
/// Frames without a packet of sound sent after which no echo can come.
const SILENT_AFTER: u32 = 40;
/// Mean square of a received sample, at 2 kHz, below which there is nothing to compare: −70 dB.
const QUIET: f32 = 100.0;

/// Follows one session: what it sends, and whether what it receives is that again.
///
/// It holds 26 KB and allocates only when made. It works only while sound is sent, and for
/// 800 ms after.
#[derive(Debug)]
pub(crate) struct EchoGate {
    decimation: usize,
    sent: Front,
    heard: Front,
    reference: Reference,
    silent_frames: u32,
    align: Alignment,
    search: Search,
    verdict: Verdict,
    echoes: u64,
}

impl EchoGate {
    /// Makes a gate for a session of that rate, a multiple of 2 kHz.
    #[must_use]
    pub(crate) fn new(rate_hz: u32) -> Self {
        let decimation = (rate_hz / RATE_HZ).max(1) as usize;
        Self {
            decimation,
            sent: Front::new(decimation),
            heard: Front::new(decimation),
            reference: Reference::new(),
            silent_frames: SILENT_AFTER,
            align: Alignment::default(),
            search: Search::new(),
            verdict: Verdict::new(),
            echoes: 0,
        }
    }

    /// Frames that were found to be our echo.
    #[must_use]
    pub(crate) fn echoes(&self) -> u64 {
        self.echoes
    }

    /// Takes one step of what is sent: `samples` at `position` of our RTP time, `sounding` when
    /// they are more than silence.
    pub(crate) fn sends(&mut self, position: u64, samples: &[i16], sounding: bool) {
        if sounding {
            self.silent_frames = 0;
        } else {
            self.silent_frames = self.silent_frames.saturating_add(1);
            if self.is_idle() {
                return;
            }
        }
        let position = position / self.decimation as u64;
        if position.abs_diff(self.reference.end()) > RUN as u64 {
            // The alignment of the clocks and the delay that is known stay: they hold for the next
            // utterance too.
            self.reference.begin(position);
            self.search.clear();
        }
        let step = self.sent.process(samples);
        self.reference.push(position, &step);
    }

    /// Tells whether a received frame is our echo.
    pub(crate) fn is_echo(&mut self, frame: &Frame) -> bool {
        if self.is_idle() {
            self.search.clear();
            return false;
        }
        let step = self.heard.process(frame.samples());
        let heard = step.low();
        let start = frame.rtp_timestamp / self.decimation as u64;
        let delay = self.reference.end() as i64 - (start as i64 + heard.len() as i64);
        let placed = self.align.place(delay);
        if placed.anew {
            self.search.clear();
        }
        self.verdict.shift(placed.moved);
        let length = LAGS - 1 + heard.len();
        let Some(sent) = self.reference.piece(placed.back, length) else {
            return false;
        };
        if self.verdict.wants_search() {
            self.search.step(heard, sent.low);
        } else {
            self.search.clear();
        }
        let heard = Heard {
            low: heard,
            energy: heard.iter().map(|s| s * s).sum(),
            high: step.high().iter().sum(),
        };
        let audible = heard.energy >= QUIET * heard.low.len().max(1) as f32;
        let echo = self.verdict.judge(&self.search, &heard, &sent) && audible;
        self.echoes += u64::from(echo);
        echo
    }

    /// Heap memory in bytes; it does not change.
    #[must_use]
    pub(crate) fn heap_bytes(&self) -> usize {
        let fronts = self.sent.heap_bytes() + self.heard.heap_bytes();
        let search = 2 * LAGS * size_of::<f32>();
        self.reference.heap_bytes() + fronts + search + self.verdict.heap_bytes()
    }

    fn is_idle(&self) -> bool {
        self.silent_frames >= SILENT_AFTER
    }
}
