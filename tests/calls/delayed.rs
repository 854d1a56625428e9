//! Callers who leave the offer to us: it is in our answer, and theirs is in the ACK
//! (RFC 3261 §13.2.1).

use crate::bridging::{carrier, number};
use crate::peer::{LISTENER, Peer, body};
use crate::rig::Switch;
use crate::tones::tone;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_talks_with_a_caller_who_leaves_the_offer_to_us() {
    let switch = Switch::start(LISTENER, "").await;
    let mut events = switch.events();
    let mut peer = Peer::invite_without_an_offer(&switch.uri).await;
    let ok = peer.answered_with_an_offer().await;
    let offer = body(&ok);
    assert!(
        offer.contains("m=audio") && !offer.contains("a=inactive"),
        "{offer}"
    );
    peer.hear_speech().await;
    peer.say(&tone(1_000.0, 1)).await;
    // What was agreed on so is changed, and refreshed, as anything else.
    let held = peer.offer("INVITE", "sendonly", "127.0.0.1").await;
    assert!(held.contains("a=recvonly"), "{held}");
    peer.offer("UPDATE", "sendrecv", "127.0.0.1").await;
    let offered = peer.resume_without_an_offer().await;
    assert!(offered.contains("a=sendrecv"), "{offered}");
    peer.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "completed", "{record:#}");
    assert!(record["media"]["packets"].as_u64().unwrap() > 0);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_answers_our_offer_with_nothing_is_hung_up_on_and_so_is_who_it_called() {
    let switch = Switch::start(LISTENER, "").await;
    let mut events = switch.events();
    let mut peer = Peer::invite_without_an_offer(&switch.uri).await;
    peer.answered().await;
    let record = switch.record(&mut events).await;
    assert_eq!(
        record["reason"], "the ACK brought no answer to our offer",
        "{record:#}"
    );
    switch.stop().await;

    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let mut peer = Peer::invite_without_an_offer(&number(&switch)).await;
    let mut called = desk.answer().await;
    peer.answered().await;
    called.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["reason"], "the ACK brought no answer to our offer");
    switch.stop().await;
}
