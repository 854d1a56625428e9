//! What a media thread allocates for a call that is under way: nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::*;
use crate::ai::hearing;

/// Packets each way before it is counted, and while it is.
const BEFORE: u16 = 60;
const COUNTED: u16 = 240;

thread_local! {
    /// Allocations of this thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    let _ = ALLOCATIONS.try_with(|counted| counted.set(counted.get() + 1));
}

// Counting allocations needs an allocator of our own; it hands everything on.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What its thread has allocated when a frame is heard, and how many were.
#[derive(Default)]
struct Seen {
    frames: AtomicU64,
    allocations: AtomicU64,
}

/// The sink of calls, looked at on the media thread.
struct Watched<S> {
    sink: S,
    seen: Arc<Seen>,
}

impl<S: FrameSink> FrameSink for Watched<S> {
    fn frame(&mut self, frame: &Frame) {
        self.sink.frame(frame);
        let allocations = ALLOCATIONS.get();
        self.seen.allocations.store(allocations, Ordering::Relaxed);
        self.seen.frames.fetch_add(1, Ordering::Release);
    }
}

impl Seen {
    /// Waits until so many frames were heard, and tells what was allocated then.
    fn after(&self, frames: u64) -> u64 {
        while self.frames.load(Ordering::Acquire) < frames {
            std::thread::yield_now();
        }
        self.allocations.load(Ordering::Relaxed)
    }
}

#[test]
fn a_media_thread_allocates_nothing_for_packets_and_ticks_of_a_call_both_of_whose_sides_speak() {
    let Rig {
        mut open,
        peer,
        events: _events,
        negotiated,
        ..
    } = rig(7);
    let seen = Arc::new(Seen::default());
    let mut config = SessionConfig::new(negotiated, 9, Ipv4Addr::LOCALHOST.into());
    config.source_rule = SourceRule::Negotiated;
    // As a call with an agent has it.
    (config.echo_gate, config.gain_control) = (true, true);
    config.playout_capacity_ms = 100;
    open.session = Box::new(MediaSession::new(clock::now(), config));
    open.sink = Some(Box::new(Watched {
        sink: hearing::unread(LEG),
        seen: Arc::clone(&seen),
    }));
    let media = MediaThread::start(None).unwrap();
    media.send(Command::Open(open)).unwrap();
    peer.await_sound();
    let says: Vec<i16> = (0..160_000).map(|n| (n * 37 % 9_000) as i16).collect();
    media
        .send(Command::Play {
            leg: LEG,
            utterance: UtteranceId(1),
            samples: says.into(),
        })
        .unwrap();
    let mut before = 0;
    for sequence in 0..BEFORE + COUNTED {
        // A word and a pause by turns.
        peer.send(sequence, if sequence % 40 < 20 { LOUD } else { SOFT });
        let allocated = seen.after(u64::from(sequence) + 1);
        if sequence < BEFORE {
            before = allocated;
        }
        assert_eq!(allocated, before, "packet {sequence}");
        peer.await_sound();
    }
    assert!(before > 0, "what is allocated there is counted");
    let sent = media.counters().sent.load(Ordering::Relaxed);
    assert!(sent >= u64::from(COUNTED), "{sent}");
}
