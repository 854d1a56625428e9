//! Re-INVITE and UPDATE, theirs and ours (RFC 3261 §14, RFC 3311, RFC 4028).

use offhook_sip::{EndCause, Event};

use crate::support::*;

#[test]
fn our_cseq_rises_over_reinvite_info_and_bye() {
    let mut desk = Desk::new();
    let (call, invite) = desk.talk();
    let mut numbers = vec![invite.cseq()];
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    numbers.push(reinvite.cseq());
    desk.receive(&respond(&reinvite, 200, "", CONTACT, ANSWER));
    assert_eq!(
        desk.one().cseq(),
        reinvite.cseq(),
        "an ACK has its INVITE's number"
    );
    desk.ua.info(
        desk.now,
        call,
        "application/dtmf-relay",
        b"Signal=5".to_vec(),
    );
    numbers.push(desk.one().cseq());
    desk.ua.hang_up(desk.now, call, None);
    numbers.push(desk.one().cseq());
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn a_reinvite_moves_the_target_and_a_refused_one_does_not() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    let moved = |port: u16| format!("Contact: <sip:them@127.0.0.1:{port}>\r\n");
    desk.receive(&request("INVITE", 2, "z9hG4bK1", &tag, &moved(5071), OFFER));
    desk.events();
    desk.ua.answer_reoffer(desk.now, call, Err(488));
    desk.sent();
    desk.receive(&request("INVITE", 3, "z9hG4bK2", &tag, &moved(5072), OFFER));
    desk.events();
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
    desk.sent();
    desk.receive(&request("ACK", 3, "z9hG4bK3", &tag, "", ""));
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.sent().pop().unwrap();
    assert_eq!(bye.start(), "BYE sip:them@127.0.0.1:5072 SIP/2.0");
    assert_eq!(bye.flow.remote, "127.0.0.1:5072".parse().unwrap());
}

#[test]
fn an_update_without_an_offer_moves_the_target_too() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    let moved = "Contact: <sip:them@127.0.0.1:5073>\r\n";
    desk.receive(&request("UPDATE", 2, "z9hG4bK1", &tag, moved, ""));
    assert_eq!(desk.one().what(), "200");
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().flow.remote, "127.0.0.1:5073".parse().unwrap());
}

#[test]
fn the_answer_to_our_reinvite_moves_the_target_and_its_ack_goes_there() {
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    let moved = "Contact: <sip:them@127.0.0.1:5074>\r\n";
    desk.receive(&respond(&reinvite, 200, "", moved, ANSWER));
    let ack = desk.one();
    assert_eq!(ack.start(), "ACK sip:them@127.0.0.1:5074 SIP/2.0");
    assert_eq!(ack.flow.remote, "127.0.0.1:5074".parse().unwrap());
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().flow.remote, "127.0.0.1:5074".parse().unwrap());
}

#[test]
fn a_moved_target_leaves_a_proxys_route_a_connection_and_a_nat_as_they_are() {
    let moved = "Contact: <sip:them@127.0.0.1:5075>\r\n";
    let bye_after = |mut desk: Desk, invite_fields: &str, via: &str| {
        let to_us = |text: String| text.replace("127.0.0.1:5070;rport", via);
        let fields = format!("{CONTACT}{invite_fields}");
        let invite = request("INVITE", 1, "z9hG4bKi", "", &fields, OFFER);
        desk.receive(&to_us(invite));
        desk.sent();
        let Some(Event::Incoming { call, .. }) = desk.events().pop() else {
            panic!("no call")
        };
        desk.ua.answer(desk.now, call, ANSWER.into());
        let tag = desk.one().tag(offhook_sip::message::HeaderName::To);
        desk.receive(&to_us(request("ACK", 1, "z9hG4bKa", &tag, "", "")));
        desk.receive(&to_us(request("INVITE", 2, "z9hG4bKr", &tag, moved, OFFER)));
        desk.ua
            .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
        desk.receive(&to_us(request("ACK", 2, "z9hG4bKb", &tag, "", "")));
        desk.sent();
        desk.ua.hang_up(desk.now, call, None);
        let bye = desk.one();
        assert_eq!(bye.what(), "BYE");
        bye.flow.remote.to_string()
    };
    let proxy = "Record-Route: <sip:127.0.0.1:5070;lr>\r\n";
    let as_is = "127.0.0.1:5070;rport";
    assert_eq!(bye_after(Desk::new(), proxy, as_is), "127.0.0.1:5070");
    assert_eq!(bye_after(Desk::over_tcp(), "", as_is), "127.0.0.1:5070");
    let natted = "10.0.0.9:5060;rport";
    assert_eq!(bye_after(Desk::new(), "", natted), "127.0.0.1:5070");
    assert_eq!(bye_after(Desk::new(), "", as_is), "127.0.0.1:5075");
}

