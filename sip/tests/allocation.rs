//! Reading a message allocates nothing, nor does dropping one.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

use offhook_sip::message::{HeaderName, Message};
use offhook_sip::{Flow, Settings, Transport, UserAgent};

mod common;
use common::carrier;

/// Counts this thread's allocations.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[allow(unsafe_code, reason = "a global allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn an_invite_is_parsed_typed_and_validated_without_allocation() {
    let bytes = carrier("03_twilio_termination_invite_noauth.sip");
    let count = allocations(|| {
        let message = Message::parse(&bytes).unwrap();
        let request = message.essentials().unwrap();
        assert_eq!(request.cseq.number, 30121);
        assert!(message.validate().is_ok());
        assert_eq!(message.vias().count(), 1);
        assert_eq!(message.contacts().count(), 1);
        assert_eq!(message.values(HeaderName::Allow).count(), 14);
        assert_eq!(message.all_headers().count(), 14);
        assert_eq!(message.header_named("X-None"), None);
    });
    assert_eq!(count, 0);
}

#[test]
#[allow(clippy::disallowed_methods)] // an arbitrary origin: only differences matter
fn what_the_guard_drops_is_dropped_without_allocation() {
    let now = Instant::now();
    let bytes = carrier("03_twilio_termination_invite_noauth.sip");
    let broken = bytes.get(..bytes.len() - 1).unwrap();
    let flow = Flow {
        transport: Transport::Udp,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "203.0.113.9:5060".parse().unwrap(),
    };
    let mut ua = UserAgent::new(Settings::default());
    let connected = Flow {
        transport: Transport::Tcp,
        ..flow
    };
    let send_on = |flow: Flow, ua: &mut UserAgent, count: usize, bytes: &[u8]| {
        for _ in 0..count {
            ua.receive(now, flow, bytes);
        }
    };
    let send = |ua: &mut UserAgent, count, bytes: &[u8]| send_on(flow, ua, count, bytes);
    send(&mut ua, 1_001, &bytes);
    while ua.poll_transmit().is_some() {}
    let over = allocations(|| send(&mut ua, 400, &bytes));
    assert_eq!((over, ua.stats().dropped_flood), (0, 400));
    // The parser keeps what it could read of a bad one, for an answer.
    let bad = allocations(|| send(&mut ua, 400, broken));
    assert_eq!((bad, ua.stats().dropped_flood), (400, 800));
    send_on(connected, &mut ua, 200, &bytes);
    assert_eq!(ua.stats().bans_flood, 1);
    let banned = allocations(|| send(&mut ua, 1_000, &bytes));
    assert_eq!((banned, ua.stats().dropped_banned), (0, 1_000));
    assert!(ua.poll_transmit().is_none());
}
