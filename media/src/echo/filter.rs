//! The echo's path, learned: how what was sent comes back.

/// Delays that the filter spans: 128 ms.
pub(super) const TAPS: usize = 256;
/// Of them, those before the delay at which the echo was found: what is louder later on.
const BEFORE: usize = 16;
/// How far each sample moves the filter, of what would explain it wholly.
const STEP: f32 = 0.4;
/// What of the loudest passages lately the reference must reach to teach much, and how fast those
/// are forgotten, a frame.
const SOFT: f32 = 0.1;
const FADES: f32 = 0.995;
/// Energy of the reference below which nothing is learned.
const FLOOR: f32 = 1e4 * TAPS as f32;
/// What of a room's tail is left after a frame at most: reverberation of 400 ms.
const TAIL: f32 = 0.55;
/// It is measured where less than this is expected after a frame, and taken to be longer.
const DROP: f32 = 0.27;
const SLOWER: f32 = 2.0;
/// How fast what is known of it follows.
const TAIL_FOLLOWS: f32 = 0.1;
/// The filter's error counts for no less, since rooms have long tails, and no more, since nobody
/// could be told from an echo then.
const LEAST_ERROR: f32 = 0.12;
const MOST_ERROR: f32 = 0.3;
/// By how much more than the filter's error an echo may be louder than expected.
const LOUDER: f32 = 1.5;
/// How fast what is known of the filter's error follows it.
const FOLLOW: f32 = 0.2;

/// What became of a frame that was held against the echo that was expected.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// Energy of the echo that was expected, and of what it does not explain.
    pub(super) expected: f32,
    pub(super) rest: f32,
    /// What the filter's error may leave of an echo alone.
    pub(super) excused: f32,
    /// How loud the frame may be if it is an echo alone.
    pub(super) loudest: f32,
}

/// A filter that follows the echo's path by normalised least mean squares (Haykin, Adaptive Filter
/// Theory, §6). It is slow while somebody speaks over the echo: a step is as long as the error
/// that is the filter's own, of the error that there is.
#[derive(Debug)]
pub(super) struct PathFilter {
    /// The longest delay first, as what was sent lies in memory.
    taps: Vec<f32>,
    /// The delay of the last tap.
    shortest: usize,
    /// The filter's error, of the energy that it expects.
    error: f32,
    /// The energy expected lately, as a room's tail dies away.
    lately: f32,
    /// What of that is left after a frame.
    pub(super) tail: f32,
    /// Energy of the loudest passages of the reference lately.
    loud: f32,
    /// It learns whatever it can.
    pub(super) young: bool,
}

impl PathFilter {
    pub(super) fn new() -> Self {
        Self {
            taps: vec![0.0; TAPS],
            shortest: 0,
            error: 1.0,
            lately: 0.0,
            tail: TAIL,
            loud: 0.0,
            young: true,
        }
    }

    /// Begins with an echo at one delay, by its correlation.
    pub(super) fn begin(&mut self, delay: usize, gain: f32, lags: usize) {
        self.taps.fill(0.0);
        self.shortest = delay.saturating_sub(BEFORE).min(lags - TAPS);
        let place = TAPS - 1 - (delay - self.shortest).min(TAPS - 1);
        if let Some(tap) = self.taps.get_mut(place) {
            *tap = gain;
        }
        (self.error, self.lately, self.young) = (1.0, 0.0, true);
        self.tail = TAIL;
    }

    /// Goes on where every delay is longer by so much.
    pub(super) fn shift(&mut self, by: i64, lags: usize) {
        let moved = self.shortest.saturating_add_signed(by as isize);
        self.shortest = moved.min(lags - TAPS);
    }

    /// Holds a frame against the echo that is expected, and learns from it. The counterpart of its
    /// first sample at delay `lags − 1 − k` lies at `window[k]`.
    #[inline(always)]
    pub(super) fn step(&mut self, heard: &[f32], window: &[f32], lags: usize) -> Held {
        let from = (lags - TAPS).saturating_sub(self.shortest);
        let sent = window.get(from..).unwrap_or_default();
        let mut held = Held::default();
        for (sample, past) in heard.iter().zip(sent.windows(TAPS)) {
            let expected = dot(&self.taps, past);
            held.expected += expected * expected;
            held.rest += (sample - expected) * (sample - expected);
        }
        let before = self.lately;
        self.lately = held.expected.max(before * self.tail);
        if held.expected < before * DROP {
            let left = (SLOWER * energy_of(heard) / before).min(TAIL);
            self.tail += TAIL_FOLLOWS * (left - self.tail);
        }
        held.excused = self.error.clamp(LEAST_ERROR, MOST_ERROR) * self.lately;
        held.loudest = self.lately * (1.0 + LOUDER * self.error.min(MOST_ERROR));
        self.learn(heard, sent, &held);
        held
    }

    #[inline(always)]
    fn learn(&mut self, heard: &[f32], sent: &[f32], held: &Held) {
        let own = if self.young {
            held.rest
        } else {
            2.0 * self.error * self.lately
        };
        let caution = (own / held.rest.max(1.0)).min(1.0);
        let step = STEP * caution;
        let mut energy = sent.get(..TAPS).map_or(0.0, |past| dot(past, past));
        self.loud = energy.max(self.loud * FADES).max(FLOOR);
        let floor = SOFT * self.loud;
        for (n, (sample, past)) in heard.iter().zip(sent.windows(TAPS)).enumerate() {
            let error = sample - dot(&self.taps, past);
            let change = step * error / (energy.max(0.0) + floor);
            for (tap, sent) in self.taps.iter_mut().zip(past) {
                *tap += change * sent;
            }
            let (out, in_) = (past.first(), sent.get(n + TAPS));
            let square = |sample: Option<&f32>| sample.map_or(0.0, |s| s * s);
            energy += square(in_) - square(out);
        }
    }

    /// Takes note that a frame was an echo alone, and so of the filter's error.
    pub(super) fn confirm(&mut self, held: &Held) {
        let error = held.rest / self.lately.max(1.0);
        self.error += FOLLOW * (error.min(1.0) - self.error);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.taps.capacity() * size_of::<f32>()
    }
}

#[inline(always)]
pub(super) fn energy_of(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum()
}

/// The product of two runs of samples of the same length, in eight sums side by side.
#[inline(always)]
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in one.chunks_exact(8).zip(other.chunks_exact(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}