#[test]
fn a_session_refresh_by_reinvite_is_answered_with_the_sessions_own_description() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    let refresh = "Session-Expires: 1800;refresher=uac\r\nSupported: timer\r\n";
    for cseq in 2..=20 {
        let branch = format!("z9hG4bK{cseq}");
        let fields = format!("{refresh}{CONTACT}");
        desk.receive(&request("INVITE", cseq, &branch, &tag, &fields, OFFER));
        assert_eq!(desk.one().what(), "100");
        match desk.event() {
            Event::Reoffer { offer, .. } => assert_eq!(offer.as_deref(), Some(OFFER.as_bytes())),
            other => panic!("{other:?}"),
        }
        desk.ua
            .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
        let ok = desk.one();
        assert_eq!((ok.what().as_str(), ok.body()), ("200", ANSWER));
        let timer = (ok.header("Session-Expires"), ok.header("Require"));
        assert_eq!(
            timer,
            (Some("1800;refresher=uac".into()), Some("timer".into()))
        );
        desk.receive(&request("ACK", cseq, &format!("{branch}a"), &tag, "", ""));
        assert!(matches!(desk.event(), Event::Confirmed { body: None, .. }));
        desk.pass(ms(900_000));
        desk.sent();
        desk.no_event();
    }
    assert_eq!(desk.ua.call_count(), 1, "the call lives on for hours");
}

#[test]
fn a_session_refresh_by_update_without_a_body_is_answered_at_once() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    let fields = format!("Session-Expires: 90;refresher=uac\r\n{CONTACT}");
    desk.receive(&request("UPDATE", 2, "z9hG4bKu", &tag, &fields, ""));
    let ok = desk.one();
    assert_eq!(ok.what(), "200");
    assert!(ok.header("Contact").is_some());
    desk.no_event();
}

