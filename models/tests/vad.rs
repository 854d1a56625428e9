//! Gate, Silero and detector on real speech: needs the model folder (`offhook models pull`).

// What a test needs and does not get ends the test; the clock is read once, for a beginning of time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::disallowed_methods
)]

mod common;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use offhook_media::Frame;
use offhook_models::manifest::default_dir;
use offhook_models::vad::{
    Gate, Silero, SileroBatch, SileroState, VadEdge, VadSettings, VoiceDetector, WINDOW, level_db,
};

const FRAME: Duration = Duration::from_millis(20);
/// One window of Silero, and the frame that completes it.
const WINDOW_TIME: Duration = Duration::from_millis(32 + 20);
/// Of a soft beginning Silero is sure only a window later.
const ONSET_TIME: Duration = Duration::from_millis(2 * 32 + 20);

fn silero() -> &'static Silero {
    static SILERO: OnceLock<Silero> = OnceLock::new();
    SILERO.get_or_init(|| Silero::load(&default_dir()).unwrap())
}

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Cuts sound into the frames of packets that arrive each 20 ms.
fn frames(samples: &[i16], rate_hz: u32) -> Vec<Frame> {
    let per_packet = rate_hz as usize / 50;
    let packets = samples.chunks_exact(per_packet).enumerate();
    let in_packet = |(index, packet): (usize, &[i16])| {
        let at = epoch() + FRAME * index as u32;
        let position = (index * per_packet) as u64;
        let parts = packet.chunks(Frame::MAX_SAMPLES);
        let frame = |part: &[i16]| Frame::new(rate_hz, position, at, false, part);
        parts.map(frame).collect::<Vec<_>>()
    };
    packets.flat_map(in_packet).collect()
}

/// What a call's detector makes of frames.
#[derive(Debug, Default)]
struct Heard {
    edges: Vec<VadEdge>,
    passed: usize,
    runs: u64,
}

fn hear(frames: &[Frame]) -> Heard {
    let (mut gate, mut detector) = (Gate::new(), VoiceDetector::new(VadSettings::default()));
    let mut heard = Heard::default();
    for frame in frames {
        let passed = gate.is_speech(frame);
        let (edge, runs) = detector.hear(silero(), frame, passed);
        heard.passed += usize::from(passed);
        heard.runs += runs;
        if let Some(VadEdge::SpeechStart { at }) = edge {
            // A window is longer than a frame: it began with one before this.
            assert!(at < frame.received, "the onset is the window's end");
        }
        heard.edges.extend(edge);
    }
    heard
}

/// When speech began and ended, in time from the beginning.
fn utterances(edges: &[VadEdge]) -> Vec<(Duration, Duration)> {
    let pairs = edges.chunks(2).map(|pair| match pair {
        [
            VadEdge::SpeechStart { at: start },
            VadEdge::SpeechStop { at: stop },
        ] => (*start - epoch(), *stop - epoch()),
        other => panic!("not a beginning and an end: {other:?}"),
    });
    pairs.collect()
}

fn silence(seconds: f64) -> Vec<i16> {
    vec![0; (seconds * 8_000.0) as usize]
}

/// Speech between a second of silence and a second and a half of it.
fn between_silences(speech: Vec<i16>, rate_hz: u32) -> Vec<i16> {
    let second = rate_hz as usize;
    [vec![0; second], speech, vec![0; second * 3 / 2]].concat()
}

/// When the first frame arrived that is within 20 dB of the loudest, and the last within 30 dB:
/// before a word there is breath, behind it its last consonant.
fn loud_span(frames: &[Frame]) -> (Duration, Duration) {
    let level = |frame: &Frame| level_db(frame.samples());
    let loudest = frames.iter().map(level).fold(f32::MIN, f32::max);
    let within = |range: f32| move |frame: &&Frame| level(frame) > loudest - range;
    let first = frames.iter().find(within(20.0)).unwrap();
    let last = frames.iter().rfind(within(30.0)).unwrap();
    (first.received - epoch(), last.received - epoch())
}

