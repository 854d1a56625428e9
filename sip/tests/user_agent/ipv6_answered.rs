//! The twelve messages of RFC 5118, each with its answer, heard over IPv6.

use offhook_sip::message::{HeaderName, Message};
use offhook_sip::{Event, Flow, Transport};

use crate::answers::{RFC_5118, Status};
use crate::support::*;
use crate::torture_answered::{is_answered, open};

fn message(name: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpora/rfc5118");
    let text = std::fs::read_to_string(format!("{root}/{name}")).unwrap();
    text.replace('\n', "\r\n")
}

/// A user agent that is reached over IPv6.
fn desk() -> Desk {
    Desk {
        flow: Flow {
            transport: Transport::Udp,
            local: "[::1]:5060".parse().unwrap(),
            remote: "[::1]:5070".parse().unwrap(),
        },
        ..Desk::with(open())
    }
}

#[test]
fn every_message_of_rfc5118_gets_its_answer() {
    assert_eq!(RFC_5118.len(), 12);
    for &(name, section, expected) in RFC_5118 {
        let named = format!("{name} (RFC 5118 §{section})");
        is_answered(desk(), &named, message(name).as_bytes(), expected);
    }
}

#[test]
fn an_answer_names_the_hops_as_they_came_and_goes_to_where_the_request_came_from() {
    for &(name, section, expected) in RFC_5118 {
        let Status(_, _) = expected else { continue };
        let mut desk = desk();
        let text = message(name);
        desk.receive(&text);
        let answer = desk.one();
        // No rport was asked for: the port is the one that Via names (RFC 3261 §18.2.2).
        let port = |asked: &Message<'_>| asked.top_via().unwrap().port.unwrap_or(5060);
        let port = match Message::parse(text.as_bytes()) {
            Ok(asked) => port(&asked),
            Err(error) => port(error.answerable().unwrap()),
        };
        assert_eq!(answer.flow.remote.port(), port, "{name}");
        assert_eq!(answer.flow.remote.ip(), desk.flow.remote.ip(), "{name}");
        let (came, went) = (vias(&text), vias(&answer.text));
        assert_eq!(came.len(), went.len(), "{name} (§{section})");
        // The topmost is told where its request really came from (§18.2.1); the others are not ours.
        assert!(
            went[0].starts_with(came[0].split(';').next().unwrap()),
            "{name}"
        );
        assert_eq!(
            went[0].matches("received=").count(),
            1,
            "{name}: {}",
            went[0]
        );
        assert!(went[0].contains("received=::1"), "{name}: {}", went[0]);
        assert_eq!(came[1..], went[1..], "{name}");
    }
}

fn vias(text: &str) -> Vec<String> {
    let lines = text
        .split("\r\n")
        .filter_map(|line| line.strip_prefix("Via: "));
    lines.map(str::to_owned).collect()
}

#[test]
fn what_rings_is_called_back_at_the_contact_that_it_wrote_as_an_address() {
    for (name, body, target) in [
        ("ipv6-in-sdp", 251, "sip:caller@[2001:db8::20]"),
        ("mult-ip-in-sdp", 181, "sip:caller@[2001:db8::9:1]"),
        ("ipv4-mapped-ipv6", 236, "sip:ted@[::ffff:192.0.2.2]"),
    ] {
        let mut desk = desk();
        desk.receive(&message(name).replace("Content-Length: 268", "Content-Length: 251"));
        assert_eq!(desk.one().what(), "100", "{name}");
        let Event::Incoming { call, invite } = desk.event() else {
            panic!("{name}: no call")
        };
        // Both families, or an address of the other one, are the media's to choose from.
        let offer = invite.offer.unwrap();
        assert_eq!(offer.len(), body, "{name}");
        desk.ua.answer(desk.now, call, ANSWER.into());
        let ok = desk.one();
        let contact = ok.header("Contact").unwrap();
        assert!(
            contact.contains("@[::1]") || contact.contains(":[::1]"),
            "{contact}"
        );
        let (from, to) = (ok.header("From").unwrap(), ok.header("To").unwrap());
        desk.receive(&format!(
            "ACK sip:us@[::1] SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKack\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\n\
             Content-Length: 0\r\n\r\n",
            ok.header("Call-ID").unwrap(),
            ok.cseq(),
        ));
        assert!(matches!(desk.event(), Event::Confirmed { .. }), "{name}");
        desk.ua.hang_up(desk.now, call, None);
        let bye = desk.one();
        assert_eq!(bye.start(), format!("BYE {target} SIP/2.0"));
        assert_eq!(bye.headers(HeaderName::Route), Vec::<String>::new());
        desk.receive(&respond(&bye, 200, "", "", ""));
        desk.ends_empty();
    }
}
