//! Hears keys in the sound itself, for peers that send no telephone-events.
//!
//! A window of 12.75 ms moves on by half its length. It holds a key when one row and one column
//! make up most of its energy, loud enough, balanced, each alone in its group and without an
//! octave above (ITU-T Q.24, Bellcore GR-506). Four such windows in a row make a key, if over them
//! the phases of both tones moved as those of the right frequencies do: a voice that meets all the
//! rest does not keep its pitch so steady.

use super::goertzel::{COLUMNS, FILTERS, Goertzel, OCTAVE, Part};
use super::{Digit, tone};

/// Half a window in microseconds: 51 samples at 8 kHz.
const PART_US: u32 = 6_375;
/// Windows in a row that make a key: 32 ms, which each key of 40 ms holds (ITU-T Q.24).
const WINDOWS: u32 = 4;
/// A window with 2 dB less than its neighbour lies over the edge of a tone and does not count: else
/// a tone of 23 ms, which is to be no key (Q.24), would reach into four.
const EDGE: f32 = 1.6;
/// Windows without it in a row that end a key: a break of 10 ms does not, a pause of 40 ms does.
const SILENT_WINDOWS: u32 = 3;
/// Windows of a key drowned by something else that end it.
const DROWNED_WINDOWS: u32 = 8;
/// Mean square that each tone has at least: −31 dBm0, where Q.24 asks for −25.
const LEAST_POWER: f32 = 200_000.0;
/// Share of the window's energy that both tones have together.
const LEAST_SHARE: f32 = 0.62;
/// A column may be louder than its row by 4 dB and softer by 8 (Q.24); a tone at the edge of its
/// tolerance loses another 2 dB here.
const COLUMN_LOUDER: f32 = 4.0;
const ROW_LOUDER: f32 = 10.0;
/// A tone is so much stronger than the next one of its group.
const ALONE: f32 = 5.0;
/// The octave above a tone is so much weaker than the tone.
const NO_OCTAVE: f32 = 10.0;
/// How far a tone may be off: 1.5 % and 2 Hz are accepted (Q.24), the rest is for noise.
const OFF_SHARE: f32 = 0.018;
const OFF_HZ: f32 = 4.0;
/// A held key has stopped when one of its tones is so much weaker than it was.
const STOPPED: f32 = 10.0;

/// A key heard in the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeardKey {
    pub(crate) digit: Digit,
    pub(crate) duration_ms: u32,
}

/// Listens to one party's sound, each sample once and in order.
#[derive(Debug)]
pub(crate) struct InbandReceiver {
    rate_hz: u32,
    goertzel: Goertzel,
    /// The part before, its phases counted from the end of the part to come.
    before: Part,
    state: State,
}

/// The two tones of a key, as filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    row: usize,
    column: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Quiet,
    Rising {
        pair: Pair,
        windows: u32,
        turns: Turns,
        /// Mean square of both tones in the window before.
        power: f32,
    },
    Held {
        pair: Pair,
        /// Mean squares of the row and the column.
        power: (f32, f32),
        parts: u32,
        /// Parts since it was heard last, and how many of those were without it.
        missed: u32,
        silent: u32,
    },
}

/// How the phases of both tones moved from part to part: sums of unit-less complex products.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    row: (f32, f32),
    column: (f32, f32),
}

/// The tones of one window.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Mean square of each frequency.
    power: [f32; FILTERS],
    mean_square: f32,
}

impl InbandReceiver {
    /// Makes a receiver for sound of `rate_hz`.
    pub(crate) fn new(rate_hz: u32) -> Self {
        let part_samples = (u64::from(rate_hz) * u64::from(PART_US) / 1_000_000).max(1) as usize;
        Self {
            rate_hz,
            goertzel: Goertzel::new(rate_hz, part_samples),
            before: Part::default(),
            state: State::Quiet,
        }
    }

    /// Takes the next sound and hands each key that ends in it to `report`.
    pub(crate) fn hear(&mut self, samples: &[i16], mut report: impl FnMut(HeardKey)) {
        let mut left = samples;
        while !left.is_empty() {
            let (taken, part) = self.goertzel.take(left);
            if let Some(part) = part
                && let Some(key) = self.step(&part)
            {
                report(key);
            }
            left = left.get(taken..).unwrap_or_default();
        }
    }

    fn step(&mut self, part: &Part) -> Option<HeardKey> {
        let window = Window::new(&self.before, part, self.goertzel.part_samples());
        let pair = window.pair();
        let (state, ended) = match self.state {
            State::Held {
                pair: held,
                power,
                parts,
                missed,
                silent,
            } => self.hold(&window, (held, power), (parts, missed, silent)),
            _ => (self.rise(&window, pair, part), None),
        };
        self.state = state;
        self.before = self.goertzel.advanced(part);
        ended
    }

    /// Nothing is held: a key may begin.
    fn rise(&self, window: &Window, pair: Option<Pair>, part: &Part) -> State {
        let Some(pair) = pair else {
            return State::Quiet;
        };
        let (row, column) = window.powers(pair);
        let power = row + column;
        let (windows, mut turns) = match self.state {
            State::Rising {
                pair: known,
                windows,
                turns,
                power: before,
            } if known == pair && power <= before * EDGE => {
                if power * EDGE < before {
                    return State::Quiet;
                }
                (windows + 1, turns)
            }
            _ => (1, Turns::default()),
        };
        turns.add(&self.before, part, pair);
        if windows < WINDOWS {
            return State::Rising {
                pair,
                windows,
                turns,
                power,
            };
        }
        if !self.in_tune(pair, turns) {
            return State::Quiet;
        }
        State::Held {
            pair,
            power: window.powers(pair),
            parts: windows + 1,
            missed: 0,
            silent: 0,
        }
    }

