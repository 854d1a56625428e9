//! Calls that come in (RFC 3261 §13.3, §9.2).

use offhook_sip::message::HeaderName;
use offhook_sip::{EndCause, Event, Source};

use crate::support::*;

#[test]
fn an_incoming_call_is_reported_rung_answered_and_confirmed() {
    let mut desk = Desk::new();
    let fields = format!("X-Twilio-CallSid: CA1\r\n{CONTACT}");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", &fields, OFFER));
    let trying = desk.one();
    assert_eq!(
        (trying.what().as_str(), trying.tag(HeaderName::To).as_str()),
        ("100", "")
    );
    let Event::Incoming { call, invite } = desk.event() else {
        panic!("no call")
    };
    assert_eq!(
        (invite.from.display.as_str(), invite.from.user.as_str()),
        ("Them", "them")
    );
    assert_eq!(
        (invite.to.user.as_str(), invite.source.clone()),
        ("us", Source::Local)
    );
    assert_eq!(invite.offer.as_deref(), Some(OFFER.as_bytes()));
    assert!(
        invite
            .headers
            .contains(&("X-Twilio-CallSid".into(), "CA1".into()))
    );
    desk.ua.ring(desk.now, call, 183, Some(ANSWER.into()));
    let early = desk.one();
    assert_eq!((early.what().as_str(), early.body()), ("183", ANSWER));
    desk.ua.answer(desk.now, call, ANSWER.into());
    let ok = desk.one();
    assert_eq!(ok.header("Contact").unwrap(), "<sip:us@127.0.0.1:5060>");
    assert_eq!(ok.tag(HeaderName::To), early.tag(HeaderName::To));
    assert!(ok.header("Allow").unwrap().contains("UPDATE"));
    desk.no_event();
    desk.receive(&request(
        "ACK",
        1,
        "z9hG4bKa",
        &ok.tag(HeaderName::To),
        "",
        "",
    ));
    assert!(matches!(desk.event(), Event::Confirmed { body: None, .. }));
    desk.pass(ms(60_000));
    desk.nothing_sent();
}

#[test]
fn a_2xx_is_repeated_until_its_ack_on_any_transport() {
    for mut desk in [Desk::new(), Desk::over_tcp()] {
        let (call, tag) = desk.ring();
        desk.ua.answer(desk.now, call, ANSWER.into());
        desk.sent();
        desk.pass(ms(8_000));
        assert_eq!(
            desk.sent_what(),
            ["200"; 4],
            "after 0.5, 1.5, 3.5 and 7.5 s"
        );
        desk.receive(&request("ACK", 1, "z9hG4bKa", &tag, "", ""));
        assert!(matches!(desk.event(), Event::Confirmed { .. }));
        desk.pass(ms(60_000));
        desk.nothing_sent();
        desk.receive(&request("ACK", 1, "z9hG4bKa", &tag, "", ""));
        desk.no_event();
    }
}

#[test]
fn an_answer_that_is_never_acknowledged_is_hung_up() {
    let mut desk = Desk::new();
    let (call, _) = desk.ring();
    desk.ua.answer(desk.now, call, ANSWER.into());
    desk.pass(ms(31_999));
    desk.no_event();
    assert!(desk.sent_what().iter().all(|what| what == "200"));
    desk.pass(ms(1));
    assert!(matches!(
        desk.event(),
        Event::Ended {
            cause: EndCause::NoAck,
            ..
        }
    ));
    assert_eq!(desk.sent()[0].what(), "BYE");
    assert_eq!(desk.ua.stats().no_ack, 1);
    desk.ends_empty();
}

#[test]
fn hanging_up_before_the_ack_waits_for_it() {
    let mut desk = Desk::new();
    let (call, tag) = desk.ring();
    desk.ua.answer(desk.now, call, ANSWER.into());
    desk.sent();
    desk.ua.hang_up(desk.now, call, None);
    desk.nothing_sent();
    desk.receive(&request("ACK", 1, "z9hG4bKa", &tag, "", ""));
    let bye = desk.one();
    assert_eq!(bye.what(), "BYE");
    desk.no_event();
    desk.receive(&respond(&bye, 200, "", "", ""));
    assert!(matches!(
        desk.event(),
        Event::Ended {
            cause: EndCause::LocalBye,
            ..
        }
    ));
    desk.ends_empty();
}

