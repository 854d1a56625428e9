//! The search for an echo's delay, among all that it may have.

use fearless_simd::Simd;

use super::products::{BLOCK, add_products};
use super::reference::{PIECE_MAX, Piece};
use super::short::Short;
use super::window::{FADES, WINDOW};
use super::{LAGS, QUIET, STEP_MAX};

/// The delays, and so many more that whole blocks are summed.
pub(super) const PADDED: usize = LAGS.next_multiple_of(BLOCK);
/// Delays that are compared side by side.
const LANES: usize = 8;

/// The running correlation of what is heard with what was sent, for every delay.
#[derive(Debug)]
pub(super) struct Search {
    /// By delay, the longest first: so both run forward in memory.
    correlation: [Short; LAGS],
    /// What is left of the correlation since it was last written.
    left: f32,
    heard_energy: f32,
}

impl Search {
    pub(super) fn new() -> Self {
        Self {
            correlation: [Short::default(); LAGS],
            left: 1.0,
            heard_energy: 0.0,
        }
    }

    pub(super) fn clear(&mut self) {
        if self.heard_energy > 0.0 {
            self.correlation.fill(Short::default());
            (self.left, self.heard_energy) = (1.0, 0.0);
        }
    }

    /// Adds `heard`, whose counterpart at delay `LAGS − 1 − k` lies at `window[k..]`.
    #[inline(always)]
    pub(super) fn step<S: Simd>(&mut self, simd: S, heard: &[f32], window: &[f32; PIECE_MAX]) {
        let heard = heard.get(..STEP_MAX).unwrap_or(heard);
        self.rest(heard.len());
        // Each sample counts for less the longer ago it was heard, as in the energy of what was sent.
        let mut fading = [0.0; STEP_MAX];
        let fading = fading.get_mut(..heard.len()).unwrap_or_default();
        for ((fading, sample), fade) in fading.iter_mut().rev().zip(heard.iter().rev()).zip(&FADES)
        {
            *fading = sample * fade;
        }
        let mut correlation = [0.0; PADDED];
        for (sum, kept) in correlation.iter_mut().zip(&self.correlation) {
            *sum = kept.float() * self.left;
        }
        add_products(simd, &mut correlation, fading, window);
        for (kept, sum) in self.correlation.iter_mut().zip(correlation) {
            *kept = Short::of(sum);
        }
        self.left = 1.0;
        let energies = heard.iter().zip(&*fading);
        self.heard_energy += energies.map(|(s, fading)| s * fading).sum::<f32>();
    }

    /// Goes on by so many samples in which there is nothing to compare.
    #[inline(always)]
    pub(super) fn rest(&mut self, samples: usize) {
        let fade = FADES.get(samples).copied().unwrap_or(0.0);
        self.left *= fade;
        self.heard_energy *= fade;
    }

    /// The strongest correlation among the delays in the range, with its delay.
    #[inline(always)]
    pub(super) fn peak(&self, sent: &Piece<'_>, shortest: usize, longest: usize) -> (f32, usize) {
        let from = LAGS.saturating_sub(longest + 1);
        let to = LAGS.saturating_sub(shortest);
        let correlation = self.correlation.get(from..to).unwrap_or_default();
        let energy = sent.energies().get(from..to).unwrap_or_default();
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
        let strength = self.left * (best / self.heard_energy.max(1.0)).sqrt();
        (strength, LAGS - 1 - (from + at).min(LAGS - 1))
    }

    /// How much of what was sent comes back at a delay.
    pub(super) fn gain(&self, sent: &Piece<'_>, delay: usize) -> f32 {
        let at = LAGS - 1 - delay.min(LAGS - 1);
        let at = |kept: &[Short]| kept.get(at).map_or(0.0, |value| value.float());
        let (correlation, energy) = (at(&self.correlation), at(sent.energies()));
        self.left * correlation / (energy + QUIET * WINDOW)
    }
}
