//! The jitter buffer's playing side: delay as the network asks for it, and no more.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{at, epoch};
use offhook_media::Codec;
use offhook_media::codec::g711;
use offhook_media::jitter::{Inserted, JitterBuffer, Packet};

/// A vowel with a pitch of 8,000 / 64 Hz, so that leaving out a period is not heard.
fn vowel(n: u64) -> Vec<u8> {
    let samples: Vec<i16> = (n * 160..n * 160 + 160)
        .map(|at| ((at as f32 / 64.0 * std::f32::consts::TAU).sin() * 8_000.0) as i16)
        .collect();
    let mut payload = vec![0; 160];
    g711::encode_ulaw(&samples, &mut payload);
    payload
}

struct Trace {
    buffer: JitterBuffer,
    played: Vec<i16>,
    made_up: usize,
}

impl Trace {
    /// Feeds packets that come `late_ms(n)` after their time, and plays for as long.
    fn run(packets: u64, late_ms: impl Fn(u64) -> Option<u64>) -> Self {
        Self::run_on(JitterBuffer::new(epoch(), 8_000), packets, late_ms)
    }

    fn run_on(buffer: JitterBuffer, packets: u64, late_ms: impl Fn(u64) -> Option<u64>) -> Self {
        let mut arrivals: Vec<(u64, u64)> = (0..packets)
            .filter_map(|n| Some((n * 20 + 3 + late_ms(n)?, n)))
            .collect();
        arrivals.sort_unstable();
        let mut trace = Self {
            buffer,
            played: Vec::new(),
            made_up: 0,
        };
        let mut arrivals = arrivals.into_iter().peekable();
        for ms in 0..packets * 20 {
            while let Some((_, n)) = arrivals.next_if(|(due, _)| *due <= ms) {
                let payload = vowel(n);
                trace.buffer.insert(Packet {
                    sequence: n,
                    timestamp: 1_000_000 + n * 160,
                    received: at(ms),
                    codec: Codec::Pcmu,
                    payload: &payload,
                });
                while trace.buffer.hear().is_some() {}
            }
            if ms % 20 == 0 {
                let mut out = [0; 160];
                trace.made_up += trace.buffer.pull(at(ms), &mut out);
                while trace.buffer.hear().is_some() {}
                trace.played.extend(out);
            }
        }
        trace
    }

    fn steepest(&self) -> i32 {
        let pairs = self.played[1_600..].windows(2);
        pairs
            .map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs())
            .max()
            .unwrap()
    }
}

#[test]
fn a_clean_stream_is_played_as_it_is_with_less_than_a_step_of_delay() {
    let trace = Trace::run(500, |_| Some(0));
    assert_eq!(trace.made_up, 0);
    let stats = trace.buffer.stats();
    assert_eq!(
        (stats.target_ms, stats.accelerated, stats.late_packets),
        (0, 0, 0)
    );
    assert!(stats.delay_ms <= 20, "{stats:?}");
}

#[test]
fn delay_that_is_no_longer_needed_is_worn_off_without_a_click() {
    // Four seconds of calm, one long stall, calm again.
    let stalled = |n| {
        if (200..212).contains(&n) {
            Some((212 - n) * 20)
        } else {
            Some(0)
        }
    };
    let trace = Trace::run(1_500, stalled);
    let stats = trace.buffer.stats();
    assert!(trace.made_up >= 1_600, "{}", trace.made_up);
    assert!(stats.accelerated >= 1_000, "{stats:?}");
    assert!(stats.delay_ms < 50, "{stats:?}");
    assert_eq!(stats.late_packets, 0);
    // A vowel of this loudness moves by 785 between two samples.
    assert!(trace.steepest() < 2_400, "{}", trace.steepest());
}

#[test]
fn lost_packets_are_bridged_without_a_click_each_time() {
    // 20 ms are lost each second, and 40 ms now and then.
    let trace = Trace::run(1_000, |n| (n % 50 != 25 && n % 250 != 26).then_some(0));
    assert!(trace.made_up > 0);
    assert!(trace.steepest() < 1_600, "{}", trace.steepest());
    // A vowel is carried on in its pitch; after 30 ms it has faded by less than half.
    let loudest = |step: &[i16]| step.iter().map(|sample| sample.abs()).max().unwrap();
    let softest = trace.played[1_600..].chunks(80).map(loudest).min().unwrap();
    assert!(softest > 4_000, "{softest}");
}

#[test]
fn a_shaky_network_is_met_by_delay_and_little_is_made_up() {
    for shake_ms in [20, 40, 80] {
        let late = |n: u64| Some(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).map(|r| r % shake_ms);
        let trace = Trace::run(3_000, late);
        let stats = trace.buffer.stats();
        assert!(stats.target_ms <= shake_ms as u32 + 5, "{stats:?}");
        assert!(stats.delay_ms <= shake_ms as u32 + 50, "{stats:?}");
        let share = trace.made_up as f64 / trace.played.len() as f64;
        assert!(share < 0.03, "{share} at {shake_ms} ms");
    }
}

