//! Changes the rate of sound that streams in.
//!
//! A windowed-sinc filter in polyphase form: for every output sample only the taps that meet input
//! samples are computed. It sees some milliseconds ahead, so its output starts and ends exactly
//! with its input: the filter's delay is taken off at the beginning and flushed out at the end.

use std::f64::consts::PI;
use std::sync::Arc;

/// Beta of the Kaiser window: side lobes 80 dB down.
const KAISER_BETA: f64 = 7.86;
/// Where the pass band ends, as a share of the lower Nyquist frequency.
const PASS: f64 = 0.90;
/// Taps on one side of the centre for each unit of decimation; with beta 7.86 the stop band begins
/// right at the lower Nyquist frequency.
const HALF_TAPS: f64 = 50.0;

/// Changes the rate of a whole piece of sound.
#[must_use]
pub fn convert_rate(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    if from_hz == to_hz {
        return samples.to_vec();
    }
    let mut resampler = Resampler::new(Arc::new(Filter::new(from_hz, to_hz)));
    let mut out = Vec::new();
    resampler.push(samples, &mut out);
    resampler.finish(&mut out);
    out
}

/// The taps for one pair of rates; shared by all streams of that pair.
#[derive(Debug)]
pub(super) struct Filter {
    /// Output samples per `down` input samples, in lowest terms.
    up: usize,
    down: usize,
    /// Input samples that a tap row reaches to either side.
    half: usize,
    /// `up` rows of `2 * half` taps.
    rows: Vec<f32>,
}

impl Filter {
    /// Computes the taps for a change from one rate to another, in hertz.
    pub(super) fn new(from_hz: u32, to_hz: u32) -> Self {
        let divisor = gcd(from_hz.max(1), to_hz.max(1));
        let up = (to_hz.max(1) / divisor) as usize;
        let down = (from_hz.max(1) / divisor) as usize;
        let ratio = (up as f64 / down as f64).min(1.0);
        let half = (HALF_TAPS / ratio).ceil() as usize;
        // The middle of the transition from pass to stop band, in cycles per input sample.
        let cutoff = 0.5 * ratio * (PASS + 1.0) / 2.0;
        let mut rows = Vec::with_capacity(up * half * 2);
        for phase in 0..up {
            let fraction = phase as f64 / up as f64;
            let row: Vec<f64> = (0..2 * half)
                .map(|tap| tap_value(half as f64 - 1.0 - tap as f64 + fraction, half, cutoff))
                .collect();
            // Every phase passes a constant unchanged: otherwise silence would hum.
            let sum: f64 = row.iter().sum();
            rows.extend(row.iter().map(|tap| (tap / sum) as f32));
        }
        Self {
            up,
            down,
            half,
            rows,
        }
    }

    fn row(&self, phase: usize) -> &[f32] {
        let start = phase * 2 * self.half;
        self.rows
            .get(start..start + 2 * self.half)
            .unwrap_or_default()
    }
}

fn tap_value(distance: f64, half: usize, cutoff: f64) -> f64 {
    let x = distance / half as f64;
    if x.abs() >= 1.0 {
        return 0.0;
    }
    let window = bessel_i0(KAISER_BETA * (1.0 - x * x).sqrt()) / bessel_i0(KAISER_BETA);
    let angle = 2.0 * PI * cutoff * distance;
    let sinc = if angle == 0.0 {
        1.0
    } else {
        angle.sin() / angle
    };
    2.0 * cutoff * sinc * window
}

/// Modified Bessel function of the first kind, order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        let factor = x / (2.0 * f64::from(k));
        term *= factor * factor;
        sum += term;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One stream on its way from one rate to another.
#[derive(Debug)]
pub(super) struct Resampler {
    filter: Arc<Filter>,
    /// Input not yet passed by, beginning `half - 1` samples before the next output's place.
    input: Vec<f32>,
    /// Place of the next output behind an input sample, in `1 / up` input samples.
    phase: usize,
    taken: usize,
    made: usize,
}

