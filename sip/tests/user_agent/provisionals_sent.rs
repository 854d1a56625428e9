//! Provisional responses of ours that are delivered reliably (RFC 3262 §3).

use offhook_sip::message::HeaderName;
use offhook_sip::{CallHandle, EndCause, Event, Reliable, Settings};

use crate::support::*;

/// Is called by a peer that says this of reliable provisional responses.
fn called(desk: &mut Desk, says: &str, offer: &str) -> CallHandle {
    let fields = format!("{says}{CONTACT}");
    desk.receive(&request("INVITE", 1, "z9hG4bKinv", "", &fields, offer));
    assert_eq!(desk.one().what(), "100");
    match desk.event() {
        Event::Incoming { call, .. } => call,
        other => panic!("{other:?}"),
    }
}

const CAN: &str = "Supported: timer, 100rel\r\n";
const MUST: &str = "Require: 100rel\r\n";

/// Is called and shows early media, which the peer has not acknowledged yet.
fn early(desk: &mut Desk, says: &str) -> (CallHandle, Sent) {
    let call = called(desk, says, OFFER);
    desk.ua.ring(desk.now, call, 183, Some(ANSWER.into()));
    (call, desk.one())
}

fn rseq(sent: &Sent) -> u32 {
    assert_eq!(sent.header("Require").unwrap(), "100rel");
    sent.header("RSeq").unwrap().parse().unwrap()
}

/// The PRACK of a reliable provisional response.
fn prack(early: &Sent, cseq: u32) -> String {
    rack(early, cseq, &format!("{} 1 INVITE", rseq(early)))
}

fn rack(early: &Sent, cseq: u32, rack: &str) -> String {
    let (branch, tag) = (format!("z9hG4bKp{cseq}"), early.tag(HeaderName::To));
    let fields = format!("RAck: {rack}\r\n");
    request("PRACK", cseq, &branch, &tag, &fields, "")
}

fn ack(early: &Sent) -> String {
    request("ACK", 1, "z9hG4bKack", &early.tag(HeaderName::To), "", "")
}

fn refused_with_504(event: Event) -> bool {
    matches!(
        event,
        Event::Ended {
            cause: EndCause::Refused { status: 504 },
            ..
        }
    )
}

#[test]
fn a_183_with_an_answer_goes_reliably_to_who_can_and_a_plain_180_does_not() {
    let mut desk = Desk::new();
    let call = called(&mut desk, CAN, OFFER);
    desk.ua.ring(desk.now, call, 180, None);
    let plain = desk.one();
    assert_eq!(
        (plain.header("Require"), plain.header("RSeq")),
        (None, None)
    );
    desk.ua.ring(desk.now, call, 183, Some(ANSWER.into()));
    let early = desk.one();
    assert!((1..1 << 31).contains(&rseq(&early)));
    assert_eq!((early.what().as_str(), early.body()), ("183", ANSWER));
    assert!(early.header("Contact").is_some());
    assert!(early.header("Allow").unwrap().contains("PRACK, UPDATE"));
    desk.receive(&prack(&early, 2));
    let ok = desk.one();
    assert_eq!(ok.what(), "200");
    assert_eq!(ok.header("CSeq").unwrap(), "2 PRACK");
    assert!(desk.ua.answer(desk.now, call, ANSWER.into()));
    let answer = desk.one();
    assert_eq!((answer.what().as_str(), answer.body()), ("200", ""));
    desk.receive(&ack(&early));
    assert!(matches!(desk.event(), Event::Confirmed { body: None, .. }));
    desk.pass(ms(100_000));
    desk.nothing_sent();
    desk.receive(&request(
        "BYE",
        3,
        "z9hG4bKb",
        &early.tag(HeaderName::To),
        "",
        "",
    ));
    desk.ends_empty();
}

#[test]
fn all_go_reliably_to_who_demands_it() {
    let mut desk = Desk::new();
    let call = called(&mut desk, MUST, OFFER);
    desk.ua.ring(desk.now, call, 180, None);
    let ringing = desk.one();
    desk.receive(&prack(&ringing, 2));
    assert_eq!(desk.one().what(), "200");
    desk.ua.ring(desk.now, call, 183, Some(ANSWER.into()));
    let early = desk.one();
    assert_eq!(rseq(&early), rseq(&ringing) + 1);
    desk.receive(&prack(&early, 3));
    // An offer is answered once.
    desk.ua.ring(desk.now, call, 183, Some(ANSWER.into()));
    let again = desk.sent().pop().unwrap();
    assert_eq!((rseq(&again), again.body()), (rseq(&early) + 1, ""));
}

#[test]
fn none_go_reliably_to_who_does_not_say_that_it_can() {
    let mut desk = Desk::new();
    let (_, early) = early(&mut desk, "Supported: timer\r\n");
    assert_eq!(
        (early.header("Require"), early.header("RSeq")),
        (None, None)
    );
    assert_eq!(early.body(), ANSWER);
    desk.pass(ms(50_000));
    desk.nothing_sent();
}

