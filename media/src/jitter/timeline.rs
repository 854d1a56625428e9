//! Decoded sound in order, once for all who read it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::seam::Seam;
use crate::frame::Frame;
use crate::ring::{copy_in, copy_out};

/// Pieces that may wait beyond as many as hold all that is kept.
const MORE_SPANS: usize = 8;
/// What is too old to be kept is blended into what follows over so long.
const CUT_US: usize = 5_000;

/// Where a piece of sound for the listeners lies. Many are kept for each call, so in few bytes.
#[derive(Clone, Copy, Debug)]
struct Span {
    timestamp: u64,
    /// Nanoseconds from the arrival that the timeline counts from; what waited for its turn may have
    /// come before that.
    received_ns: i64,
    /// The low half of its position: no more than the samples kept lie between it and the newest.
    start: u32,
    len: u16,
    concealed: bool,
}

/// Keeps the newest sound. It has two readers: the playout side, which takes fixed steps on its
/// clock and may leave something out or go back a little, and the listeners, which take each piece
/// as it comes.
#[derive(Debug)]
pub(crate) struct Timeline {
    samples: Box<[i16]>,
    seam: Seam,
    /// Samples written and played since the beginning: positions, which never wrap.
    written: u64,
    played: u64,
    spans: VecDeque<Span>,
    /// The first arrival; the others count from it.
    first_received: Option<Instant>,
    rate_hz: u32,
    unheard: u64,
}

/// Pieces that may wait for their listener where so many samples are kept.
fn max_spans(kept_samples: usize) -> usize {
    kept_samples.div_ceil(Frame::MAX_SAMPLES) + MORE_SPANS
}

/// Nanoseconds from one moment to another, which may come before it.
fn nanos_since(first: Instant, at: Instant) -> i64 {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    match at.checked_duration_since(first) {
        Some(after) => nanos(after),
        None => -nanos(first.duration_since(at)),
    }
}

/// The moment so many nanoseconds from another.
fn at_nanos(first: Instant, nanos: i64) -> Instant {
    let time = Duration::from_nanos(nanos.unsigned_abs());
    let moment = if nanos < 0 {
        first.checked_sub(time)
    } else {
        first.checked_add(time)
    };
    moment.unwrap_or(first)
}

impl Timeline {
    pub(crate) fn new(rate_hz: u32, capacity: usize) -> Self {
        Self {
            samples: vec![0; capacity.max(1)].into_boxed_slice(),
            seam: Seam::new(rate_hz),
            written: 0,
            played: 0,
            spans: VecDeque::with_capacity(max_spans(capacity.max(1))),
            first_received: None,
            rate_hz,
            unheard: 0,
        }
    }

    /// Samples that wait to be played.
    #[inline]
    pub(crate) fn level(&self) -> usize {
        (self.written - self.played) as usize
    }

    /// Position of the sample that is written next.
    pub(crate) fn end(&self) -> u64 {
        self.written
    }

    /// Samples whose listeners did not come for them in time.
    pub(crate) fn unheard(&self) -> u64 {
        self.unheard
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let spans = self.spans.capacity() * size_of::<Span>();
        size_of_val(&*self.samples) + spans + self.seam.heap_bytes()
    }

    /// Appends sound, which must fit, and returns its position.
    pub(crate) fn push(&mut self, samples: &[i16]) -> u64 {
        let position = self.written;
        self.write(position, samples);
        self.written += samples.len() as u64;
        let oldest = self.written.saturating_sub(self.samples.len() as u64);
        self.played = self.played.max(oldest);
        position
    }

    /// Leaves out the oldest of what waits, until `level` samples of it are left.
    pub(crate) fn cut_to(&mut self, level: usize) -> usize {
        let excess = self.level().saturating_sub(level);
        if excess > 0 {
            let seam = self.rate_hz as usize * CUT_US / 1_000_000;
            self.leave_out(excess, seam.min(self.level()));
        }
        excess
    }

    /// Leaves out what would be played next, and blends over a seam into what comes after it.
    pub(crate) fn leave_out(&mut self, samples: usize, seam: usize) {
        self.begin_seam(seam);
        self.played = (self.played + samples as u64).min(self.written);
    }

    /// Leaves out all that waits, for both readers.
    pub(crate) fn clear(&mut self) {
        self.played = self.written;
        self.spans.clear();
        self.seam.end();
    }

