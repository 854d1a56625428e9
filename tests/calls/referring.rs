//! Calls that their own parties transfer: by REFER, to somebody who is called or who talks already, and
//! by Replaces.

use offhook::call::dial::DialFailure;
use offhook::net::sip::{ReferAsked, Signal};
use offhook_media::Codec;
use serde_json::{Value, json};

use crate::bridging::{both_ways, carrier, number};
use crate::caller::Caller;
use crate::desk::{Desk, Listening};
use crate::peer::LISTENER;
use crate::rig::{Events, Switch};
use crate::supervision::PATIENT;
use crate::tones::{is_audible, share, tone};

const PASSWORD: &str = "correct horse battery";
const USERS: &str = "[[user]]\nname = \"bob\"\npassword = \"correct horse battery\"\n\
                     [[user]]\nname = \"carol\"\npassword = \"correct horse battery\"\n\
                     [[route]]\nto = \"100\"\nuser = \"bob\"\n\
                     [[route]]\nto = \"200\"\nuser = \"carol\"\nring_s = 2\n\
                     [[route]]\nto = \"300\"\nagent = \"test\"\n";

/// A switch with the phones of bob and carol.
struct Office {
    switch: Switch,
    events: Events,
    bob: Desk,
    carol: Desk,
    _bound: [offhook::net::sip::PlacedRegistration; 2],
}

impl Office {
    async fn open() -> Self {
        let switch = Switch::start(LISTENER, USERS).await;
        let (bob, carol) = (Desk::open().await, Desk::open().await);
        let bound = [
            bob.register(&switch, "bob", PASSWORD).await,
            carol.register(&switch, "carol", PASSWORD).await,
        ];
        Self {
            events: switch.events(),
            switch,
            bob,
            carol,
            _bound: bound,
        }
    }

    fn uri(&self, number: &str) -> String {
        self.switch
            .uri
            .replace("sip:test@", &format!("sip:{number}@"))
    }

    /// Somebody who has called bob, and bob.
    async fn call_to_bob(&mut self) -> (Caller, Listening) {
        let uri = self.uri("100");
        let (caller, bob) = tokio::join!(Caller::dial(&uri), self.bob.answer());
        (caller.unwrap(), bob)
    }

