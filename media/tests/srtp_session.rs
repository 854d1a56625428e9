//! An SRTP session: what is not authentic and new is neither heard, nor answered, nor learned.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{A, CLEAN, Call, Party, Weather, address, agreement, at, config, rtp, telltale};
use common::{hold, with_peer_at};
use offhook_media::codec::g711::{linear_to_ulaw, ulaw_to_linear};
use offhook_media::sdp::LocalSrtp;
use offhook_media::srtp::{Inbound, MasterKey, Outbound, SrtpKeys, Suite};
use offhook_media::{
    Direction, Event, LocalMedia, MAX_DATAGRAM_BYTES, Negotiated, SessionConfig, SourceRule,
    SrtpPolicy, UtteranceId,
};
use rand::rngs::{SmallRng, StdRng};
use rand::{Rng, SeedableRng};

const PEER: u32 = 0x1111_1111;
const GOOD: i16 = 1_000;
const EVIL: i16 = -12_000;

fn key(seed: u64) -> MasterKey {
    key_of(Suite::AesCm128HmacSha1_80, seed)
}

fn key_of(suite: Suite, seed: u64) -> MasterKey {
    MasterKey::draw(suite, &mut StdRng::seed_from_u64(seed))
}

/// Ours is key 1, the peer's key 2.
fn keys() -> SrtpKeys {
    SrtpKeys {
        ours: key(1),
        theirs: key(2),
        their_mki: None,
    }
}

fn secured(srtp: SrtpKeys) -> Negotiated {
    Negotiated {
        srtp: Some(srtp),
        ..with_peer_at(A)
    }
}

fn party() -> Party {
    Party::new(config(secured(keys()), 7))
}

fn speech(n: u16, ssrc: u32, level: i16) -> Vec<u8> {
    let payload = [linear_to_ulaw(level); 160];
    rtp(0, n, u32::from(n) * 160, ssrc, &payload)
}

fn protect(sender: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut room = [packet, &[0; 16]].concat();
    let len = sender.protect_rtp(&mut room, packet.len()).unwrap();
    room.truncate(len);
    room
}

fn protect_rtcp(sender: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut room = [packet, &[0; 20]].concat();
    let len = sender.protect_rtcp(&mut room, packet.len()).unwrap();
    room.truncate(len);
    room
}

fn samples_heard(party: &Party, level: i16) -> usize {
    let level = ulaw_to_linear(linear_to_ulaw(level));
    let real = party.heard().filter(|(_, frame)| !frame.concealed);
    real.flat_map(|(_, frame)| frame.samples())
        .filter(|sample| **sample == level)
        .count()
}

fn evil_heard(party: &Party) -> bool {
    let evil = ulaw_to_linear(linear_to_ulaw(EVIL));
    party
        .heard()
        .any(|(_, frame)| frame.samples().contains(&evil))
}

fn latched(party: &Party) -> usize {
    let events = party.events.iter();
    events
        .filter(|(_, event)| matches!(event, Event::Latched { .. }))
        .count()
}

/// What each party's own keys are, by its session identifier.
fn optional(media: &mut LocalMedia) {
    let mut random = StdRng::seed_from_u64(media.session_id);
    media.srtp = LocalSrtp::new(SrtpPolicy::Optional, &mut random);
}