impl Resampler {
    /// Begins a stream.
    pub(super) fn new(filter: Arc<Filter>) -> Self {
        // Silence before the first sample, so that the first output sits exactly on it.
        let input = vec![0.0; filter.half.saturating_sub(1)];
        Self {
            filter,
            input,
            phase: 0,
            taken: 0,
            made: 0,
        }
    }

    /// Takes samples and appends those of the other rate that are complete.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.taken += samples.len();
        self.input.extend_from_slice(samples);
        self.run(out, usize::MAX);
    }

    /// Ends the stream: appends the samples that were waiting for what comes after them.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) {
        let filter = Arc::clone(&self.filter);
        // As many as the input lasted, to the nearest sample.
        let all = (self.taken * filter.up).div_ceil(filter.down);
        self.input.extend(std::iter::repeat_n(0.0, filter.half * 2));
        self.run(out, all);
        *self = Self::new(filter);
    }

    fn run(&mut self, out: &mut Vec<f32>, most: usize) {
        let Self {
            filter,
            input,
            phase,
            made,
            ..
        } = self;
        let width = filter.half * 2;
        let mut at = 0;
        while *made < most
            && let Some(window) = input.get(at..at + width)
        {
            let row = filter.row(*phase);
            out.push(
                window
                    .iter()
                    .zip(row)
                    .map(|(sample, tap)| sample * tap)
                    .sum(),
            );
            *made += 1;
            *phase += filter.down;
            at += *phase / filter.up;
            *phase %= filter.up;
        }
        input.drain(..at.min(input.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f64, samples: usize) -> Vec<f32> {
        let step = 2.0 * PI * hz / f64::from(rate);
        (0..samples)
            .map(|n| (step * n as f64).sin() as f32)
            .collect()
    }

    fn convert(from: u32, to: u32, input: &[f32], chunk: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(Arc::new(Filter::new(from, to)));
        let mut out = Vec::new();
        for part in input.chunks(chunk) {
            resampler.push(part, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    fn db(ratio: f64) -> f64 {
        20.0 * ratio.log10()
    }

    #[test]
    fn a_tone_of_the_telephone_band_keeps_its_place_and_level() {
        for to in [8_000, 16_000, 24_000] {
            for hz in [100.0, 1_000.0, 3_400.0] {
                let out = convert(22_050, to, &sine(22_050, hz, 22_050), 1_000);
                assert_eq!(out.len(), to as usize);
                let wanted = sine(to, hz, to as usize);
                // The edges meet the silence around the tone.
                let worst = out.iter().zip(&wanted).skip(200).take(to as usize - 400);
                let worst = worst.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 0.002, "{hz} Hz at {to}: off by {worst}");
            }
        }
    }

    #[test]
    fn what_lies_beyond_the_band_is_gone() {
        let out = convert(22_050, 8_000, &sine(22_050, 4_100.0, 22_050), 512);
        let middle = &out[400..7_600];
        let power = middle.iter().map(|s| f64::from(s * s)).sum::<f64>() / middle.len() as f64;
        let level = db((power * 2.0).sqrt());
        assert!(level < -60.0, "an alias at {level:.1} dB");
    }

    #[test]
    fn chunks_make_no_difference() {
        let input = sine(22_050, 440.0, 7_777);
        let whole = convert(22_050, 8_000, &input, usize::MAX);
        for chunk in [1, 7, 256, 5_120] {
            assert_eq!(convert(22_050, 8_000, &input, chunk), whole);
        }
        assert_eq!(whole.len(), (7_777 * 160_usize).div_ceil(441));
    }

    #[test]
    fn an_empty_stream_stays_empty_and_a_resampler_can_be_used_again() {
        assert!(convert(22_050, 8_000, &[], 1).is_empty());
        let mut resampler = Resampler::new(Arc::new(Filter::new(22_050, 8_000)));
        let input = sine(22_050, 440.0, 3_000);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        resampler.push(&input, &mut first);
        resampler.finish(&mut first);
        resampler.push(&input, &mut second);
        resampler.finish(&mut second);
        assert_eq!(first, second);
    }
}
