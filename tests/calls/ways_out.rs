//! Calls of an agent's own, and those that it gives to people: by which routes and trunks they go.

use offhook::net::sip::Signal;
use offhook_sip::EndCause;
use serde_json::{Value, json};

use crate::bridging::both_ways;
use crate::caller::Caller;
use crate::desk::Desk;
use crate::hunting::{PASSWORD, USERS, carriers, trunks, two_carriers_with};
use crate::peer::LISTENER;
use crate::rig::{Events, Switch};
use crate::supervision::PATIENT;
use crate::tones::is_audible;

/// Asks the API for a call by the test's agent, and gives its status and what it says.
async fn ask(switch: &Switch, to: &str) -> (u16, Value) {
    let answer = switch.post_call(to).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Two phones that have registered.
async fn two_phones(switch: &Switch) -> ((Desk, Desk), impl Sized + use<>) {
    let (ann, bob) = (Desk::open().await, Desk::open().await);
    let there = ann.register(switch, "ann", PASSWORD).await;
    let too = bob.register(switch, "bob", PASSWORD).await;
    ((ann, bob), (there, too))
}

/// A caller with whom the agent talks, and where it is asked to give the call away.
async fn talking(switch: &Switch, events: &mut Events) -> (Caller, String) {
    let caller = Caller::dial(&switch.uri).await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    let path = format!("/v1/calls/{}/transfer", answered.call_id.clone().unwrap());
    events.agent_said("tell me your story").await;
    (caller, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_call_is_given_to_those_whom_an_extension_rings_in_turn() {
    let route =
        "[[route]]\nto = \"100\"\nuser = [\"ann\", \"bob\"]\nhunt = \"in-turn\"\nring_s = 1\n";
    let switch = Switch::start(PATIENT, &format!("{USERS}{route}")).await;
    let mut events = switch.events();
    let ((mut ann, mut bob), _there) = two_phones(&switch).await;
    let (mut caller, path) = talking(&switch, &mut events).await;
    let to = json!({ "to": "100" });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    // The first does not pick up, and rings for no longer than the route says.
    let mut first = ann.ring().await;
    let second = bob.rings().await;
    let over = first.signals.recv().await;
    assert!(matches!(over, Some(Signal::Ended { .. })), "{over:?}");
    let mut called = bob.pick_up(*second).await;
    assert_eq!(called.from, "+12025550143", "it is shown who calls");
    both_ways(&mut caller, &mut called).await;
    called.hang_up().await;
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(
        (&record["bridge"]["to"], &record["bridge"]["user"]),
        (&json!("100"), &json!("bob")),
        "{record:#}"
    );
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phones_of_an_extension_ring_for_a_call_of_the_api_and_the_agent_talks_to_who_answers()
{
    let route = "[[route]]\nto = \"100\"\nuser = [\"ann\", \"bob\"]\n";
    let switch = Switch::start(LISTENER, &format!("{USERS}{route}")).await;
    let mut events = switch.events();
    assert_eq!(ask(&switch, "100").await.0, 409, "nobody is there");
    let ((mut ann, mut bob), _there) = two_phones(&switch).await;
    assert_eq!(ask(&switch, "100").await.0, 202);
    let (mut first, second) = tokio::join!(ann.ring(), bob.rings());
    let mut called = bob.pick_up(*second).await;
    match first.signals.recv().await {
        Some(Signal::Ended {
            cause: EndCause::Cancelled { reason },
        }) => assert!(reason.unwrap().contains("completed elsewhere")),
        other => panic!("{other:?}"),
    }
    called.until(is_audible).await;
    events.agent_said("Welcome").await;
    called.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(
        (&record["to"], &record["trunk"], &record["state"]),
        (&json!("100"), &Value::Null, &json!("completed")),
        "{record:#}"
    );
    // Who has asked may think better of it while it rings.
    let (status, call) = ask(&switch, "bob").await;
    assert_eq!(status, 202, "by the user's name too");
    let mut rings = bob.ring().await;
    let id = call["id"].as_str().unwrap();
    assert_eq!(switch.delete_call(id).await, 202);
    let over = rings.signals.recv().await;
    assert!(matches!(over, Some(Signal::Ended { .. })), "{over:?}");
    assert_eq!(switch.record(&mut events).await["state"], "canceled");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_the_api_goes_over_the_next_trunk_where_the_first_cannot_or_is_full() {
    let (switch, mut one, mut two) = two_carriers_with("max_calls = 1\n", "").await;
    let mut events = switch.events();
    assert_eq!(ask(&switch, "+442079460123").await.0, 202);
    let first = one.rings().await;
    one.line
        .sip()
        .reject(first.call, 500, Vec::new())
        .await
        .unwrap();
    let called = two.answer().await;
    assert_eq!(
        called.from, "+12025550102",
        "each trunk shows its own number"
    );
    events.agent_said("Welcome").await;
    let calls = switch.json("/v1/calls").await;
    assert_eq!(calls["calls"][0]["trunk"], "two", "{calls:#}");
    let trunks = switch.json("/v1/trunks").await;
    let carried = [0, 1].map(|n| trunks["trunks"][n]["calls"].as_u64());
    assert_eq!(carried, [Some(0), Some(1)], "{trunks:#}");
    called.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["trunk"], "two", "{record:#}");
    assert_eq!(record["from"], "+12025550102");

    // As many as the first may carry, and one more.
    assert_eq!(ask(&switch, "+442079460123").await.0, 202);
    let _first = one.answer().await;
    assert_eq!(ask(&switch, "+442079460124").await.0, 202);
    let next = two.rings().await;
    assert_eq!(next.invite.to.user, "+442079460124");
    let line = two.line.sip();
    line.reject(next.call, 486, Vec::new()).await.unwrap();
    // Who names a trunk means that one.
    let named = json!({ "to": "+442079460125", "agent": "test", "trunk": "one" });
    assert_eq!(switch.post("/v1/calls", &named, None).await.status(), 503);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_call_is_given_to_a_number_over_the_next_trunk_where_the_first_cannot() {
    let (mut one, mut two) = carriers().await;
    let switch = Switch::start(PATIENT, &trunks((&one, ""), (&two, ""))).await;
    let mut events = switch.events();
    let (mut caller, path) = talking(&switch, &mut events).await;
    let to = json!({ "to": "+442079460123" });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let first = one.rings().await;
    one.line
        .sip()
        .reject(first.call, 403, Vec::new())
        .await
        .unwrap();
    let mut called = two.answer().await;
    both_ways(&mut caller, &mut called).await;
    caller.hang_up().await;
    called.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["bridge"]["trunk"], "two", "{record:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_goes_by_no_route_that_is_somebody_elses() {
    let routes = "[[route]]\nto = \"+4490*\"\nreject = \"declined\"\n\
                  [[route]]\nto = \"+44*\"\nfrom_trunk = \"one\"\ntrunk = \"two\"\n\
                  [[route]]\nto = \"+44*\"\nfrom = \"ann\"\ntrunk = \"two\"\n\
                  [[route]]\nto = \"+44*\"\nheaders = { X-Way = \"*\" }\ntrunk = \"two\"\n\
                  [[route]]\nto = \"+33*\"\nfrom = \"test\"\ntrunk = \"two\"\n\
                  [[route]]\nto = \"*\"\nagent = \"test\"\n";
    let (switch, mut one, mut two) = two_carriers_with("", routes).await;
    let way = json!({ "to": "+442079460123", "agent": "test", "headers": { "X-Way": "1" } });
    assert_eq!(switch.post("/v1/calls", &way, None).await.status(), 202);
    let incoming = tokio::select! {
        incoming = one.rings() => incoming,
        _ = two.rings() => panic!("it is not the agent's way"),
    };
    let line = one.line.sip();
    line.reject(incoming.call, 486, Vec::new()).await.unwrap();
    let (status, problem) = ask(&switch, "+449098790000").await;
    assert_eq!(status, 409);
    assert!(
        problem["detail"].as_str().unwrap().contains("declined"),
        "{problem}"
    );
    assert_eq!(ask(&switch, "+33123456789").await.0, 202, "its own one");
    let incoming = two.rings().await;
    let line = two.line.sip();
    line.reject(incoming.call, 486, Vec::new()).await.unwrap();
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_moves_to_a_trunk_that_is_not_to_be_recorded_is_not() {
    let (mut one, mut two) = carriers().await;
    let more = trunks((&one, ""), (&two, "record = false\n"));
    let switch = Switch::start(LISTENER, &more).await;
    let mut events = switch.events();
    assert_eq!(ask(&switch, "+442079460123").await.0, 202);
    let first = one.rings().await;
    one.line
        .sip()
        .reject(first.call, 500, Vec::new())
        .await
        .unwrap();
    let mut called = two.answer().await;
    called.until(is_audible).await;
    events.agent_said("Welcome").await;
    called.hang_up().await;
    let record = switch.record(&mut events).await;
    let path = format!("/v1/calls/{}/recording", record["id"].as_str().unwrap());
    let recording = switch.get(&path).await.bytes().await.unwrap();
    let silence = |bytes: &[u8]| {
        bytes
            .iter()
            .skip(200)
            .all(|byte| *byte == 0 || *byte == 0xff)
    };
    assert!(silence(&recording), "nobody is in it");
    switch.stop().await;
}
