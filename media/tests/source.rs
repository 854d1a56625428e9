//! Nobody but the peer is heard, and nobody but the peer is sent anything.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{A, B, Party, address, at, config, rtp, with_peer_at};
use offhook_media::codec::g711::{linear_to_ulaw, ulaw_to_linear};
use offhook_media::{Event, SessionConfig, SourceRule};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const PEER: u32 = 0x1111_1111;
const GOOD: i16 = 1_000;
const EVIL: i16 = -12_000;

fn speech(n: u16, ssrc: u32, level: i16) -> Vec<u8> {
    rtp(
        0,
        n,
        u32::from(n) * 160,
        ssrc,
        &[linear_to_ulaw(level); 160],
    )
}

fn good(n: u16) -> Vec<u8> {
    speech(n, PEER, GOOD)
}

fn behind_nat() -> Party {
    let negotiated = with_peer_at("192.168.1.20:4000");
    Party::new(SessionConfig {
        source_rule: SourceRule::Signalling,
        signalling_remote: "198.51.100.77".parse().unwrap(),
        ..config(negotiated, 7)
    })
}

fn evil_heard(party: &Party) -> bool {
    let evil = ulaw_to_linear(linear_to_ulaw(EVIL));
    party
        .heard()
        .any(|(_, frame)| frame.samples().contains(&evil))
}

fn latched(party: &Party) -> Vec<String> {
    let latched = party.events.iter().filter_map(|(_, event)| match event {
        Event::Latched { remote } => Some(remote.to_string()),
        _ => None,
    });
    latched.collect()
}

#[test]
fn ten_thousand_attacks_are_neither_heard_nor_answered() {
    let mut random = SmallRng::seed_from_u64(4);
    let mut party = Party::new(config(with_peer_at(A), 7));
    let mut now = 0;
    for n in 0..10_000u16 {
        let from = match random.random_range(0..4) {
            // The peer's very address, spoofed: another source while the peer speaks.
            0 => A.to_owned(),
            // Another port at the peer's address, with the peer's own source.
            1 => format!("192.0.2.1:{}", random.random_range(1024..65_535u32)),
            _ => format!(
                "{}.{}.2.1:4000",
                random.random_range(1..223u32),
                random.random_range(0..255u32)
            ),
        };
        let spoofed = from == A;
        let ssrc = if random.random_bool(0.5) && !spoofed {
            PEER
        } else {
            random.random()
        };
        let near = n.wrapping_add(random.random_range(0..4));
        let sequence = if random.random_bool(0.5) {
            near
        } else {
            random.random()
        };
        party.receive(at(now), &from, &speech(sequence, ssrc, EVIL));
        party.receive(
            at(now),
            &from,
            &speech(sequence.wrapping_add(1), ssrc, EVIL),
        );
        party.receive(at(now + 1), A, &good(n));
        now += 20;
        party.run_until(at(now));
    }
    assert!(!evil_heard(&party));
    assert!(
        party
            .sent
            .iter()
            .all(|sent| sent.to.ip() == address(A).ip())
    );
    assert!(party.rtp().all(|sent| sent.to == address(A)));
    let real: usize = party
        .heard()
        .filter(|(_, f)| !f.concealed)
        .map(|(_, f)| f.samples().len())
        .sum();
    assert_eq!(real, 10_000 * 160);
    let stats = party.session.stats();
    assert!(
        stats.foreign > 14_000 && stats.wrong_ssrc > 4_500,
        "{stats:?}"
    );
    let reports = party
        .events
        .iter()
        .filter(|(_, e)| matches!(e, Event::SourceRefused { .. }));
    // Reported once a second at most.
    assert!(reports.count() <= 201);
}

#[test]
fn the_negotiated_address_is_heard_from_the_first_packet() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    party.receive(at(3), A, &good(500));
    assert_eq!(party.heard().count(), 1);
    assert_eq!(latched(&party), [A]);
}

#[test]
fn before_the_first_packet_nobody_else_can_take_the_peers_place() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    for n in 0..50 {
        party.receive(
            at(u64::from(n) * 20),
            "203.0.113.66:4000",
            &speech(n, 9, EVIL),
        );
    }
    party.receive(at(1_000), A, &good(0));
    assert!(!evil_heard(&party));
    assert_eq!(latched(&party), [A]);
}

#[test]
fn another_port_at_the_negotiated_address_must_prove_itself() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    let other = "192.0.2.1:61000";
    party.receive(at(0), other, &good(0));
    assert_eq!(party.heard().count(), 0);
    party.receive(at(20), other, &good(1));
    assert_eq!(party.heard().count(), 1);
    assert_eq!(latched(&party), [other]);
    // What it is sent goes where the description said.
    party.run_until(at(200));
    assert!(party.rtp().all(|sent| sent.to == address(A)));
}