#[test]
fn who_has_them_off_refuses_the_demand_and_knows_no_prack() {
    let off = Settings {
        reliable: Reliable::Off,
        ..settings()
    };
    let mut desk = Desk::with(off);
    let fields = format!("{MUST}{CONTACT}");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", &fields, OFFER));
    let refused = desk.one();
    assert_eq!(refused.what(), "420");
    assert_eq!(refused.header("Unsupported").unwrap(), "100rel");
    let (_, early) = early(&mut desk, CAN);
    assert_eq!(early.header("RSeq"), None);
    desk.receive(&rack(&early, 2, "1 1 INVITE"));
    let unknown = desk.one();
    assert_eq!(unknown.what(), "405");
    assert!(!unknown.header("Allow").unwrap().contains("PRACK"));
}

#[test]
fn it_is_sent_again_at_doubling_intervals_on_any_transport_and_given_up_with_504() {
    for mut desk in [Desk::new(), Desk::over_tcp()] {
        let (_, early) = early(&mut desk, CAN);
        for after in [500, 1_000, 2_000, 4_000, 8_000, 16_000] {
            desk.pass(ms(after - 1));
            desk.nothing_sent();
            desk.pass(ms(1));
            assert_eq!(desk.one().text, early.text);
        }
        desk.no_event();
        desk.pass(ms(499));
        desk.no_event();
        desk.pass(ms(1));
        assert_eq!(desk.one().what(), "504");
        assert!(refused_with_504(desk.event()));
        assert_eq!(desk.ua.stats().no_prack, 1);
        desk.ends_empty();
    }
}

#[test]
fn an_invite_that_comes_again_gets_the_last_one() {
    let mut desk = Desk::new();
    let (_, early) = early(&mut desk, CAN);
    let fields = format!("{CAN}{CONTACT}");
    desk.receive(&request("INVITE", 1, "z9hG4bKinv", "", &fields, OFFER));
    assert_eq!(desk.one().text, early.text);
    desk.receive(&prack(&early, 2));
    assert_eq!(desk.one().what(), "200");
    desk.pass(ms(50_000));
    desk.nothing_sent();
}

#[test]
fn one_is_out_at_a_time_and_of_the_others_the_last_waits_with_the_answer() {
    let mut desk = Desk::new();
    let call = called(&mut desk, MUST, OFFER);
    desk.ua.ring(desk.now, call, 180, None);
    let first = desk.one();
    for status in 181..190 {
        let answer = (status == 183).then(|| ANSWER.into());
        desk.ua.ring(desk.now, call, status, answer);
    }
    desk.nothing_sent();
    desk.receive(&prack(&first, 2));
    let sent = desk.sent();
    assert_eq!(sent[0].header("CSeq").unwrap(), "2 PRACK");
    let second = &sent[1];
    assert_eq!((second.what().as_str(), second.body()), ("189", ANSWER));
    assert_eq!(rseq(second), rseq(&first) + 1);
    desk.receive(&prack(second, 3));
    assert_eq!(desk.one().what(), "200");
    desk.pass(ms(50_000));
    desk.nothing_sent();
}

#[test]
fn a_2xx_waits_for_the_prack_of_the_answer() {
    let mut desk = Desk::new();
    let (call, early) = early(&mut desk, CAN);
    assert!(desk.ua.answer(desk.now, call, ANSWER.into()));
    assert!(!desk.ua.answer(desk.now, call, ANSWER.into()), "it was");
    desk.ua.ring(desk.now, call, 180, None);
    desk.nothing_sent();
    desk.pass(ms(500));
    assert_eq!(desk.one().text, early.text);
    desk.receive(&prack(&early, 2));
    let sent = desk.sent();
    assert_eq!(sent[0].header("CSeq").unwrap(), "2 PRACK");
    assert_eq!(sent[1].header("CSeq").unwrap(), "1 INVITE");
    assert_eq!((sent[1].what().as_str(), sent[1].body()), ("200", ""));
    desk.receive(&ack(&early));
    assert!(matches!(desk.event(), Event::Confirmed { body: None, .. }));
    desk.pass(ms(50_000));
    desk.nothing_sent();
}

#[test]
fn a_2xx_whose_prack_never_comes_is_a_504() {
    let mut desk = Desk::new();
    let (call, _) = early(&mut desk, CAN);
    assert!(desk.ua.answer(desk.now, call, ANSWER.into()));
    desk.pass(ms(32_000));
    assert_eq!(desk.sent().pop().unwrap().what(), "504");
    assert!(refused_with_504(desk.event()));
    desk.ends_empty();
}

