//! What one media tick costs, and its parts.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use divan::Bencher;
use offhook_media::codec::g711;
use offhook_media::jitter::{JitterBuffer, Packet};
use offhook_media::mixer::{Mixer, Role};
use offhook_media::rtp::RtpPacket;
use offhook_media::sdp::{self, LocalMedia};
use offhook_media::srtp::{MasterKey, Outbound, SrtpKeys, Suite};
use offhook_media::{
    Codec, Event, MediaSession, Negotiated, SessionConfig, SessionDescription, SourceRule,
    UtteranceId,
};

fn main() {
    divan::main();
}

fn session(now: Instant) -> MediaSession {
    session_with(now, false)
}

fn session_with(now: Instant, echo_gate: bool) -> MediaSession {
    let config = SessionConfig {
        echo_gate,
        ..session_config()
    };
    MediaSession::new(now, config)
}

fn session_config() -> SessionConfig {
    let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let offer = sdp::offer(&LocalMedia::new(peer, 1));
    let local = LocalMedia::new("192.0.2.2:5000".parse().unwrap(), 2);
    let (_, negotiated) = sdp::answer(&offer, &local).unwrap();
    SessionConfig {
        source_rule: SourceRule::Negotiated,
        echo_gate: false,
        ..SessionConfig::new(negotiated, 7, peer.ip())
    }
}

#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

/// Speech-like sound: no silence, a pitch, some noise.
fn speech(samples: usize) -> Vec<i16> {
    let mut noise = 1u32;
    (0..samples)
        .map(|n| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pitch = (n as f32 / 61.0 * std::f32::consts::TAU).sin() * 6_000.0;
            pitch as i16 + (noise >> 22) as i16
        })
        .collect()
}

/// Counts on with each packet, as a peer does.
struct Feed {
    packet: Vec<u8>,
    sequence: u16,
    timestamp: u32,
    now: Instant,
}

impl Feed {
    fn new(now: Instant) -> Self {
        let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        packet.resize(172, 0);
        g711::encode_ulaw(&speech(160), &mut packet[12..]);
        Self {
            packet,
            sequence: 0,
            timestamp: 0,
            now,
        }
    }

    fn next(&mut self) -> &[u8] {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        self.now += Duration::from_millis(20);
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        &self.packet
    }
}

/// One packet in, heard, one packet out: everything but the system calls.
fn step(session: &mut MediaSession, feed: &mut Feed, lost: bool) -> usize {
    let from = SocketAddr::from(([192, 0, 2, 1], 4000));
    feed.next();
    if !lost {
        session.handle_rtp(feed.now, from, &feed.packet);
    }
    let mut work = 0;
    while let Some(event) = session.poll_event() {
        work += usize::from(matches!(event, Event::Heard(_)));
    }
    session.tick(feed.now);
    while let Some(packet) = session.poll_transmit() {
        work += packet.bytes.len();
    }
    while let Some(event) = session.poll_event() {
        work += usize::from(matches!(event, Event::Heard(_)));
    }
    work
}

#[divan::bench]
fn tick_listening(bencher: Bencher<'_, '_>) {
    let now = epoch();
    let (mut session, mut feed) = (session(now), Feed::new(now));
    bencher.bench_local(|| step(&mut session, &mut feed, false));
}

/// So many sessions in turn: with more of them than the processor's cache holds, each step waits for
/// the memory of its session.
#[divan::bench(args = [1, 10, 100, 700])]
fn tick_listening_in_turn(bencher: Bencher<'_, '_>, sessions: usize) {
    let now = epoch();
    let new = || (Box::new(session(now)), Feed::new(now));
    let mut all: Vec<_> = (0..sessions).map(|_| new()).collect();
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % sessions;
        let Some((session, feed)) = all.get_mut(next) else {
            return 0;
        };
        step(session, feed, false)
    });
}

#[divan::bench]
fn tick_listening_with_gain_control(bencher: Bencher<'_, '_>) {
    let now = epoch();
    let config = SessionConfig {
        gain_control: true,
        ..session_config()
    };
    let (mut session, mut feed) = (MediaSession::new(now, config), Feed::new(now));
    bencher.bench_local(|| step(&mut session, &mut feed, false));
}