#[test]
fn speech_begins_and_ends_where_its_sound_does() {
    for (name, rate_hz) in [
        ("weather_question.wav", 8_000),
        ("weather_question.wav", 16_000),
        ("hello_world.wav", 8_000),
        ("hello_world.wav", 16_000),
    ] {
        let speech = match rate_hz {
            8_000 => common::telephone(name),
            _ => common::to_pcm(&common::speech(name, rate_hz)),
        };
        let frames = frames(&between_silences(speech, rate_hz), rate_hz);
        let (first, last) = loud_span(&frames);
        let heard = hear(&frames);
        let all = utterances(&heard.edges);
        let (Some((start, _)), Some((_, stop))) = (all.first(), all.last()) else {
            panic!("{name}: nobody was heard");
        };
        println!("{name} at {rate_hz} Hz: {all:?}, loud from {first:?} to {last:?}");
        assert!(
            start.abs_diff(first) <= ONSET_TIME,
            "{name}: {start:?}, {first:?}"
        );
        assert!(
            stop.abs_diff(last) <= WINDOW_TIME,
            "{name}: {stop:?}, {last:?}"
        );
    }
}

#[test]
fn a_speech_of_eleven_seconds_is_heard_in_all_its_parts() {
    let speech = common::telephone("jfk.wav");
    let heard = hear(&frames(&between_silences(speech, 8_000), 8_000));
    let all = utterances(&heard.edges);
    println!("{all:?}");
    let spoken: Duration = all.iter().map(|(start, stop)| *stop - *start).sum();
    assert!((6.0..11.0).contains(&spoken.as_secs_f64()), "{spoken:?}");
    let ordered = all.windows(2).all(|pair| pair[0].1 < pair[1].0);
    assert!(ordered, "{all:?}");
}

#[test]
fn silence_and_noise_are_nobodys_speech() {
    let tone = |hertz: [f64; 2]| -> Vec<i16> {
        let turn = |n: usize, hertz: f64| std::f64::consts::TAU * hertz * n as f64 / 8_000.0;
        let sample = |n| (4_000.0 * (turn(n, hertz[0]).sin() + turn(n, hertz[1]).sin())) as i16;
        (0..32_000).map(sample).collect()
    };
    let sounds = [
        ("silence", silence(10.0)),
        ("a quiet line", common::noise(80_000, 0.001)),
        ("noise", common::noise(80_000, 0.05)),
        ("loud noise", common::noise(80_000, 0.5)),
        ("dial tone", tone([350.0, 440.0])),
        ("ringing", tone([440.0, 480.0])),
    ];
    for (name, sound) in sounds {
        let heard = hear(&frames(&common::over_ulaw(&sound), 8_000));
        println!("{name}: {} passed, {} runs", heard.passed, heard.runs);
        assert_eq!(heard.edges, [], "{name}");
    }
}

#[test]
fn silero_does_not_run_while_the_gate_lets_nothing_through() {
    let heard = hear(&frames(&silence(10.0), 8_000));
    assert_eq!((heard.passed, heard.runs), (0, 0));
    let speech = frames(&common::telephone("jfk.wav"), 8_000);
    let heard = hear(&speech);
    let windows = speech.len() as u64 * 20 / 32;
    assert!(heard.runs * 10 > windows * 6, "{} of {windows}", heard.runs);
}

#[test]
fn concealed_sound_does_not_put_off_the_end() {
    let sound = between_silences(common::telephone("hello_world.wav"), 8_000);
    let mut frames = frames(&sound, 8_000);
    let (_, last) = loud_span(&frames);
    // What was made up for lost packets behind the last real one is loud, but nobody said it.
    let loud = common::noise(160, 0.3);
    for frame in &mut frames {
        if (last + FRAME..last + FRAME * 5).contains(&(frame.received - epoch())) {
            *frame = Frame::new(8_000, frame.rtp_timestamp, frame.received, true, &loud);
        }
    }
    let (_, stop) = *utterances(&hear(&frames).edges).last().unwrap();
    assert!(stop <= last, "{stop:?} is behind {last:?}");
}

