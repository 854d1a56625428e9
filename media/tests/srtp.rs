//! SRTP and SRTCP packet by packet: libsrtp's packets, rollover, replay, forgery, keys that change.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use offhook_media::srtp::{Inbound, MasterKey, Mki, Outbound, SrtpError, Suite};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

fn bytes(hex: &str) -> Vec<u8> {
    let two = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(two).collect()
}

fn key(suite: Suite, seed: u64) -> MasterKey {
    MasterKey::draw(suite, &mut StdRng::seed_from_u64(seed))
}

fn rtp(index: u64, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend((index as u16).to_be_bytes());
    packet.extend((index as u32).wrapping_mul(160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([index as u8; 160]);
    packet
}

fn protect(sender: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut room = [packet, &[0; 16]].concat();
    let len = sender.protect_rtp(&mut room, packet.len()).unwrap();
    room.truncate(len);
    room
}

fn unprotect(receiver: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect_rtp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn report(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x81, 203, 0, 1]);
    packet.extend(ssrc.to_be_bytes());
    packet
}

fn protect_rtcp(sender: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut room = [packet, &[0; 20]].concat();
    let len = sender.protect_rtcp(&mut room, packet.len()).unwrap();
    room.truncate(len);
    room
}

fn unprotect_rtcp(receiver: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect_rtcp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

#[test]
fn packets_are_what_libsrtp_makes_of_them_over_a_rollover() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/corpora/srtp/libsrtp.txt"
    );
    let text = fs::read_to_string(path).unwrap();
    let mut pair = None;
    let (mut suites, mut packets) = (0, 0);
    for line in text.lines() {
        let [kind, first, second] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        if kind == "suite" {
            let suite = Suite::from_name(first).unwrap();
            let key = MasterKey::from_bytes(suite, &bytes(second)).unwrap();
            let (mut sender, receiver) = (Outbound::new(&key), Inbound::new(&key, None));
            // libsrtp's SRTCP index begins at 1, ours at 0 as RFC 3711 §3.4 says.
            protect_rtcp(&mut sender, &report(1));
            pair = Some((sender, receiver));
            suites += 1;
            continue;
        }
        let (sender, receiver) = pair.as_mut().unwrap();
        let (clear, protected) = (bytes(first), bytes(second));
        let (ours, opened) = match kind {
            "rtp" => (protect(sender, &clear), unprotect(receiver, &protected)),
            _ => (
                protect_rtcp(sender, &clear),
                unprotect_rtcp(receiver, &protected),
            ),
        };
        assert_eq!(ours, protected, "{line}");
        assert_eq!(opened, Ok(clear), "{line}");
        packets += 1;
    }
    assert_eq!((suites, packets), (6, 54));
}

#[test]
fn every_packet_is_opened_once_over_rollovers_with_loss_and_reordering() {
    for suite in Suite::ALL {
        let key = key(suite, 1);
        let (mut sender, mut receiver) = (Outbound::new(&key), Inbound::new(&key, None));
        let mut random = StdRng::seed_from_u64(2);
        let sent: Vec<_> = (60_000..140_000)
            .filter(|index| index % 40 < 20 || (65_000..66_000).contains(index))
            .map(|index| (rtp(index, 7), protect(&mut sender, &rtp(index, 7))))
            .collect();
        let mut windows: Vec<_> = sent.chunks(50).map(<[_]>::to_vec).collect();
        let mut opened = 0;
        for window in &mut windows {
            window.shuffle(&mut random);
            for (clear, protected) in window.iter() {
                if random.random_bool(0.1) {
                    continue;
                }
                assert_eq!(
                    unprotect(&mut receiver, protected).as_ref(),
                    Ok(clear),
                    "{suite}"
                );
                let again = unprotect(&mut receiver, protected);
                assert_eq!(again, Err(SrtpError::Replayed), "{suite}");
                opened += 1;
            }
        }
        assert!(opened > 30_000, "{opened}");
        let old = &sent[0].1;
        assert!(unprotect(&mut receiver, old).is_err(), "two rollovers ago");
    }
}

#[test]
fn a_listener_that_missed_what_came_before_the_rollover_hears_what_follows() {
    for suite in Suite::ALL {
        let key = key(suite, 3);
        let (mut sender, mut receiver) = (Outbound::new(&key), Inbound::new(&key, None));
        for index in 65_530..65_536 {
            protect(&mut sender, &rtp(index, 7));
        }
        let late = protect(&mut sender, &rtp(65_540, 7));
        assert_eq!(unprotect(&mut receiver, &late), Ok(rtp(65_540, 7)));
    }
}

#[test]
fn what_is_forged_truncated_or_of_another_key_is_refused_and_changes_nothing() {
    for suite in Suite::ALL {
        let ours = key(suite, 4);
        let (mut sender, mut receiver) = (Outbound::new(&ours), Inbound::new(&ours, None));
        let mut other = Inbound::new(&key(suite, 5), None);
        let first = protect(&mut sender, &rtp(9, 7));
        assert_eq!(
            unprotect(&mut other, &first),
            Err(SrtpError::Unauthenticated)
        );
        unprotect(&mut receiver, &first).unwrap();
        let second = protect(&mut sender, &rtp(10, 7));
        for bit in 0..second.len() * 8 {
            let mut forged = second.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                unprotect(&mut receiver, &forged).is_err(),
                "{suite} bit {bit}"
            );
        }
        for len in 0..second.len() {
            assert!(
                unprotect(&mut receiver, &second[..len]).is_err(),
                "{suite} {len}"
            );
        }
        let in_the_clear = unprotect(&mut receiver, &rtp(11, 7));
        assert_eq!(in_the_clear, Err(SrtpError::Unauthenticated));
        assert_eq!(unprotect(&mut receiver, &second), Ok(rtp(10, 7)));
    }
}