#[test]
fn both_sides_hear_each_other_over_a_bad_network_and_nothing_goes_in_the_clear() {
    let weather = Weather {
        delay_ms: 30,
        jitter_ms: 40,
        loss: 0.05,
        copies: 0.05,
    };
    let mut call = Call::new(3, weather, optional);
    let sound: Vec<i16> = (0..96_000).map(telltale).collect();
    let mut given = [0, 0];
    call.run_with(12_500, |now, a, b| {
        for (party, given) in [a, b].into_iter().zip(&mut given) {
            *given += party.session.play(now, UtteranceId(1), &sound[*given..]);
        }
    });
    for party in [&call.a, &call.b] {
        let stats = party.session.stats();
        assert_eq!(
            (stats.unauthenticated, stats.malformed),
            (0, 0),
            "{stats:?}"
        );
        assert!(stats.received > 550 && stats.replayed > 10, "{stats:?}");
        assert!(
            stats.rtcp_received > 0 && stats.rtt_ms.is_some(),
            "{stats:?}"
        );
        let frames = party.heard().filter(|(_, frame)| !frame.concealed).count();
        assert!(frames > 550, "{frames}");
        // PCMU of 20 ms and the tag of AEAD_AES_256_GCM, which both prefer.
        let (packets, sound) = (party.rtp(), &sound);
        assert!(
            packets
                .into_iter()
                .all(|sent| sent.bytes.len() == 12 + 160 + 16)
        );
        let in_the_clear = |sent: &common::Sent| {
            let first: Vec<i16> = sent.payload()[..8]
                .iter()
                .map(|b| ulaw_to_linear(*b))
                .collect();
            sound.windows(8).step_by(160).any(|window| window == first)
        };
        assert_eq!(party.rtp().filter(|sent| in_the_clear(sent)).count(), 0);
    }
}

#[test]
fn ten_thousand_attacks_from_the_peers_own_address_are_neither_heard_nor_learned() {
    let mut random = SmallRng::seed_from_u64(4);
    let mut party = party();
    let mut sender = Outbound::new(&key(2));
    let mut wrong = Outbound::new(&key(3));
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for n in 0..10_000u16 {
        let now = u64::from(n) * 20;
        let packet = protect(&mut sender, &speech(n, PEER, GOOD));
        let mut evil = match n % 5 {
            0 => speech(n, PEER, EVIL),
            1 => protect(&mut wrong, &speech(n, PEER, EVIL)),
            2 => [speech(n, random.random(), EVIL), vec![0; 10]].concat(),
            3 => packet[..random.random_range(0..packet.len())].to_vec(),
            _ => packet.clone(),
        };
        if n % 5 == 4 {
            let bit = random.random_range(0..evil.len() * 8);
            evil[bit / 8] ^= 1 << (bit % 8);
        }
        party.receive(at(now), A, &evil);
        if n == 0 {
            assert_eq!((latched(&party), party.heard().count()), (0, 0));
        }
        party.receive(at(now + 1), A, &packet);
        if let Some(old) = seen.get(random.random_range(0..=seen.len())) {
            party.receive(at(now + 2), A, old);
        }
        seen.push(packet);
        party.run_until(at(now + 20));
    }
    assert!(!evil_heard(&party));
    assert_eq!(samples_heard(&party, GOOD), 10_000 * 160);
    assert_eq!(
        (latched(&party), party.session.source()),
        (1, Some(address(A)))
    );
    let stats = party.session.stats();
    assert_eq!((stats.received, stats.duplicates), (10_000, 0), "{stats:?}");
    assert!(stats.unauthenticated > 7_900, "{stats:?}");
    assert!(stats.replayed > 9_900, "{stats:?}");
}

#[test]
fn a_peer_behind_nat_is_learned_by_an_authentic_packet_only() {
    let negotiated = Negotiated {
        srtp: Some(keys()),
        ..with_peer_at("192.168.1.20:4000")
    };
    let mut party = Party::new(SessionConfig {
        source_rule: SourceRule::Signalling,
        signalling_remote: "198.51.100.77".parse().unwrap(),
        ..config(negotiated, 7)
    });
    let mut sender = Outbound::new(&key(2));
    for n in 0..50 {
        let forged = [speech(n, PEER, EVIL), vec![9; 10]].concat();
        party.receive(at(u64::from(n) * 20), "198.51.100.77:6666", &forged);
    }
    assert_eq!((latched(&party), party.heard().count()), (0, 0));
    for n in 0..5 {
        let packet = protect(&mut sender, &speech(n, PEER, GOOD));
        party.receive(at(1_000 + u64::from(n) * 20), "198.51.100.77:3333", &packet);
        // Copied by someone on the way, and sent from elsewhere at the same address.
        party.receive(at(1_001 + u64::from(n) * 20), "198.51.100.77:6666", &packet);
    }
    assert_eq!(party.session.source(), Some(address("198.51.100.77:3333")));
    assert!(!evil_heard(&party));
}