    async fn state(&mut self, state: &str) -> Value {
        let is = |data: &Value| data["state"] == state;
        let event = self.events.until("call.transfer", is).await;
        event.data.read().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_sends_its_caller_to_another_one_and_is_told_what_comes_of_it() {
    let mut office = Office::open().await;
    let (mut caller, mut bob) = office.call_to_bob().await;
    both_ways(&mut caller, &mut bob).await;
    bob.refer(&office.uri("200")).await;
    let rings = office.carol.ring().await;
    assert_eq!(rings.invite.from.user, "+12025550143", "she sees who waits");
    office.state("ringing").await;
    caller.until_heard(is_audible).await;
    let mut carol = office.carol.pick_up(*rings).await;
    assert_eq!(bob.until_referred().await, (Ok(()), vec![100, 180, 200]));
    assert_eq!(office.state("answered").await["by"], "called");
    both_ways(&mut caller, &mut carol).await;
    // Who does not hang up is hung up.
    bob.until_over().await;
    caller.hang_up().await;
    carol.until_over().await;
    let record = office.switch.record(&mut office.events).await;
    assert_eq!(record["bridge"]["user"], "carol", "{record:#}");
    office.switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_hands_its_caller_to_an_agent_that_hears_and_speaks_as_on_any_call() {
    let mut office = Office::open().await;
    let (mut caller, mut bob) = office.call_to_bob().await;
    both_ways(&mut caller, &mut bob).await;
    bob.refer(&office.uri("300")).await;
    assert_eq!(bob.until_referred().await, (Ok(()), vec![100, 200]));
    assert_eq!(office.state("answered").await["to"], "300");
    let greets = |turn: &Value| turn["who"] == "agent";
    office.events.until("call.turn", greets).await;
    // Who does not hang up is hung up.
    bob.until_over().await;
    caller.until_said().await;
    caller.say(&crate::rig::voice("weather_question.wav"));
    let answers = |turn: &Value| turn["who"] == "caller";
    office.events.until("call.turn", answers).await;
    caller.hang_up().await;
    let record = office.switch.record(&mut office.events).await;
    assert_eq!(record["agent"], "test", "{record:#}");
    assert_eq!(record["bridge"], Value::Null, "{record:#}");
    assert_eq!(record["state"], "completed", "{record:#}");
    office.switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_may_leave_as_soon_as_its_transfer_is_accepted() {
    let mut office = Office::open().await;
    let (mut caller, bob) = office.call_to_bob().await;
    bob.refer(&office.uri("200")).await;
    let rings = office.carol.ring().await;
    bob.hang_up().await;
    let mut carol = office.carol.pick_up(*rings).await;
    both_ways(&mut caller, &mut carol).await;
    carol.hang_up().await;
    caller.until_over().await;

    // Nobody is there: the caller is not left alone with the music.
    let (caller, bob) = office.call_to_bob().await;
    bob.refer(&office.uri("200")).await;
    let _rings = office.carol.ring().await;
    bob.hang_up().await;
    caller.until_over().await;
    office.switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_transfer_fails_the_two_go_on() {
    let mut office = Office::open().await;
    let (mut caller, mut bob) = office.call_to_bob().await;
    bob.refer(&office.uri("200")).await;
    let rings = office.carol.ring().await;
    let sip = office.carol.line.sip();
    sip.reject(rings.call, 486, Vec::new()).await.unwrap();
    assert_eq!(bob.until_referred().await, (Ok(()), vec![100, 180, 486]));
    both_ways(&mut caller, &mut bob).await;
    // Neither does a place that is nowhere end it.
    bob.refer(&office.uri("+999")).await;
    assert_eq!(bob.until_referred().await, (Ok(()), vec![100, 404]));
    both_ways(&mut caller, &mut bob).await;
    caller.hang_up().await;
    bob.until_over().await;
    office.switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_talk_with_one_phone_are_brought_together_by_it() {
    let mut office = Office::open().await;
    let (mut first, mut bob_first) = office.call_to_bob().await;
    // One call is on one media thread, the next on the other.
    let (second, mut bob_second) = office.call_to_bob().await;
    bob_first.refer_into(&bob_second).await;
    assert_eq!(bob_first.until_referred().await, (Ok(()), vec![100, 200]));
    bob_second.until_over().await;
    bob_first.hang_up().await;
    let record = office.switch.record(&mut office.events).await;
    assert_eq!(record["outcome"], "transferred", "{record:#}");
    let mut second = second;
    callers_talk(&mut first, &mut second).await;
    first.press("7");
    second.until_key('7').await;
    first.hang_up().await;
    second.until_over().await;
    office.switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_asks_another_one_first_and_then_hands_its_caller_over() {
    let mut office = Office::open().await;
    let (mut caller, mut bob) = office.call_to_bob().await;
    let uri = office.uri("200");
    let (mut asks, mut carol) = tokio::join!(office.bob.dial(&uri), office.carol.answer());
    bob.refer_into(&asks).await;
    assert_eq!(bob.until_referred().await, (Ok(()), vec![100, 200]));
    asks.until_over().await;
    both_ways(&mut caller, &mut carol).await;
    bob.hang_up().await;
    both_ways(&mut caller, &mut carol).await;
    caller.hang_up().await;
    carol.until_over().await;
    let consultation = office.switch.record(&mut office.events).await;
    assert_eq!(consultation["outcome"], "transferred", "{consultation:#}");
    let record = office.switch.record(&mut office.events).await;
    assert_eq!(record["bridge"]["user"], "carol", "{record:#}");
    office.switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_phone_takes_the_place_of_one_that_talks() {
    let mut office = Office::open().await;
    let (mut caller, mut bob) = office.call_to_bob().await;
    let replaces = bob.replaces().await;
    office.carol.codecs = offhook::call::codecs::Codecs::in_order([Codec::Pcma]);
    let carol = office
        .carol
        .dial_saying(&office.uri("100"), vec![replaces])
        .await;
    let mut carol = carol;
    office.state("replaced").await;
    bob.until_over().await;
    both_ways(&mut caller, &mut carol).await;
    carol.hang_up().await;
    caller.until_over().await;
    let record = office.switch.record(&mut office.events).await;
    // Nobody has asked for a password: a caller is what it calls itself.
    let bridge = &record["bridge"];
    assert_eq!(
        (&bridge["to"], &bridge["user"]),
        (&json!("boss"), &Value::Null)
    );
    office.switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carriers_side_may_transfer_nobody_unless_its_trunk_says_so() {
    let (switch, mut desk) = carrier().await;
    let uri = number(&switch);
    let (caller, called) = tokio::join!(Caller::dial(&uri), desk.answer());
    let (mut caller, mut called) = (caller.unwrap(), called);
    called.refer(&number(&switch)).await;
    assert_eq!(called.until_referred().await, (Err(403), Vec::new()));
    both_ways(&mut caller, &mut called).await;
    caller.hang_up().await;
    called.until_over().await;
    switch.stop().await;
}

/// A switch whose carrier transfers calls, and a call of it to an agent.
async fn carriers_call() -> (Switch, Events, Desk, Listening, String) {
    let mut desk = Desk::open_at([127, 0, 0, 2].into()).await;
    desk.codecs = offhook::call::codecs::Codecs::in_order([Codec::Pcmu]);
    let port = desk.line.sip().listeners()[0].1.port();
    let more = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {port}\n\
         networks = [\"127.0.0.2/32\"]\ncaller_id = \"+12025550100\"\nping_s = 0\nrefer = true\n"
    );
    let switch = Switch::start(PATIENT, &more).await;
    let mut events = switch.events();
    let called = desk.dial(&switch.uri).await;
    let answered = events.until("call.answered", |_| true).await;
    let path = format!("/v1/calls/{}/transfer", answered.call_id.clone().unwrap());
    events.agent_said("tell me your story").await;
    (switch, events, desk, called, path)
}

/// Waits until the switch asks for a transfer.
async fn referred(call: &mut Listening) -> ReferAsked {
    loop {
        if let Some(Signal::Refer(asked)) = call.signals.recv().await {
            return asked;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_can_is_asked_to_transfer_an_agents_call_itself() {
    let (switch, mut events, _desk, mut call, path) = carriers_call().await;
    let to = json!({ "to": "+442079460123" });
    // It tries, and nobody is there: the agent goes on.
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let asked = referred(&mut call).await;
    assert!(
        asked
            .refer_to
            .uri
            .starts_with("sip:+442079460123@127.0.0.2")
    );
    let mut report = asked.accept();
    report.tell(180, "");
    report.tell(486, "");
    let is = |state: &'static str| move |data: &Value| data["state"] == state;
    let failed = events.until("call.transfer", is("failed")).await;
    assert!(
        failed.data.read()["reason"]
            .as_str()
            .unwrap()
            .contains("486")
    );

    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let mut report = referred(&mut call).await.accept();
    report.tell(200, "");
    events.until("call.transfer", is("answered")).await;
    call.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "transferred", "{record:#}");
    assert_eq!(record["bridge"]["trunk"], "carrier");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_hangs_up_once_it_has_taken_a_transfer_has_transferred() {
    let (switch, mut events, _desk, mut call, path) = carriers_call().await;
    let to = json!({ "to": "+442079460123" });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let report = referred(&mut call).await.accept();
    events
        .until("call.transfer", |data| data["state"] == "referred")
        .await;
    call.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "transferred", "{record:#}");
    drop(report);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_is_called_off_after_the_carrier_took_it_is_none() {
    let (switch, mut events, _desk, mut call, path) = carriers_call().await;
    let to = json!({ "to": "+442079460123" });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let report = referred(&mut call).await.accept();
    let is = |state: &'static str| move |data: &Value| data["state"] == state;
    events.until("call.transfer", is("referred")).await;
    let supervise = path.replace("/transfer", "/supervise");
    assert_eq!(switch.delete(&supervise).await, 202);
    events.until("call.transfer", is("failed")).await;
    call.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_ne!(record["outcome"], "transferred", "{record:#}");
    drop(report);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_place_is_taken_by_nobody() {
    let mut office = Office::open().await;
    let bob = office.bob.dial(&office.switch.uri).await;
    office.events.until("call.answered", |_| true).await;
    let (name, value) = bob.replaces().await;
    let headers = [(name.as_str(), value.as_str())];
    let uri = office.uri("100");
    let refused = Caller::dial_saying([127, 0, 0, 1].into(), &uri, &headers).await;
    match refused.map(drop) {
        Err(DialFailure::Refused { status, .. }) => assert_eq!(status, 603),
        other => panic!("{other:?}"),
    }
    bob.hang_up().await;
    office.switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_carrier_does_not_transfer_the_call_is_bridged_here() {
    let (switch, mut events, mut desk, mut call, path) = carriers_call().await;
    let to = json!({ "to": "+442079460123" });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    referred(&mut call).await.refuse(405);
    let mut called = desk.answer().await;
    events
        .until("call.transfer", |data| data["state"] == "answered")
        .await;
    call.say(&tone(1_000.0, 20));
    called.say(&tone(700.0, 20));
    called.until_heard(1_000.0).await;
    call.until_heard(700.0).await;
    call.hang_up().await;
    called.until_over().await;
    switch.stop().await;
}

/// Each of two callers hears the other one.
async fn callers_talk(one: &mut Caller, other: &mut Caller) {
    one.say(&tone(1_000.0, 20));
    other.say(&tone(700.0, 20));
    one.until_heard_now(|piece| share(piece, 700.0) > 0.9).await;
    other
        .until_heard_now(|piece| share(piece, 1_000.0) > 0.9)
        .await;
}
