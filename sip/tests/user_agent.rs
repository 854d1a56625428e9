//! Calls out and in, against a peer that the test plays message by message.
#![allow(missing_docs)]

mod support;

use offhook_sip::message::HeaderName;
use offhook_sip::{
    Access, Advertise, EndCause, Event, OptionsPing, PingError, Reason, Settings, Source, Timers,
    TrunkPeer, UserSecret,
};
use support::*;

// --- calling ---------------------------------------------------------------------------------

#[test]
fn an_answered_call_is_acknowledged_and_hung_up() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    assert_eq!(
        invite.start(),
        "INVITE sip:+12025550123@trunk.example SIP/2.0"
    );
    assert!(
        invite
            .header("Via")
            .unwrap()
            .starts_with("SIP/2.0/UDP 127.0.0.1:5060;rport;branch=")
    );
    assert_eq!(
        invite.header("Contact").unwrap(),
        "<sip:+12025550100@127.0.0.1:5060>"
    );
    assert_eq!(invite.header("Max-Forwards").unwrap(), "70");
    assert_eq!(invite.body(), OFFER);
    desk.receive(&respond(&invite, 100, "", "", ""));
    desk.receive(&respond(&invite, 180, "them", CONTACT, ""));
    assert!(matches!(
        desk.event(),
        Event::Progress {
            status: 180,
            body: None,
            ..
        }
    ));
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    match desk.event() {
        Event::Answered { body, .. } => assert_eq!(body.as_deref(), Some(ANSWER.as_bytes())),
        other => panic!("{other:?}"),
    }
    let ack = desk.one();
    assert_eq!(ack.start(), "ACK sip:them@127.0.0.1:5070 SIP/2.0");
    assert_ne!(
        ack.branch(),
        invite.branch(),
        "the ACK of a 2xx is a transaction of its own"
    );
    desk.ua.hang_up(desk.now, call, Some("Q.850;cause=16"));
    let bye = desk.one();
    assert_eq!(bye.header("Reason").unwrap(), "Q.850;cause=16");
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
fn early_media_is_progress_and_no_answer() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    desk.receive(&respond(&invite, 183, "them", CONTACT, ANSWER));
    match desk.event() {
        Event::Progress {
            status: 183,
            body: Some(body),
            ..
        } => assert_eq!(body, ANSWER.as_bytes()),
        other => panic!("{other:?}"),
    }
    desk.nothing_sent();
}

#[test]
fn a_retransmitted_2xx_is_acknowledged_again_by_the_same_ack() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    let ok = respond(&invite, 200, "them", CONTACT, ANSWER);
    desk.receive(&ok);
    let ack = desk.one();
    desk.events();
    for _ in 0..3 {
        desk.receive(&ok);
        assert_eq!(desk.one().text, ack.text);
    }
    desk.no_event();
}

#[test]
fn a_forked_2xx_is_acknowledged_and_hung_up() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    desk.receive(&respond(&invite, 200, "one", CONTACT, ANSWER));
    desk.sent();
    desk.events();
    let other = "Contact: <sip:two@127.0.0.1:5071>\r\n";
    let second = respond(&invite, 200, "two", other, ANSWER);
    desk.receive(&second);
    let sent = desk.sent();
    assert_eq!(sent[0].start(), "ACK sip:two@127.0.0.1:5071 SIP/2.0");
    assert_eq!(sent[1].start(), "BYE sip:two@127.0.0.1:5071 SIP/2.0");
    assert_eq!(sent[1].tag(HeaderName::To), "two");
    desk.no_event();
    desk.receive(&second);
    assert_eq!(
        desk.one().what(),
        "ACK",
        "the fork's retransmission is acknowledged only"
    );
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(
        desk.one().tag(HeaderName::To),
        "one",
        "the first answer is the call"
    );
}

#[test]
fn a_fork_that_confirms_another_early_dialog_is_the_call() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    desk.receive(&respond(&invite, 180, "one", CONTACT, ""));
    desk.receive(&respond(&invite, 183, "two", CONTACT, ANSWER));
    desk.receive(&respond(&invite, 200, "one", CONTACT, ANSWER));
    assert_eq!(desk.one().tag(HeaderName::To), "one");
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().tag(HeaderName::To), "one");
}

