//! Real messages of carriers, and what each of them does differently.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use offhook_sip::message::{HeaderName, Message, Method, Rport};
use offhook_sip::uri::Host;

mod common;
use common::{carrier, corpus};

#[test]
fn every_carriers_message_is_valid() {
    let files = corpus("carriers");
    assert_eq!(files.len(), 16);
    for (name, bytes) in &files {
        let message = Message::parse(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(message.validate(), Ok(()), "{name}");
    }
}

#[test]
fn an_invite_to_twilio_is_typed() {
    let bytes = carrier("03_twilio_termination_invite_noauth.sip");
    let message = Message::parse(&bytes).unwrap();
    let request = message.essentials().unwrap();
    assert_eq!(request.method, Method::Invite);
    assert_eq!(request.uri.number(), Some("+12025550123"));
    assert_eq!(request.via.transport, "TLS");
    assert_eq!(request.via.host, Host::V4("203.0.113.10".parse().unwrap()));
    assert_eq!(request.via.rport, Rport::Requested);
    assert_eq!(request.from.display, "Acme");
    assert_eq!(
        request.from.tag(),
        Some("c42e26f4-f0f1-4fd0-a17a-39eb79c68b86")
    );
    assert_eq!(request.to.tag(), None);
    assert_eq!(request.call_id, "5a93782f-a93a-4a96-b6bf-2af927d9ab96");
    assert_eq!(
        (request.cseq.number, request.max_forwards),
        (30121, Some(70))
    );
    assert_eq!(
        request.contact.unwrap().uri().unwrap().transport(),
        Some("TLS")
    );
    assert!(request.content_type.unwrap().is("application/sdp"));
    assert!(message.lists(HeaderName::Supported, "100REL"));
    assert_eq!(message.values(HeaderName::Allow).count(), 14);
    assert_eq!(message.body().len(), 322);
}

#[test]
fn twilios_challenge_is_read_without_spaces_and_algorithm() {
    let bytes = carrier("05_twilio_407.sip");
    let message = Message::parse(&bytes).unwrap();
    let challenge = message.authenticate().next().unwrap();
    assert!(challenge.proxy && challenge.is_supported() && !challenge.stale());
    assert_eq!(challenge.realm(), "sip.twilio.com");
    let nonce = "dkgRu3NUwBJN5UHD-q-XNwUP0awwrMLV6VIPjHAhaaPx76L3";
    assert_eq!(challenge.nonce(), Some(nonce));
    let via = message.top_via().unwrap();
    assert_eq!(
        (via.rport, via.received),
        (Rport::Port(33549), Some("203.0.113.10"))
    );
}

#[test]
fn record_routes_are_kept_in_their_order() {
    let bytes = carrier("09_our_200_to_twilio.sip");
    let message = Message::parse(&bytes).unwrap();
    let routes: Vec<_> = message
        .record_routes()
        .map(|route| route.unwrap().uri.as_str())
        .collect();
    assert_eq!(
        routes,
        [
            "sip:54.172.60.0:5061;transport=tls;lr;r2=on",
            "sip:54.172.60.0;lr;r2=on"
        ]
    );
}

#[test]
fn twilios_bye_tells_of_its_recording_and_cause() {
    let bytes = carrier("11_twilio_bye_with_recording.sip");
    let message = Message::parse(&bytes).unwrap();
    let reason = message.reason().next().unwrap();
    assert_eq!((reason.protocol, reason.cause), ("Q.850", Some(16)));
    assert_eq!(
        message.header_named("X-Twilio-RecordingDuration"),
        Some("25")
    );
}

#[test]
fn telnyxs_registrar_grants_in_the_contact_only() {
    let bytes = carrier("17_telnyx_register_200.sip");
    let message = Message::parse(&bytes).unwrap();
    let contact = message.contacts().next().unwrap().unwrap();
    assert_eq!(contact.expires(), Some(3584));
    assert_eq!(
        contact.uri().unwrap().param("alias"),
        Some("203.0.113.30~18556~2")
    );
    assert_eq!(message.expires(), None);
}

#[test]
fn compact_and_long_names_without_spaces_are_one_field() {
    let bytes = carrier("19_telnyx_bye_compact.sip");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.vias().filter(Result::is_ok).count(), 3);
    let request = message.essentials().unwrap();
    assert_eq!(request.from.display, "12025550123");
    assert_eq!(request.to.tag(), Some("X75QgtgptgFvK"));
    assert_eq!(request.call_id, "70f83b11-2dbe-47e9-8604-6afaa29efc7d");
    let supported: Vec<_> = message.supported().collect();
    assert_eq!(supported, ["timer", "path"]);
}

#[test]
fn a_registration_through_an_outbound_proxy_has_its_route() {
    let bytes = carrier("22_sipgate_register_outbound_proxy.sip");
    let message = Message::parse(&bytes).unwrap();
    let route = message.routes().next().unwrap().unwrap();
    assert_eq!(route.uri.host, Host::Name("proxy.dev.sipgate.de"));
    assert!(route.uri.is_loose_route());
    assert_eq!(message.expires(), Some(300));
}
