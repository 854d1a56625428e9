//! The sound that waits to be sent, by utterance, and how much of each was sent.

use std::collections::VecDeque;

use crate::ring::{copy_in, copy_out};

/// Names one thing that is said, so that it can be told apart from what comes before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtteranceId(pub u64);

/// Utterances that may wait at once.
const MAX_UTTERANCES: usize = 16;
/// Utterances that are remembered after their end, to refuse what still arrives of them.
const MAX_CLOSED: usize = 64;
/// Pausing, cancelling and resuming fade for 5 ms, so that they do not click.
const FADE_MS: u32 = 5;
/// Steps for which less than a packet of sound waits for more of its utterance.
const MAX_HELD_STEPS: u8 = 5;
/// What is softer than this is not heard: about -50 dB below full scale.
pub(crate) const AUDIBLE: i16 = 100;

#[derive(Clone, Copy, Debug)]
struct Utterance {
    id: UtteranceId,
    queued: usize,
    played: u64,
    /// All of it was queued.
    complete: bool,
    /// Its first audible packet was sent.
    started: bool,
}

/// What a step did to an utterance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) utterance: UtteranceId,
    pub(crate) what: Passed,
    /// Samples of the step up to there, that one included.
    pub(crate) until: usize,
}

/// What of an utterance was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Its first audible sample.
    Start,
    /// Its last one, and so many in all.
    End(u64),
}

/// What was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) utterance: UtteranceId,
    pub(crate) played: u64,
    pub(crate) queued: u64,
}

/// Queues sound for one session; what was said is counted by samples taken, not by samples given.
#[derive(Debug)]
pub(crate) struct Playout {
    samples: Ring,
    utterances: VecDeque<Utterance>,
    closed: VecDeque<UtteranceId>,
    paused: bool,
    /// The next step starts with sound that fades in.
    fades_in: bool,
    /// The next step starts with these samples, which fade out.
    tail: Tail,
    /// The last step carried sound.
    speaking: bool,
    held_steps: u8,
    fade_samples: usize,
}

impl Playout {
    pub(crate) fn new(rate_hz: u32, capacity_ms: u32) -> Self {
        let capacity = (rate_hz / 1000).saturating_mul(capacity_ms.clamp(40, 60_000)) as usize;
        Self {
            samples: Ring::new(capacity),
            utterances: VecDeque::with_capacity(MAX_UTTERANCES),
            closed: VecDeque::with_capacity(MAX_CLOSED),
            paused: false,
            fades_in: false,
            tail: Tail::default(),
            speaking: false,
            held_steps: 0,
            fade_samples: ((rate_hz / 1000 * FADE_MS) as usize).min(Tail::MAX_SAMPLES),
        }
    }

    /// Queues sound of an utterance and returns how many samples there was room for; none of an
    /// utterance that was cancelled or finished.
    pub(crate) fn play(&mut self, id: UtteranceId, samples: &[i16]) -> usize {
        if self.closed.contains(&id) {
            return 0;
        }
        let Some(utterance) = self.utterance(id) else {
            return 0;
        };
        if utterance.complete {
            return 0;
        }
        let accepted = self.samples.push(samples);
        if let Some(utterance) = self.utterances.back_mut() {
            utterance.queued += accepted;
        }
        accepted
    }

    /// Marks an utterance as complete: when its last sample is sent, it is finished.
    pub(crate) fn finish(&mut self, id: UtteranceId) {
        if self.closed.contains(&id) {
            return;
        }
        let known = self
            .utterances
            .iter_mut()
            .find(|utterance| utterance.id == id);
        match known {
            Some(utterance) => utterance.complete = true,
            None => {
                if let Some(utterance) = self.utterance(id) {
                    utterance.complete = true;
                }
            }
        }
    }

    /// Finds the utterance at the end of the queue, or opens it there. Sound for one that others
    /// stand behind already comes too late.
    fn utterance(&mut self, id: UtteranceId) -> Option<&mut Utterance> {
        if self.utterances.back().is_none_or(|last| last.id != id) {
            let known = self.utterances.iter().any(|utterance| utterance.id == id);
            if known || self.utterances.len() >= MAX_UTTERANCES {
                return None;
            }
            let fresh = Utterance {
                id,
                queued: 0,
                played: 0,
                complete: false,
                started: false,
            };
            if let Some(last) = self.utterances.back_mut() {
                // Nothing more can come of the one before.
                last.complete = true;
            }
            self.utterances.push_back(fresh);
        }
        self.utterances.back_mut()
    }

    pub(crate) fn pause(&mut self) {
        if !self.paused {
            self.paused = true;
            self.keep_tail();
        }
    }

    pub(crate) fn resume(&mut self) {
        if self.paused {
            self.paused = false;
            // Resumed before the pause was ever heard: the sound just goes on.
            self.speaking = self.tail.len > 0;
            self.fades_in = !self.speaking;
            self.tail = Tail::default();
        }
    }