#[test]
fn the_negotiated_address_takes_its_place_from_another_port_whoever_was_first() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    for n in 0..50 {
        let ms = u64::from(n) * 20;
        let other = "192.0.2.1:61000";
        party.receive(at(ms), other, &speech(n, 9, EVIL));
        if n == 25 {
            party.run_until(at(ms));
            party.events.clear();
        }
        if n > 25 {
            party.receive(at(ms), A, &good(n));
            party.run_until(at(ms + 20));
        }
    }
    assert_eq!(latched(&party), [A]);
    let heard = party.heard().filter(|(_, frame)| !frame.concealed);
    let good = ulaw_to_linear(linear_to_ulaw(GOOD));
    assert_eq!(
        heard.filter(|(_, f)| f.samples()[100] == good).count(),
        50 - 27
    );
}

#[test]
fn a_port_that_is_tried_between_two_packets_of_the_peer_does_not_keep_it_from_being_known() {
    let mut party = behind_nat();
    for n in 0..10 {
        let ms = u64::from(n) * 20;
        party.receive(at(ms), "198.51.100.77:33333", &good(n));
        for port in [1_111, 2_222, 3_333] {
            let other = format!("198.51.100.77:{port}");
            party.receive(at(ms + 1), &other, &speech(7 * n, u32::from(n), EVIL));
        }
    }
    assert_eq!(latched(&party), ["198.51.100.77:33333"]);
    assert!(!evil_heard(&party));
}

#[test]
fn copies_of_old_packets_do_not_keep_a_stream_from_moving() {
    let mut party = behind_nat();
    for n in 0..50 {
        party.receive(at(u64::from(n) * 20), "198.51.100.77:33333", &good(n));
    }
    for n in 0..30 {
        let ms = 1_000 + u64::from(n) * 20;
        party.receive(at(ms), "198.51.100.77:33333", &good(n));
    }
    for n in 80..85 {
        party.receive(at(u64::from(n) * 20), "198.51.100.77:44444", &good(n));
    }
    let moved = ["198.51.100.77:33333", "198.51.100.77:44444"];
    assert_eq!(latched(&party), moved);
}

#[test]
fn a_peer_behind_nat_is_learned_at_the_signalling_address_only() {
    let mut party = behind_nat();
    for n in 0..10 {
        let ms = u64::from(n) * 20;
        party.receive(at(ms), "203.0.113.66:4000", &speech(n, 9, EVIL));
        party.receive(at(ms), "192.168.1.20:4000", &speech(n, 9, EVIL));
        party.run_until(at(ms + 20));
    }
    assert_eq!(party.heard().count(), 0);
    // Until then what is sent goes to the one address that is trusted.
    assert!(
        party
            .rtp()
            .all(|sent| sent.to == address("198.51.100.77:4000"))
    );
    for n in 0..5 {
        party.receive(at(200 + u64::from(n) * 20), "198.51.100.77:33333", &good(n));
    }
    assert_eq!(latched(&party), ["198.51.100.77:33333"]);
    party.sent.clear();
    party.run_until(at(400));
    assert!(
        party
            .rtp()
            .all(|sent| sent.to == address("198.51.100.77:33333"))
    );
    assert!(!evil_heard(&party));
}

#[test]
fn a_stream_that_a_nat_moves_to_another_port_goes_on() {
    let mut party = behind_nat();
    for n in 0..50 {
        party.receive(at(u64::from(n) * 20), "198.51.100.77:33333", &good(n));
    }
    // While the old port speaks, the same stream from another port is foreign.
    party.receive(at(981), "198.51.100.77:44444", &speech(50, PEER, EVIL));
    party.receive(at(982), "198.51.100.77:44444", &speech(51, PEER, EVIL));
    assert!(!evil_heard(&party));
    // Half a second of silence later it may follow; another source may not.
    party.receive(at(1_490), "198.51.100.77:55555", &speech(75, 0x66, EVIL));
    party.receive(at(1_491), "198.51.100.77:55555", &speech(76, 0x66, EVIL));
    for n in 75..80 {
        party.receive(at(u64::from(n) * 20), "198.51.100.77:44444", &good(n));
    }
    party.run_until(at(1_600));
    assert!(!evil_heard(&party));
    assert_eq!(
        latched(&party),
        ["198.51.100.77:33333", "198.51.100.77:44444"]
    );
    let before = party.heard().count();
    assert!(before > 50);
    // A number far off is no stream that goes on.
    party.receive(
        at(9_000),
        "198.51.100.77:44445",
        &speech(20_000, PEER, EVIL),
    );
    party.receive(
        at(9_001),
        "198.51.100.77:44445",
        &speech(20_001, PEER, EVIL),
    );
    assert!(!evil_heard(&party));
}

