//! An agent's call that is given to a person.

use serde_json::{Value, json};

use crate::bridging::{both_ways, keys};
use crate::caller::Caller;
use crate::desk::{Desk, Listening};
use crate::rig::{Events, Switch};
use crate::supervision::PATIENT;
use crate::tones::{is_audible, share, tone};

const PASSWORD: &str = "correct horse battery";
const USER: &str = "[[user]]\nname = \"bob\"\npassword = \"correct horse battery\"\n\
                    [[user]]\nname = \"carol\"\npassword = \"correct horse battery\"\n\
                    [[route]]\nto = \"200\"\nuser = \"carol\"\n\
                    [[route]]\nto = \"300\"\nagent = \"test\"\n";

/// Gives every call to bob, whom it tells of it.
const GIVER: &str = r#"
name = "giver"
start = "person"
[nodes.person]
type = "transfer"
to = "bob"
say = "One moment, please."
briefing = "Somebody has a question about the last bill, and about the one before that."
ring_s = 2
on_fail = "sorry"
[nodes.sorry]
type = "end"
say = "Nobody is there."
outcome = "nobody_there"
"#;

/// An agent's call, after the agent has said what it has to say.
async fn talking() -> (Switch, Events, Caller, String, Desk) {
    let switch = Switch::start(PATIENT, USER).await;
    let mut events = switch.events();
    let desk = Desk::open().await;
    let caller = Caller::dial(&switch.uri).await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    let path = format!("/v1/calls/{}/transfer", answered.call_id.clone().unwrap());
    events.agent_said("tell me your story").await;
    (switch, events, caller, path, desk)
}

async fn state(events: &mut Events, state: &str) -> Value {
    let event = events
        .until("call.transfer", |data| data["state"] == state)
        .await;
    event.data.read().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_waits_with_music_and_then_talks_to_whoever_takes_the_call() {
    let (switch, mut events, mut caller, path, mut desk) = talking().await;
    let to_bob = json!({ "to": "bob" });
    assert_eq!(
        switch.post(&path, &to_bob, None).await.status(),
        409,
        "nobody is registered"
    );
    let _bound = desk.register(&switch, "bob", PASSWORD).await;
    assert_eq!(switch.post(&path, &to_bob, None).await.status(), 202);
    let incoming = desk.ring().await;
    state(&mut events, "ringing").await;
    assert_eq!(
        switch.post(&path, &to_bob, None).await.status(),
        409,
        "it is under way"
    );
    caller.until_heard(is_audible).await;
    let mut called = desk.pick_up(*incoming).await;
    assert_eq!(called.from, "+12025550143", "it is shown who calls");
    assert_eq!(state(&mut events, "answered").await["user"], "bob");
    both_ways(&mut caller, &mut called).await;
    caller.press("5");
    assert_eq!(keys(&mut called, 1).await, "5");
    let call = switch.json(path.trim_end_matches("/transfer")).await;
    assert_eq!(call["bridge"]["user"], "bob", "{call:#}");
    // Who has taken the call is no supervisor.
    let supervise = path.replace("/transfer", "/supervise");
    let barge = json!({ "mode": "barge" });
    assert_eq!(switch.patch(&supervise, &barge).await, 409);
    assert_eq!(switch.delete(&supervise).await, 409);

    called.hang_up().await;
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "transferred", "{record:#}");
    assert_eq!(record["state"], "completed");
    assert_eq!(
        (&record["agent"], &record["bridge"]["user"]),
        (&json!("test"), &json!("bob"))
    );
    switch.stop().await;
}

