//! Requests that are too large for a datagram (RFC 3261 §18.1.1).

use std::net::SocketAddr;

use offhook_sip::{CallHandle, Credentials, EndCause, Event, Flow, Transport};

use crate::support::*;

const CHALLENGE: &str = "Proxy-Authenticate: Digest realm=\"r\", qop=\"auth\", nonce=\"n\"\r\n";

/// Our end of connections.
fn listener() -> SocketAddr {
    "127.0.0.1:5065".parse().unwrap()
}

fn over_tcp(desk: &Desk) -> Flow {
    Flow {
        transport: Transport::Tcp,
        local: listener(),
        remote: desk.flow.remote,
    }
}

/// Calls with an INVITE of at least so many bytes, which may go over TCP.
fn call(desk: &mut Desk, bytes: usize, credentials: Option<Credentials>) -> (CallHandle, Sent) {
    let mut invite = invite(desk.flow, credentials);
    invite.stream = Some(listener());
    invite.headers = vec![("X-Padding".to_owned(), "x".repeat(bytes))];
    let call = desk.ua.invite(desk.now, invite).unwrap();
    (call, desk.one())
}

/// What the peer says over the connection.
fn receive_over_tcp(desk: &mut Desk, text: &str) {
    let flow = over_tcp(desk);
    desk.ua.receive(desk.now, flow, text.as_bytes());
}

#[test]
fn a_large_invite_goes_over_tcp_and_its_call_goes_on_over_udp() {
    let mut desk = Desk::new();
    let (call, invite) = call(&mut desk, 1300, None);
    assert_eq!(invite.flow, over_tcp(&desk));
    let via = invite.header("Via").unwrap();
    assert!(via.starts_with("SIP/2.0/TCP 127.0.0.1:5065;"), "{via}");
    let contact = invite.header("Contact").unwrap();
    assert!(!contact.contains("transport"), "{contact}");
    // A connection delivers: nothing is sent twice.
    desk.pass(ms(4_000));
    desk.nothing_sent();
    receive_over_tcp(&mut desk, &respond(&invite, 200, "them", CONTACT, ANSWER));
    let ack = desk.one();
    assert_eq!((ack.what().as_str(), ack.flow), ("ACK", desk.flow));
    assert!(ack.header("Via").unwrap().starts_with("SIP/2.0/UDP "));
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().flow, desk.flow);
}

#[test]
fn a_small_request_and_one_of_a_pinned_transport_go_over_udp() {
    let mut desk = Desk::new();
    let (_, small) = call(&mut desk, 10, None);
    assert_eq!(small.flow, desk.flow);
    let mut pinned = invite(desk.flow, None);
    pinned.headers = vec![("X-Padding".to_owned(), "x".repeat(1300))];
    desk.ua.invite(desk.now, pinned).unwrap();
    assert_eq!(desk.one().flow, desk.flow);
}

#[test]
fn an_invite_that_its_credentials_make_too_large_changes_to_tcp() {
    let mut desk = Desk::new();
    let (mut small, mut padding) = (call(&mut desk, 10, Some(credentials("secret"))).1, 10);
    padding += 1300 - small.text.len();
    small = call(&mut desk, padding, Some(credentials("secret"))).1;
    assert_eq!((small.text.len(), small.flow), (1300, desk.flow));
    desk.receive(&respond(&small, 407, "them", CHALLENGE, ""));
    let [ack, again] = desk.sent().try_into().unwrap();
    assert_eq!((ack.what().as_str(), ack.flow), ("ACK", desk.flow));
    assert_eq!(again.flow, over_tcp(&desk));
    assert!(again.header("Proxy-Authorization").is_some());
}

#[test]
fn who_takes_no_connection_gets_the_request_over_udp_and_is_not_asked_again_for_a_while() {
    let mut desk = Desk::new();
    let (_, first) = call(&mut desk, 1300, None);
    let stream = over_tcp(&desk);
    desk.ua.transport_failed(desk.now, stream);
    let again = desk.one();
    assert_eq!(again.flow, desk.flow);
    let via = again.header("Via").unwrap();
    assert!(via.starts_with("SIP/2.0/UDP 127.0.0.1:5060;"), "{via}");
    assert_eq!(again.branch(), first.branch());
    assert_eq!(again.cseq(), first.cseq());
    desk.no_event();
    // A datagram may be lost.
    desk.pass(ms(500));
    assert_eq!(desk.one().flow, desk.flow);
    desk.receive(&respond(&again, 200, "them", CONTACT, ANSWER));
    assert_eq!(desk.one().flow, desk.flow);
    assert!(matches!(desk.event(), Event::Answered { .. }));

    let (_, next) = call(&mut desk, 1300, None);
    assert_eq!(next.flow, desk.flow);
    desk.pass(ms(600_000));
    desk.sent();
    let (_, later) = call(&mut desk, 1300, None);
    assert_eq!(later.flow, stream);
}

#[test]
fn a_connection_that_closes_before_any_answer_took_nothing() {
    let mut desk = Desk::new();
    let (_, invite) = call(&mut desk, 1300, None);
    let stream = over_tcp(&desk);
    receive_over_tcp(&mut desk, &respond(&invite, 100, "", "", ""));
    desk.ua.flow_closed(desk.now, stream);
    desk.nothing_sent();
    let (_, _) = call(&mut desk, 1300, None);
    desk.ua.flow_closed(desk.now, stream);
    assert_eq!(desk.one().flow, desk.flow);
}

#[test]
fn a_call_that_was_given_up_meanwhile_is_not_placed_over_udp() {
    let mut desk = Desk::new();
    let (call, _) = call(&mut desk, 1300, None);
    desk.ua.hang_up(desk.now, call, None);
    let stream = over_tcp(&desk);
    desk.ua.transport_failed(desk.now, stream);
    desk.nothing_sent();
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
fn a_cancel_goes_the_way_of_its_invite() {
    let mut desk = Desk::new();
    let (call, invite) = call(&mut desk, 1300, None);
    receive_over_tcp(&mut desk, &respond(&invite, 180, "them", CONTACT, ""));
    desk.ua.hang_up(desk.now, call, None);
    let cancel = desk.one();
    assert_eq!(cancel.what(), "CANCEL");
    assert_eq!(
        (cancel.flow, cancel.header("Via")),
        (invite.flow, invite.header("Via"))
    );
}

#[test]
fn a_peer_that_asks_for_tcp_is_kept_on_its_connection() {
    let mut desk = Desk::new();
    let (_, invite) = call(&mut desk, 1300, None);
    let contact = "Contact: <sip:them@127.0.0.1:5070;transport=tcp>\r\n";
    receive_over_tcp(&mut desk, &respond(&invite, 200, "them", contact, ANSWER));
    assert_eq!(desk.one().flow, over_tcp(&desk));
}
