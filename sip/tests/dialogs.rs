//! What calls promise within a dialog: order, routes, targets, offers (RFC 3261 §12, §14, §15).
#![allow(missing_docs)]

mod support;

use offhook_sip::message::HeaderName;
use offhook_sip::{EndCause, Event, Transport};
use support::*;

#[test]
fn a_caller_reverses_the_record_route_and_a_callee_takes_it_as_it_stands() {
    let routes = "Record-Route: <sip:127.0.0.1:5091;lr>, <sip:127.0.0.1:5092;lr>\r\n";
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    desk.receive(&respond(
        &invite,
        200,
        "them",
        &format!("{routes}{CONTACT}"),
        ANSWER,
    ));
    let ack = desk.one();
    let reversed = ["<sip:127.0.0.1:5092;lr>", "<sip:127.0.0.1:5091;lr>"];
    assert_eq!(ack.headers(HeaderName::Route), reversed);
    assert_eq!(ack.start(), "ACK sip:them@127.0.0.1:5070 SIP/2.0");
    assert_eq!(
        ack.flow.remote.port(),
        5092,
        "the first route is the next hop"
    );
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().headers(HeaderName::Route), reversed);

    let mut desk = Desk::new();
    desk.receive(&request(
        "INVITE",
        1,
        "z9hG4bKi",
        "",
        &format!("{routes}{CONTACT}"),
        OFFER,
    ));
    let call = incoming(&mut desk);
    desk.ua.answer(desk.now, call, ANSWER.into());
    let ok = desk.sent().pop().unwrap();
    assert_eq!(
        ok.headers(HeaderName::RecordRoute),
        ["<sip:127.0.0.1:5091;lr>, <sip:127.0.0.1:5092;lr>"],
        "a 200 copies Record-Route"
    );
    desk.receive(&request(
        "ACK",
        1,
        "z9hG4bKa",
        &ok.tag(HeaderName::To),
        "",
        "",
    ));
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    let as_received = ["<sip:127.0.0.1:5091;lr>", "<sip:127.0.0.1:5092;lr>"];
    assert_eq!(bye.headers(HeaderName::Route), as_received);
    assert_eq!(bye.flow.remote.port(), 5091);
}

fn incoming(desk: &mut Desk) -> offhook_sip::CallHandle {
    match desk.event() {
        Event::Incoming { call, .. } => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_strict_router_takes_the_request_uris_place() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    let routes = "Record-Route: <sip:127.0.0.1:5092;lr>, <sip:127.0.0.1:5091>\r\n";
    desk.receive(&respond(
        &invite,
        200,
        "them",
        &format!("{routes}{CONTACT}"),
        ANSWER,
    ));
    let ack = desk.one();
    assert_eq!(ack.start(), "ACK sip:127.0.0.1:5091 SIP/2.0");
    let wanted = ["<sip:127.0.0.1:5092;lr>", "<sip:them@127.0.0.1:5070>"];
    assert_eq!(ack.headers(HeaderName::Route), wanted);
}

#[test]
fn a_private_contact_behind_a_public_double_record_route_is_reached_by_the_route() {
    let mut desk = Desk::new().from("54.172.60.0:5060");
    let (call, invite) = desk.call(None);
    let fields = "Record-Route: <sip:172.25.75.1;lr;r2=on>, <sip:54.172.60.0;lr;r2=on>\r\n\
                  Contact: <sip:172.25.40.62:5060>\r\n";
    desk.receive(&respond(&invite, 200, "them", fields, ANSWER));
    let ack = desk.one();
    assert_eq!(ack.flow.remote, "54.172.60.0:5060".parse().unwrap());
    assert_eq!(ack.start(), "ACK sip:172.25.40.62:5060 SIP/2.0");
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().flow.remote, "54.172.60.0:5060".parse().unwrap());
}

#[test]
fn a_peer_behind_nat_is_reached_where_it_was_heard_from() {
    let mut desk = Desk::new().from("54.172.60.9:6000");
    let (_, invite) = desk.call(None);
    let contact = "Contact: <sip:them@192.168.1.7:5060>\r\n";
    desk.receive(&respond(&invite, 200, "them", contact, ANSWER));
    assert_eq!(desk.one().flow.remote, "54.172.60.9:6000".parse().unwrap());
}

