//! Who passes through a relay: the peer, under its key, and nobody else.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

#[path = "relay/rig.rs"]
mod rig;

use common::{Sent, at, rtp};
use offhook_media::srtp::{Inbound, MasterKey, Outbound, SrtpKeys, Suite};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rig::{Bridge, LEFT_SSRC, configs, since, speak, told};

#[test]
fn nobody_but_the_peer_is_passed_on() {
    let mut bridge = Bridge::new();
    bridge.relay(false);
    speak(&mut bridge, 0..5);
    let begin = bridge.ms;
    bridge.from("192.0.2.1:4002", &told(5, 5));
    bridge.from("203.0.113.7:4000", &told(5, 5));
    bridge.left_sends(&told(5, 77));
    bridge.left_sends(&told(5, LEFT_SSRC));
    bridge.left_sends(&told(40_000, 5));
    bridge.left_sends(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(since(&bridge, begin).len(), 0);
    bridge.left_sends(&told(5, 5));
    assert_eq!(since(&bridge, begin).len(), 1);
}

fn keyed(suite: Suite) -> (SrtpKeys, MasterKey) {
    let theirs = MasterKey::draw(suite, &mut rand::rng());
    let keys = SrtpKeys {
        ours: MasterKey::draw(suite, &mut rand::rng()),
        theirs: theirs.clone(),
        their_mki: None,
    };
    (keys, theirs)
}

#[test]
fn each_side_has_keys_of_its_own_or_none() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm] {
        let (keys, theirs) = keyed(suite);
        let (mut left, right) = configs();
        left.negotiated.srtp = Some(keys.clone());
        let mut bridge = Bridge::of(left, right);
        bridge.relay(false);
        bridge.pass(20);
        let begin = bridge.ms;
        let mut peer = Outbound::new(&theirs);
        let mut protect = |mut packet: Vec<u8>| {
            let len = packet.len();
            packet.resize(len + 20, 0);
            let len = peer.protect_rtp(&mut packet, len).unwrap();
            packet.truncate(len);
            packet
        };
        let first = protect(told(1, 5));
        let second = protect(told(2, 5));
        let mut forged = protect(told(3, 5));
        forged[20] ^= 1;
        for packet in [&first, &forged, &first, &told(2, 5), &second] {
            bridge.left_sends(packet);
        }
        let sent = since(&bridge, begin);
        let payloads: Vec<_> = sent.iter().map(Sent::payload).collect();
        assert_eq!(payloads, [&told(1, 5)[12..], &told(2, 5)[12..]]);
        // What comes late from the right goes late to the left, under its key, and each once.
        for number in [1, 3, 2, 2, 4] {
            bridge.right_sends(&told(number, 6));
        }
        let mut listener = Inbound::new(&keys.ours, None);
        let sent = bridge.left.rtp().filter(|sent| sent.at >= at(begin));
        let told_right: Vec<_> = sent
            .map(|sent| {
                let mut packet = sent.bytes.clone();
                let len = listener.unprotect_rtp(&mut packet).unwrap();
                packet[12..len].to_vec()
            })
            .collect();
        let expected = [1, 3, 2, 4].map(|number| told(number, 6)[12..].to_vec());
        assert_eq!(told_right, expected);
    }
}

#[test]
fn whatever_comes_no_number_is_used_twice_and_nothing_grows() {
    for seed in 0..200 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut bridge = Bridge::new();
        let memory = bridge.right.session.memory_bytes();
        let (mut number, mut time, mut ssrc) = (random.random::<u16>(), random.random(), 5);
        for _ in 0..300 {
            match random.random_range(0..40) {
                0 => bridge.mix(),
                1 => number = random.random(),
                2 => time = random.random(),
                3 => ssrc = random.random_range(5..8),
                4 => bridge.pass(random.random_range(1..400)),
                _ => {}
            }
            let (left, right) = (&bridge.left.session, &bridge.right.session);
            if !left.is_relaying() && !right.is_relaying() && left.can_relay_with(right) {
                bridge.relay(random.random());
            }
            let late = random.random_range(0..20_u16).saturating_sub(15);
            let kind = [0, 0, 0, 0, 0, 8, 13, 101, 77][random.random_range(0..9)];
            let bytes = vec![random.random(); random.random_range(0..400)];
            let packet = rtp(kind, number.wrapping_sub(late), time, ssrc, &bytes);
            bridge.left_sends(&packet);
            number = number.wrapping_add(1);
            time = time.wrapping_add(160);
            bridge.pass(random.random_range(0..30));
        }
        let mut numbers: Vec<u16> = bridge.right.rtp().map(Sent::sequence).collect();
        let sent = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), sent, "seed {seed}");
        assert_eq!(bridge.right.session.memory_bytes(), memory);
    }
}
