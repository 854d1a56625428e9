//! The longest step of each model, which is what more urgent work waits for on an inference
//! thread: `cargo bench --bench steps` prints a JSON object a line. [`STEP_LIMIT`] is the bound.
//!
//! Needs the model folder (`offhook models pull`) and, beside the bench, the program
//! offhook-phonemes (`cargo build --release -p offhook-phonemes`).

// A bench that cannot run says so and ends.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::panic
)]

use std::path::Path;
use std::time::{Duration, Instant};

use offhook_models::Runtime;
use offhook_models::manifest::default_dir;
use offhook_models::resample::convert_rate;
use offhook_models::turn::TurnDetector;
use offhook_models::voice::{Step as Sound, Voice, VoiceOptions};
use offhook_models::whisper::{Options, Size, Step, Whisper};
use offhook_models::workers::STEP_LIMIT;

/// How often each piece of work is done.
const ROUNDS: usize = 20;
const LONG: &str = "I can put you through to somebody who knows more about that, or I can take a \
                    message and have them call you back tomorrow.";

/// Real speech (`tests/corpora/speech/jfk.wav`) at 8 kHz.
fn telephone() -> Vec<i16> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora/speech");
    let mut wav = hound::WavReader::open(corpora.join("jfk.wav")).expect("the corpus");
    let samples = wav.samples::<i16>();
    let samples = samples.map(|s| f32::from(s.expect("a sample")) / 32_768.0);
    let narrow = convert_rate(&samples.collect::<Vec<_>>(), 16_000, 8_000);
    narrow.iter().map(|s| (s * 32_767.0) as i16).collect()
}

/// The steps of one kind of work.
#[derive(Default)]
struct Steps(Vec<Duration>);

impl Steps {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = work();
        self.0.push(began.elapsed());
        result
    }

    fn print(mut self, model: &str, what: &str) {
        self.0.sort_unstable();
        let ms = |at: usize| self.0.get(at).map_or(0.0, |d| d.as_secs_f64() * 1000.0);
        let last = self.0.len().saturating_sub(1);
        let slow = self.0.iter().filter(|took| **took > STEP_LIMIT).count();
        let line = serde_json::json!({
            "model": model, "steps": what, "count": self.0.len(), "p50_ms": ms(last / 2),
            "p95_ms": ms(last * 95 / 100), "longest_ms": ms(last), "over_limit": slow,
            "limit_ms": STEP_LIMIT.as_millis() as u64,
        });
        println!("{line}");
    }
}

fn smart_turn(runtime: &Runtime, sound: &[i16]) {
    let model = TurnDetector::load(runtime, &default_dir()).expect("smart-turn is there");
    let (mut first, mut second) = (Steps::default(), Steps::default());
    for _ in 0..ROUNDS {
        let mel = first.time(|| model.spectrogram(sound));
        second.time(|| model.judge(&mel).expect("a probability"));
    }
    first.print("smart-turn", "spectrogram of 8 s");
    second.print("smart-turn", "judgement");
}

fn whisper(runtime: &Runtime, sound: &[i16]) {
    let model = Whisper::load(runtime, &default_dir(), Size::TinyEn).expect("Whisper is there");
    for seconds in [3, 6, 10] {
        let piece = sound.get(..seconds * 8_000).expect("so much speech");
        let mut steps = Steps::default();
        for _ in 0..ROUNDS {
            let mut transcription = model.begin_8k(piece, &Options::default());
            while !matches!(
                steps.time(|| transcription.step().expect("a step")),
                Step::Done(_)
            ) {}
        }
        steps.print("whisper-tiny.en", &format!("final of {seconds} s"));
    }
}

fn piper(runtime: &Runtime) {
    let voice = Voice::load(
        runtime,
        &default_dir(),
        "en_US-joe-medium",
        VoiceOptions::default(),
    );
    let voice = voice.expect("the voice is there");
    for text in ["Thanks for calling,", LONG] {
        let phonemes = voice.phonemes(text).expect("phonemes");
        let mut steps = Steps::default();
        for _ in 0..ROUNDS {
            let mut synthesis = voice.begin(&phonemes);
            while steps.time(|| synthesis.step().expect("the voice speaks")) != Sound::Done {}
        }
        steps.print(
            "piper-en_US-joe-medium",
            &format!("{} characters", text.len()),
        );
    }
}

fn main() {
    let runtime = Runtime::load(&default_dir()).expect("ONNX Runtime is in the model folder");
    let sound = telephone();
    smart_turn(&runtime, sound.get(16_000..80_000).expect("eight seconds"));
    whisper(&runtime, &sound);
    piper(&runtime);
}