#[test]
fn requests_within_a_dialog_go_over_the_inbound_connection_and_fall_back_to_the_route() {
    let mut desk = Desk::over_tcp().from("127.0.0.1:40001");
    let (call, _) = desk.pick_up();
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    assert_eq!(reinvite.flow, desk.flow);
    desk.receive(&respond(&reinvite, 488, "", "", ""));
    desk.sent();
    desk.ua.flow_closed(desk.now, desk.flow);
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    assert_eq!(bye.flow.transport, Transport::Tcp);
    assert_eq!(
        bye.flow.remote,
        "127.0.0.1:5070".parse().unwrap(),
        "the Contact's address"
    );
}

#[test]
fn requests_follow_the_peer_to_a_new_connection() {
    let mut desk = Desk::over_tcp().from("127.0.0.1:40001");
    let (call, tag) = desk.pick_up();
    desk.flow.remote = "127.0.0.1:40002".parse().unwrap();
    desk.receive(&request("INFO", 2, "z9hG4bKinfo", &tag, "", ""));
    desk.sent();
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().flow.remote.port(), 40002);
}

#[test]
fn dialogs_are_matched_by_call_id_and_tags_only() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    let bye = request("BYE", 2, "z9hG4bKbye", &tag, "", "")
        .replace(
            "<sip:us@127.0.0.1>",
            "<sip:someone@else.example;transport=tls>",
        )
        .replace("<sip:them@127.0.0.1>", "<sip:+1@carrier.example:5060>");
    desk.receive(&bye);
    assert_eq!(desk.one().what(), "200");
    assert!(matches!(
        desk.event(),
        Event::Ended {
            cause: EndCause::RemoteBye { .. },
            ..
        }
    ));
}

#[test]
fn a_request_for_a_dialog_that_is_not_ours_gets_481() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    let wrong_call_id = request("BYE", 2, "z9hG4bK1", &tag, "", "").replace("call-1", "call-2");
    let wrong_remote = request("BYE", 2, "z9hG4bK2", &tag, "", "").replace("tag=them", "tag=us");
    let wrong_local = request("BYE", 2, "z9hG4bK3", "0123456789abcdef", "", "");
    for text in [wrong_call_id, wrong_remote, wrong_local] {
        desk.receive(&text);
        assert_eq!(desk.one().what(), "481");
    }
    desk.no_event();
}

#[test]
fn a_lower_cseq_gets_500_and_changes_nothing() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    desk.receive(&request("INFO", 10, "z9hG4bK1", &tag, "", ""));
    assert_eq!(desk.one().what(), "200");
    desk.receive(&request("BYE", 9, "z9hG4bK2", &tag, "", ""));
    assert_eq!(desk.one().what(), "500");
    desk.no_event();
    desk.receive(&request("BYE", 11, "z9hG4bK3", &tag, "", ""));
    assert_eq!(desk.one().what(), "200");
}

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
    assert_eq!(
        desk.sent().pop().unwrap().start(),
        "BYE sip:them@127.0.0.1:5072 SIP/2.0"
    );
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
        assert!(ok.header("Session-Expires").is_none() && ok.header("Require").is_none());
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
fn both_sides_hanging_up_at_once_end_the_call_once() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    desk.receive(&request("BYE", 2, "z9hG4bK2", &tag, "", ""));
    assert_eq!(desk.one().what(), "200");
    desk.receive(&respond(&bye, 481, "", "", ""));
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
fn info_is_reported_with_its_type() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    let text = request("INFO", 2, "z9hG4bKi", &tag, "", "Signal=5\r\n")
        .replace("application/sdp", "application/dtmf-relay");
    desk.receive(&text);
    assert_eq!(desk.one().what(), "200");
    match desk.event() {
        Event::Info {
            content_type, body, ..
        } => {
            assert_eq!(
                (content_type.as_str(), &*body),
                ("application/dtmf-relay", &b"Signal=5\r\n"[..])
            );
        }
        other => panic!("{other:?}"),
    }
    desk.receive(&text);
    assert_eq!(desk.one().what(), "200", "a retransmission is answered");
    desk.no_event();
}
