//! No bytes make a parser or a session panic, nor cost more than they should.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use common::{A, B, Party, address, at, config, rtp, taking_all, with_peer_at};
use offhook_media::sdp;
use offhook_media::{
    Codec, Event, LocalMedia, Negotiated, OneWay, SessionConfig, SessionDescription, Stats,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn descriptions() -> Vec<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpora/carriers");
    let files = fs::read_dir(root)
        .unwrap()
        .map(|file| fs::read(file.unwrap().path()).unwrap());
    let mut found: Vec<Vec<u8>> = files
        .filter_map(|message| {
            let at = message
                .windows(4)
                .position(|window| window == b"\r\n\r\n")?;
            Some(message[at + 4..].to_vec())
        })
        .filter(|body| body.starts_with(b"v=0"))
        .collect();
    found.sort();
    found
}

fn negotiate(bytes: &[u8]) {
    let local = LocalMedia::new(address(B), 1);
    let Ok(read) = SessionDescription::parse(bytes) else {
        return;
    };
    let printed = read.to_string();
    let again = SessionDescription::parse(printed.as_bytes()).unwrap();
    assert_eq!(again.to_string(), printed);
    let _ = sdp::answer(&read, &local);
    let _ = Negotiated::from_answer(&sdp::offer(&local), &read);
}

fn bytes_from(address: &str, party: &mut Party, ms: u64, packets: &[Vec<u8>]) {
    for (n, packet) in packets.iter().enumerate() {
        let now = at(ms + n as u64 * 3);
        let from: SocketAddr = address.parse().unwrap();
        party.session.handle_rtp(now, from, packet);
        party.session.handle_rtcp(now, from, packet);
        party.drain(now);
        party.run_until(now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_no_description_or_one(bytes in vec(any::<u8>(), 0..400)) {
        negotiate(&bytes);
        let mut begun = b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nc=IN IP4 1.2.3.4\r\nm=audio 9 RTP/AVP 0 ".to_vec();
        begun.extend(bytes);
        negotiate(&begun);
    }

    #[test]
    fn a_damaged_description_is_refused_or_read(
        which in 0usize..64,
        damage in vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..12),
    ) {
        let all = descriptions();
        let mut bytes = all[which % all.len()].clone();
        for (at, byte, how) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        negotiate(&bytes);
    }

    #[test]
    fn any_datagrams_leave_a_session_alive(packets in vec(vec(any::<u8>(), 0..120), 0..60)) {
        let mut party = Party::new(config(with_peer_at(A), 7));
        bytes_from(A, &mut party, 0, &packets);
        party.run_until(at(1_000));
        prop_assert!(party.session.stats().packets_sent >= 40);
    }

    #[test]
    fn any_rtp_leaves_a_session_alive_and_its_time_in_order(
        packets in vec(
            (
                prop::sample::select(vec![0u8, 8, 13, 101, 0x80, 101 | 0x80, 77]),
                any::<u16>(), any::<u32>(), 0u32..2, vec(any::<u8>(), 0..700), 0u8..4,
            ),
            0..80,
        ),
    ) {
        let mut party = Party::new(config(with_peer_at(A), 7));
        let mut sequence = 0u16;
        let packets: Vec<Vec<u8>> = packets.into_iter().map(|(kind, wild, timestamp, ssrc, payload, how)| {
            // Mostly near the numbers before, so that more than the first check is reached.
            sequence = match how {
                0 => wild,
                1 => sequence.wrapping_add(wild % 20),
                _ => sequence.wrapping_add(1),
            };
            let timestamp = if how == 0 { timestamp } else { u32::from(sequence) * 160 };
            rtp(kind, sequence, timestamp, ssrc, &payload)
        }).collect();
        bytes_from(A, &mut party, 0, &packets);
        party.run_until(at(2_000));
        let mut last = 0;
        for (_, frame) in party.heard() {
            prop_assert!(frame.rtp_timestamp >= last);
            last = frame.rtp_timestamp;
        }
    }

    #[test]
    fn any_payloads_of_any_codec_leave_a_session_alive_and_its_time_in_order(
        packets in vec(
            (
                prop::sample::select(vec![0u8, 8, 9, 101, 102, 111, 112]),
                0u16..4, any::<bool>(), vec(any::<u8>(), 0..300),
            ),
            0..60,
        ),
    ) {
        let (_, everything) = taking_all(&Codec::ALL);
        let mut party = Party::new(config(everything, 7));
        let (mut sequence, mut timestamp) = (0u16, 0u32);
        let packets: Vec<Vec<u8>> = packets.into_iter().map(|(kind, ahead, jumps, payload)| {
            sequence = sequence.wrapping_add(ahead);
            timestamp = timestamp.wrapping_add(if jumps { 1 << 28 } else { 960 });
            rtp(kind, sequence, timestamp, 5, &payload)
        }).collect();
        let before = party.session.memory_bytes();
        bytes_from(A, &mut party, 0, &packets);
        party.run_until(at(1_000));
        let positions: Vec<u64> = party.heard().map(|(_, frame)| frame.rtp_timestamp).collect();
        prop_assert!(positions.windows(2).all(|pair| pair[1] >= pair[0]));
        prop_assert_eq!(party.session.memory_bytes(), before);
    }

    #[test]
    fn any_rtcp_leaves_a_session_alive(
        packets in vec((200u8..208, 0u8..32, vec(any::<u8>(), 0..80)), 0..20),
    ) {
        let mut party = Party::new(config(with_peer_at(A), 7));
        let compounds: Vec<Vec<u8>> = packets.into_iter().map(|(kind, count, mut body)| {
            body.resize(body.len().next_multiple_of(4), 0);
            let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 1, 0x80 | count, kind];
            packet.extend(((body.len() / 4) as u16).to_be_bytes());
            packet.extend(body);
            packet
        }).collect();
        bytes_from(A, &mut party, 0, &compounds);
        prop_assert_eq!(party.session.stats().rtcp_received, 2 * compounds.len() as u64);
    }
}

