//! What was sent lately, at the rate of the comparison.

use super::front::Brought;
use super::{HISTORY, RUN, STEP_MAX};

/// Keeps what was sent, oldest first; the last sample is the newest.
#[derive(Debug)]
pub(super) struct Reference {
    low: Vec<f32>,
    /// Energy of what is above the comparison's band, as a power of two: a float's exponent.
    high: Vec<u8>,
    /// Position, in our RTP time, of the sample after the newest.
    end: u64,
}

/// A piece of what was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) low: &'a [f32],
    high: &'a [u8],
}

impl Piece<'_> {
    /// Energy above the comparison's band, of `count` samples from one on.
    pub(super) fn high(&self, from: usize, count: usize) -> f32 {
        let energies = self.high.get(from..from + count).unwrap_or_default();
        energies.iter().map(|exponent| expand(*exponent)).sum()
    }
}

impl Reference {
    pub(super) fn new() -> Self {
        let room = HISTORY + 2 * RUN + 2 * STEP_MAX;
        let mut reference = Self {
            low: Vec::with_capacity(room),
            high: Vec::with_capacity(room),
            end: 0,
        };
        reference.begin(0);
        reference
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Begins at a position, as though silence had gone before.
    pub(super) fn begin(&mut self, position: u64) {
        self.low.clear();
        self.high.clear();
        self.low.resize(HISTORY, 0.0);
        self.high.resize(HISTORY, 0);
        self.end = position;
    }

    /// Adds a step. A grid that was re-phased leaves a gap; one that runs ahead overlaps by less
    /// than a step.
    pub(super) fn push(&mut self, position: u64, step: &Brought) {
        let gap = position.saturating_sub(self.end) as usize;
        self.low.extend(std::iter::repeat_n(0.0, gap));
        self.high.extend(std::iter::repeat_n(0, gap));
        self.low.extend(step.low());
        self.high
            .extend(step.high().iter().map(|energy| compress(*energy)));
        self.end += (gap + step.low().len()) as u64;
        if self.low.len() > HISTORY + RUN {
            let spare = self.low.len() - HISTORY;
            self.low.copy_within(spare.., 0);
            self.low.truncate(HISTORY);
            self.high.copy_within(spare.., 0);
            self.high.truncate(HISTORY);
        }
    }

    /// The `length` samples that end `back` before the newest.
    pub(super) fn piece(&self, back: i64, length: usize) -> Option<Piece<'_>> {
        let from = usize::try_from(self.low.len() as i64 - back - length as i64).ok()?;
        Some(Piece {
            low: self.low.get(from..from + length)?,
            high: self.high.get(from..from + length)?,
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.low.capacity() * size_of::<f32>() + self.high.capacity()
    }
}

fn compress(energy: f32) -> u8 {
    (energy.to_bits() >> 23) as u8
}

/// The mean of the energies that share an exponent.
fn expand(exponent: u8) -> f32 {
    f32::from_bits(u32::from(exponent) << 23) * 1.5
}
