//! What brings sound down to the rate of the comparison.

use fearless_simd::Simd;

use super::STEP_MAX;
use super::products::{BLOCK, add_products};
use crate::frame::STEP_SAMPLES;

/// A frame of sound at the rate of the comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brought {
    low: [f32; STEP_MAX],
    /// Energy of what is above the comparison's band, of the samples that one stands for.
    high: [f32; STEP_MAX],
    made: usize,
}

impl Brought {
    pub(super) fn low(&self) -> &[f32] {
        self.low.get(..self.made).unwrap_or_default()
    }

    pub(super) fn high(&self) -> &[f32] {
        self.high.get(..self.made).unwrap_or_default()
    }
}

/// The low pass's length, in samples of the comparison's rate.
const CROSSINGS: usize = 8;
/// The low pass's past at 16 kHz, in samples.
const MAX_HISTORY: usize = 64;

/// The low pass of 900 Hz for sound of one rate.
#[derive(Debug)]
pub(super) struct LowPass {
    taps: Box<[f32]>,
    decimation: usize,
}

impl LowPass {
    pub(super) fn new(decimation: usize) -> Self {
        let length = (CROSSINGS * decimation).min(MAX_HISTORY) + 1;
        let middle = (length / 2) as f32;
        let cutoff = 0.9 / decimation as f32;
        let mut taps: Box<[f32]> = (0..length)
            .map(|n| {
                let t = n as f32 - middle;
                let sinc = if t == 0.0 {
                    cutoff
                } else {
                    (std::f32::consts::PI * cutoff * t).sin() / (std::f32::consts::PI * t)
                };
                let phase = std::f32::consts::TAU * n as f32 / (length - 1) as f32;
                sinc * (0.54 - 0.46 * phase.cos())
            })
            .collect();
        let sum: f32 = taps.iter().sum();
        taps.iter_mut().for_each(|tap| *tap /= sum);
        Self { taps, decimation }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.taps)
    }
}

/// Brings sound to 2 kHz: the low pass, then a pre-emphasis that flattens speech.
#[derive(Debug)]
pub(super) struct Front {
    past: [i16; MAX_HISTORY],
    last: f32,
}

impl Front {
    pub(super) fn new() -> Self {
        Self {
            past: [0; MAX_HISTORY],
            last: 0.0,
        }
    }

    /// Filters a frame.
    #[inline(always)]
    pub(super) fn process<S: Simd>(
        &mut self,
        simd: S,
        low_pass: &LowPass,
        samples: &[i16],
    ) -> Brought {
        let (taps, decimation) = (&low_pass.taps, low_pass.decimation);
        let history = taps.len() - 1;
        let mut line = [0.0; MAX_HISTORY + STEP_SAMPLES];
        let count = samples.len().min(STEP_SAMPLES);
        let (old, new) = line.split_at_mut(history);
        for (to, from) in old.iter_mut().zip(&self.past) {
            *to = f32::from(*from);
        }
        for (to, from) in new.iter_mut().zip(samples) {
            *to = f32::from(*from);
        }
        let mut low = [0.0; BLOCK];
        // By their place between two samples of the comparison's: what is weighed by a tap then lies
        // side by side.
        for place in 0..decimation {
            let mut phase = [0.0; BLOCK + CROSSINGS];
            let these = line.iter().skip(place).step_by(decimation);
            for (to, from) in phase.iter_mut().zip(these) {
                *to = *from;
            }
            let mut weights = [0.0; CROSSINGS + 1];
            let these = taps.iter().skip(place).step_by(decimation);
            for (to, from) in weights.iter_mut().zip(these) {
                *to = *from;
            }
            add_products(simd, &mut low, &weights, &phase);
        }
        let mut brought = Brought {
            low: [0.0; STEP_MAX],
            high: [0.0; STEP_MAX],
            made: count.div_ceil(decimation).min(STEP_MAX),
        };
        for (to, value) in brought.low.iter_mut().zip(low).take(brought.made) {
            *to = value - 0.9 * self.last;
            self.last = value;
        }
        // A second difference weighs 3 kHz three hundred times as much as 500 Hz.
        let mut bends = [0.0; STEP_SAMPLES];
        let newest = line.get(history - 2..).unwrap_or_default();
        for (bend, around) in bends.iter_mut().zip(newest.windows(3)) {
            if let [a, b, c] = around {
                let second = a - 2.0 * b + c;
                *bend = second * second;
            }
        }
        for (high, bends) in brought.high.iter_mut().zip(bends.chunks(decimation)) {
            *high = bends.iter().sum();
        }
        let newest = line.get(count..count + history).unwrap_or_default();
        for (to, from) in self.past.iter_mut().zip(newest) {
            *to = *from as i16;
        }
        brought
    }
}
