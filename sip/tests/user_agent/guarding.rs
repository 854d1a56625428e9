//! Who is dropped and banned, and who never is.

use offhook_sip::message::HeaderName;
use offhook_sip::{BanReason, Event, Guard, Settings, Transport, TrunkPeer};

use crate::access::guarded;
use crate::strangers::{STRANGER, answering, stranger};
use crate::support::*;

/// Sends so many OPTIONS at once, and returns how many were answered.
fn flood(desk: &mut Desk, count: u32) -> usize {
    for n in 0..count {
        desk.receive(&stranger("OPTIONS", "alice", n));
    }
    desk.sent().len()
}

#[test]
fn a_flood_is_dropped_banned_and_heard_again_when_the_ban_ends() {
    let mut desk = Desk::with(guarded()).from(STRANGER);
    desk.flow.transport = Transport::Tcp;
    assert!(flood(&mut desk, 1_001) > 900);
    desk.no_event();
    assert_eq!(flood(&mut desk, 1_500), 0);
    let Event::Banned(ban) = desk.event() else {
        panic!("no ban")
    };
    assert_eq!(
        (ban.source.to_string().as_str(), ban.reason, ban.for_s),
        ("203.0.113.9/32", BanReason::Flood, 60)
    );
    let stats = *desk.ua.stats();
    assert_eq!((stats.dropped_flood, stats.dropped_banned), (1_000, 500));
    assert_eq!(desk.ua.bans(desk.now).count(), 1);
    desk.flow.remote = "203.0.113.10:5060".parse().unwrap();
    assert_eq!(flood(&mut desk, 1), 1, "a neighbour");
    desk.flow.remote = STRANGER.parse().unwrap();
    desk.now += ms(59_000);
    assert_eq!(flood(&mut desk, 1), 0);
    assert_eq!(desk.ua.bans(desk.now).next().unwrap().for_s, 1);
    desk.now += ms(1_000);
    assert_eq!(flood(&mut desk, 1), 1);
    assert_eq!(desk.ua.bans(desk.now).count(), 0);
    assert!(desk.ua.is_idle());
}

#[test]
fn a_stranger_who_floods_is_slowed_down_and_may_bring_a_ban_on_nobody() {
    let mut desk = Desk::with(guarded()).from(STRANGER);
    assert!(flood(&mut desk, 1_001) > 900);
    assert_eq!(flood(&mut desk, 5_000), 0);
    desk.no_event();
    desk.now += ms(1_000);
    assert!(flood(&mut desk, 50) > 0, "whoever is really there is heard");
    assert_eq!(desk.ua.stats().bans_flood, 0);
}

#[test]
fn malformed_messages_are_counted_like_all_others() {
    let mut desk = Desk::with(guarded()).from(STRANGER);
    for n in 0..2_500 {
        let text = stranger("OPTIONS", "alice", n);
        desk.receive(&text.replace("Content-Length: 0", "Content-Length: 9"));
    }
    let stats = *desk.ua.stats();
    assert!(
        stats.dropped_flood == 1_499 && stats.answered_400 == 1_001,
        "{stats:?}"
    );
}

#[test]
fn a_scanner_gets_no_answer_and_no_second_hearing() {
    for name in ["friendly-scanner", "SIPVicious", "VaxSIPUserAgent/3.1"] {
        let mut desk = Desk::with(guarded()).from(STRANGER);
        let text = stranger("OPTIONS", "100", 1).replace("Zoiper v2.10", name);
        // It may be forged: another who is there is heard.
        desk.receive(&text);
        desk.nothing_sent();
        desk.no_event();
        desk.receive(&stranger("REGISTER", "100", 2));
        assert_eq!(desk.one().what(), "401");
        desk.flow.transport = Transport::Tcp;
        desk.receive(&text);
        desk.receive(&stranger("REGISTER", "100", 3));
        desk.nothing_sent();
        let event = desk.event();
        assert!(
            matches!(event, Event::Banned(ban) if ban.reason == BanReason::Scanner),
            "{event:?}"
        );
        let stats = *desk.ua.stats();
        assert_eq!((stats.dropped_scanner, stats.dropped_banned), (2, 1));
    }
    let guard = Guard {
        scanners: Vec::new(),
        ..Guard::default()
    };
    let mut desk = Desk::with(Settings { guard, ..guarded() }).from(STRANGER);
    let text = stranger("OPTIONS", "100", 1);
    desk.receive(&text.replace("Zoiper v2.10", "friendly-scanner"));
    assert_eq!(desk.one().what(), "200", "told not to mind");
}

