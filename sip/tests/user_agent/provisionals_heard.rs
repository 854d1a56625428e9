//! Reliable provisional responses to calls that we place (RFC 3262 §4).

use offhook_sip::message::HeaderName;
use offhook_sip::{CallHandle, EndCause, Event, Reliable, Settings};

use crate::support::*;

/// A reliable provisional response of the callee with this tag.
fn reliable(invite: &Sent, status: u16, tag: &str, rseq: u32, content: &str) -> String {
    let contact = format!("Contact: <sip:{tag}@127.0.0.1:5070>\r\n");
    let fields = format!("Require: 100rel\r\nRSeq: {rseq}\r\n{contact}");
    respond(invite, status, tag, &fields, content)
}

/// Calls a callee, who answers the offer by a reliable 183; returns the PRACK as well.
fn early(desk: &mut Desk) -> (CallHandle, Sent, Sent) {
    let (call, invite) = desk.call(None);
    desk.receive(&reliable(&invite, 183, "them", 776, ANSWER));
    let prack = desk.one();
    assert_eq!(prack.what(), "PRACK");
    assert!(matches!(desk.event(), Event::Progress { status: 183, .. }));
    (call, invite, prack)
}

fn body_of(event: Event) -> Option<String> {
    match event {
        Event::Progress { body, .. } | Event::Answered { body, .. } => {
            body.map(|body| String::from_utf8(body).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

fn with(reliable: Reliable) -> Desk {
    Desk::with(Settings {
        reliable,
        ..settings()
    })
}

#[test]
fn an_invite_says_whether_it_can_or_must_have_them() {
    let says = |reliable| {
        let (_, invite) = with(reliable).call(None);
        let supported = invite.header("Supported").unwrap().contains("100rel");
        let allow = invite.header("Allow").unwrap().contains("PRACK");
        (supported, invite.header("Require"), allow)
    };
    assert_eq!(says(Reliable::Off), (false, None, false));
    assert_eq!(says(Reliable::Supported), (true, None, true));
    assert_eq!(
        says(Reliable::Required),
        (true, Some("100rel".to_owned()), true)
    );
}

#[test]
fn an_invite_without_an_offer_and_one_within_a_call_do_not_ask_for_them() {
    let mut desk = with(Reliable::Required);
    let mut offerless = invite(desk.flow, None);
    offerless.body.clear();
    desk.ua.invite(desk.now, offerless).unwrap();
    let first = desk.one();
    assert!(!first.header("Supported").unwrap().contains("100rel"));
    assert_eq!(first.header("Require"), None);
    let mut desk = with(Reliable::Required);
    let (call, _) = desk.talk();
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let second = desk.one();
    assert!(!second.header("Supported").unwrap().contains("100rel"));
    assert_eq!(second.header("Require"), None);
}

#[test]
fn a_reliable_183_is_acknowledged_in_its_early_dialog_and_told_once() {
    let mut desk = Desk::new();
    let (call, invite, prack) = early(&mut desk);
    assert_eq!(prack.start(), "PRACK sip:them@127.0.0.1:5070 SIP/2.0");
    assert_eq!(prack.header("RAck").unwrap(), "776 1 INVITE");
    assert_eq!(prack.header("CSeq").unwrap(), "2 PRACK");
    assert_eq!(prack.tag(HeaderName::To), "them");
    assert_eq!(prack.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(prack.body(), "");
    // What comes again is neither acknowledged nor told again, before and after the PRACK's answer.
    desk.receive(&reliable(&invite, 183, "them", 776, ANSWER));
    desk.receive(&respond(&prack, 200, "", "", ""));
    desk.receive(&reliable(&invite, 183, "them", 776, ANSWER));
    desk.nothing_sent();
    desk.no_event();
    desk.receive(&respond(&invite, 200, "them", CONTACT, ""));
    let ack = desk.one();
    assert_eq!(ack.header("CSeq").unwrap(), "1 ACK");
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    assert_eq!(bye.header("CSeq").unwrap(), "3 BYE", "the count goes on");
    desk.receive(&respond(&bye, 200, "", "", ""));
    desk.ends_empty();
}

#[test]
fn a_prack_is_sent_again_until_it_is_answered() {
    let mut desk = Desk::new();
    let (_, _, prack) = early(&mut desk);
    desk.pass(ms(1_500));
    let again = desk.sent();
    assert!(again.iter().all(|sent| sent.text == prack.text));
    assert_eq!(again.len(), 2);
    desk.receive(&respond(&prack, 200, "", "", ""));
    desk.pass(ms(10_000));
    desk.nothing_sent();
}

#[test]
fn a_reliable_183_with_an_answer_does_not_answer_the_call() {
    let mut desk = Desk::new();
    let (call, invite, prack) = early(&mut desk);
    desk.receive(&respond(&prack, 200, "", "", ""));
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().what(), "CANCEL");
    desk.receive(&respond(&invite, 487, "them", "", ""));
    assert_eq!(desk.one().what(), "ACK");
    assert!(matches!(
        desk.event(),
        Event::Ended {
            cause: EndCause::Cancelled { .. },
            ..
        }
    ));
    desk.ends_empty();
}

#[test]
fn the_first_reliable_description_is_the_answer_and_others_are_ignored() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    desk.receive(&reliable(&invite, 180, "them", 1, ""));
    assert_eq!(desk.one().header("RAck").unwrap(), "1 1 INVITE");
    assert_eq!(body_of(desk.event()), None);
    desk.receive(&reliable(&invite, 183, "them", 2, ANSWER));
    let prack = desk.one();
    assert_eq!(prack.header("RAck").unwrap(), "2 1 INVITE");
    assert_eq!(prack.header("CSeq").unwrap(), "3 PRACK");
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
    let other = ANSWER.replace("2 2", "3 3");
    desk.receive(&reliable(&invite, 183, "them", 3, &other));
    assert_eq!(body_of(desk.event()), None);
    desk.receive(&respond(&invite, 183, "them", CONTACT, &other));
    assert_eq!(body_of(desk.event()), None);
    desk.receive(&respond(&invite, 200, "them", CONTACT, &other));
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
}

#[test]
fn an_unreliable_description_foretells_the_answer_and_is_none() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    let other = ANSWER.replace("2 2", "3 3");
    desk.receive(&respond(&invite, 183, "them", CONTACT, &other));
    assert_eq!(body_of(desk.event()), Some(other));
    desk.receive(&reliable(&invite, 183, "them", 5, ANSWER));
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
    desk.receive(&respond(&invite, 200, "them", CONTACT, ""));
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
}

#[test]
fn one_out_of_order_is_dropped_until_what_is_missing_has_come() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    desk.receive(&reliable(&invite, 180, "them", 10, ""));
    desk.sent();
    desk.events();
    desk.receive(&reliable(&invite, 183, "them", 12, ANSWER));
    desk.nothing_sent();
    desk.no_event();
    for (rseq, content) in [(11, ""), (12, ANSWER)] {
        desk.receive(&reliable(&invite, 183, "them", rseq, content));
        let rack = desk.one().header("RAck").unwrap();
        assert_eq!(rack, format!("{rseq} 1 INVITE"));
        let told = body_of(desk.event()).unwrap_or_default();
        assert_eq!(told, content);
    }
    desk.receive(&reliable(&invite, 180, "them", 9, ""));
    desk.nothing_sent();
    desk.no_event();
}

#[test]
fn each_fork_has_a_sequence_and_an_answer_of_its_own() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    let theirs = |n: u32| ANSWER.replace("2 2", &format!("{n} {n}"));
    for (tag, rseq, n) in [("one", 100, 4), ("two", 7, 5)] {
        desk.receive(&reliable(&invite, 183, tag, rseq, &theirs(n)));
        let prack = desk.one();
        assert_eq!(
            prack.start(),
            format!("PRACK sip:{tag}@127.0.0.1:5070 SIP/2.0")
        );
        assert_eq!(prack.header("RAck").unwrap(), format!("{rseq} 1 INVITE"));
        assert_eq!(prack.header("CSeq").unwrap(), "2 PRACK");
        assert_eq!(body_of(desk.event()), Some(theirs(n)));
        desk.receive(&respond(&prack, 200, "", "", ""));
    }
    for (tag, rseq) in [("two", 8), ("one", 101)] {
        desk.receive(&reliable(&invite, 180, tag, rseq, ""));
        assert_eq!(desk.one().tag(HeaderName::To), tag);
        assert_eq!(body_of(desk.event()), None);
    }
    desk.receive(&respond(&invite, 200, "one", CONTACT, ""));
    assert_eq!(desk.one().tag(HeaderName::To), "one");
    assert_eq!(body_of(desk.event()), Some(theirs(4)), "not the last heard");
    desk.receive(&respond(&invite, 200, "two", CONTACT, ""));
    let sent = desk.sent();
    assert_eq!(sent[1].header("CSeq").unwrap(), "4 BYE", "after two PRACKs");
    assert_eq!(sent[1].tag(HeaderName::To), "two");
    desk.no_event();
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().header("CSeq").unwrap(), "4 BYE");
    desk.ends_empty();
}

