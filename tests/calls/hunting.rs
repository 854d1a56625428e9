//! Routes that lead to several trunks or users, or to nobody.

use offhook::config::WeightedTrunk;
use offhook::switch::trunk_order;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::bridging::{both_ways, refusal};
use crate::caller::Caller;
use crate::desk::{Desk, Listening};
use crate::peer::LISTENER;
use crate::rig::{Events, Switch};

/// Where the carriers are.
pub(crate) const ONE: [u8; 4] = [127, 0, 0, 2];
pub(crate) const TWO: [u8; 4] = [127, 0, 0, 3];
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A switch that bridges what begins with +44 to two carriers, each a desk; `limits` are the first's.
pub(crate) async fn two_carriers(limits: &str) -> (Switch, Desk, Desk) {
    let route = "[[route]]\nto = \"+44*\"\ntrunk = [\"one\", \"two\"]\n";
    two_carriers_with(limits, route).await
}

/// A switch with two carriers and these routes.
pub(crate) async fn two_carriers_with(limits: &str, routes: &str) -> (Switch, Desk, Desk) {
    let (one, two) = carriers().await;
    let more = format!("{}{routes}", trunks((&one, limits), (&two, "")));
    (Switch::start(LISTENER, &more).await, one, two)
}

/// Two carriers, each a desk.
pub(crate) async fn carriers() -> (Desk, Desk) {
    let (one, two) = (Desk::open_at(ONE.into()), Desk::open_at(TWO.into()));
    tokio::join!(one, two)
}

/// Their trunks, each with what else is to be said of it.
pub(crate) fn trunks((one, more): (&Desk, &str), (two, besides): (&Desk, &str)) -> String {
    let port = |desk: &Desk| desk.line.sip().listeners()[0].1.port();
    format!(
        "{}{more}{}{besides}",
        trunk(("one", "127.0.0.2"), port(one), "+12025550100"),
        trunk(("two", "127.0.0.3"), port(two), "+12025550102")
    )
}

/// A trunk to a carrier.
pub(crate) fn trunk((name, host): (&str, &str), port: u16, caller_id: &str) -> String {
    format!(
        "[[trunk]]\nname = \"{name}\"\nkind = \"peer\"\nhost = \"{host}\"\nport = {port}\n\
         networks = [\"{host}/32\"]\ncaller_id = \"{caller_id}\"\nping_s = 0\n"
    )
}

