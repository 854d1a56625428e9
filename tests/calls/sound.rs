//! Sound that goes one way only: named in words while the call goes on, kept in its record, and
//! mended where that is possible.

use crate::peer::{LISTENER, Peer, version};
use crate::rig::{Events, Switch, voice};

/// Is silent, in packets, until the switch says that it hears that.
async fn until_heard_again(events: &mut Events, peer: &mut Peer) {
    let heard = events.until("call.sound", |told| {
        told["trouble"].as_str().unwrap().contains("heard again")
    });
    peer.be_silent_until(heard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_whom_nothing_comes_is_named_at_once_and_in_the_record() {
    let switch = Switch::start(LISTENER, "").await;
    let mut events = switch.events();
    let mut peer = Peer::call(&switch.uri).await;
    let told = events.until("call.sound", |_| true).await;
    let told = told.data.read();
    let words = told["trouble"].as_str().unwrap();
    assert!(words.starts_with("nothing is heard"), "{words}");
    peer.say(&voice("weather_question.wav")).await;
    let mended = events.until("call.sound", |_| true).await;
    assert!(
        mended.data.read()["trouble"]
            .as_str()
            .unwrap()
            .contains("heard again")
    );
    peer.hang_up().await;
    let record = switch.record(&mut events).await;
    let trouble = record["media"]["trouble"].as_array().unwrap();
    assert_eq!(trouble.len(), 2, "{record}");
    assert!(trouble[0].as_str().unwrap().contains("no packet comes"));
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_sends_what_was_not_agreed_upon_is_offered_the_session_anew() {
    let switch = Switch::start(LISTENER, "").await;
    let mut events = switch.events();
    let mut peer = Peer::call(&switch.uri).await;
    let before = peer.answer.clone();
    peer.payload_type = 18;
    peer.say(&[0; 6_400]).await;
    let offer = peer.take_reoffer().await;
    assert!(offer.contains("a=sendrecv"), "{offer}");
    assert!(version(&offer) > version(&before));
    peer.payload_type = 0;
    until_heard_again(&mut events, &mut peer).await;
    peer.hang_up().await;
    let record = switch.record(&mut events).await;
    let first = record["media"]["trouble"][0].as_str().unwrap();
    assert!(first.contains("payload type 18"), "{record}");
    switch.stop().await;
}