#[test]
fn more_forks_than_there_is_room_for_are_not_acknowledged() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    for n in 0..20 {
        desk.receive(&reliable(&invite, 183, &format!("t{n}"), 1, ANSWER));
    }
    assert_eq!(desk.sent_what(), ["PRACK"; 8]);
    assert_eq!(desk.events().len(), 20, "they are early news all the same");
}

#[test]
fn what_cannot_be_acknowledged_is_early_news_only() {
    let unreliable = [
        "RSeq: 5\r\n",
        "Require: 100rel\r\n",
        "Require: 100rel\r\nRSeq: 0\r\n",
        "Require: 100rel\r\nRSeq: x\r\n",
        "Require: 100rel\r\nRSeq: 4294967296\r\n",
    ];
    for fields in unreliable {
        let mut desk = Desk::new();
        let (_, invite) = desk.call(None);
        let fields = format!("{fields}{CONTACT}");
        desk.receive(&respond(&invite, 183, "them", &fields, ANSWER));
        desk.nothing_sent();
        assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER), "{fields}");
    }
    // Nor where we did not say that we would, where it has no tag, and where it is a 100.
    let mut desk = with(Reliable::Off);
    let (_, invite) = desk.call(None);
    desk.receive(&reliable(&invite, 183, "them", 5, ANSWER));
    desk.nothing_sent();
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    desk.receive(&reliable(&invite, 183, "", 5, ANSWER));
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
    desk.receive(&reliable(&invite, 100, "them", 5, ""));
    desk.nothing_sent();
    desk.no_event();
}

