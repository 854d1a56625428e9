//! Speech from text on this machine: `cargo bench --bench voice`.
//!
//! Needs the model folder and, beside the bench, the program offhook-phonemes
//! (`cargo build --release -p offhook-phonemes`).

// A bench that cannot run says so and ends.
#![allow(clippy::expect_used)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use divan::{Bencher, black_box};
use offhook_models::Runtime;
use offhook_models::manifest::default_dir;
use offhook_models::voice::normalise::normalise;
use offhook_models::voice::{
    ClauseSplitter, Phonemizer, PhraseCache, Step, Synthesis, Voice, VoiceOptions,
};

const SHORT: &str = "Hi there!";
const CLAUSE: &str = "Thanks for calling,";
const SENTENCE: &str = "Thanks for calling, how can I help you today?";
const LONG: &str = "I can put you through to somebody who knows more about that, or I can take a \
                    message and have them call you back tomorrow.";
const TEXTS: [&str; 4] = [SHORT, CLAUSE, SENTENCE, LONG];

fn voice() -> &'static Voice {
    static VOICE: OnceLock<Voice> = OnceLock::new();
    VOICE.get_or_init(|| load_voice(None))
}

fn load_voice(phonemizer: Option<Phonemizer>) -> Voice {
    let dir = default_dir();
    let runtime = Runtime::load(&dir).expect("ONNX Runtime is in the model folder");
    let options = VoiceOptions {
        deterministic: true,
        phonemizer,
        ..VoiceOptions::default()
    };
    Voice::load(&runtime, &dir, "en_US-joe-medium", options).expect("the voice loads")
}

fn begin(voice: &Voice, text: &str) -> Synthesis {
    voice.begin(&voice.phonemes(text).expect("phonemes"))
}

fn to_first_sound(synthesis: &mut Synthesis) -> Vec<i16> {
    loop {
        match synthesis.step().expect("the voice speaks") {
            Step::More => {}
            Step::Sound(sound) => return sound,
            Step::Done => return Vec::new(),
        }
    }
}

/// From a clause's phonemes to its first samples; `normalisation` and, for phonemes that are not
/// known from before, `fresh_phonemes` come on top.
#[divan::bench(args = TEXTS, sample_count = 60)]
fn first_sound(bencher: Bencher<'_, '_>, text: &str) {
    let voice = voice();
    bencher
        .with_inputs(|| begin(voice, text))
        .bench_values(|mut synthesis| to_first_sound(&mut synthesis));
}

/// A word that was never asked for, of four letters.
fn unheard(round: u32) -> String {
    let pick = |letters: &str, digit: u32| {
        letters
            .chars()
            .nth((digit as usize) % letters.len())
            .unwrap_or('a')
    };
    let (b, o) = ("bdfgklmnprstvz", "aeiou");
    [
        pick(b, round),
        pick(o, round / 14),
        pick(b, round / 70),
        pick(o, round / 980),
    ]
    .iter()
    .collect()
}

/// Phonemes of a sentence that was never asked for: the way to the program and back.
#[divan::bench]
fn fresh_phonemes(bencher: Bencher<'_, '_>) {
    let phonemizer = voice().phonemizer();
    let rounds = AtomicU32::new(1);
    bencher
        .with_inputs(|| {
            let round = rounds.fetch_add(1, Ordering::Relaxed);
            let (first, second) = (unheard(round), unheard(round / 4_900));
            format!("Thanks for calling {first} and {second}, how can I help you today?")
        })
        .bench_values(|text| phonemizer.phonemes("en-us", &text).expect("phonemes"));
}

/// The first step: the encoder.
#[divan::bench(args = TEXTS, sample_count = 60)]
fn encoder(bencher: Bencher<'_, '_>, text: &str) {
    let voice = voice();
    bencher
        .with_inputs(|| begin(voice, text))
        .bench_values(|mut synthesis| synthesis.step().expect("the voice speaks"));
}

/// All of a text; the counter shows samples of 8 kHz made per second.
#[divan::bench(args = TEXTS, sample_count = 20)]
fn whole(bencher: Bencher<'_, '_>, text: &str) {
    let voice = voice();
    let samples = voice.say(text).expect("the voice speaks").len();
    bencher
        .counter(divan::counter::ItemsCount::new(samples))
        .bench(|| voice.say(black_box(text)).expect("the voice speaks"));
}

/// A step in the middle of a long text, where chunks are largest: how long more urgent work waits.
#[divan::bench(sample_count = 60)]
fn largest_chunk(bencher: Bencher<'_, '_>) {
    let voice = voice();
    bencher
        .with_inputs(|| {
            let mut synthesis = begin(voice, LONG);
            for _ in 0..4 {
                synthesis.step().expect("the voice speaks");
            }
            synthesis
        })
        .bench_values(|mut synthesis| synthesis.step().expect("the voice speaks"));
}

/// Cutting and loading the voice, its calibration included.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn load() -> Voice {
    load_voice(Some(voice().phonemizer().clone()))
}

/// A phrase said before.
#[divan::bench]
fn phrase_cache_hit(bencher: Bencher<'_, '_>) {
    let cache = PhraseCache::new(64 << 20);
    for index in 0..500 {
        cache.insert(
            &PhraseCache::key("joe", &index.to_string()),
            vec![0; 16_000].into(),
        );
    }
    let key = PhraseCache::key("joe", SENTENCE);
    let sound: Arc<[i16]> = voice().say(SENTENCE).expect("the voice speaks").into();
    cache.insert(&key, sound);
    bencher.bench(|| cache.find(black_box(&key)));
}

/// Text with money, a date, a time and an address.
#[divan::bench]
fn normalisation(bencher: Bencher<'_, '_>) {
    let text = "It's $1,249.99, due 3/4/2026 at 5:30 pm; write to jane.doe@example.com.";
    bencher.bench(|| normalise(black_box(text)));
}

/// A text in pieces as a language model sends them.
#[divan::bench]
fn clauses(bencher: Bencher<'_, '_>) {
    bencher.bench(|| {
        let mut splitter = ClauseSplitter::default();
        let mut count = 0;
        for token in black_box(LONG).split_inclusive(' ') {
            count += splitter.push(token).len();
        }
        count + usize::from(splitter.finish().is_some())
    });
}

fn main() {
    divan::main();
}
