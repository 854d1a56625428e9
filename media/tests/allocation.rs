//! After set-up no packet and no tick allocates memory.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use common::{A, address, at, config, rtp, with_peer_at};
use offhook_media::{Event, MediaSession, SessionConfig, UtteranceId};

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
    let mut session = MediaSession::new(
        at(0),
        SessionConfig {
            recording: true,
            echo_gate: true,
            ..config(with_peer_at(A), 7)
        },
    );
    let packets: Vec<Vec<u8>> = (0..3_000u16)
        .map(|n| rtp(0, n, u32::from(n) * 160, 5, &[n as u8; 160]))
        .collect();
    let mut report = vec![0x80, 200, 0, 6];
    report.resize(28, 0);
    let peer = address(A);
    let speech = [4_000; 160];
    session.tick(at(0));
    let before = ALLOCATIONS.load(Ordering::Relaxed);
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
            session.handle_rtp(now, peer, &report);
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
    assert!(
        stats.concealed_samples > 0 && stats.accelerated_ms > 0,
        "{stats:?}"
    );
}