#[test]
fn a_refusal_is_acknowledged_by_the_transaction_and_reported_with_its_fields() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    let fields = "X-Twilio-Error: 32203 suppressed\r\nRetry-After: 30 (busy)\r\n";
    desk.receive(&respond(&invite, 603, "them", fields, ""));
    let ack = desk.one();
    assert_eq!(ack.start(), "ACK sip:+12025550123@trunk.example SIP/2.0");
    assert_eq!(ack.branch(), invite.branch(), "§17.1.1.3");
    assert_eq!(
        ack.header("To").unwrap(),
        "<sip:+12025550123@trunk.example>;tag=them"
    );
    assert_eq!(ack.header("CSeq").unwrap(), "1 ACK");
    match desk.event() {
        Event::Rejected {
            status: 603,
            reason,
            retry_after_s: Some(30),
            headers,
            ..
        } => {
            assert_eq!(reason, "Reason");
            assert!(headers.contains(&("X-Twilio-Error".into(), "32203 suppressed".into())));
        }
        other => panic!("{other:?}"),
    }
    desk.ends_empty();
}

#[test]
fn silence_is_408_and_a_dead_transport_is_503() {
    let mut desk = Desk::new();
    desk.call(None);
    desk.pass(ms(32_000));
    assert!(matches!(desk.event(), Event::Rejected { status: 408, .. }));
    assert_eq!(desk.sent_what(), ["INVITE"; 6]);
    desk.call(None);
    desk.ua.transport_failed(desk.now, desk.flow);
    assert!(matches!(desk.event(), Event::Rejected { status: 503, .. }));
    desk.ends_empty();
}

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    desk.ua.hang_up(desk.now, call, Some("SIP;cause=200"));
    desk.nothing_sent();
    desk.receive(&respond(&invite, 100, "", "", ""));
    let cancel = desk.one();
    assert_eq!(
        cancel.start(),
        "CANCEL sip:+12025550123@trunk.example SIP/2.0"
    );
    assert_eq!(cancel.branch(), invite.branch());
    assert_eq!(cancel.header("CSeq").unwrap(), "1 CANCEL");
    assert_eq!(
        cancel.header("To"),
        invite.header("To"),
        "there is no to-tag yet"
    );
    assert_eq!(cancel.header("Reason").unwrap(), "SIP;cause=200");
    desk.receive(&respond(&cancel, 200, "proxy", "", ""));
    desk.no_event();
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
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    desk.receive(&respond(&invite, 180, "them", CONTACT, ""));
    desk.events();
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().what(), "CANCEL");
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    let sent = desk.sent();
    assert_eq!(
        sent.iter().map(|s| s.what()).collect::<Vec<_>>(),
        ["ACK", "BYE"]
    );
    desk.no_event();
    desk.receive(&respond(&sent[1], 200, "", "", ""));
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
fn a_cancelled_call_without_a_final_response_is_forgotten_after_64_t1() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    desk.receive(&respond(&invite, 180, "them", CONTACT, ""));
    desk.ua.hang_up(desk.now, call, None);
    desk.events();
    desk.pass(ms(31_900));
    desk.no_event();
    desk.pass(ms(200));
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
fn a_call_that_only_rings_is_cancelled_by_timer_c() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    desk.receive(&respond(&invite, 180, "them", CONTACT, ""));
    desk.pass(ms(170_000));
    desk.receive(&respond(&invite, 180, "them", CONTACT, ""));
    desk.pass(ms(170_000));
    assert_eq!(
        desk.sent_what(),
        Vec::<String>::new(),
        "it starts anew at each response"
    );
    desk.pass(ms(10_001));
    assert_eq!(desk.sent()[0].what(), "CANCEL");
}

