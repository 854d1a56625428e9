//! Noise is taken out of a caller's sound; speech, its length and its times stay.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "the clock is read for a beginning of time, and for a figure"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use common::{noise, speech, telephone, to_pcm};
use offhook_media::Frame;
use offhook_models::denoise::NoiseSuppressor;
use offhook_models::vad::level_db;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// Counting allocations needs an allocator of our own; it hands everything on.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|counted| counted.set(counted.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Speech as a telephone or a wideband call has it.
fn spoken(rate_hz: u32) -> Vec<i16> {
    match rate_hz {
        8_000 => telephone("jfk.wav"),
        _ => to_pcm(&speech("jfk.wav", rate_hz)),
    }
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|s| f64::from(*s).powi(2)).sum()
}

fn db(samples: &[i16]) -> f64 {
    10.0 * (energy(samples) / samples.len() as f64).max(1e-3).log10()
}

/// Speech with white noise that is 10 dB softer.
fn noisy(speech: &[i16]) -> Vec<i16> {
    common::with_noise(speech, level_db(speech), &noise(speech.len(), 0.5), 10.0)
}

/// Cuts sound into frames of these lengths, over and over, each with marks of its own.
fn frames(samples: &[i16], rate_hz: u32, lengths: &[usize]) -> Vec<(Frame, bool)> {
    let (begin, mut at) = (Instant::now(), 0);
    let mut frames = Vec::new();
    for (n, length) in lengths.iter().cycle().enumerate() {
        let Some(part) = samples.get(at..at + length) else {
            return frames;
        };
        let received = begin + Duration::from_micros(at as u64 * 1_000_000 / u64::from(rate_hz));
        let mut frame = Frame::new(rate_hz, at as u64, received, n % 7 == 3, part);
        frame.echo = n % 11 == 5;
        frames.push((frame, n % 3 == 1));
        at += length;
    }
    frames
}

fn suppress(frames: &[(Frame, bool)]) -> Vec<(Frame, bool)> {
    let mut suppressor = NoiseSuppressor::new();
    let mut out = Vec::new();
    for (frame, passed) in frames {
        suppressor.push(frame, *passed);
        out.extend(std::iter::from_fn(|| suppressor.pop()));
    }
    out
}

/// All of what comes of sound in whole frames.
fn cleaned(samples: &[i16], rate_hz: u32) -> Vec<i16> {
    let out = suppress(&frames(samples, rate_hz, &[Frame::MAX_SAMPLES]));
    let sound = out.iter().flat_map(|(frame, _)| frame.samples());
    sound.copied().collect()
}

/// How alike two sounds are, 1 for the same, the second so many samples later.
fn likeness(a: &[i16], b: &[i16], late: usize) -> f64 {
    let b = &b[late..];
    let pairs = a.iter().zip(b);
    let product: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    product / (energy(&a[..b.len().min(a.len())]) * energy(&b[..a.len().min(b.len())])).sqrt()
}

#[test]
fn noise_goes_and_speech_stays() {
    for rate_hz in [8_000, 16_000] {
        let speech = spoken(rate_hz);
        let noisy = noisy(&speech);
        let clean = cleaned(&noisy, rate_hz);
        // The pauses: a second of them, once the network has heard what the noise is.
        let step = rate_hz as usize / 50;
        let mut quiet: Vec<usize> = (50..clean.len() / step).collect();
        quiet.sort_by_key(|n| energy(&speech[n * step..][..step]) as u64);
        let pauses = |sound: &[i16]| -> Vec<i16> {
            let parts = quiet[..50].iter();
            parts
                .flat_map(|n| sound[n * step..][..step].to_vec())
                .collect()
        };
        let less = db(&pauses(&noisy)) - db(&pauses(&clean));
        let speech = &speech[..clean.len()];
        let (before, after) = (likeness(speech, &noisy, 0), likeness(speech, &clean, 0));
        println!("{rate_hz} Hz: {less:.1} dB less noise; likeness {before:.3}, then {after:.3}");
        assert!(less >= 15.0, "{less} dB at {rate_hz} Hz");
        assert!(after >= 0.96, "{before} became {after} at {rate_hz} Hz");
    }
}

