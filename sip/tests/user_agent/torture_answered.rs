//! The 49 torture messages of RFC 4475 as they come off the wire, each with its answer.

use offhook_sip::message::Message;
use offhook_sip::{Event, Settings};

use crate::access::guarded;
use crate::support::*;

/// What a datagram leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// The one answer, with the header fields that it must have.
    Status(u16, &'static [&'static str]),
    /// 100, and a call that rings.
    Rings,
    /// Nothing: a response that answers nothing of ours.
    Silence,
}
use Answer::{Rings, Silence, Status};

const CHALLENGED: Answer = Status(401, &["WWW-Authenticate"]);
const BAD: Answer = Status(400, &[]);

/// File, section of RFC 4475, and what a user agent server does that lets calls in, challenges
/// whoever registers, and supports neither MESSAGE nor the extensions that are asked of it. What
/// could be read in two ways is refused, since another element may have read it the other way.
const EXPECTED: &[(&str, &str, Answer)] = &[
    // It has a tag in To and belongs to no dialog (RFC 3261 §12.2.2).
    ("wsinv", "3.1.1.1", Status(481, &[])),
    ("intmeth", "3.1.1.2", Status(501, &["Allow"])),
    ("esc01", "3.1.1.3", Rings),
    ("escnull", "3.1.1.4", CHALLENGED),
    // An escape in a method is no escape: the method is not REGISTER.
    ("esc02", "3.1.1.5", Status(501, &["Allow"])),
    ("lwsdisp", "3.1.1.6", Status(200, &["Allow"])),
    ("longreq", "3.1.1.7", Rings),
    // The INVITE behind the REGISTER is no message (RFC 3261 §18.3).
    ("dblreq", "3.1.1.8", CHALLENGED),
    ("semiuri", "3.1.1.9", Status(200, &["Allow"])),
    ("transports", "3.1.1.10", Status(200, &["Allow"])),
    ("mpart01", "3.1.1.11", Status(405, &["Allow"])),
    ("unreason", "3.1.1.12", Silence),
    ("noreason", "3.1.1.13", Silence),
    ("badinv01", "3.1.2.1", BAD),
    ("clerr", "3.1.2.2", BAD),
    ("ncl", "3.1.2.3", BAD),
    ("scalar02", "3.1.2.4", BAD),
    ("scalarlg", "3.1.2.5", Silence),
    ("quotbal", "3.1.2.6", BAD),
    ("ltgtruri", "3.1.2.7", BAD),
    ("lwsruri", "3.1.2.8", BAD),
    ("lwsstart", "3.1.2.9", BAD),
    ("trws", "3.1.2.10", BAD),
    ("escruri", "3.1.2.11", BAD),
    // Nobody here asks for the Date.
    ("baddate", "3.1.2.12", Rings),
    ("regbadct", "3.1.2.13", BAD),
    ("badaspec", "3.1.2.14", BAD),
    ("baddn", "3.1.2.15", BAD),
    ("badvers", "3.1.2.16", Status(505, &[])),
    ("mismatch01", "3.1.2.17", BAD),
    ("mismatch02", "3.1.2.18", BAD),
    ("bigcode", "3.1.2.19", Silence),
    ("badbranch", "3.2.1", Status(200, &["Allow"])),
    ("insuf", "3.3.1", BAD),
    ("unkscm", "3.3.2", Status(416, &[])),
    ("novelsc", "3.3.3", Status(416, &[])),
    ("unksm2", "3.3.4", CHALLENGED),
    ("bext01", "3.3.5", Status(420, &["Unsupported"])),
    ("invut", "3.3.6", Status(415, &["Accept"])),
    // Credentials of an unknown scheme are none.
    ("regaut01", "3.3.7", CHALLENGED),
    ("multi01", "3.3.8", BAD),
    ("mcl01", "3.3.9", BAD),
    // Its topmost Via is not ours (RFC 3261 §8.1.3.3).
    ("bcast", "3.3.10", Silence),
    // No hop is left, and none is needed.
    ("zeromf", "3.3.11", Status(200, &["Allow"])),
    ("cparam01", "3.3.12", CHALLENGED),
    ("cparam02", "3.3.13", CHALLENGED),
    ("regescrt", "3.3.14", CHALLENGED),
    ("sdp01", "3.3.15", Status(406, &[])),
    // No branch, no tag, no Contact, no Content-Length: a peer of RFC 2543.
    ("inv2543", "3.4.1", Rings),
];

fn torture(name: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpora/rfc4475");
    std::fs::read(format!("{root}/{name}.dat")).unwrap()
}

/// A user agent that lets calls in from this machine and has users who may register.
fn open() -> Settings {
    let mut settings = guarded();
    settings.access.open_loopback = true;
    settings
}

#[test]
fn every_torture_message_gets_its_answer() {
    assert_eq!(EXPECTED.len(), 49);
    for &(name, section, expected) in EXPECTED {
        let mut desk = Desk::with(open());
        desk.ua.receive(desk.now, desk.flow, &torture(name));
        let sent = desk.sent();
        let what: Vec<String> = sent.iter().map(Sent::what).collect();
        let calls: Vec<_> = desk
            .events()
            .into_iter()
            .map(|event| match event {
                Event::Incoming { call, .. } => call,
                other => panic!("{name} ({section}): {other:?}"),
            })
            .collect();
        let wanted = match expected {
            Status(status, _) => vec![status.to_string()],
            Rings => vec!["100".to_owned()],
            Silence => Vec::new(),
        };
        assert_eq!(what, wanted, "{name} ({section})");
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
}

#[test]
fn a_strangers_torture_message_is_answered_briefly_and_leaves_nothing_behind() {
    for &(name, section, expected) in EXPECTED {
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
