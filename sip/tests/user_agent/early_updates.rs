//! UPDATE before the answer (RFC 3311 §5.2), and offers in a PRACK (RFC 3262 §5).

use offhook_sip::message::HeaderName;
use offhook_sip::{CallHandle, Event};

use crate::support::*;

const RELIABLE: &str = "Supported: 100rel\r\nContact: <sip:them@127.0.0.1:5070>\r\n";

fn reliable(invite: &Sent, tag: &str, rseq: u32, content: &str) -> String {
    let fields = format!("Require: 100rel\r\nRSeq: {rseq}\r\n{CONTACT}");
    respond(invite, 183, tag, &fields, content)
}

/// Calls a callee who answers the offer before the call.
fn placed(desk: &mut Desk) -> (CallHandle, Sent) {
    let (call, invite) = desk.call(None);
    desk.receive(&reliable(&invite, "them", 1, ANSWER));
    desk.sent();
    desk.events();
    (call, invite)
}

/// Is called, and answers the offer before the call; returns our tag and the reliable 183.
fn received(desk: &mut Desk) -> (CallHandle, String, Sent) {
    desk.receive(&request("INVITE", 1, "z9hG4bKinv", "", RELIABLE, OFFER));
    let Event::Incoming { call, .. } = desk.event() else {
        panic!("no call")
    };
    desk.ua.ring(desk.now, call, 183, Some(ANSWER.into()));
    let early = desk.sent().pop().unwrap();
    (call, early.tag(HeaderName::To), early)
}

fn prack(early: &Sent, cseq: u32, content: &str) -> String {
    let rack = format!("RAck: {} 1 INVITE\r\n", early.header("RSeq").unwrap());
    let (branch, tag) = (format!("z9hG4bKp{cseq}"), early.tag(HeaderName::To));
    request("PRACK", cseq, &branch, &tag, &rack, content)
}