#[test]
fn a_reinvite_without_an_offer_gets_ours_and_the_ack_brings_the_answer() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    desk.receive(&request("INVITE", 2, "z9hG4bK2", &tag, CONTACT, ""));
    desk.sent();
    assert!(matches!(desk.event(), Event::Reoffer { offer: None, .. }));
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(OFFER.into())));
    assert_eq!(desk.one().body(), OFFER);
    desk.receive(&request("ACK", 2, "z9hG4bK3", &tag, "", ANSWER));
    match desk.event() {
        Event::Confirmed { body, .. } => assert_eq!(body.as_deref(), Some(ANSWER.as_bytes())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_update_with_an_offer_is_answered_without_an_ack() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    desk.receive(&request("UPDATE", 2, "z9hG4bKu", &tag, CONTACT, OFFER));
    desk.nothing_sent();
    assert!(matches!(
        desk.event(),
        Event::Reoffer { offer: Some(_), .. }
    ));
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
    assert_eq!(desk.one().body(), ANSWER);
    desk.pass(ms(60_000));
    desk.nothing_sent();
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn a_second_reinvite_before_the_first_is_answered_gets_500_with_retry_after() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    desk.receive(&request("INVITE", 2, "z9hG4bK2", &tag, CONTACT, OFFER));
    desk.sent();
    desk.receive(&request("INVITE", 3, "z9hG4bK3", &tag, CONTACT, OFFER));
    let refused = desk.one();
    assert_eq!(refused.what(), "500");
    assert!(
        refused
            .header("Retry-After")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            <= 10
    );
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
    assert_eq!(desk.one().what(), "200");
}

#[test]
fn glare_is_answered_491_and_our_own_offer_is_tried_again_after_the_back_off() {
    for (owner, least_ms, most_ms) in [(true, 2100, 4000), (false, 0, 2000)] {
        let mut desk = Desk::new();
        let (call, theirs) = match owner {
            true => {
                let (call, invite) = desk.talk();
                (call, request_back(&invite, "INVITE", 1, CONTACT, OFFER))
            }
            false => {
                let (call, tag) = desk.pick_up();
                (
                    call,
                    request("INVITE", 2, "z9hG4bKglare", &tag, CONTACT, OFFER),
                )
            }
        };
        desk.ua.reinvite(desk.now, call, OFFER.into());
        let ours = desk.one();
        desk.receive(&theirs);
        assert_eq!(desk.one().what(), "491");
        desk.receive(&respond(&ours, 491, "", "", ""));
        assert_eq!(desk.one().what(), "ACK");
        desk.no_event();
        let start = desk.now;
        while desk.now - start < ms(4100) {
            desk.pass(ms(10));
            let again = desk.sent().into_iter().find(|sent| sent.what() == "INVITE");
            if let Some(again) = again {
                let waited = desk.now - start;
                assert!(
                    waited >= ms(least_ms) && waited <= ms(most_ms + 10),
                    "{waited:?}"
                );
                assert_eq!(again.cseq(), ours.cseq() + 1);
                desk.receive(&respond(&again, 200, "", CONTACT, ANSWER));
                break;
            }
        }
        assert_eq!(desk.one().what(), "ACK");
        assert!(matches!(
            desk.event(),
            Event::ReofferAnswered {
                result: Ok(Some(_)),
                ..
            }
        ));
    }
}

#[test]
fn a_refused_reinvite_leaves_the_call_as_it_was() {
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    desk.receive(&respond(&reinvite, 488, "", "", ""));
    assert_eq!(desk.one().what(), "ACK");
    assert!(matches!(
        desk.event(),
        Event::ReofferAnswered {
            result: Err(488),
            ..
        }
    ));
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn a_reinvite_that_the_peer_knows_no_dialog_for_ends_the_call() {
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    desk.receive(&respond(&reinvite, 481, "", "", ""));
    assert_eq!(desk.sent_what(), ["ACK", "BYE"]);
    assert!(matches!(
        desk.event(),
        Event::Ended {
            cause: EndCause::Lost,
            ..
        }
    ));
    desk.ends_empty();
}

#[test]
fn a_reinvite_that_nobody_answers_ends_the_call() {
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    desk.ua.reinvite(desk.now, call, OFFER.into());
    desk.pass(ms(32_000));
    assert_eq!(desk.sent().last().unwrap().what(), "BYE");
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
fn a_reinvite_that_is_only_worked_on_is_cancelled_and_the_call_goes_on() {
    for answer in [Some(487), Some(200), None] {
        let mut desk = Desk::new();
        let (call, _) = desk.talk();
        desk.ua.reinvite(desk.now, call, OFFER.into());
        let reinvite = desk.one();
        desk.receive(&respond(&reinvite, 100, "", "", ""));
        desk.pass(ms(35_900));
        desk.nothing_sent();
        desk.pass(ms(200));
        let cancel = desk.one();
        assert_eq!(
            (cancel.what(), cancel.cseq()),
            ("CANCEL".into(), reinvite.cseq())
        );
        desk.receive(&respond(&cancel, 200, "", "", ""));
        let told = match answer {
            Some(487) => {
                desk.receive(&respond(&reinvite, 487, "", "", ""));
                Err(487)
            }
            // The answer crosses the CANCEL: it holds.
            Some(_) => {
                desk.receive(&respond(&reinvite, 200, "", CONTACT, ANSWER));
                Ok(Some(ANSWER.into()))
            }
            None => {
                desk.pass(ms(32_100));
                Err(408)
            }
        };
        let event = desk.event();
        assert!(
            matches!(&event, Event::ReofferAnswered { result, .. } if *result == told),
            "{event:?}"
        );
        assert_eq!(desk.ua.call_count(), 1);
    }
}

#[test]
fn an_offer_that_is_made_while_another_is_in_flight_is_refused_and_that_one_goes_on() {
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let first = desk.one();
    let second = format!("{OFFER}a=x\r\n").into_bytes();
    desk.ua.reinvite(desk.now, call, second.clone());
    desk.nothing_sent();
    let settled = |event: Event| match event {
        Event::ReofferAnswered { offer, result, .. } => (offer, result),
        other => panic!("{other:?}"),
    };
    assert_eq!(settled(desk.event()), (second, Err(491)));
    desk.receive(&respond(&first, 200, "", CONTACT, ANSWER));
    assert_eq!(desk.sent_what(), ["ACK"]);
    let answer = (OFFER.into(), Ok(Some(ANSWER.into())));
    assert_eq!(settled(desk.event()), answer);
}

#[test]
fn an_offer_that_waits_while_the_peers_is_answered_is_to_be_made_anew() {
    for accepted in [true, false] {
        let mut desk = Desk::new();
        let (call, tag) = desk.pick_up();
        desk.receive(&request("INVITE", 2, "z9hG4bK2", &tag, CONTACT, OFFER));
        assert_eq!(desk.one().what(), "100");
        assert!(matches!(desk.event(), Event::Reoffer { .. }));
        desk.ua.reinvite(desk.now, call, OFFER.into());
        desk.nothing_sent();
        let answer = if accepted {
            Ok(Some(ANSWER.into()))
        } else {
            Err(488)
        };
        desk.ua.answer_reoffer(desk.now, call, answer);
        desk.sent();
        if !accepted {
            // What ours counts from holds still.
            desk.no_event();
            desk.pass(ms(500));
            assert!(desk.sent_what().contains(&"INVITE".to_owned()));
            continue;
        }
        assert!(matches!(desk.event(), Event::ReofferOvertaken { .. }));
        desk.receive(&request("ACK", 2, "z9hG4bK2ack", &tag, CONTACT, ""));
        assert!(matches!(desk.event(), Event::Confirmed { .. }));
        desk.pass(ms(4_000));
        desk.nothing_sent();
        desk.ua.reinvite(desk.now, call, OFFER.into());
        assert_eq!(desk.one().what(), "INVITE");
    }
}

#[test]
fn a_bye_answers_a_pending_reinvite_with_487() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    desk.receive(&request("INVITE", 2, "z9hG4bK2", &tag, CONTACT, OFFER));
    desk.sent();
    desk.events();
    desk.receive(&request("BYE", 3, "z9hG4bK3", &tag, "", ""));
    assert_eq!(desk.sent_what(), ["200", "487"]);
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
}

#[test]
fn a_cancelled_reinvite_gets_487_and_the_call_goes_on() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    desk.receive(&request("INVITE", 2, "z9hG4bK2", &tag, CONTACT, OFFER));
    desk.sent();
    desk.events();
    desk.receive(&request("CANCEL", 2, "z9hG4bK2", &tag, "", ""));
    assert_eq!(desk.sent_what(), ["200", "487"]);
    desk.no_event();
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
    desk.nothing_sent();
    desk.receive(&request("INVITE", 3, "z9hG4bK3", &tag, CONTACT, OFFER));
    assert!(matches!(desk.event(), Event::Reoffer { .. }));
}

#[test]
fn a_retransmitted_reinvite_gets_the_answer_that_it_got_before() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    let twice = request(
        "INVITE",
        2,
        "z9hG4bK2",
        &tag,
        &format!("Require: none\r\n{CONTACT}"),
        OFFER,
    );
    desk.receive(&twice);
    let first = desk.one();
    assert_eq!(
        (first.what(), first.header("Unsupported")),
        ("420".into(), Some("none".into()))
    );
    desk.receive(&twice);
    assert_eq!(desk.one().text, first.text);
}

#[test]
fn a_reinvite_that_hears_its_100_only_after_the_call_has_ended_is_forgotten() {
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    desk.receive(&respond(&bye, 200, "", "", ""));
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.receive(&respond(&reinvite, 100, "", "", ""));
    desk.ends_empty();
}
