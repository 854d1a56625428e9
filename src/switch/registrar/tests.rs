//! What the registrar binds, replaces, forgets and takes up again.

use super::*;
use offhook_sip::Transport;

const PHONE: &str = "sip:alice@192.0.2.9:5062";

fn flow() -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "192.0.2.9:5062".parse().unwrap(),
    }
}

fn register(
    registrar: &mut Registrar,
    now: Instant,
    cseq: u32,
    contacts: &[(&str, u32)],
) -> Result<Vec<(String, u32)>, Refused> {
    let contacts: Vec<_> = contacts.iter().map(|(c, e)| wanted(c, *e)).collect();
    registrar.register(now, "alice", (flow(), &[]), ("id-1", cseq), &contacts)
}

#[test]
fn a_binding_holds_until_it_expires_or_is_removed() {
    let (mut registrar, now) = (Registrar::default(), crate::clock::now());
    let held = register(&mut registrar, now, 1, &[(PHONE, 120)]).unwrap();
    assert_eq!(held, [(PHONE.to_owned(), 120)]);
    assert_eq!(registrar.online(now), 1);
    assert_eq!(registrar.online(now + Duration::from_secs(121)), 0);
    assert_eq!(register(&mut registrar, now, 2, &[(PHONE, 0)]), Ok(vec![]));
    assert!(registrar.bindings(now, "alice").is_empty());
}

#[test]
fn the_path_of_a_register_is_read_whole_or_not_at_all() {
    let read = |fields: &str| {
        let text = format!("REGISTER sip:a.test SIP/2.0\r\n{fields}\r\n");
        path_of(&Message::parse(text.as_bytes()).unwrap())
    };
    assert_eq!(read(""), Some(Vec::new()));
    let two = "Path: <sip:p2.test;lr>, <sip:p1.test;lr;ob>\r\nPath: <sip:p0.test;lr>\r\n";
    let wanted = [
        "<sip:p2.test;lr>",
        "<sip:p1.test;lr;ob>",
        "<sip:p0.test;lr>",
    ];
    assert_eq!(read(two).unwrap(), wanted);
    assert_eq!(read("Path: <sip:p1.test;lr>, <sip:strict.test>\r\n"), None);
    assert_eq!(read("Path: <sip:p1.test;lr>, ?\r\n"), None);
    assert_eq!(read(&"Path: <sip:p1.test;lr>\r\n".repeat(9)), None);
}

#[test]
fn a_late_duplicate_a_short_wish_and_a_bad_wildcard_change_nothing() {
    let (mut registrar, now) = (Registrar::default(), crate::clock::now());
    register(&mut registrar, now, 5, &[(PHONE, 120)]).unwrap();
    assert_eq!(
        register(&mut registrar, now, 4, &[(PHONE, 0)]),
        Err(Refused::OutOfOrder)
    );
    let brief = register(&mut registrar, now, 6, &[(PHONE, 10)]);
    assert_eq!(brief, Err(Refused::TooBrief(EXPIRES_MIN_S)));
    assert_eq!(
        register(&mut registrar, now, 7, &[("*", 60)]),
        Err(Refused::BadWildcard)
    );
    assert_eq!(registrar.bindings(now, "alice").len(), 1);
    assert_eq!(register(&mut registrar, now, 8, &[("*", 0)]), Ok(vec![]));
}

#[test]
fn a_binding_ends_with_its_connection_and_others_do_not() {
    let (mut registrar, now) = (Registrar::default(), crate::clock::now());
    let page = Flow {
        transport: Transport::Wss,
        ..flow()
    };
    register(&mut registrar, now, 1, &[(PHONE, 120)]).unwrap();
    let contacts = [wanted("sip:q7@df7jal23ls0d.invalid;transport=ws", 120)];
    let bound = registrar.register(now, "alice", (page, &[]), ("id-2", 1), &contacts);
    assert_eq!(bound.unwrap().len(), 2);
    assert_eq!(registrar.forget(page), ["alice"]);
    let held = registrar.bindings(now, "alice");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].contact, PHONE);
    assert_eq!(registrar.forget(flow()), ["alice"]);
    assert_eq!(registrar.online(now), 0);
    assert!(registrar.forget(flow()).is_empty());
}

#[test]
fn a_user_cannot_hold_contacts_without_bound_and_the_newest_phone_is_never_locked_out() {
    let (mut registrar, now) = (Registrar::default(), crate::clock::now());
    let contact = |n| format!("sip:alice@192.0.2.9:{}", 6000 + n);
    for n in 0..10 {
        register(&mut registrar, now, n + 1, &[(&contact(n), 120)]).unwrap();
    }
    // The first is refreshed, so that the second is the oldest.
    register(&mut registrar, now, 50, &[(&contact(0), 120)]).unwrap();
    let held = register(&mut registrar, now, 99, &[(PHONE, 120)]).unwrap();
    assert_eq!(held.len(), 10);
    let holds = |uri: &str| held.iter().any(|(held, _)| held == uri);
    assert!(holds(PHONE) && holds(&contact(0)) && !holds(&contact(1)));
}

fn wanted(contact: &str, expires_s: u32) -> Wanted {
    Wanted {
        contact: contact.to_owned(),
        expires_s,
        instance: None,
    }
}