/// Registers a phone, and returns whether it was let in.
fn registers(desk: &mut Desk, user: &str, password: &str, n: u32) -> bool {
    let register = stranger("REGISTER", user, n);
    desk.receive(&register);
    let Some(challenge) = desk.sent().pop() else {
        return false;
    };
    desk.receive(&answering(&register, &challenge, user, password));
    let handle = desk.events().into_iter().find_map(|event| match event {
        Event::Request { handle, .. } => Some(handle),
        _ => None,
    });
    let Some(handle) = handle else {
        desk.sent();
        return false;
    };
    desk.ua.respond(desk.now, handle, 200, &[], &[]);
    desk.one().what() == "200"
}

#[test]
fn twenty_wrong_passwords_ban_a_source_and_the_right_one_does_not_help() {
    let mut desk = Desk::with(guarded()).from(STRANGER);
    for n in 0..20 {
        let register = stranger("REGISTER", "alice", n);
        desk.receive(&register);
        let challenge = desk.one();
        assert_eq!(challenge.what(), "401");
        desk.receive(&answering(&register, &challenge, "alice", "guess"));
        assert_eq!(desk.one().what(), "403");
        desk.now += ms(10);
    }
    let events = desk.events();
    let bans = events
        .iter()
        .filter(|event| matches!(event, Event::Banned(_)));
    assert_eq!((events.len(), bans.count()), (21, 1));
    let ban = desk.ua.bans(desk.now).next().unwrap();
    assert_eq!(ban.reason.to_string(), "20 wrong passwords");
    assert!(!registers(&mut desk, "alice", "alice-secret", 100));
    desk.now += ms(60_000);
    assert!(registers(&mut desk, "alice", "alice-secret", 101));
}

#[test]
fn two_hundred_phones_behind_one_address_start_at_once_and_outlast_a_ban() {
    let mut settings = guarded();
    settings.access.users = (0..200)
        .map(|n| offhook_sip::UserSecret {
            name: format!("phone{n}"),
            password: format!("secret{n}"),
        })
        .collect();
    let mut desk = Desk::with(settings);
    let port = |desk: &mut Desk, n: u32| {
        let port = 20_000 + u16::try_from(n).unwrap();
        desk.flow.remote = format!("203.0.113.9:{port}").parse().unwrap();
    };
    let mut again = Vec::new();
    for n in 0..200 {
        port(&mut desk, n);
        let (user, secret) = (format!("phone{n}"), format!("secret{n}"));
        if !registers(&mut desk, &user, &secret, n) {
            again.push(n);
        }
        desk.now += ms(1);
    }
    for n in std::mem::take(&mut again) {
        port(&mut desk, n);
        let (user, secret) = (format!("phone{n}"), format!("secret{n}"));
        assert!(registers(&mut desk, &user, &secret, 1_000 + n), "{user}");
    }
    desk.no_event();
    assert_eq!(desk.ua.stats().dropped_flood, 0);
    // Somebody behind the same address scans: all but those who have proven who they are go.
    port(&mut desk, 500);
    desk.flow.transport = Transport::Tcp;
    desk.receive(&stranger("OPTIONS", "100", 1).replace("Zoiper v2.10", "sipcli"));
    assert!(matches!(desk.event(), Event::Banned(_)));
    desk.flow.transport = Transport::Udp;
    assert!(!registers(&mut desk, "phone7", "secret7", 2_000));
    for n in 0..200 {
        port(&mut desk, n);
        let (user, secret) = (format!("phone{n}"), format!("secret{n}"));
        assert!(registers(&mut desk, &user, &secret, 3_000 + n), "{user}");
    }
}

#[test]
fn a_carrier_is_never_limited_nor_banned() {
    let mut desk = Desk::with(guarded()).from("54.172.60.2:5060");
    for n in 0..6_000 {
        let text = stranger("INVITE", "alice", n);
        desk.receive(&text.replace("Zoiper v2.10", "friendly-scanner"));
        let Event::Incoming { call, .. } = desk.event() else {
            panic!("no call {n}")
        };
        desk.ua.reject(desk.now, call, 404, &[]);
        desk.events();
        desk.receive(&stranger("OPTIONS", "alice", 100_000 + n));
        let sent = desk.sent_what();
        assert!(sent.contains(&"404".to_owned()) && sent.contains(&"200".to_owned()));
        desk.pass(ms(10));
        desk.sent();
    }
    // Whoever was banned before its network was known is heard from then on.
    let mut desk = Desk::with(guarded()).from(STRANGER);
    desk.receive(&stranger("OPTIONS", "a", 1).replace("Zoiper", "sipcli"));
    desk.nothing_sent();
    let networks = vec!["203.0.113.9".parse().unwrap()];
    desk.ua.set_trunk_networks("twilio", networks);
    assert_eq!(flood(&mut desk, 3_000), 3_000);
}