#[test]
fn a_challenge_is_answered_with_the_next_number_and_the_same_call_id() {
    for (status, asks, answers) in [
        (401, "WWW-Authenticate", "Authorization"),
        (407, "Proxy-Authenticate", "Proxy-Authorization"),
    ] {
        let mut desk = Desk::new();
        let (_, invite) = desk.call(Some(credentials("example-password-1")));
        let challenge = format!(
            "{asks}: Digest realm=\"sip.twilio.com\",qop=\"auth\",nonce=\"a+b/c==\",opaque=\"7978\"\r\n"
        );
        desk.receive(&respond(&invite, status, "proxy", &challenge, ""));
        let sent = desk.sent();
        assert_eq!(sent[0].what(), "ACK");
        let again = &sent[1];
        assert_eq!((again.what().as_str(), again.cseq()), ("INVITE", 2));
        assert_eq!(again.header("Call-ID"), invite.header("Call-ID"));
        assert_eq!(again.header("From"), invite.header("From"));
        assert_eq!(
            again.header("To"),
            invite.header("To"),
            "without the proxy's tag"
        );
        assert_ne!(again.branch(), invite.branch());
        assert_eq!(again.body(), OFFER);
        let answer = again.header(answers).unwrap();
        assert!(answer.contains("opaque=\"7978\"") && answer.contains("nonce=\"a+b/c==\""));
        desk.receive(&respond(again, 200, "them", CONTACT, ANSWER));
        let ack = desk.one();
        assert_eq!(ack.cseq(), 2);
        assert_eq!(
            ack.header(answers),
            Some(answer),
            "§13.2.2.4: the same credentials"
        );
        assert!(matches!(desk.event(), Event::Answered { .. }));
    }
}

#[test]
fn a_wrong_password_ends_the_call_instead_of_looping() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(Some(credentials("wrong")));
    let mut last = invite;
    for round in 0..10 {
        let challenge = format!("Proxy-Authenticate: Digest realm=\"r\", nonce=\"n{round}\"\r\n");
        desk.receive(&respond(&last, 407, "proxy", &challenge, ""));
        match desk.sent().into_iter().find(|sent| sent.what() == "INVITE") {
            Some(again) => last = again,
            None => {
                assert!(round <= 2, "a fresh nonce is tried once more");
                assert!(matches!(desk.event(), Event::Rejected { status: 407, .. }));
                return desk.ends_empty();
            }
        }
    }
    panic!("it never ends");
}

#[test]
fn a_challenge_without_credentials_is_a_refusal() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    desk.receive(&respond(&invite, 407, "proxy", challenge, ""));
    assert_eq!(desk.one().what(), "ACK");
    assert!(matches!(desk.event(), Event::Rejected { status: 407, .. }));
}

#[test]
fn a_challenged_bye_is_answered() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(Some(credentials("p")));
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    desk.sent();
    desk.events();
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    desk.receive(&respond(&bye, 407, "", challenge, ""));
    let again = desk.one();
    assert_eq!(
        (again.what().as_str(), again.cseq()),
        ("BYE", bye.cseq() + 1)
    );
    assert!(again.header("Proxy-Authorization").is_some());
    desk.no_event();
    desk.receive(&respond(&again, 200, "", "", ""));
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
fn a_bye_that_nobody_answers_still_ends_the_call() {
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    desk.ua.hang_up(desk.now, call, None);
    desk.pass(ms(32_000));
    assert!(matches!(
        desk.event(),
        Event::Ended {
            cause: EndCause::Timeout,
            ..
        }
    ));
    desk.ends_empty();
}

#[test]
fn a_preloaded_route_is_kept_by_ack_and_cancel() {
    let mut desk = Desk::new();
    let mut invite = invite(desk.flow, None);
    invite.route = vec!["<sip:pstn.ashburn.twilio.com;lr>".into()];
    invite.headers = vec![
        ("X-Campaign".into(), "a\r\nEvil: 1".into()),
        ("Max-Forwards".into(), "20".into()),
    ];
    let call = desk.ua.invite(desk.now, invite).unwrap();
    let sent = desk.one();
    assert_eq!(
        sent.header("Route").unwrap(),
        "<sip:pstn.ashburn.twilio.com;lr>"
    );
    assert_eq!(sent.header("Max-Forwards").unwrap(), "20");
    assert!(
        sent.header("Evil").is_none(),
        "no header field can be smuggled in"
    );
    desk.receive(&respond(&sent, 180, "t", "", ""));
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().header("Route"), sent.header("Route"));
    desk.receive(&respond(&sent, 487, "t", "", ""));
    assert_eq!(desk.one().header("Route"), sent.header("Route"));
}

#[test]
fn what_cannot_be_written_is_an_error_and_sends_nothing() {
    let mut desk = Desk::new();
    for (uri, from) in [
        ("not a uri", "sip:a@b"),
        ("sip:a@b", "<sip:>"),
        ("", "sip:a@b"),
    ] {
        let mut invite = invite(desk.flow, None);
        invite.request_uri = uri.into();
        invite.from = from.into();
        assert!(desk.ua.invite(desk.now, invite).is_err(), "{uri} {from}");
    }
    desk.nothing_sent();
    assert_eq!(desk.ua.call_count(), 0);
}

