//! Log-mel spectrogram as Whisper and smart-turn expect it: 16 kHz, 80 bands on the Slaney
//! scale, window 400, hop 160, log10 with a floor 8 below the loudest point, (x + 4) / 4
//! (Radford et al. 2022, section 2.2, and OpenAI's `audio.py`).

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

/// Samples per second that the spectrogram takes.
pub const SAMPLE_RATE: usize = 16_000;
/// Samples from one frame to the next.
pub const HOP: usize = 160;
/// Mel bands of a frame.
pub const BANDS: usize = 80;

const WINDOW: usize = 400;
const BINS: usize = WINDOW / 2 + 1;

/// One mel band: the first FFT bin that it weighs, and the weights.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

/// Computes log-mel spectrograms; one serves all threads.
pub struct LogMel {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    bands: Vec<Band>,
}

impl std::fmt::Debug for LogMel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogMel").finish_non_exhaustive()
    }
}

impl Default for LogMel {
    fn default() -> Self {
        Self::new()
    }
}

impl LogMel {
    /// Prepares the window, the filters and the FFT.
    #[must_use]
    pub fn new() -> Self {
        let turn = std::f64::consts::TAU / WINDOW as f64;
        let hann = |index| (0.5 - 0.5 * (turn * index as f64).cos()) as f32;
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(WINDOW),
            window: (0..WINDOW).map(hann).collect(),
            bands: slaney_bands(),
        }
    }

    /// Computes `frames` frames of `samples` (16 kHz, full scale ±1), taken as followed by
    /// silence; the result is (80, frames), row by row.
    #[must_use]
    pub fn compute(&self, samples: &[f32], frames: usize) -> Vec<f32> {
        let mut mel = vec![0.0_f32; BANDS * frames];
        let mut windowed = vec![0.0_f32; WINDOW];
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = [0.0_f32; BINS];
        let total = (frames * HOP).max(samples.len());
        for frame in 0..frames {
            self.cut_window(samples, total, frame, &mut windowed);
            // The lengths come from the same plan, so this cannot fail.
            let _ = self
                .fft
                .process_with_scratch(&mut windowed, &mut spectrum, &mut scratch);
            for (power, bin) in power.iter_mut().zip(&spectrum) {
                *power = Complex32::norm_sqr(bin);
            }
            for (band, row) in self.bands.iter().zip(mel.chunks_exact_mut(frames)) {
                let bins = power.iter().skip(band.first);
                let sum: f32 = bins
                    .zip(&band.weights)
                    .map(|(power, weight)| power * weight)
                    .sum();
                if let Some(cell) = row.get_mut(frame) {
                    *cell = sum;
                }
            }
        }
        compress(&mut mel);
        mel
    }

    /// Cuts the window of a frame, centred on it; both ends of the sound are mirrored.
    fn cut_window(&self, samples: &[f32], total: usize, frame: usize, windowed: &mut [f32]) {
        let start = (frame * HOP) as isize - (WINDOW / 2) as isize;
        let inside = usize::try_from(start)
            .ok()
            .and_then(|at| samples.get(at..at + WINDOW));
        if let Some(inside) = inside {
            for ((out, sample), weight) in windowed.iter_mut().zip(inside).zip(&self.window) {
                *out = sample * weight;
            }
            return;
        }
        let last = total.saturating_sub(1);
        for (offset, (out, weight)) in windowed.iter_mut().zip(&self.window).enumerate() {
            let at = (start + offset as isize).unsigned_abs();
            let at = if at > last {
                (2 * last).saturating_sub(at)
            } else {
                at
            };
            *out = samples.get(at).copied().unwrap_or(0.0) * weight;
        }
    }
}

/// Takes log10, clamps 8 below the maximum and scales.
fn compress(mel: &mut [f32]) {
    let mut loudest = f32::MIN;
    for value in mel.iter_mut() {
        *value = value.max(1e-10).log10();
        loudest = loudest.max(*value);
    }
    for value in mel {
        *value = (value.max(loudest - 8.0) + 4.0) / 4.0;
    }
}

/// Makes the triangular filters, each of unit area (Slaney's Auditory Toolbox).
fn slaney_bands() -> Vec<Band> {
    let top = hertz_to_mel(SAMPLE_RATE as f64 / 2.0);
    let edge = |index: usize| mel_to_hertz(top * index as f64 / (BANDS + 1) as f64);
    let bin_hz = SAMPLE_RATE as f64 / WINDOW as f64;
    let band = |index| {
        let (low, centre, high) = (edge(index), edge(index + 1), edge(index + 2));
        let weight = |bin: usize| {
            let hertz = bin as f64 * bin_hz;
            let up = (hertz - low) / (centre - low);
            let down = (high - hertz) / (high - centre);
            (up.min(down).max(0.0) * 2.0 / (high - low)) as f32
        };
        let first = (0..BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
        let weights = (first..BINS)
            .map(weight)
            .take_while(|&weight| weight > 0.0)
            .collect();
        Band { first, weights }
    };
    (0..BANDS).map(band).collect()
}

fn hertz_to_mel(hertz: f64) -> f64 {
    if hertz < 1000.0 {
        hertz * 3.0 / 200.0
    } else {
        15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4_f64.ln()
    }
}

fn mel_to_hertz(mel: f64) -> f64 {
    if mel < 15.0 {
        mel * 200.0 / 3.0
    } else {
        1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp()
    }
}
