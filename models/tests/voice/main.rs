//! The real voice speaks: needs the model folder (`offhook models pull`).

// What a test needs and does not get ends the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use offhook_models::Runtime;
use offhook_models::manifest::default_dir;
use offhook_models::voice::phonemes::PhonemeError;
use offhook_models::voice::{
    Phonemizer, PhonemizerOptions, PhraseCache, Step, Voice, VoiceOptions,
};
use offhook_models::whisper::{Options, Size, Whisper};
use rustix::process::{Pid, Signal, kill_process};

fn phonemizer() -> Phonemizer {
    let options = PhonemizerOptions {
        program: Some(support::phonemes_program()),
        timeout: Duration::from_secs(20),
        ..PhonemizerOptions::default()
    };
    Phonemizer::start(&options.with_models(&default_dir())).unwrap()
}

fn voice() -> Voice {
    let dir = default_dir();
    let runtime = Runtime::load(&dir).unwrap();
    let options = VoiceOptions {
        deterministic: true,
        phonemizer: Some(phonemizer()),
        ..VoiceOptions::default()
    };
    Voice::load(&runtime, &dir, "en_US-joe-medium", options).unwrap()
}

fn rms(samples: &[i16]) -> f64 {
    let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    (power / samples.len().max(1) as f64).sqrt() / f64::from(i16::MAX)
}

#[test]
fn phonemes_are_those_of_espeak_with_the_marks_put_back() {
    let phonemizer = phonemizer();
    for (text, phonemes) in [
        ("Hello, world!", "həlˈoʊ, wˈɜːld!"),
        (
            "She was nineteen, of the company.",
            "ʃiː wʌz nˈaɪntiːn, ʌvðə kˈʌmpəni.",
        ),
        ("the S.I.P trunk is up", "ðɪ ˌɛsˌaɪpˈiː tɹˈʌŋk ɪz ˈʌp"),
        ("voicemail", "vˈɔɪsmeɪl"),
        ("", ""),
        ("?!", ""),
    ] {
        assert_eq!(
            phonemizer.phonemes("en-us", text).unwrap(),
            phonemes,
            "{text}"
        );
    }
    for voice in ["xx-yy", "", "en us", "en\nus"] {
        let unknown = phonemizer.phonemes(voice, "hello").unwrap_err();
        assert!(matches!(unknown, PhonemeError::Refused(_)), "{unknown}");
    }
}

#[test]
fn a_killed_program_is_started_again_and_no_asker_notices() {
    let phonemizer = phonemizer();
    for round in 0..10 {
        let before = phonemizer.process_id().unwrap();
        let process = Pid::from_raw(before.try_into().unwrap()).unwrap();
        kill_process(process, Signal::KILL).unwrap();
        let text = format!("round {round} goes on, and on.");
        let phonemes = phonemizer.phonemes("en-us", &text).unwrap();
        assert!(phonemes.starts_with("ɹˈaʊnd"), "{phonemes}");
        assert_ne!(phonemizer.process_id(), Some(before));
    }
}

#[test]
fn many_askers_share_one_program() {
    let phonemizer = phonemizer();
    let process = phonemizer.process_id();
    std::thread::scope(|scope| {
        for asker in 0..8 {
            let phonemizer = phonemizer.clone();
            scope.spawn(move || {
                for round in 0..40 {
                    let text = format!("Asker {asker}, round {round}.");
                    let said = phonemizer.phonemes("en-us", &text).unwrap();
                    assert!(said.starts_with("ˈæskɚ"), "{said}");
                    assert_eq!(said.matches(',').count(), 1, "{said}");
                }
            });
        }
    });
    assert_eq!(phonemizer.process_id(), process);
}

#[test]
fn a_text_of_any_length_gets_its_phonemes() {
    let phonemizer = phonemizer();
    let text: String = (0..4_000)
        .map(|n| format!("Number {n} of the list, please. "))
        .collect();
    let phonemes = phonemizer.phonemes("en-us", &text).unwrap();
    assert_eq!(phonemes.matches(',').count(), 4_000);
    assert!(phonemes.ends_with("plˈiːz."));
    let unbroken = "x".repeat(5_000);
    let refused = phonemizer.phonemes("en-us", &unbroken).unwrap_err();
    assert_eq!(refused, PhonemeError::TooLong(5_000));
}

#[cfg(unix)]
#[test]
fn a_program_that_hangs_is_killed_and_started_again() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("mute");
    std::fs::write(
        &program,
        "#!/bin/sh\necho 'offhook-phonemes 1 ok none'\nexec sleep 1000\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let options = PhonemizerOptions {
        program: Some(program),
        espeak: None,
        timeout: Duration::from_millis(300),
    };
    let phonemizer = Phonemizer::start(&options).unwrap();
    let before = phonemizer.process_id().unwrap();
    assert_eq!(
        phonemizer.phonemes("en-us", "Hello."),
        Err(PhonemeError::Timeout)
    );
    // The next request waits for the program that takes the dead one's place.
    assert_eq!(
        phonemizer.phonemes("en-us", "Hello."),
        Err(PhonemeError::Timeout)
    );
    assert_ne!(phonemizer.process_id(), Some(before));
}