// --- being called ----------------------------------------------------------------------------

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
        "Reason: SIP;cause=200\r\n",
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
            assert_eq!(reason.as_deref(), Some("SIP;cause=200"));
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

// --- requests that are no calls --------------------------------------------------------------

#[test]
fn options_is_answered_with_what_we_can_do_and_nothing_is_kept() {
    let mut desk = Desk::new();
    desk.receive(&request("OPTIONS", 1, "z9hG4bKo", "", "", ""));
    let ok = desk.one();
    assert_eq!(ok.what(), "200");
    assert!(ok.header("Allow").unwrap().contains("INVITE"));
    assert_eq!(ok.header("Accept").unwrap(), "application/sdp");
    assert_eq!(desk.ua.transaction_count(), 0);
    desk.receive(&request("OPTIONS", 1, "z9hG4bKo", "", "", ""));
    assert_eq!(
        desk.one().text,
        ok.text,
        "a retransmission is answered alike"
    );
}

#[test]
fn options_with_a_bare_address_whose_tag_is_a_header_parameter_is_answered() {
    let mut desk = Desk::new();
    let text = request("OPTIONS", 1, "z9hG4bKo", "", "", "").replace(
        "From: \"Them\" <sip:them@127.0.0.1>;tag=them",
        "From: sip:ping@didww.example;tag=x",
    );
    desk.receive(&text);
    assert_eq!(desk.one().what(), "200");
}

#[test]
fn unknown_methods_get_501_and_unserved_ones_405_both_with_allow() {
    let mut desk = Desk::new();
    for (method, status) in [
        ("DANCE", "501"),
        ("MESSAGE", "405"),
        ("SUBSCRIBE", "405"),
        ("REGISTER", "405"),
    ] {
        desk.receive(&request(method, 1, &format!("z9hG4bK{method}"), "", "", ""));
        let refused = desk.one();
        assert_eq!(refused.what(), status, "{method}");
        assert!(refused.header("Allow").unwrap().contains("INVITE, ACK"));
    }
    for method in ["BYE", "INFO", "UPDATE", "PRACK"] {
        desk.receive(&request(method, 1, &format!("z9hG4bK{method}"), "", "", ""));
        assert_eq!(desk.one().what(), "481", "{method}");
    }
    desk.ends_empty();
}

#[test]
fn malformed_datagrams_are_counted_and_answered_400_where_that_is_allowed() {
    let mut desk = Desk::new();
    desk.receive("this is no SIP at all");
    desk.receive("\r\n\r\n");
    desk.nothing_sent();
    assert_eq!(
        (desk.ua.stats().malformed, desk.ua.stats().answered_400),
        (1, 0)
    );
    let broken = request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER);
    desk.receive(&broken.replace("CSeq: 1 INVITE", "CSeq: x INVITE"));
    let refused = desk.one();
    assert_eq!(refused.what(), "400");
    assert_eq!(refused.header("Call-ID").unwrap(), "call-1");
    desk.receive(&broken.replace("Content-Length: ", "Content-Length: 9"));
    assert_eq!(desk.one().what(), "400", "a body that was cut off");
    desk.receive(
        &broken
            .replace("INVITE", "ACK")
            .replace("CSeq: 1 ACK", "CSeq: x ACK"),
    );
    desk.nothing_sent();
    assert_eq!(
        (desk.ua.stats().malformed, desk.ua.stats().answered_400),
        (4, 2)
    );
    desk.no_event();
    assert!(desk.ua.is_idle());
}

#[test]
fn a_double_crlf_on_a_stream_is_answered_by_a_single_one() {
    let mut desk = Desk::over_tcp();
    desk.receive("\r\n\r\n");
    let transmit = desk.ua.poll_transmit().unwrap();
    assert_eq!(&*transmit.bytes, b"\r\n");
    desk.receive("\r\n");
    desk.nothing_sent();
}

#[test]
fn a_copy_that_came_another_way_gets_482() {
    let mut desk = Desk::new();
    desk.ring();
    desk.receive(&request("INVITE", 1, "z9hG4bKother", "", CONTACT, OFFER));
    assert_eq!(desk.one().what(), "482");
    desk.no_event();
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn our_own_call_that_comes_back_to_us_gets_482() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    let looped = invite.text.replacen(
        "Via: ",
        "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKproxy\r\nVia: ",
        1,
    );
    desk.receive(&looped);
    assert_eq!(desk.one().what(), "482");
    let spiral = looped.replace(
        "sip:+12025550123@trunk.example SIP",
        "sip:agent@us.example SIP",
    );
    desk.receive(&spiral);
    assert_eq!(
        desk.one().what(),
        "100",
        "another Request-URI is another destination"
    );
}

