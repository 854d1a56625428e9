//! What each model costs on this machine: `cargo bench --bench models`.
//!
//! Needs the model folder (`offhook models pull`) and, beside the bench, the program
//! offhook-phonemes (`cargo build --release -p offhook-phonemes`).

// A bench that cannot run says so and ends.
#![allow(clippy::expect_used, clippy::disallowed_methods)]

use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use offhook_media::Frame;
use offhook_models::Runtime;
use offhook_models::denoise::NoiseSuppressor;
use offhook_models::manifest::{Manifest, default_dir};
use offhook_models::resample::{PAST_SAMPLES, Upsampler, convert_rate, upsample};
use offhook_models::turn::TurnDetector;
use offhook_models::vad::{
    Gate, Silero, SileroBatch, SileroState, VadSettings, VoiceDetector, WINDOW,
};
use offhook_models::voice::{Step as Sound, Voice, VoiceOptions};
use offhook_models::whisper::{Options, Size, Step, Transcription, Whisper};
use webrtc_vad::{SampleRate, Vad, VadMode};

fn runtime() -> Runtime {
    Runtime::load(&default_dir()).expect("ONNX Runtime is in the model folder")
}

/// Real speech (`tests/corpora/speech/jfk.wav`) at a rate, full scale ±1.
fn speech(rate_hz: u32) -> Vec<f32> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora/speech");
    let mut wav = hound::WavReader::open(corpora.join("jfk.wav")).expect("the corpus");
    let samples = wav.samples::<i16>();
    let samples = samples.map(|s| f32::from(s.expect("a sample")) / 32_768.0);
    convert_rate(&samples.collect::<Vec<_>>(), 16_000, rate_hz)
}

fn telephone() -> Vec<i16> {
    let samples = speech(8_000);
    samples.iter().map(|s| (s * 32_767.0) as i16).collect()
}

/// The cheap gate on a frame of 20 ms: each frame of each call.
#[divan::bench]
fn gate_per_frame(bencher: Bencher<'_, '_>) {
    let sound = telephone();
    let now = Instant::now();
    let frames = sound.chunks_exact(160);
    let frames: Vec<Frame> = frames
        .map(|part| Frame::new(8_000, 0, now, false, part))
        .collect();
    let mut gate = Gate::new();
    let mut frames = frames.iter().cycle();
    bencher.bench_local(|| gate.is_speech(frames.next().expect("a frame")));
}

/// The gate of WebRTC on the same.
#[divan::bench]
fn gate_of_webrtc_per_frame(bencher: Bencher<'_, '_>) {
    let sound = telephone();
    let mut gate = Vad::new_with_rate_and_mode(SampleRate::Rate8kHz, VadMode::Aggressive);
    let mut frames = sound.chunks_exact(160).cycle();
    bencher.bench_local(|| gate.is_voice_segment(frames.next().expect("a frame")));
}

/// Noise suppression on a frame of 20 ms of speech: each frame of a call that wants it.
#[divan::bench]
fn noise_suppression_per_frame(bencher: Bencher<'_, '_>) {
    let sound = telephone();
    let now = Instant::now();
    let frames = sound.chunks_exact(160);
    let frames: Vec<Frame> = frames
        .map(|part| Frame::new(8_000, 0, now, false, part))
        .collect();
    let mut suppressor = NoiseSuppressor::new();
    let mut frames = frames.iter().cycle();
    bencher.bench_local(|| {
        suppressor.push(frames.next().expect("a frame"), true);
        suppressor.pop()
    });
}

/// The live path's doubling of the rate, for a window that Silero judges.
#[divan::bench]
fn upsampler_per_window(bencher: Bencher<'_, '_>) {
    let sound = telephone();
    let samples = sound.get(8_000..8_000 + PAST_SAMPLES + WINDOW / 2);
    let samples = samples.expect("a window");
    let (upsampler, mut out) = (Upsampler::new(), [0.0; WINDOW]);
    bencher.bench_local(|| upsampler.double(black_box(samples), &mut out));
}

/// What a detector does with a frame of which Silero hears nothing: almost every frame of silence.
#[divan::bench]
fn detector_per_silent_frame(bencher: Bencher<'_, '_>) {
    let frame = Frame::new(8_000, 0, Instant::now(), false, &[0; 160]);
    let mut detector = VoiceDetector::new(VadSettings::default());
    bencher.bench_local(|| detector.push(black_box(&frame), false));
}

fn silero_file() -> std::path::PathBuf {
    Manifest::embedded().file(&default_dir(), "silero-vad", ".onnx")
}

/// Silero on a window of each of several calls, in one run.
#[divan::bench(args = [1, 2, 3, 4, 16], sample_count = 400)]
fn silero_on_windows_of_calls(bencher: Bencher<'_, '_>, calls: usize) {
    let silero = Silero::load(&default_dir()).expect("Silero is in the model folder");
    let sound = speech(16_000);
    let (windows, _) = sound.as_chunks::<WINDOW>();
    let mut windows = windows.iter().cycle();
    let mut states = vec![SileroState::default(); calls];
    let mut batch = SileroBatch::default();
    bencher.counter(ItemsCount::new(calls)).bench_local(|| {
        batch.clear();
        for state in &mut states {
            batch.add(state, windows.next().expect("a window"));
        }
        silero.run(&mut batch);
        for (number, state) in states.iter_mut().enumerate() {
            batch.take(number, state).expect("a probability");
        }
    });
}

