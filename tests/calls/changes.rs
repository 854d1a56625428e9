//! A session that changes while the call goes on: refreshed, held, resumed, ended.

use tokio::net::TcpListener;

use crate::callee::Callee;
use crate::caller::Caller;
use crate::peer::{LISTENER, Peer, version};
use crate::rig::{Events, Switch, voice};

/// A switch with a caller who has been greeted.
pub(crate) async fn greeted() -> (Switch, Events, Peer) {
    let switch = Switch::start(LISTENER, "").await;
    let mut events = switch.events();
    let peer = Peer::call(&switch.uri).await;
    events.agent_said("What can I do for you").await;
    (switch, events, peer)
}

/// The caller is heard and hears.
pub(crate) async fn both_ways(events: &mut Events, peer: &mut Peer) {
    peer.say(&voice("weather_question.wav")).await;
    // Its silence is sound as well: who sends nothing would be waited for.
    let heard = events.until("call.turn", |turn| {
        let text = turn["text"].as_str().unwrap_or_default().to_lowercase();
        turn["who"] == "caller" && text.contains("weather")
    });
    peer.be_silent_until(heard).await;
    peer.heard();
    peer.hear_speech().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_by_reinvite_or_update_gets_the_same_description_and_the_call_goes_on() {
    let (switch, mut events, mut peer) = greeted().await;
    for method in ["INVITE", "UPDATE"] {
        assert_eq!(peer.refresh(method).await, peer.answer, "{method}");
    }
    both_ways(&mut events, &mut peer).await;
    peer.hang_up().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_in_each_of_its_forms_is_silent_and_a_resume_brings_both_ways_back() {
    let (switch, mut events, mut peer) = greeted().await;
    let forms = [
        ("INVITE", "sendonly", "127.0.0.1", "a=recvonly"),
        ("UPDATE", "inactive", "127.0.0.1", "a=inactive"),
        ("INVITE", "sendrecv", "0.0.0.0", "a=recvonly"),
    ];
    for (method, direction, address, ours) in forms {
        let last = peer.hear().await;
        let held = peer.offer(method, direction, address).await;
        assert!(held.contains(ours), "{direction} {address}: {held}");
        let last = peer.heard().unwrap_or(last);
        // Half a second of its music.
        peer.say(&[0; 4_000]).await;
        let resumed = peer.offer(method, "sendrecv", "127.0.0.1").await;
        assert!(resumed.contains("a=sendrecv"), "{resumed}");
        let next = peer.hear().await;
        // One packet may have been on its way when the hold came.
        assert!(
            next.sequence.wrapping_sub(last.sequence) <= 2,
            "{direction}"
        );
        let pause = next.timestamp.wrapping_sub(last.timestamp);
        assert!(pause >= 3_200, "{direction}: time went on, {pause}");
    }
    both_ways(&mut events, &mut peer).await;
    peer.hang_up().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_call_that_is_resumed_without_an_offer_has_both_ways() {
    let (switch, mut events, mut peer) = greeted().await;
    let held = peer.offer("INVITE", "sendonly", "127.0.0.1").await;
    assert!(held.contains("a=recvonly"), "{held}");
    let offered = peer.resume_without_an_offer().await;
    assert!(offered.contains("a=sendrecv"), "{offered}");
    assert_eq!(version(&offered), version(&held) + 1);
    both_ways(&mut events, &mut peer).await;
    peer.hang_up().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_a_description_is_acknowledged_and_hung_up() {
    let switch = Switch::start(LISTENER, "").await;
    let mut events = switch.events();
    let callee = Callee::listen().await;
    assert_eq!(switch.post_call(&callee.uri()).await.status(), 202);
    let (invite, from) = callee.asked("INVITE").await;
    callee.agree(&invite, from).await;
    callee.asked("ACK").await;
    let (bye, from) = callee.asked("BYE").await;
    callee.agree(&bye, from).await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "failed", "{record:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_a_phone_presses_are_heard() {
    let switch = Switch::start(LISTENER, "").await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("What can I do for you").await;
    caller.press("59#");
    let keys = |turn: &serde_json::Value| turn["text"] == "[keys 59]";
    events.until("call.turn", keys).await;
    caller.hang_up().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_media_ends_with_the_call_though_a_request_of_the_flow_is_still_open() {
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let flow = format!(
        "on_hangup = \"tell\"\n{LISTENER}\n[nodes.tell]\ntype = \"http\"\n\
         url = \"http://{}/told\"\ntimeout_s = 15\nnext = \"over\"\n\
         [nodes.over]\ntype = \"end\"\nsay = \"Goodbye.\"\n",
        web.local_addr().unwrap()
    );
    let switch = Switch::start(&flow, "").await;
    let mut events = switch.events();
    let mut peer = Peer::call(&switch.uri).await;
    events.agent_said("What can I do for you").await;
    peer.hang_up().await;
    let (open, _) = web.accept().await.unwrap();
    peer.hear_goodbye().await;
    let calls = switch.json("/v1/calls").await;
    assert_eq!(calls["calls"][0]["state"], "in-progress", "{calls:#}");
    drop(open);
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}