#[test]
fn a_retransmitted_invite_gets_the_last_answer_and_no_second_call() {
    let mut desk = Desk::new();
    let invite = request("INVITE", 1, "z9hG4bKinv", "", CONTACT, OFFER);
    let (call, _) = desk.ring();
    desk.receive(&invite);
    assert_eq!(desk.one().what(), "180");
    desk.ua.answer(desk.now, call, ANSWER.into());
    desk.sent();
    desk.receive(&invite);
    desk.nothing_sent();
    desk.no_event();
    assert_eq!(desk.ua.stats().retransmissions_received, 2);
}

#[test]
fn a_refusal_is_repeated_until_its_ack() {
    let mut desk = Desk::new();
    let (call, tag) = desk.ring();
    desk.ua.reject(
        desk.now,
        call,
        486,
        &[("Reason".into(), "Q.850;cause=17".into())],
    );
    let busy = desk.one();
    assert_eq!(
        (busy.what().as_str(), busy.tag(HeaderName::To)),
        ("486", tag.clone())
    );
    assert_eq!(busy.header("Reason").unwrap(), "Q.850;cause=17");
    assert!(busy.header("Contact").is_none());
    assert!(matches!(
        desk.event(),
        Event::Ended {
            cause: EndCause::Refused { status: 486 },
            ..
        }
    ));
    desk.pass(ms(500));
    assert_eq!(desk.one().what(), "486");
    desk.receive(&request("ACK", 1, "z9hG4bKinv", &tag, "", ""));
    desk.pass(ms(10_000));
    desk.nothing_sent();
    desk.ends_empty();
}

#[test]
fn a_cancel_ends_a_ringing_call_with_487() {
    let mut desk = Desk::new();
    let (_, tag) = desk.ring();
    let cancel = request(
        "CANCEL",
        1,
        "z9hG4bKinv",
        "",
        &format!(
            "Reason: SIP;cause=200\r\nReason: Q.850;cause=26\r\nReason: {}\r\n",
            "x".repeat(1_000)
        ),
        "",
    );
    desk.receive(&cancel);
    let sent = desk.sent();
    assert_eq!(
        sent.iter().map(|s| s.what()).collect::<Vec<_>>(),
        ["200", "487"]
    );
    assert!(
        sent.iter().all(|s| s.tag(HeaderName::To) == tag),
        "§9.2: one tag for both"
    );
    match desk.event() {
        Event::Ended {
            cause: EndCause::Cancelled { reason },
            ..
        } => {
            assert_eq!(
                reason.as_deref(),
                Some("SIP;cause=200, Q.850;cause=26"),
                "within bounds"
            );
        }
        other => panic!("{other:?}"),
    }
    desk.receive(&cancel);
    assert_eq!(desk.one().what(), "200", "a copy finds the same answer");
    desk.ends_empty();
}

#[test]
fn a_cancel_before_anything_was_sent_but_100_is_found_without_a_tag() {
    let mut desk = Desk::new();
    desk.receive(&request("INVITE", 1, "z9hG4bKinv", "", CONTACT, OFFER));
    assert_eq!(desk.one().what(), "100");
    desk.events();
    desk.receive(&request("CANCEL", 1, "z9hG4bKinv", "", "", ""));
    assert_eq!(desk.sent_what(), ["200", "487"]);
    assert!(matches!(
        desk.event(),
        Event::Ended {
            cause: EndCause::Cancelled { .. },
            ..
        }
    ));
}

#[test]
fn a_cancel_after_the_answer_changes_nothing_and_one_for_nothing_gets_481() {
    let mut desk = Desk::new();
    let (call, _) = desk.ring();
    desk.ua.answer(desk.now, call, ANSWER.into());
    desk.sent();
    desk.receive(&request("CANCEL", 1, "z9hG4bKinv", "", "", ""));
    assert_eq!(desk.one().what(), "200");
    desk.no_event();
    desk.receive(&request("CANCEL", 1, "z9hG4bKother", "", "", ""));
    assert_eq!(desk.one().what(), "481");
}

