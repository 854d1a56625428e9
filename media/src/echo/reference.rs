//! What was sent lately, at the rate of the comparison.

use super::front::Brought;
use super::{HISTORY, LAGS, RUN, STEP_MAX};

/// The longest piece that is asked for: a frame's counterparts at every delay.
const PIECE_MAX: usize = LAGS - 1 + STEP_MAX;
/// Samples are kept as halves: the pre-emphasis takes a step of full scale to nearly twice that.
const SCALE: f32 = 0.5;

/// Keeps what was sent, oldest first; the last sample is the newest.
#[derive(Debug)]
pub(super) struct Reference {
    low: [i16; HISTORY],
    /// Energy of what is above the comparison's band, as a power of two: a float's exponent.
    high: [u8; HISTORY],
    /// Position, in our RTP time, of the sample after the newest.
    end: u64,
}

/// A piece of what was sent.
#[derive(Clone, Debug)]
pub(super) struct Piece<'a> {
    low: [f32; PIECE_MAX],
    high: &'a [u8],
}

impl Piece<'_> {
    pub(super) fn low(&self) -> &[f32] {
        self.low.get(..self.high.len()).unwrap_or_default()
    }

    /// Energy above the comparison's band, of `count` samples from one on.
    pub(super) fn high(&self, from: usize, count: usize) -> f32 {
        let energies = self.high.get(from..from + count).unwrap_or_default();
        energies.iter().map(|exponent| expand(*exponent)).sum()
    }
}

impl Reference {
    /// Begins at a position, as though silence had gone before.
    pub(super) fn new(position: u64) -> Self {
        Self {
            low: [0; HISTORY],
            high: [0; HISTORY],
            end: position,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Adds a step. A grid that was re-phased leaves a gap of [`RUN`] samples at most; one that runs
    /// ahead overlaps by less than a step.
    pub(super) fn push(&mut self, position: u64, step: &Brought) {
        let gap = (position.saturating_sub(self.end) as usize).min(RUN);
        let more = gap + step.low().len();
        self.low.copy_within(more.., 0);
        self.high.copy_within(more.., 0);
        let (low, high) = (newest(&mut self.low, more), newest(&mut self.high, more));
        low.fill(0);
        high.fill(0);
        for (to, from) in low.iter_mut().skip(gap).zip(step.low()) {
            // Numbers beyond 16 bits become the nearest one.
            *to = (*from * SCALE).round() as i16;
        }
        for (to, from) in high.iter_mut().skip(gap).zip(step.high()) {
            *to = compress(*from);
        }
        self.end += more as u64;
    }

    /// The `length` samples that end `back` before the newest.
    pub(super) fn piece(&self, back: i64, length: usize) -> Option<Piece<'_>> {
        let from = usize::try_from(self.low.len() as i64 - back - length as i64).ok()?;
        let mut piece = Piece {
            low: [0.0; PIECE_MAX],
            high: self.high.get(from..from + length)?,
        };
        let kept = self.low.get(from..from + length)?;
        for (to, from) in piece.low.iter_mut().zip(kept) {
            *to = f32::from(*from) / SCALE;
        }
        Some(piece)
    }
}

/// The last `count` of what is kept.
fn newest<T>(kept: &mut [T], count: usize) -> &mut [T] {
    let from = kept.len().saturating_sub(count);
    kept.get_mut(from..).unwrap_or_default()
}

fn compress(energy: f32) -> u8 {
    (energy.to_bits() >> 23) as u8
}

/// The mean of the energies that share an exponent.
fn expand(exponent: u8) -> f32 {
    f32::from_bits(u32::from(exponent) << 23) * 1.5
}