#[divan::bench]
fn tick_speaking(bencher: Bencher<'_, '_>) {
    let now = epoch();
    let (mut session, mut feed) = (session(now), Feed::new(now));
    let sound = speech(160);
    bencher.bench_local(|| {
        session.play(feed.now, UtteranceId(1), &sound);
        step(&mut session, &mut feed, false)
    });
}

#[divan::bench]
fn tick_speaking_with_the_echo_gate(bencher: Bencher<'_, '_>) {
    let now = epoch();
    let (mut session, mut feed) = (session_with(now, true), Feed::new(now));
    let sound = speech(160);
    bencher.bench_local(|| {
        session.play(feed.now, UtteranceId(1), &sound);
        step(&mut session, &mut feed, false)
    });
}

/// The echo gate looks for an echo among all delays, and finds none.
#[divan::bench]
fn tick_speaking_while_the_caller_does(bencher: Bencher<'_, '_>) {
    let now = epoch();
    let (mut session, mut feed) = (session_with(now, true), Feed::new(now));
    let mut noise = 1u32;
    bencher.bench_local(|| {
        let sound: [i16; 160] = std::array::from_fn(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 20) as i16
        });
        session.play(feed.now, UtteranceId(1), &sound);
        step(&mut session, &mut feed, false)
    });
}

#[divan::bench]
fn tick_recording(bencher: Bencher<'_, '_>) {
    let now = epoch();
    let (mut session, mut feed) = (session(now), Feed::new(now));
    session.set_recording(true);
    bencher.bench_local(|| step(&mut session, &mut feed, false));
}

#[divan::bench]
fn tick_with_every_fifth_packet_lost(bencher: Bencher<'_, '_>) {
    let now = epoch();
    let (mut session, mut feed) = (session(now), Feed::new(now));
    let mut n = 0u32;
    bencher.bench_local(|| {
        n += 1;
        step(&mut session, &mut feed, n.is_multiple_of(5))
    });
}

/// What a flood of packets costs that are of no use, each: made of the peer's next packet.
fn bad_packet(bencher: Bencher<'_, '_>, port: u16, spoil: impl FnOnce(&mut Vec<u8>, &[u8])) {
    let now = epoch();
    let (mut session, mut feed) = (session(now), Feed::new(now));
    let from = SocketAddr::from(([192, 0, 2, 1], 4000));
    session.handle_rtp(now, from, feed.next());
    while session.poll_event().is_some() {}
    session.tick(now);
    let ours = session.poll_transmit().map(|packet| packet.bytes.to_vec());
    let mut packet = feed.next().to_vec();
    spoil(&mut packet, &ours.unwrap());
    let from = SocketAddr::from(([192, 0, 2, 1], port));
    bencher.bench_local(|| session.handle_rtp(now, from, black_box(&packet)));
    let stats = session.stats();
    assert_eq!(stats.received - stats.duplicates, 1, "{stats:?}");
}

#[divan::bench]
fn bad_packet_foreign(bencher: Bencher<'_, '_>) {
    bad_packet(bencher, 4_002, |_, _| {});
}

#[divan::bench]
fn bad_packet_truncated(bencher: Bencher<'_, '_>) {
    bad_packet(bencher, 4_000, |packet, _| packet.truncate(7));
}

#[divan::bench]
fn bad_packet_oversized(bencher: Bencher<'_, '_>) {
    bad_packet(bencher, 4_000, |packet, _| packet.resize(9_000, 0));
}

#[divan::bench]
fn bad_packet_of_another_version(bencher: Bencher<'_, '_>) {
    bad_packet(bencher, 4_000, |packet, _| packet[0] = 0x40);
}

#[divan::bench]
fn bad_packet_of_another_ssrc(bencher: Bencher<'_, '_>) {
    bad_packet(bencher, 4_000, |packet, _| packet[8] = 1);
}

#[divan::bench]
fn bad_packet_of_no_payload_type(bencher: Bencher<'_, '_>) {
    bad_packet(bencher, 4_000, |packet, _| {
        packet[1..12].copy_from_slice(&[96; 11])
    });
}

#[divan::bench]
fn bad_packet_looped(bencher: Bencher<'_, '_>) {
    bad_packet(bencher, 4_000, |packet, ours| *packet = ours.to_vec());
}

#[divan::bench]
fn bad_packet_replayed(bencher: Bencher<'_, '_>) {
    bad_packet(bencher, 4_000, |packet, _| {
        // The one before, once more.
        packet[3] -= 1;
        packet[7] -= 160;
    });
}