#[test]
fn a_2xx_does_not_wait_for_the_prack_of_a_180_which_may_still_come() {
    let mut desk = Desk::new();
    let call = called(&mut desk, MUST, OFFER);
    desk.ua.ring(desk.now, call, 180, None);
    let ringing = desk.one();
    desk.ua.ring(desk.now, call, 183, Some(ANSWER.into()));
    assert!(desk.ua.answer(desk.now, call, ANSWER.into()));
    let answer = desk.one();
    assert_eq!((answer.what().as_str(), answer.body()), ("200", ANSWER));
    desk.receive(&ack(&ringing));
    assert!(matches!(desk.event(), Event::Confirmed { .. }));
    desk.pass(ms(10_000));
    desk.nothing_sent();
    desk.receive(&prack(&ringing, 2));
    assert_eq!(desk.sent_what(), ["200"], "the 183 comes no more");
    desk.receive(&prack(&ringing, 3));
    assert_eq!(desk.one().what(), "481");
    desk.no_event();
}

#[test]
fn a_prack_of_something_else_gets_481_and_one_that_cannot_be_read_400() {
    let mut desk = Desk::new();
    let (_, early) = early(&mut desk, CAN);
    let good = rseq(&early);
    for (cseq, wrong) in [
        (2, format!("{} 1 INVITE", good + 1)),
        (3, format!("{good} 2 INVITE")),
        (4, format!("{good} 1 UPDATE")),
    ] {
        desk.receive(&rack(&early, cseq, &wrong));
        assert_eq!(desk.one().what(), "481", "{wrong}");
    }
    for (cseq, bad) in [(5, "x"), (6, "0 1 INVITE"), (7, "1 INVITE")] {
        desk.receive(&rack(&early, cseq, bad));
        assert_eq!(desk.one().what(), "400", "{bad}");
    }
    desk.receive(&prack(&early, 8));
    assert_eq!(desk.one().what(), "200");
    desk.receive(&prack(&early, 8));
    assert_eq!(desk.one().what(), "200", "a copy gets the same answer");
    desk.receive(&prack(&early, 9));
    assert_eq!(desk.one().what(), "481");
    desk.pass(ms(50_000));
    desk.nothing_sent();
}

#[test]
fn a_cancel_before_the_prack_ends_the_call_and_what_is_sent_again() {
    for answers in [false, true] {
        let mut desk = Desk::new();
        let (call, early) = early(&mut desk, CAN);
        if answers {
            assert!(desk.ua.answer(desk.now, call, ANSWER.into()));
        }
        desk.receive(&request("CANCEL", 1, "z9hG4bKinv", "", "", ""));
        assert_eq!(desk.sent_what(), ["200", "487"]);
        assert!(matches!(
            desk.event(),
            Event::Ended {
                cause: EndCause::Cancelled { .. },
                ..
            }
        ));
        desk.receive(&ack(&early).replace("z9hG4bKack", "z9hG4bKinv"));
        desk.receive(&prack(&early, 2));
        assert_eq!(desk.one().what(), "481");
        desk.pass(ms(50_000));
        desk.nothing_sent();
        desk.ends_empty();
    }
}

#[test]
fn a_bye_before_the_prack_ends_the_call() {
    let mut desk = Desk::new();
    let (_, early) = early(&mut desk, CAN);
    let tag = early.tag(HeaderName::To);
    desk.receive(&request("BYE", 2, "z9hG4bKbye", &tag, "", ""));
    assert_eq!(desk.sent_what(), ["200", "487"]);
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
}

#[test]
fn a_call_that_is_hung_up_while_its_2xx_waits_is_refused() {
    let mut desk = Desk::new();
    let (call, early) = early(&mut desk, CAN);
    assert!(desk.ua.answer(desk.now, call, ANSWER.into()));
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().what(), "480");
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.receive(&prack(&early, 2));
    assert_eq!(desk.one().what(), "481");
    desk.ends_empty();
}

#[test]
fn a_ringing_call_says_so_every_minute_by_another_one_than_was_acknowledged() {
    let mut desk = Desk::new();
    let (_, first) = early(&mut desk, CAN);
    desk.receive(&prack(&first, 2));
    desk.sent();
    desk.pass(ms(60_000));
    let plain = desk.one();
    assert_eq!((plain.what().as_str(), plain.body()), ("183", ""));
    assert_eq!(plain.header("RSeq"), None);
    let mut desk = Desk::new();
    let (_, first) = early(&mut desk, MUST);
    desk.receive(&prack(&first, 2));
    desk.sent();
    desk.pass(ms(60_000));
    let next = desk.one();
    assert_eq!((rseq(&next), next.body()), (rseq(&first) + 1, ""));
    desk.receive(&prack(&next, 3));
    assert_eq!(desk.one().what(), "200");
}

#[test]
fn who_offers_nothing_gets_our_offer_in_the_2xx_only() {
    for says in [CAN, MUST] {
        let mut desk = Desk::new();
        let call = called(&mut desk, says, "");
        desk.ua.ring(desk.now, call, 183, Some(OFFER.into()));
        let rang = desk.sent();
        match says {
            MUST => assert!(rang.is_empty(), "the first would have to offer something"),
            _ => assert_eq!((rang[0].header("RSeq"), rang[0].body()), (None, "")),
        }
        assert!(desk.ua.answer(desk.now, call, OFFER.into()));
        assert_eq!(desk.one().body(), OFFER);
    }
}
