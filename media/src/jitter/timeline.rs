//! Decoded sound in order, once for all who read it.

use std::collections::VecDeque;
use std::time::Instant;

use crate::frame::Frame;
use crate::ring::{copy_in, copy_out};

/// Pieces that may wait for their listener.
const MAX_SPANS: usize = 40;

/// Where a piece of sound for the listeners lies.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    len: u16,
    concealed: bool,
    timestamp: u64,
    received: Instant,
}

/// Keeps the newest sound. It has two readers: the playout side, which takes fixed steps on its
/// clock, and the listeners, which take each piece as it comes.
#[derive(Debug)]
pub(crate) struct Timeline {
    samples: Box<[i16]>,
    /// Samples written and played since the beginning: positions, which never wrap.
    written: u64,
    played: u64,
    spans: VecDeque<Span>,
    rate_hz: u32,
    unheard: u64,
}

impl Timeline {
    pub(crate) fn new(rate_hz: u32, capacity: usize) -> Self {
        Self {
            samples: vec![0; capacity.max(1)].into_boxed_slice(),
            written: 0,
            played: 0,
            spans: VecDeque::with_capacity(MAX_SPANS),
            rate_hz,
            unheard: 0,
        }
    }

    /// Samples that wait to be played.
    #[inline]
    pub(crate) fn level(&self) -> usize {
        (self.written - self.played) as usize
    }

    /// Samples whose listeners did not come for them in time.
    pub(crate) fn unheard(&self) -> u64 {
        self.unheard
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.samples) + self.spans.capacity() * size_of::<Span>()
    }

    /// Appends sound and returns its position; what is too old to be kept is never played.
    pub(crate) fn push(&mut self, samples: &[i16]) -> u64 {
        let position = self.written;
        self.write(position, samples);
        self.written += samples.len() as u64;
        let oldest = self.written.saturating_sub(self.samples.len() as u64);
        self.played = self.played.max(oldest);
        position
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
        if self.spans.len() >= MAX_SPANS {
            self.unheard += self.spans.pop_front().map_or(0, |span| u64::from(span.len));
        }
        self.spans.push_back(Span {
            start,
            len: len as u16,
            concealed,
            timestamp,
            received,
        });
    }

    /// Takes the next piece that the listeners have not heard.
    pub(crate) fn hear(&mut self) -> Option<Frame> {
        while let Some(span) = self.spans.pop_front() {
            if span.start + self.samples.len() as u64 >= self.written {
                let mut sound = [0; Frame::MAX_SAMPLES];
                let len = usize::from(span.len).min(sound.len());
                let sound = sound.get_mut(..len).unwrap_or_default();
                self.read(span.start, sound);
                let Span {
                    timestamp,
                    received,
                    concealed,
                    ..
                } = span;
                return Some(Frame::new(
                    self.rate_hz,
                    timestamp,
                    received,
                    concealed,
                    sound,
                ));
            }
            self.unheard += u64::from(span.len);
        }
        None
    }

    /// Plays the next samples; `out` must not be longer than the level.
    pub(crate) fn play(&mut self, out: &mut [i16]) {
        self.read(self.played, out);
        self.skip(out.len());
    }

    pub(crate) fn skip(&mut self, samples: usize) {
        self.played = (self.played + samples as u64).min(self.written);
    }

    /// Copies samples that were written before, ending `before` samples ahead of the newest.
    pub(crate) fn past(&self, out: &mut [i16]) {
        let missing = (out.len() as u64).saturating_sub(self.written) as usize;
        let (nothing, known) = out.split_at_mut(missing.min(out.len()));
        nothing.fill(0);
        self.read(self.written - known.len() as u64, known);
    }

    /// Reads the samples that would be played next, without playing them.
    pub(crate) fn peek(&self, out: &mut [i16]) {
        self.read(self.played, out);
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
