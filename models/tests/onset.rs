//! How soon the detector notices that somebody begins to speak: needs the model folder
//! (`offhook models pull`).

// What a test needs and does not get ends the test; the clock is read once, for a beginning of time.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use offhook_media::Frame;
use offhook_models::manifest::default_dir;
use offhook_models::vad::{Gate, Silero, VadEdge, VadSettings, VoiceDetector, level_db};

const FRAME: Duration = Duration::from_millis(20);
const STEP: usize = 160;
/// Silence of 2 s before a call's first words.
const LEAD: usize = 100;
/// A window is 256 samples of a telephone call: in eight frames there are five, so that speech may
/// begin at eight places of a window.
const PLACES: usize = 8;

/// A second of sound from its first frame on that is within so many dB of its loudest.
fn words(samples: &[i16], range_db: f32) -> Option<&[i16]> {
    let levels = samples.chunks(STEP).map(level_db);
    let loudest = levels.fold(f32::MIN, f32::max);
    let audible = |part: &[i16]| level_db(part) > loudest - range_db;
    let from = samples.chunks(STEP).position(audible)? * STEP;
    samples.get(from..samples.len().min(from + 50 * STEP))
}

/// Frames from the first of `words` to the one at which they are noticed, after other sound.
fn noticed_after(silero: &Silero, before: &[i16], words: &[i16]) -> Option<usize> {
    let epoch = Instant::now();
    let (mut gate, mut detector) = (Gate::new(), VoiceDetector::new(VadSettings::default()));
    let call = [before, words].concat();
    let begins = |(n, part): (usize, &[i16])| {
        let at = epoch + FRAME * n as u32;
        let frame = Frame::new(8_000, (n * STEP) as u64, at, false, part);
        let passed = gate.is_speech(&frame);
        let (edge, _) = detector.hear(silero, &frame, passed);
        let starts = matches!(edge, Some(VadEdge::SpeechStart { .. }));
        starts.then_some(n)
    };
    let starts = call.chunks_exact(STEP).enumerate().filter_map(begins);
    let first = before.len() / STEP;
    starts.into_iter().find_map(|n| n.checked_sub(first))
}

/// The same at each place of a window, after 2 s of silence that follow `earlier`.
fn at_each_place(silero: &Silero, earlier: &[i16], words: &[i16]) -> Vec<Option<usize>> {
    let after = |place| {
        let mut before = earlier.to_vec();
        before.resize(earlier.len() / STEP * STEP + (LEAD + place) * STEP, 0);
        noticed_after(silero, &before, words)
    };
    (0..PLACES).map(after).collect()
}

#[test]
fn a_calls_first_words_and_later_ones_are_noticed_within_five_frames_wherever_they_begin() {
    let silero = Silero::load(&default_dir()).unwrap();
    let calls = ["hello_world.wav", "weather_question.wav", "jfk.wav"].map(common::telephone);
    for (n, call) in calls.iter().enumerate() {
        let spoken = words(call, 20.0).unwrap();
        let first = at_each_place(&silero, &[], spoken);
        let later = at_each_place(&silero, words(&calls[(n + 1) % 3], 20.0).unwrap(), spoken);
        for noticed in first.iter().chain(&later) {
            assert!(noticed.is_some_and(|n| n <= 5), "{first:?}, {later:?}");
        }
    }
}

/// The WAV files of the folder that a variable names, as a telephone hears them.
fn folder(variable: &str) -> Vec<(PathBuf, Vec<i16>)> {
    let files = common::folder(&std::env::var(variable).unwrap()).into_iter();
    files
        .map(|(path, sound)| (path, common::over_ulaw(&sound)))
        .collect()
}

/// Prints how soon speech is noticed: `OFFHOOK_SPEECH=FOLDER cargo test --release -p offhook-models
/// --test onset -- --ignored --nocapture figures_of_onsets`.
#[test]
#[ignore = "a table"]
fn figures_of_onsets() {
    let silero = Silero::load(&default_dir()).unwrap();
    let files = folder("OFFHOOK_SPEECH");
    let spoken: Vec<&[i16]> = files
        .iter()
        .filter_map(|(_, sound)| words(sound, 20.0))
        .collect();
    let earlier = spoken.iter().cycle().skip(spoken.len() - 1).copied();
    println!(
        "ms from the first frame within 20 dB of the loudest: of calls, median, 75, 90, 95, 99 %"
    );
    for (name, after_others) in [("first words", false), ("later words", true)] {
        let mut delays = Vec::new();
        for (words, earlier) in spoken.iter().zip(earlier.clone()) {
            let earlier = if after_others { earlier } else { &[] };
            delays.extend(at_each_place(&silero, earlier, words).into_iter().flatten());
        }
        delays.sort_unstable();
        let at = |share: f64| 20 * delays[((delays.len() - 1) as f64 * share) as usize];
        let shares = [0.5, 0.75, 0.9, 0.95, 0.99].map(at);
        println!("{name}: {} {shares:?}", delays.len());
    }
}

/// Prints how often what is no speech is taken for it: `OFFHOOK_NOISES=FOLDER …
/// figures_of_false_alarms`.
#[test]
#[ignore = "a table"]
fn figures_of_false_alarms() {
    let silero = Silero::load(&default_dir()).unwrap();
    for (path, sound) in folder("OFFHOOK_NOISES") {
        let minutes = sound.len() as f64 / 480_000.0;
        let (mut alarms, mut from) = (0, 0);
        while let Some(n) = noticed_after(&silero, &[], &sound[from..]) {
            alarms += 1;
            // On to what comes a second later.
            from = sound.len().min(from + (n + 50) * STEP);
        }
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        println!("{name}: {alarms} in {minutes:.1} minutes");
    }
}
