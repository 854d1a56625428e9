//! The IPv6 messages of RFC 5118.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use offhook_sip::message::{Message, ParseErrorKind};
use offhook_sip::uri::Host;

mod common;
use common::{corpus, ipv6};

#[test]
fn every_message_but_the_one_without_brackets_is_valid() {
    let files = corpus("rfc5118");
    assert_eq!(files.len(), 12);
    for (name, bytes) in &files {
        let bytes = with_the_length_it_has(name, bytes);
        let refused = Message::parse(&bytes).unwrap().validate().err();
        let expected = (name == "ipv6-bad").then_some(400);
        assert_eq!(refused.map(|refusal| refusal.status), expected, "{name}");
    }
}

/// The RFC prints one message with a Content-Length of 268 and a body of 251 bytes, which as a
/// datagram RFC 3261 §18.3 has answered 400; its addresses are what it is about.
fn with_the_length_it_has(name: &str, bytes: &[u8]) -> Vec<u8> {
    if name != "ipv6-in-sdp" {
        return bytes.to_vec();
    }
    let error = Message::parse(bytes).unwrap_err();
    assert_eq!(error.kind(), ParseErrorKind::TruncatedBody);
    assert!(error.answerable().is_some());
    String::from_utf8_lossy(bytes)
        .replace("Content-Length: 268", "Content-Length: 251")
        .into()
}

#[test]
fn a_port_is_a_port_only_outside_the_brackets() {
    let bytes = ipv6("port-ambiguous");
    let uri = Message::parse(&bytes).unwrap().request_uri().unwrap();
    assert_eq!(
        (uri.host, uri.port),
        (Host::V6("2001:db8::10:5070".parse().unwrap()), None)
    );
    let bytes = ipv6("port-unambiguous");
    let uri = Message::parse(&bytes).unwrap().request_uri().unwrap();
    assert_eq!(
        (uri.host, uri.port),
        (Host::V6("2001:db8::10".parse().unwrap()), Some(5070))
    );
}

#[test]
fn received_is_read_with_and_without_brackets() {
    for name in [
        "via-received-param-no-delim",
        "via-received-param-with-delim",
    ] {
        let bytes = ipv6(name);
        let via = Message::parse(&bytes).unwrap().top_via().unwrap();
        assert_eq!(
            via.received_address(),
            Some("2001:db8::9:255".parse().unwrap()),
            "{name}"
        );
    }
}

#[test]
fn hops_of_both_families_are_read() {
    let bytes = ipv6("mult-ip-in-header");
    let message = Message::parse(&bytes).unwrap();
    let hops: Vec<_> = message.vias().map(|via| via.unwrap().sent_by).collect();
    assert_eq!(
        hops,
        ["[2001:db8::9:1]:6050", "192.0.2.1", "[2001:db8::9:255]"]
    );
}

#[test]
fn mapped_addresses_and_the_old_grammars_third_colon_are_read() {
    let bytes = ipv6("ipv4-mapped-ipv6");
    let via = Message::parse(&bytes).unwrap().top_via().unwrap();
    assert_eq!(via.host, Host::V6("::ffff:192.0.2.10".parse().unwrap()));
    assert_eq!(via.port, Some(19823));
    let three = ipv6("ipv6-bug-abnf-3-colons");
    let two = ipv6("ipv6-correct-abnf-2-colons");
    let three = Message::parse(&three).unwrap().request_uri().unwrap();
    let two = Message::parse(&two).unwrap().request_uri().unwrap();
    assert!(three.equivalent(&two));
}