/// A kind of packet that is of no use: how it is made of the peer's next one, and its counter.
type Bad = (&'static str, fn(&mut Vec<u8>, &[u8]), fn(&Stats) -> u64);

const BAD: [Bad; 8] = [
    ("truncated", |packet, _| packet.truncate(7), |s| s.truncated),
    ("empty", |packet, _| packet.clear(), |s| s.truncated),
    (
        "oversized",
        |packet, _| packet.resize(9_000, 0x40),
        |s| s.oversized,
    ),
    ("version", |packet, _| packet[0] = 0x40, |s| s.wrong_version),
    ("padding", |packet, _| packet[0] = 0xA0, |s| s.malformed),
    ("source", |packet, _| packet[8] = 9, |s| s.wrong_ssrc),
    (
        "looped",
        |packet, ours| *packet = ours.to_vec(),
        |s| s.looped,
    ),
    ("payload", |packet, _| packet[1] = 96, |s| s.unknown_payload),
];

fn good(n: u16) -> Vec<u8> {
    // If it said that it was padded, its padding would be longer than itself.
    rtp(0, n, u32::from(n) * 160, 5, &[0xC0; 160])
}

#[test]
fn a_flood_of_any_kind_of_bad_packet_is_counted_as_such_and_ends_no_call() {
    const FLOOD: u64 = 20;
    for (name, make, counted) in BAD {
        let mut party = Party::new(SessionConfig {
            media_timeout: Duration::from_secs(1),
            ..config(with_peer_at(A), 7)
        });
        for n in 0..200u16 {
            let now = u64::from(n) * 20;
            party.receive(at(now), A, &good(n));
            party.run_until(at(now + 20));
            let ours = party.rtp().last().unwrap().bytes.clone();
            for _ in 0..FLOOD {
                let mut bad = good(n + 1);
                make(&mut bad, &ours);
                party.receive(at(now + 19), A, &bad);
            }
        }
        let stats = party.session.stats();
        assert_eq!(counted(&stats), 200 * FLOOD, "{name} {stats:?}");
        let heard = party.heard().filter(|(_, frame)| !frame.concealed);
        // A payload type that was not agreed on takes its packet's place, as it may.
        let expected = if name == "payload" { 1 } else { 200 };
        assert_eq!(heard.count(), expected, "{name}");
        let ends = |event: &Event| matches!(event, Event::RemoteBye | Event::MediaTimeout { .. });
        assert!(!party.events.iter().any(|(_, event)| ends(event)), "{name}");
        let all = [
            stats.truncated,
            stats.oversized,
            stats.wrong_version,
            stats.malformed,
            stats.wrong_ssrc,
            stats.looped,
            stats.unknown_payload,
            stats.foreign,
        ];
        assert_eq!(all.iter().sum::<u64>(), 200 * FLOOD, "{name} {stats:?}");
    }
}

#[test]
fn a_replayed_packet_is_counted_and_does_nothing() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    for n in 0..200u16 {
        for _ in 0..20 {
            party.receive(at(u64::from(n) * 20), A, &good(n));
        }
        party.run_until(at(u64::from(n) * 20 + 20));
    }
    let stats = party.session.stats();
    assert_eq!((stats.duplicates, stats.lost), (200 * 19, 0), "{stats:?}");
    assert_eq!(party.heard().count(), 200);
}

#[test]
fn a_line_that_only_sends_our_own_packets_back_is_alive_and_says_nothing() {
    let mut party = Party::new(SessionConfig {
        media_timeout: Duration::from_secs(1),
        ..config(with_peer_at(A), 7)
    });
    for n in 0..200u64 {
        party.run_until(at(n * 20 + 20));
        let ours = party.rtp().last().unwrap().bytes.clone();
        party.receive(at(n * 20 + 25), A, &ours);
    }
    assert_eq!(party.session.stats().looped, 200);
    let told: Vec<_> = party.events.iter().map(|(_, event)| event).collect();
    let why = OneWay::Looped;
    assert!(
        matches!(told[..], [Event::OneWay { why: found, .. }] if *found == why),
        "{told:?}"
    );
}

#[test]
fn a_peer_that_drew_our_source_is_heard() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    party.run_until(at(100));
    for n in 0..10u16 {
        let packet = rtp(0, n, 0xABCD_0000 + u32::from(n) * 160, 7, &[0x40; 160]);
        party.receive(at(100 + u64::from(n) * 20), A, &packet);
    }
    assert_eq!(
        (party.heard().count(), party.session.stats().looped),
        (10, 0)
    );
}

#[test]
fn what_the_owner_does_not_take_is_dropped_and_memory_stays_what_it_was() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    let before = party.session.memory_bytes();
    for n in 0..5_000u16 {
        let now = at(u64::from(n) * 20);
        party.session.handle_rtp(
            now,
            address(A),
            &rtp(0, n, u32::from(n) * 160, 5, &[1; 160]),
        );
        party.session.tick(now);
    }
    assert!(party.session.stats().overrun > 1_000);
    assert_eq!(party.session.memory_bytes(), before);
    // It goes on as if nothing had been.
    party.drain(at(100_000));
    party.events.clear();
    party.receive(at(100_000), A, &rtp(0, 5_000, 800_000, 5, &[1; 160]));
    assert_eq!(party.heard().count(), 1);
}

#[test]
fn a_session_may_move_between_threads() {
    fn moves<T: Send>() {}
    moves::<offhook_media::MediaSession>();
    moves::<Event>();
}
