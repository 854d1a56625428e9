//! Requests that are no calls, and bytes that are no requests.

use offhook_sip::Event;

use crate::support::*;

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
    for method in ["BYE", "INFO", "UPDATE", "PRACK", "NOTIFY"] {
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
    let fields = format!("Require: precondition, timer\r\n{CONTACT}");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", &fields, OFFER));
    let refused = desk.one();
    assert_eq!(refused.what(), "420");
    assert_eq!(refused.header("Unsupported").unwrap(), "precondition");
    let (_, tag) = desk.pick_up();
    for (method, tag) in [("OPTIONS", ""), ("OPTIONS", &tag), ("INFO", &tag)] {
        let branch = format!("z9hG4bK{method}{tag}");
        desk.receive(&request(method, 2, &branch, tag, &fields, ""));
        let refused = desk.one();
        assert_eq!(refused.what(), "420", "{method}");
        assert_eq!(refused.header("Unsupported").unwrap(), "precondition");
    }
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