#[test]
fn sound_goes_on_over_a_rollover_with_loss_and_reordering() {
    let mut party = party();
    let mut sender = Outbound::new(&key(2));
    let mut sent = 0;
    for n in 0..1_000u64 {
        let sequence = (65_000 + n) as u16;
        let level = if sequence < 60_000 { GOOD } else { 2 * GOOD };
        let packet = rtp(
            0,
            sequence,
            (n * 160) as u32,
            PEER,
            &[linear_to_ulaw(level); 160],
        );
        let packet = protect(&mut sender, &packet);
        if n % 7 == 3 || (530..540).contains(&n) {
            continue;
        }
        sent += 1;
        // Every fifth comes two places late.
        let late_ms = if n % 5 == 0 { 45 } else { 0 };
        party.receive(at(n * 20 + late_ms), A, &packet);
        party.run_until(at(n * 20 + 20));
    }
    let stats = party.session.stats();
    assert_eq!(
        (stats.received, stats.unauthenticated),
        (sent, 0),
        "{stats:?}"
    );
    assert!(samples_heard(&party, GOOD) > 350 * 160);
    assert!(samples_heard(&party, 2 * GOOD) > 420 * 160);
}

#[test]
fn with_another_key_there_is_silence_and_it_is_reported() {
    let mut party = party();
    let mut wrong = Outbound::new(&key(9));
    for n in 0..1_550u16 {
        let packet = protect(&mut wrong, &speech(n, PEER, EVIL));
        party.receive(at(u64::from(n) * 20), A, &packet);
        party.run_until(at(u64::from(n) * 20 + 20));
    }
    let stats = party.session.stats();
    assert_eq!((party.heard().count(), latched(&party)), (0, 0));
    assert_eq!((stats.unauthenticated, stats.received), (1_550, 0));
    let timeout = |event: &Event| matches!(event, Event::MediaTimeout { .. });
    assert!(party.events.iter().any(|(_, event)| timeout(event)));
}

#[test]
fn a_new_key_of_the_peer_takes_effect_within_the_call_and_ours_goes_on() {
    let mut party = party();
    let (mut first, mut second) = (Outbound::new(&key(2)), Outbound::new(&key(5)));
    let mut listener = Inbound::new(&key(1), None);
    let mut n = 0u16;
    let mut say = |party: &mut Party, sender: &mut Outbound, packets: u16, level: i16| {
        for _ in 0..packets {
            let packet = protect(sender, &speech(n, PEER, level));
            party.receive(at(u64::from(n) * 20), A, &packet);
            n += 1;
            party.run_until(at(u64::from(n) * 20));
        }
    };
    say(&mut party, &mut first, 50, GOOD);
    let rekeyed = SrtpKeys {
        theirs: key(5),
        ..keys()
    };
    party.session.renegotiate(at(1_000), secured(rekeyed));
    // The answer is on its way: the peer still uses the old key.
    say(&mut party, &mut first, 25, GOOD);
    say(&mut party, &mut second, 100, 2 * GOOD);
    say(&mut party, &mut first, 25, EVIL);
    assert_eq!(samples_heard(&party, GOOD), 75 * 160);
    assert_eq!(samples_heard(&party, 2 * GOOD), 100 * 160);
    assert!(
        !evil_heard(&party),
        "the old key is given up once the new one is in use"
    );
    // What we send goes on under our key as if nothing had happened.
    let mut sequence = None;
    for sent in party.rtp() {
        let mut packet = sent.bytes.clone();
        let len = listener.unprotect_rtp(&mut packet).unwrap();
        assert_eq!(len, 172);
        if let Some(before) = sequence.replace(sent.sequence()) {
            assert_eq!(sent.sequence(), before + 1);
        }
    }
}