#[test]
fn required_extensions_that_we_lack_get_420() {
    let mut desk = Desk::new();
    let fields = format!("Require: 100rel, timer\r\n{CONTACT}");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", &fields, OFFER));
    let refused = desk.one();
    assert_eq!(refused.what(), "420");
    assert_eq!(refused.header("Unsupported").unwrap(), "100rel, timer");
}

#[test]
fn zero_hops_left_are_enough_to_reach_us() {
    let mut desk = Desk::new();
    let text = request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER);
    desk.receive(&text.replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(desk.one().what(), "100");
    assert!(matches!(desk.event(), Event::Incoming { .. }));
}

#[test]
fn stray_responses_are_counted_and_dropped() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    let ok = respond(&invite, 200, "them", CONTACT, ANSWER);
    desk.receive(&ok.replace(&invite.branch(), "z9hG4bK0123456789abcdef"));
    desk.receive(&ok.replace(
        "Via: ",
        "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx\r\nVia: ",
    ));
    desk.receive(
        &ok.replace("CSeq: 1 INVITE", "CSeq: 1 BYE")
            .replace(&invite.branch(), "z9hG4bKzz"),
    );
    desk.nothing_sent();
    desk.no_event();
    assert_eq!(desk.ua.stats().stray, 3);
}

// --- addresses -------------------------------------------------------------------------------

#[test]
fn responses_go_to_the_source_port_only_where_rport_asks_for_it() {
    let mut desk = Desk::new().from("203.0.113.9:61234");
    let text = request("OPTIONS", 1, "z9hG4bKo", "", "", "");
    desk.receive(&text);
    let ok = desk.one();
    assert_eq!(ok.flow.remote, "203.0.113.9:61234".parse().unwrap());
    let via = ok.header("Via").unwrap();
    assert!(
        via.contains(";rport=61234") && via.contains(";received=203.0.113.9"),
        "{via}"
    );
    desk.receive(&text.replace(";rport", ""));
    let ok = desk.one();
    assert_eq!(
        ok.flow.remote,
        "203.0.113.9:5070".parse().unwrap(),
        "the Via's own port"
    );
    assert!(ok.header("Via").unwrap().contains(";received=203.0.113.9"));
    desk.receive(&text.replace(";rport", ";maddr=198.51.100.1"));
    assert_eq!(
        desk.one().flow.remote.ip(),
        desk.flow.remote.ip(),
        "maddr is a weapon"
    );
}

#[test]
fn the_public_address_is_written_towards_all_but_local_networks() {
    let advertise = Advertise {
        public: Some("203.0.113.7".parse().unwrap()),
        local_networks: vec!["10.0.0.0/8".parse().unwrap()],
    };
    for (remote, wanted) in [
        ("54.172.60.1:5060", "203.0.113.7:5060"),
        ("10.0.0.9:5060", "10.0.0.1:5060"),
    ] {
        let mut desk = Desk::with(Settings {
            advertise: advertise.clone(),
            ..settings()
        })
        .from(remote);
        desk.flow.local = "10.0.0.1:5060".parse().unwrap();
        let (_, invite) = desk.call(None);
        assert!(invite.header("Via").unwrap().contains(wanted));
        assert!(invite.header("Contact").unwrap().contains(wanted));
        assert!(
            !invite.text.contains("10.0.0.1") || wanted.starts_with("10."),
            "{}",
            invite.text
        );
    }
}

// --- who may ---------------------------------------------------------------------------------

fn guarded() -> Settings {
    let user = |name: &str| UserSecret {
        name: name.into(),
        password: format!("{name}-secret"),
    };
    Settings {
        access: Access {
            trunks: vec![TrunkPeer {
                name: "twilio".into(),
                networks: vec!["54.172.60.0/30".parse().unwrap()],
            }],
            users: vec![user("alice"), user("bob")],
            realm: "offhook.example".into(),
            open_loopback: false,
        },
        ..settings()
    }
}

