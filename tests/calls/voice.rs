//! A real voice on the line: what is recognised, what is recorded.

use std::path::Path;

use crate::caller::Caller;
use crate::rig::{Switch, heard_words, voice, words, wrong_words};

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
fn channels(path: &Path) -> [Vec<i16>; 2] {
    let wav = hound::WavReader::open(path).unwrap();
    assert_eq!((wav.spec().channels, wav.spec().sample_rate), (2, 8000));
    let samples: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
    let channel = |at: usize| samples.iter().skip(at).step_by(2).copied().collect();
    [channel(0), channel(1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_voice_is_transcribed_and_each_party_has_a_channel_of_the_recording() {
    let switch = Switch::start(FLOW, "").await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("read your text").await;
    caller.say(&voice("jfk.wav"));
    let last = |turn: &serde_json::Value| {
        let text = turn["text"].as_str().unwrap_or_default();
        turn["who"] == "caller" && words(text).ends_with(&words("for your country"))
    };
    events.until("call.turn", last).await;
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
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

    let id = record["id"].as_str().unwrap();
    let answer = switch.get(&format!("/v1/calls/{id}/recording.wav")).await;
    assert_eq!(answer.status(), 200);
    let file = format!("recordings/{id}.wav");
    let folder = switch.stop().await;
    let [caller, agent] = channels(&folder.path().join(file));
    let heard = heard_words(&caller);
    assert!(wrong_words(&heard, SPEECH) <= MISHEARD, "{heard}");
    let heard = heard_words(&agent);
    let greeting = "welcome to the reading room please read your text now";
    assert!(heard.starts_with(greeting), "{heard}");
}
