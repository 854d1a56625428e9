//! Bindings at registrars: granted, refreshed, challenged, refused, taken back (RFC 3261 §10.2).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use offhook_sip::message::HeaderName;
use offhook_sip::{
    Access, Event, Reason, Register, RegistrationHandle, Settings, Source, UserSecret,
};
use support::*;

fn register(desk: &Desk) -> Register {
    Register {
        registrar_uri: "sip:sip.telnyx.example".into(),
        aor: "sip:trunkuser@sip.telnyx.example".into(),
        contact_user: "gw".into(),
        flow: desk.flow,
        stream: None,
        route: Vec::new(),
        credentials: Some(credentials("example-password-1")),
        expires_s: 3600,
    }
}

fn begin(desk: &mut Desk) -> (RegistrationHandle, Sent) {
    let handle = desk.ua.register(desk.now, register(desk)).unwrap();
    (handle, desk.one())
}

fn granted(request: &Sent, expires_s: u32) -> String {
    let contact = format!("Contact: <sip:gw@127.0.0.1:5060;alias=1~2>;expires={expires_s}\r\n");
    respond(request, 200, "r", &contact, "")
}

#[test]
fn a_registration_is_granted_and_refreshed_before_it_ends() {
    let mut desk = Desk::new();
    let (handle, first) = begin(&mut desk);
    assert_eq!(first.start(), "REGISTER sip:sip.telnyx.example SIP/2.0");
    assert_eq!(
        first.header("Contact").unwrap(),
        "<sip:gw@127.0.0.1:5060>;expires=3600"
    );
    assert_eq!(first.header("Expires").unwrap(), "3600");
    let mut request = first.clone();
    for round in 1..=5 {
        desk.receive(&granted(&request, 100));
        match desk.event() {
            Event::Registered {
                registration,
                expires_s: 100,
            } => assert_eq!(registration, handle),
            other => panic!("{other:?}"),
        }
        let bound_at = desk.now;
        loop {
            let (at, reason) = desk.ua.poll_timeout().unwrap();
            desk.pass(at - desk.now);
            let sent = desk.sent();
            if let Some(refresh) = sent.into_iter().find(|sent| sent.what() == "REGISTER") {
                assert_eq!(reason, Reason::Register);
                request = refresh;
                break;
            }
        }
        let waited = desk.now - bound_at;
        assert!(
            waited >= Duration::from_secs(80) && waited <= Duration::from_secs(90),
            "{waited:?}"
        );
        assert_eq!(request.header("Call-ID"), first.header("Call-ID"));
        assert_eq!(request.cseq(), first.cseq() + round);
    }
}

#[test]
fn challenges_without_qop_and_by_sha_256_are_answered_and_the_nonce_is_kept() {
    let mut desk = Desk::new();
    let (_, first) = begin(&mut desk);
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=SHA-256\r\n\
                     WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\"\r\n";
    desk.receive(&respond(&first, 401, "r", challenge, ""));
    let second = desk.one();
    let answer = second.header("Authorization").unwrap();
    assert!(
        answer.contains("algorithm=SHA-256") && !answer.contains("qop"),
        "{answer}"
    );
    assert_eq!(second.cseq(), first.cseq() + 1);
    desk.receive(&granted(&second, 60));
    assert!(matches!(desk.event(), Event::Registered { .. }));
    desk.pass(Duration::from_secs(60));
    let refresh = desk
        .sent()
        .into_iter()
        .find(|sent| sent.what() == "REGISTER")
        .unwrap();
    assert!(
        refresh.header("Authorization").unwrap().contains("n1"),
        "no needless round trip"
    );
}

