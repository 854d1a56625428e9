//! The gate before Silero: what it saves, and that nothing is missed for it. Needs the model folder
//! (`offhook models pull`).

// What a test needs and does not get ends the test; the clock is read once, for a beginning of time.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

mod common;

use std::ops::Range;
use std::time::{Duration, Instant};

use offhook_media::Frame;
use offhook_models::manifest::default_dir;
use offhook_models::vad::{Gate, Silero, VadEdge, VadSettings, VoiceDetector, level_db};
use webrtc_vad::{SampleRate, Vad, VadMode};

const STEP: usize = 160;
const FRAME: Duration = Duration::from_millis(20);

/// What a detector made of a call.
#[derive(Default)]
struct Heard {
    /// The frames at which speech was noticed.
    starts: Vec<usize>,
    passed: usize,
    windows: u64,
    frames: usize,
}

/// Has a detector hear a call through a gate.
fn hear(silero: &Silero, call: &[i16], mut passes: impl FnMut(&Frame) -> bool) -> Heard {
    let (epoch, mut heard) = (Instant::now(), Heard::default());
    let mut detector = VoiceDetector::new(VadSettings::default());
    for (n, part) in call.chunks_exact(STEP).enumerate() {
        let at = epoch + FRAME * n as u32;
        let frame = Frame::new(8_000, (n * STEP) as u64, at, false, part);
        let passed = passes(&frame);
        let (edge, windows) = detector.hear(silero, &frame, passed);
        if matches!(edge, Some(VadEdge::SpeechStart { .. })) {
            heard.starts.push(n);
        }
        heard.passed += usize::from(passed);
        heard.windows += windows;
        heard.frames += 1;
    }
    heard
}

/// A call in which each piece of speech comes after a second and a half of what is else on the line,
/// and the frames of each piece, from the first that is within 20 dB of the loudest on.
fn call(pieces: &[Vec<i16>]) -> (Vec<i16>, Vec<Range<usize>>) {
    let (mut call, mut spans) = (vec![0; 16_000], Vec::new());
    for piece in pieces {
        let levels: Vec<f32> = piece.chunks(STEP).map(level_db).collect();
        let loudest = levels.iter().copied().fold(f32::MIN, f32::max);
        let first = levels.iter().position(|db| *db > loudest - 20.0);
        let begin = call.len() / STEP;
        call.extend_from_slice(piece);
        spans.push(begin + first.unwrap_or(0)..call.len() / STEP + 1);
        call.resize((call.len() / STEP + 75) * STEP, 0);
    }
    (call, spans)
}

/// The mean power of what is spoken, without pauses, in dB of full scale.
fn speech_db(call: &[i16]) -> f32 {
    let audible = call.chunks(STEP).filter(|part| level_db(part) > -50.0);
    let spoken: Vec<i16> = audible.flatten().copied().collect();
    level_db(&spoken)
}

/// A call with noise at so many dB below what is spoken, over the telephone.
fn noisy(call: &[i16], noise: &[i16], snr_db: f32) -> Vec<i16> {
    common::over_ulaw(&common::with_noise(call, speech_db(call), noise, snr_db))
}

/// The frames that a gate lets through.
fn passed(sound: &[i16]) -> Vec<bool> {
    let (now, mut gate) = (Instant::now(), Gate::new());
    let frames = sound.chunks_exact(STEP);
    frames
        .map(|part| gate.is_speech(&Frame::new(8_000, 0, now, false, part)))
        .collect()
}

#[test]
fn who_speaks_from_the_first_frame_on_is_heard_from_there_on() {
    let speech = common::telephone("hello_world.wav");
    let loud = speech.chunks(STEP).position(|part| level_db(part) > -30.0);
    let speech = &speech[loud.unwrap() * STEP..];
    assert!(passed(speech)[..10].iter().all(|passed| *passed));
}

#[test]
fn silence_never_passes_nor_does_a_constant() {
    for value in [0, 1, -8, 4_000] {
        let passed = passed(&[value; 16_000]);
        // The constant's beginning is a step.
        assert!(!passed[4..].iter().any(|passed| *passed), "{value}");
    }
}

#[test]
fn steady_noise_passes_for_a_quarter_of_a_second_and_hardly_ever_after() {
    for level in [0.003, 0.03, 0.3] {
        let passed = passed(&common::noise(80_000, level));
        let later = passed[16..].iter().filter(|passed| **passed).count();
        assert!(later <= 5, "{later} of {} frames pass", passed.len());
    }
}

#[test]
fn noise_that_grows_is_what_is_always_there_two_seconds_later() {
    let noise = [common::noise(80_000, 0.003), common::noise(80_000, 0.03)].concat();
    let passed = passed(&noise);
    assert!(passed[500..510].iter().all(|passed| *passed));
    let later = passed[500 + 115..].iter().filter(|passed| **passed).count();
    assert!(later <= 5, "{later} frames pass");
}

#[test]
fn speech_is_noticed_behind_the_gate_when_it_is_without_it() {
    let silero = Silero::load(&default_dir()).unwrap();
    let names = ["hello_world.wav", "weather_question.wav", "jfk.wav"];
    let (clean, spans) = call(&names.map(common::telephone));
    let noise = common::noise(80_000, 0.1);
    for call in [
        common::over_ulaw(&clean),
        noisy(&clean, &noise, 20.0),
        noisy(&clean, &noise, 10.0),
    ] {
        let mut gate = Gate::new();
        let (all, gated) = (
            hear(&silero, &call, |_| true),
            hear(&silero, &call, |frame| gate.is_speech(frame)),
        );
        let (found, late) = noticed(&all.starts, &spans);
        assert_eq!(found, spans.len());
        let (found_behind, late_behind) = noticed(&gated.starts, &spans);
        assert_eq!(found_behind, found);
        assert!(late_behind <= late + 1.0, "{late_behind} for {late} frames");
        assert!(gated.windows < all.windows * 9 / 10);
    }
}

