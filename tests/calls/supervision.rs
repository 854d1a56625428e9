//! A supervisor on a running call: listens, barges in, and is gone again.

use serde_json::{Value, json};

use crate::bridging::{bridged, keys};
use crate::caller::Caller;
use crate::desk::Desk;
use crate::rig::Switch;
use crate::tones::{PIECE, share, tone};

/// It asks once, and waits patiently.
pub(crate) const PATIENT: &str = r#"
name = "patient"
start = "first"

[on_silence]
after_s = 60
say = "Are you still there?"

[nodes.first]
type = "ask"
say = "Welcome. Please hold the line for as long as you like, and then tell me your story."
slot = "first"
grammar = "text"
next = "first"
"#;

/// What each side sounds like, in Hz.
const CALLER: f64 = 1_000.0;
const SUPERVISOR: f64 = 700.0;
const CALLED: f64 = 400.0;

async fn code(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    (status, answer.json::<Value>().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_listens_barges_in_and_is_gone_and_the_agent_goes_on() {
    let switch = Switch::start(PATIENT, "").await;
    let mut desk = Desk::open().await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    let id = answered.call_id.clone().unwrap();
    let path = format!("/v1/calls/{id}/supervise");
    let whisper = json!({ "to": desk.uri, "mode": "whisper" });
    let (status, problem) = code(switch.post(&path, &whisper, None).await).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("software"));

    events.agent_said("tell me your story").await;
    let listen = json!({ "to": desk.uri });
    assert_eq!(switch.post(&path, &listen, None).await.status(), 202);
    let mut supervisor = desk.answer().await;
    let joined = events.until("call.supervised", |_| true).await;
    assert_eq!(joined.data.read()["mode"], "listen");
    let (status, _) = code(switch.post(&path, &listen, None).await).await;
    assert_eq!(status, 409, "there is one supervisor a call");
    // The supervisor speaks all the while, and hears the caller.
    let before = caller.heard_so_far().len();
    supervisor.say(&tone(SUPERVISOR, 20));
    caller.say(&tone(CALLER, 3));
    // A second of it: as long as what the supervisor says would take to be heard ten times over.
    for _ in 0..50 {
        supervisor.until_heard(CALLER).await;
    }
    let silent = caller.heard_so_far().split_off(before);
    assert!(
        silent
            .chunks_exact(PIECE)
            .all(|piece| share(piece, SUPERVISOR) < 0.5),
        "a listener is heard by nobody"
    );

    assert_eq!(switch.patch(&path, &json!({ "mode": "barge" })).await, 202);
    events
        .until("call.supervised", |data| data["mode"] == "barge")
        .await;
    caller
        .until_heard(|piece| share(piece, SUPERVISOR) > 0.9)
        .await;

    // The supervisor hangs up; the agent is there again.
    let sip = desk.line.sip().clone();
    sip.hang_up(supervisor.call, None).await.unwrap();
    events
        .until("call.supervised", |data| data["mode"].is_null())
        .await;
    supervisor.until_over().await;
    let (status, _) = code(
        switch
            .post(
                &format!("/v1/calls/{id}/supervise"),
                &json!({
        "to": "sip:nobody@192.0.2.9" }),
                None,
            )
            .await,
    )
    .await;
    assert_eq!(status, 422, "the API is no relay");
    caller.say(&crate::rig::voice("jfk.wav"));
    events
        .until("call.turn", |turn| turn["who"] == "caller")
        .await;
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_phone_is_reached_by_name_and_hung_up_with_the_call() {
    let user = "[[user]]\nname = \"boss\"\npassword = \"correct horse battery\"\n";
    let switch = Switch::start(PATIENT, user).await;
    let mut desk = Desk::open().await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    let id = answered.call_id.clone().unwrap();
    let barge = json!({ "to": "boss", "mode": "barge" });
    let path = format!("/v1/calls/{id}/supervise");
    let (status, problem) = code(switch.post(&path, &barge, None).await).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("registered"));
    let _registered = desk
        .register(&switch, "boss", "correct horse battery")
        .await;
    assert_eq!(switch.post(&path, &barge, None).await.status(), 202);
    let mut supervisor = desk.answer().await;
    events
        .until("call.supervised", |data| data["mode"] == "barge")
        .await;
    caller.hang_up().await;
    supervisor.until_over().await;
    events.until("call.ended", |_| true).await;
    let (status, _) = code(switch.post(&path, &barge, None).await).await;
    assert_eq!(status, 409);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_bridge_a_supervisor_listens_whispers_to_the_called_person_alone_and_barges_in() {
    let (switch, mut events, mut caller, mut called) = bridged().await;
    let mut desk = Desk::open().await;
    let calls = switch.json("/v1/calls").await;
    let id = calls["calls"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/calls/{id}/supervise");
    let listen = json!({ "to": desk.uri });
    caller.say(&tone(CALLER, 1));
    called.until_heard(CALLER).await;
    assert_eq!(switch.post(&path, &listen, None).await.status(), 202);
    let mut supervisor = desk.answer().await;
    events
        .until("call.supervised", |data| data["mode"] == "listen")
        .await;
    // Who listens hears both; keys pass as before.
    caller.say(&tone(CALLER, 1));
    supervisor.until_heard(CALLER).await;
    called.say(&tone(CALLED, 3));
    supervisor.until_heard(CALLED).await;
    caller.press("7");
    assert_eq!(keys(&mut called, 1).await, "7");

    assert_eq!(
        switch.patch(&path, &json!({ "mode": "whisper" })).await,
        202
    );
    events
        .until("call.supervised", |data| data["mode"] == "whisper")
        .await;
    let before = caller.heard_so_far().len();
    supervisor.say(&tone(SUPERVISOR, 20));
    for _ in 0..50 {
        called.until_heard(SUPERVISOR).await;
    }
    let silent = caller.heard_so_far().split_off(before);
    assert!(
        silent
            .chunks_exact(PIECE)
            .all(|piece| share(piece, SUPERVISOR) < 0.5),
        "the caller does not hear what is whispered"
    );

    assert_eq!(switch.patch(&path, &json!({ "mode": "barge" })).await, 202);
    caller
        .until_heard(|piece| share(piece, SUPERVISOR) > 0.9)
        .await;
    called.until_heard(SUPERVISOR).await;

    // Without the supervisor the two go on.
    desk.line
        .sip()
        .hang_up(supervisor.call, None)
        .await
        .unwrap();
    events
        .until("call.supervised", |data| data["mode"].is_null())
        .await;
    supervisor.until_over().await;
    caller.say(&tone(CALLER, 20));
    called.until_heard(CALLER).await;
    caller.hang_up().await;
    called.until_over().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}
