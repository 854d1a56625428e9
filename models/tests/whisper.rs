//! Whisper on real speech: needs the model folder (`offhook models pull`).

// What a test needs and does not get ends the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;
#[path = "voice/support.rs"]
mod support;

use std::sync::OnceLock;
use std::time::Duration;

use offhook_models::manifest::default_dir;
use offhook_models::voice::{Phonemizer, PhonemizerOptions, Voice, VoiceOptions};
use offhook_models::whisper::{Options, Size, Step, Transcript, Transcription, Whisper};

const JFK: &str = "And so my fellow Americans ask not what your country can do for you ask what you \
                   can do for your country";

fn whisper() -> &'static Whisper {
    static WHISPER: OnceLock<Whisper> = OnceLock::new();
    WHISPER.get_or_init(|| Whisper::load(&common::runtime(), &default_dir(), Size::TinyEn).unwrap())
}

fn phonemizer() -> Phonemizer {
    let options = PhonemizerOptions {
        program: Some(support::phonemes_program()),
        timeout: Duration::from_secs(20),
        ..PhonemizerOptions::default()
    };
    Phonemizer::start(&options.with_models(&default_dir())).unwrap()
}

fn finish(mut transcription: Transcription) -> Transcript {
    loop {
        if let Step::Done(transcript) = transcription.step().unwrap() {
            println!("{transcript:?}");
            return transcript;
        }
    }
}

fn hear(samples: &[i16]) -> Transcript {
    finish(whisper().begin_8k(samples, &Options::default()))
}

#[test]
fn a_speech_is_transcribed_word_for_word() {
    let speech = common::speech("jfk.wav", 16_000);
    let transcript = finish(whisper().begin(&speech, &Options::default()));
    assert_eq!(common::words(&transcript.text), common::words(JFK));
    assert!(!transcript.retried);
    assert!(transcript.mean_logprob > -0.4, "{transcript:?}");
}

#[test]
fn at_the_telephones_rate_it_is_the_same() {
    let transcript = hear(&common::to_pcm(&common::speech("jfk.wav", 8_000)));
    assert_eq!(common::words(&transcript.text), common::words(JFK));
    assert!(!transcript.retried);
}

/// Whether the words are the same, place by place, but for an ending ("Americans", "asked") that one
/// of them lacks: which of two it is may depend on how the processor rounds.
fn same_but_for_endings(text: &str, wanted: &str) -> bool {
    const ENDING: usize = 2;
    let (heard, wanted) = (common::words(text), common::words(wanted));
    let alike = |(heard, wanted): (&String, &String)| {
        let begins = heard.starts_with(wanted.as_str()) || wanted.starts_with(heard.as_str());
        begins && heard.len().abs_diff(wanted.len()) <= ENDING
    };
    heard.len() == wanted.len() && heard.iter().zip(&wanted).all(alike)
}

#[test]
fn companding_costs_no_more_than_the_end_of_a_word() {
    let transcript = hear(&common::telephone("jfk.wav"));
    let heard = &transcript.text;
    assert!(same_but_for_endings(heard, JFK), "{transcript:?}");
    let question = hear(&common::telephone("weather_question.wav"));
    assert_eq!(question.text, "What is the weather in Paris?");
}

#[test]
fn sound_longer_than_a_window_is_transcribed_in_order() {
    let once = common::telephone("jfk.wav");
    let question = common::telephone("weather_question.wav");
    let transcript = hear(&[once, vec![0; 4_000], question, vec![0; 80_000]].concat());
    let wanted = format!("{JFK} What is the weather in Paris");
    let heard = &transcript.text;
    assert!(same_but_for_endings(heard, &wanted), "{transcript:?}");
}

#[test]
fn a_second_is_enough_for_a_word() {
    let options = VoiceOptions {
        deterministic: true,
        phonemizer: Some(phonemizer()),
        ..VoiceOptions::default()
    };
    let voice = Voice::load(
        &common::runtime(),
        &default_dir(),
        "en_US-joe-medium",
        options,
    );
    let voice = voice.unwrap();
    for word in ["Yes.", "No.", "Tomorrow."] {
        let mut second = vec![0; 1_600];
        second.extend(voice.say(word).unwrap());
        second.resize(8_000, 0);
        let transcript = hear(&common::over_ulaw(&second));
        assert_eq!(common::words(&transcript.text), common::words(word));
    }
}

#[test]
fn nobody_says_nothing() {
    for sound in [vec![], vec![0; 100], vec![0; 8_000], vec![0; 40_000]] {
        let transcript = hear(&sound);
        assert_eq!(transcript.text, "", "{} samples", sound.len());
    }
}

#[test]
fn noise_does_not_make_it_talk_without_end() {
    let transcript = hear(&common::over_ulaw(&common::noise(40_000, 0.05)));
    assert!(common::words(&transcript.text).len() < 8, "{transcript:?}");
}

#[test]
fn what_was_asked_for_helps_to_spell_what_is_said() {
    let options = Options {
        prompt: Some("my fellow Amerikans".to_owned()),
        ..Options::default()
    };
    let speech = common::telephone("jfk.wav");
    let transcript = finish(whisper().begin_8k(&speech, &options));
    assert_eq!(
        common::words(&transcript.text).len(),
        common::words(JFK).len()
    );
}

#[test]
fn transcriptions_side_by_side_do_not_mix() {
    let speech = common::telephone("jfk.wav");
    let question = common::telephone("weather_question.wav");
    let alone = [hear(&speech), hear(&question)];
    let options = Options::default();
    let mut both = [
        whisper().begin_8k(&speech, &options),
        whisper().begin_8k(&question, &options),
    ];
    let mut done = [None, None];
    while done.iter().any(Option::is_none) {
        for (transcription, done) in both.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Step::Done(transcript) = transcription.step().unwrap()
            {
                *done = Some(transcript);
            }
        }
    }
    assert_eq!(done.map(Option::unwrap), alone);
}