/// The same by ONNX Runtime, which runs the very file; what it is given and what it gives are
/// copied as a caller would have to.
#[divan::bench(args = [1, 4, 16], sample_count = 200)]
fn silero_by_onnx_runtime(bencher: Bencher<'_, '_>, calls: usize) {
    use ort::value::{Tensor, TensorRef};

    /// A window and the samples before it; the recurrent state.
    const LINE: usize = 64 + WINDOW;
    const STATE: usize = 2 * 128;
    let graph = runtime().graph_from_file(&silero_file());
    let graph = graph.expect("Silero is in the model folder");
    let sound = speech(16_000);
    let mut lines = sound.windows(LINE).step_by(WINDOW).cycle();
    let (mut input, mut state) = (Vec::new(), vec![0.0_f32; calls * STATE]);
    bencher.counter(ItemsCount::new(calls)).bench_local(|| {
        input.clear();
        for line in lines.by_ref().take(calls) {
            input.extend_from_slice(line);
        }
        let mut session = graph.session();
        let given = ort::inputs![
            "input" => TensorRef::from_array_view(([calls, LINE], input.as_slice()))
                .expect("an input"),
            "state" => TensorRef::from_array_view(([2, calls, 128], state.as_slice()))
                .expect("a state"),
            "sr" => Tensor::from_array(((), vec![16_000_i64])).expect("a rate"),
        ];
        let outputs = session.run(given).expect("the windows are judged");
        let new = outputs.get("stateN").expect("a state");
        let (_, new) = new.try_extract_tensor::<f32>().expect("floats");
        state.copy_from_slice(new);
    });
}

/// smart-turn on eight seconds, their spectrogram included.
#[divan::bench(sample_count = 60, sample_size = 1)]
fn smart_turn(bencher: Bencher<'_, '_>) {
    let model = TurnDetector::load(&runtime(), &default_dir());
    let model = model.expect("smart-turn is in the model folder");
    let sound = telephone();
    let recent = sound.get(16_000..80_000).expect("eight seconds");
    bencher.bench_local(|| model.probability(recent).expect("a probability"));
}

fn whisper() -> &'static Whisper {
    static WHISPER: OnceLock<Whisper> = OnceLock::new();
    WHISPER.get_or_init(|| {
        let loaded = Whisper::load(&runtime(), &default_dir(), Size::TinyEn);
        loaded.expect("Whisper is in the model folder")
    })
}

fn finish(mut transcription: Transcription) -> String {
    loop {
        if let Step::Done(transcript) = transcription.step().expect("a step") {
            return transcript.text;
        }
    }
}

/// A final transcript of so many seconds of speech, all steps one after the other.
#[divan::bench(args = [3, 6], sample_count = 40, sample_size = 1)]
fn whisper_final(bencher: Bencher<'_, '_>, seconds: usize) {
    let sound = telephone();
    let piece = sound.get(..seconds * 8_000).expect("so much speech");
    let options = Options::default();
    bencher.bench_local(|| finish(whisper().begin_8k(piece, &options)));
}

/// The longest step of such a transcript is what more urgent work waits for; this is the first,
/// which doubles the rate, takes the spectrogram and runs the convolutions.
#[divan::bench(args = [3, 6], sample_count = 40, sample_size = 1)]
fn whisper_first_step(bencher: Bencher<'_, '_>, seconds: usize) {
    let sound = telephone();
    let piece = sound.get(..seconds * 8_000).expect("so much speech");
    let options = Options::default();
    bencher.bench_local(|| {
        let mut transcription = whisper().begin_8k(piece, &options);
        transcription.step().expect("a step")
    });
}

/// The rate of six finished seconds doubled for the recogniser.
#[divan::bench]
fn upsample_six_seconds(bencher: Bencher<'_, '_>) {
    let sound = telephone();
    let piece = sound.get(..48_000).expect("so much speech");
    bencher.bench_local(|| upsample(black_box(piece)));
}

/// From a clause's text to its first sound, its phonemes known.
#[divan::bench(sample_count = 60, sample_size = 1)]
fn piper_first_chunk(bencher: Bencher<'_, '_>) {
    let options = VoiceOptions {
        deterministic: true,
        ..VoiceOptions::default()
    };
    let voice = Voice::load(&runtime(), &default_dir(), "en_US-joe-medium", options);
    let voice = voice.expect("the voice is in the model folder");
    bencher
        .with_inputs(|| voice.begin(&voice.phonemes("Thanks for calling,").expect("phonemes")))
        .bench_local_values(|mut synthesis| {
            loop {
                match synthesis.step().expect("the voice speaks") {
                    Sound::More => {}
                    Sound::Sound(sound) => return sound,
                    Sound::Done => return Vec::new(),
                }
            }
        });
}

fn main() {
    divan::main();
}
