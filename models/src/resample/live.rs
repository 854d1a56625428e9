//! Telephone sound at 8 kHz to the 16 kHz that Silero takes, while it comes in.
//!
//! A half-band interpolator: every second output is an input sample, those between come from a
//! windowed sinc over 32 inputs. It delays by [`DELAY_SAMPLES`] inputs (2 ms), where `rubato` with
//! its shortest useful filter holds 8 to 24 ms back, and is flat within 0.1 dB up to 3.4 kHz.

use fearless_simd::{Level, dispatch, prelude::*};
use offhook_media::rate::{TAPS, half_band};

/// Delay of [`Upsampler`] in samples of 8 kHz.
pub const DELAY_SAMPLES: usize = TAPS / 2;
/// Samples before a piece of sound that its doubling needs.
pub const PAST_SAMPLES: usize = TAPS - 1;
/// Samples that are doubled at once: as many as the widest register holds.
const BLOCK: usize = 16;

/// Doubles the rate of pieces of a stream. It remembers nothing: what came before a piece is handed
/// in with it, so that of a long stream only those pieces cost something that somebody wants.
#[derive(Clone, Copy, Debug)]
pub struct Upsampler {
    level: Level,
}

impl Default for Upsampler {
    fn default() -> Self {
        Self::new()
    }
}

impl Upsampler {
    /// Makes one that uses the fastest instructions that this processor has.
    #[must_use]
    pub fn new() -> Self {
        Self {
            level: Level::new(),
        }
    }

    /// Gives two samples of 16 kHz (full scale ±1) for each of 8 kHz behind the first
    /// [`PAST_SAMPLES`], which are those before the piece; what the last sample was comes out
    /// [`DELAY_SAMPLES`] later. Stops at the end of either.
    pub fn double(&self, samples: &[i16], out: &mut [f32]) {
        let taps = taps();
        dispatch!(self.level, simd => double(simd, taps, samples, out));
    }
}

/// The taps, made once.
fn taps() -> &'static [f32; TAPS] {
    static TAPS_MADE: std::sync::LazyLock<[f32; TAPS]> = std::sync::LazyLock::new(half_band);
    &TAPS_MADE
}

#[inline(always)]
fn double<S: Simd>(simd: S, taps: &[f32; TAPS], samples: &[i16], out: &mut [f32]) {
    let mut inputs = [0.0_f32; PAST_SAMPLES + BLOCK];
    let mut between = [0.0_f32; BLOCK];
    for (number, out) in out.chunks_mut(2 * BLOCK).enumerate() {
        let now = samples.get(number * BLOCK..).unwrap_or_default();
        for (to, sample) in inputs.iter_mut().zip(now) {
            *to = f32::from(*sample) / 32_768.0;
        }
        let mut sums = between.chunks_exact_mut(S::f32s::LEN);
        for (block, sums) in sums.by_ref().enumerate() {
            let mut sum = S::f32s::splat(simd, 0.0);
            for (tap, weight) in taps.iter().enumerate() {
                let begin = block * S::f32s::LEN + tap;
                let inputs = &inputs[begin..begin + S::f32s::LEN];
                sum = S::f32s::from_slice(simd, inputs).mul_add(*weight, sum);
            }
            sum.store_slice(sums);
        }
        // The middle of the taps lies between an input and the next.
        let at = inputs.iter().skip(DELAY_SAMPLES - 1);
        for (pair, (at, between)) in out.chunks_exact_mut(2).zip(at.zip(&between)) {
            pair.copy_from_slice(&[*at, *between]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: f64, count: usize) -> Vec<f64> {
        (0..count)
            .map(|n| (std::f64::consts::TAU * hertz * n as f64 / rate).sin())
            .collect()
    }

    fn to_pcm(tone: &[f64]) -> Vec<i16> {
        tone.iter().map(|v| (v * 16_000.0).round() as i16).collect()
    }

    fn upsample(samples: &[i16], piece: usize) -> Vec<f32> {
        let upsampler = Upsampler::new();
        let line = [vec![0; PAST_SAMPLES], samples.to_vec()].concat();
        let mut out = vec![0.0; 2 * samples.len()];
        for (number, out) in out.chunks_mut(2 * piece).enumerate() {
            upsampler.double(&line[number * piece..], out);
        }
        out
    }

    #[test]
    fn speech_band_tones_come_out_late_by_the_delay_and_at_the_same_level() {
        for hertz in [100.0, 1_000.0, 2_500.0, 3_400.0] {
            let out = upsample(&to_pcm(&tone(hertz, 8_000.0, 800)), 160);
            let wanted = tone(hertz, 16_000.0, 1_600);
            let scale = 16_000.0 / 32_768.0;
            let in_place = out.iter().skip(2 * DELAY_SAMPLES);
            for (index, (got, want)) in in_place.zip(&wanted).enumerate().skip(60) {
                let error = (f64::from(*got) - want * scale).abs();
                assert!(error < 0.012, "{hertz} Hz, sample {index}: {error}");
            }
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        let pcm = to_pcm(&tone(700.0, 8_000.0, 480));
        let whole = upsample(&pcm, 480);
        assert_eq!(whole.len(), 960);
        for piece in [1, 80, 160, 256] {
            assert_eq!(upsample(&pcm, piece), whole);
        }
    }

    #[test]
    fn what_lies_between_samples_is_what_the_taps_make_of_those_around_it() {
        let pcm = to_pcm(&tone(1_234.0, 8_000.0, 300));
        let line = [vec![0; PAST_SAMPLES], pcm.clone()].concat();
        let line: Vec<f32> = line.iter().map(|s| f32::from(*s) / 32_768.0).collect();
        let out = upsample(&pcm, 300);
        for (pair, inputs) in out.chunks_exact(2).zip(line.windows(TAPS)) {
            let between = offhook_media::rate::weigh(inputs, &half_band());
            assert_eq!(pair[0], inputs[DELAY_SAMPLES - 1]);
            // The sum is the same but for its order.
            assert!((pair[1] - between).abs() < 1e-6, "{} {between}", pair[1]);
        }
    }
}