#[divan::bench]
fn bad_report_of_another_ssrc(bencher: Bencher<'_, '_>) {
    bad_packet(bencher, 4_001, |packet, _| {
        packet.clear();
        packet.extend([0x80, 201, 0, 1, 0, 0, 0, 9]);
    });
}

#[divan::bench]
fn bad_packet_forged_under_srtp(bencher: Bencher<'_, '_>) {
    bad_srtp(bencher, |packet| packet[3] += 1);
}

#[divan::bench]
fn bad_packet_replayed_under_srtp(bencher: Bencher<'_, '_>) {
    bad_srtp(bencher, |_| {});
}

#[divan::bench]
fn bad_packet_oversized_under_srtp(bencher: Bencher<'_, '_>) {
    bad_srtp(bencher, |packet| packet.resize(2_048, 0));
}

/// The same in an SRTP session, of a packet that came before.
fn bad_srtp(bencher: Bencher<'_, '_>, spoil: impl FnOnce(&mut Vec<u8>)) {
    let now = epoch();
    let mut random = rand::rng();
    let mut draw = || MasterKey::draw(Suite::AesCm128HmacSha1_80, &mut random);
    let (ours, theirs) = (draw(), draw());
    let (mut session, mut feed) = (session(now), Feed::new(now));
    let mut sender = Outbound::new(&theirs);
    let srtp = Some(SrtpKeys {
        ours,
        theirs,
        their_mki: None,
    });
    let negotiated = session.negotiated().clone();
    session.renegotiate(now, Negotiated { srtp, ..negotiated });
    let mut packet = feed.next().to_vec();
    let len = packet.len();
    packet.resize(len + 10, 0);
    sender.protect_rtp(&mut packet, len).unwrap();
    let from = SocketAddr::from(([192, 0, 2, 1], 4_000));
    session.handle_rtp(now, from, &packet);
    spoil(&mut packet);
    bencher.bench_local(|| session.handle_rtp(now, from, black_box(&packet)));
    assert_eq!(session.stats().received, 1);
}

#[divan::bench]
fn jitter_insert_hear_pull(bencher: Bencher<'_, '_>) {
    let now = epoch();
    let mut jitter = JitterBuffer::new(now, 8_000);
    let payload = [0x31; 160];
    let (mut sequence, mut out) = (0u64, [0; 160]);
    bencher.bench_local(|| {
        sequence += 1;
        let received = now + Duration::from_millis(20) * sequence as u32;
        let timestamp = sequence * 160;
        let packet = Packet {
            sequence,
            timestamp,
            received,
            codec: Codec::Pcmu,
            payload: &payload,
        };
        black_box(jitter.insert(packet));
        let heard = jitter.hear();
        jitter.pull(received, &mut out);
        heard.map(|frame| frame.samples().len())
    });
}

/// A step of a conference: who is there, and how many of them speak at once.
#[divan::bench(args = [(3, 2, 8_000), (30, 3, 8_000), (30, 30, 8_000), (30, 3, 16_000)])]
fn mixer_step(bencher: Bencher<'_, '_>, (parties, speak, rate_hz): (usize, usize, u32)) {
    let mut mixer = Mixer::new(rate_hz);
    let parties: Vec<_> = (0..parties)
        .map(|_| mixer.join(8_000, Role::Talker).unwrap())
        .collect();
    let (sound, silence) = (speech(160), [0; 160]);
    bencher.bench_local(|| {
        for (n, party) in parties.iter().enumerate() {
            mixer.give(*party, if n < speak { &sound } else { &silence });
        }
        mixer.step();
        parties.iter().map(|party| mixer.heard(*party)[80]).max()
    });
}

#[divan::bench]
fn rtp_parse(bencher: Bencher<'_, '_>) {
    let feed = Feed::new(epoch());
    bencher.bench_local(|| RtpPacket::parse(black_box(&feed.packet)).map(|p| p.payload.len()));
}

#[divan::bench]
fn sdp_parse_and_answer(bencher: Bencher<'_, '_>) {
    let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let text = sdp::offer(&LocalMedia::new(peer, 1)).to_string();
    let local = LocalMedia::new("192.0.2.2:5000".parse().unwrap(), 2);
    bencher.bench_local(|| {
        let offer = SessionDescription::parse(black_box(text.as_bytes())).unwrap();
        sdp::answer(&offer, &local).unwrap().0.to_string().len()
    });
}
