//! One layer of the network: each output is its bias and the sum of the inputs, each times its
//! weight, over some moments in time.
//!
//! The weights lie in panels of two registers of outputs. By four windows, or four moments of one,
//! these are eight sums: they stay in registers while all inputs go by, and are as many as keep the
//! multipliers busy.

use fearless_simd::{Simd, prelude::*};

/// Bytes of the widest register, which is also a cache line: what lies across two is read twice.
const ALIGNMENT: usize = 64;
/// Registers of outputs in a panel.
const REGISTERS: usize = 2;

/// A panel's outputs.
type Panel<S> = [<S as Simd>::f32s; REGISTERS];

/// How a convolution of `TAPS` leads from `IN` moments to `OUT`, written out so that the sums stay
/// in registers. Taps that only ever meet the padding are left out.
pub(super) trait Convolution<const TAPS: usize, const IN: usize, const OUT: usize> {
    /// Adds what one input at its moments gives to a panel's sums.
    fn weigh<S: Simd>(sums: &mut [Panel<S>; OUT], weights: &[Panel<S>; TAPS], input: [f32; IN]);
}

/// Three taps over four moments, padded to four again.
pub(super) struct Same;
/// Three taps over four moments, padded, at every second of them.
pub(super) struct Halve;
/// The middle and the last tap over two moments: the first meets the padding.
pub(super) struct Last;
/// One moment.
pub(super) struct Point;

#[inline(always)]
fn add<S: Simd>([a, b]: &mut Panel<S>, [weights_a, weights_b]: &Panel<S>, input: f32) {
    *a = weights_a.mul_add(input, *a);
    *b = weights_b.mul_add(input, *b);
}

impl Convolution<3, 4, 4> for Same {
    #[inline(always)]
    fn weigh<S: Simd>(
        [a, b, c, d]: &mut [Panel<S>; 4],
        [before, at, behind]: &[Panel<S>; 3],
        [p, q, r, s]: [f32; 4],
    ) {
        add::<S>(b, before, p);
        add::<S>(c, before, q);
        add::<S>(d, before, r);
        add::<S>(a, at, p);
        add::<S>(b, at, q);
        add::<S>(c, at, r);
        add::<S>(d, at, s);
        add::<S>(a, behind, q);
        add::<S>(b, behind, r);
        add::<S>(c, behind, s);
    }
}

impl Convolution<3, 4, 2> for Halve {
    #[inline(always)]
    fn weigh<S: Simd>(
        [a, b]: &mut [Panel<S>; 2],
        [before, at, behind]: &[Panel<S>; 3],
        [p, q, r, s]: [f32; 4],
    ) {
        add::<S>(b, before, q);
        add::<S>(a, at, p);
        add::<S>(b, at, r);
        add::<S>(a, behind, q);
        add::<S>(b, behind, s);
    }
}

impl Convolution<2, 2, 1> for Last {
    #[inline(always)]
    fn weigh<S: Simd>([a]: &mut [Panel<S>; 1], [at, behind]: &[Panel<S>; 2], [p, q]: [f32; 2]) {
        add::<S>(a, at, p);
        add::<S>(a, behind, q);
    }
}

impl Convolution<1, 1, 1> for Point {
    #[inline(always)]
    fn weigh<S: Simd>([a]: &mut [Panel<S>; 1], [at]: &[Panel<S>; 1], [p]: [f32; 1]) {
        add::<S>(a, at, p);
    }
}

/// Floats that begin where a cache line does.
struct Aligned {
    floats: Vec<f32>,
    begin: usize,
}

impl Aligned {
    fn new(floats: impl ExactSizeIterator<Item = f32>) -> Self {
        let spare = ALIGNMENT / size_of::<f32>();
        let mut aligned: Vec<f32> = Vec::with_capacity(floats.len() + spare);
        let begin = aligned.as_ptr().align_offset(ALIGNMENT).min(spare);
        aligned.resize(begin, 0.0);
        aligned.extend(floats);
        Self {
            floats: aligned,
            begin,
        }
    }

    #[inline(always)]
    fn get(&self) -> &[f32] {
        self.floats.get(self.begin..).unwrap_or_default()
    }
}

/// A window's inputs and outputs.
type Way<'a, const INPUTS: usize, const IN: usize, const OUTPUTS: usize, const OUT: usize> =
    (&'a [[f32; INPUTS]; IN], &'a mut [[f32; OUTPUTS]; OUT]);

/// A layer of `INPUTS` inputs and `OUTPUTS` outputs at each moment.
pub(super) struct Layer<C, const TAPS: usize, const INPUTS: usize, const OUTPUTS: usize> {
    /// By panel, input, tap and output within the panel.
    weights: Aligned,
    bias: [f32; OUTPUTS],
    convolution: std::marker::PhantomData<C>,
}

