//! Which instructions the network is computed with: the same code, compiled for each.

use fearless_simd::{Level, dispatch, prelude::*};

use super::network::{Network, Window};

/// Instructions that this processor has.
#[derive(Clone, Copy, Debug)]
pub struct Instructions(Level);

impl Instructions {
    /// Gives the fastest that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self(Level::new())
    }

    /// Gives all that the network may be computed with, the fastest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let best = Level::new();
        #[cfg(target_arch = "x86_64")]
        let lesser = [
            best.as_avx2().map(Simd::level),
            best.as_sse2().map(Simd::level),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let lesser: [Option<Level>; 0] = [];
        let mut all = vec![Self(best)];
        for level in lesser.into_iter().flatten().map(Self) {
            if all.last().is_some_and(|last| last.lanes() > level.lanes()) {
                all.push(level);
            }
        }
        all
    }

    /// How many floats a register holds.
    pub(super) fn lanes(self) -> usize {
        dispatch!(self.0, simd => lanes(simd))
    }

    /// Judges windows by a network that was laid out for these instructions.
    pub(super) fn judge(self, network: &Network, windows: &mut [Window]) {
        dispatch!(self.0, simd => network.judge(simd, windows));
    }
}

#[inline(always)]
fn lanes<S: Simd>(_: S) -> usize {
    S::f32s::LEN
}
