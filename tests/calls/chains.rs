//! Routes that lead on where nobody answers: to other phones, to a number, and to an agent at last.

use offhook::net::sip::Signal;
use serde_json::{Value, json};

use crate::bridging::both_ways;
use crate::caller::Caller;
use crate::desk::Desk;
use crate::hunting::{ONE, PASSWORD, USERS, trunk};
use crate::peer::LISTENER;
use crate::rig::Switch;
use crate::supervision::PATIENT;
use crate::tones::is_audible;

/// Rings ann, then bob, and gives the call to the test's agent at last.
const CHAIN: &str = "[[route]]\nto = \"100\"\nuser = \"ann\"\nring_s = 1\n\
                     then = [{ user = \"bob\", ring_s = 1 }, { agent = \"test\" }]\n";

fn extension(switch: &Switch) -> String {
    switch.uri.replace("sip:test@", "sip:100@")
}

/// Waits until a phone that rings is not to ring any more.
async fn until_cancelled(phone: &mut Desk) {
    let mut rings = phone.ring().await;
    let over = rings.signals.recv().await;
    assert!(matches!(over, Some(Signal::Ended { .. })), "{over:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_come_next_are_rung_one_after_the_other_and_an_agent_takes_the_call_at_last() {
    let switch = Switch::start(LISTENER, &format!("{USERS}{CHAIN}")).await;
    let mut events = switch.events();
    let uri = extension(&switch);
    // Where nobody has a phone the agent answers at once.
    let caller = Caller::dial(&uri).await.unwrap();
    events.agent_said("Welcome").await;
    caller.hang_up().await;
    assert_eq!(switch.record(&mut events).await["agent"], "test");

    let (mut ann, mut bob) = (Desk::open().await, Desk::open().await);
    let _there = ann.register(&switch, "ann", PASSWORD).await;
    let _too = bob.register(&switch, "bob", PASSWORD).await;
    let nobody = async {
        until_cancelled(&mut ann).await;
        until_cancelled(&mut bob).await;
    };
    let (caller, ()) = tokio::join!(Caller::dial(&uri), nobody);
    let caller = caller.unwrap();
    caller.until_heard(is_audible).await;
    events.agent_said("Welcome").await;
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(
        (&record["agent"], &record["bridge"], &record["state"]),
        (&json!("test"), &Value::Null, &json!("completed")),
        "{record:#}"
    );
    assert_eq!(record["variables"]["called"], "100", "{record:#}");

    // Who declines for all declines for phones, not for the agent.
    let declines = async {
        let rings = ann.rings().await;
        let line = ann.line.sip();
        line.reject(rings.call, 603, Vec::new()).await.unwrap();
    };
    let (caller, ()) = tokio::join!(Caller::dial(&uri), declines);
    caller.unwrap().hang_up().await;
    assert_eq!(switch.record(&mut events).await["agent"], "test");

    // Somebody who answers in between has the call.
    let answers = async {
        until_cancelled(&mut ann).await;
        bob.answer().await
    };
    let (caller, mut called) = tokio::join!(Caller::dial(&uri), answers);
    let mut caller = caller.unwrap();
    both_ways(&mut caller, &mut called).await;
    called.hang_up().await;
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(
        (&record["agent"], &record["bridge"]["user"]),
        (&Value::Null, &json!("bob")),
        "{record:#}"
    );
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunks_call_that_nobody_takes_goes_on_to_the_number_that_its_route_names() {
    let mut carrier = Desk::open_at(ONE.into()).await;
    let port = carrier.line.sip().listeners()[0].1.port();
    let more = format!(
        "{USERS}{}[[route]]\nto = \"+12025550100\"\nfrom_trunk = \"one\"\nuser = \"ann\"\n\
         then = [{{ trunk = \"one\", to = \"+442079460123\" }}]\n",
        trunk(("one", "127.0.0.2"), port, "+12025550100")
    );
    let switch = Switch::start(LISTENER, &more).await;
    let mut events = switch.events();
    let mut ann = Desk::open().await;
    let _there = ann.register(&switch, "ann", PASSWORD).await;
    let uri = switch.uri.replace("sip:test@", "sip:+12025550100@");
    let answers = async {
        let rings = ann.rings().await;
        let line = ann.line.sip();
        line.reject(rings.call, 486, Vec::new()).await.unwrap();
        carrier.answer().await
    };
    let dialled = Caller::dial_from(ONE.into(), "+12025550143", &uri);
    let (caller, mut called) = tokio::join!(dialled, answers);
    assert_eq!(called.to, "+442079460123");
    assert_eq!(called.from, "+12025550143", "it is shown who calls");
    let mut caller = caller.unwrap();
    both_ways(&mut caller, &mut called).await;
    caller.hang_up().await;
    called.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["bridge"]["trunk"], "one", "{record:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_call_is_given_to_those_who_come_next_but_to_no_other_agent() {
    let switch = Switch::start(PATIENT, &format!("{USERS}{CHAIN}")).await;
    let mut events = switch.events();
    let (mut ann, mut bob) = (Desk::open().await, Desk::open().await);
    let _there = ann.register(&switch, "ann", PASSWORD).await;
    let _too = bob.register(&switch, "bob", PASSWORD).await;
    let caller = Caller::dial(&switch.uri).await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    let path = format!("/v1/calls/{}/transfer", answered.call_id.clone().unwrap());
    events.agent_said("tell me your story").await;
    let to = json!({ "to": "100" });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    until_cancelled(&mut ann).await;
    until_cancelled(&mut bob).await;
    let failed = |data: &Value| data["state"] == "failed";
    events.until("call.transfer", failed).await;
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_ne!(record["outcome"], "transferred", "{record:#}");
    switch.stop().await;
}