impl<C, const TAPS: usize, const INPUTS: usize, const OUTPUTS: usize>
    Layer<C, TAPS, INPUTS, OUTPUTS>
{
    /// Lays out the weights, given by output, input and tap, for registers of `lanes` floats.
    pub(super) fn new(
        lanes: usize,
        bias: [f32; OUTPUTS],
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let wide = REGISTERS * lanes;
        let weights = (0..OUTPUTS * INPUTS * TAPS).map(|index| {
            let (rest, lane) = (index / wide, index % wide);
            let (rest, tap) = (rest / TAPS, rest % TAPS);
            let (panel, input) = (rest / INPUTS, rest % INPUTS);
            weight(panel * wide + lane, input, tap)
        });
        Self {
            weights: Aligned::new(weights),
            bias,
            convolution: std::marker::PhantomData,
        }
    }

    /// Computes the outputs of `N` windows from those of their inputs that `active` names; the
    /// others are zero.
    // The compiler makes more of indices that it can count to their end than of iterators: a tenth
    // of the time.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    pub(super) fn run<S: Simd, const IN: usize, const OUT: usize, const N: usize>(
        &self,
        simd: S,
        active: &[u16],
        mut windows: [Way<'_, INPUTS, IN, OUTPUTS, OUT>; N],
    ) where
        C: Convolution<TAPS, IN, OUT>,
    {
        let wide = REGISTERS * S::f32s::LEN;
        let panels = self.weights.get().chunks_exact(wide * TAPS * INPUTS);
        for (number, (weights, bias)) in panels.zip(self.bias.chunks_exact(wide)).enumerate() {
            let mut sums = [[load(simd, bias); OUT]; N];
            for &input in active {
                let input = usize::from(input);
                let begin = input * wide * TAPS;
                let Some(weights) = weights.get(begin..begin + wide * TAPS) else {
                    break;
                };
                if input >= INPUTS {
                    break;
                }
                let mut taps = [[S::f32s::splat(simd, 0.0); REGISTERS]; TAPS];
                for tap in 0..TAPS {
                    taps[tap] = load(simd, &weights[tap * wide..(tap + 1) * wide]);
                }
                for n in 0..N {
                    let mut moments = [0.0; IN];
                    for moment in 0..IN {
                        moments[moment] = windows[n].0[moment][input];
                    }
                    C::weigh::<S>(&mut sums[n], &taps, moments);
                }
            }
            let place = number * wide..(number + 1) * wide;
            for (window, sums) in windows.iter_mut().zip(&sums) {
                for (outputs, sums) in window.1.iter_mut().zip(sums) {
                    store::<S>(sums, &mut outputs[place.clone()]);
                }
            }
        }
    }
}

#[inline(always)]
fn load<S: Simd>(simd: S, floats: &[f32]) -> Panel<S> {
    let (a, b) = floats.split_at(S::f32s::LEN);
    [S::f32s::from_slice(simd, a), S::f32s::from_slice(simd, b)]
}

#[inline(always)]
fn store<S: Simd>([a, b]: &Panel<S>, floats: &mut [f32]) {
    let (to_a, to_b) = floats.split_at_mut(S::f32s::LEN);
    a.store_slice(to_a);
    b.store_slice(to_b);
}

/// Which inputs of a layer are not zero.
pub(super) struct Active {
    inputs: [u16; 256],
    len: usize,
}

impl Active {
    /// Names none.
    #[inline(always)]
    pub(super) fn none() -> Self {
        Self {
            inputs: [0; 256],
            len: 0,
        }
    }

    /// Adds those for which `is_active` holds. No branch hangs on it: it is as good as random.
    #[inline(always)]
    pub(super) fn add(
        &mut self,
        inputs: std::ops::Range<usize>,
        is_active: impl Fn(usize) -> bool,
    ) {
        for input in inputs {
            if let Some(next) = self.inputs.get_mut(self.len) {
                *next = input as u16;
            }
            self.len += usize::from(is_active(input));
        }
    }

    /// Gives their numbers.
    #[inline(always)]
    pub(super) fn inputs(&self) -> &[u16] {
        self.inputs.get(..self.len).unwrap_or_default()
    }
}

/// Silences what is negative (ReLU) in the outputs of `N` windows, and tells which of them are not
/// zero in one of the windows at one of the moments.
#[inline(always)]
pub(super) fn rectify<S: Simd, const OUTPUTS: usize, const OUT: usize, const N: usize>(
    simd: S,
    windows: [&mut [[f32; OUTPUTS]; OUT]; N],
) -> Active {
    let mut sums = [0.0_f32; OUTPUTS];
    let zero = S::f32s::splat(simd, 0.0);
    for outputs in windows {
        for moment in outputs {
            let registers = moment.chunks_exact_mut(S::f32s::LEN);
            for (outputs, sums) in registers.zip(sums.chunks_exact_mut(S::f32s::LEN)) {
                let rectified = S::f32s::from_slice(simd, outputs).max(zero);
                rectified.store_slice(outputs);
                (S::f32s::from_slice(simd, sums) + rectified).store_slice(sums);
            }
        }
    }
    let mut active = Active::none();
    active.add(0..OUTPUTS, |output| sums[output] > 0.0);
    active
}
