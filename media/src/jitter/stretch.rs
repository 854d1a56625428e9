//! Time-stretching on pitch (WSOLA, as NetEQ's accelerate and pre-emptive expand): one pitch period
//! is left out or played twice, where the sound resembles itself at that distance.

use super::JitterBuffer;

/// Pitch from 66 to 400 Hz.
const SHORTEST_US: usize = 2_500;
const LONGEST_US: usize = 15_000;
/// The stretch that is compared, at most and at least.
const WINDOW_US: usize = 15_000;
const SHORTEST_WINDOW_US: usize = 7_500;
/// What is read to compare: a window and the longest period, at 16 kHz.
const MAX_READ: usize = 480;
/// How like itself (normalised cross-correlation) a sound must be, and when it is urgent.
const ALIKE: f32 = 0.9;
const FAIRLY_ALIKE: f32 = 0.5;
/// With each time that nothing was found, a little less will do.
const CONCESSION: f32 = 0.05;
/// Sound whose samples are mostly below this (about -55 dB of full scale) may be stretched anywhere.
const QUIET: u64 = 60;

impl JitterBuffer {
    /// The shortest stretch, in samples.
    pub(super) fn shortest_stretch(&self) -> usize {
        self.us_to_samples(SHORTEST_US)
    }

    /// Leaves out one pitch period of at most `most` samples of what is played next.
    pub(super) fn accelerate(&mut self, most: usize, urgent: bool) {
        let level = self.timeline.level();
        let longest = self.us_to_samples(LONGEST_US).min(most).min(level / 2);
        let window = self.us_to_samples(WINDOW_US).min(level - longest);
        let lag = self.period(longest, window, false, urgent);
        if let Some(lag) = lag {
            self.timeline.leave_out(lag, lag);
            self.counts.accelerated += lag as u64;
        }
        self.note_stretch(lag.is_some());
    }

    /// Plays the pitch period that was played last once more.
    pub(super) fn preemptive_expand(&mut self, urgent: bool) {
        let level = self.timeline.level();
        let longest = self.us_to_samples(LONGEST_US).min(level);
        let window = self.us_to_samples(WINDOW_US).min(level);
        if !self.timeline.can_go_back(longest) {
            return;
        }
        let lag = self.period(longest, window, true, urgent);
        if let Some(lag) = lag {
            self.timeline.repeat(lag);
            self.counts.expanded += lag as u64;
        }
        self.note_stretch(lag.is_some());
    }

    fn note_stretch(&mut self, done: bool) {
        self.calm_steps = 0;
        self.vain_tries = if done {
            0
        } else {
            self.vain_tries.saturating_add(1)
        };
    }

    /// The distance, onwards or `back`, at which what is played next may be stretched, when there
    /// is one.
    fn period(&self, longest: usize, window: usize, back: bool, urgent: bool) -> Option<usize> {
        let shortest = self.shortest_stretch();
        if longest < shortest || window < self.us_to_samples(SHORTEST_WINDOW_US) {
            return None;
        }
        let mut sound = [0; MAX_READ];
        let sound = sound.get_mut(..window + longest)?;
        self.timeline.around(if back { longest } else { 0 }, sound);
        if is_quiet(sound) {
            return Some(longest);
        }
        make_room(sound);
        // At 8 kHz every second sample and distance does for a start, at 16 kHz every fourth.
        let stride = (self.rate_hz as usize / 4_000).max(1);
        let mut sparse = [0; MAX_READ];
        let sparse = thin_out(sound, stride, &mut sparse);
        let coarse = Search {
            sound: sparse,
            anchor: if back { longest / stride } else { 0 },
            window: window / stride,
            back,
        };
        let (lag, _) = coarse.best(shortest / stride..=longest / stride)?;
        let fine = Search {
            sound,
            anchor: if back { longest } else { 0 },
            window,
            back,
        };
        let near = (lag * stride).saturating_sub(stride).max(shortest);
        let (lag, alike) = fine.best(near..=((lag + 1) * stride).min(longest))?;
        let patient = ALIKE - CONCESSION * self.vain_tries as f32;
        let wanted = if urgent {
            FAIRLY_ALIKE
        } else {
            patient.max(FAIRLY_ALIKE)
        };
        (alike >= wanted).then_some(lag)
    }
}

/// A search for the distance at which a sound resembles itself most.
struct Search<'a> {
    sound: &'a [i16],
    /// Where the window begins that is compared with what lies before or after it.
    anchor: usize,
    window: usize,
    back: bool,
}

impl Search<'_> {
    fn at(&self, lag: usize) -> &[i16] {
        let start = if self.back {
            self.anchor.saturating_sub(lag)
        } else {
            self.anchor + lag
        };
        let sound = self.sound.get(start..).unwrap_or_default();
        sound.get(..self.window).unwrap_or(sound)
    }

    /// The best distance and how alike the sound is there, from -1 to 1 (normalised
    /// cross-correlation).
    fn best(&self, lags: impl Iterator<Item = usize>) -> Option<(usize, f32)> {
        let here = self.at(0);
        let energy = product(here, here) as f32;
        let alike = |lag| {
            let there = self.at(lag);
            let both = energy * product(there, there) as f32;
            product(here, there) as f32 / both.max(1.0).sqrt()
        };
        lags.map(|lag| (lag, alike(lag)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Inner product of samples of 11 bits, 480 at most.
fn product(a: &[i16], b: &[i16]) -> i32 {
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

fn is_quiet(sound: &[i16]) -> bool {
    let sum: u64 = sound.iter().map(|s| u64::from(s.unsigned_abs())).sum();
    sum < QUIET * sound.len() as u64 * 4 / 5
}

/// Scales the sound down to 11 bits, so that its products can be summed in 32.
fn make_room(sound: &mut [i16]) {
    let peak = sound.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
    let shift = (16 - peak.leading_zeros()).saturating_sub(11);
    sound.iter_mut().for_each(|sample| *sample >>= shift);
}

/// Keeps every so many-th sample.
fn thin_out<'a>(sound: &[i16], stride: usize, sparse: &'a mut [i16]) -> &'a [i16] {
    let kept = sound.len().div_ceil(stride).min(sparse.len());
    let every = sound.iter().step_by(stride);
    sparse
        .iter_mut()
        .zip(every)
        .for_each(|(to, from)| *to = *from);
    sparse.get(..kept).unwrap_or_default()
}
