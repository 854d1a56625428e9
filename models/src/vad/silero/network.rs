//! Silero's network: magnitudes of the spectrum, four convolutions, a recurrent cell (LSTM), and a
//! last sum that is the probability of speech.

use fearless_simd::{Simd, prelude::*};

use super::layer::{Active, Halve, Last, Layer, Point, Same, rectify};
use super::spectrum::{LINE, MOMENTS, PLACES, Spectrum, bins};
use super::weights::Parameters;

/// Numbers of the recurrent state, twice: what was put out, and what is remembered.
pub(super) const WIDTH: usize = 128;
/// Outputs of the two convolutions in the middle.
pub(super) const NARROW: usize = 64;
/// The cell's gates: input, forget, candidate, output.
pub(super) const GATES: usize = 4 * WIDTH;

/// The weights, laid out for the kernels.
pub(super) struct Network {
    spectrum: Spectrum,
    /// The places of the spectrum that hold a frequency.
    places: Active,
    first: Layer<Same, 3, PLACES, WIDTH>,
    second: Layer<Halve, 3, WIDTH, NARROW>,
    third: Layer<Last, 2, NARROW, NARROW>,
    fourth: Layer<Point, 1, NARROW, WIDTH>,
    /// From the features, then what the cell put out last.
    cell: Layer<Point, 1, { 2 * WIDTH }, GATES>,
    head: [f32; WIDTH],
    head_bias: f32,
}

/// One call's window on its way through the network.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Window {
    /// The end of the window before, the window, and its end once more in reverse.
    pub(super) line: [f32; LINE],
    magnitudes: [[f32; PLACES]; MOMENTS],
    first: [[f32; WIDTH]; MOMENTS],
    second: [[f32; NARROW]; MOMENTS / 2],
    third: [[f32; NARROW]; 1],
    features: [[f32; WIDTH]; 1],
    /// The features, and behind them what the cell put out last.
    joined: [[f32; 2 * WIDTH]; 1],
    gates: [[f32; GATES]; 1],
    /// What the cell put out, and what it remembers.
    pub(super) output: [f32; WIDTH],
    pub(super) memory: [f32; WIDTH],
    /// Its call begins after silence: what that leaves is to be remembered first.
    pub(super) after_silence: bool,
    pub(super) probability: f32,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            line: [0.0; LINE],
            magnitudes: [[0.0; PLACES]; MOMENTS],
            first: [[0.0; WIDTH]; MOMENTS],
            second: [[0.0; NARROW]; MOMENTS / 2],
            third: [[0.0; NARROW]; 1],
            features: [[0.0; WIDTH]; 1],
            joined: [[0.0; 2 * WIDTH]; 1],
            gates: [[0.0; GATES]; 1],
            output: [0.0; WIDTH],
            memory: [0.0; WIDTH],
            after_silence: false,
            probability: 0.0,
        }
    }
}

/// Does the same with four windows at once, and with the three, two or one that are left: a weight
/// that is read serves them all.
macro_rules! in_groups {
    ($windows:expr, $group:ident => $work:expr) => {
        in_groups!([4, 3, 2, 1], $windows, $group => $work)
    };
    ([$($size:literal),*], $windows:expr, $group:ident => $work:expr) => {{
        let rest = &mut *$windows;
        $(
            let (groups, rest) = rest.as_chunks_mut::<$size>();
            for $group in groups {
                $work
            }
        )*
        // Groups of one leave nothing.
        debug_assert!(rest.is_empty());
    }};
}