#[test]
fn a_ringing_call_repeats_its_ringing_every_minute_for_the_proxies() {
    let mut desk = Desk::new();
    desk.ring();
    desk.pass(ms(179_000));
    assert_eq!(desk.sent_what(), ["180", "180"]);
}

#[test]
fn hanging_up_on_a_ringing_call_refuses_it() {
    let mut desk = Desk::new();
    let (call, _) = desk.ring();
    desk.ua.hang_up(desk.now, call, Some("Q.850;cause=31"));
    let refused = desk.one();
    assert_eq!(
        (refused.what().as_str(), refused.header("Reason").as_deref()),
        ("480", Some("Q.850;cause=31"))
    );
    assert!(matches!(desk.event(), Event::Ended { .. }));
}

#[test]
fn a_call_without_an_offer_gets_ours_and_the_ack_brings_the_answer() {
    let mut desk = Desk::new();
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", CONTACT, ""));
    let Event::Incoming { call, invite } = desk.event() else {
        panic!("no call")
    };
    assert_eq!(invite.offer, None);
    desk.ua.answer(desk.now, call, OFFER.into());
    let ok = desk.sent().pop().unwrap();
    desk.receive(&request(
        "ACK",
        1,
        "z9hG4bKa",
        &ok.tag(HeaderName::To),
        "",
        ANSWER,
    ));
    match desk.event() {
        Event::Confirmed { body, .. } => assert_eq!(body.as_deref(), Some(ANSWER.as_bytes())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_offer_is_found_in_a_multipart_body() {
    let mut desk = Desk::new();
    let parts = format!(
        "--b1\r\nContent-Type: application/pidf+xml\r\n\r\n<x/>\r\n--b1\r\n\
         Content-Type: application/sdp\r\n\r\n{OFFER}\r\n--b1--\r\n"
    );
    let text = request("INVITE", 1, "z9hG4bKi", "", CONTACT, &parts).replace(
        "application/sdp\r\nContent-Length",
        "multipart/mixed;boundary=b1\r\nContent-Length",
    );
    desk.receive(&text);
    let Event::Incoming { invite, .. } = desk.event() else {
        panic!("no call")
    };
    assert_eq!(invite.offer.as_deref(), Some(OFFER.as_bytes()));
    assert_eq!(invite.content_type.as_deref(), Some("application/sdp"));
}

#[test]
fn our_contact_repeats_the_callee_as_it_was_written() {
    for (to, contact) in [
        ("<sip:a%20b@127.0.0.1>", "<sip:a%20b@127.0.0.1:5060>"),
        ("<tel:+12025550100>", "<sip:+12025550100@127.0.0.1:5060>"),
        ("<urn:service:sos>", "<sip:127.0.0.1:5060>"),
    ] {
        let mut desk = Desk::new();
        let text = request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER);
        desk.receive(&text.replace("To: <sip:us@127.0.0.1>", &format!("To: {to}")));
        let Event::Incoming { call, .. } = desk.event() else {
            panic!("no call")
        };
        desk.ua.answer(desk.now, call, ANSWER.into());
        assert_eq!(
            desk.sent().pop().unwrap().header("Contact").unwrap(),
            contact
        );
    }
}

#[test]
fn an_answer_that_a_cancel_has_overtaken_says_that_it_was_not_sent() {
    let mut desk = Desk::new();
    let (call, _) = desk.ring();
    desk.receive(&request("CANCEL", 1, "z9hG4bKinv", "", "", ""));
    assert_eq!(desk.sent_what(), ["200", "487"]);
    assert!(!desk.ua.answer(desk.now, call, ANSWER.into()));
    desk.nothing_sent();
    let mut desk = Desk::new();
    let (call, _) = desk.ring();
    assert!(desk.ua.answer(desk.now, call, ANSWER.into()));
}
