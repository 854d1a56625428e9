//! A call's recording: while it is made, what is kept off it, and whom it is announced to.

use std::cell::{Cell, RefCell};

use offhook_media::wav::named_bytes;
use serde_json::{Value, json};

use crate::bridging::{both_ways, number};
use crate::caller::Caller;
use crate::desk::Desk;
use crate::rig::{Switch, heard_words, voice};
use crate::tones::is_audible;

/// It hears the caller out twice.
const LISTENER: &str = r#"
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
say = "Thank you. What else is there?"
slot = "second"
grammar = "text"
next = "bye"
[nodes.bye]
type = "end"
say = "Goodbye then."
"#;

/// The sound of each party, the caller's first, as far as the file's header names it.
fn parties(file: &[u8]) -> [Vec<i16>; 2] {
    let named = named_bytes(file).unwrap() as usize;
    let channel = |at: usize| {
        let pairs = file[44..named].chunks(4);
        let sample = |pair: &[u8]| i16::from_le_bytes([pair[2 * at], pair[2 * at + 1]]);
        pairs.map(sample).collect()
    };
    [channel(0), channel(1)]
}

fn loudest(sound: &[i16]) -> u16 {
    let sound = sound.iter().map(|sample| sample.unsigned_abs());
    sound.max().unwrap_or(0)
}

