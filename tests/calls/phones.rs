//! Calls that are bridged to a user's phones.

use std::net::SocketAddr;

use offhook::net::sip::Signal;
use offhook::store::Options;
use offhook_sip::EndCause;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

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

/// The first line of each datagram that a NAT lets in.
type LetIn = mpsc::UnboundedReceiver<String>;

/// A NAT in front of one phone: what comes to its inside is sent on to the switch from its outside, and
/// what comes there to whoever spoke last inside. Gives its inside.
async fn nat(switch: SocketAddr) -> (SocketAddr, LetIn) {
    let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = inside.local_addr().unwrap();
    let (tell, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut up, mut down) = ([0; 65_535], [0; 65_535]);
        let mut phone = None;
        loop {
            tokio::select! {
                came = inside.recv_from(&mut up) => {
                    let (length, from) = came.unwrap();
                    phone = Some(from);
                    outside.send_to(&up[..length], switch).await.unwrap();
                }
                came = outside.recv_from(&mut down) => {
                    let (length, _) = came.unwrap();
                    let text = String::from_utf8_lossy(&down[..length]);
                    let _ = tell.send(text.lines().next().unwrap_or_default().to_owned());
                    inside.send_to(&down[..length], phone.unwrap()).await.unwrap();
                }
            }
        }
    });
    (address, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_behind_a_nat_is_kept_reachable_and_rung_through_it() {
    let switch = Switch::start(LISTENER, BOB).await;
    let mut events = switch.events();
    let host: SocketAddr = switch.uri.split('@').nth(1).unwrap().parse().unwrap();
    let (inside, mut let_in) = nat(host).await;
    let mut desk = Desk::open().await;
    let _bound = desk
        .register_by(&switch, "bob", "correct horse battery", inside)
        .await;
    // It keeps the NAT open from both sides: the phone answers.
    loop {
        let line = let_in.recv().await.unwrap();
        if line.starts_with("OPTIONS sip:bob@") {
            break;
        }
    }
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let (caller, called) = tokio::join!(Caller::dial(&uri), desk.answer());
    let (mut caller, mut called) = (caller.unwrap(), called);
    both_ways(&mut caller, &mut called).await;
    caller.hang_up().await;
    called.until_over().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::disallowed_methods)] // whether a port is free only a socket tells
async fn a_phone_that_registered_before_a_restart_is_rung_after_it() {
    // Its binding is to this listener, which has to be the same one again: of a port that nobody is
    // given who asks for any.
    let mut ports = 14_000..15_000_u16;
    let is_free = |port: &u16| std::net::UdpSocket::bind(("127.0.0.1", *port)).is_ok();
    let port = ports.find(is_free).unwrap();
    let more = format!("{BOB}[sip]\nlisten = [\"udp://127.0.0.1:{port}\"]\n");
    let switch = Switch::start(LISTENER, &more).await;
    let mut desk = Desk::open().await;
    let _bound = desk.register(&switch, "bob", "correct horse battery").await;
    let folder = switch.stop().await;

    let switch = Switch::start_in(folder, LISTENER, &more, Options::default()).await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let (caller, called) = tokio::join!(Caller::dial(&uri), desk.answer());
    let (mut caller, mut called) = (caller.unwrap(), called);
    both_ways(&mut caller, &mut called).await;
    caller.hang_up().await;
    called.until_over().await;
    assert_eq!(switch.record(&mut events).await["bridge"]["user"], "bob");
    switch.stop().await;
}
