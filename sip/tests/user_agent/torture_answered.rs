//! The 49 torture messages of RFC 4475 as they come off the wire, each with its answer.

use offhook_sip::message::Message;
use offhook_sip::{Event, Settings};

use crate::access::guarded;
use crate::answers::{Answer, RFC_4475, Rings, Silence, Status};
use crate::support::*;

fn torture(name: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpora/rfc4475");
    std::fs::read(format!("{root}/{name}.dat")).unwrap()
}

/// A user agent that lets calls in from this machine and has users who may register.
pub(crate) fn open() -> Settings {
    let mut settings = guarded();
    settings.access.open_loopback = true;
    settings
}

/// Receives a message at a desk and checks what comes of it.
pub(crate) fn is_answered(mut desk: Desk, name: &str, bytes: &[u8], expected: Answer) {
    desk.ua.receive(desk.now, desk.flow, bytes);
    let sent = desk.sent();
    let what: Vec<String> = sent.iter().map(Sent::what).collect();
    let calls: Vec<_> = desk
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Incoming { call, .. } => call,
            other => panic!("{name}: {other:?}"),
        })
        .collect();
    let wanted = match expected {
        Status(status, _) => vec![status.to_string()],
        Rings => vec!["100".to_owned()],
        Silence => Vec::new(),
    };
    assert_eq!(what, wanted, "{name}");
    assert_eq!(calls.len(), usize::from(expected == Rings), "{name}");
    if let Status(status, fields) = expected {
        let answer = &sent[0];
        for field in fields {
            assert!(answer.header(field).is_some(), "{name}: no {field}");
        }
        let message = Message::parse(answer.text.as_bytes()).unwrap();
        // What could not be read is repeated as it was.
        let good = message.validate().is_ok();
        assert!(good || [400, 505].contains(&status), "{name}");
    }
    for call in calls {
        desk.ua.reject(desk.now, call, 404, &[]);
    }
    desk.ends_empty();
}

#[test]
fn every_torture_message_gets_its_answer() {
    assert_eq!(RFC_4475.len(), 49);
    for &(name, section, expected) in RFC_4475 {
        let named = format!("{name} ({section})");
        is_answered(Desk::with(open()), &named, &torture(name), expected);
    }
}

#[test]
fn a_strangers_torture_message_is_answered_briefly_and_leaves_nothing_behind() {
    for &(name, section, expected) in RFC_4475 {
        let mut desk = Desk::with(guarded()).from("203.0.113.9:5060");
        let bytes = torture(name);
        desk.ua.receive(desk.now, desk.flow, &bytes);
        let sent = desk.sent();
        assert_eq!(sent.len(), usize::from(expected != Silence), "{name}");
        for answer in sent {
            let (got, brought) = (answer.text.len(), bytes.len());
            // What an answer repeats may be nearly all of a request: that one is then longer, once,
            // by what a challenge needs.
            assert!(
                got <= brought.max(400),
                "{name} ({section}): {got} for {brought}"
            );
        }
        assert!(desk.ua.is_idle(), "{name}: nothing is kept");
    }
}

#[test]
fn a_call_of_rfc2543_is_answered_and_ended_at_its_from() {
    let mut desk = Desk::with(open());
    desk.ua.receive(desk.now, desk.flow, &torture("inv2543"));
    let Event::Incoming { call, .. } = desk.event() else {
        panic!("no call")
    };
    desk.sent();
    desk.ua.answer(desk.now, call, ANSWER.into());
    let ok = desk.one();
    assert_eq!(ok.what(), "200");
    let to = ok.header("To").unwrap();
    desk.receive(&format!(
        "ACK sip:UserB@example.com SIP/2.0\r\nVia: SIP/2.0/UDP iftgw.example.com\r\n\
         From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: 56 ACK\r\n\r\n",
        ok.header("From").unwrap(),
        ok.header("Call-ID").unwrap(),
    ));
    assert!(matches!(desk.event(), Event::Confirmed { .. }));
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    // Its Record-Route is a strict router's, so that the target is the last of the route.
    assert_eq!(
        bye.start(),
        "BYE sip:UserB@example.com;maddr=ss1.example.com SIP/2.0"
    );
    let route = bye.header("Route").unwrap();
    assert_eq!(
        route,
        "<sip:+13035551111@ift.client.example.net;user=phone>"
    );
    desk.receive(&respond(&bye, 200, "", "", ""));
    desk.ends_empty();
}
