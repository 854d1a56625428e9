//! When a call goes on to the next trunk: a carrier that says nothing, one that refuses by itself, and
//! a callee who is believed.

use serde_json::json;

use crate::bridging::refusal;
use crate::callee::Callee;
use crate::caller::Caller;
use crate::desk::Desk;
use crate::hunting::{ONE, TWO, talk, trunk, two_carriers};
use crate::peer::LISTENER;
use crate::records::sample;
use crate::rig::Switch;

const LOCAL: [u8; 4] = [127, 0, 0, 1];
const CALLER: &str = "+12025550143";

/// A switch whose first carrier takes what it gets and says nothing, for which it has a second; the
/// other one is a desk.
async fn silent_carrier() -> (Switch, Callee, Desk) {
    let (one, two) = (
        Callee::listen_at(ONE).await,
        Desk::open_at(TWO.into()).await,
    );
    let port = two.line.sip().listeners()[0].1.port();
    let more = format!(
        "{}trying_timeout_s = 1\n{}[[route]]\nto = \"+44*\"\ntrunk = [\"one\", \"two\"]\n",
        trunk(("one", "127.0.0.2"), one.port(), "+12025550100"),
        trunk(("two", "127.0.0.3"), port, "+12025550102"),
    );
    (Switch::start(LISTENER, &more).await, one, two)
}

fn number(switch: &Switch) -> String {
    switch.uri.replace("sip:test@", "sip:+442079460123@")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_says_nothing_is_left_for_the_next_and_hung_up_on_when_it_answers_late() {
    let (switch, one, mut two) = silent_carrier().await;
    let mut events = switch.events();
    let uri = number(&switch);
    let (caller, called) = tokio::join!(Caller::dial(&uri), two.answer());
    let record = talk(&switch, &mut events, (caller.unwrap(), called)).await;
    assert_eq!(record["bridge"]["trunk"], "two", "{record:#}");

    // Now it answers. Nothing but the INVITE has come: no CANCEL before its first word.
    let (invite, from) = one.hears().await;
    one.agree(&invite, from).await;
    let mut asked = Vec::new();
    loop {
        let (request, from) = one.hears().await;
        let method = request.split(' ').next().unwrap().to_owned();
        asked.push(method.clone());
        if method == "BYE" {
            one.agree(&request, from).await;
            break;
        }
    }
    let others: Vec<_> = asked.iter().filter(|method| *method != "INVITE").collect();
    // An answer for each INVITE that was sent again is acknowledged again.
    assert_eq!(
        others.first().copied().map(String::as_str),
        Some("ACK"),
        "{asked:?}"
    );
    assert!(!asked.contains(&"CANCEL".to_owned()), "{asked:?}");
    // It is tried last for a while.
    let first = async {
        let incoming = two.rings().await;
        let line = two.line.sip();
        line.reject(incoming.call, 486, Vec::new()).await.unwrap();
    };
    let (refused, ()) = tokio::join!(refusal(&uri, LOCAL, CALLER), first);
    assert_eq!(refused, 486);
    // Whoever runs the switch sees which carrier it was; the figures are of all tests.
    let figures = switch.get("/metrics").await.text().await.unwrap();
    for (figure, least) in [
        ("answers_total{trunk=\"one\",status=\"none\"}", 1.0),
        ("answers_total{trunk=\"two\",status=\"200\"}", 1.0),
        ("answers_total{trunk=\"two\",status=\"486\"}", 1.0),
        ("calls_total{trunk=\"one\",way=\"out\"}", 1.0),
        ("calls_total{trunk=\"two\",way=\"out\"}", 2.0),
    ] {
        let count = sample(&figures, &format!("offhook_trunk_{figure}"));
        assert!(count >= Some(least), "{figure}: {count:?}");
    }
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_carrier_costs_an_agents_own_call_its_time_to_speak_and_no_more() {
    let (switch, _one, mut two) = silent_carrier().await;
    let mut events = switch.events();
    assert_eq!(switch.post_call("+442079460123").await.status(), 202);
    let called = two.answer().await;
    events.agent_said("Welcome").await;
    called.hang_up().await;
    assert_eq!(switch.record(&mut events).await["trunk"], json!("two"));
    switch.stop().await;
}

/// What comes of a call that the first carrier refuses: the status that the caller is told, or that
/// the second was rung.
async fn after(
    switch: &Switch,
    (one, two): (&mut Desk, &mut Desk),
    status: u16,
) -> Result<(), u16> {
    let uri = number(switch);
    let refuses = async {
        let first = one.rings().await;
        let line = one.line.sip();
        line.reject(first.call, status, Vec::new()).await.unwrap();
        let second = two.rings().await;
        let line = two.line.sip();
        line.reject(second.call, 486, Vec::new()).await.unwrap();
        // What is told is told of the second.
        std::future::pending::<()>().await;
    };
    let refused = tokio::select! {
        refused = refusal(&uri, LOCAL, CALLER) => refused,
        () = refuses => unreachable!(),
    };
    match refused {
        486 => Ok(()),
        other => Err(other),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_refuses_by_itself_is_left_and_a_callee_who_refuses_is_believed() {
    let (switch, mut one, mut two) = two_carriers("").await;
    for status in [402, 403, 407, 488, 500] {
        let next = after(&switch, (&mut one, &mut two), status).await;
        assert_eq!(next, Ok(()), "{status}");
    }
    for status in [404, 480, 484, 603] {
        let told = after(&switch, (&mut one, &mut two), status).await;
        assert_eq!(told, Err(status));
    }
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_says_itself_after_which_refusals_its_calls_go_on() {
    let (switch, mut one, mut two) = two_carriers("fail_over_on = [480, \"5xx\"]\n").await;
    for (status, goes) in [(480, Ok(())), (504, Ok(())), (403, Err(403))] {
        let next = after(&switch, (&mut one, &mut two), status).await;
        assert_eq!(next, goes, "{status}");
    }
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_who_rings_is_rung_by_no_other_carrier_whatever_the_first_says_then() {
    let (switch, mut one, mut two) = two_carriers("").await;
    let uri = number(&switch);
    let refuses = async {
        let first = one.ring().await;
        let line = one.line.sip();
        line.reject(first.call, 503, Vec::new()).await.unwrap();
    };
    let call = async { tokio::join!(refusal(&uri, LOCAL, CALLER), refuses).0 };
    tokio::select! {
        refused = call => assert_eq!(refused, 503),
        _ = two.rings() => panic!("it rings twice"),
    }
    switch.stop().await;
}
