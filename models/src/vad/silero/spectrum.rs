//! How loud each frequency is in four overlapping pieces of a window: a Fourier transform over 256
//! samples, of which only magnitudes count.
//!
//! 256 is 16 times 16. The sixteen transforms of the first step run side by side, a lane each, and
//! those of the second are a matrix product, so nothing is ever shuffled; the frequencies come out
//! in an order of their own ([`bins`]), which the next layer's weights take over.

use fearless_simd::{Simd, prelude::*};

use super::layer::{Layer, Point};

/// Samples that one transform sees.
pub(super) const SPAN: usize = 256;
/// Frequencies of it.
pub(super) const BINS: usize = SPAN / 2 + 1;
/// Samples between two transforms.
const HOP: usize = 128;
/// Transforms in a window.
pub(super) const MOMENTS: usize = 4;
/// Samples of a window with what is put before and behind it.
pub(super) const LINE: usize = (MOMENTS - 1) * HOP + SPAN;
/// Lanes of the first step, and the length of its transforms.
const SIDE: usize = 16;
/// Frequencies of a transform over [`SIDE`] real samples.
const ROWS: usize = SIDE / 2 + 1;
/// Places for frequencies: the second step gives some twice.
pub(super) const PLACES: usize = ROWS * SIDE;

const COS_1: f32 = 0.923_879_5;
const COS_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
const COS_3: f32 = 0.382_683_43;

/// Gives cosine and sine of `n` of `of` parts of a turn.
fn turn(n: usize, of: usize) -> (f32, f32) {
    let angle = std::f64::consts::TAU * (n % of) as f64 / of as f64;
    (angle.cos() as f32, angle.sin() as f32)
}

/// Gives what weight sample `n` has in frequency `bin`'s real and imaginary part, before the window.
pub(super) fn basis(bin: usize, n: usize) -> (f32, f32) {
    let (cos, sin) = turn(bin * n, SPAN);
    (cos, -sin)
}

/// Tells which frequency lies at each place; none where one comes a second time.
pub(super) fn bins() -> [Option<usize>; PLACES] {
    let mut known = [false; BINS];
    std::array::from_fn(|place| {
        let frequency = place / SIDE + SIDE * (place % SIDE);
        let bin = frequency.min(SPAN - frequency);
        let known = known.get_mut(bin)?;
        (!std::mem::replace(known, true)).then_some(bin)
    })
}

/// The transform's tables.
#[repr(align(64))]
pub(super) struct Spectrum {
    /// The window, by row and lane.
    window: [[f32; SIDE]; SIDE],
    /// Cosine and sine by which the first step's frequency is turned in each lane.
    turns: [[[f32; SIDE]; 2]; ROWS],
    /// From the lanes' real and imaginary parts to the frequencies'.
    second: Layer<Point, 1, { 2 * SIDE }, { 2 * SIDE }>,
}

/// What the second step takes and gives for a row: real parts, then imaginary ones.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Row {
    lanes: [[f32; 2 * SIDE]; 1],
    parts: [[f32; 2 * SIDE]; 1],
}

impl Spectrum {
    /// Makes the tables for a window and registers of `lanes` floats.
    pub(super) fn new(lanes: usize, window: &[f32; SPAN]) -> Self {
        let mut rows = [[0.0; SIDE]; SIDE];
        for (row, samples) in rows.iter_mut().zip(window.as_chunks::<SIDE>().0) {
            *row = *samples;
        }
        let turns = std::array::from_fn(|row| {
            let angle = |lane| turn(row * lane, SPAN);
            [
                std::array::from_fn(|lane| angle(lane).0),
                std::array::from_fn(|lane| angle(lane).1),
            ]
        });
        let second = Layer::new(lanes, [0.0; 2 * SIDE], |output, input, _| {
            let (cos, sin) = turn((output % SIDE) * (input % SIDE), SIDE);
            match (output < SIDE, input < SIDE) {
                (true, true) | (false, false) => cos,
                (true, false) => -sin,
                (false, true) => sin,
            }
        });
        Self {
            window: rows,
            turns,
            second,
        }
    }

