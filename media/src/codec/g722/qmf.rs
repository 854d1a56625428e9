//! The quadrature mirror filters that part the sound at 4 kHz and join it again (G.722 §3.1, §4.4).

use super::saturate;
use super::tables::QMF;

/// Samples that a filter looks back on: all of its 24 but the newest two.
const PAST: usize = 22;
/// Samples that are filtered at once.
const BLOCK: usize = 160;

/// Parts sound into its two bands.
#[derive(Clone, Debug, Default)]
pub(super) struct Analysis {
    past: [i16; PAST],
}

/// Joins the two bands.
#[derive(Clone, Debug, Default)]
pub(super) struct Synthesis {
    /// Sums and differences of the bands in turn, 16 bits each.
    past: [i16; PAST],
}

impl Analysis {
    /// Hands `each` pair of samples, filtered and thinned, to be the lower and the upper band's
    /// next sample (15 bits).
    #[inline]
    pub(super) fn run(&mut self, samples: &[i16], mut each: impl FnMut(i32, i32)) {
        for block in samples.chunks(BLOCK) {
            let mut line = [0; PAST + BLOCK];
            let (past, new) = line.split_at_mut(PAST);
            past.copy_from_slice(&self.past);
            new.iter_mut().zip(block).for_each(|(to, from)| *to = *from);
            let pairs = block.len() / 2;
            for window in line.windows(PAST + 2).step_by(2).take(pairs) {
                let (odd, even) = sums(window);
                each((even + odd) >> 14, (even - odd) >> 14);
            }
            let kept = line.get(2 * pairs..2 * pairs + PAST).unwrap_or_default();
            self.past
                .iter_mut()
                .zip(kept)
                .for_each(|(to, from)| *to = *from);
        }
    }
}

impl Synthesis {
    /// Fills `out` with two samples for each pair of the bands' samples (15 bits).
    #[inline]
    pub(super) fn run(&mut self, bands: impl Iterator<Item = (i32, i32)>, out: &mut [i16]) {
        let mut bands = bands;
        for block in out.chunks_mut(BLOCK) {
            let mut line = [0; PAST + BLOCK];
            let (past, new) = line.split_at_mut(PAST);
            past.copy_from_slice(&self.past);
            let mut pairs = 0;
            for (to, (low, high)) in new
                .chunks_exact_mut(2)
                .zip(bands.by_ref().take(block.len() / 2))
            {
                to.copy_from_slice(&[saturate(low + high) as i16, saturate(low - high) as i16]);
                pairs += 1;
            }
            let windows = line.windows(PAST + 2).step_by(2).take(pairs);
            for (to, window) in block.chunks_exact_mut(2).zip(windows) {
                let (odd, even) = sums(window);
                to.copy_from_slice(&[saturate(even >> 11) as i16, saturate(odd >> 11) as i16]);
            }
            let kept = line.get(2 * pairs..2 * pairs + PAST).unwrap_or_default();
            self.past
                .iter_mut()
                .zip(kept)
                .for_each(|(to, from)| *to = *from);
            if pairs < block.len() / 2 {
                return;
            }
        }
    }
}

/// Weighs 24 samples: those at even places by the coefficients, those at odd places by the
/// same in reverse.
#[inline]
fn sums(window: &[i16]) -> (i32, i32) {
    let (mut odd, mut even) = (0, 0);
    for (pair, (forward, backward)) in window.chunks_exact(2).zip(QMF.iter().zip(QMF.iter().rev()))
    {
        odd += i32::from(pair[0]) * forward;
        even += i32::from(pair[1]) * backward;
    }
    (odd, even)
}
