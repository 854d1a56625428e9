//! Sums of products at many places side by side: correlations, and filters.

use fearless_simd::{Simd, prelude::*};

/// Registers in which sums are held at once.
const SUMS: usize = 4;
/// Sums come in so many: as many as fill those registers, however wide they are.
pub(super) const BLOCK: usize = SUMS * 16;

/// Adds to the sum at each place the products of the factors with what lies in `line` from that
/// place on. Each sum is taken in the same order on every processor. The sums are a multiple of
/// [`BLOCK`]; the line is as long as they and the factors.
#[inline(always)]
pub(super) fn add_products<S: Simd>(simd: S, sums: &mut [f32], factors: &[f32], line: &[f32]) {
    let lanes = S::f32s::LEN;
    for (block, sums) in sums.chunks_exact_mut(SUMS * lanes).enumerate() {
        let line = line.get(block * SUMS * lanes..).unwrap_or_default();
        let part = |n: usize| n * lanes..(n + 1) * lanes;
        let mut held: [S::f32s; SUMS] =
            std::array::from_fn(|n| S::f32s::from_slice(simd, &sums[part(n)]));
        for (factor, line) in factors.iter().zip(line.windows(SUMS * lanes)) {
            for (n, held) in held.iter_mut().enumerate() {
                *held += S::f32s::from_slice(simd, &line[part(n)]) * *factor;
            }
        }
        for (held, sums) in held.into_iter().zip(sums.chunks_exact_mut(lanes)) {
            held.store_slice(sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    #[test]
    fn each_place_gets_the_products_with_what_follows_it() {
        let line: [f32; BLOCK + 3] = std::array::from_fn(|n| n as f32);
        let mut sums = [1.0; BLOCK];
        let factors = [1.0, 10.0, 100.0];
        dispatch!(Level::new(), simd => add_products(simd, &mut sums, &factors, &line));
        for (place, sum) in sums.into_iter().enumerate() {
            let n = place as f32;
            assert_eq!(sum, 1.0 + n + 10.0 * (n + 1.0) + 100.0 * (n + 2.0));
        }
    }
}
