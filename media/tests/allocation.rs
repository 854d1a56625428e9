//! After set-up no packet and no tick allocates memory.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use common::{A, address, agreement, at, config, rtp, speech_16k, with_peer_at};
use offhook_media::codec::{Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD_BYTES, OpusWishes};
use offhook_media::mixer::{Mixer, Role};
use offhook_media::music::{Background, SoundLoop};
use offhook_media::srtp::{MasterKey, Outbound, SrtpKeys, Suite};
use offhook_media::{Codec, Event, InbandDtmf, MediaSession, Negotiated};
use offhook_media::{SessionConfig, StepSound, UtteranceId};

thread_local! {
    /// Allocations of this thread, which no other test disturbs, and bytes that it holds.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

fn count(allocations: u64, bytes: i64) {
    let _ = ALLOCATIONS.try_with(|counted| counted.set(counted.get() + allocations));
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// Counting allocations needs an allocator of our own; it hands everything on.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(1, bytes as i64 - layout.size() as i64);
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_minute_of_a_call_allocates_nothing() {
    let packets = (0..3_000u16)
        // Comfort noise stands for some of the sound.
        .map(|n| (n, if n % 41 == 40 { 13 } else { 0 }))
        .map(|(n, kind)| rtp(kind, n, u32::from(n) * 160, 5, &[n as u8; 160]))
        .collect();
    let mut report = vec![0x80, 200, 0, 6];
    report.resize(28, 0);
    report[7] = 5;
    a_minute(with_peer_at(A), packets, vec![report.clone(); 30]);
    let packets = (0..3_000u16)
        .map(|n| rtp(9, n, u32::from(n) * 160, 5, &[n as u8; 160]))
        .collect();
    let (_, wideband) = agreement(|local| local.codecs = vec![Codec::G722]);
    a_minute(wideband, packets, vec![report; 30]);
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm] {
        an_encrypted_minute(suite);
    }
}

fn an_encrypted_minute(suite: Suite) {
    let key = MasterKey::draw(suite, &mut rand::rng());
    let mut sender = Outbound::new(&key);
    let mut protect = |mut packet: Vec<u8>, rtcp: bool| {
        let len = packet.len();
        packet.resize(len + 20, 0);
        let protected = match rtcp {
            true => sender.protect_rtcp(&mut packet, len),
            false => sender.protect_rtp(&mut packet, len),
        };
        packet.truncate(protected.unwrap());
        packet
    };
    let packets = (0..3_000u16)
        .map(|n| protect(rtp(0, n, u32::from(n) * 160, 5, &[n as u8; 160]), false))
        .collect();
    let mut report = vec![0x80, 200, 0, 6];
    report.resize(28, 0);
    report[7] = 5;
    let reports = (0..30).map(|_| protect(report.clone(), true)).collect();
    let srtp = SrtpKeys {
        ours: MasterKey::draw(suite, &mut rand::rng()),
        theirs: key,
        their_mki: None,
    };
    let negotiated = Negotiated {
        srtp: Some(srtp),
        ..with_peer_at(A)
    };
    a_minute(negotiated, packets, reports);
}

fn a_minute(negotiated: Negotiated, packets: Vec<Vec<u8>>, reports: Vec<Vec<u8>>) {
    let mut session = MediaSession::new(
        at(0),
        SessionConfig {
            recording: true,
            echo_gate: true,
            inband_dtmf: InbandDtmf::On,
            ambience: Some(Background {
                sound: Arc::new(SoundLoop::room_tone()),
                level_dbfs: -50.0,
            }),
            ..config(negotiated, 7)
        },
    );
    let peer = address(A);
    let speech = [4_000; 320];
    let speech = &speech[..session.rate_hz() as usize / 50];
    session.tick(at(0));
    let (before, mut by_play) = (ALLOCATIONS.get(), 0);
    let (mut heard, mut sent, mut recorded) = (0, 0, 0);
    for (n, packet) in (0u64..).zip(&packets) {
        let now = at(n * 20 + 7);
        // The path gets longer by 60 ms for a while, step by step, and shorter again at once.
        let behind = if n % 1_000 < 500 { n % 1_000 / 150 } else { 0 };
        // Some are lost, some come late, some twice, some from elsewhere.
        if n % 17 != 3 && n >= behind {
            session.handle_rtp(now, peer, &packets[(n - behind) as usize]);
        }
        if n % 1_000 == 500 {
            (n - 3..n).for_each(|late| session.handle_rtp(now, peer, &packets[late as usize]));
        }
        if n % 23 == 5 && n > 2 {
            session.handle_rtp(now, peer, &packets[n as usize - 2]);
            session.handle_rtp(now, address("203.0.113.66:1"), packet);
        }
        if n % 100 == 50 {
            session.handle_rtp(now, peer, &reports[n as usize / 100]);
        }
        // Pauses are longer than the echo gate's memory of an utterance lasts.
        match n % 100 {
            0..=20 => {
                let before = ALLOCATIONS.get();
                session.play(now, UtteranceId(n / 100), speech);
                by_play += ALLOCATIONS.get() - before;
            }
            21 => session.finish(now, UtteranceId(n / 100)),
            50 => drop(session.cancel()),
            _ => {}
        }
        while session.next_tick() <= at(n * 20 + 20) {
            let tick = session.next_tick();
            session.tick(tick);
            while session.poll_transmit().is_some() {
                sent += 1;
            }
            while let Some(event) = session.poll_event() {
                heard += u64::from(matches!(event, Event::Heard(_)));
                recorded += u64::from(matches!(event, Event::Recording(_)));
            }
        }
    }
    let allocated = ALLOCATIONS.get() - before;
    assert_eq!((allocated - by_play, by_play), (0, 30));
    assert!(
        heard > 2_500 && sent > 2_990 && recorded > 2_990,
        "{heard} {sent} {recorded}"
    );
    let stats = session.stats();
    assert!(
        stats.concealed_samples > 0 && stats.accelerated_ms > 0 && stats.rtcp_received == 30,
        "{stats:?}"
    );
}

#[test]
fn a_relayed_minute_allocates_nothing() {
    let mut parties = [A, "192.0.2.9:6000"].map(|peer| {
        let mut session = MediaSession::new(at(0), config(with_peer_at(peer), peer.len() as u32));
        session.tick(at(0));
        while session.poll_transmit().is_some() {}
        (session, address(peer))
    });
    let packets: Vec<_> = (0..3_000u16)
        .map(|n| rtp(0, n, u32::from(n) * 160, 5, &[n as u8; 160]))
        .collect();
    let [(left, _), (right, _)] = &mut parties;
    left.begin_relay(right, false);
    right.begin_relay(left, false);
    let before = ALLOCATIONS.get();
    let mut sent = 0;
    for (n, packet) in (0u64..).zip(&packets) {
        for _ in 0..2 {
            let [(from, peer), (to, _)] = &mut parties;
            from.relay_rtp(at(n * 20 + 7), *peer, packet, to);
            while to.poll_transmit().is_some() {
                sent += 1;
            }
            while from.poll_event().is_some() {}
            let now = at(n * 20 + 20);
            from.tick(now);
            while from.poll_transmit().is_some() {}
            parties.swap(0, 1);
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!(sent, 6_000);
}

#[test]
fn a_minute_with_others_allocates_nothing_whoever_speaks_after_however_long_a_silence() {
    let mut session = MediaSession::new(
        at(0),
        SessionConfig {
            echo_gate: true,
            ..config(with_peer_at(A), 7)
        },
    );
    session.expect_sound();
    let before = ALLOCATIONS.get();
    let mut step = StepSound::default();
    for n in 0..3_000u64 {
        let now = at(n * 20);
        let heard = [if n % 150 < 30 { 4_000 } else { 0 }; 160];
        let packet = rtp(0, n as u16, n as u32 * 160, 5, &[n as u8; 160]);
        let allocated = ALLOCATIONS.get();
        session.handle_rtp(now, address(A), &packet);
        assert!(session.begin_step(now, now, &mut step));
        session.end_step(now, &step, &heard);
        while session.poll_transmit().is_some() {}
        while session.poll_event().is_some() {}
        assert_eq!(ALLOCATIONS.get() - allocated, 0, "step {n}");
    }
    assert!(
        ALLOCATIONS.get() > before,
        "packets of this test are counted"
    );
}

#[test]
fn a_minute_of_a_conference_allocates_nothing() {
    let mut mixer = Mixer::new(16_000);
    let rates = [8_000, 16_000, 16_000, 8_000];
    let parties = rates.map(|rate_hz| mixer.join(rate_hz, Role::Talker).unwrap());
    let before = ALLOCATIONS.get();
    let mut loudest = 0;
    for n in 0..3_000u16 {
        let role = match n % 40 {
            0..10 => Role::Whisper(parties[1]),
            10..20 => Role::Listener,
            _ => Role::Talker,
        };
        mixer.set_role(parties[3], role).unwrap();
        for (party, rate_hz) in parties.iter().zip(rates) {
            // Loud enough together to be turned down; now and then one falls silent.
            let sound = [(n % 97 * 250) as i16; 320];
            if n % 31 > 2 {
                mixer.give(*party, &sound[..rate_hz as usize / 50]);
            }
        }
        mixer.step();
        for party in &parties {
            loudest = mixer.heard(*party).iter().fold(loudest, |a, b| a.max(*b));
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(loudest > 25_000, "{loudest}");
}

/// Encodes and decodes some seconds of speech, every tenth packet lost, and tells how often each
/// side allocated per packet at most, and how much memory both hold.
fn per_packet(codec: Codec, rate_hz: u32) -> (u64, u64, i64) {
    let speech = speech_16k();
    let held = HELD.get();
    let wishes = OpusWishes {
        in_band_fec: true,
        ..OpusWishes::default()
    };
    let mut encoder = Encoder::new(codec, rate_hz, wishes);
    let mut decoder = Decoder::new(rate_hz);
    decoder.prepare([codec]);
    encoder.heed_loss(0.05);
    let (mut encoding, mut decoding) = (0, 0);
    for (n, sound) in speech.chunks_exact(rate_hz as usize / 50).enumerate() {
        let (mut payload, mut heard) = ([0; MAX_PAYLOAD_BYTES], [0; MAX_PACKET_SAMPLES]);
        let before = ALLOCATIONS.get();
        let bytes = encoder.encode(sound, &mut payload);
        let between = ALLOCATIONS.get();
        if n % 10 == 3 {
            decoder.conceal(&mut heard[..sound.len()]);
        } else {
            decoder.decode(codec, &payload[..bytes], &mut heard);
        }
        // What is made once and kept shows in the first packets only.
        if n > 100 {
            encoding = encoding.max(between - before);
            decoding = decoding.max(ALLOCATIONS.get() - between);
        }
    }
    let inline = size_of::<Encoder>() + size_of::<Decoder>();
    let claimed = encoder.heap_bytes() + decoder.heap_bytes() + inline;
    let held = HELD.get() - held;
    assert!(
        held <= claimed as i64,
        "{codec:?} holds {held} bytes, not {claimed}"
    );
    (encoding, decoding, held)
}

#[test]
fn codecs_allocate_nothing_for_a_packet_but_opus_which_takes_little() {
    for codec in Codec::ALL {
        for rate_hz in [8_000, 16_000] {
            let (encoding, decoding, held) = per_packet(codec, rate_hz);
            println!("{codec:?} at {rate_hz}: {encoding} and {decoding} allocations, {held} bytes");
            let most = if codec == Codec::Opus { (8, 6) } else { (0, 0) };
            assert!(
                encoding <= most.0 && decoding <= most.1,
                "{codec:?} {encoding} {decoding}"
            );
        }
    }
}
