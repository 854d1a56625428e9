//! Any bytes as a session description: read, printed and read again, answered, taken as an answer.
#![no_main]

use offhook_media::sdp;
use offhook_media::{LocalMedia, Negotiated, SessionDescription};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = SessionDescription::parse(bytes) else {
        return;
    };
    let printed = read.to_string();
    let again = SessionDescription::parse(printed.as_bytes()).expect("what we print, we read");
    assert_eq!(again.to_string(), printed);
    let local = LocalMedia::new("192.0.2.1:4000".parse().expect("an address"), 1);
    let _ = sdp::answer(&read, &local);
    let _ = Negotiated::from_answer(&sdp::offer(&local), &read);
});
