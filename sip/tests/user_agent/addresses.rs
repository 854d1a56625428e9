//! Where responses go, and which of our addresses we write.

use offhook_sip::{Advertise, Event, Invite, Settings, Transport};

use crate::support::*;

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

#[test]
fn a_dialog_that_is_to_be_secure_all_the_way_has_contacts_that_say_so() {
    let mut desk = Desk::new();
    desk.flow.transport = Transport::Tls;
    let call = |desk: &mut Desk, uri: &str, route: &[&str]| {
        let invite = Invite {
            request_uri: uri.to_owned(),
            route: route.iter().map(|&route| route.to_owned()).collect(),
            ..invite(desk.flow, None)
        };
        desk.ua.invite(desk.now, invite).unwrap();
        desk.one().header("Contact").unwrap().to_owned()
    };
    let secure = call(&mut desk, "sips:bob@example.com", &[]);
    assert!(secure.starts_with("<sips:"), "{secure}");
    let routed = call(
        &mut desk,
        "sip:bob@example.com",
        &["<sips:p.example.com;lr>"],
    );
    assert!(routed.starts_with("<sips:"), "{routed}");
    let plain = call(
        &mut desk,
        "sip:bob@example.com",
        &["<sip:p.example.com;lr>"],
    );
    assert!(
        plain.starts_with("<sip:") && plain.contains(";transport=tls"),
        "{plain}"
    );

    // Being called so is no different (§12.1.1).
    let asked = request("INVITE", 1, "z9hG4bKs", "", CONTACT, OFFER);
    desk.receive(&asked.replacen("INVITE sip:", "INVITE sips:", 1));
    let rings = desk.events().into_iter().find_map(|event| match event {
        Event::Incoming { call, .. } => Some(call),
        _ => None,
    });
    desk.ua.answer(desk.now, rings.unwrap(), ANSWER.into());
    let ok = desk.sent().pop().unwrap();
    assert!(
        ok.header("Contact").unwrap().starts_with("<sips:"),
        "{}",
        ok.text
    );
}