#[test]
fn a_challenge_to_a_prack_is_answered() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(Some(credentials("secret")));
    desk.receive(&reliable(&invite, 183, "them", 776, ANSWER));
    let mut prack = desk.one();
    desk.events();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"\r\n";
    desk.receive(&respond(&prack, 407, "", challenge, ""));
    let again = desk.one();
    assert_eq!(again.header("CSeq").unwrap(), "3 PRACK");
    assert_eq!(again.header("RAck").unwrap(), "776 1 INVITE");
    assert!(again.header("Proxy-Authorization").is_some());
    assert_eq!(again.tag(HeaderName::To), "them");
    // Without end it is not.
    prack = again;
    for n in 2..20 {
        let stale = challenge.replace("\"n1\"", &format!("\"n{n}\", stale=true"));
        desk.receive(&respond(&prack, 407, "", &stale, ""));
        match desk.sent().pop() {
            Some(next) => prack = next,
            None => break,
        }
    }
    assert!(prack.cseq() <= 9, "{}", prack.cseq());
    desk.no_event();
    desk.receive(&respond(&invite, 200, "them", CONTACT, ""));
    assert_eq!(desk.one().header("CSeq").unwrap(), "1 ACK");
}

#[test]
fn a_prack_that_is_refused_or_not_answered_ends_nothing() {
    for status in [Some(481), Some(500), Some(408), None] {
        let mut desk = Desk::new();
        let (_, invite, prack) = early(&mut desk);
        match status {
            Some(status) => desk.receive(&respond(&prack, status, "", "", "")),
            None => desk.pass(ms(40_000)),
        }
        desk.sent();
        desk.no_event();
        desk.receive(&respond(&invite, 200, "them", CONTACT, ""));
        assert_eq!(desk.one().what(), "ACK");
        assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
    }
}

#[test]
fn an_answer_that_comes_before_the_pracks_is_an_answer() {
    let mut desk = Desk::new();
    let (call, invite, prack) = early(&mut desk);
    desk.receive(&respond(&invite, 200, "them", CONTACT, ""));
    assert_eq!(desk.one().what(), "ACK");
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
    desk.pass(ms(500));
    assert_eq!(desk.one().text, prack.text, "it still wants its answer");
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    desk.receive(&respond(&prack, 481, "", "", ""));
    desk.no_event();
    desk.receive(&respond(&bye, 200, "", "", ""));
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
}

#[test]
fn one_that_crosses_our_cancel_is_acknowledged_and_not_told() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    desk.ua.hang_up(desk.now, call, None);
    desk.receive(&reliable(&invite, 183, "them", 776, ANSWER));
    assert_eq!(desk.sent_what(), ["PRACK", "CANCEL"]);
    desk.receive(&reliable(&invite, 183, "them", 776, ANSWER));
    desk.nothing_sent();
    desk.no_event();
    // The callee was faster.
    desk.receive(&respond(&invite, 200, "them", CONTACT, ""));
    let sent = desk.sent();
    assert_eq!(sent[0].what(), "ACK");
    assert_eq!(sent[1].header("CSeq").unwrap(), "3 BYE");
    desk.receive(&respond(&sent[1], 200, "", "", ""));
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
}

#[test]
fn without_room_for_a_prack_it_is_as_if_it_had_not_come() {
    let mut desk = Desk::with(Settings {
        max_transactions: 2,
        ..settings()
    });
    let (_, first) = desk.call(None);
    let (_, second) = desk.call(None);
    desk.receive(&reliable(&first, 183, "them", 776, ANSWER));
    desk.nothing_sent();
    desk.no_event();
    desk.receive(&respond(&second, 486, "them", "", ""));
    desk.pass(ms(32_000));
    desk.sent();
    desk.events();
    desk.receive(&reliable(&first, 183, "them", 776, ANSWER));
    assert_eq!(desk.one().what(), "PRACK");
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
}

#[test]
fn a_challenged_invite_begins_the_sequences_anew() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(Some(credentials("secret")));
    desk.receive(&reliable(&invite, 183, "proxy", 776, ANSWER));
    desk.sent();
    desk.events();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    desk.receive(&respond(&invite, 407, "proxy", challenge, ""));
    let again = desk.sent().pop().unwrap();
    assert_eq!(again.header("CSeq").unwrap(), "2 INVITE");
    desk.receive(&reliable(&again, 183, "proxy", 3, ANSWER));
    let prack = desk.one();
    assert_eq!(prack.header("RAck").unwrap(), "3 2 INVITE");
    assert_eq!(prack.header("CSeq").unwrap(), "3 PRACK");
    assert_eq!(body_of(desk.event()).as_deref(), Some(ANSWER));
}
