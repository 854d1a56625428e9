//! Who may call.

use offhook_sip::message::HeaderName;
use offhook_sip::{Access, Event, Settings, Source, TrunkPeer, UserSecret};

use crate::support::*;

pub(crate) fn guarded() -> Settings {
    let user = |name: &str| UserSecret {
        name: name.into(),
        password: format!("{name}-secret"),
    };
    Settings {
        access: Access {
            trunks: vec![TrunkPeer {
                name: "twilio".into(),
                networks: vec!["54.172.60.0/30".parse().unwrap()],
                ..TrunkPeer::default()
            }],
            users: vec![user("alice"), user("bob")],
            realm: "offhook.example".into(),
            ..Access::default()
        },
        ..settings()
    }
}

#[test]
fn a_trunk_is_known_by_its_network() {
    let mut desk = Desk::with(guarded()).from("54.172.60.2:5060");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER));
    let Event::Incoming { invite, .. } = desk.event() else {
        panic!("no call")
    };
    assert_eq!(invite.source, Source::Trunk("twilio".into()));
}

#[test]
fn a_trunk_whose_addresses_change_is_known_by_the_new_ones_only() {
    let mut desk = Desk::with(guarded());
    let status_from = |desk: &mut Desk, remote: &str, n: u32| {
        desk.flow.remote = remote.parse().unwrap();
        let branch = format!("z9hG4bK{n}");
        let invite = request("INVITE", 1, &branch, "", CONTACT, OFFER);
        desk.receive(&invite.replace("call-1", &format!("call-{n}")));
        desk.one().what()
    };
    assert_eq!(status_from(&mut desk, "198.51.100.7:5060", 1), "401");
    let networks = vec!["198.51.100.7".parse().unwrap()];
    desk.ua.set_trunk_networks("twilio", networks);
    assert_eq!(status_from(&mut desk, "198.51.100.7:5060", 2), "100");
    let Event::Incoming { invite, .. } = desk.event() else {
        panic!("no call")
    };
    assert_eq!(invite.source, Source::Trunk("twilio".into()));
    assert_eq!(status_from(&mut desk, "54.172.60.2:5060", 3), "401");
    // A trunk that had no address yet.
    let networks = vec!["203.0.113.0/24".parse().unwrap()];
    desk.ua.set_trunk_networks("telnyx", networks);
    assert_eq!(status_from(&mut desk, "203.0.113.4:5060", 4), "100");
}

/// Two accounts at one carrier, who call from the same network, and one that calls from another.
fn two_accounts() -> Desk {
    let account = |name: &str, contact_user: &str, host: &str, number: &str| TrunkPeer {
        name: name.into(),
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        contact_user: Some(contact_user.into()),
        hosts: vec![host.into(), "carrier.test".into()],
        numbers: vec![number.into()],
    };
    let elsewhere = TrunkPeer {
        name: "elsewhere".into(),
        networks: vec!["203.0.113.0/24".parse().unwrap()],
        contact_user: Some("c3".into()),
        ..TrunkPeer::default()
    };
    let mut settings = settings();
    settings.access.open_loopback = false;
    settings.access.trunks = vec![
        account("first", "c1", "one.test", "12025550101"),
        account("second", "c2", "[2001:db8::2]", "12025550102"),
        elsewhere,
    ];
    Desk::with(settings).from("192.0.2.7:5060")
}