    /// Goes back: what was played is played once more, after a seam of the same length.
    pub(crate) fn repeat(&mut self, samples: usize) {
        self.begin_seam(samples);
        self.played = self.played.saturating_sub(samples as u64);
    }

    /// Whether what lies so many samples before what is played next is still here.
    pub(crate) fn can_go_back(&self, samples: usize) -> bool {
        samples as u64 <= self.played && self.level() + samples <= self.samples.len()
    }

    /// Whether a seam is still being played.
    pub(crate) fn is_blending(&self) -> bool {
        self.seam.is_open()
    }

    fn begin_seam(&mut self, samples: usize) {
        let at = self.index(self.played);
        let ring = &self.samples;
        self.seam.begin(samples, |next| copy_out(ring, at, next));
    }

    /// Puts other sound in the place of some that was written lately, for those who read it later.
    pub(crate) fn replace(&mut self, position: u64, samples: &[i16]) {
        self.write(position, samples);
    }

    /// Offers sound at a position to the listeners.
    pub(crate) fn offer(
        &mut self,
        start: u64,
        len: usize,
        timestamp: u64,
        received: Instant,
        concealed: bool,
    ) {
        if self.spans.len() >= max_spans(self.samples.len()) {
            self.unheard += self.spans.pop_front().map_or(0, |span| u64::from(span.len));
        }
        let first = *self.first_received.get_or_insert(received);
        self.spans.push_back(Span {
            timestamp,
            received_ns: nanos_since(first, received),
            start: start as u32,
            len: len as u16,
            concealed,
        });
    }

    /// Whether the listeners took all that there is.
    pub(crate) fn is_heard(&self) -> bool {
        self.spans.is_empty()
    }

    /// Whether so many samples fit without overwriting what the listeners did not take.
    pub(crate) fn has_room(&self, samples: usize) -> bool {
        let Some(first) = self.spans.front() else {
            return true;
        };
        let unheard = self.age(first);
        let spans = samples.div_ceil(Frame::MAX_SAMPLES) + 1;
        unheard + samples <= self.samples.len()
            && self.spans.len() + spans <= max_spans(self.samples.len())
    }

    /// Takes the next piece that the listeners have not heard.
    pub(crate) fn hear(&mut self) -> Option<Frame> {
        while let (Some(span), Some(first)) = (self.spans.pop_front(), self.first_received) {
            let age = self.age(&span);
            if age <= self.samples.len() {
                let len = usize::from(span.len);
                let received = at_nanos(first, span.received_ns);
                let (timestamp, concealed) = (span.timestamp, span.concealed);
                let mut frame = Frame::silent(self.rate_hz, timestamp, received, concealed, len);
                self.read(self.written - age as u64, frame.samples_mut());
                return Some(frame);
            }
            self.unheard += u64::from(span.len);
        }
        None
    }

    /// Plays the next samples; `out` must not be longer than the level.
    pub(crate) fn play(&mut self, out: &mut [i16]) {
        self.read(self.played, out);
        self.seam.blend(out);
        self.played = (self.played + out.len() as u64).min(self.written);
    }

    /// Goes on by so many samples, no more than the level, as though they were played.
    pub(crate) fn pass(&mut self, samples: usize) {
        self.seam.pass(samples);
        self.played = (self.played + samples as u64).min(self.written);
    }

    /// Copies samples that were written before, ending `before` samples ahead of the newest.
    pub(crate) fn past(&self, out: &mut [i16]) {
        let missing = (out.len() as u64).saturating_sub(self.written) as usize;
        let (nothing, known) = out.split_at_mut(missing.min(out.len()));
        nothing.fill(0);
        self.read(self.written - known.len() as u64, known);
    }

    /// Reads sound around what would be played next, from so many samples before it on.
    pub(crate) fn around(&self, before: usize, out: &mut [i16]) {
        self.read(self.played.saturating_sub(before as u64), out);
    }

    /// How many samples before the newest a piece begins.
    fn age(&self, span: &Span) -> usize {
        (self.written as u32).wrapping_sub(span.start) as usize
    }

    fn write(&mut self, position: u64, from: &[i16]) {
        let at = self.index(position);
        copy_in(&mut self.samples, at, from);
    }

    fn read(&self, position: u64, out: &mut [i16]) {
        copy_out(&self.samples, self.index(position), out);
    }

    fn index(&self, position: u64) -> usize {
        (position % self.samples.len() as u64) as usize
    }
}
