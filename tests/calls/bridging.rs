//! Calls that are bridged to a trunk or a user's phone: who is rung, what each side learns and hears,
//! and how it ends.

use std::net::IpAddr;

use offhook::call::codecs::Codecs;
use offhook::call::dial::DialFailure;
use offhook::net::media::LegEvent;
use offhook::net::sip::Signal;
use offhook_media::Codec;
use offhook_sip::EndCause;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::desk::{Desk, Listening};
use crate::doors::until_options_says;
use crate::peer::{LISTENER, Peer};
use crate::rig::{Events, Switch};
use crate::tones::{is_audible, share, tone};

/// What each side sounds like, in Hz.
const CALLER: f64 = 1_000.0;
const CALLED: f64 = 700.0;

/// Where the carrier is, and where a trunk's callers come from.
const CARRIER: [u8; 4] = [127, 0, 0, 2];
const OTHERS: [u8; 4] = [127, 0, 0, 3];

/// A switch that bridges what begins with +44 to a carrier, which is a desk.
pub(crate) async fn carrier() -> (Switch, Desk) {
    carrier_with("to = \"+44*\"\ntrunk = \"carrier\"\n").await
}

async fn carrier_with(route: &str) -> (Switch, Desk) {
    let desk = Desk::open_at(CARRIER.into()).await;
    let port = desk.line.sip().listeners()[0].1.port();
    let more = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {port}\n\
         networks = [\"127.0.0.2/32\"]\ncaller_id = \"+12025550100\"\n\
         [[trunk]]\nname = \"others\"\nkind = \"inbound\"\nnetworks = [\"127.0.0.3/32\"]\n\
         [[route]]\n{route}"
    );
    (Switch::start(LISTENER, &more).await, desk)
}

/// A number that leads to the carrier.
pub(crate) fn number(switch: &Switch) -> String {
    switch.uri.replace("sip:test@", "sip:+442079460123@")
}

/// Two who talk over a bridge.
pub(crate) async fn bridged() -> (Switch, Events, Caller, Listening) {
    let (switch, mut desk) = carrier().await;
    let events = switch.events();
    let uri = number(&switch);
    let (caller, called) = tokio::join!(Caller::dial(&uri), desk.answer());
    (switch, events, caller.unwrap(), called)
}

/// Each side hears the other one.
pub(crate) async fn both_ways(caller: &mut Caller, called: &mut Listening) {
    caller.say(&tone(CALLER, 20));
    called.say(&tone(CALLED, 20));
    called.until_heard(CALLER).await;
    caller
        .until_heard_now(|piece| share(piece, CALLED) > 0.9)
        .await;
}

/// Whether the figures tell of packets that passed through.
async fn has_relayed(switch: &Switch) -> bool {
    let figures = switch.get("/metrics").await.text().await.unwrap();
    let mut lines = figures.lines();
    let count = lines.find_map(|line| line.strip_prefix("offhook_rtp_relayed_total "));
    count.is_some_and(|count| count != "0")
}

/// The next keys that the called party hears pressed.
pub(crate) async fn keys(called: &mut Listening, count: usize) -> String {
    let mut keys = String::new();
    while keys.len() < count {
        if let Some(LegEvent::Dtmf { digit, .. }) = called.leg.event().await {
            keys.push(digit);
        }
    }
    keys
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> &'h str {
    let mut headers = headers.iter();
    let found = headers.find(|(n, _)| n == name);
    found.map_or("", |(_, value)| value.as_str())
}