#[test]
fn a_network_that_the_settings_trust_is_not_limited_and_a_private_one_is() {
    let guard = Guard {
        trusted: vec!["192.168.0.0/16".parse().unwrap()],
        ..Guard::default()
    };
    let settings = Settings { guard, ..guarded() };
    let mut desk = Desk::with(settings).from("192.168.1.1:5060");
    assert_eq!(flood(&mut desk, 5_000), 5_000);
    for remote in ["10.0.0.1:5060", "127.0.0.1:5070"] {
        let mut desk = Desk::with(guarded()).from(remote);
        flood(&mut desk, 5_000);
        assert!(desk.ua.stats().dropped_flood > 3_000, "{remote}");
    }
    let settings = Settings {
        guard: Guard::off(),
        ..guarded()
    };
    let mut desk = Desk::with(settings).from(STRANGER);
    assert_eq!(flood(&mut desk, 5_000), 5_000);
}

#[test]
fn a_call_goes_on_while_its_address_is_banned() {
    let mut desk = Desk::with(guarded()).from(STRANGER);
    let invite = stranger("INVITE", "alice", 1);
    desk.receive(&invite);
    let challenge = desk.one();
    desk.receive(&answering(&invite, &challenge, "alice", "alice-secret"));
    let Event::Incoming { call, .. } = desk.event() else {
        panic!("no call")
    };
    desk.sent();
    desk.ua.answer(desk.now, call, ANSWER.into());
    let tag = desk.one().tag(HeaderName::To);
    let phone = desk.flow.remote;
    desk.flow.remote = "203.0.113.9:7777".parse().unwrap();
    desk.flow.transport = Transport::Tcp;
    desk.receive(&stranger("OPTIONS", "a", 2).replace("Zoiper", "sipcli"));
    assert!(matches!(desk.event(), Event::Banned(_)));
    desk.flow.transport = Transport::Udp;
    desk.flow.remote = phone;
    let within = |method: &str, n: u32| {
        let text = stranger(method, "alice", n)
            .replace(&format!("{n:010}@"), "0000000001@")
            .replace(&format!("tag=a{n}"), "tag=a1");
        text.replace(
            "To: <sip:alice@192.0.2.1>",
            &format!("To: <sip:alice@192.0.2.1>;tag={tag}"),
        )
    };
    desk.receive(&within("ACK", 3));
    assert!(matches!(desk.event(), Event::Confirmed { .. }));
    // Trust lasts as long as the call shows itself, however long ago the password was.
    for n in 0..5 {
        desk.pass(ms(2_000_000 / 2));
        desk.sent();
        desk.receive(&within("INFO", 4 + n).replace("CSeq: 1", &format!("CSeq: {}", 4 + n)));
        assert_eq!(desk.one().what(), "200");
        desk.events();
    }
    desk.receive(&within("BYE", 20).replace("CSeq: 1", "CSeq: 20"));
    assert_eq!(desk.one().what(), "200");
}

#[test]
fn what_we_asked_is_heard_from_a_banned_source() {
    let mut settings = guarded();
    settings.access.trunks = vec![TrunkPeer {
        name: "elsewhere".into(),
        networks: Vec::new(),
        ..TrunkPeer::default()
    }];
    let mut desk = Desk::with(settings).from(STRANGER);
    desk.flow.transport = Transport::Tcp;
    desk.receive(&stranger("OPTIONS", "a", 2).replace("Zoiper", "sipcli"));
    assert!(matches!(desk.event(), Event::Banned(_)));
    desk.flow.transport = Transport::Udp;
    let (_, invite) = desk.call(None);
    desk.receive(&respond(&invite, 486, "t", "", ""));
    assert!(matches!(desk.event(), Event::Rejected { status: 486, .. }));
    assert_eq!(desk.one().what(), "ACK");
    // A response that nobody asked for is not answered, as ever.
    desk.receive(&respond(&invite, 486, "t", "", "").replace("branch=", "branch=x"));
    desk.nothing_sent();
}

#[test]
fn a_connection_takes_its_trust_with_it() {
    let mut desk = Desk::with(guarded()).from(STRANGER);
    desk.flow.transport = Transport::Tcp;
    assert!(registers(&mut desk, "alice", "alice-secret", 1));
    desk.receive(&stranger("OPTIONS", "a", 2).replace("Zoiper", "sipcli"));
    assert_eq!(desk.one().what(), "200", "trusted");
    desk.ua.flow_closed(desk.now, desk.flow);
    desk.receive(&stranger("OPTIONS", "a", 3).replace("Zoiper", "sipcli"));
    desk.nothing_sent();
    assert_eq!(desk.ua.stats().bans_scanner, 1);
}

#[test]
fn a_trusted_network_may_forget_its_passwords() {
    let guard = Guard {
        trusted: vec!["203.0.113.0/24".parse().unwrap()],
        ..Guard::default()
    };
    let mut desk = Desk::with(Settings { guard, ..guarded() }).from(STRANGER);
    assert!((0..50).all(|n| !registers(&mut desk, "alice", "guess", n)));
    assert!(registers(&mut desk, "alice", "alice-secret", 100));
    assert_eq!(desk.ua.bans(desk.now).count(), 0);
}
