//! Any packets to an SRTP context, and any clear packet protected and taken apart again.
//!
//! The first byte chooses the suite and whether an identifier is declared; the rest is a run of
//! records: a byte says what is done, a byte how long the packet is.
#![no_main]

use std::sync::OnceLock;

use offhook_media::srtp::{
    Inbound, MAX_OVERHEAD_BYTES, MasterKey, Mki, Outbound, SrtpError, Suite,
};

fn key(suite: Suite) -> MasterKey {
    let bytes = [0x5A; 46];
    let len = suite.key_bytes() + suite.salt_bytes();
    MasterKey::from_bytes(suite, &bytes[..len]).expect("the suite's length")
}

/// The contexts of each suite, which only counters tell apart from new ones.
fn contexts(suite: Suite, mki: Option<Mki>) -> (Outbound, Inbound) {
    static KEYS: OnceLock<[MasterKey; 6]> = OnceLock::new();
    let keys = KEYS.get_or_init(|| Suite::ALL.map(key));
    let key = keys
        .iter()
        .find(|key| key.suite() == suite)
        .expect("every suite");
    (Outbound::new(key), Inbound::new(key, mki))
}

/// What was protected is taken apart once, into what it was; a changed copy never.
fn round_trip(
    sender: &mut Outbound,
    receiver: &mut Inbound,
    packet: &[u8],
    protect: fn(&mut Outbound, &mut [u8], usize) -> Result<usize, SrtpError>,
    unprotect: fn(&mut Inbound, &mut [u8]) -> Result<usize, SrtpError>,
) {
    let mut room = [packet, &[0; MAX_OVERHEAD_BYTES]].concat();
    let Ok(len) = protect(sender, &mut room, packet.len()) else {
        return;
    };
    room.truncate(len);
    let mut forged = room.clone();
    let at = packet.first().map_or(0, |byte| usize::from(*byte)) % len;
    forged[at] ^= 1 << (len % 8);
    let opened = unprotect(receiver, &mut forged);
    // So many tries hit upon a tag of 32 bits.
    assert!(
        opened.is_err() || len < packet.len() + 10,
        "a forged packet is taken"
    );
    let sent = room.clone();
    match unprotect(receiver, &mut room) {
        Ok(len) => assert_eq!(&room[..len], packet),
        // The sender may be more than half a cycle ahead of what was heard.
        Err(error) => assert_ne!(error, SrtpError::Truncated),
    }
    let mut again = sent;
    assert!(
        unprotect(receiver, &mut again).is_err(),
        "a packet is taken twice"
    );
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((how, mut rest)) = bytes.split_first() else {
        return;
    };
    let suite = Suite::ALL[usize::from(*how) % Suite::ALL.len()];
    let mki = (how & 0x80 != 0).then(|| Mki::new(1, 4)).flatten();
    let (mut sender, mut receiver) = contexts(suite, None);
    let (_, mut stranger) = contexts(suite, mki);
    while let [what, length, after @ ..] = rest {
        let (packet, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let mut any = packet.to_vec();
        match what & 3 {
            0 => drop(stranger.unprotect_rtp(&mut any)),
            1 => drop(stranger.unprotect_rtcp(&mut any)),
            2 => round_trip(
                &mut sender,
                &mut receiver,
                packet,
                Outbound::protect_rtp,
                Inbound::unprotect_rtp,
            ),
            _ => round_trip(
                &mut sender,
                &mut receiver,
                packet,
                Outbound::protect_rtcp,
                Inbound::unprotect_rtcp,
            ),
        }
    }
});