    /// Gives the magnitudes of a window.
    #[inline(always)]
    pub(super) fn run<S: Simd>(
        &self,
        simd: S,
        line: &[f32; LINE],
        magnitudes: &mut [[f32; PLACES]; MOMENTS],
    ) {
        let mut rows = [Row::default(); MOMENTS * ROWS];
        let moments = rows.as_chunks_mut::<ROWS>().0.iter_mut();
        for (rows, samples) in moments.zip(line.windows(SPAN).step_by(HOP)) {
            self.first(simd, samples, rows);
        }
        let mut all = [0; 2 * SIDE];
        for (number, input) in all.iter_mut().enumerate() {
            *input = number as u16;
        }
        for rows in rows.as_chunks_mut::<4>().0 {
            let rows = rows.each_mut().map(|row| (&row.lanes, &mut row.parts));
            self.second.run::<S, 1, 1, 4>(simd, &all, rows);
        }
        let places = magnitudes.as_flattened_mut().chunks_exact_mut(SIDE);
        for (places, row) in places.zip(&rows) {
            let (real, imaginary) = row.parts.as_flattened().split_at(SIDE);
            let parts = real.chunks_exact(S::f32s::LEN);
            let parts = parts.zip(imaginary.chunks_exact(S::f32s::LEN));
            for (place, (re, im)) in places.chunks_exact_mut(S::f32s::LEN).zip(parts) {
                let (re, im) = (S::f32s::from_slice(simd, re), S::f32s::from_slice(simd, im));
                re.mul_add(re, im * im).sqrt().store_slice(place);
            }
        }
    }

    /// The first step: transforms each lane's samples and turns what comes out.
    #[inline(always)]
    fn first<S: Simd>(&self, simd: S, samples: &[f32], rows: &mut [Row; ROWS]) {
        for begin in (0..SIDE).step_by(S::f32s::LEN) {
            let lanes = begin..begin + S::f32s::LEN;
            let imaginary_lanes = SIDE + begin..SIDE + begin + S::f32s::LEN;
            let mut column = [S::f32s::splat(simd, 0.0); SIDE];
            let lines = samples.chunks_exact(SIDE).zip(&self.window);
            for (value, (samples, window)) in column.iter_mut().zip(lines) {
                *value = S::f32s::from_slice(simd, &samples[lanes.clone()])
                    * S::f32s::from_slice(simd, &window[lanes.clone()]);
            }
            let (real, imaginary) = transform::<S>(simd, &column);
            for row in 0..ROWS {
                let (re, im) = (real[row], imaginary[row]);
                let [cos, sin] = &self.turns[row];
                let cos = S::f32s::from_slice(simd, &cos[lanes.clone()]);
                let sin = S::f32s::from_slice(simd, &sin[lanes.clone()]);
                let [to] = &mut rows[row].lanes;
                re.mul_sub(cos, im * sin)
                    .store_slice(&mut to[lanes.clone()]);
                re.mul_add(sin, im * cos)
                    .store_slice(&mut to[imaginary_lanes.clone()]);
            }
        }
    }
}

/// Transforms 16 real samples in each lane: sums of them times cosines, and times sines.
#[inline(always)]
fn transform<S: Simd>(simd: S, x: &[S::f32s; SIDE]) -> ([S::f32s; ROWS], [S::f32s; ROWS]) {
    let zero = S::f32s::splat(simd, 0.0);
    // What a cosine weighs alike, and a sine but for the sign.
    let (mut a, mut b) = ([zero; 8], [zero; 8]);
    for n in 1..8 {
        a[n] = x[n] + x[SIDE - n];
        b[n] = x[n] - x[SIDE - n];
    }
    // The same once more: even frequencies weigh n and 8 - n alike, odd ones but for the sign.
    let (e0, e1, e2, e3) = (x[0] + x[8], a[1] + a[7], a[2] + a[6], a[3] + a[5]);
    let (o0, o1, o2, o3) = (x[0] - x[8], a[1] - a[7], a[2] - a[6], a[3] - a[5]);
    let (p, q) = (e0 + a[4], e0 - a[4]);
    let (even, odd, middle) = (p + e2, e1 + e3, (e1 - e3) * COS_2);
    let (h, g) = (o2.mul_add(COS_2, o0), o2.mul_add(-COS_2, o0));
    let u = o1.mul_add(COS_1, o3 * COS_3);
    let v = o1.mul_add(COS_3, o3 * -COS_1);
    let real = [
        even + odd,
        h + u,
        q + middle,
        g + v,
        p - e2,
        g - v,
        q - middle,
        h - u,
        even - odd,
    ];
    let (f1, f2, f3) = (b[1] + b[7], b[2] + b[6], b[3] + b[5]);
    let (d1, d2, d3) = (b[1] - b[7], b[2] - b[6], b[3] - b[5]);
    let (r, s) = (f1.mul_add(COS_3, f3 * COS_1), f2.mul_add(COS_2, b[4]));
    let (t, w) = (f1.mul_add(COS_1, f3 * -COS_3), f2.mul_sub(COS_2, b[4]));
    let z = (d1 + d3) * COS_2;
    let imaginary = [
        zero,
        r + s,
        z + d2,
        t + w,
        d1 - d3,
        t - w,
        z - d2,
        r - s,
        zero,
    ];
    (real, imaginary)
}
