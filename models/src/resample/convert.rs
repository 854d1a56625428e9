//! Changes of rate whose delay nobody waits for, by `rubato`'s FFT resampler.
//!
//! It works in blocks and comes out half a block late; both are taken off here, so that what comes
//! out begins and ends with what goes in.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

/// The least samples of a block at the lower rate. A stream holds back up to a block and a half:
/// short ones let its first sound go, long ones have the sharper filter.
const STREAM_BLOCK: u32 = 128;
const PIECE_BLOCK: u32 = 512;
/// No sound has fewer or more samples per second; a file that claims so is taken as having so many.
const LEAST_HZ: u32 = 1_000;
const MOST_HZ: u32 = 768_000;

/// Changes the rate of a whole piece of sound.
#[must_use]
pub fn convert_rate(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    let mut stream = RateStream::with_block(from_hz, to_hz, PIECE_BLOCK);
    let mut out = Vec::new();
    stream.push(samples, &mut out);
    stream.finish(&mut out);
    out
}

/// One stream on its way from one rate to another; full scale is ±1 on both sides.
pub(crate) struct RateStream {
    /// None where the rate stays.
    fft: Option<Fft<f32>>,
    /// Output samples per `down` input samples, in lowest terms.
    up: usize,
    down: usize,
    /// Input that does not fill a block yet.
    input: Vec<f32>,
    output: Vec<f32>,
    /// Output that is the filter's delay and still to be taken off.
    late: usize,
    taken: usize,
    made: usize,
}

impl std::fmt::Debug for RateStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateStream")
            .field("up", &self.up)
            .field("down", &self.down)
            .finish_non_exhaustive()
    }
}

impl RateStream {
    /// Begins a stream between two rates, in hertz. It holds back little: what comes out lies within
    /// half an input sample of its place.
    pub(crate) fn new(from_hz: u32, to_hz: u32) -> Self {
        Self::with_block(from_hz, to_hz, STREAM_BLOCK)
    }

    fn with_block(from_hz: u32, to_hz: u32, least: u32) -> Self {
        let (from_hz, to_hz) = (
            from_hz.clamp(LEAST_HZ, MOST_HZ),
            to_hz.clamp(LEAST_HZ, MOST_HZ),
        );
        let divisor = gcd(from_hz, to_hz);
        let (up, down) = (to_hz / divisor, from_hz / divisor);
        let mut blocks = least.div_ceil(up.min(down));
        if least == PIECE_BLOCK {
            // With an even number of samples the filter's middle lies on one.
            blocks = blocks.next_multiple_of(2);
        }
        let fft = Fft::new_custom(
            from_hz as usize,
            to_hz as usize,
            (down * blocks) as usize,
            1,
            1,
            WindowFunction::BlackmanHarris,
            FixedSync::Both,
        );
        // It refuses a rate or a block of nothing, which there are not.
        let fft = fft.ok().filter(|_| from_hz != to_hz);
        Self {
            late: fft.as_ref().map_or(0, Resampler::output_delay),
            output: vec![0.0; fft.as_ref().map_or(0, Resampler::output_frames_max)],
            fft,
            up: up as usize,
            down: down as usize,
            input: Vec::new(),
            taken: 0,
            made: 0,
        }
    }