#[test]
fn a_program_that_is_missing_or_mute_is_an_error() {
    let start = |program: &str| {
        Phonemizer::start(&PhonemizerOptions {
            program: Some(program.into()),
            ..PhonemizerOptions::default()
        })
    };
    for program in ["/nowhere/offhook-phonemes", "/bin/true", "/bin/echo"] {
        let error = start(program).unwrap_err();
        assert!(
            matches!(error, PhonemeError::Start(_)),
            "{program}: {error}"
        );
    }
}

#[test]
fn a_clause_becomes_telephone_sound_in_steps() {
    let voice = voice();
    let clause = "Thanks for calling, how can I help you today?";
    let mut synthesis = voice.begin(&voice.phonemes(clause).unwrap());
    let mut chunks = Vec::new();
    assert_eq!(
        synthesis.step().unwrap(),
        Step::More,
        "the encoder comes first"
    );
    loop {
        match synthesis.step().unwrap() {
            Step::More => {}
            Step::Sound(sound) => chunks.push(sound),
            Step::Done => break,
        }
    }
    assert_eq!(synthesis.step().unwrap(), Step::Done);
    assert!(chunks.len() > 2, "{} chunks", chunks.len());
    let first = &chunks[0];
    assert!(
        first.len() > 1_000,
        "{} samples in the first chunk",
        first.len()
    );
    let onset = first.iter().position(|s| s.abs() > 500).unwrap();
    assert!(onset < 30 * 8, "sound begins after {onset} samples");
    let all: Vec<i16> = chunks.concat();
    let seconds = all.len() as f64 / 8_000.0;
    assert!((1.6..2.6).contains(&seconds), "{seconds} s");
    let level_db = 20.0 * rms(&all).log10();
    assert!((-25.0..-17.0).contains(&level_db), "{level_db} dBFS");
    assert!(all.iter().all(|s| s.unsigned_abs() < 32_200));
    let mean = all.iter().map(|s| f64::from(*s)).sum::<f64>() / all.len() as f64;
    assert!(mean.abs() < 30.0, "a mean of {mean}");
    assert_eq!(
        voice
            .say("Thanks for calling, how can I help you today?")
            .unwrap(),
        all
    );
}

#[test]
fn long_text_is_said_to_its_end() {
    let voice = voice();
    let sentence = "I can put you through to somebody who knows more about that, or I can take a \
                    message and have them call you back tomorrow morning, whichever you prefer";
    let short = voice
        .say("I can put you through to somebody who knows more about that")
        .unwrap();
    let long = voice
        .say(&format!("{sentence}, and then {sentence}."))
        .unwrap();
    assert!(
        long.len() > short.len() * 4,
        "{} and {}",
        long.len(),
        short.len()
    );
}

#[test]
fn text_without_words_is_silence() {
    let voice = voice();
    for text in ["", " ", "...", "?!", "\u{1f600}"] {
        assert!(voice.say(text).unwrap().is_empty(), "{text:?}");
    }
}

#[test]
fn the_same_voice_speaks_at_another_rate() {
    let voice = voice();
    let narrow = voice.say("Hello there.").unwrap();
    let wide = voice.at_rate(16_000).say("Hello there.").unwrap();
    assert!(
        wide.len().abs_diff(narrow.len() * 2) < 8,
        "{} and {}",
        wide.len(),
        narrow.len()
    );
}

#[test]
fn a_phrase_is_kept_and_found() {
    let voice = voice();
    let cache = PhraseCache::new(1 << 20);
    let key = PhraseCache::key(voice.name(), "Hello there.");
    let samples: Arc<[i16]> = voice.say("Hello there.").unwrap().into();
    cache.insert(&key, Arc::clone(&samples));
    assert_eq!(cache.find(&key), Some(samples));
}

fn words(text: &str) -> Vec<String> {
    let bare = text.to_lowercase().replace(['-', '.'], " ");
    let word = |word: &str| {
        word.chars()
            .filter(|c| c.is_alphanumeric())
            .collect::<String>()
    };
    bare.split_whitespace()
        .map(word)
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn what_is_spoken_is_understood() {
    let dir = default_dir();
    let voice = voice();
    let whisper = Whisper::load(&Runtime::load(&dir).unwrap(), &dir, Size::TinyEn).unwrap();
    let mut wrong = 0;
    let mut all = 0;
    for (text, expected) in [
        (
            "Thanks for calling, how can I help you today?",
            "thanks for calling how can i help you today",
        ),
        (
            "What is the best number to reach you?",
            "what is the best number to reach you",
        ),
        (
            "I have you down for Tuesday in the afternoon.",
            "i have you down for tuesday in the afternoon",
        ),
        (
            "Could you please spell your last name for me?",
            "could you please spell your last name for me",
        ),
        (
            "Great, someone from our team will call you back tomorrow morning.",
            "great someone from our team will call you back tomorrow morning",
        ),
    ] {
        let mut samples = vec![0; 2_000];
        samples.extend(voice.say(text).unwrap());
        samples.extend(vec![0; 4_000]);
        let mut transcription = whisper.begin_8k(&samples, &Options::default());
        let transcript = loop {
            if let offhook_models::whisper::Step::Done(transcript) = transcription.step().unwrap() {
                break transcript;
            }
        };
        let heard = words(&transcript.text);
        let missed = words(expected)
            .iter()
            .filter(|word| !heard.contains(word))
            .count();
        println!("{text:?} was heard as {:?}", transcript.text);
        wrong += missed;
        all += words(expected).len();
    }
    assert!(wrong * 20 <= all, "{wrong} of {all} words were not heard");
}