/// The WAV files (8 kHz) of the folder that a variable names.
fn folder(variable: &str) -> Vec<Vec<i16>> {
    let files = common::folder(&std::env::var(variable).unwrap()).into_iter();
    files.map(|(_, sound)| sound).collect()
}

/// Has a detector hear a call through each of the gates that are compared.
fn hear_through_each(silero: &Silero, call: &[i16]) -> [(&'static str, Heard); 3] {
    let mut vad = Vad::new_with_rate_and_mode(SampleRate::Rate8kHz, VadMode::Aggressive);
    let mut gate = Gate::new();
    let webrtc = |frame: &Frame| vad.is_voice_segment(frame.samples()).unwrap();
    [
        ("all", hear(silero, call, |_| true)),
        ("webrtc", hear(silero, call, webrtc)),
        ("ours", hear(silero, call, |frame| gate.is_speech(frame))),
    ]
}

/// How many of the spans somebody is noticed in, and how many frames after their first on average.
fn noticed(starts: &[usize], spans: &[Range<usize>]) -> (usize, f64) {
    // Breath before the first loud frame may be noticed already.
    let first = |span: &Range<usize>| {
        let within = span.start.saturating_sub(20)..span.end;
        let start = starts.iter().find(|start| within.contains(start));
        start.map(|start| *start as f64 - span.start as f64)
    };
    let late: Vec<f64> = spans.iter().filter_map(first).collect();
    (
        late.len(),
        late.iter().sum::<f64>() / late.len().max(1) as f64,
    )
}

/// Prints what gates let through and what is missed for them: `OFFHOOK_SPEECH=FOLDER
/// OFFHOOK_NOISE=FOLDER cargo test --release -p offhook-models --test gate -- --ignored --nocapture`.
#[test]
#[ignore = "a table"]
fn figures_of_gates() {
    let silero = Silero::load(&default_dir()).unwrap();
    let speech = folder("OFFHOOK_SPEECH");
    let mut noises = vec![
        ("white".to_owned(), common::noise(80_000, 0.1)),
        ("babble".to_owned(), babble(&speech)),
    ];
    for (n, noise) in folder("OFFHOOK_NOISE").into_iter().enumerate() {
        noises.push((format!("noise {n}"), noise));
    }
    let (clean, spans) = call(&speech);
    println!("{} pieces, {} s", speech.len(), clean.len() / 8_000);
    at_once(&silero, &speech);
    row(&silero, "clean", &spans, &common::over_ulaw(&clean));
    let faint: Vec<i16> = clean.iter().map(|s| s / 16).collect();
    row(&silero, "24 dB softer", &spans, &common::over_ulaw(&faint));
    for (name, noise) in &noises {
        for snr_db in [30.0, 20.0, 10.0, 5.0] {
            row(
                &silero,
                &format!("{name}, {snr_db} dB"),
                &spans,
                &noisy(&clean, noise, snr_db),
            );
        }
    }
}

/// How soon each piece is noticed that begins a call, in frames from its first loud one on.
fn at_once(silero: &Silero, speech: &[Vec<i16>]) {
    let mut noticed = [[0_usize; 4]; 3];
    for piece in speech {
        let (call, spans) = call(std::slice::from_ref(piece));
        let call = common::over_ulaw(&call[spans[0].start * STEP..]);
        let heard = hear_through_each(silero, &call);
        for (noticed, (_, heard)) in noticed.iter_mut().zip(&heard) {
            for (count, within) in noticed.iter_mut().zip([5, 10, 20, usize::MAX]) {
                *count += usize::from(heard.starts.first().is_some_and(|n| *n <= within));
            }
        }
    }
    println!(
        "speech from the first frame on, noticed within 100, 200, 400 ms, ever: all {:?}, webrtc {:?}, ours {:?}",
        noticed[0], noticed[1], noticed[2]
    );
}

/// Six voices at once.
fn babble(speech: &[Vec<i16>]) -> Vec<i16> {
    let mut sum = vec![0.0_f32; 30 * 8_000];
    let mut at = 0;
    for piece in speech.iter().rev().cycle().take(speech.len().min(60)) {
        for sample in piece {
            sum[at % (30 * 8_000)] += f32::from(*sample) / 6.0;
            at += 1;
        }
    }
    sum.into_iter().map(|s| s as i16).collect()
}

fn row(silero: &Silero, name: &str, spans: &[Range<usize>], call: &[i16]) {
    let heard = hear_through_each(silero, call);
    let windows = heard[0].1.windows.max(1);
    print!("{name:16}");
    for (gate, heard) in &heard {
        let (found, late) = noticed(&heard.starts, spans);
        print!(
            " | {gate}: {:5.1} % noticed, {:3.0} ms, {:3} starts, {:4.1} % of windows",
            100.0 * found as f64 / spans.len().max(1) as f64,
            late * 20.0,
            heard.starts.len(),
            100.0 * heard.windows as f64 / windows as f64,
        );
    }
    println!();
}