#[test]
fn a_trunk_is_known_by_its_network() {
    let mut desk = Desk::with(guarded()).from("54.172.60.2:5060");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER));
    let Event::Incoming { invite, .. } = desk.event() else {
        panic!("no call")
    };
    assert_eq!(invite.source, Source::Trunk("twilio".into()));
}

#[test]
fn strangers_are_refused_where_nobody_could_prove_anything() {
    let mut settings = settings();
    settings.access = Access::default();
    for remote in ["203.0.113.9:5060", "127.0.0.1:5070"] {
        let mut desk = Desk::with(settings.clone()).from(remote);
        desk.receive(&request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER));
        assert_eq!(desk.one().what(), "403");
        assert_eq!(
            (desk.ua.stats().refused, desk.ua.transaction_count()),
            (1, 0)
        );
        desk.no_event();
    }
}

#[test]
fn open_loopback_is_for_loopback_only() {
    let mut desk = Desk::new().from("203.0.113.9:5060");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER));
    assert_eq!(desk.one().what(), "403");
}

#[test]
fn a_challenge_is_sent_without_keeping_anything() {
    let mut desk = Desk::with(guarded()).from("203.0.113.9:5060");
    for copy in 1..=50 {
        desk.receive(&request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER));
        let challenge = desk.one();
        assert_eq!(challenge.what(), "401");
        assert_eq!(
            challenge.headers(HeaderName::WwwAuthenticate).len(),
            2,
            "SHA-256 and MD5"
        );
        assert_eq!(desk.ua.stats().challenged, copy);
    }
    desk.receive(&request("ACK", 1, "z9hG4bKi", "x", "", ""));
    desk.nothing_sent();
    assert!(
        desk.ua.is_idle(),
        "no transaction, no timer: nothing is amplified"
    );
}

/// Two user agents, one of which guards itself.
fn phone_calls(username: &str, password: &str) -> (Desk, Desk, Vec<String>) {
    let mut switch = Desk::with(guarded()).from("203.0.113.9:5060");
    let mut phone = Desk::with(Settings {
        seed: [9; 32],
        ..settings()
    })
    .from("198.51.100.1:5060");
    let credentials = offhook_sip::Credentials {
        username: username.into(),
        password: password.into(),
    };
    let (_, invite) = phone.call(Some(credentials));
    let mut said = Vec::new();
    let mut pending = vec![invite.text];
    while let Some(text) = pending.pop() {
        switch.receive(&text);
        for answer in switch.sent() {
            said.push(answer.what());
            phone.receive(&answer.text);
            pending.extend(phone.sent().into_iter().map(|sent| sent.text));
        }
    }
    (switch, phone, said)
}

#[test]
fn a_user_proves_who_it_is() {
    let (mut switch, _, said) = phone_calls("alice", "alice-secret");
    assert_eq!(said, ["401", "100"]);
    let Event::Incoming { invite, .. } = switch.event() else {
        panic!("no call")
    };
    assert_eq!(invite.source, Source::User("alice".into()));
}

#[test]
fn an_unknown_user_and_a_wrong_password_are_answered_alike() {
    let (mut known, mut phone, said_known) = phone_calls("alice", "guess");
    let (mut unknown, _, said_unknown) = phone_calls("mallory", "guess");
    assert_eq!(said_known, ["401", "403"]);
    assert_eq!(said_known, said_unknown);
    assert_eq!(
        (known.ua.stats().auth_failed, unknown.ua.stats().auth_failed),
        (1, 1)
    );
    assert!(matches!(phone.event(), Event::Rejected { status: 403, .. }));
    match (known.event(), unknown.event()) {
        (
            Event::AuthenticationFailed { username: one, .. },
            Event::AuthenticationFailed { username: two, .. },
        ) => assert_eq!((one.as_str(), two.as_str()), ("alice", "mallory")),
        other => panic!("{other:?}"),
    }
    let logged = format!("{:?}", guarded());
    assert!(!logged.contains("-secret"), "no secret in a log: {logged}");
}

// --- bounds ----------------------------------------------------------------------------------