/// Lets the two hear each other and then end it; returns what was written down.
pub(crate) async fn talk(
    switch: &Switch,
    events: &mut Events,
    (mut caller, mut called): (Caller, Listening),
) -> serde_json::Value {
    both_ways(&mut caller, &mut called).await;
    caller.hang_up().await;
    called.until_over().await;
    switch.record(events).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_cannot_is_followed_by_the_next_and_tried_last_after_that() {
    let (switch, mut one, mut two) = two_carriers("").await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let answers = async {
        let first = one.rings().await;
        let retry = vec![("Retry-After".to_owned(), "120".to_owned())];
        one.line.sip().reject(first.call, 503, retry).await.unwrap();
        two.answer().await
    };
    let (caller, called) = tokio::join!(Caller::dial(&uri), answers);
    let record = talk(&switch, &mut events, (caller.unwrap(), called)).await;
    assert_eq!(record["bridge"]["trunk"], "two", "{record:#}");

    // The first has asked to be left alone: the second is the first to be asked now. What it says of
    // the callee is told, and nobody else is asked.
    let busy = async {
        let second = two.rings().await;
        let line = two.line.sip();
        line.reject(second.call, 486, Vec::new()).await.unwrap();
    };
    let (refused, ()) = tokio::join!(refusal(&uri, [127, 0, 0, 1], "+12025550143"), busy);
    assert_eq!(refused, 486);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_carries_all_that_it_may_is_passed_over_until_a_call_is_over() {
    let (switch, mut one, mut two) = two_carriers("max_calls = 1\n").await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let (first, mut called) = tokio::join!(Caller::dial(&uri), one.answer());
    let (second, mut next) = tokio::join!(Caller::dial(&uri), two.answer());
    let trunks = switch.json("/v1/trunks").await;
    let calls = [0, 1].map(|n| trunks["trunks"][n]["calls"].as_u64());
    assert_eq!(calls, [Some(1), Some(1)], "{trunks:#}");
    first.unwrap().hang_up().await;
    called.until_over().await;
    events.until("call.ended", |_| true).await;
    let (third, mut called) = tokio::join!(Caller::dial(&uri), one.answer());
    for (caller, called) in [(second, &mut next), (third, &mut called)] {
        caller.unwrap().hang_up().await;
        called.until_over().await;
    }
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_calls_begin_over_a_trunk_in_a_second_than_may() {
    let (switch, mut one, _two) = two_carriers("max_cps = 1\n").await;
    let over_one = |to| serde_json::json!({ "to": to, "agent": "test", "trunk": "one" });
    let ask = async |to| switch.post("/v1/calls", &over_one(to), None).await;
    assert_eq!(ask("+442079460123").await.status(), 202);
    let refused = ask("+442079460124").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let problem: serde_json::Value = refused.json().await.unwrap();
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("trunk.max_cps")
    );
    let incoming = one.rings().await;
    let line = one.line.sip();
    line.reject(incoming.call, 486, Vec::new()).await.unwrap();
    switch.stop().await;
}

/// What the draws of a test are made from.
const SEED: u64 = 7;

/// Two users, each with a phone.
pub(crate) const USERS: &str = "[[user]]\nname = \"ann\"\npassword = \"correct horse battery\"\n\
                     [[user]]\nname = \"bob\"\npassword = \"correct horse battery\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_rung_in_turn_until_one_answers_or_declines_for_all() {
    let route =
        "[[route]]\nto = \"100\"\nuser = [\"ann\", \"bob\"]\nhunt = \"in-turn\"\nring_s = 1\n";
    let switch = Switch::start(LISTENER, &format!("{USERS}{route}")).await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let (mut ann, mut bob) = (Desk::open().await, Desk::open().await);
    let _there = ann.register(&switch, "ann", PASSWORD).await;
    let _too = bob.register(&switch, "bob", PASSWORD).await;
    // The first does not pick up.
    let answers = async {
        let mut first = ann.ring().await;
        let called = bob.answer().await;
        (first.signals.recv().await, called)
    };
    let (caller, (_cancelled, called)) = tokio::join!(Caller::dial(&uri), answers);
    let record = talk(&switch, &mut events, (caller.unwrap(), called)).await;
    let bridge = &record["bridge"];
    assert_eq!(
        (&bridge["user"], &bridge["to"]),
        (&"bob".into(), &"100".into())
    );

    // The first declines for all: the second is not rung.
    let declines = async {
        let first = ann.rings().await;
        let line = ann.line.sip();
        line.reject(first.call, 603, Vec::new()).await.unwrap();
    };
    let (refused, ()) = tokio::join!(refusal(&uri, [127, 0, 0, 1], "+12025550143"), declines);
    assert_eq!(refused, 603);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phones_of_several_users_ring_at_once_and_a_call_may_be_rejected() {
    let routes = "[[route]]\nto = \"100\"\nuser = [\"ann\", \"bob\"]\n\
                  [[route]]\nto = \"666\"\nreject = \"gone\"\n";
    let switch = Switch::start(LISTENER, &format!("{USERS}{routes}")).await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let (mut ann, mut bob) = (Desk::open().await, Desk::open().await);
    let _there = ann.register(&switch, "ann", PASSWORD).await;
    let _too = bob.register(&switch, "bob", PASSWORD).await;
    let answers = async {
        let (_first, second) = tokio::join!(ann.rings(), bob.rings());
        bob.pick_up(*second).await
    };
    let (caller, called) = tokio::join!(Caller::dial(&uri), answers);
    let record = talk(&switch, &mut events, (caller.unwrap(), called)).await;
    assert_eq!(record["bridge"]["user"], "bob", "{record:#}");

    let gone = switch.uri.replace("sip:test@", "sip:666@");
    assert_eq!(refusal(&gone, [127, 0, 0, 1], "+12025550143").await, 410);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_try_first_the_trunk_that_is_drawn_by_its_weight() {
    let route = "[[route]]\nto = \"+44*\"\ntrunk = [\"one\", \"two\"]\nweights = [2, 1]\n";
    let (switch, mut one, mut two) = two_carriers_with("", route).await;
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    switch.services.trunk_states.seed_draws(SEED);
    let trunks = [("one", 2), ("two", 1)].map(|(name, weight)| WeightedTrunk {
        name: name.to_owned(),
        weight,
    });
    let mut draws = StdRng::seed_from_u64(SEED);
    let mut drawn = || trunk_order(&trunks, |below| draws.random_range(0..below))[0].to_owned();
    let expected: Vec<String> = (0..6).map(|_| drawn()).collect();
    let has = |name| expected.iter().any(|drawn| drawn == name);
    assert!(
        has("one") && has("two"),
        "another seed tells more: {expected:?}"
    );
    for first in expected {
        let busy = async {
            let (name, desk, incoming) = tokio::select! {
                incoming = one.rings() => ("one", &one, incoming),
                incoming = two.rings() => ("two", &two, incoming),
            };
            assert_eq!(name, first);
            let line = desk.line.sip();
            line.reject(incoming.call, 486, Vec::new()).await.unwrap();
        };
        let (refused, ()) = tokio::join!(refusal(&uri, [127, 0, 0, 1], "+12025550143"), busy);
        assert_eq!(refused, 486);
    }
    switch.stop().await;
}
