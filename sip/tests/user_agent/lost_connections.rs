//! Calls whose connection is gone, at a peer that is known by a name.

use offhook_sip::message::HeaderName;
use offhook_sip::{CallHandle, EndCause, Event, Flow, Transport};

use crate::support::*;

const EDGE: &str = "sip:edge.carrier.example:5071;transport=tls;lr";
const CONTACT_BY_NAME: &str = "Contact: <sip:them@desk.carrier.example;transport=tls>\r\n";

/// Answers a call that came over a connection which the peer had opened; returns our tag too.
fn talk(fields: &str) -> (Desk, CallHandle, String) {
    let mut desk = Desk {
        flow: flow(Transport::Tls, "127.0.0.1:40001"),
        ..Desk::new()
    };
    desk.receive(&request("INVITE", 1, "z9hG4bKinv", "", fields, OFFER));
    assert_eq!(desk.one().what(), "100");
    let Event::Incoming { call, .. } = desk.event() else {
        panic!("no call")
    };
    desk.ua.answer(desk.now, call, ANSWER.into());
    let tag = desk.one().tag(HeaderName::To);
    desk.receive(&request("ACK", 1, "z9hG4bKack", &tag, "", ""));
    assert!(matches!(desk.event(), Event::Confirmed { .. }));
    (desk, call, tag)
}

/// Closes the connection; returns the URI that is to be looked up.
fn next_hop(desk: &mut Desk, call: CallHandle) -> String {
    let gone = desk.flow;
    desk.ua.flow_closed(desk.now, gone);
    match desk.event() {
        Event::ConnectionLost {
            call: of,
            next_hop,
            lost,
        } => {
            assert_eq!((of, lost), (call, gone));
            next_hop
        }
        other => panic!("{other:?}"),
    }
}

/// Where the name leads.
fn found(desk: &Desk) -> Flow {
    Flow {
        remote: "127.0.0.7:5061".parse().unwrap(),
        ..desk.flow
    }
}

#[test]
fn a_bye_waits_until_the_peers_name_is_found() {
    let (mut desk, call, _) = talk(CONTACT_BY_NAME);
    let next = next_hop(&mut desk, call);
    assert_eq!(next, "sip:them@desk.carrier.example;transport=tls");
    desk.ua.hang_up(desk.now, call, None);
    desk.nothing_sent();
    let found = found(&desk);
    desk.ua.reroute_call(call, found);
    let bye = desk.one();
    assert_eq!((bye.what().as_str(), bye.flow), ("BYE", found));
    desk.receive(&respond(&bye, 200, "", "", ""));
    let ended = desk.event();
    let cause = EndCause::LocalBye;
    assert!(matches!(ended, Event::Ended { cause: c, .. } if c == cause));
    desk.ends_empty();
}

#[test]
fn a_bye_that_met_the_end_of_the_connection_is_sent_again_where_the_name_leads() {
    let (mut desk, call, _) = talk(CONTACT_BY_NAME);
    desk.ua.hang_up(desk.now, call, None);
    let lost = desk.one();
    next_hop(&mut desk, call);
    let found = found(&desk);
    desk.ua.reroute_call(call, found);
    let bye = desk.one();
    assert_eq!((bye.flow, bye.branch()), (found, lost.branch()));
    // It does not wait for ever.
    desk.pass(ms(32_000));
    let events = desk.events();
    assert!(
        matches!(events[..], [Event::Unanswered { flow, .. }, Event::Ended { .. }] if flow == found),
        "{events:?}"
    );
    desk.ends_empty();
}

#[test]
fn a_bye_that_met_the_end_of_the_connection_goes_to_the_address_that_the_peer_has_written() {
    let (mut desk, call, _) = talk(CONTACT);
    desk.ua.hang_up(desk.now, call, None);
    let lost = desk.one();
    desk.ua.flow_closed(desk.now, desk.flow);
    let bye = desk.one();
    assert_eq!(bye.flow.remote, "127.0.0.1:5070".parse().unwrap());
    assert_eq!(bye.branch(), lost.branch());
    desk.receive(&respond(&bye, 200, "", "", ""));
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
}

