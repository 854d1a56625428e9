//! How a trunk is told who calls, and what it is not told.

use offhook_sip::Incoming;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::desk::Desk;
use crate::peer::LISTENER;
use crate::rig::Switch;

/// A switch with a carrier at this desk, and a trunk that calls come from.
async fn with_carrier(more: &str) -> (Switch, Desk) {
    let desk = Desk::open_at([127, 0, 0, 2].into()).await;
    let port = desk.line.sip().listeners()[0].1.port();
    let more = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {port}\n\
         networks = [\"127.0.0.2/32\"]\nping_s = 0\ncaller_id = \"+12025550100\"\n{more}\
         [[trunk]]\nname = \"others\"\nkind = \"inbound\"\nnetworks = [\"127.0.0.3/32\"]\n\
         [[route]]\nto = \"+44*\"\nfrom_trunk = \"others\"\ntrunk = \"carrier\"\n"
    );
    (Switch::start(LISTENER, &more).await, desk)
}

/// What comes of a call to the carrier, which is refused there.
async fn rings(desk: &mut Desk) -> Incoming {
    let incoming = desk.rings().await;
    let refused = desk.line.sip().reject(incoming.call, 486, Vec::new());
    refused.await.unwrap();
    incoming.invite
}

fn named<'i>(invite: &'i Incoming, wanted: &str) -> Option<&'i str> {
    let mut headers = invite.headers.iter();
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value.as_str())
}

/// Asks the API for a call to the carrier with something more to it.
async fn ask(switch: &Switch, more: (&str, Value)) {
    let mut call = json!({ "to": "+442079460123", "agent": "test", "trunk": "carrier" });
    call[more.0] = more.1;
    assert_eq!(switch.post("/v1/calls", &call, None).await.status(), 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_is_told_by_which_number_a_call_is_and_that_a_withheld_one_stays_there() {
    let (switch, mut desk) = with_carrier("identity = \"pai\"\n").await;
    ask(&switch, ("from", json!("+12025550143"))).await;
    let invite = rings(&mut desk).await;
    let asserted = named(&invite, "P-Asserted-Identity");
    assert_eq!(asserted, Some("<sip:+12025550143@127.0.0.2>"));
    assert_eq!(named(&invite, "Privacy"), None);
    ask(&switch, ("from", json!("anonymous"))).await;
    let invite = rings(&mut desk).await;
    assert_eq!(invite.from.uri, "sip:anonymous@anonymous.invalid");
    assert_eq!(named(&invite, "Privacy"), Some("id"));
    let asserted = named(&invite, "P-Asserted-Identity");
    assert_eq!(asserted, Some("<sip:+12025550100@127.0.0.2>"));
    // A caller of another trunk who withholds its number: ours is told, and never its own.
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let says = [
        ("Privacy", "id"),
        ("P-Asserted-Identity", "<sip:+447700900123@others.test>"),
    ];
    let dialled = Caller::dial_saying([127, 0, 0, 3].into(), &uri, &says);
    let (refused, invite) = tokio::join!(dialled, rings(&mut desk));
    assert!(refused.is_err());
    assert_eq!(invite.from.uri, "sip:anonymous@anonymous.invalid");
    assert_eq!(named(&invite, "Privacy"), Some("id"));
    let asserted = named(&invite, "P-Asserted-Identity");
    assert_eq!(asserted, Some("<sip:+12025550100@127.0.0.2>"));
    assert!(!format!("{:?}", invite.headers).contains("7700900123"));
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_chooses_among_our_numbers_is_told_which_we_prefer() {
    let (switch, mut desk) = with_carrier("identity = \"ppi\"\nnumbers = \"bare\"\n").await;
    ask(&switch, ("from", json!("+12025550143"))).await;
    let invite = rings(&mut desk).await;
    let preferred = named(&invite, "P-Preferred-Identity");
    assert_eq!(preferred, Some("<sip:12025550143@127.0.0.2>"));
    assert_eq!(named(&invite, "P-Asserted-Identity"), None);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trunk_wants_to_be_rid_of_goes_over_it_from_nobody() {
    let more = "remove_headers = [\"Identity\", \"x-internal*\", \"Diversion\"]\n\
                pass_headers = [\"X-*\"]\ndiversion = \"diversion\"\n";
    let (switch, mut desk) = with_carrier(more).await;
    let own = json!({ "X-Internal-Id": "1", "X-Order-Id": "2" });
    ask(&switch, ("headers", own)).await;
    let invite = rings(&mut desk).await;
    assert_eq!(named(&invite, "X-Internal-Id"), None);
    assert_eq!(named(&invite, "X-Order-Id"), Some("2"));
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let says = [
        ("Identity", "e30.e30.c2ln;info=<https://cert.example/a.pem>"),
        ("X-Internal-Id", "3"),
        ("X-Tenant", "acme"),
    ];
    let dialled = Caller::dial_saying([127, 0, 0, 3].into(), &uri, &says);
    let (refused, invite) = tokio::join!(dialled, rings(&mut desk));
    assert!(refused.is_err());
    for gone in ["Identity", "X-Internal-Id", "Diversion"] {
        assert_eq!(named(&invite, gone), None, "{gone}");
    }
    assert_eq!(named(&invite, "X-Tenant"), Some("acme"));
    switch.stop().await;
}