#[test]
fn a_key_that_is_taken_up_again_goes_on_and_what_came_under_it_is_not_heard_again() {
    let mut party = party();
    let (mut first, mut music) = (Outbound::new(&key(2)), Outbound::new(&key(5)));
    let rekeyed = SrtpKeys {
        theirs: key(5),
        ..keys()
    };
    // More than one rollover, so that the counter cannot be guessed.
    let mut recorded = Vec::new();
    for n in 0..140_000u64 {
        let packet = rtp(0, n as u16, n as u32 * 160, PEER, &[linear_to_ulaw(GOOD)]);
        let packet = protect(&mut first, &packet);
        if n % 100 == 0 {
            party.receive(at(n * 20), A, &packet);
        }
        recorded.push(packet);
    }
    let now = 2_800_000;
    party.session.renegotiate(at(now), secured(rekeyed.clone()));
    for n in 0..50u16 {
        let packet = protect(&mut music, &speech(n, 0x77, 2 * GOOD));
        party.receive(at(now + 1_000 + u64::from(n) * 20), A, &packet);
    }
    // Through the clear as well.
    for negotiated in [with_peer_at(A), secured(keys())] {
        party.session.renegotiate(at(now + 3_000), negotiated);
    }
    party.events.clear();
    let taken = party.session.stats().received;
    for (n, packet) in recorded.iter().enumerate().rev().step_by(100).take(200) {
        party.receive(at(now + 3_000 + n as u64 % 2), A, packet);
    }
    // Only what is newer than the newest that came, of which there was one.
    assert!(party.session.stats().received <= taken + 1);
    for n in 140_000..140_010u64 {
        let packet = rtp(
            0,
            n as u16,
            n as u32 * 160,
            PEER,
            &[linear_to_ulaw(GOOD); 160],
        );
        let packet = protect(&mut first, &packet);
        party.receive(at(now + 4_000 + (n - 140_000) * 20), A, &packet);
    }
    assert!(samples_heard(&party, GOOD) > 8 * 160);
}

#[test]
fn a_hold_that_changes_no_key_keeps_the_counters() {
    let mut party = party();
    let mut sender = Outbound::new(&key(2));
    let first = protect(&mut sender, &speech(0, PEER, GOOD));
    party.receive(at(0), A, &first);
    let held = hold(&secured(keys()), Direction::RecvOnly);
    party.session.renegotiate(at(100), held);
    party.session.renegotiate(at(200), secured(keys()));
    party.receive(at(201), A, &first);
    assert_eq!(party.session.stats().replayed, 1);
    party.receive(at(202), A, &protect(&mut sender, &speech(1, PEER, GOOD)));
    assert_eq!(samples_heard(&party, GOOD), 2 * 160);
}

#[test]
fn another_source_is_heard_and_what_the_old_one_said_is_not_heard_again() {
    let mut party = party();
    let mut sender = Outbound::new(&key(2));
    let mut recorded = Vec::new();
    for n in 0..50 {
        let packet = protect(&mut sender, &speech(n, PEER, GOOD));
        party.receive(at(u64::from(n) * 20), A, &packet);
        recorded.push(packet);
    }
    let mut music = Outbound::new(&key(2));
    for n in 0..50 {
        let packet = protect(&mut music, &speech(n + 40_000, 0x77, 2 * GOOD));
        party.receive(at(1_000 + u64::from(n) * 20), A, &packet);
        party.receive(at(1_001 + u64::from(n) * 20), A, &recorded[usize::from(n)]);
        party.run_until(at(1_020 + u64::from(n) * 20));
    }
    assert_eq!(samples_heard(&party, GOOD), 50 * 160);
    assert!(samples_heard(&party, 2 * GOOD) > 35 * 160);
    assert_eq!(party.session.stats().replayed, 50);
}

