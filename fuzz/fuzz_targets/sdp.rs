//! Any bytes as a session description: read, printed and read again, answered, taken as an answer.
#![no_main]

use std::sync::OnceLock;

use offhook_media::sdp::{self, LocalSrtp};
use offhook_media::{LocalMedia, Negotiated, SessionDescription, SrtpPolicy};
use rand::SeedableRng;
use rand::rngs::StdRng;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = SessionDescription::parse(bytes) else {
        return;
    };
    let printed = read.to_string();
    let again = SessionDescription::parse(printed.as_bytes()).expect("what we print, we read");
    assert_eq!(again.to_string(), printed);
    static SRTP: OnceLock<LocalSrtp> = OnceLock::new();
    let draw = || LocalSrtp::new(SrtpPolicy::Optional, &mut StdRng::seed_from_u64(1));
    let mut local = LocalMedia::new("192.0.2.1:4000".parse().expect("an address"), 1);
    local.srtp = SRTP.get_or_init(draw).clone();
    let _ = sdp::answer(&read, &local);
    let _ = Negotiated::from_answer(&sdp::offer(&local), &read);
});
