//! Reading a message allocates nothing.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use offhook_sip::message::{HeaderName, Message};

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
