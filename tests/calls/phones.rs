//! Calls that are bridged to a user's phones.

use offhook::net::sip::Signal;
use offhook_sip::EndCause;

use crate::bridging::{both_ways, refusal};
use crate::caller::Caller;
use crate::desk::Desk;
use crate::peer::LISTENER;
use crate::rig::Switch;

const BOB: &str = "[[user]]\nname = \"bob\"\npassword = \"correct horse battery\"\n\
                   [[route]]\nto = \"100\"\nuser = \"bob\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_phone_is_rung_and_shown_who_calls() {
    let switch = Switch::start(LISTENER, BOB).await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    assert_eq!(refusal(&uri, [127, 0, 0, 1], "+12025550143").await, 480);
    let mut desk = Desk::open().await;
    let _bound = desk.register(&switch, "bob", "correct horse battery").await;
    let (caller, called) = tokio::join!(Caller::dial(&uri), desk.answer());
    let (mut caller, mut called) = (caller.unwrap(), called);
    assert_eq!(called.from, "+12025550143");
    both_ways(&mut caller, &mut called).await;
    caller.hang_up().await;
    called.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["bridge"]["user"], "bob", "{record:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_asks_for_privacy_is_shown_to_nobody() {
    let switch = Switch::start(LISTENER, BOB).await;
    let mut events = switch.events();
    let mut desk = Desk::open().await;
    let _bound = desk.register(&switch, "bob", "correct horse battery").await;
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let dialled = tokio::spawn(async move { Caller::dial_private(&uri).await });
    let incoming = desk.rings().await;
    let told = format!("{:?}", incoming.invite.headers);
    assert!(
        told.contains("sip:anonymous@") && !told.contains("2025550143"),
        "{told}"
    );
    let _called = desk.pick_up(*incoming).await;
    dialled.await.unwrap().unwrap().hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["from"], "+12025550143", "it stays here");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_phones_of_a_user_ring_and_the_first_that_answers_has_the_call() {
    let switch = Switch::start(LISTENER, BOB).await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let (mut kitchen, mut study) = (Desk::open().await, Desk::open().await);
    let password = "correct horse battery";
    let _there = kitchen.register(&switch, "bob", password).await;
    let _too = study.register(&switch, "bob", password).await;
    let both = async {
        let (mut first, second) = tokio::join!(kitchen.rings(), study.rings());
        let listening = study.pick_up(*second).await;
        (first.signals.recv().await, listening)
    };
    let (caller, (missed, mut called)) = tokio::join!(Caller::dial(&uri), both);
    let mut caller = caller.unwrap();
    let elsewhere = match missed {
        Some(Signal::Ended {
            cause: EndCause::Cancelled { reason },
        }) => reason.unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(elsewhere.contains("cause=200"), "{elsewhere}");
    both_ways(&mut caller, &mut called).await;
    caller.hang_up().await;
    called.until_over().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");

    // One is busy: the other rings on. It is busy too: that is told.
    let busy = async {
        let (first, second) = tokio::join!(kitchen.rings(), study.rings());
        let line = kitchen.line.sip();
        line.reject(first.call, 486, Vec::new()).await.unwrap();
        let line = study.line.sip();
        line.ring(second.call, 180, None).await.unwrap();
        line.reject(second.call, 480, Vec::new()).await.unwrap();
    };
    let (refused, ()) = tokio::join!(refusal(&uri, [127, 0, 0, 1], "+12025550143"), busy);
    assert_eq!(refused, 486);
    assert_eq!(switch.record(&mut events).await["state"], "busy");
    switch.stop().await;
}