fn windows(name: &str) -> Vec<[f32; WINDOW]> {
    let speech = common::speech(name, 16_000);
    let windows = speech.chunks_exact(WINDOW);
    windows.map(|part| part.try_into().unwrap()).collect()
}

fn probabilities(state: &mut SileroState, windows: &[[f32; WINDOW]]) -> Vec<f32> {
    let each = windows.iter();
    each.map(|window| silero().probability(state, window))
        .collect()
}

#[test]
fn calls_that_share_a_silero_do_not_hear_each_other() {
    let (one, other) = (windows("jfk.wav"), windows("weather_question.wav"));
    let alone = probabilities(&mut SileroState::default(), &one);
    let other_alone = probabilities(&mut SileroState::default(), &other);
    let (mut state, mut other_state) = (SileroState::default(), SileroState::default());
    for (index, (one, other)) in one.iter().zip(&other).enumerate() {
        let heard = silero().probability(&mut state, one);
        let other_heard = silero().probability(&mut other_state, other);
        assert_eq!((heard, other_heard), (alone[index], other_alone[index]));
    }
    let spoken = alone.iter().filter(|p| **p > 0.5).count();
    assert!(spoken * 2 > alone.len(), "{spoken} of {}", alone.len());
}

#[test]
fn a_call_begins_as_if_silence_had_been_heard() {
    let speech = windows("hello_world.wav");
    let mut heard = SileroState::default();
    probabilities(&mut heard, &[[0.0; WINDOW]; 64]);
    let mut fresh = SileroState::after_silence();
    assert_eq!(
        probabilities(&mut fresh, &speech),
        probabilities(&mut heard, &speech)
    );
}

/// Another run of the same graph may add its products in another order.
const ROUNDING: f32 = 1e-4;

#[test]
fn windows_of_several_calls_judged_in_one_run_are_judged_as_each_alone() {
    let calls = [
        windows("jfk.wav"),
        windows("weather_question.wav"),
        windows("hello_world.wav"),
    ];
    let alone: Vec<Vec<f32>> = calls
        .iter()
        .map(|windows| probabilities(&mut SileroState::default(), windows))
        .collect();
    let mut states = vec![SileroState::default(); calls.len()];
    let mut batch = SileroBatch::default();
    for index in 0..calls[0].len() {
        // The shorter calls end while the longest goes on: the batch gets smaller.
        let going_on = |call: &usize| index < calls[*call].len();
        let in_call: Vec<usize> = (0..calls.len()).filter(going_on).collect();
        batch.clear();
        for &call in &in_call {
            batch.add(&mut states[call], &calls[call][index]);
        }
        assert_eq!(batch.len(), in_call.len());
        silero().run(&mut batch);
        for (number, &call) in in_call.iter().enumerate() {
            let heard = batch.take(number, &mut states[call]).unwrap();
            let expected = alone[call][index];
            assert!(
                (heard - expected).abs() < ROUNDING,
                "{heard} for {expected}"
            );
        }
        assert_eq!(batch.take(in_call.len(), &mut SileroState::default()), None);
    }
}

#[test]
fn a_window_that_was_not_judged_counts_for_nothing_and_the_call_goes_on() {
    let speech = frames(
        &between_silences(common::telephone("jfk.wav"), 8_000),
        8_000,
    );
    let (mut gate, mut detector) = (Gate::new(), VoiceDetector::new(VadSettings::default()));
    let (mut batch, mut edges, mut added) = (SileroBatch::default(), Vec::new(), 0);
    for frame in &speech {
        detector.push(frame, gate.is_speech(frame));
        while detector.is_due() {
            batch.clear();
            detector.add_to(&mut batch);
            // The third is forgotten.
            added += 1;
            if added != 3 {
                silero().run(&mut batch);
            }
            edges.extend(detector.judge(&batch, 0));
        }
    }
    assert!(matches!(edges[..], [VadEdge::SpeechStart { .. }, ..]));
    assert!(matches!(edges[..], [.., VadEdge::SpeechStop { .. }]));
}
