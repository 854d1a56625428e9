//! The log-mel spectrogram against one written down from its definition, slowly: OpenAI's `audio.py`
//! (Radford et al. 2022, section 2.2) with the filters of librosa's `filters.mel`.

// What a test needs and does not get ends the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::f64::consts::TAU;

use offhook_models::mel::{BANDS, HOP, LogMel};

const WINDOW: usize = 400;
const BINS: usize = 201;
const RATE: f64 = 16_000.0;

/// The power of each frequency in a frame, by the definition of the Fourier transform.
fn power(padded: &[f64], frame: usize) -> Vec<f64> {
    let windowed: Vec<f64> = (0..WINDOW)
        .map(|n| {
            let hann = 0.5 * (1.0 - (TAU * n as f64 / WINDOW as f64).cos());
            padded[frame * HOP + n] * hann
        })
        .collect();
    let bin = |k: usize| {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in windowed.iter().enumerate() {
            let angle = TAU * (k * n % WINDOW) as f64 / WINDOW as f64;
            re += sample * angle.cos();
            im -= sample * angle.sin();
        }
        re * re + im * im
    };
    (0..BINS).map(bin).collect()
}

/// Mirrors `WINDOW / 2` samples at both ends, the outermost not repeated.
fn mirrored(samples: &[f64]) -> Vec<f64> {
    let half = WINDOW / 2;
    let before = (1..=half).rev().map(|n| samples[n]);
    let after = (2..half + 2).map(|n| samples[samples.len() - n]);
    let middle = samples.iter().copied();
    before.chain(middle).chain(after).collect()
}

/// The hertz that bound the bands: linear below 1 kHz, logarithmic above (Slaney's scale).
fn edges() -> Vec<f64> {
    let step = 6.4_f64.ln() / 27.0;
    let top = 15.0 + (RATE / 2.0 / 1_000.0).ln() / step;
    let hertz = |mel: f64| {
        if mel < 15.0 {
            mel * 200.0 / 3.0
        } else {
            1_000.0 * (step * (mel - 15.0)).exp()
        }
    };
    (0..BANDS + 2)
        .map(|n| hertz(top * n as f64 / (BANDS + 1) as f64))
        .collect()
}

fn reference(samples: &[f32], frames: usize) -> Vec<f64> {
    let mut sound: Vec<f64> = samples.iter().map(|s| f64::from(*s)).collect();
    sound.resize(sound.len().max(frames * HOP), 0.0);
    let padded = mirrored(&sound);
    let edges = edges();
    let mut mel = vec![0.0; BANDS * frames];
    for frame in 0..frames {
        let power = power(&padded, frame);
        for band in 0..BANDS {
            let [low, centre, high] = [edges[band], edges[band + 1], edges[band + 2]];
            let weight = |bin: usize| {
                let hertz = bin as f64 * RATE / WINDOW as f64;
                let ramp = ((hertz - low) / (centre - low)).min((high - hertz) / (high - centre));
                ramp.max(0.0) * 2.0 / (high - low)
            };
            let sum: f64 = power
                .iter()
                .enumerate()
                .map(|(bin, p)| p * weight(bin))
                .sum();
            mel[band * frames + frame] = sum.max(1e-10).log10();
        }
    }
    let loudest = mel.iter().copied().fold(f64::MIN, f64::max);
    mel.iter()
        .map(|value| (value.max(loudest - 8.0) + 4.0) / 4.0)
        .collect()
}

fn assert_equals_reference(samples: &[f32], frames: usize) {
    let computed = LogMel::new().compute(samples, frames);
    let wanted = reference(samples, frames);
    assert_eq!(computed.len(), wanted.len());
    for (index, (got, want)) in computed.iter().zip(&wanted).enumerate() {
        let off = (f64::from(*got) - want).abs();
        let (band, frame) = (index / frames, index % frames);
        assert!(
            off < 3e-4,
            "band {band}, frame {frame}: {got} instead of {want}"
        );
    }
}

#[test]
fn speech_has_the_spectrogram_of_its_definition() {
    let speech = common::speech("jfk.wav", 16_000);
    assert_equals_reference(&speech[8_000..16_000], 50);
}

#[test]
fn what_follows_the_sound_is_silence_and_the_ends_are_mirrored() {
    let speech = common::speech("jfk.wav", 16_000);
    assert_equals_reference(&speech[8_000..12_345], 40);
    // The whole is filled: the last window meets the mirror of the sound itself.
    assert_equals_reference(&speech[8_000..11_200], 20);
}

#[test]
fn nothing_is_even_and_quieter_than_anything() {
    let silence = LogMel::new().compute(&[], 7);
    assert_eq!(silence, vec![-1.5; BANDS * 7]);
}

#[test]
fn a_tone_is_loudest_in_its_band() {
    for hertz in [200.0, 1_000.0, 3_300.0] {
        let tone = |n| (TAU * hertz * f64::from(n) / RATE).sin() as f32;
        let frames = 20;
        let mel = LogMel::new().compute(&(0..3_200).map(tone).collect::<Vec<_>>(), frames);
        let level = |band: &usize| mel[band * frames + 10];
        let loudest = (0..BANDS).max_by(|a, b| level(a).total_cmp(&level(b)));
        let edges = edges();
        let near = |band: usize| edges[band] <= hertz && hertz <= edges[band + 2];
        assert!(near(loudest.unwrap()), "{hertz} Hz in band {loudest:?}");
    }
}