impl Network {
    /// Lays out the model's parameters for registers of `lanes` floats.
    pub(super) fn new(lanes: usize, model: &Parameters) -> Self {
        let bins = bins();
        let mut places = Active::none();
        places.add(0..PLACES, |place| {
            bins.get(place).is_some_and(Option::is_some)
        });
        Self {
            spectrum: Spectrum::new(lanes, &model.window),
            places,
            first: Layer::new(lanes, model.first.bias, |output, place, tap| {
                let bin = bins.get(place).copied().flatten();
                bin.map_or(0.0, |bin| model.first.weight(output, bin, tap))
            }),
            second: Layer::new(lanes, model.second.bias, |output, input, tap| {
                model.second.weight(output, input, tap)
            }),
            // What was before the first moment is padding, and so is what comes behind the last.
            third: Layer::new(lanes, model.third.bias, |output, input, tap| {
                model.third.weight(output, input, tap + 1)
            }),
            fourth: Layer::new(lanes, model.fourth.bias, |output, input, _| {
                model.fourth.weight(output, input, 1)
            }),
            cell: Layer::new(lanes, model.gates_bias, |output, input, _| {
                let (weights, input) = match input.checked_sub(WIDTH) {
                    Some(input) => (&model.recurrent, input),
                    None => (&model.features, input),
                };
                weights
                    .get(output * WIDTH + input)
                    .copied()
                    .unwrap_or_default()
            }),
            head: model.head,
            head_bias: model.head_bias,
        }
    }

    /// Judges each window.
    #[inline(always)]
    pub(super) fn judge<S: Simd>(&self, simd: S, windows: &mut [Window]) {
        for window in &mut *windows {
            let Window {
                line, magnitudes, ..
            } = window;
            self.spectrum.run(simd, line, magnitudes);
        }
        // Four moments of one window are as many sums as there are registers for.
        for window in &mut *windows {
            let pair = (&window.magnitudes, &mut window.first);
            self.first.run(simd, self.places.inputs(), [pair]);
        }
        in_groups!(windows, group => self.narrow(simd, group));
        in_groups!(windows, group => self.remember(simd, group));
        for window in windows {
            window.step(simd);
            window.probability = self.probability(simd, &window.output);
        }
    }

    /// Runs the convolutions behind the first.
    #[inline(always)]
    fn narrow<S: Simd, const N: usize>(&self, simd: S, group: &mut [Window; N]) {
        let active = rectify(simd, group.each_mut().map(|window| &mut window.first));
        let pairs = group.each_mut().map(|w| (&w.first, &mut w.second));
        self.second.run(simd, active.inputs(), pairs);
        let active = rectify(simd, group.each_mut().map(|window| &mut window.second));
        let pairs = group.each_mut().map(|w| (&w.second, &mut w.third));
        self.third.run(simd, active.inputs(), pairs);
        let active = rectify(simd, group.each_mut().map(|window| &mut window.third));
        let pairs = group.each_mut().map(|w| (&w.third, &mut w.features));
        self.fourth.run(simd, active.inputs(), pairs);
    }

    /// Runs the recurrent cell's sums.
    #[inline(always)]
    fn remember<S: Simd, const N: usize>(&self, simd: S, group: &mut [Window; N]) {
        let mut active = rectify(simd, group.each_mut().map(|window| &mut window.features));
        active.add(WIDTH..2 * WIDTH, |_| true);
        for window in &mut *group {
            let parts = [&window.features[0], &window.output];
            let joined = window.joined.as_flattened_mut().as_chunks_mut::<WIDTH>().0;
            for (joined, part) in joined.iter_mut().zip(parts) {
                *joined = *part;
            }
        }
        let pairs = group.each_mut().map(|w| (&w.joined, &mut w.gates));
        self.cell.run(simd, active.inputs(), pairs);
    }

    /// Gives the probability of speech that the cell's output means.
    #[inline(always)]
    fn probability<S: Simd>(&self, simd: S, output: &[f32; WIDTH]) -> f32 {
        let zero = S::f32s::splat(simd, 0.0);
        let mut sums = zero;
        let weights = self.head.chunks_exact(S::f32s::LEN);
        for (outputs, weights) in output.chunks_exact(S::f32s::LEN).zip(weights) {
            let outputs = S::f32s::from_slice(simd, outputs).max(zero);
            sums = outputs.mul_add(S::f32s::from_slice(simd, weights), sums);
        }
        let sum = self.head_bias + sums.as_slice().iter().sum::<f32>();
        1.0 / (1.0 + (-sum).exp())
    }
}