    /// Takes samples and appends those of the other rate that are complete.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.taken += samples.len();
        if self.fft.is_none() {
            out.extend_from_slice(samples);
            return;
        }
        self.input.extend_from_slice(samples);
        self.run(out, usize::MAX);
    }

    /// Ends the stream: appends the samples that were waiting for what comes after them, so that as
    /// much came out as the input lasted. Then it can begin again.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) {
        let all = (self.taken * self.up).div_ceil(self.down);
        while let Some(block) = self.fft.as_ref().map(Resampler::input_frames_next)
            && self.made < all
        {
            self.input.resize(self.input.len().max(block), 0.0);
            let before = (self.late, self.made);
            self.run(out, all);
            if (self.late, self.made) == before {
                break;
            }
        }
        if let Some(fft) = &mut self.fft {
            fft.reset();
            self.late = fft.output_delay();
        }
        self.input.clear();
        (self.taken, self.made) = (0, 0);
    }

    /// Runs all blocks that are full; of what they give, no more than makes `most` in all.
    fn run(&mut self, out: &mut Vec<f32>, most: usize) {
        let Some(fft) = &mut self.fft else { return };
        let block = fft.input_frames_next();
        let room = self.output.len();
        let mut at = 0;
        while let Some(input) = self.input.get(at..at + block) {
            // The buffers have the sizes that it asked for.
            let (Ok(input), Ok(mut output)) = (
                InterleavedSlice::new(input, 1, block),
                InterleavedSlice::new_mut(&mut self.output, 1, room),
            ) else {
                return;
            };
            let Ok((_, made)) = fft.process_into_buffer(&input, &mut output, None) else {
                return;
            };
            at += block;
            let late = self.late.min(made);
            self.late -= late;
            let made = made.min((most - self.made).saturating_add(late));
            let new = self.output.get(late..made).unwrap_or_default();
            self.made += new.len();
            out.extend_from_slice(new);
        }
        self.input.drain(..at);
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// A tone; its samples lie `late` samples of the rate behind their places.
    fn tone(rate: u32, hertz: f64, samples: usize, late: f64) -> Vec<f32> {
        let step = TAU * hertz / f64::from(rate);
        (0..samples)
            .map(|n| (step * (n as f64 - late)).sin() as f32)
            .collect()
    }

    fn stream(from: u32, to: u32, input: &[f32], chunk: usize) -> Vec<f32> {
        let mut stream = RateStream::new(from, to);
        let mut out = Vec::new();
        for part in input.chunks(chunk) {
            stream.push(part, &mut out);
        }
        stream.finish(&mut out);
        out
    }

    /// The largest difference, the edges left out, which meet the silence around the tone.
    fn worst(out: &[f32], wanted: &[f32]) -> f32 {
        assert_eq!(out.len(), wanted.len());
        let middle = 400..out.len() - 400;
        let pairs = middle.map(|n| (out[n] - wanted[n]).abs());
        pairs.fold(0.0, f32::max)
    }

    #[test]
    fn a_tone_of_the_telephone_band_keeps_its_place_and_level() {
        for (from, to) in [
            (22_050, 8_000),
            (24_000, 8_000),
            (44_100, 8_000),
            (48_000, 8_000),
            (16_000, 8_000),
            (8_000, 16_000),
            (11_025, 16_000),
        ] {
            for hertz in [100.0, 1_000.0, 3_400.0] {
                let input = tone(from, hertz, from as usize, 0.0);
                let out = convert_rate(&input, from, to);
                let off = worst(&out, &tone(to, hertz, to as usize, 0.0));
                assert!(off < 0.001, "{hertz} Hz, {from} to {to}: off by {off}");
            }
        }
    }

    #[test]
    fn a_stream_has_the_same_level_half_an_input_sample_from_its_place() {
        for to in [8_000, 16_000] {
            for hertz in [100.0, 1_000.0, 3_400.0] {
                let out = stream(22_050, to, &tone(22_050, hertz, 22_050, 0.0), 1_000);
                let early = -0.5 * f64::from(to) / 22_050.0;
                let off = worst(&out, &tone(to, hertz, to as usize, early));
                assert!(off < 0.001, "{hertz} Hz at {to}: off by {off}");
            }
        }
    }

    #[test]
    fn what_lies_beyond_the_band_is_gone() {
        for hertz in [4_100.0, 5_000.0, 9_000.0] {
            let input = tone(22_050, hertz, 22_050, 0.0);
            for out in [
                stream(22_050, 8_000, &input, 512),
                convert_rate(&input, 22_050, 8_000),
            ] {
                let off = worst(&out, &[0.0; 8_000]);
                assert!(off < 0.0001, "an alias of {hertz} Hz: {off}");
            }
        }
    }

    #[test]
    fn chunks_make_no_difference() {
        let input = tone(22_050, 440.0, 7_777, 0.0);
        let whole = stream(22_050, 8_000, &input, usize::MAX);
        for chunk in [1, 7, 256, 5_120] {
            assert_eq!(stream(22_050, 8_000, &input, chunk), whole);
        }
        assert_eq!(whole.len(), (7_777 * 160_usize).div_ceil(441));
    }

    #[test]
    fn little_is_held_back() {
        let mut stream = RateStream::new(22_050, 8_000);
        let mut out = Vec::new();
        for taken in (100..22_050).step_by(100) {
            stream.push(&[0.1; 100], &mut out);
            let held_ms = (taken as f64 / 22.05) - (out.len() as f64 / 8.0);
            assert!(held_ms < 31.0, "{held_ms} ms after {taken} samples");
        }
    }

    #[test]
    fn an_empty_stream_stays_empty_and_a_stream_can_be_used_again() {
        assert!(stream(22_050, 8_000, &[], 1).is_empty());
        let mut again = RateStream::new(22_050, 8_000);
        let input = tone(22_050, 440.0, 3_000, 0.0);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        again.push(&input, &mut first);
        again.finish(&mut first);
        again.push(&input, &mut second);
        again.finish(&mut second);
        assert_eq!(first, second);
    }

    #[test]
    fn a_rate_that_stays_changes_nothing() {
        let input = tone(8_000, 3_999.0, 1_001, 0.0);
        assert_eq!(convert_rate(&input, 8_000, 8_000), input);
    }

    #[test]
    fn what_a_file_claims_costs_no_memory() {
        for (from, to) in [(0, 8_000), (u32::MAX, 8_000), (44_101, 8_000), (8_000, 0)] {
            let out = convert_rate(&[0.5; 64], from, to);
            assert!(out.len() < 1 << 20, "{from} to {to}: {}", out.len());
        }
    }
}
