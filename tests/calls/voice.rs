//! A real voice on the line: what is recognised, what is recorded.

use std::path::Path;

use offhook_media::Codec;
use offhook_models::voice::convert_rate;

use crate::caller::Caller;
use crate::rig::{Switch, heard_words_at, voice, voice_at, words, wrong_words};

/// It hears the caller out, however long that takes.
const FLOW: &str = r#"
name = "listener"
start = "first"

[nodes.first]
type = "ask"
say = "Welcome to the reading room. Please read your text now."
slot = "first"
grammar = "text"
next = "second"

[nodes.second]
type = "ask"
say = "Go on."
slot = "second"
grammar = "text"
next = "third"

[nodes.third]
type = "ask"
say = "And then?"
slot = "third"
grammar = "text"
next = "fourth"

[nodes.fourth]
type = "ask"
say = "I see."
slot = "fourth"
grammar = "text"
next = "first"
"#;

const SPEECH: &str = "and so my fellow americans ask not what your country can do for you \
                      ask what you can do for your country";

/// Words of the speech that the smallest Whisper may get wrong over a telephone line: where the
/// line is cut, and for "Americans, ask".
const MISHEARD: usize = 3;

/// The two channels of a recording: the caller's, then the agent's.
fn channels(path: &Path, rate_hz: u32) -> [Vec<i16>; 2] {
    let wav = hound::WavReader::open(path).unwrap();
    assert_eq!((wav.spec().channels, wav.spec().sample_rate), (2, rate_hz));
    let samples: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
    let channel = |at: usize| samples.iter().skip(at).step_by(2).copied().collect();
    [channel(0), channel(1)]
}

/// Reads the speech to the listener in a codec; gives the call's record and the recording's two
/// channels.
async fn read_aloud(codec: Codec) -> (serde_json::Value, [Vec<i16>; 2]) {
    let rate_hz = codec.sample_rate_hz();
    let switch = Switch::start(FLOW, "").await;
    let mut events = switch.events();
    let mut caller = Caller::dial_in(codec, &switch.uri).await.unwrap();
    events.agent_said("read your text").await;
    caller.say(&voice_at(rate_hz, "jfk.wav"));
    let last = |turn: &serde_json::Value| {
        let text = turn["text"].as_str().unwrap_or_default();
        turn["who"] == "caller" && words(text).ends_with(&words("for your country"))
    };
    events.until("call.turn", last).await;
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    let id = record["id"].as_str().unwrap();
    let answer = switch.get(&format!("/v1/calls/{id}/recording.wav")).await;
    assert_eq!(answer.status(), 200);
    let file = format!("recordings/{id}.wav");
    let folder = switch.stop().await;
    let channels = channels(&folder.path().join(file), rate_hz);
    (record, channels)
}

fn check_words(rate_hz: u32, record: &serde_json::Value, [caller, agent]: &[Vec<i16>; 2]) {
    let said: Vec<String> = record["turns"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|turn| turn["who"] == "caller")
        .flat_map(|turn| words(turn["text"].as_str().unwrap()))
        .collect();
    assert!(
        wrong_words(&said.join(" "), SPEECH) <= MISHEARD,
        "{record:#}"
    );
    let heard = heard_words_at(rate_hz, caller);
    assert!(wrong_words(&heard, SPEECH) <= MISHEARD, "{heard}");
    let heard = heard_words_at(rate_hz, agent);
    let greeting = "welcome to the reading room please read your text now";
    assert!(heard.starts_with(greeting), "{heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_voice_is_transcribed_and_each_party_has_a_channel_of_the_recording() {
    let (record, channels) = read_aloud(Codec::Pcmu).await;
    assert_eq!(record["media"]["codec"], "PCMU");
    check_words(8_000, &record, &channels);
}

/// A telephone's sound at 16 kHz, and back.
fn converted(sound: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    let sound: Vec<f32> = sound.iter().copied().map(f32::from).collect();
    let converted = convert_rate(&sound, from_hz, to_hz);
    converted.into_iter().map(|sample| sample as i16).collect()
}

/// How loud what lies above 4 kHz is beside all of it, in dB, of sound at 16 kHz.
fn above_4k_db(sound: &[i16]) -> f64 {
    let below = converted(&converted(sound, 16_000, 8_000), 8_000, 16_000);
    let energy = |sample: f64| sample * sample;
    let pairs = sound.iter().zip(&below);
    let above: f64 = pairs
        .map(|(all, below)| energy(f64::from(*all) - f64::from(*below)))
        .sum();
    let all: f64 = sound.iter().map(|sample| energy(f64::from(*sample))).sum();
    10.0 * (above / all).log10()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wideband_call_is_heard_spoken_and_recorded_with_all_of_its_band() {
    let (record, channels) = read_aloud(Codec::Opus).await;
    assert_eq!(record["media"]["codec"], "opus");
    check_words(16_000, &record, &channels);
    let [caller, agent] = channels.map(|sound| above_4k_db(&sound));
    let said = above_4k_db(&voice_at(16_000, "jfk.wav"));
    assert!((caller - said).abs() < 6.0, "{caller:.1} dB of {said:.1}");
    let telephone = above_4k_db(&converted(&voice("jfk.wav"), 8_000, 16_000));
    assert!(
        telephone < said - 10.0 && telephone < agent - 10.0,
        "a telephone has {telephone:.1} dB, {said:.1} were said, {agent:.1} by the agent"
    );
}
