//! What brings sound down to the rate of the comparison.

use super::STEP_MAX;
use crate::frame::Frame;

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
        let length = (8 * decimation).min(MAX_HISTORY) + 1;
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
    pub(super) fn process(&mut self, low_pass: &LowPass, samples: &[i16]) -> Brought {
        let (taps, decimation) = (&low_pass.taps, low_pass.decimation);
        let history = taps.len() - 1;
        let mut line = [0.0; MAX_HISTORY + Frame::MAX_SAMPLES];
        let kept = self.past.iter().take(history);
        for (to, from) in line.iter_mut().zip(kept.chain(samples)) {
            *to = f32::from(*from);
        }
        let count = samples.len().min(Frame::MAX_SAMPLES);
        let mut brought = Brought {
            low: [0.0; STEP_MAX],
            high: [0.0; STEP_MAX],
            made: 0,
        };
        let places = brought.low.iter_mut().zip(&mut brought.high);
        for ((low, high), start) in places.zip((0..count).step_by(decimation)) {
            let window = line.get(start..).unwrap_or_default();
            let value: f32 = taps.iter().zip(window).map(|(t, s)| t * s).sum();
            *low = value - 0.9 * self.last;
            self.last = value;
            // A second difference weighs 3 kHz three hundred times as much as 500 Hz.
            let newest = window.get(history - 2..).unwrap_or_default().windows(3);
            let bends = newest.take(decimation).map(|w| match w {
                [a, b, c] => a - 2.0 * b + c,
                _ => 0.0,
            });
            *high = bends.map(|bend| bend * bend).sum();
            brought.made += 1;
        }
        let newest = line.get(count..count + history).unwrap_or_default();
        for (to, from) in self.past.iter_mut().zip(newest) {
            *to = *from as i16;
        }
        brought
    }
}