fn reoffered(event: Event) -> Option<Vec<u8>> {
    match event {
        Event::Reoffer { offer, .. } => offer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_update_waits_until_our_offer_is_answered_reliably() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    desk.receive(&respond(&invite, 183, "them", CONTACT, ANSWER));
    desk.events();
    desk.receive(&request_back(&invite, "UPDATE", 1, CONTACT, OFFER));
    assert_eq!(desk.one().what(), "491");
    desk.no_event();
}

#[test]
fn an_update_after_a_reliable_answer_changes_the_session() {
    let mut desk = Desk::new();
    let (call, invite) = placed(&mut desk);
    desk.receive(&request_back(&invite, "UPDATE", 1, CONTACT, OFFER));
    desk.nothing_sent();
    assert_eq!(reoffered(desk.event()).as_deref(), Some(OFFER.as_bytes()));
    desk.receive(&request_back(&invite, "UPDATE", 2, CONTACT, OFFER));
    let overlap = desk.one();
    assert_eq!(overlap.what(), "500");
    assert!(overlap.header("Retry-After").is_some());
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
    let ok = desk.one();
    assert_eq!((ok.what().as_str(), ok.body()), ("200", ANSWER));
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    assert_eq!(desk.one().what(), "ACK");
    let answered = desk.event();
    assert!(
        matches!(answered, Event::Answered { body: None, .. }),
        "the answer holds no more: {answered:?}"
    );
}

#[test]
fn an_update_that_is_refused_leaves_the_answer_as_it_was() {
    let mut desk = Desk::new();
    let (call, invite) = placed(&mut desk);
    desk.receive(&request_back(&invite, "UPDATE", 1, CONTACT, OFFER));
    desk.events();
    desk.ua.answer_reoffer(desk.now, call, Err(488));
    assert_eq!(desk.one().what(), "488");
    desk.receive(&respond(&invite, 200, "them", CONTACT, ""));
    match desk.event() {
        Event::Answered { body, .. } => assert_eq!(body.as_deref(), Some(ANSWER.as_bytes())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_update_without_an_offer_moves_the_target_of_its_early_dialog() {
    let mut desk = Desk::new();
    let (_, invite) = placed(&mut desk);
    let moved = "Contact: <sip:moved@127.0.0.1:5070>\r\n";
    desk.receive(&request_back(&invite, "UPDATE", 1, moved, ""));
    assert_eq!(desk.one().what(), "200");
    desk.no_event();
    let fields = "Require: 100rel\r\nRSeq: 2\r\n";
    desk.receive(&respond(&invite, 180, "them", fields, ""));
    let prack = desk.one();
    assert_eq!(prack.start(), "PRACK sip:moved@127.0.0.1:5070 SIP/2.0");
}

#[test]
fn of_two_callees_that_ring_none_may_change_the_session() {
    let mut desk = Desk::new();
    let (_, invite) = placed(&mut desk);
    desk.receive(&reliable(&invite, "two", 9, ANSWER));
    desk.sent();
    desk.events();
    desk.receive(&request_back(&invite, "UPDATE", 1, CONTACT, OFFER));
    assert_eq!(desk.one().what(), "491");
    desk.no_event();
}

#[test]
fn an_update_of_a_callee_that_is_not_the_one_that_answers_is_ended() {
    let mut desk = Desk::new();
    let (call, invite) = placed(&mut desk);
    desk.receive(&request_back(&invite, "UPDATE", 1, CONTACT, OFFER));
    desk.events();
    desk.receive(&respond(&invite, 200, "two", CONTACT, ANSWER));
    let mut sent = desk.sent_what();
    sent.sort();
    assert_eq!(sent, ["487", "ACK"]);
    desk.events();
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
    desk.nothing_sent();
}

#[test]
fn a_call_that_comes_to_nothing_takes_its_update_along() {
    let mut desk = Desk::new();
    let (_, invite) = placed(&mut desk);
    desk.receive(&request_back(&invite, "UPDATE", 1, CONTACT, OFFER));
    desk.receive(&respond(&invite, 486, "them", "", ""));
    let mut sent = desk.sent_what();
    sent.sort();
    assert_eq!(sent, ["487", "ACK"]);
    desk.ends_empty();
    let mut desk = Desk::new();
    let (_, tag, early) = received(&mut desk);
    desk.receive(&prack(&early, 2, ""));
    desk.receive(&request("UPDATE", 3, "z9hG4bKu", &tag, CONTACT, OFFER));
    desk.sent();
    desk.receive(&request("CANCEL", 1, "z9hG4bKinv", "", "", ""));
    assert_eq!(desk.sent_what(), ["200", "487", "487"]);
    desk.ends_empty();
}

#[test]
fn an_update_of_a_caller_waits_until_the_first_offer_is_answered_reliably() {
    let mut desk = Desk::new();
    let (call, tag, early) = received(&mut desk);
    desk.receive(&request("UPDATE", 2, "z9hG4bKu2", &tag, CONTACT, OFFER));
    let overlap = desk.one();
    assert_eq!(overlap.what(), "500", "the PRACK may still be on its way");
    assert!(overlap.header("Retry-After").is_some());
    desk.receive(&request("UPDATE", 3, "z9hG4bKu3", &tag, CONTACT, ""));
    assert_eq!(desk.one().what(), "200", "it only refreshes");
    desk.receive(&prack(&early, 4, ""));
    assert_eq!(desk.one().what(), "200");
    desk.receive(&request("UPDATE", 5, "z9hG4bKu5", &tag, CONTACT, OFFER));
    assert_eq!(reoffered(desk.event()).as_deref(), Some(OFFER.as_bytes()));
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
    assert_eq!(desk.one().body(), ANSWER);
    // A re-INVITE may not overtake the first (RFC 3261 §14.2).
    desk.receive(&request("INVITE", 6, "z9hG4bKi6", &tag, CONTACT, OFFER));
    assert_eq!(desk.sent_what(), ["500"]);
    desk.no_event();
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut desk = Desk::new();
    let (call, _, early) = received(&mut desk);
    desk.receive(&prack(&early, 2, OFFER));
    desk.nothing_sent();
    assert_eq!(reoffered(desk.event()).as_deref(), Some(OFFER.as_bytes()));
    desk.receive(&prack(&early, 2, OFFER));
    desk.nothing_sent();
    desk.no_event();
    assert!(desk.ua.answer(desk.now, call, ANSWER.into()), "at once");
    assert_eq!(desk.one().cseq(), 1);
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
    let ok = desk.one();
    assert_eq!(ok.header("CSeq").unwrap(), "2 PRACK");
    assert_eq!((ok.what().as_str(), ok.body()), ("200", ANSWER));
}