#[test]
fn speech_without_noise_passes_at_its_own_time() {
    for rate_hz in [8_000, 16_000] {
        let speech = spoken(rate_hz);
        let clean = cleaned(&speech, rate_hz);
        let alike = likeness(&speech[..clean.len()], &clean, 0);
        assert!(alike >= 0.97, "{alike} at {rate_hz} Hz");
        for late in 1..rate_hz as usize / 100 {
            let later = likeness(&speech[..clean.len() - late], &clean, late);
            let sooner = likeness(&clean[..clean.len() - late], &speech[..clean.len()], late);
            assert!(later < alike && sooner < alike, "{late} samples off");
        }
    }
}

#[test]
fn each_frame_comes_out_once_in_order_as_it_was_but_for_its_sound() {
    let sound = noisy(&spoken(8_000));
    for (rate_hz, lengths) in [
        (8_000, &[160][..]),
        (8_000, &[160, 80]),
        (8_000, &[80]),
        (16_000, &[160]),
        (16_000, &[160, 80, 1, 37, 0, 159]),
    ] {
        let frames = frames(&sound, rate_hz, lengths);
        let out = suppress(&frames);
        for ((was, said), (is, says)) in frames.iter().zip(&out) {
            assert_eq!((is.rate_hz, is.rtp_timestamp), (rate_hz, was.rtp_timestamp));
            assert_eq!((is.received, is.concealed), (was.received, was.concealed));
            // Of the first 200 ms nothing passes.
            let said = *said && was.rtp_timestamp >= u64::from(rate_hz) / 5;
            assert_eq!((is.echo, *says), (was.echo, said));
            assert_eq!(is.samples().len(), was.samples().len());
        }
        let held: usize = frames[out.len()..]
            .iter()
            .map(|(frame, _)| frame.samples().len())
            .sum();
        // 14 ms, less than a block, and a frame that is not all there.
        let most = rate_hz as usize * (14 + 10 + 20) / 1_000;
        assert!(held < most, "{held} samples of {lengths:?} are held back");
        // Where frames are cut makes no difference.
        let whole = cleaned(&sound, rate_hz);
        let pieces = out.iter().flat_map(|(frame, _)| frame.samples());
        assert!(pieces.zip(&whole).all(|(a, b)| a == b), "{lengths:?}");
    }
}

#[test]
fn twenty_milliseconds_are_held_back() {
    for (rate_hz, held) in [(8_000, 1), (16_000, 2)] {
        let frames = frames(&spoken(rate_hz), rate_hz, &[Frame::MAX_SAMPLES]);
        assert_eq!(suppress(&frames).len(), frames.len() - held);
    }
}

#[test]
fn nothing_that_can_be_sent_stops_it() {
    let loud = |n: usize| {
        if (n / 50).is_multiple_of(2) {
            i16::MAX
        } else {
            i16::MIN
        }
    };
    let square: Vec<i16> = (0..16_000).map(loud).collect();
    let silence = vec![0; 16_000];
    let mut click = silence.clone();
    click[8_000] = i16::MIN;
    let one_value = vec![i16::MIN; 16_000];
    let parts = [square, silence, noise(16_000, 1.0), click, one_value];
    let sound = parts.concat();
    for rate_hz in [8_000, 16_000] {
        let clean = cleaned(&[sound.clone(), spoken(rate_hz)].concat(), rate_hz);
        // What comes after is heard again.
        let speech = spoken(rate_hz);
        let after = &clean[sound.len()..];
        let alike = likeness(&speech[..after.len()], after, 0);
        assert!(alike > 0.9, "{alike}");
    }
}

#[test]
fn a_frame_allocates_nothing() {
    for rate_hz in [8_000, 16_000] {
        let frames = frames(&spoken(rate_hz), rate_hz, &[Frame::MAX_SAMPLES]);
        let mut suppressor = NoiseSuppressor::new();
        let mut counted = 0;
        for (n, (frame, passed)) in frames.iter().enumerate() {
            if n == 10 {
                counted = ALLOCATIONS.get();
            }
            suppressor.push(frame, *passed);
            while suppressor.pop().is_some() {}
        }
        assert_eq!(ALLOCATIONS.get(), counted, "{rate_hz} Hz");
    }
}

#[test]
#[ignore = "prints a figure; run it with --release"]
fn what_a_frame_costs() {
    for rate_hz in [8_000, 16_000] {
        let sound = noisy(&spoken(rate_hz));
        let frames = frames(&sound, rate_hz, &[Frame::MAX_SAMPLES]);
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let begin = Instant::now();
            assert!(!suppress(&frames).is_empty());
            best = best.min(begin.elapsed() / frames.len() as u32);
        }
        println!("{rate_hz} Hz: {best:?} a frame of 20 ms");
    }
}
