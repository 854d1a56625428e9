//! Whose a request is, in which order, and where ours go (RFC 3261 §12, §15).

use offhook_sip::message::HeaderName;
use offhook_sip::{EndCause, Event, Transport};

use crate::support::*;

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
fn a_response_whose_connection_is_gone_goes_to_the_vias_own_port() {
    let mut desk = Desk::over_tcp().from("127.0.0.1:40001");
    let (call, _) = desk.ring();
    desk.ua.flow_closed(desk.now, desk.flow);
    desk.ua.answer(desk.now, call, ANSWER.into());
    assert_eq!(desk.one().flow.remote, "127.0.0.1:5070".parse().unwrap());
    desk.pass(ms(500));
    assert_eq!(desk.one().flow.remote, "127.0.0.1:5070".parse().unwrap());
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

#[test]
fn a_contact_that_cannot_be_reached_from_here_is_left_for_where_the_peer_was_heard_from() {
    for contact in [
        "10.0.0.5:5066",
        "0.0.0.0:5066",
        "127.0.0.1:0",
        "[2001:db8::1]:5060",
    ] {
        let mut desk = Desk::new();
        let (_, invite) = desk.call(None);
        let fields = format!("Contact: <sip:them@{contact}>\r\n");
        desk.receive(&respond(&invite, 200, "them", &fields, ANSWER));
        assert_eq!(desk.one().flow.remote, desk.flow.remote, "{contact}");
    }
}