/// Binds what a whole REGISTER asks for.
fn bind(registrar: &mut Registrar, now: Instant, call_id: &str, contact: &str) -> usize {
    let text = format!("REGISTER sip:a.test SIP/2.0\r\nContact: {contact}\r\n\r\n");
    let message = Message::parse(text.as_bytes()).unwrap();
    let wanted = Wanted::of(&message);
    let bound = registrar.register(now, "alice", (flow(), &[]), (call_id, 1), &wanted);
    bound.unwrap().len()
}

#[test]
fn a_phone_that_says_which_it_is_takes_the_place_of_what_it_was_before() {
    let (mut registrar, now) = (Registrar::default(), crate::clock::now());
    let at = |port: u16, more: &str| {
        format!("<sip:alice@192.0.2.9:{port}>;expires=120;+sip.instance=\"<urn:uuid:{more}")
    };
    let (desk, softphone) = ("1>\"", "2>\"");
    assert_eq!(bind(&mut registrar, now, "a", &at(5062, desk)), 1);
    assert_eq!(bind(&mut registrar, now, "b", &at(5070, softphone)), 2);
    assert_eq!(
        bind(&mut registrar, now, "c", &at(5064, desk)),
        2,
        "restarted"
    );
    // Two contacts of one life are two ways to it.
    assert_eq!(bind(&mut registrar, now, "c", &at(5066, desk)), 3);
    // Flows that are numbered replace each other by their number.
    let numbered = |port, flow: u32| at(port, &format!("3>\";reg-id={flow}"));
    assert_eq!(bind(&mut registrar, now, "d", &numbered(5080, 1)), 4);
    assert_eq!(bind(&mut registrar, now, "d", &numbered(5081, 2)), 5);
    assert_eq!(bind(&mut registrar, now, "d", &numbered(5082, 1)), 5);
    let long = format!(
        "<sip:alice@192.0.2.9:1>;+sip.instance=\"{}\"",
        "x".repeat(500)
    );
    assert_eq!(bind(&mut registrar, now, "e", &long), 6, "it names nobody");
}

#[test]
fn a_phone_behind_a_nat_is_pinged_and_one_that_is_not_is_left_alone() {
    let (mut registrar, now) = (Registrar::default(), crate::clock::now());
    let every = Duration::from_secs(25);
    register(&mut registrar, now, 1, &[(PHONE, 120)]).unwrap();
    assert!(registrar.to_ping(now, every).is_empty());
    let inside = "sip:alice@10.0.0.7:5060";
    register(&mut registrar, now, 2, &[(inside, 60)]).unwrap();
    let pinged: Vec<_> = registrar.to_ping(now, every);
    assert_eq!(pinged.len(), 1);
    assert_eq!(pinged[0].contact, inside);
    assert!(registrar.to_ping(now + every / 2, every).is_empty());
    assert_eq!(registrar.to_ping(now + every, every).len(), 1);
    let over = now + Duration::from_secs(61);
    assert!(
        registrar.to_ping(over, every).is_empty(),
        "it is bound no more"
    );
}

#[test]
fn who_listens_at_its_contact_is_reached_when_its_connection_is_gone() {
    let (mut registrar, now) = (Registrar::default(), crate::clock::now());
    let tcp = Flow {
        transport: Transport::Tcp,
        local: flow().local,
        remote: "192.0.2.9:49152".parse().unwrap(),
    };
    let bind = |registrar: &mut Registrar, contact: &str| {
        let contacts = [wanted(contact, 120)];
        let bound = registrar.register(now, "alice", (tcp, &[]), (contact, 1), &contacts);
        bound.unwrap();
    };
    bind(&mut registrar, "sip:alice@192.0.2.9:5062;transport=tcp");
    bind(&mut registrar, "sip:alice@10.0.0.7:5062;transport=tcp");
    assert_eq!(registrar.forget(tcp), ["alice"]);
    let held = registrar.bindings(now, "alice");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].flow.remote, "192.0.2.9:5062".parse().unwrap());
}

#[test]
fn what_was_bound_before_a_restart_is_taken_up_where_it_is_still_reached() {
    let (mut registrar, now) = (Registrar::default(), crate::clock::now());
    let tls = Flow {
        transport: Transport::Tls,
        ..flow()
    };
    let elsewhere = Flow {
        local: "127.0.0.1:5099".parse().unwrap(),
        ..flow()
    };
    let binding = |flow, seconds| {
        let expires = now + Duration::from_secs(seconds);
        Binding::new(&wanted(PHONE, 0), (flow, &[]), ("id", 7), expires)
    };
    let before = vec![
        binding(flow(), 90),
        binding(tls, 90),
        binding(elsewhere, 90),
        binding(flow(), 0),
    ];
    let listeners = [
        (Transport::Udp, flow().local),
        (Transport::Tls, flow().local),
    ];
    registrar.restore(now, "alice", before, &listeners);
    let held = registrar.bindings(now, "alice");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].flow, flow());
    // It goes on where it was: an older request of the phone is still late.
    assert_eq!(
        registrar.register(now, "alice", (flow(), &[]), ("id", 6), &[wanted(PHONE, 90)]),
        Err(Refused::OutOfOrder)
    );
}