#[test]
fn a_stale_nonce_is_replaced_and_wrong_credentials_back_off() {
    let mut desk = Desk::new();
    let (_, mut request) = begin(&mut desk);
    for round in 0..10 {
        let challenge = format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"n{round}\"\r\n");
        desk.receive(&respond(&request, 401, "r", &challenge, ""));
        match desk.sent().pop() {
            Some(again) => request = again,
            None => break,
        }
    }
    match desk.event() {
        Event::RegistrationFailed {
            status: 401,
            retry_in,
            ..
        } => {
            assert!(
                retry_in >= Duration::from_secs(30),
                "{retry_in:?}: accounts get locked"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_credentials_are_tried_twice_at_each_attempt() {
    for same_nonce in [false, true] {
        let mut desk = Desk::new();
        let (_, mut request) = begin(&mut desk);
        let mut last = 0;
        for _ in 0..3 {
            let mut tries = 0;
            let retry_in = loop {
                last += u32::from(!same_nonce);
                let challenge = format!(
                    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n{last}\", qop=\"auth\"\r\n"
                );
                tries += usize::from(request.header("Authorization").is_some());
                desk.receive(&respond(&request, 401, "r", &challenge, ""));
                match desk.sent().pop() {
                    Some(again) => request = again,
                    None => match desk.event() {
                        Event::RegistrationFailed { retry_in, .. } => break retry_in,
                        other => panic!("{other:?}"),
                    },
                }
            };
            assert_eq!(tries, if same_nonce { 1 } else { 2 });
            assert!(retry_in >= Duration::from_secs(30), "{retry_in:?}");
            desk.pass(retry_in);
            request = desk.one();
        }
    }
}

#[test]
fn a_registrar_that_does_not_say_that_a_nonce_is_stale_is_answered_once_more() {
    let mut desk = Desk::new();
    let (_, mut request) = begin(&mut desk);
    for nonce in 0..20 {
        let challenge = format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"n{nonce}\"\r\n");
        desk.receive(&respond(&request, 401, "r", &challenge, ""));
        let again = desk.one();
        desk.receive(&granted(&again, 60));
        assert!(matches!(desk.event(), Event::Registered { .. }));
        desk.pass(Duration::from_secs(55));
        let mut sent = desk.sent().into_iter();
        request = sent.find(|sent| sent.what() == "REGISTER").unwrap();
        assert!(request.header("Authorization").is_some());
    }
}

#[test]
fn an_interval_too_brief_is_lengthened_to_what_is_asked() {
    let mut desk = Desk::new();
    let (_, first) = begin(&mut desk);
    desk.receive(&respond(&first, 423, "r", "Min-Expires: 7200\r\n", ""));
    let second = desk.one();
    assert_eq!(second.header("Expires").unwrap(), "7200");
    desk.receive(&respond(&second, 423, "r", "Min-Expires: 60\r\n", ""));
    assert!(matches!(
        desk.event(),
        Event::RegistrationFailed { status: 423, .. }
    ));
}

#[test]
fn failures_back_off_and_retry_after_is_obeyed() {
    let mut desk = Desk::new();
    let (_, mut request) = begin(&mut desk);
    let mut waits = Vec::new();
    for _ in 0..5 {
        desk.receive(&respond(&request, 500, "r", "", ""));
        let Event::RegistrationFailed { retry_in, .. } = desk.event() else {
            panic!("no failure")
        };
        waits.push(retry_in);
        desk.pass(retry_in);
        request = desk.one();
    }
    for (n, wait) in waits.iter().enumerate() {
        let longest = Duration::from_secs(2 << n);
        assert!(*wait <= longest && *wait >= longest / 2, "{waits:?}");
    }
    desk.receive(&respond(&request, 503, "r", "Retry-After: 300\r\n", ""));
    match desk.event() {
        Event::RegistrationFailed {
            status: 503,
            retry_in,
            ..
        } => {
            assert_eq!(retry_in, Duration::from_secs(300));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn silence_and_a_dead_transport_are_failures_that_are_tried_again() {
    let mut desk = Desk::new();
    begin(&mut desk);
    desk.pass(ms(32_000));
    assert!(matches!(
        desk.event(),
        Event::RegistrationFailed { status: 408, .. }
    ));
    desk.sent();
    desk.pass(ms(4_000));
    assert_eq!(desk.sent()[0].what(), "REGISTER");
    desk.ua.transport_failed(desk.now, desk.flow);
    assert!(matches!(
        desk.event(),
        Event::RegistrationFailed { status: 503, .. }
    ));
}

#[test]
fn a_binding_is_taken_back() {
    let mut desk = Desk::new();
    let (handle, first) = begin(&mut desk);
    desk.receive(&granted(&first, 3600));
    desk.events();
    desk.ua.unregister(desk.now, handle);
    let last = desk.one();
    assert_eq!(
        last.header("Contact").unwrap(),
        "<sip:gw@127.0.0.1:5060>;expires=0"
    );
    desk.receive(&respond(&last, 200, "r", "", ""));
    assert!(matches!(desk.event(), Event::Unregistered { .. }));
    desk.ends_empty();
}

#[test]
fn taking_back_waits_for_the_register_that_is_under_way() {
    let mut desk = Desk::new();
    let (handle, first) = begin(&mut desk);
    desk.ua.unregister(desk.now, handle);
    desk.nothing_sent();
    desk.receive(&granted(&first, 3600));
    desk.no_event();
    let last = desk.one();
    assert_eq!(last.header("Expires").unwrap(), "0");
    desk.pass(ms(32_000));
    assert!(
        matches!(desk.event(), Event::Unregistered { .. }),
        "even if nobody answers"
    );
    desk.ends_empty();
}

#[test]
fn a_registrar_uri_loses_its_user_part_and_an_outbound_proxy_is_a_route() {
    let mut desk = Desk::new();
    let mut wanted = register(&desk);
    wanted.registrar_uri = "sip:alice@fritz.box:5060;transport=udp".into();
    wanted.route = vec!["<sip:proxy.sipgate.de;lr>".into()];
    desk.ua.register(desk.now, wanted).unwrap();
    let request = desk.one();
    assert_eq!(
        request.start(),
        "REGISTER sip:fritz.box:5060;transport=udp SIP/2.0"
    );
    assert_eq!(
        request.header("Route").unwrap(),
        "<sip:proxy.sipgate.de;lr>"
    );
}

#[test]
fn keep_alives_are_double_crlf_and_more_frequent_on_udp() {
    for (mut desk, least, most) in [(Desk::new(), 24, 29), (Desk::over_tcp(), 95, 115)] {
        let (_, first) = begin(&mut desk);
        desk.receive(&granted(&first, 3600));
        let start = desk.now;
        loop {
            let (at, _) = desk.ua.poll_timeout().unwrap();
            desk.pass(at - desk.now);
            if let Some(transmit) = desk.ua.poll_transmit() {
                assert_eq!(&*transmit.bytes, b"\r\n\r\n");
                break;
            }
        }
        let waited = (desk.now - start).as_secs();
        assert!(waited >= least && waited <= most, "{waited}");
    }
}

#[test]
fn a_binding_over_a_connection_that_is_gone_is_made_anew() {
    let mut desk = Desk::over_tcp();
    let (_, first) = begin(&mut desk);
    desk.receive(&granted(&first, 3600));
    desk.events();
    desk.ua.flow_closed(desk.now, desk.flow);
    desk.pass(ms(2_000));
    assert_eq!(desk.one().what(), "REGISTER");
}

#[test]
fn a_registrar_that_moved_is_registered_with_where_it_is_now() {
    let mut desk = Desk::new();
    let (handle, first) = begin(&mut desk);
    let moved = flow(offhook_sip::Transport::Udp, "127.0.0.1:5090");
    desk.receive(&granted(&first, 100));
    assert!(matches!(desk.event(), Event::Registered { .. }));
    desk.ua.reroute_registration(desk.now, handle, desk.flow);
    desk.nothing_sent();
    desk.ua.reroute_registration(desk.now, handle, moved);
    let again = desk.one();
    assert_eq!((again.what().as_str(), again.flow), ("REGISTER", moved));
    assert_eq!(again.header("Call-ID"), first.header("Call-ID"));
    desk.receive(&granted(&again, 100));
    assert!(matches!(desk.event(), Event::Registered { .. }));
    // The keep-alives go there too.
    desk.pass(ms(30_000));
    assert_eq!(desk.one().flow, moved);
}

#[test]
fn after_a_dead_target_the_next_attempt_goes_elsewhere_once_its_wait_is_over() {
    let mut desk = Desk::new();
    let (handle, _) = begin(&mut desk);
    desk.ua.transport_failed(desk.now, desk.flow);
    assert!(matches!(
        desk.event(),
        Event::RegistrationFailed { status: 503, .. }
    ));
    let other = flow(offhook_sip::Transport::Udp, "127.0.0.1:5090");
    desk.ua.reroute_registration(desk.now, handle, other);
    desk.nothing_sent();
    desk.pass(ms(2_000));
    assert_eq!(desk.one().flow, other);
}

#[test]
fn the_service_route_is_kept() {
    let mut desk = Desk::new();
    let (handle, first) = begin(&mut desk);
    assert!(desk.ua.service_route(handle).is_empty());
    let fields = "Service-Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\nExpires: 60\r\n";
    desk.receive(&respond(&first, 200, "r", fields, ""));
    assert_eq!(
        desk.ua.service_route(handle),
        ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]
    );
}

#[test]
fn a_service_route_with_a_strict_router_in_it_is_none() {
    let mut desk = Desk::new();
    let (handle, first) = begin(&mut desk);
    let fields = "Service-Route: <sip:p1.example;lr>, <sip:p2.example>\r\nExpires: 60\r\n";
    desk.receive(&respond(&first, 200, "r", fields, ""));
    assert!(desk.ua.service_route(handle).is_empty());
}

// --- being registered at ---------------------------------------------------------------------

fn guarded() -> Settings {
    Settings {
        access: Access {
            users: vec![UserSecret {
                name: "alice".into(),
                password: "alice-secret".into(),
            }],
            realm: "offhook.example".into(),
            open_loopback: true,
            ..Access::default()
        },
        ..settings()
    }
}

/// Lets a phone register at a switch until the switch asks who shall answer.
fn phone_registers(aor: &str) -> (Desk, Desk) {
    let mut switch = Desk::with(guarded());
    let mut phone = Desk::with(Settings {
        seed: [9; 32],
        ..settings()
    });
    let mut wanted = register(&phone);
    wanted.aor = aor.into();
    wanted.credentials = Some(offhook_sip::Credentials {
        username: "alice".into(),
        password: "alice-secret".into(),
    });
    phone.ua.register(phone.now, wanted).unwrap();
    for _ in 0..2 {
        for request in phone.sent() {
            switch.receive(&request.text);
        }
        for response in switch.sent() {
            phone.receive(&response.text);
        }
    }
    (switch, phone)
}

#[test]
fn a_phone_registers_and_the_switch_answers() {
    let (mut switch, mut phone) = phone_registers("sip:alice@offhook.example");
    let Event::Request {
        handle,
        method,
        source,
        message,
        ..
    } = switch.event()
    else {
        panic!("no request")
    };
    assert_eq!(
        (method.as_str(), source),
        ("REGISTER", Source::User("alice".into()))
    );
    let contact = message
        .view()
        .header(HeaderName::Contact)
        .unwrap()
        .to_owned();
    let headers = vec![
        ("Contact".to_owned(), contact),
        ("Expires".to_owned(), "60".to_owned()),
    ];
    switch.ua.respond(switch.now, handle, 200, &headers, b"");
    let ok = switch.one();
    assert!(!ok.tag(HeaderName::To).is_empty());
    phone.receive(&ok.text);
    assert!(matches!(
        phone.event(),
        Event::Registered {
            expires_s: 3600,
            ..
        }
    ));
    switch.ua.respond(switch.now, handle, 200, &headers, b"");
    switch.nothing_sent();
    switch.ends_empty();
}

#[test]
fn a_phone_binds_its_own_address_only() {
    let (mut switch, mut phone) = phone_registers("sip:bob@offhook.example");
    switch.no_event();
    assert!(matches!(
        phone.event(),
        Event::RegistrationFailed { status: 403, .. }
    ));
}

#[test]
fn a_register_is_challenged_even_from_this_machine() {
    let mut switch = Desk::with(guarded());
    switch.receive(&request("REGISTER", 1, "z9hG4bKr", "", CONTACT, ""));
    assert_eq!(switch.one().what(), "401");
}

#[test]
fn a_request_that_the_switch_never_answers_is_forgotten() {
    let (mut switch, _) = phone_registers("sip:alice@offhook.example");
    assert!(matches!(switch.event(), Event::Request { .. }));
    switch.ends_empty();
}