#[test]
fn more_calls_than_allowed_get_503_with_retry_after() {
    let mut desk = Desk::with(Settings {
        max_calls: 1,
        retry_after_s: 7,
        ..settings()
    });
    desk.ring();
    let other = request("INVITE", 1, "z9hG4bKtwo", "", CONTACT, OFFER).replace("call-1", "call-2");
    desk.receive(&other);
    let refused = desk.one();
    assert_eq!(
        (
            refused.what().as_str(),
            refused.header("Retry-After").as_deref()
        ),
        ("503", Some("7"))
    );
    assert!(matches!(desk.event(), Event::Overloaded));
    desk.receive(&request("OPTIONS", 9, "z9hG4bKo", "", "", ""));
    assert_eq!(
        desk.one().what(),
        "503",
        "whoever watches us by OPTIONS learns it too"
    );
    assert!(desk.ua.invite(desk.now, invite(desk.flow, None)).is_err());
}

#[test]
fn transactions_are_bounded_and_a_call_can_still_be_ended() {
    let mut desk = Desk::with(Settings {
        max_transactions: 5,
        ..settings()
    });
    let (_, tag) = desk.pick_up();
    for cseq in 2..100 {
        desk.receive(&request(
            "INFO",
            cseq,
            &format!("z9hG4bK{cseq}"),
            &tag,
            "",
            "",
        ));
    }
    assert!(desk.ua.transaction_count() <= 5);
    assert!(desk.ua.stats().overloaded > 0);
    desk.sent();
    desk.receive(&request("BYE", 200, "z9hG4bKbye", &tag, "", ""));
    assert_eq!(desk.one().what(), "200");
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
}

#[test]
fn twenty_thousand_calls_leave_nothing_behind() {
    let mut desk = Desk::with(Settings {
        max_transactions: 1_000_000,
        ..settings()
    });
    for n in 0..20_000 {
        let (invite, ack, bye) = (
            format!("z9hG4bKi{n}"),
            format!("z9hG4bKa{n}"),
            format!("z9hG4bKb{n}"),
        );
        let id = format!("call-{n}x");
        let text = request("INVITE", 1, &invite, "", CONTACT, OFFER).replace("call-1", &id);
        desk.receive(&text);
        let Event::Incoming { call, .. } = desk.event() else {
            panic!("no call {n}")
        };
        match n % 4 {
            0 => desk.ua.reject(desk.now, call, 404, &[]),
            1 => desk.receive(&request("CANCEL", 1, &invite, "", "", "").replace("call-1", &id)),
            _ => {
                desk.ua.answer(desk.now, call, ANSWER.into());
                let tag = desk.sent().pop().unwrap().tag(HeaderName::To);
                desk.receive(&request("ACK", 1, &ack, &tag, "", "").replace("call-1", &id));
                desk.receive(&request("BYE", 2, &bye, &tag, "", "").replace("call-1", &id));
            }
        }
        desk.sent();
        desk.events();
        desk.pass(ms(2));
    }
    assert_eq!(desk.ua.call_count(), 0);
    desk.ends_empty();
}

// --- pings and wake-ups ----------------------------------------------------------------------

#[test]
fn a_ping_tells_whether_the_peer_is_there() {
    let mut desk = Desk::new();
    let ping = |desk: &Desk| OptionsPing {
        uri: "sip:trunk.example".into(),
        flow: desk.flow,
    };
    for status in [200, 404, 503] {
        let question = ping(&desk);
        desk.ua.options(desk.now, question).unwrap();
        let options = desk.one();
        desk.receive(&respond(&options, status, "t", "", ""));
        assert!(matches!(desk.event(), Event::Pong { result: Ok(got), .. } if got == status));
    }
    let question = ping(&desk);
    desk.ua.options(desk.now, question).unwrap();
    desk.pass(ms(32_000));
    assert!(matches!(
        desk.event(),
        Event::Pong {
            result: Err(PingError::Timeout),
            ..
        }
    ));
    let question = ping(&desk);
    desk.ua.options(desk.now, question).unwrap();
    desk.ua.transport_failed(desk.now, desk.flow);
    assert!(matches!(
        desk.event(),
        Event::Pong {
            result: Err(PingError::Transport),
            ..
        }
    ));
    desk.ends_empty();
}

#[test]
fn a_wake_up_says_what_it_is_for() {
    let mut desk = Desk::new();
    assert!(desk.ua.poll_timeout().is_none());
    desk.call(None);
    let (at, reason) = desk.ua.poll_timeout().unwrap();
    assert_eq!(at, desk.now + Timers::default().t1);
    assert!(matches!(reason, Reason::Transaction(_)));
    assert_eq!(reason.to_string(), "Timer A");
}