/// An agent's call that bob has taken.
async fn given_to_bob() -> (Switch, Events, Caller, String, Desk, Listening) {
    let (switch, mut events, mut caller, path, mut desk) = talking().await;
    let _bound = desk.register(&switch, "bob", PASSWORD).await;
    let to_bob = json!({ "to": "bob" });
    assert_eq!(switch.post(&path, &to_bob, None).await.status(), 202);
    let incoming = desk.ring().await;
    let mut bob = desk.pick_up(*incoming).await;
    state(&mut events, "answered").await;
    both_ways(&mut caller, &mut bob).await;
    (switch, events, caller, path, desk, bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_a_call_holds_it_hears_keys_and_may_be_supervised() {
    let (switch, mut events, mut caller, path, _desk, mut bob) = given_to_bob().await;
    bob.leg.hold(true);
    bob.reoffer().await;
    caller.until_heard_now(is_audible).await;
    bob.leg.hold(false);
    bob.reoffer().await;
    both_ways(&mut caller, &mut bob).await;
    // A key that the caller's phone tells by INFO passes on in the way that bob's takes it.
    caller.tell_key('7').await;
    assert_eq!(keys(&mut bob, 1).await, "7");

    let mut supervisor = Desk::open().await;
    let supervise = path.replace("/transfer", "/supervise");
    let whisper = json!({ "to": supervisor.uri, "mode": "whisper" });
    assert_eq!(switch.post(&supervise, &whisper, None).await.status(), 202);
    let supervisor = supervisor.answer().await;
    events
        .until("call.supervised", |data| data["mode"] == "whisper")
        .await;
    // The caller talks all the while.
    supervisor.say(&tone(700.0, 20));
    bob.until(|piece| share(piece, 700.0) > 0.3).await;
    assert_eq!(switch.delete(&supervise).await, 202);

    bob.hang_up().await;
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "transferred", "{record:#}");
    for media in [&record["media"], &record["bridge"]["media"]] {
        assert!(media["packets"].as_u64() > Some(0), "{record:#}");
    }
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_a_call_sends_it_on_to_somebody_else() {
    let (switch, mut events, mut caller, _path, _desk, mut bob) = given_to_bob().await;
    let mut desk = Desk::open().await;
    let _bound = desk.register(&switch, "carol", PASSWORD).await;
    bob.refer(&switch.uri.replace("sip:test@", "sip:200@"))
        .await;
    let rings = desk.ring().await;
    assert_eq!(rings.invite.from.user, "+12025550143", "she sees who waits");
    let mut carol = desk.pick_up(*rings).await;
    both_ways(&mut caller, &mut carol).await;
    bob.until_over().await;
    caller.hang_up().await;
    carol.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["bridge"]["user"], "carol", "{record:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_a_call_may_give_it_back_to_the_agent_which_may_give_it_away_again() {
    let (switch, mut events, mut caller, path, mut desk, mut bob) = given_to_bob().await;
    bob.refer(&switch.uri.replace("sip:test@", "sip:300@"))
        .await;
    events.agent_said("tell me your story").await;
    bob.until_over().await;
    let _bound = desk.register(&switch, "carol", PASSWORD).await;
    let to_carol = json!({ "to": "carol" });
    assert_eq!(switch.post(&path, &to_carol, None).await.status(), 202);
    let incoming = desk.ring().await;
    let mut carol = desk.pick_up(*incoming).await;
    both_ways(&mut caller, &mut carol).await;
    carol.hang_up().await;
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "transferred", "{record:#}");
    assert_eq!(record["bridge"]["user"], "carol", "{record:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_api_as_well_a_person_is_told_what_the_call_is_about() {
    let (switch, mut events, mut caller, path, mut desk) = talking().await;
    let long = json!({ "to": desk.uri, "briefing": "x".repeat(401) });
    assert_eq!(switch.post(&path, &long, None).await.status(), 422);
    let to = json!({ "to": desk.uri, "briefing": "Somebody has a question about the last bill." });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let incoming = desk.ring().await;
    let mut called = desk.pick_up(*incoming).await;
    state(&mut events, "briefing").await;
    called.until(is_audible).await;
    state(&mut events, "answered").await;
    both_ways(&mut caller, &mut called).await;
    called.hang_up().await;
    caller.until_over().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hangs_up_after_a_transfer_ends_the_other_side_too() {
    let (switch, mut events, caller, path, mut desk) = talking().await;
    let to = json!({ "to": desk.uri });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let mut called = desk.answer().await;
    state(&mut events, "answered").await;
    caller.hang_up().await;
    called.until_over().await;
    assert_eq!(switch.record(&mut events).await["outcome"], "transferred");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_takes_the_call_the_agent_goes_on() {
    let (switch, mut events, mut caller, path, mut desk) = talking().await;
    let to = json!({ "to": desk.uri, "ring_s": 1 });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let _rings = desk.ring().await;
    let failed = state(&mut events, "failed").await;
    assert!(
        failed["reason"]
            .as_str()
            .unwrap()
            .contains("nobody answered"),
        "{failed}"
    );
    caller.say(&crate::rig::voice("jfk.wav"));
    events
        .until("call.turn", |turn| turn["who"] == "caller")
        .await;

    // Nor does one who declines take the call, and it may be tried again.
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let incoming = desk.rings().await;
    let line = desk.line.sip();
    line.reject(incoming.call, 486, Vec::new()).await.unwrap();
    let failed = state(&mut events, "failed").await;
    assert!(
        failed["reason"].as_str().unwrap().contains("486"),
        "{failed}"
    );
    caller.say(&tone(1_000.0, 1));
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_ne!(record["outcome"], "transferred", "{record:#}");
    assert_eq!(record["bridge"], Value::Null);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hangs_up_while_it_rings_ends_that() {
    let (switch, mut events, caller, path, mut desk) = talking().await;
    let to = json!({ "to": desk.uri });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let mut incoming = desk.ring().await;
    caller.hang_up().await;
    while incoming.signals.recv().await.is_some() {}
    let record = switch.record(&mut events).await;
    assert_eq!(record["bridge"], Value::Null);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_tells_a_person_what_it_is_about_and_gives_them_the_call() {
    let switch = Switch::start(GIVER, USER).await;
    let mut events = switch.events();
    let mut desk = Desk::open().await;
    let _bound = desk.register(&switch, "bob", PASSWORD).await;
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    let incoming = desk.ring().await;
    events.agent_said("One moment").await;
    let mut called = desk.pick_up(*incoming).await;
    state(&mut events, "briefing").await;
    // The agent speaks to the one, and the other waits with music.
    called.until(is_audible).await;
    caller.until_heard(is_audible).await;
    state(&mut events, "answered").await;
    both_ways(&mut caller, &mut called).await;
    called.hang_up().await;
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "transferred", "{record:#}");
    assert_eq!(record["bridge"]["user"], "bob");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_presses_a_key_has_heard_enough() {
    let switch = Switch::start(GIVER, USER).await;
    let mut events = switch.events();
    let mut desk = Desk::open().await;
    let _bound = desk.register(&switch, "bob", PASSWORD).await;
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    let incoming = desk.ring().await;
    let mut called = desk.pick_up(*incoming).await;
    state(&mut events, "briefing").await;
    called.until(is_audible).await;
    called.press("1");
    state(&mut events, "answered").await;
    both_ways(&mut caller, &mut called).await;
    caller.hang_up().await;
    called.until_over().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_person_is_not_there_or_hangs_up_goes_on_with_its_flow() {
    let switch = Switch::start(GIVER, USER).await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "nobody_there", "{record:#}");
    // The next one's person hangs up as soon as they hear what it is about.
    let mut desk = Desk::open().await;
    let _bound = desk.register(&switch, "bob", PASSWORD).await;
    let caller = Caller::dial(&switch.uri).await.unwrap();
    let incoming = desk.ring().await;
    let called = desk.pick_up(*incoming).await;
    state(&mut events, "briefing").await;
    called.hang_up().await;
    let failed = state(&mut events, "failed").await;
    assert!(
        failed["reason"].as_str().unwrap().contains("hung up"),
        "{failed}"
    );
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "nobody_there", "{record:#}");
    assert_eq!(record["bridge"], Value::Null);
    switch.stop().await;
}
