//! After set-up no packet and no tick allocates memory.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use common::{A, address, at, config, rtp, with_peer_at};
use offhook_media::srtp::{MasterKey, Outbound, SrtpKeys, Suite};
use offhook_media::{Event, MediaSession, Negotiated, SessionConfig, UtteranceId};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// Counting allocations needs an allocator of our own; it hands everything on.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_minute_of_a_call_allocates_nothing() {
    let packets = (0..3_000u16)
        .map(|n| rtp(0, n, u32::from(n) * 160, 5, &[n as u8; 160]))
        .collect();
    let mut report = vec![0x80, 200, 0, 6];
    report.resize(28, 0);
    a_minute(with_peer_at(A), packets, vec![report; 30]);
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
            ..config(negotiated, 7)
        },
    );
    let peer = address(A);
    let speech = [4_000; 160];
    session.tick(at(0));
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let (mut heard, mut sent, mut recorded) = (0, 0, 0);
    for (n, packet) in (0u64..).zip(&packets) {
        let now = at(n * 20 + 7);
        // Some are lost, some come late, some twice, some from elsewhere.
        if n % 17 != 3 {
            session.handle_rtp(now, peer, packet);
        }
        if n % 23 == 5 && n > 2 {
            session.handle_rtp(now, peer, &packets[n as usize - 2]);
            session.handle_rtp(now, address("203.0.113.66:1"), packet);
        }
        if n % 100 == 50 {
            session.handle_rtp(now, peer, &reports[n as usize / 100]);
        }
        match n % 60 {
            0..=20 => drop(session.play(now, UtteranceId(n / 60), &speech)),
            21 => session.finish(now, UtteranceId(n / 60)),
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
    let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(allocated, 0);
    assert!(
        heard > 2_500 && sent > 2_990 && recorded > 2_990,
        "{heard} {sent} {recorded}"
    );
    let stats = session.stats();
    assert!(stats.concealed_samples > 0 && stats.rtcp_received == 30);
}