impl Window {
    /// Steps the cell by its gates: what it remembers and what it puts out.
    #[inline(always)]
    fn step<S: Simd>(&mut self, simd: S) {
        let [gates] = &self.gates;
        let (input, rest) = gates.split_at(WIDTH);
        let (forget, rest) = rest.split_at(WIDTH);
        let (candidate, output) = rest.split_at(WIDTH);
        for begin in (0..WIDTH).step_by(S::f32s::LEN) {
            let units = begin..begin + S::f32s::LEN;
            let input = S::f32s::from_slice(simd, &input[units.clone()]);
            let forget = S::f32s::from_slice(simd, &forget[units.clone()]);
            let candidate = S::f32s::from_slice(simd, &candidate[units.clone()]);
            let output = S::f32s::from_slice(simd, &output[units.clone()]);
            let before = S::f32s::from_slice(simd, &self.memory[units.clone()]);
            let new = sigmoid(simd, input) * tanh(simd, candidate);
            let memory = sigmoid(simd, forget).mul_add(before, new);
            memory.store_slice(&mut self.memory[units.clone()]);
            let output = sigmoid(simd, output) * tanh(simd, memory);
            output.store_slice(&mut self.output[units]);
        }
    }
}

/// The logistic function, within 2e-7.
#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = S::f32s::splat(simd, 1.0);
    one / (exp(simd, -x) + 1.0)
}

/// The hyperbolic tangent, within 3e-7.
#[inline(always)]
fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (one, two) = (S::f32s::splat(simd, 1.0), S::f32s::splat(simd, 2.0));
    one - two / (exp(simd, x + x) + 1.0)
}

/// The exponential function of −87 to 87, within 2e-7 of its value; what lies beyond is taken as
/// that.
///
/// e^x is 2^n e^r with |r| at most half of ln 2, and e^r a polynomial (that of Cephes' `expf`).
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// ln 2 in two parts, the first of few bits.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const POWERS: [f32; 6] = [
        1.987_569_1e-4,
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_6e-1,
        0.5,
    ];
    let limit = S::f32s::splat(simd, 87.0);
    let x = x.max(-limit).min(limit);
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], x));
    let mut sum = S::f32s::splat(simd, POWERS[0]);
    for power in &POWERS[1..] {
        sum = sum.mul_add(r, *power);
    }
    let sum = sum.mul_add(r * r, r + 1.0);
    // 2^n, its exponent put together from the integer's bits.
    let exponent: S::i32s = (n + 127.0).to_int();
    let power: S::f32s = (exponent << 23).bitcast();
    sum * power
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    #[inline(always)]
    fn curves<S: Simd>(simd: S, x: f32) -> [f32; 2] {
        let x = S::f32s::splat(simd, x);
        let (sigmoid, tanh) = (sigmoid(simd, x), tanh(simd, x));
        [sigmoid.as_slice()[0], tanh.as_slice()[0]]
    }

    #[test]
    fn the_curves_are_those_of_the_library() {
        for n in -20_000..=20_000_i16 {
            let x = f32::from(n) / 200.0;
            let exact = f64::from(x);
            let wanted = [1.0 / (1.0 + (-exact).exp()), exact.tanh()];
            let got = dispatch!(Level::new(), simd => curves(simd, x));
            for (got, wanted) in got.iter().zip(wanted) {
                let off = (f64::from(*got) - wanted).abs();
                assert!(off < 3e-7, "{got} for {wanted} of {x}");
            }
        }
        for x in [f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30] {
            let [sigmoid, tanh] = dispatch!(Level::new(), simd => curves(simd, x));
            assert!((sigmoid - f32::from(u8::from(x > 0.0))).abs() < 1e-30);
            assert_eq!(tanh, x.signum());
        }
    }
}