    /// Drops all that waits; what is being said ends within 5 ms.
    pub(crate) fn cancel(&mut self) -> Option<Dropped> {
        let first = self.utterances.front().copied();
        if !self.paused {
            self.keep_tail();
        }
        self.samples.clear();
        while let Some(utterance) = self.utterances.pop_front() {
            self.close(utterance.id);
        }
        self.paused = false;
        self.fades_in = false;
        self.held_steps = 0;
        first.map(|utterance| Dropped {
            utterance: utterance.id,
            played: utterance.played,
            queued: utterance.queued as u64,
        })
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether the last step carried sound, so that the next one must follow on it.
    pub(crate) fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Whether the next step would carry sound of an utterance.
    pub(crate) fn is_ready(&self, step_samples: usize) -> bool {
        let complete = self
            .utterances
            .front()
            .is_some_and(|utterance| utterance.complete);
        let enough = self.samples.len() >= step_samples || self.utterances.len() > 1;
        let waited = self.held_steps >= MAX_HELD_STEPS;
        !self.paused && !self.utterances.is_empty() && (enough || complete || waited)
    }

    /// Whether the next step would carry nothing, however long it waited.
    pub(crate) fn is_idle(&self) -> bool {
        let nothing = self.paused || self.utterances.is_empty();
        nothing && !self.speaking && self.tail.len == 0
    }

    pub(crate) fn queued_samples(&self) -> usize {
        self.samples.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.samples.heap_bytes()
            + self.utterances.capacity() * size_of::<Utterance>()
            + self.closed.capacity() * size_of::<UtteranceId>()
    }

    /// Fills one step: sound as far as there is any, silence behind it. Returns whether there is
    /// any sound in it, and tells `report` what began and ended with it.
    pub(crate) fn take(&mut self, out: &mut [i16], mut report: impl FnMut(Progress)) -> bool {
        out.fill(0);
        let faded = self.tail.take(out);
        if !self.is_ready(out.len()) {
            let waiting = !self.paused && !self.samples.is_empty();
            self.held_steps = if waiting { self.held_steps + 1 } else { 0 };
            self.speaking = false;
            return faded;
        }
        self.held_steps = 0;
        let mut filled = 0;
        while let Some(utterance) = self.utterances.front_mut() {
            let room = out.get_mut(filled..).unwrap_or_default();
            let wanted = room.len().min(utterance.queued);
            let room = room.get_mut(..wanted).unwrap_or_default();
            self.samples.pop(room);
            if std::mem::take(&mut self.fades_in) {
                fade(
                    room.get_mut(..self.fade_samples.min(wanted))
                        .unwrap_or_default(),
                    true,
                );
            }
            filled += wanted;
            utterance.queued -= wanted;
            utterance.played += wanted as u64;
            let audible = |sample: &i16| sample.saturating_abs() > AUDIBLE;
            if !utterance.started
                && let Some(at) = room.iter().position(audible)
            {
                utterance.started = true;
                report(Progress {
                    utterance: utterance.id,
                    what: Passed::Start,
                    until: filled - wanted + at + 1,
                });
            }
            if utterance.queued > 0 || !utterance.complete {
                break;
            }
            let (id, played) = (utterance.id, utterance.played);
            self.utterances.pop_front();
            self.close(id);
            report(Progress {
                utterance: id,
                what: Passed::End(played),
                until: filled,
            });
        }
        self.speaking = filled > 0;
        self.speaking || faded
    }

    fn close(&mut self, id: UtteranceId) {
        if self.closed.len() >= MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(id);
    }

    /// Keeps a copy of the sound that would come next, to fade out with; the queue keeps it too,
    /// so that a resumed utterance lacks nothing.
    fn keep_tail(&mut self) {
        if self.speaking {
            self.tail = Tail::new(&self.samples, self.fade_samples);
        }
        self.speaking = false;
    }
}

/// A few milliseconds that fade out.
#[derive(Debug)]
struct Tail {
    samples: [i16; Tail::MAX_SAMPLES],
    len: usize,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            samples: [0; Self::MAX_SAMPLES],
            len: 0,
        }
    }
}

impl Tail {
    const MAX_SAMPLES: usize = 80;

    fn new(queue: &Ring, len: usize) -> Self {
        let mut tail = Self {
            len: len.min(queue.len()),
            ..Self::default()
        };
        let samples = tail.samples.get_mut(..tail.len).unwrap_or_default();
        queue.peek(samples);
        fade(samples, false);
        tail
    }

    fn take(&mut self, out: &mut [i16]) -> bool {
        let len = std::mem::take(&mut self.len);
        let tail = self.samples.get(..len).unwrap_or_default();
        for (to, from) in out.iter_mut().zip(tail) {
            *to = *from;
        }
        len > 0
    }
}

fn fade(samples: &mut [i16], fades_in: bool) {
    let len = samples.len() as i32;
    for (n, sample) in (0..).zip(samples) {
        let weight = if fades_in { n } else { len - 1 - n };
        *sample = (i32::from(*sample) * weight / len) as i16;
    }
}

/// A ring of samples of fixed size.
#[derive(Debug)]
struct Ring {
    samples: Box<[i16]>,
    start: usize,
    len: usize,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self {
            samples: vec![0; capacity.max(1)].into_boxed_slice(),
            start: 0,
            len: 0,
        }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn clear(&mut self) {
        self.len = 0;
    }

    fn heap_bytes(&self) -> usize {
        size_of_val(&*self.samples)
    }

    fn push(&mut self, from: &[i16]) -> usize {
        let accepted = from.len().min(self.samples.len() - self.len);
        let end = (self.start + self.len) % self.samples.len();
        copy_in(
            &mut self.samples,
            end,
            from.get(..accepted).unwrap_or_default(),
        );
        self.len += accepted;
        accepted
    }

    /// Copies the oldest samples; `out` must not be longer than what there is.
    fn peek(&self, out: &mut [i16]) {
        copy_out(&self.samples, self.start, out);
    }

    fn pop(&mut self, out: &mut [i16]) {
        self.peek(out);
        let taken = out.len().min(self.len);
        self.start = (self.start + taken) % self.samples.len();
        self.len -= taken;
    }
}
