//! What calls say of themselves in header fields: who hears of it, and what goes on.

use serde_json::json;

use crate::caller::Caller;
use crate::desk::Desk;
use crate::peer::LISTENER;
use crate::rig::Switch;
use crate::supervision::PATIENT;

/// Says what it was told, and ends.
const TELLER: &str = r#"
name = "teller"
start = "told"
[nodes.told]
type = "end"
say = "Your order is {{headers.x_order_id}}, and you called {{diverted_from}} before."
"#;

fn named<'h>(headers: &'h [(String, String)], wanted: &str) -> Option<&'h str> {
    let mut headers = headers.iter();
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_told_of_a_calls_own_header_fields() {
    let switch = Switch::start(TELLER, "").await;
    let mut events = switch.events();
    let headers = [
        ("X-Order-Id", "forty two"),
        ("Diversion", "<sip:reception@example.com>"),
    ];
    let caller = Caller::dial_saying([127, 0, 0, 1].into(), &switch.uri, &headers).await;
    let said = "Your order is forty two, and you called reception before.";
    events.agent_said(said).await;
    caller.unwrap().until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(
        record["variables"]["headers"],
        json!({ "x_order_id": "forty two" })
    );
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_the_api_gets_the_header_fields_that_it_asks_for() {
    let switch = Switch::start(LISTENER, "").await;
    let mut desk = Desk::open().await;
    let call = |headers| json!({ "to": desk.uri, "agent": "test", "headers": headers });
    for bad in [
        json!({ "Via": "x" }),
        json!({ "X-A": "1\r\nVia: x" }),
        json!({ "X A": "1" }),
    ] {
        let answer = switch.post("/v1/calls", &call(bad.clone()), None).await;
        assert_eq!(answer.status(), 422, "{bad}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["field"], "headers", "{problem}");
    }
    let good = call(json!({ "X-Order-Id": "42", "User-to-User": "ab;encoding=hex" }));
    assert_eq!(switch.post("/v1/calls", &good, None).await.status(), 202);
    let incoming = desk.rings().await;
    let headers = &incoming.invite.headers;
    assert_eq!(named(headers, "X-Order-Id"), Some("42"));
    assert_eq!(named(headers, "User-to-User"), Some("ab;encoding=hex"));
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_identity_and_what_a_trunk_wants_go_on_to_it_and_nothing_else() {
    let mut desk = Desk::open_at([127, 0, 0, 2].into()).await;
    let port = desk.line.sip().listeners()[0].1.port();
    let more = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {port}\n\
         networks = [\"127.0.0.2/32\"]\nheaders = {{ X-Account = \"7\" }}\npass_headers = [\"X-Ten*\"]\n\
         [[trunk]]\nname = \"others\"\nkind = \"inbound\"\nnetworks = [\"127.0.0.3/32\"]\n\
         [[route]]\nto = \"+44*\"\nfrom_trunk = \"others\"\ntrunk = \"carrier\"\n"
    );
    let switch = Switch::start(LISTENER, &more).await;
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let says = [
        (
            "Identity",
            "eyJhbGciOiJFUzI1NiJ9.e30.c2ln;info=<https://cert.example/a.pem>",
        ),
        ("X-Tenant", "acme"),
        ("X-Internal", "secret"),
        ("Diversion", "<sip:desk@inside.example>"),
    ];
    let dialled =
        tokio::spawn(async move { Caller::dial_saying([127, 0, 0, 3].into(), &uri, &says).await });
    let incoming = desk.rings().await;
    let headers = incoming.invite.headers.clone();
    assert_eq!(named(&headers, "Identity"), Some(says[0].1));
    assert_eq!(named(&headers, "X-Tenant"), Some("acme"));
    assert_eq!(named(&headers, "X-Account"), Some("7"));
    let all = format!("{headers:?}");
    assert!(
        !all.contains("secret") && !all.contains("inside.example"),
        "{all}"
    );
    let _called = desk.pick_up(*incoming).await;
    dialled.await.unwrap().unwrap().hang_up().await;
    switch.stop().await;
}

/// A switch with a carrier that is told of diversions, and a trunk that calls come from.
async fn diverting(how: &str, route: &str) -> (Switch, Desk) {
    let desk = Desk::open_at([127, 0, 0, 2].into()).await;
    let port = desk.line.sip().listeners()[0].1.port();
    let more = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {port}\n\
         networks = [\"127.0.0.2/32\"]\nnumbers = \"bare\"\ncaller_id = \"+12025550100\"\n{how}\
         [[trunk]]\nname = \"others\"\nkind = \"inbound\"\nnetworks = [\"127.0.0.3/32\"]\n\
         [[route]]\n{route}"
    );
    (Switch::start(PATIENT, &more).await, desk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_is_told_whom_a_call_was_for_and_by_number_alone() {
    let route = "to = \"+44*\"\nfrom_trunk = \"others\"\ntrunk = \"carrier\"\n";
    let (switch, mut desk) = diverting("diversion = \"diversion\"\n", route).await;
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let says = [(
        "Diversion",
        "\"Ada's desk\" <sip:+12025550111@10.0.0.7>;reason=no-answer, <sip:desk@inside.example>",
    )];
    let dialled =
        tokio::spawn(async move { Caller::dial_saying([127, 0, 0, 3].into(), &uri, &says).await });
    let incoming = desk.rings().await;
    assert_eq!(
        named(&incoming.invite.headers, "Diversion"),
        Some(
            "<sip:442079460123@127.0.0.1>;reason=unconditional, \
             <sip:12025550111@127.0.0.1>;reason=unknown"
        )
    );
    let mut called = desk.pick_up(*incoming).await;
    dialled.await.unwrap().unwrap().hang_up().await;
    called.until_over().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_is_told_whom_a_call_was_for_that_an_agent_gives_to_a_number() {
    let route = "to = \"+1202*\"\nagent = \"test\"\n";
    let (switch, mut desk) = diverting("diversion = \"history-info\"\n", route).await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:+12025550100@");
    let dialled = Caller::dial_from([127, 0, 0, 3].into(), "+12025550143", &uri);
    let caller = dialled.await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    events.agent_said("tell me your story").await;
    let path = format!("/v1/calls/{}/transfer", answered.call_id.clone().unwrap());
    let to = json!({ "to": "+442079460123" });
    assert_eq!(switch.post(&path, &to, None).await.status(), 202);
    let incoming = desk.rings().await;
    let history = named(&incoming.invite.headers, "History-Info").unwrap();
    let (from, to) = history.split_once(", ").unwrap();
    assert_eq!(from, "<sip:12025550100@127.0.0.1>;index=1");
    assert!(to.starts_with("<sip:442079460123@127.0.0.2:"), "{to}");
    assert!(to.ends_with(";cause=480>;index=1.1;mp=1"), "{to}");
    let mut called = desk.pick_up(*incoming).await;
    caller.hang_up().await;
    called.until_over().await;
    switch.stop().await;
}
