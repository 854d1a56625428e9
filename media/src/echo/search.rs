//! The search for an echo's delay, among all that it may have.

use fearless_simd::Simd;

use super::products::{BLOCK, add_products};
use super::reference::PIECE_MAX;
use super::{LAGS, QUIET, RATE_HZ, STEP_MAX};

/// The correlation's window, in samples: 80 ms.
const WINDOW: f32 = RATE_HZ as f32 * 0.08;
/// The delays, and so many more that whole blocks are summed.
pub(super) const PADDED: usize = LAGS.next_multiple_of(BLOCK);
/// Delays that are compared side by side.
const LANES: usize = 8;

/// A float of 16 bits: what is compared by halves of a percent needs no more.
#[derive(Clone, Copy, Debug, Default)]
struct Short(u16);

impl Short {
    /// The nearest one.
    #[inline(always)]
    fn of(value: f32) -> Self {
        Self((value.to_bits().saturating_add(1 << 15) >> 16) as u16)
    }

    #[inline(always)]
    fn float(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// The running correlation of what is heard with what was sent, for every delay.
#[derive(Debug)]
pub(super) struct Search {
    /// By delay, the longest first: so both run forward in memory.
    correlation: [Short; LAGS],
    sent_energy: [Short; LAGS],
    heard_energy: f32,
}

impl Search {
    pub(super) fn new() -> Self {
        Self {
            correlation: [Short::default(); LAGS],
            sent_energy: [Short::default(); LAGS],
            heard_energy: 0.0,
        }
    }

    pub(super) fn clear(&mut self) {
        if self.heard_energy > 0.0 {
            self.correlation.fill(Short::default());
            self.sent_energy.fill(Short::default());
            self.heard_energy = 0.0;
        }
    }

    /// Adds `heard`, whose counterpart at delay `LAGS − 1 − k` lies at `window[k..]`.
    #[inline(always)]
    pub(super) fn step<S: Simd>(&mut self, simd: S, heard: &[f32], window: &[f32; PIECE_MAX]) {
        let fade = (-(heard.len() as f32) / WINDOW).exp();
        let mut correlation = [0.0; PADDED];
        for (sum, kept) in correlation.iter_mut().zip(&self.correlation) {
            *sum = kept.float() * fade;
        }
        add_products(simd, &mut correlation, heard, window);
        for (kept, sum) in self.correlation.iter_mut().zip(correlation) {
            *kept = Short::of(sum);
        }
        for (sum, energy) in self
            .sent_energy
            .iter_mut()
            .zip(energies(window, heard.len()))
        {
            *sum = Short::of(sum.float() * fade + energy);
        }
        let heard_energy = heard.iter().map(|s| s * s).sum::<f32>();
        self.heard_energy = self.heard_energy * fade + heard_energy;
    }

    /// The strongest correlation among the delays in the range, with its delay.
    #[inline(always)]
    pub(super) fn peak(&self, shortest: usize, longest: usize) -> (f32, usize) {
        let from = LAGS.saturating_sub(longest + 1);
        let to = LAGS.saturating_sub(shortest);
        let correlation = self.correlation.get(from..to).unwrap_or_default();
        let energy = self.sent_energy.get(from..to).unwrap_or_default();
        let mut ratios = [0.0_f32; LAGS];
        let delays = correlation.len().next_multiple_of(LANES);
        let ratios = ratios.get_mut(..delays).unwrap_or_default();
        for (ratio, (c, e)) in ratios.iter_mut().zip(correlation.iter().zip(energy)) {
            let (c, e) = (c.float(), e.float());
            // A reference without sound has no echo.
            *ratio = c * c / (e + QUIET * WINDOW);
        }
        let mut most = [0.0_f32; LANES];
        for side_by_side in ratios.as_chunks::<LANES>().0 {
            for (most, ratio) in most.iter_mut().zip(side_by_side) {
                *most = if *ratio > *most { *ratio } else { *most };
            }
        }
        let best = most.into_iter().fold(0.0, f32::max);
        let at = ratios.iter().position(|ratio| *ratio == best).unwrap_or(0);
        let strength = (best / self.heard_energy.max(1.0)).sqrt();
        (strength, LAGS - 1 - (from + at).min(LAGS - 1))
    }

    /// How much of what was sent comes back at a delay.
    pub(super) fn gain(&self, delay: usize) -> f32 {
        let at = LAGS - 1 - delay.min(LAGS - 1);
        let at = |kept: &[Short]| kept.get(at).map_or(0.0, |value| value.float());
        let (correlation, energy) = (at(&self.correlation), at(&self.sent_energy));
        correlation / (energy + QUIET * WINDOW)
    }
}

/// The energies of the `length` samples from each of the first [`LAGS`] on, as sums of sums of one,
/// two, four and more.
#[inline(always)]
fn energies(window: &[f32; PIECE_MAX], length: usize) -> [f32; LAGS] {
    let mut energies = [0.0; LAGS];
    let mut squares = [0.0; PIECE_MAX];
    for (square, sample) in squares.iter_mut().zip(window) {
        *square = sample * sample;
    }
    let mut spare = [0.0; PIECE_MAX];
    let (mut runs, mut longer) = (&mut squares, &mut spare);
    let (mut run, mut covered) = (1, 0);
    loop {
        if length & run != 0 {
            let more = runs.get(covered..).unwrap_or_default();
            for (energy, more) in energies.iter_mut().zip(more) {
                *energy += more;
            }
            covered += run;
        }
        if covered >= length.min(STEP_MAX) {
            return energies;
        }
        let later = runs.get(run..).unwrap_or_default();
        for (longer, (run, later)) in longer.iter_mut().zip(runs.iter().zip(later)) {
            *longer = run + later;
        }
        std::mem::swap(&mut runs, &mut longer);
        run *= 2;
    }
}
