//! What was sent lately, at the rate of the comparison.

use std::ops::Range;

use super::front::Brought;
use super::search::PADDED;
use super::short::Short;
use super::window::FADE;
use super::{HISTORY, LAGS, RUN, STEP_MAX};

/// Samples by which what is kept may grow before the oldest are let go of, all in one go.
const ROOM: usize = 10 * STEP_MAX;

/// The longest piece that is asked for: a frame's counterparts at every delay, and zeros behind it.
pub(super) const PIECE_MAX: usize = PADDED + STEP_MAX;
/// Samples are kept as halves: the pre-emphasis takes a step of full scale to nearly twice that.
const SCALE: f32 = 0.5;

/// Keeps what was sent, oldest first; the newest sample is the last that is filled.
#[derive(Debug)]
pub(super) struct Reference {
    low: [i16; HISTORY + ROOM],
    /// Energy of what is above the comparison's band, as a power of two: a float's exponent.
    high: [u8; HISTORY + ROOM],
    /// Energy of what was sent up to each sample, as the comparison's window weighs it.
    energy: [Short; HISTORY + ROOM],
    energy_now: f32,
    /// Samples that are filled: [`HISTORY`] at least.
    filled: usize,
    /// Position, in our RTP time, of the sample after the newest.
    end: u64,
}

/// A piece of what was sent.
#[derive(Clone, Debug)]
pub(super) struct Piece<'a> {
    low: [f32; PIECE_MAX],
    high: &'a [u8],
    energies: &'a [Short],
}

impl Piece<'_> {
    pub(super) fn low(&self) -> &[f32] {
        self.low.get(..self.high.len()).unwrap_or_default()
    }

    /// The same, with zeros behind it.
    pub(super) fn padded(&self) -> &[f32; PIECE_MAX] {
        &self.low
    }

    /// The energy of what was sent up to the frame's counterpart at each delay, the longest first.
    pub(super) fn energies(&self) -> &[Short] {
        self.energies
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
            low: [0; HISTORY + ROOM],
            high: [0; HISTORY + ROOM],
            energy: [Short::default(); HISTORY + ROOM],
            energy_now: 0.0,
            filled: HISTORY,
            end: position,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Adds a step. A grid that was re-phased leaves a gap of [`RUN`] samples at most; one that runs
    /// ahead overlaps by less than a step.
    #[inline(always)]
    pub(super) fn push(&mut self, position: u64, step: &Brought) {
        let gap = (position.saturating_sub(self.end) as usize).min(RUN);
        let more = gap + step.low().len();
        let new = self.lengthen(more);
        let low = self.low.get_mut(new.clone()).unwrap_or_default();
        let high = self.high.get_mut(new.clone()).unwrap_or_default();
        low.fill(0);
        high.fill(0);
        for (to, from) in low.iter_mut().skip(gap).zip(step.low()) {
            // Numbers beyond 16 bits become the nearest one.
            *to = (*from * SCALE).round_ties_even() as i16;
        }
        for (to, from) in high.iter_mut().skip(gap).zip(step.high()) {
            *to = compress(*from);
        }
        let energy = self.energy.get_mut(new).unwrap_or_default();
        for (to, sample) in energy.iter_mut().zip(low) {
            let sample = f32::from(*sample) / SCALE;
            self.energy_now = self.energy_now * FADE + sample * sample;
            *to = Short::of(self.energy_now);
        }
        self.end += more as u64;
    }

    /// Makes room for `more` samples, and tells where.
    fn lengthen(&mut self, more: usize) -> Range<usize> {
        if self.filled + more > HISTORY + ROOM {
            let gone = (self.filled + more).saturating_sub(HISTORY);
            self.low.copy_within(gone..self.filled, 0);
            self.high.copy_within(gone..self.filled, 0);
            self.energy.copy_within(gone..self.filled, 0);
            self.filled = self.filled.saturating_sub(gone);
        }
        let new = self.filled..self.filled + more;
        self.filled = new.end;
        new
    }

    /// The `length` samples that end `back` before the newest: a frame's counterparts, from the
    /// longest delay on.
    #[inline(always)]
    pub(super) fn piece(&self, back: i64, length: usize) -> Option<Piece<'_>> {
        let from = usize::try_from(self.filled as i64 - back - length as i64).ok()?;
        let mut piece = Piece {
            low: [0.0; PIECE_MAX],
            high: self.high.get(from..from + length)?,
            energies: self.energy.get(from + length - LAGS..from + length)?,
        };
        let kept = self.low.get(from..from + length)?;
        for (to, from) in piece.low.iter_mut().zip(kept) {
            *to = f32::from(*from) / SCALE;
        }
        Some(piece)
    }
}

#[inline(always)]
fn compress(energy: f32) -> u8 {
    (energy.to_bits() >> 23) as u8
}

/// The mean of the energies that share an exponent.
fn expand(exponent: u8) -> f32 {
    f32::from_bits(u32::from(exponent) << 23) * 1.5
}
