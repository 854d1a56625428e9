//! What is read of a next hop, and how much is looked up at a time.

use super::*;

fn lost(transport: Transport) -> Flow {
    Flow {
        transport,
        local: "192.0.2.1:5061".parse().unwrap(),
        remote: "192.0.2.2:40001".parse().unwrap(),
    }
}

#[test]
fn what_was_encrypted_stays_so_and_what_was_not_is_where_it_is_asked_for() {
    for (uri, before, after) in [
        ("sip:a@edge.test", Transport::Tls, Transport::Tls),
        (
            "sip:a@edge.test;transport=tcp",
            Transport::Tls,
            Transport::Tls,
        ),
        ("sip:a@edge.test", Transport::Tcp, Transport::Tcp),
        (
            "sip:a@edge.test;transport=udp",
            Transport::Tcp,
            Transport::Tcp,
        ),
        (
            "sip:a@edge.test;transport=TLS",
            Transport::Tcp,
            Transport::Tls,
        ),
        ("sips:a@edge.test", Transport::Tcp, Transport::Tls),
    ] {
        let hop = Hop::read(uri, lost(before)).unwrap();
        assert_eq!(
            (hop.host(), hop.transport, hop.port),
            ("edge.test", after, None),
            "{uri}"
        );
    }
    let hop = Hop::read("sip:edge.test:5071;lr", lost(Transport::Tls)).unwrap();
    assert_eq!(hop.port, Some(5071));
    assert_eq!(Hop::read("no uri", lost(Transport::Tls)), None);
}

#[test]
fn calls_with_one_next_hop_wait_for_one_look_up_and_there_are_so_many_at_a_time() {
    let mut agent = offhook_sip::UserAgent::new(offhook_sip::Settings::default());
    let mut call = || {
        let invite = offhook_sip::Invite {
            request_uri: "sip:a@edge.test".to_owned(),
            to: "sip:a@edge.test".to_owned(),
            from: "sip:us@us.test".to_owned(),
            route: Vec::new(),
            flow: lost(Transport::Tls),
            stream: None,
            credentials: None,
            body: Vec::new(),
            content_type: "application/sdp".to_owned(),
            headers: Vec::new(),
        };
        agent.invite(crate::clock::now(), invite).unwrap()
    };
    let hop = |n: usize| Hop::read(&format!("sip:edge{n}.test"), lost(Transport::Tls)).unwrap();
    let mut lookups = Lookups::default();
    let (first, second) = (call(), call());
    assert_eq!(lookups.join(&hop(0), first), Joined::First);
    assert_eq!(lookups.join(&hop(0), second), Joined::Waits);
    for n in 1..LOOKUPS_MAX {
        assert_eq!(lookups.join(&hop(n), first), Joined::First);
    }
    assert_eq!(lookups.join(&hop(LOOKUPS_MAX), first), Joined::Full);
    assert_eq!(lookups.join(&hop(0), call()), Joined::Waits);
    assert_eq!(lookups.take(&hop(0))[..2], [first, second]);
    assert!(lookups.take(&hop(0)).is_empty());
    assert_eq!(lookups.join(&hop(LOOKUPS_MAX), first), Joined::First);
}