/// Asks for a pause or its end: the status, and whether it is paused then.
async fn ask(switch: &Switch, id: &str, what: &str) -> (u16, Value) {
    let path = format!("/v1/calls/{id}/recording/{what}");
    let answer = switch.post(&path, &json!({}), None).await;
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (
        status,
        body.get("paused").or(body.get("code")).cloned().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_plays_while_it_is_made_and_has_nothing_of_what_was_said_in_a_pause() {
    let switch = Switch::start(LISTENER, "").await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    let id = answered.call_id.clone().unwrap();
    events.agent_said("read your text").await;
    let path = format!("/v1/calls/{id}/recording.wav");
    // It is there within a second, and is what its header says.
    let so_far = loop {
        let file = switch.get(&path).await.bytes().await.unwrap();
        if named_bytes(&file).is_some_and(|named| named > 16_000) {
            break file;
        }
    };
    assert_eq!(named_bytes(&so_far), Some(so_far.len() as u64));
    assert!(loudest(&parties(&so_far)[1]) > 1_000);

    assert_eq!(ask(&switch, &id, "pause").await, (200, json!(true)));
    assert_eq!(ask(&switch, &id, "pause").await, (200, json!(true)));
    let paused = events.until("recording.paused", |_| true).await;
    assert_eq!(paused.data.read(), json!({ "by": "api" }));
    caller.say(&voice("weather_question.wav"));
    events.agent_said("What else is there").await;
    assert_eq!(ask(&switch, &id, "resume").await, (200, json!(false)));
    events.until("recording.resumed", |_| true).await;
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["turns"].as_array().unwrap().len(), 3, "{record:#}");
    assert_eq!(
        ask(&switch, &id, "pause").await,
        (409, json!("already-ended"))
    );
    let none = uuid::Uuid::nil().to_string();
    assert_eq!(
        ask(&switch, &none, "pause").await,
        (404, json!("not-found"))
    );
    let folder = switch.stop().await;
    let file = std::fs::read(folder.path().join(format!("recordings/{id}.wav"))).unwrap();
    let [said, agent] = parties(&file);
    assert!(loudest(&said) < 100, "{}", loudest(&said));
    let heard = heard_words(&agent);
    assert!(heard.contains("read your text"), "{heard}");
    assert!(!heard.contains("else"), "{heard}");
    // What was not recorded has its time.
    let seconds = |key: &str| {
        record[key]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
    };
    let lasted = seconds("ended_at") - seconds("answered_at");
    let lasted = lasted.total(jiff::Unit::Second).unwrap();
    let recorded = said.len() as f64 / 8_000.0;
    assert!((lasted - recorded).abs() < 0.5, "{recorded} of {lasted} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_is_not_to_be_recorded_is_not_nor_is_its_answer() {
    let secret = LISTENER.replacen(
        "grammar = \"text\"",
        "grammar = \"text\"\nrecord = false",
        1,
    );
    let switch = Switch::start(&secret, "").await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    let paused = events.until("recording.paused", |_| true).await;
    assert_eq!(paused.data.read(), json!({ "by": "flow" }));
    let id = paused.call_id.clone().unwrap();
    // What somebody else asks for does not undo it.
    assert_eq!(ask(&switch, &id, "pause").await, (200, json!(true)));
    assert_eq!(ask(&switch, &id, "resume").await, (200, json!(true)));
    events.agent_said("read your text").await;
    caller.say(&voice("weather_question.wav"));
    events.until("recording.resumed", |_| true).await;
    events.agent_said("What else is there").await;
    caller.hang_up().await;
    switch.record(&mut events).await;
    let folder = switch.stop().await;
    let file = std::fs::read(folder.path().join(format!("recordings/{id}.wav"))).unwrap();
    let [said, agent] = parties(&file);
    assert!(loudest(&said) < 100, "{}", loudest(&said));
    let heard = heard_words(&agent);
    assert!(heard.contains("what else is there"), "{heard}");
    assert!(!heard.contains("text"), "{heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_s_calls_hear_first_that_they_are_recorded() {
    let more = "[media]\nrecordings = \"recordings\"\nrecording_format = \"opus\"\n\
                [[trunk]]\nname = \"carrier\"\nkind = \"inbound\"\nnetworks = [\"127.0.0.0/8\"]\n\
                recording_announcement = \"This call is recorded.\"\n";
    let switch = Switch::start(LISTENER, more).await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("read your text").await;
    let heard = heard_words(&caller.hang_up().await);
    let first = "this call is recorded welcome to the reading room";
    assert!(heard.starts_with(first), "{heard}");
    let record = switch.record(&mut events).await;
    assert_eq!(record["turns"][0]["text"], "This call is recorded.");
    let id = record["id"].as_str().unwrap();
    let answer = switch.get(&format!("/v1/calls/{id}/recording")).await;
    assert_eq!(answer.headers()["content-type"], "audio/ogg; codecs=opus");
    let as_wav = switch.get(&format!("/v1/calls/{id}/recording.wav")).await;
    assert_eq!(as_wav.status(), 404);
    let folder = switch.stop().await;
    let file = std::fs::read(folder.path().join(format!("recordings/{id}.opus"))).unwrap();
    assert_eq!(&file[28..36], b"OpusHead");
    // The last page's granule position says how long it is, at 48 kHz.
    let last = file.windows(4).rposition(|at| at == b"OggS").unwrap();
    let granule = u64::from_le_bytes(file[last + 6..last + 14].try_into().unwrap());
    assert_eq!(file[last + 5], 4, "its end is marked");
    assert!(granule > 4 * 48_000, "{granule}");
}

/// Collects what is heard, and says when there was a sentence and then silence.
fn sentence(heard: &RefCell<Vec<i16>>, piece: &[i16]) -> bool {
    let mut heard = heard.borrow_mut();
    heard.extend_from_slice(piece);
    let spoken = heard.chunks(160).filter(|piece| is_audible(piece)).count();
    let tail = heard.len().saturating_sub(8_000);
    spoken > 30 && !heard[tail..].chunks(160).any(is_audible)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_talk_over_a_bridge_hear_first_that_they_are_recorded() {
    let mut desk = Desk::open_at([127, 0, 0, 2].into()).await;
    let port = desk.line.sip().listeners()[0].1.port();
    let more = format!(
        "[media]\nrecordings = \"recordings\"\n[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\n\
         host = \"127.0.0.2\"\nport = {port}\nrecording_announcement = \"This call is recorded.\"\n\
         [[route]]\nto = \"+44*\"\ntrunk = \"carrier\"\n"
    );
    let switch = Switch::start(LISTENER, &more).await;
    let mut events = switch.events();
    let uri = number(&switch);
    let (caller, called) = tokio::join!(Caller::dial(&uri), desk.answer());
    let (mut caller, mut called) = (caller.unwrap(), called);
    let heard = RefCell::default();
    called.until(|piece| sentence(&heard, piece)).await;
    // It was said to the caller first.
    for heard in [heard.into_inner(), caller.heard_so_far()] {
        assert_eq!(heard_words(&heard), "this call is recorded");
    }
    both_ways(&mut caller, &mut called).await;
    let pieces = Cell::new(0);
    called
        .until(|_| pieces.replace(pieces.get() + 1) > 50)
        .await;
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    let id = record["id"].as_str().unwrap().to_owned();
    let folder = switch.stop().await;
    let file = std::fs::read(folder.path().join(format!("recordings/{id}.wav"))).unwrap();
    let loudest = parties(&file).map(|side| loudest(&side));
    assert!(loudest.iter().all(|peak| *peak > 1_000), "{loudest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_s_calls_may_go_unrecorded() {
    let more = "[[trunk]]\nname = \"carrier\"\nkind = \"inbound\"\n\
                networks = [\"127.0.0.0/8\"]\nrecord = false\n";
    let switch = Switch::start(LISTENER, more).await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    let id = answered.call_id.clone().unwrap();
    assert_eq!(ask(&switch, &id, "pause").await, (409, json!("conflict")));
    events.agent_said("read your text").await;
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["trunk"], "carrier");
    let answer = switch.get(&format!("/v1/calls/{id}/recording")).await;
    assert_eq!(answer.status(), 404);
    let folder = switch.stop().await;
    let files = std::fs::read_dir(folder.path().join("recordings")).unwrap();
    assert_eq!(files.count(), 0);
}