#[test]
fn another_source_at_the_peers_address_is_heard_once_the_old_one_is_silent() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    for n in 0..10 {
        party.receive(at(u64::from(n) * 20), A, &good(n));
    }
    // Music on hold from the same gateway: another source, other numbers.
    for n in 0..30u16 {
        let packet = speech(n.wrapping_add(60_000), 0x77, 2_000);
        party.receive(at(200 + u64::from(n) * 20), A, &packet);
        party.run_until(at(220 + u64::from(n) * 20));
    }
    let music = ulaw_to_linear(linear_to_ulaw(2_000));
    let heard = party
        .heard()
        .filter(|(_, f)| !f.concealed && f.samples()[100] == music)
        .count();
    assert!((18..=24).contains(&heard), "{heard}");
    let mut last = 0;
    for (_, frame) in party.heard() {
        assert!(frame.rtp_timestamp >= last);
        last = frame.rtp_timestamp;
    }
}

/// A receiver report of `ssrc` about `about`: all was lost.
fn report(ssrc: u32, about: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 201, 0, 7];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(about.to_be_bytes());
    packet.extend([0xFF; 20]);
    packet
}

#[test]
fn reports_of_another_source_at_the_peers_address_are_neither_believed_nor_a_sign_of_life() {
    let mut party = Party::new(SessionConfig {
        media_timeout: std::time::Duration::from_secs(1),
        ..config(with_peer_at(A), 7)
    });
    party.receive(at(0), A, &good(0));
    for ms in (20..1_500).step_by(20) {
        let stranger = report(0x66, 7);
        party
            .session
            .handle_rtcp(at(ms), address("192.0.2.1:4001"), &stranger);
        party.run_until(at(ms + 20));
    }
    let timeout = |event: &Event| matches!(event, Event::MediaTimeout { .. });
    assert!(party.events.iter().any(|(_, event)| timeout(event)));
    let stats = party.session.stats();
    assert_eq!((stats.remote_loss, stats.rtcp_received), (0.0, 0));
    assert_eq!(stats.wrong_ssrc, 74);
    party.receive(at(1_600), A, &report(PEER, 7));
    assert!(party.session.stats().remote_loss > 0.9);
}

#[test]
fn our_reports_stay_with_the_port_that_the_peers_come_from() {
    let mut negotiated = with_peer_at("192.168.1.20:4000");
    negotiated.rtcp_mux = false;
    let mut party = Party::new(SessionConfig {
        source_rule: SourceRule::Signalling,
        signalling_remote: "198.51.100.77".parse().unwrap(),
        ..config(negotiated, 7)
    });
    for n in 0..1_000 {
        let ms = u64::from(n) * 20;
        party.receive(at(ms), "198.51.100.77:33333", &good(n));
        let ports: &[u16] = match n {
            ..3 => &[],
            3 => &[33_340],
            _ if n % 200 == 0 => &[33_340, 6_666],
            _ => &[6_666],
        };
        for port in ports {
            let from = format!("198.51.100.77:{port}");
            let bytes = report(PEER, 7);
            party.session.handle_rtcp(at(ms), address(&from), &bytes);
        }
        party.run_until(at(ms + 20));
    }
    let reports = party.sent.iter().filter(|sent| !sent.is_rtp());
    let ports: Vec<u16> = reports.map(|sent| sent.to.port()).collect();
    assert!(
        ports.len() > 3 && ports.iter().all(|port| *port == 33_340),
        "{ports:?}"
    );
}

#[test]
fn reports_from_elsewhere_change_nothing() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    party.receive(at(0), A, &good(0));
    let mut goodbye = vec![0x80, 201, 0, 1, 0x11, 0x11, 0x11, 0x11, 0x81, 203, 0, 1];
    goodbye.extend(PEER.to_be_bytes());
    party
        .session
        .handle_rtcp(at(1), address("203.0.113.66:4001"), &goodbye);
    party.session.handle_rtp(at(1), address(B), &goodbye);
    party.drain(at(1));
    let said = |party: &Party| {
        party
            .events
            .iter()
            .any(|(_, e)| matches!(e, Event::RemoteBye))
    };
    assert!(!said(&party));
    party
        .session
        .handle_rtcp(at(2), address("192.0.2.1:4001"), &goodbye);
    party
        .session
        .handle_rtcp(at(3), address("192.0.2.1:4001"), &goodbye);
    party.drain(at(3));
    assert!(said(&party));
    assert_eq!(
        party
            .events
            .iter()
            .filter(|(_, e)| matches!(e, Event::RemoteBye))
            .count(),
        1
    );
}
