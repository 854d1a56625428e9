//! Any text as an `a=crypto` line: read, answered, and what is answered read again.
#![no_main]

use offhook_media::sdp::{self, Crypto, LocalSrtp};
use offhook_media::{LocalMedia, Negotiated, SessionDescription, SrtpPolicy};
use rand::SeedableRng;
use rand::rngs::StdRng;

fn local(address: &str, policy: SrtpPolicy) -> LocalMedia {
    let mut local = LocalMedia::new(address.parse().expect("an address"), 1);
    local.srtp = LocalSrtp::new(
        policy,
        &mut StdRng::seed_from_u64(u64::from(local.address.port())),
    );
    local
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let lines = || text.split(['\r', '\n']);
    let usable = lines().filter(|line| Crypto::parse(line).is_some()).count();
    let lines: String = lines().map(|line| format!("a=crypto:{line}\n")).collect();
    let offer = format!(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/SAVP 0\n{lines}"
    );
    let Ok(offer) = SessionDescription::parse(offer.as_bytes()) else {
        return;
    };
    let ours = local("192.0.2.2:5000", SrtpPolicy::Required);
    match sdp::answer(&offer, &ours) {
        Ok((answer, agreed)) => {
            let agreed = agreed.srtp.expect("nothing goes in the clear");
            let read = Negotiated::from_answer(&offer, &answer).expect("our answer fits");
            let read = read.srtp.expect("it holds a key");
            assert_eq!((&read.ours, &read.theirs), (&agreed.theirs, &agreed.ours));
        }
        Err(_) => assert_eq!(usable, 0, "a line that can be read is taken"),
    }
    let offered = sdp::offer(&local("192.0.2.3:6000", SrtpPolicy::Optional));
    let _ = Negotiated::from_answer(&offered, &offer);
});
