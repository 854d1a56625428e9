//! Calls that we place (RFC 3261 §13.2, §9.1, §15).

use offhook_sip::message::HeaderName;
use offhook_sip::{EndCause, Event};

use crate::support::*;

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
    for _ in 0..2 {
        desk.receive(&respond(&invite, 100, "", "", ""));
    }
    assert!(
        matches!(desk.event(), Event::Trying { .. }),
        "it is told once"
    );
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
    desk.events();
    desk.receive(&respond(&invite, 487, "them", "", ""));
    let cause = desk.event();
    assert!(
        matches!(
            cause,
            Event::Ended {
                cause: EndCause::Timeout,
                ..
            }
        ),
        "{cause:?}"
    );
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