    /// A key is held: it goes on, is drowned for a while, or has ended.
    fn hold(
        &self,
        window: &Window,
        (held, power): (Pair, (f32, f32)),
        (parts, missed, silent): (u32, u32, u32),
    ) -> (State, Option<HeardKey>) {
        let (row, column) = window.powers(held);
        let there = window.pair() == Some(held);
        let stopped = row * STOPPED < power.0 || column * STOPPED < power.1;
        let (missed, silent) = match (there, stopped) {
            (true, _) => (0, 0),
            (false, true) => (missed + 1, silent + 1),
            (false, false) => (missed + 1, 0),
        };
        let parts = parts.saturating_add(1);
        if silent >= SILENT_WINDOWS || missed >= DROWNED_WINDOWS {
            return (State::Quiet, self.key(held, parts - missed));
        }
        let power = if there { (row, column) } else { power };
        let state = State::Held {
            pair: held,
            power,
            parts,
            missed,
            silent,
        };
        (state, None)
    }

    fn key(&self, pair: Pair, parts: u32) -> Option<HeardKey> {
        Some(HeardKey {
            digit: tone::at(pair.row, pair.column - COLUMNS)?,
            duration_ms: (u64::from(parts) * u64::from(PART_US) / 1_000) as u32,
        })
    }

    /// Whether both tones have the frequency that they should have.
    fn in_tune(&self, pair: Pair, turns: Turns) -> bool {
        let samples = self.goertzel.part_samples() as f32;
        let off_hz = |(re, im): (f32, f32)| {
            im.atan2(re) / std::f32::consts::TAU * self.rate_hz as f32 / samples
        };
        let in_tune = |turn, hz: f32| off_hz(turn).abs() <= hz * OFF_SHARE + OFF_HZ;
        in_tune(turns.row, tone::row_hz(pair.row))
            && in_tune(turns.column, tone::column_hz(pair.column - COLUMNS))
    }
}

impl Turns {
    fn add(&mut self, before: &Part, part: &Part, pair: Pair) {
        let turn = |(re, im): (f32, f32), n: usize| {
            (
                re + part.re[n] * before.re[n] + part.im[n] * before.im[n],
                im + part.im[n] * before.re[n] - part.re[n] * before.im[n],
            )
        };
        self.row = turn(self.row, pair.row);
        self.column = turn(self.column, pair.column);
    }
}

impl Window {
    /// Joins two parts; the phases of both are counted from the end of the second.
    fn new(before: &Part, part: &Part, part_samples: usize) -> Self {
        let samples = 2.0 * part_samples as f32;
        let scale = 2.0 / (samples * samples);
        let power = std::array::from_fn(|n| {
            let (re, im) = (before.re[n] + part.re[n], before.im[n] + part.im[n]);
            scale * (re * re + im * im)
        });
        Self {
            power,
            mean_square: (before.energy + part.energy) / samples,
        }
    }

    fn powers(&self, pair: Pair) -> (f32, f32) {
        (self.power[pair.row], self.power[pair.column])
    }

    /// The key that sounds in this window, if one does.
    fn pair(&self) -> Option<Pair> {
        if self.mean_square < 2.0 * LEAST_POWER {
            return None;
        }
        let row = self.loudest(0)?;
        let column = self.loudest(COLUMNS)?;
        let pair = Pair { row, column };
        let (low, high) = self.powers(pair);
        let loud = low >= LEAST_POWER && high >= LEAST_POWER;
        let balanced = high <= low * COLUMN_LOUDER && low <= high * ROW_LOUDER;
        let pure = low + high >= self.mean_square * LEAST_SHARE;
        (loud && balanced && pure && self.without_octaves(pair)).then_some(pair)
    }

    /// The loudest of the four tones from `first` on, when it is alone.
    fn loudest(&self, first: usize) -> Option<usize> {
        let group = || first..first + COLUMNS;
        let loudest = group().max_by(|a, b| self.power[*a].total_cmp(&self.power[*b]))?;
        let others = group().filter(|n| *n != loudest);
        let next = others.map(|n| self.power[n]).fold(0.0, f32::max);
        (self.power[loudest] >= next * ALONE).then_some(loudest)
    }

    /// A voice has octaves, a key has none. The octave of a row may lie so near its own column
    /// that it cannot be told from it; then only the column's counts.
    fn without_octaves(&self, pair: Pair) -> bool {
        let column_octave = self.power[pair.column + OCTAVE] * NO_OCTAVE <= self.power[pair.column];
        let near = 2.0 * tone::row_hz(pair.row) - tone::column_hz(pair.column - COLUMNS);
        let row_octave = self.power[pair.row + OCTAVE] * NO_OCTAVE <= self.power[pair.row];
        column_octave && (row_octave || near.abs() < 150.0)
    }
}

#[cfg(test)]
mod tests;