pub(crate) async fn refusal(uri: &str, from: [u8; 4], user: &str) -> u16 {
    let refused = Caller::dial_from(IpAddr::from(from), user, uri).await;
    match refused.map(drop) {
        Err(DialFailure::Refused { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_of_a_bridge_hear_each_other_and_learn_nothing_else_of_each_other() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let uri = number(&switch);
    let dialled = tokio::spawn(async move { Caller::dial(&uri).await });
    let incoming = desk.rings().await;
    let invite = &incoming.invite;
    assert_eq!(
        invite.request_uri.split('@').next(),
        Some("sip:+442079460123")
    );
    assert_eq!(invite.from.user, "+12025550100", "the trunk's own number");
    assert_eq!(header(&invite.headers, "Max-Forwards"), "69");
    let told = format!("{:?}", invite.headers);
    assert!(!told.contains("+12025550143"), "{told}");
    let mut called = desk.pick_up(*incoming).await;
    let mut caller = dialled.await.unwrap().unwrap();
    both_ways(&mut caller, &mut called).await;

    caller.press("5#");
    assert_eq!(keys(&mut called, 2).await, "5#");
    caller.hang_up().await;
    called.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "completed", "{record:#}");
    assert_eq!(
        (&record["agent"], &record["trunk"]),
        (&Value::Null, &Value::Null)
    );
    let bridge = &record["bridge"];
    assert_eq!(bridge["to"], "+442079460123");
    assert_eq!(bridge["trunk"], "carrier");
    // Read each second.
    while !has_relayed(&switch).await {}
    for media in [&record["media"], &bridge["media"]] {
        assert!(media["packets"].as_u64().unwrap() > 0, "{record:#}");
    }
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_called_party_who_hangs_up_ends_the_call() {
    let (switch, mut events, caller, called) = bridged().await;
    called.hang_up().await;
    caller.until_over().await;
    let ended = events.until("call.ended", |_| true).await;
    assert_eq!(ended.data.read()["reason"], "the called party hung up");
    assert_eq!(ended.data.read()["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_is_hung_up_on_both_sides_over_the_api() {
    let (switch, mut events, caller, mut called) = bridged().await;
    let calls = switch.json("/v1/calls").await;
    let id = calls["calls"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(switch.delete_call(&id).await, 202);
    caller.until_over().await;
    called.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_told_that_the_called_party_is_busy() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let uri = number(&switch);
    let busy = async {
        let incoming = desk.rings().await;
        desk.line.sip().reject(incoming.call, 486, Vec::new()).await
    };
    let (refused, _) = tokio::join!(Caller::dial(&uri), busy);
    let refused = refused.map(drop);
    assert!(
        matches!(refused, Err(DialFailure::Refused { status: 486, .. })),
        "{refused:?}"
    );
    assert_eq!(switch.record(&mut events).await["state"], "busy");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_rings_too_long_is_not_rung_any_more() {
    let (switch, mut desk) = carrier_with("trunk = \"carrier\"\nring_s = 1\n").await;
    let mut events = switch.events();
    let uri = number(&switch);
    let rings = async { desk.ring().await.signals.recv().await };
    let (refused, signal) = tokio::join!(Caller::dial(&uri), rings);
    let cancelled = matches!(
        signal,
        Some(Signal::Ended {
            cause: EndCause::Cancelled { .. }
        })
    );
    assert!(cancelled, "{signal:?}");
    let refused = refused.map(drop);
    assert!(
        matches!(refused, Err(DialFailure::Refused { status: 480, .. })),
        "{refused:?}"
    );
    assert_eq!(switch.record(&mut events).await["state"], "no-answer");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_gives_up_stops_the_ringing() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let uri = number(&switch);
    let (rang, rings) = tokio::sync::oneshot::channel();
    let ringing = async {
        let mut incoming = desk.ring().await;
        let _ = rang.send(());
        incoming.signals.recv().await
    };
    let (given_up, signal) = tokio::join!(Caller::dial_until(&uri, rings), ringing);
    assert!(matches!(given_up.map(drop), Err(DialFailure::Cancelled)));
    assert!(matches!(signal, Some(Signal::Ended { .. })), "{signal:?}");
    assert_eq!(switch.record(&mut events).await["state"], "canceled");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunks_caller_goes_out_over_another_trunk_only_where_the_route_names_it() {
    let (switch, _desk) = carrier().await;
    let uri = number(&switch);
    assert_eq!(refusal(&uri, OTHERS, "+12025550143").await, 403);
    assert_eq!(
        refusal(&uri, CARRIER, "+12025550143").await,
        482,
        "it would go round"
    );
    let calls = switch.json("/v1/calls").await;
    assert_eq!(
        calls["calls"],
        Value::Array(Vec::new()),
        "none left a record"
    );
    switch.stop().await;

    let (switch, _desk) =
        carrier_with("to = \"+44*\"\nfrom = \"+1202*\"\ntrunk = \"carrier\"\n").await;
    let uri = number(&switch);
    assert_eq!(
        refusal(&uri, OTHERS, "+12025550143").await,
        403,
        "who it says it is proves nothing"
    );
    switch.stop().await;

    let named = "to = \"+44*\"\nfrom = \"+1202*\"\nfrom_trunk = \"others\"\ntrunk = \"carrier\"\n";
    let (switch, mut desk) = carrier_with(named).await;
    let uri = number(&switch);
    assert_eq!(refusal(&uri, OTHERS, "+4930123456").await, 404);
    assert_eq!(refusal(&uri, [127, 0, 0, 1], "+12025550143").await, 404);
    let dialled = Caller::dial_from(IpAddr::from(OTHERS), "+12025550143", &uri);
    let (caller, called) = tokio::join!(dialled, desk.answer());
    assert_eq!(called.from, "+12025550143", "a trunk's caller is shown");
    caller.unwrap().hang_up().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_routed_and_dialled_without_its_punctuation_and_no_other_name_is() {
    // What would pass by the second route is what the first one keeps.
    let kept = "to = \"+4420[7]*\"\nagent = \"test\"\n\
                [[route]]\nto = \"+44*\"\ntrunk = \"carrier\"\n";
    let (switch, mut desk) = carrier_with(kept).await;
    let mut events = switch.events();
    let dialled = |number: &str| switch.uri.replace("sip:test@", &format!("sip:{number}@"));
    for number in ["%2B44%3Ax%40127.0.0.2", "+44x"] {
        let refused = refusal(&dialled(number), [127, 0, 0, 1], "+12025550143").await;
        assert_eq!(refused, 404, "{number}");
    }
    let uri = dialled("+44-(16)-1496.0123");
    let (caller, called) = tokio::join!(Caller::dial(&uri), desk.answer());
    assert_eq!(called.to, "+441614960123");
    caller.unwrap().hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["to"], "+441614960123", "{record:#}");
    assert_eq!(record["bridge"]["to"], "+441614960123");
    let agents = Caller::dial(&dialled("+44-20.7946-0123")).await.unwrap();
    agents.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(
        (&record["agent"], &record["to"]),
        (&Value::from("test"), &Value::from("+442079460123"))
    );
    let asked = json!({ "to": "+44 (20) 7946 0123", "agent": "test" });
    assert_eq!(switch.post("/v1/calls", &asked, None).await.status(), 202);
    let called = desk.answer().await;
    assert_eq!(called.to, "+442079460123");
    called.hang_up().await;
    assert_eq!(switch.record(&mut events).await["to"], "+442079460123");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_takes_two_pairs_of_ports_and_options_tells_whether_one_is_left() {
    let three = "to = \"+44*\"\ntrunk = \"carrier\"\n[media]\nports = \"19020-19025\"\n";
    let (switch, mut desk) = carrier_with(three).await;
    let mut events = switch.events();
    let uri = number(&switch);
    let (caller, mut called) = tokio::join!(Caller::dial(&uri), desk.answer());
    assert_eq!(refusal(&uri, [127, 0, 0, 1], "+12025550143").await, 503);
    until_options_says(&switch, "200").await;
    let agents = Caller::dial(&switch.uri).await.unwrap();
    until_options_says(&switch, "503").await;
    assert_eq!(
        refusal(&switch.uri, [127, 0, 0, 1], "+12025550143").await,
        503
    );
    caller.unwrap().hang_up().await;
    called.until_over().await;
    switch.record(&mut events).await;
    until_options_says(&switch, "200").await;
    agents.hang_up().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_played_before_the_answer_is_heard_before_it() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let mut peer = Peer::invite(&number(&switch)).await;
    let incoming = desk.rings().await;
    let mut called = desk.play_early(*incoming, &tone(CALLED, 20)).await;
    let early = peer.progress().await;
    assert!(
        early.starts_with("SIP/2.0 183") && early.contains("m=audio"),
        "{early}"
    );
    peer.listen_to(&early);
    peer.hear_speech().await;
    let listed = switch.json("/v1/calls").await;
    assert_eq!(listed["calls"][0]["answered_at"], Value::Null);
    desk.confirm(&called).await;
    peer.answered().await;
    events.until("call.answered", |_| true).await;
    let says = tone(CALLER, 5);
    tokio::join!(peer.say(&says), called.until_heard(CALLER));
    peer.hang_up().await;
    called.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "completed");
    let path = format!("/v1/calls/{}/recording", record["id"].as_str().unwrap());
    assert_eq!(switch.get(&path).await.status(), 200);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_have_no_codec_in_common_hear_each_other_all_the_same() {
    let more = "to = \"+44*\"\ntrunk = \"carrier\"\n[media]\ncodecs = [\"PCMU\", \"opus\"]\n";
    let (switch, mut desk) = carrier_with(more).await;
    let mut events = switch.events();
    desk.codecs = Codecs::in_order([Codec::Opus]);
    let uri = number(&switch);
    let (caller, called) = tokio::join!(Caller::dial(&uri), desk.answer());
    let (mut caller, mut called) = (caller.unwrap(), called);
    assert_eq!(called.leg.rate_hz, 16_000);
    // The phone's sound has twice as many samples: a tone is half as high by their number.
    caller.say(&tone(CALLER, 20));
    called.say(&tone(CALLED / 2.0, 40));
    called.until_heard(CALLER / 2.0).await;
    caller
        .until_heard_now(|piece| share(piece, CALLED) > 0.9)
        .await;
    // Keys pass though their clocks differ.
    caller.press("7");
    loop {
        if let Some(LegEvent::Dtmf { digit, .. }) = called.leg.event().await {
            assert_eq!(digit, '7');
            break;
        }
    }
    caller.hang_up().await;
    called.until_over().await;
    let record = switch.record(&mut events).await;
    let codecs = [
        &record["media"]["codec"],
        &record["bridge"]["media"]["codec"],
    ];
    assert_eq!(codecs, ["PCMU", "opus"], "{record:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_the_offer_to_us_is_bridged_as_any_other() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let mut peer = Peer::invite_without_an_offer(&number(&switch)).await;
    // Nothing can be played to it before the answer: it is told that it rings.
    let incoming = desk.rings().await;
    let mut called = desk.play_early(*incoming, &tone(CALLED, 30)).await;
    let rings = peer.progress().await;
    assert!(rings.starts_with("SIP/2.0 180"), "{rings}");
    desk.confirm(&called).await;
    peer.answered_with_an_offer().await;
    peer.hear_speech().await;
    let says = tone(CALLER, 5);
    tokio::join!(peer.say(&says), called.until_heard(CALLER));
    peer.hang_up().await;
    called.until_over().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_phone_tells_of_by_info_is_heard_once_whether_it_is_pressed_too_or_not() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let uri = number(&switch);
    let (mut peer, mut called) = tokio::join!(Peer::call(&uri), desk.answer());
    // By INFO first, and then as telephone-events.
    peer.inform('1').await;
    peer.press(1).await;
    // By INFO alone, though telephone-events were agreed on.
    peer.inform('2').await;
    peer.inform('3').await;
    assert_eq!(keys(&mut called, 3).await, "123");
    peer.hang_up().await;
    called.until_over().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_refreshes_and_holds_and_both_ways_are_back_after_it() {
    let (switch, mut desk) = carrier().await;
    let mut events = switch.events();
    let uri = number(&switch);
    let (peer, mut called) = tokio::join!(Peer::call(&uri), desk.answer());
    let mut peer = peer;
    for method in ["INVITE", "UPDATE"] {
        assert_eq!(peer.refresh(method).await, peer.answer, "{method}");
    }
    assert!(called.reoffer().await.contains("a=sendrecv"));
    called.say(&tone(CALLED, 60));
    peer.hear_speech().await;
    // The caller holds: the called party hears music.
    for direction in ["sendonly", "inactive"] {
        peer.offer("INVITE", direction, "127.0.0.1").await;
        let music = |piece: &[i16]| is_audible(piece) && share(piece, CALLER) < 0.5;
        called.until(music).await;
        peer.offer("INVITE", "sendrecv", "127.0.0.1").await;
        let says = tone(CALLER, 3);
        tokio::join!(peer.say(&says), called.until_heard(CALLER));
        peer.heard();
        peer.hear_speech().await;
    }
    // The called party holds: the caller hears music, and then the called party again.
    called.leg.hold(true);
    assert!(called.reoffer().await.contains("a=recvonly"));
    peer.heard();
    peer.hear_speech().await;
    called.leg.hold(false);
    assert!(called.reoffer().await.contains("a=sendrecv"));
    let says = tone(CALLER, 3);
    tokio::join!(peer.say(&says), called.until_heard(CALLER));
    peer.hang_up().await;
    called.until_over().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}