/// The trunk whose call it is that is for a URI, and that says so in its To; none if it is refused.
fn whose(desk: &mut Desk, n: u32, uri: &str, to: &str) -> Option<String> {
    let invite = request("INVITE", 1, &format!("z9hG4bK{n}"), "", CONTACT, OFFER);
    let (line, rest) = invite.split_once("\r\n").unwrap();
    assert!(line.starts_with("INVITE ") && line.ends_with(" SIP/2.0"));
    let rest = rest.replace("call-1", &format!("call-{n}"));
    let old = rest.lines().find(|line| line.starts_with("To:")).unwrap();
    let rest = rest.replace(old, &format!("To: <{to}>"));
    desk.receive(&format!("INVITE {uri} SIP/2.0\r\n{rest}"));
    if desk.one().what() != "100" {
        return None;
    }
    match desk.event() {
        Event::Incoming { invite, .. } => match invite.source {
            Source::Trunk(name) => Some(name),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_accounts_at_one_carrier_the_one_is_called_whose_contact_is() {
    let mut desk = two_accounts();
    let to = "sip:desk@elsewhere.test";
    for (n, uri, trunk) in [
        (1, "sip:c2@192.0.2.1", "second"),
        (2, "sip:c1@192.0.2.1;line=7", "first"),
        (3, "sip:%632@192.0.2.1", "second"),
        // Of a trunk that calls from elsewhere: it is no reason to let anybody in, nor to turn away.
        (4, "sip:c3@192.0.2.1", "first"),
    ] {
        let whose = whose(&mut desk, n, uri, to);
        assert_eq!(whose.as_deref(), Some(trunk), "{uri}");
    }
    // The Contact goes before what else is named.
    let whose = whose(
        &mut desk,
        5,
        "sip:c1@192.0.2.1",
        "sip:12025550102@[2001:db8::2]",
    );
    assert_eq!(whose.as_deref(), Some("first"));
}

#[test]
fn of_two_accounts_at_one_carrier_the_one_is_called_whose_host_or_number_is_named() {
    let mut desk = two_accounts();
    let ours = "sip:desk@192.0.2.1";
    for (n, uri, to, trunk) in [
        (1, ours, "sip:desk@[2001:db8::2]:5080", "second"),
        (2, ours, "sip:desk@ONE.test", "first"),
        (3, "sip:desk@[2001:db8:0::2]", ours, "second"),
        (4, "sip:+12025550102@192.0.2.1", ours, "second"),
        (
            5,
            "sip:12025550102;npdi@192.0.2.1;user=phone",
            ours,
            "second",
        ),
        (6, "tel:+12025550102", ours, "second"),
        // Both have that host, one that number.
        (
            7,
            "sip:12025550102@192.0.2.1",
            "sip:us@carrier.test",
            "second",
        ),
        (8, "sip:12025550102@192.0.2.1", "sip:us@one.test", "first"),
        (9, "sip:12025550199@192.0.2.1", ours, "first"),
    ] {
        let whose = whose(&mut desk, n, uri, to);
        assert_eq!(whose.as_deref(), Some(trunk), "{uri} {to}");
    }
}

#[test]
fn what_a_call_names_lets_nobody_in() {
    let mut desk = two_accounts().from("198.51.100.9:5060");
    let to = "sip:12025550101@carrier.test";
    for (n, uri) in [(1, "sip:c1@192.0.2.1"), (2, "sip:12025550101@one.test")] {
        assert_eq!(whose(&mut desk, n, uri, to), None, "{uri}");
    }
    desk = desk.from("203.0.113.9:5060");
    let whose = whose(&mut desk, 3, "sip:c1@192.0.2.1", to);
    assert_eq!(whose.as_deref(), Some("elsewhere"));
}

#[test]
fn strangers_are_refused_where_nobody_could_prove_anything() {
    let mut settings = settings();
    settings.access = Access::default();
    for remote in ["203.0.113.9:5060", "127.0.0.1:5070"] {
        let mut desk = Desk::with(settings.clone()).from(remote);
        desk.receive(&request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER));
        assert_eq!(desk.one().what(), "403");
        assert_eq!(
            (desk.ua.stats().refused, desk.ua.transaction_count()),
            (1, 0)
        );
        desk.no_event();
    }
}

#[test]
fn open_loopback_is_for_loopback_only() {
    let mut desk = Desk::new().from("203.0.113.9:5060");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", CONTACT, OFFER));
    assert_eq!(desk.one().what(), "403");
}

#[test]
fn a_challenge_is_sent_without_keeping_anything() {
    let mut desk = Desk::with(guarded()).from("203.0.113.9:5060");
    let fields = format!("{CONTACT}Subject: {}\r\n", "x".repeat(80));
    for copy in 1..=50 {
        desk.receive(&request("INVITE", 1, "z9hG4bKi", "", &fields, OFFER));
        let challenge = desk.one();
        assert_eq!(challenge.what(), "401");
        let challenges = challenge.headers(HeaderName::WwwAuthenticate).len();
        assert_eq!(challenges, 1, "there is no room for SHA-256 beside MD5");
        assert_eq!(desk.ua.stats().challenged, copy);
    }
    desk.receive(&request("ACK", 1, "z9hG4bKi", "x", "", ""));
    desk.nothing_sent();
    assert!(
        desk.ua.is_idle(),
        "no transaction, no timer: nothing is amplified"
    );
}

/// Two user agents, one of which guards itself.
fn phone_calls(username: &str, password: &str) -> (Desk, Desk, Vec<String>) {
    let mut switch = Desk::with(guarded()).from("203.0.113.9:5060");
    let mut phone = Desk::with(Settings {
        seed: [9; 32],
        ..settings()
    })
    .from("198.51.100.1:5060");
    let credentials = offhook_sip::Credentials {
        username: username.into(),
        password: password.into(),
    };
    let (_, invite) = phone.call(Some(credentials));
    let mut said = Vec::new();
    let mut pending = vec![invite.text];
    while let Some(text) = pending.pop() {
        switch.receive(&text);
        for answer in switch.sent() {
            said.push(answer.what());
            phone.receive(&answer.text);
            pending.extend(phone.sent().into_iter().map(|sent| sent.text));
        }
    }
    (switch, phone, said)
}

#[test]
fn a_user_proves_who_it_is() {
    let (mut switch, _, said) = phone_calls("alice", "alice-secret");
    assert_eq!(said, ["401", "100"]);
    let Event::Incoming { invite, .. } = switch.event() else {
        panic!("no call")
    };
    assert_eq!(invite.source, Source::User("alice".into()));
}

#[test]
fn an_unknown_user_and_a_wrong_password_are_answered_alike() {
    let (mut known, mut phone, said_known) = phone_calls("alice", "guess");
    let (mut unknown, _, said_unknown) = phone_calls("mallory", "guess");
    assert_eq!(said_known, ["401", "403"]);
    assert_eq!(said_known, said_unknown);
    assert_eq!(
        (known.ua.stats().auth_failed, unknown.ua.stats().auth_failed),
        (1, 1)
    );
    assert!(matches!(phone.event(), Event::Rejected { status: 403, .. }));
    match (known.event(), unknown.event()) {
        (
            Event::AuthenticationFailed { username: one, .. },
            Event::AuthenticationFailed { username: two, .. },
        ) => assert_eq!((one.as_str(), two.as_str()), ("alice", "mallory")),
        other => panic!("{other:?}"),
    }
    let logged = format!("{:?}", guarded());
    assert!(!logged.contains("-secret"), "no secret in a log: {logged}");
}

#[test]
fn no_secret_is_shown_by_debug() {
    let (mut switch, mut phone, _) = phone_calls("alice", "alice-secret");
    let settings = Settings {
        seed: [123; 32],
        ..guarded()
    };
    let shown = format!("{:?} {:?} {settings:?}", switch.events(), phone.events());
    for secret in ["alice-secret", "response=", "123, 123"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    let transmit = {
        phone
            .ua
            .options(
                phone.now,
                offhook_sip::OptionsPing {
                    uri: "sip:trunk.example".into(),
                    flow: phone.flow,
                    route: Vec::new(),
                },
            )
            .unwrap();
        phone.ua.poll_transmit().unwrap()
    };
    assert!(!format!("{transmit:?}").contains("Via"), "{transmit:?}");
}