#[test]
fn reports_are_opened_once_and_never_in_the_clear() {
    for suite in Suite::ALL {
        let key = key(suite, 6);
        let (mut sender, mut receiver) = (Outbound::new(&key), Inbound::new(&key, None));
        let sent: Vec<_> = (0..5)
            .map(|_| protect_rtcp(&mut sender, &report(7)))
            .collect();
        for at in [1, 0, 4, 2, 3] {
            assert_eq!(unprotect_rtcp(&mut receiver, &sent[at]), Ok(report(7)));
            let again = unprotect_rtcp(&mut receiver, &sent[at]);
            assert_eq!(again, Err(SrtpError::Replayed));
        }
        let next = protect_rtcp(&mut sender, &report(7));
        for bit in 0..next.len() * 8 {
            let mut forged = next.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                unprotect_rtcp(&mut receiver, &forged).is_err(),
                "{suite} bit {bit}"
            );
        }
        for len in 0..next.len() {
            assert!(
                unprotect_rtcp(&mut receiver, &next[..len]).is_err(),
                "{suite} {len}"
            );
        }
        assert_eq!(unprotect_rtcp(&mut receiver, &next), Ok(report(7)));
    }
}

#[test]
fn each_source_has_a_rollover_counter_and_a_window_of_its_own() {
    let key = key(Suite::AesCm128HmacSha1_80, 7);
    let mut receiver = Inbound::new(&key, None);
    let mut senders = [Outbound::new(&key), Outbound::new(&key)];
    for n in 0..200 {
        for (ssrc, sender) in (1..).zip(&mut senders) {
            let packet = rtp(65_300 + 100 * u64::from(ssrc) + n, ssrc);
            let protected = protect(sender, &packet);
            assert_eq!(unprotect(&mut receiver, &protected), Ok(packet));
        }
    }
}

#[test]
fn an_index_is_never_used_twice_on_the_way_out() {
    let key = key(Suite::AeadAes128Gcm, 8);
    let mut sender = Outbound::new(&key);
    protect(&mut sender, &rtp(100, 7));
    for index in [100, 99, 0] {
        let mut room = [rtp(index, 7), vec![0; 16]].concat();
        let refused = sender.protect_rtp(&mut room, 172);
        assert_eq!(refused, Err(SrtpError::Replayed));
    }
    let mut tight = rtp(101, 7);
    assert_eq!(sender.protect_rtp(&mut tight, 172), Err(SrtpError::NoRoom));
    assert_eq!(
        tight,
        rtp(101, 7),
        "nothing was encrypted under an index that is free still"
    );
    protect(&mut sender, &rtp(101, 7));
}

#[test]
fn after_a_new_key_the_counter_may_go_on_or_start_over() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm] {
        let (first, second) = (key(suite, 9), key(suite, 10));
        let mut receiver = Inbound::new(&first, None);
        let mut sender = Outbound::new(&first);
        for index in [65_000, 65_600] {
            unprotect(&mut receiver, &protect(&mut sender, &rtp(index, 7))).unwrap();
        }
        // As RFC 3711 §3.3.1 has it: the same source, the same counter.
        let mut goes_on = Outbound::new(&second);
        protect(&mut goes_on, &rtp(65_000, 7));
        let packet = protect(&mut goes_on, &rtp(65_601, 7));
        let mut after = receiver.after(&second, None);
        assert_eq!(unprotect(&mut after, &packet), Ok(rtp(65_601, 7)));
        // As RFC 4568 §7.1.4 has it.
        let mut starts_over = Outbound::new(&second);
        let packet = protect(&mut starts_over, &rtp(65, 7));
        let mut after = receiver.after(&second, None);
        assert_eq!(unprotect(&mut after, &packet), Ok(rtp(65, 7)));
        assert_eq!(unprotect(&mut after, &packet), Err(SrtpError::Replayed));
    }
}

#[test]
fn a_declared_identifier_must_stand_in_each_packet() {
    for suite in Suite::ALL {
        let key = key(suite, 11);
        let mki = Mki::new(1, 4);
        let (mut sender, mut receiver) = (Outbound::new(&key), Inbound::new(&key, mki));
        let plain = protect(&mut sender, &rtp(5, 7));
        assert!(unprotect(&mut receiver, &plain).is_err());
        let aead = matches!(suite, Suite::AeadAes128Gcm | Suite::AeadAes256Gcm);
        let with_mki = |packet: &[u8], tag_bytes: usize, mki: [u8; 4]| {
            let at = packet.len() - if aead { 0 } else { tag_bytes };
            [&packet[..at], &mki, &packet[at..]].concat()
        };
        let tag_bytes = suite.rtp_tag_bytes();
        let wrong = with_mki(&plain, tag_bytes, [0, 0, 0, 2]);
        assert_eq!(
            unprotect(&mut receiver, &wrong),
            Err(SrtpError::Unauthenticated)
        );
        let right = with_mki(&plain, tag_bytes, [0, 0, 0, 1]);
        assert_eq!(unprotect(&mut receiver, &right), Ok(rtp(5, 7)));
        let plain = protect_rtcp(&mut sender, &report(7));
        let right = with_mki(&plain, suite.rtcp_tag_bytes(), [0, 0, 0, 1]);
        assert_eq!(unprotect_rtcp(&mut receiver, &right), Ok(report(7)));
    }
}
