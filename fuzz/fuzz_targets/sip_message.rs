//! Any bytes as a SIP message: read, asked everything, printed and read again.
#![no_main]

#[path = "../../sip/tests/common/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