#[test]
fn the_delay_stays_within_its_bounds_whatever_the_network_asks_for() {
    let buffer = || JitterBuffer::new(epoch(), 8_000);
    let calm = Trace::run_on(buffer().with_delay_between(60, 200), 500, |_| Some(0));
    assert_eq!(calm.buffer.stats().target_ms, 60);
    assert!(
        calm.buffer.stats().delay_ms >= 50,
        "{:?}",
        calm.buffer.stats()
    );
    let shaken = |n: u64| Some(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).map(|r| r % 150);
    let wild = Trace::run_on(buffer().with_delay_between(0, 40), 500, shaken);
    assert_eq!(wild.buffer.stats().target_ms, 40);
}

#[test]
fn clocks_that_drift_apart_cost_a_little_sound_and_no_delay() {
    // The sender is 200 ppm fast, then 200 ppm slow.
    for sign in [1i64, -1] {
        let trace = Trace::run(6_000, |n| Some((500 + sign * (n as i64) / 250) as u64));
        let stats = trace.buffer.stats();
        assert!(stats.delay_ms < 60, "{stats:?}");
        assert!(trace.made_up < 160 * 40, "{}", trace.made_up);
    }
}

#[test]
fn early_copies_and_late_packets_are_told_apart() {
    let mut buffer = JitterBuffer::new(epoch(), 8_000);
    let insert = |buffer: &mut JitterBuffer, sequence: u64| {
        buffer.insert(Packet {
            sequence,
            timestamp: sequence * 160,
            received: at(sequence * 20),
            codec: Codec::Pcmu,
            payload: &[0x20; 160],
        })
    };
    assert_eq!(insert(&mut buffer, 100), Inserted::InOrder);
    assert_eq!(insert(&mut buffer, 102), Inserted::Waiting);
    assert_eq!(insert(&mut buffer, 102), Inserted::Duplicate);
    assert_eq!(insert(&mut buffer, 99), Inserted::Late);
    let mut out = [0; 160];
    buffer.pull(at(2_010), &mut out);
    buffer.pull(at(2_030), &mut out);
    assert_eq!(insert(&mut buffer, 101), Inserted::Late);
    let heard: Vec<(u64, bool)> = std::iter::from_fn(|| buffer.hear())
        .map(|f| (f.rtp_timestamp, f.concealed))
        .collect();
    assert_eq!(heard, [(16_000, false), (16_160, true), (16_320, false)]);
}

#[test]
fn more_early_packets_than_fit_push_the_gap_aside() {
    let mut buffer = JitterBuffer::new(epoch(), 8_000);
    for sequence in (0..1).chain(2..40) {
        let packet = Packet {
            sequence,
            timestamp: sequence * 160,
            received: epoch() + Duration::from_millis(sequence),
            codec: Codec::Pcmu,
            payload: &[0x20; 160],
        };
        assert!(!matches!(
            buffer.insert(packet),
            Inserted::Dropped | Inserted::Late
        ));
        while buffer.hear().is_some() {}
    }
    assert_eq!(buffer.stats().unheard, 0);
}

#[test]
fn a_packet_lost_before_the_first_sound_holds_nothing_up() {
    let mut buffer = JitterBuffer::new(epoch(), 8_000);
    let mut out = [0; 160];
    for sequence in (10..12).chain(13..20) {
        let now = at(sequence * 20);
        // A telephone-event comes first, and one of its packets is lost.
        let payload: &[u8] = if sequence < 14 { &[] } else { &[0x20; 160] };
        buffer.insert(Packet {
            sequence,
            timestamp: sequence * 160,
            received: now,
            codec: Codec::Pcmu,
            payload,
        });
        buffer.pull(now, &mut out);
    }
    assert_eq!(
        std::iter::from_fn(|| buffer.hear())
            .filter(|f| !f.concealed)
            .count(),
        6
    );
}

#[test]
fn packets_too_long_to_wait_go_on_after_a_loss() {
    let mut buffer = JitterBuffer::new(epoch(), 8_000);
    let payload = vec![0x20; 800];
    let mut heard = 0;
    for n in 0..20 {
        let now = at(n * 100);
        if n != 5 {
            buffer.insert(Packet {
                sequence: n,
                timestamp: n * 800,
                received: now,
                codec: Codec::Pcmu,
                payload: &payload,
            });
        }
        for step in 0..5 {
            buffer.pull(now + Duration::from_millis(20 * step), &mut [0; 160]);
            while let Some(frame) = buffer.hear() {
                heard += usize::from(!frame.concealed);
            }
        }
    }
    assert_eq!(heard, 19 * 5);
    assert!(buffer.stats().concealed >= 800);
}

#[test]
fn timestamps_of_any_size_are_survived() {
    for clock_rate_hz in [8_000, 16_000] {
        let mut buffer = JitterBuffer::new(epoch(), clock_rate_hz);
        for (n, timestamp) in [0, u64::MAX, 1 << 63, 1, u64::MAX / 3]
            .into_iter()
            .enumerate()
        {
            buffer.insert(Packet {
                sequence: 2 * n as u64,
                timestamp,
                received: at(n as u64 * 20),
                codec: Codec::Pcmu,
                payload: &[0x20; 160],
            });
            buffer.pull(at(n as u64 * 20 + 5), &mut [0; 320]);
        }
    }
}
