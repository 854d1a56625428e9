//! What calls say of themselves in header fields: who hears of it, and what goes on.

use serde_json::json;

use crate::caller::Caller;
use crate::desk::Desk;
use crate::peer::LISTENER;
use crate::rig::Switch;

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
