//! Peers behind WebSockets (RFC 7118), who are where their connection is and nowhere else.

use offhook_sip::{Event, Source, Transport};

use crate::access::guarded;
use crate::strangers::answering;
use crate::support::*;

const PAGE: &str = "203.0.113.9:51000";
const CONTACT_OF_PAGE: &str = "Contact: <sip:q7@df7jal23ls0d.invalid;transport=ws;ob>\r\n";

fn over(transport: Transport) -> Desk {
    let mut desk = Desk::new().from(PAGE);
    desk.flow.transport = transport;
    desk
}

#[test]
fn we_write_the_transport_as_browsers_expect_it_and_repeat_nothing() {
    for (transport, via) in [
        (Transport::Ws, "SIP/2.0/WS 127.0.0.1:5060;"),
        (Transport::Wss, "SIP/2.0/WSS 127.0.0.1:5060;"),
    ] {
        let mut desk = over(transport);
        let (_, invite) = desk.call(None);
        let said = invite.header("Via").unwrap();
        assert!(said.starts_with(via), "{said}");
        let contact = invite.header("Contact").unwrap();
        assert!(
            contact.contains("127.0.0.1:5060;transport=ws>"),
            "{contact}"
        );
        desk.pass(ms(5_000));
        desk.nothing_sent();
    }
}

#[test]
fn requests_within_a_call_go_over_the_connection_though_the_contact_is_nobodys() {
    let mut desk = over(Transport::Wss);
    let (call, invite) = desk.call(None);
    desk.receive(&respond(&invite, 200, "them", CONTACT_OF_PAGE, ANSWER));
    let ack = desk.one();
    assert_eq!(ack.flow, desk.flow);
    assert_eq!(
        ack.start(),
        "ACK sip:q7@df7jal23ls0d.invalid;transport=ws;ob SIP/2.0"
    );
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    assert_eq!((bye.what().as_str(), bye.flow), ("BYE", desk.flow));
}

#[test]
fn a_connection_that_is_gone_is_not_replaced_by_an_address_that_its_peer_has_written() {
    let mut desk = over(Transport::Ws);
    let (call, invite) = desk.call(None);
    // Another page behind the same NAT could have this port.
    let contact = "Contact: <sip:q7@203.0.113.9:51001;transport=ws>\r\n";
    desk.receive(&respond(&invite, 200, "them", contact, ANSWER));
    desk.sent();
    desk.ua.flow_closed(desk.now, desk.flow);
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().flow, desk.flow);
    desk.ua.transport_failed(desk.now, desk.flow);
    desk.ends_empty();
}

#[test]
fn a_call_goes_on_over_the_connection_that_its_peer_opens_next() {
    let mut desk = over(Transport::Wss);
    let (call, invite) = desk.call(None);
    desk.receive(&respond(&invite, 200, "them", CONTACT_OF_PAGE, ANSWER));
    desk.sent();
    desk.ua.flow_closed(desk.now, desk.flow);
    desk.flow.remote.set_port(51_002);
    desk.receive(&request_back(&invite, "INFO", 2, "", ""));
    assert_eq!(desk.one().what(), "200");
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().flow, desk.flow);
}

#[test]
fn an_invite_that_waits_for_an_answer_fails_with_its_connection() {
    let mut desk = over(Transport::Wss);
    let (_, invite) = desk.call(None);
    desk.receive(&respond(&invite, 180, "them", CONTACT_OF_PAGE, ""));
    desk.events();
    desk.ua.flow_closed(desk.now, desk.flow);
    assert!(matches!(desk.event(), Event::Rejected { status: 503, .. }));
}

#[test]
fn neither_a_trunks_network_nor_this_machine_vouches_for_a_page() {
    let status = |transport, remote: &str| {
        let mut settings = guarded();
        settings.access.open_loopback = true;
        let mut desk = Desk::with(settings).from(remote);
        desk.flow.transport = transport;
        desk.receive(&request(
            "INVITE",
            1,
            "z9hG4bKi",
            "",
            CONTACT_OF_PAGE,
            OFFER,
        ));
        desk.one().what()
    };
    for remote in ["54.172.60.2:5060", "127.0.0.1:5070"] {
        assert_eq!(status(Transport::Tcp, remote), "100", "{remote}");
        assert_eq!(status(Transport::Ws, remote), "401", "{remote}");
        assert_eq!(status(Transport::Wss, remote), "401", "{remote}");
    }
}

#[test]
fn a_page_that_nobody_could_vouch_for_is_refused() {
    let mut desk = over(Transport::Ws).from("127.0.0.1:5070");
    desk.receive(&request(
        "INVITE",
        1,
        "z9hG4bKi",
        "",
        CONTACT_OF_PAGE,
        OFFER,
    ));
    assert_eq!(desk.one().what(), "403");
}

#[test]
fn a_user_who_proves_it_calls_from_a_page() {
    let mut desk = Desk::with(guarded()).from(PAGE);
    desk.flow.transport = Transport::Wss;
    let text = request("INVITE", 1, "z9hG4bKi", "", CONTACT_OF_PAGE, OFFER);
    desk.receive(&text);
    let challenge = desk.one();
    assert_eq!(challenge.what(), "401");
    desk.receive(&answering(&text, &challenge, "alice", "alice-secret"));
    assert_eq!(desk.one().what(), "100");
    let Event::Incoming { invite, .. } = desk.event() else {
        panic!("no call")
    };
    assert_eq!(invite.source, Source::User("alice".into()));
}
