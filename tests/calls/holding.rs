//! A call that is held over the API: the other side waits with music, the agent waits too.

use serde_json::{Value, json};

use crate::bridging::{carrier, number};
use crate::changes::{both_ways, greeted};
use crate::peer::Peer;
use crate::rig::{Events, Switch};
use crate::tones::tone;

/// What a caller sounds like, in Hz.
const CALLER: f64 = 1_000.0;

async fn ask(switch: &Switch, what: &str) -> u16 {
    let calls = switch.json("/v1/calls").await;
    let id = calls["calls"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/calls/{id}/{what}");
    let answer = switch.post(&path, &json!({}), None).await;
    answer.status().as_u16()
}

async fn until(events: &mut Events, kind: &str) {
    events.until(kind, |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_held_is_told_so_and_hears_music_and_is_talked_to_again_after_it() {
    let (switch, mut events, mut peer) = greeted().await;
    assert_eq!(ask(&switch, "hold").await, 202);
    let offer = peer.take_reoffer_as("recvonly").await;
    assert!(offer.contains("a=sendonly"), "{offer}");
    until(&mut events, "call.held").await;
    assert_eq!(ask(&switch, "hold").await, 202, "it is held already");
    peer.heard();
    peer.hear_speech().await;
    // What is said to music is heard by nobody, and no silence is asked about: the flow would after
    // eight seconds of them.
    peer.say(&crate::rig::voice("weather_question.wav")).await;
    assert_eq!(ask(&switch, "resume").await, 202);
    let offer = peer.take_reoffer().await;
    assert!(offer.contains("a=sendrecv"), "{offer}");
    until(&mut events, "call.resumed").await;
    both_ways(&mut events, &mut peer).await;
    peer.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "completed");
    let said = |turn: &&Value| turn["who"] == "caller";
    let turns = record["turns"].as_array().unwrap();
    assert_eq!(turns.iter().filter(said).count(), 1, "{record:#}");
    assert_eq!(ask(&switch, "hold").await, 409);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_that_comes_before_the_hold_was_answered_is_offered_after_it() {
    let (switch, mut events, mut peer) = greeted().await;
    assert_eq!(ask(&switch, "hold").await, 202);
    until(&mut events, "call.held").await;
    assert_eq!(ask(&switch, "resume").await, 202);
    until(&mut events, "call.resumed").await;
    let offer = peer.take_reoffer_as("recvonly").await;
    assert!(offer.contains("a=sendonly"), "{offer}");
    let offer = peer.take_reoffer().await;
    assert!(offer.contains("a=sendrecv"), "{offer}");
    both_ways(&mut events, &mut peer).await;
    peer.hang_up().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_by_who_is_held_takes_nobody_off_hold() {
    let (switch, mut events, mut peer): (_, _, Peer) = greeted().await;
    assert_eq!(ask(&switch, "hold").await, 202);
    peer.take_reoffer_as("recvonly").await;
    for method in ["INVITE", "UPDATE"] {
        let answer = peer.offer(method, "sendrecv", "127.0.0.1").await;
        assert!(answer.contains("a=sendonly"), "{method}: {answer}");
    }
    assert_eq!(ask(&switch, "resume").await, 202);
    peer.take_reoffer().await;
    both_ways(&mut events, &mut peer).await;
    peer.hang_up().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_of_a_bridge_is_held_and_talks_to_the_called_party_again_after_it() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let uri = number(&switch);
    let (mut peer, mut called) = tokio::join!(Peer::call(&uri), desk.answer());
    let says = tone(CALLER, 3);
    // By then both are where they hear each other.
    tokio::join!(peer.say(&says), called.until_heard(CALLER));
    assert_eq!(ask(&switch, "hold").await, 202);
    let offer = peer.take_reoffer_as("recvonly").await;
    assert!(offer.contains("a=sendonly"), "{offer}");
    until(&mut events, "call.held").await;
    peer.heard();
    peer.hear_speech().await;
    // The called party holds as well, and is back before the caller is.
    called.leg.hold(true);
    called.reoffer().await;
    called.leg.hold(false);
    called.reoffer().await;
    peer.heard();
    peer.hear_speech().await;
    assert_eq!(ask(&switch, "resume").await, 202);
    let offer = peer.take_reoffer().await;
    assert!(offer.contains("a=sendrecv"), "{offer}");
    until(&mut events, "call.resumed").await;
    tokio::join!(peer.say(&says), called.until_heard(CALLER));
    peer.hang_up().await;
    called.until_over().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}
