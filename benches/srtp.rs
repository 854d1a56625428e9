//! What SRTP costs a packet: 20 ms of G.711 protected and taken apart, a forged one refused, and a
//! session's whole step with it and without.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use divan::Bencher;
use offhook_media::sdp::{self, LocalMedia};
use offhook_media::srtp::{Inbound, MasterKey, Outbound, SrtpKeys, Suite};
use offhook_media::{MediaSession, Negotiated, SessionConfig, SourceRule};

/// Packets made ahead of a measurement, each with an index of its own.
const PACKETS: usize = 1_000;
const SECURE: [Option<Suite>; 4] = [
    None,
    Some(Suite::AesCm128HmacSha1_80),
    Some(Suite::Aes256CmHmacSha1_80),
    Some(Suite::AeadAes256Gcm),
];

fn main() {
    divan::main();
}

fn key(suite: Suite) -> MasterKey {
    MasterKey::draw(suite, &mut rand::rng())
}

fn packet(n: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    packet[2..4].copy_from_slice(&n.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(n) * 160).to_be_bytes());
    packet.resize(172, 0x5A);
    packet
}

/// Packets under a key, in order.
fn protected(key: &MasterKey) -> Vec<Vec<u8>> {
    let mut sender = Outbound::new(key);
    let protect = |n| {
        let mut room = packet(n);
        room.resize(172 + 16, 0);
        let len = sender.protect_rtp(&mut room, 172).unwrap();
        room.truncate(len);
        room
    };
    (0..PACKETS as u16).map(protect).collect()
}

#[divan::bench(args = Suite::ALL)]
fn protect(bencher: Bencher<'_, '_>, suite: Suite) {
    let mut sender = Outbound::new(&key(suite));
    let mut room = packet(0);
    room.resize(172 + 16, 0);
    let mut n = 0u16;
    bencher.bench_local(|| {
        n = n.wrapping_add(1);
        room[2..4].copy_from_slice(&n.to_be_bytes());
        sender.protect_rtp(black_box(&mut room), 172)
    });
}

#[divan::bench(args = Suite::ALL, sample_size = 1_000)]
fn unprotect(bencher: Bencher<'_, '_>, suite: Suite) {
    let key = key(suite);
    let packets = protected(&key);
    let mut receiver = Inbound::new(&key, None);
    let mut n = 0;
    let mut room = [0; 188];
    bencher.bench_local(|| {
        if n == PACKETS {
            (n, receiver) = (0, Inbound::new(&key, None));
        }
        let packet = &packets[n];
        n += 1;
        room[..packet.len()].copy_from_slice(packet);
        receiver.unprotect_rtp(black_box(&mut room[..packet.len()]))
    });
}

#[divan::bench(args = [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm])]
fn refuse_forged(bencher: Bencher<'_, '_>, suite: Suite) {
    let key = key(suite);
    let packets = protected(&key);
    let mut receiver = Inbound::new(&key, None);
    let mut first = packets[0].clone();
    receiver.unprotect_rtp(&mut first).unwrap();
    let mut forged = packets[1].clone();
    forged[50] ^= 1;
    bencher.bench_local(|| receiver.unprotect_rtp(black_box(&mut forged)));
}

#[divan::bench(args = [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm])]
fn derive_the_keys_of_a_call(bencher: Bencher<'_, '_>, suite: Suite) {
    let (ours, theirs) = (key(suite), key(suite));
    bencher.bench_local(|| (Outbound::new(black_box(&ours)), Inbound::new(&theirs, None)));
}

fn session(now: Instant, suite: Option<Suite>) -> (MediaSession, Vec<Vec<u8>>) {
    let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let offer = sdp::offer(&LocalMedia::new(peer, 1));
    let local = LocalMedia::new("192.0.2.2:5000".parse().unwrap(), 2);
    let (_, negotiated) = sdp::answer(&offer, &local).unwrap();
    let keys = suite.map(|suite| SrtpKeys {
        ours: key(suite),
        theirs: key(suite),
        their_mki: None,
    });
    let packets = match &keys {
        Some(keys) => protected(&keys.theirs),
        None => (0..PACKETS as u16).map(packet).collect(),
    };
    let negotiated = Negotiated {
        srtp: keys,
        ..negotiated
    };
    let config = SessionConfig {
        source_rule: SourceRule::Negotiated,
        ..SessionConfig::new(negotiated, 7, peer.ip())
    };
    (MediaSession::new(now, config), packets)
}

/// One packet in and heard, one packet out; in the clear it is `tick_listening` of `media_tick`.
#[divan::bench(args = SECURE, sample_size = 1_000)]
#[allow(clippy::disallowed_methods)]
fn step_of_a_session(bencher: Bencher<'_, '_>, suite: Option<Suite>) {
    let mut now = Instant::now();
    let (mut current, mut packets) = session(now, suite);
    let mut n = 0;
    bencher.bench_local(|| {
        if n == PACKETS {
            (current, packets) = session(now, suite);
            n = 0;
        }
        current.handle_rtp(now, ([192, 0, 2, 1], 4000).into(), &packets[n]);
        n += 1;
        current.tick(now);
        now += Duration::from_millis(20);
        let mut work = 0;
        while let Some(packet) = current.poll_transmit() {
            work += packet.bytes.len();
        }
        while current.poll_event().is_some() {
            work += 1;
        }
        work
    });
}