#[test]
fn a_goodbye_counts_only_when_it_is_authentic_and_new() {
    let mut party = party();
    let mut sender = Outbound::new(&key(2));
    let packet = protect(&mut sender, &speech(0, PEER, GOOD));
    party.receive(at(0), A, &packet);
    let mut goodbye = vec![0x80, 201, 0, 1, 0x11, 0x11, 0x11, 0x11, 0x81, 203, 0, 1];
    goodbye.extend(PEER.to_be_bytes());
    let byes = |party: &Party| {
        let events = party.events.iter();
        events
            .filter(|(_, event)| matches!(event, Event::RemoteBye))
            .count()
    };
    party.receive(at(1), A, &goodbye);
    let forged = protect_rtcp(&mut Outbound::new(&key(3)), &goodbye);
    party.receive(at(2), A, &forged);
    let stats = party.session.stats();
    let counted = (stats.unauthenticated, stats.truncated);
    assert_eq!((byes(&party), counted), (0, (1, 1)));
    let real = protect_rtcp(&mut sender, &goodbye);
    let port = address("192.0.2.1:4001");
    party.session.handle_rtcp(at(3), port, &real);
    party.session.handle_rtcp(at(4), port, &real);
    party.drain(at(4));
    assert_eq!((byes(&party), party.session.stats().replayed), (1, 1));
}

#[test]
fn every_suite_carries_a_call() {
    for suite in Suite::ALL {
        let (at_a, at_b) = agreement(|_| {});
        let (one, two) = (key_of(suite, 1), key_of(suite, 2));
        let side = |negotiated, ours: &MasterKey, theirs: &MasterKey| Negotiated {
            srtp: Some(SrtpKeys {
                ours: ours.clone(),
                theirs: theirs.clone(),
                their_mki: None,
            }),
            ..negotiated
        };
        let mut call = Call::new(1, CLEAN, |_| {});
        call.a = Party::new(config(side(at_a, &one, &two), 0xAAAA));
        call.b = Party::new(config(side(at_b, &two, &one), 0xBBBB));
        call.a.play_all(at(0), 1, &[GOOD; 1_600]);
        call.run(400);
        assert_eq!(samples_heard(&call.b, GOOD), 1_600, "{suite}");
        assert!(call.a.heard().count() > 10, "{suite}");
    }
}

#[test]
fn what_is_longer_than_any_packet_is_refused_before_anything_of_it_is_proven() {
    let mut party = party();
    // The longest that is looked at is; beyond it neither authentic nor forged packets are.
    let longest = rtp(0, 1, 160, PEER, &[0x55; MAX_DATAGRAM_BYTES - 12]);
    party.receive(at(0), A, &longest);
    let stats = party.session.stats();
    assert_eq!((stats.oversized, stats.unauthenticated), (0, 1));
    for (n, bytes) in (1..).zip([MAX_DATAGRAM_BYTES + 1, 2_048, 9_000]) {
        let forged = rtp(0, 1, 160, PEER, &vec![0x55; bytes - 12]);
        party.receive(at(0), A, &forged);
        let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 7];
        report.resize(bytes, 0);
        party.receive(at(0), A, &report);
        let stats = party.session.stats();
        assert_eq!((stats.oversized, stats.unauthenticated), (2 * n, 1));
    }
    let mut sender = Outbound::new(&key(2));
    let authentic = rtp(0, 1, 160, PEER, &[0x55; MAX_DATAGRAM_BYTES]);
    party.receive(at(0), A, &protect(&mut sender, &authentic));
    assert_eq!(party.session.stats().oversized, 7);
}

#[test]
fn a_session_does_not_start_near_a_rollover() {
    let mut party = Party::new(SessionConfig {
        first_sequence: 65_530,
        ..config(secured(keys()), 7)
    });
    party.run_until(at(100));
    assert!(party.rtp().all(|sent| sent.sequence() < 32_768));
}

#[test]
fn no_key_shows_in_what_is_printed_of_a_session() {
    let party = Party::new(config(secured(keys()), 7));
    let shown = format!("{:?} {:?}", party.session, secured(keys()));
    for key in [key(1), key(2)] {
        let bytes: Vec<String> = key.expose()[..6].iter().map(u8::to_string).collect();
        assert!(!shown.contains(&bytes.join(", ")), "{shown}");
    }
    assert!(shown.contains("AES_CM_128_HMAC_SHA1_80(***)"));
}
