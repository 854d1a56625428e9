//! What one side says of why it ends a call: who is told, and what is written down.

use offhook::call::dial::DialFailure;
use offhook::net::sip::Signal;
use offhook_sip::EndCause;

use crate::bridging::{bridged, carrier, number};
use crate::caller::Caller;
use crate::desk::Desk;
use crate::peer::{LISTENER, Peer};
use crate::rig::Switch;

/// The Reason of a CANCEL that a phone has got.
fn cancelled(signal: Option<Signal>) -> Option<String> {
    match signal {
        Some(Signal::Ended {
            cause: EndCause::Cancelled { reason },
        }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_the_called_party_hangs_up_is_told_to_the_caller_and_written_down() {
    let (switch, mut events, mut caller, called) = bridged().await;
    let said = "Q.850;cause=34;text=\"gateway 10.0.0.7\"";
    called.hang_up_because(said).await;
    let told = caller.until_ended().await;
    let reason = Some("Q.850;cause=34".to_owned());
    assert_eq!(told, Some(EndCause::RemoteBye { reason }));
    let record = switch.record(&mut events).await;
    let words =
        "the called party hung up: no circuit is free (Q.850 cause 34), \"gateway 10.0.0.7\"";
    assert_eq!(record["reason"], words);
    assert_eq!(record["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_caller_gives_up_is_told_to_the_phone_that_rings() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let mut peer = Peer::invite(&number(&switch)).await;
    let mut incoming = desk.ring().await;
    peer.progress().await;
    peer.give_up("SIP;cause=200;text=\"Bob has it\", Q.850;cause=26")
        .await;
    let told = cancelled(incoming.signals.recv().await);
    let elsewhere = "SIP;cause=200;text=\"Call completed elsewhere\", Q.850;cause=26";
    assert_eq!(told.as_deref(), Some(elsewhere));
    let record = switch.record(&mut events).await;
    let words = "given up before the answer: somebody else has the call (Q.850 cause 26), \
                 SIP 200, \"Bob has it\"";
    assert_eq!(record["reason"], words);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_the_called_party_refuses_is_told_to_the_caller() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let uri = number(&switch);
    let refuses = async {
        let incoming = desk.rings().await;
        let reason = vec![("Reason".to_owned(), "Q.850;cause=21".to_owned())];
        desk.line.sip().reject(incoming.call, 403, reason).await
    };
    let (refused, _) = tokio::join!(Caller::dial(&uri), refuses);
    match refused.map(drop) {
        Err(DialFailure::Refused { status, cause, .. }) => {
            assert_eq!(
                (status, cause.and_then(|cause| cause.q850)),
                (403, Some(21))
            );
        }
        other => panic!("{other:?}"),
    }
    let record = switch.record(&mut events).await;
    let words = "refused with status 403: the call is rejected (Q.850 cause 21)";
    assert_eq!(record["reason"], words);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_that_ring_no_more_are_told_that_another_one_answered() {
    let users = "[[user]]\nname = \"ann\"\npassword = \"correct horse battery\"\n\
                 [[user]]\nname = \"bob\"\npassword = \"correct horse battery\"\n\
                 [[route]]\nto = \"100\"\nuser = [\"ann\", \"bob\"]\n";
    let switch = Switch::start(LISTENER, users).await;
    let (mut ann, mut bob) = (Desk::open().await, Desk::open().await);
    let _there = ann.register(&switch, "ann", "correct horse battery").await;
    let _too = bob.register(&switch, "bob", "correct horse battery").await;
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let answers = async {
        let (mut first, second) = tokio::join!(ann.ring(), bob.rings());
        let called = bob.pick_up(*second).await;
        (cancelled(first.signals.recv().await), called)
    };
    let (caller, (told, mut called)) = tokio::join!(Caller::dial(&uri), answers);
    let elsewhere = "SIP;cause=200;text=\"Call completed elsewhere\"";
    assert_eq!(told.as_deref(), Some(elsewhere));
    caller.unwrap().hang_up().await;
    called.until_over().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_an_agents_caller_hangs_up_is_written_down() {
    let switch = Switch::start(LISTENER, "").await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    caller.hang_up_because("Q.850;cause=16").await;
    let record = switch.record(&mut events).await;
    let words = "the other side hung up: a normal end (Q.850 cause 16)";
    assert_eq!(record["reason"], words);
    switch.stop().await;
}