#[test]
fn a_bye_is_sent_again_once_however_many_connections_end() {
    let (mut desk, call, _) = talk(CONTACT_BY_NAME);
    desk.ua.hang_up(desk.now, call, None);
    desk.one();
    next_hop(&mut desk, call);
    let found = found(&desk);
    desk.ua.reroute_call(call, found);
    desk.one();
    desk.ua.flow_closed(desk.now, found);
    let ended = desk.events().pop().unwrap();
    let cause = EndCause::Transport;
    assert!(matches!(ended, Event::Ended { cause: c, .. } if c == cause));
    desk.ends_empty();
}

#[test]
fn the_first_of_the_route_set_is_the_next_hop_and_requests_keep_their_order() {
    let fields = format!("Record-Route: <{EDGE}>\r\n{CONTACT_BY_NAME}");
    let (mut desk, call, _) = talk(&fields);
    assert_eq!(next_hop(&mut desk, call), EDGE);
    // Once is enough.
    desk.ua.flow_closed(desk.now, desk.flow);
    desk.no_event();
    desk.ua.info(
        desk.now,
        call,
        "application/dtmf-relay",
        b"Signal=1".to_vec(),
    );
    desk.ua.hang_up(desk.now, call, None);
    desk.nothing_sent();
    let found = found(&desk);
    desk.ua.reroute_call(call, found);
    let sent = desk.sent();
    let what: Vec<String> = sent.iter().map(Sent::what).collect();
    assert_eq!(what, ["INFO", "BYE"]);
    for sent in sent {
        assert_eq!(sent.flow, found);
        assert_eq!(sent.header("Route").unwrap(), format!("<{EDGE}>"));
        desk.receive(&respond(&sent, 200, "", "", ""));
    }
    desk.ends_empty();
}

#[test]
fn a_peer_that_speaks_over_another_connection_first_is_answered_there() {
    let (mut desk, call, tag) = talk(CONTACT_BY_NAME);
    next_hop(&mut desk, call);
    desk.ua.hang_up(desk.now, call, None);
    desk.nothing_sent();
    desk.flow.remote = "127.0.0.1:40002".parse().unwrap();
    desk.receive(&request("INFO", 2, "z9hG4bKinfo", &tag, "", ""));
    let sent = desk.sent();
    assert!(sent.iter().all(|sent| sent.flow == desk.flow));
    let mut what = sent.iter().map(Sent::what);
    assert!(what.any(|what| what == "BYE"), "{sent:?}");
    // What is found later is not needed.
    let found = found(&desk);
    desk.ua.reroute_call(call, found);
    desk.nothing_sent();
    desk.ends_empty();
}

#[test]
fn a_request_whose_way_is_never_found_times_out() {
    let (mut desk, call, _) = talk(CONTACT_BY_NAME);
    next_hop(&mut desk, call);
    desk.ua.hang_up(desk.now, call, None);
    desk.pass(ms(32_000));
    desk.nothing_sent();
    let ended = desk.event();
    assert!(matches!(
        ended,
        Event::Ended {
            cause: EndCause::Timeout,
            ..
        }
    ));
    desk.ends_empty();
}

#[test]
fn a_request_over_a_connection_that_nobody_answers_puts_it_in_doubt() {
    let (mut desk, call, _) = talk(CONTACT);
    let (gone, since) = (desk.flow, desk.now);
    desk.ua.hang_up(desk.now, call, None);
    assert_eq!(desk.one().what(), "BYE");
    desk.pass(ms(32_000));
    let mut events = desk.events().into_iter();
    let doubted = events.next().unwrap();
    assert!(
        matches!(doubted, Event::Unanswered { flow, since: s } if (flow, s) == (gone, since)),
        "{doubted:?}"
    );
    assert!(matches!(events.next(), Some(Event::Ended { .. })));
    // Datagrams come and go.
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    desk.ua.hang_up(desk.now, call, None);
    desk.pass(ms(32_000));
    assert!(matches!(desk.event(), Event::Ended { .. }));
}
