//! What encoder and decoder remember of one sub-band: the predictor and the quantizer's scale.

use super::saturate;
use super::tables::INVERSE_LOG;

/// Zeros of the predictor.
const ZEROS: usize = 6;

/// One sub-band's adaptive differential coder (G.722 §3.5 and §3.6, blocks 3 and 4). Both sides
/// adapt to the same received code, so that they stay alike.
#[derive(Clone, Debug)]
pub(super) struct Band {
    /// The prediction of the next sample, and the part of it that the zeros make.
    estimate: i32,
    zeros_estimate: i32,
    /// Coefficients of the predictor: two poles, six zeros.
    poles: [i32; 2],
    zeros: [i32; ZEROS],
    /// The last two reconstructed samples, and the same without what the poles made; newest first.
    reconstructed: [i32; 2],
    partial: [i32; 2],
    /// The last quantized differences, newest first.
    differences: [i32; ZEROS],
    /// Logarithm of the scale, and the quantizer's step that it stands for.
    scale: i32,
    step: i32,
}

impl Band {
    /// The lower band at a stream's start (table 12).
    pub(super) fn low() -> Self {
        Self::with_step(32)
    }

    /// The upper band at a stream's start (table 12).
    pub(super) fn high() -> Self {
        Self::with_step(8)
    }

    fn with_step(step: i32) -> Self {
        Self {
            estimate: 0,
            zeros_estimate: 0,
            poles: [0; 2],
            zeros: [0; ZEROS],
            reconstructed: [0; 2],
            partial: [0; 2],
            differences: [0; ZEROS],
            scale: 0,
            step,
        }
    }

    #[inline]
    pub(super) fn estimate(&self) -> i32 {
        self.estimate
    }

    #[inline]
    pub(super) fn step(&self) -> i32 {
        self.step
    }

    /// Moves the quantizer's scale (blocks LOGSCL and SCALEL, LOGSCH and SCALEH).
    #[inline]
    pub(super) fn rescale(&mut self, log_step: i32, most: i32, shift: i32) {
        self.scale = (((self.scale * 127) >> 7) + log_step).clamp(0, most);
        let fraction = INVERSE_LOG[((self.scale >> 6) & 31) as usize];
        let down = shift - (self.scale >> 11);
        let step = if down < 0 {
            fraction << -down
        } else {
            fraction >> down
        };
        self.step = step << 2;
    }

    /// Takes the quantized difference of the sample that was predicted, adapts, and predicts the
    /// next one (block 4).
    #[inline]
    pub(super) fn predict(&mut self, difference: i32) {
        let reconstructed = saturate(self.estimate + difference);
        let partial = saturate(self.zeros_estimate + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];
        let [a1, a2] = self.poles;
        let [r1, r2] = self.reconstructed;
        let poles_estimate = saturate(multiply(a1, double(r1)) + multiply(a2, double(r2)));
        // The oldest first, as the recommendation adds them up: each sum may saturate.
        let pairs = self.zeros.iter().zip(&self.differences).rev();
        self.zeros_estimate = pairs.fold(0, |sum, (&zero, &difference)| {
            saturate(sum + multiply(zero, double(difference)))
        });
        self.estimate = saturate(poles_estimate + self.zeros_estimate);
    }

    /// Blocks UPPOL2 and UPPOL1.
    #[inline]
    fn adapt_poles(&mut self, partial: i32) {
        let [a1, a2] = self.poles;
        let same = |before: i32| (partial < 0) == (before < 0);
        let [p1, p2] = self.partial;
        let pull = saturate(a1 << 2);
        let pull = if same(p1) { saturate(-pull) } else { pull };
        let lean = if same(p2) { 128 } else { -128 };
        let second = saturate(saturate((pull >> 7) + lean) + multiply(a2, 32_512));
        let second = second.clamp(-12_288, 12_288);
        let lean = if same(p1) { 192 } else { -192 };
        let first = saturate(lean + multiply(a1, 32_640));
        let bound = saturate(15_360 - second);
        self.poles = [first.clamp(-bound, bound), second];
    }

    /// Block UPZERO.
    #[inline]
    fn adapt_zeros(&mut self, difference: i32) {
        let weight = if difference == 0 { 0 } else { 128 };
        for (zero, before) in self.zeros.iter_mut().zip(&self.differences) {
            let lean = if (*before < 0) == (difference < 0) {
                weight
            } else {
                -weight
            };
            *zero = saturate(lean + multiply(*zero, 32_640));
        }
        self.differences.copy_within(..ZEROS - 1, 1);
        self.differences[0] = difference;
    }
}

/// The product of two fractions of 15 bits.
#[inline]
fn multiply(a: i32, b: i32) -> i32 {
    (a * b) >> 15
}

#[inline]
fn double(value: i32) -> i32 {
    saturate(2 * value)
}
