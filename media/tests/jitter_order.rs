//! Whatever order packets come in, the listeners get each sample once, in order, as it was sent.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use common::feed::{Arrival, Feed, ulaw};
use common::{epoch, telltale};
use offhook_media::jitter::{Inserted, JitterBuffer};
use offhook_media::{Codec, Frame};
use proptest::collection::vec;
use proptest::prelude::*;

/// What the network does to one packet.
#[derive(Clone, Debug)]
struct Fate {
    late_us: u64,
    copies: u8,
    /// Silence of the sender before it, in packets.
    pause: u8,
    carries_sound: bool,
    samples: usize,
}

fn fate() -> impl Strategy<Value = Fate> {
    let late = prop_oneof![
        6 => 0u64..5_000,
        3 => 0u64..80_000,
        1 => 0u64..600_000,
    ];
    let copies = prop_oneof![1 => Just(0u8), 10 => Just(1), 1 => Just(2)];
    let pause = prop_oneof![20 => Just(0u8), 1 => 1u8..60];
    let samples = prop_oneof![8 => Just(160usize), 1 => Just(80), 1 => Just(480), 1 => 1usize..400];
    (late, copies, pause, prop::bool::weighted(0.95), samples).prop_map(
        |(late_us, copies, pause, carries_sound, samples)| Fate {
            late_us,
            copies,
            pause,
            carries_sound,
            samples,
        },
    )
}

/// Numbers near to each other, and numbers of any size.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u16>().prop_map(u64::from),
        any::<u32>().prop_map(u64::from),
        any::<u64>(),
        (0u64..500).prop_map(|below| u64::MAX - below),
    ]
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

fn arrivals(fates: &[Fate], first: u64) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    let mut at = 0u64;
    for (sequence, fate) in (first..).zip(fates) {
        at += u64::from(fate.pause) * 160;
        let sound: Vec<i16> = (at..at + fate.samples as u64).map(telltale).collect();
        for copy in 0..fate.copies {
            arrivals.push(Arrival {
                at_us: (at + fate.samples as u64) * 125 + fate.late_us + u64::from(copy) * 900,
                sequence,
                timestamp: 1_000_000 + at,
                codec: Codec::Pcmu,
                payload: if fate.carries_sound {
                    ulaw(&sound)
                } else {
                    Vec::new()
                },
            });
        }
        at += fate.samples as u64;
    }
    arrivals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_sample_is_heard_once_and_time_never_runs_back(
        fates in vec(fate(), 1..150),
        first in 0u64..70_000,
        least_ms in 0u32..100,
        step in 20usize..=320,
    ) {
        let buffer = JitterBuffer::new(epoch(), 8_000).with_delay_between(least_ms, 200);
        let mut feed = Feed::new(buffer, 8_000);
        feed.step = step / 8 * 8;
        let arrivals = arrivals(&fates, first);
        feed.run(&arrivals);
        let end = feed.now_us + 2_000_000;
        feed.play_until(end);
        let mut last = 0;
        let mut real_end = 0;
        let mut heard = BTreeMap::new();
        for frame in &feed.heard {
            prop_assert!(frame.rtp_timestamp >= last, "time runs back");
            last = frame.rtp_timestamp;
            if frame.concealed {
                continue;
            }
            prop_assert!(frame.rtp_timestamp >= real_end, "heard twice");
            real_end = frame.rtp_timestamp + frame.samples().len() as u64;
            for (at, sample) in (frame.rtp_timestamp - 1_000_000..).zip(frame.samples()) {
                heard.insert(at, *sample);
            }
        }
        prop_assert_eq!(feed.buffer.stats().unheard, 0);
        // All that was taken is heard, and what is not blended with made-up sound is as it was.
        let mut taken: Vec<&Arrival> = arrivals.iter().collect();
        taken.sort_by_key(|packet| packet.at_us);
        for (packet, how) in taken.iter().zip(&feed.inserted) {
            if !matches!(how, Inserted::InOrder | Inserted::Waiting) {
                continue;
            }
            let from = packet.timestamp - 1_000_000;
            let len = packet.payload.len() as u64;
            for at in from..from + len {
                prop_assert!(heard.contains_key(&at), "{} of packet {} is missing", at, packet.sequence);
            }
            for at in (from + 100).min(from + len)..from + len {
                prop_assert_eq!(heard[&at], telltale(at));
            }
        }
        prop_assert!(feed.buffer.waiting_samples() <= 256 * 8);
    }

    #[test]
    fn listeners_that_come_late_miss_what_is_told_and_hear_nothing_twice(
        fates in vec(fate(), 1..150),
        hears_every in 2usize..60,
    ) {
        let mut feed = Feed::new(JitterBuffer::new(epoch(), 8_000), 8_000);
        feed.hears_every = hears_every;
        feed.run(&arrivals(&fates, 7));
        feed.hears_every = 1;
        let end = feed.now_us + 1_000_000;
        feed.play_until(end);
        let (mut last, mut real_end) = (0, 0);
        for frame in &feed.heard {
            prop_assert!(frame.rtp_timestamp >= last, "time runs back");
            last = frame.rtp_timestamp;
            if !frame.concealed {
                prop_assert!(frame.rtp_timestamp >= real_end, "heard twice");
                real_end = frame.rtp_timestamp + frame.samples().len() as u64;
            }
        }
    }

    #[test]
    fn no_numbers_and_times_hang_or_break_a_buffer(
        packets in vec((number(), number(), 0u64..400_000, 0usize..1_600, codec()), 1..120),
        rate_hz in prop_oneof![Just(8_000u32), Just(16_000)],
    ) {
        let buffer = JitterBuffer::new(epoch(), rate_hz);
        let mut feed = Feed::new(buffer, u64::from(rate_hz));
        feed.buffer.prepare(Codec::ALL);
        let mut at_us = 0;
        for (sequence, timestamp, wait_us, bytes, codec) in packets {
            at_us += wait_us;
            feed.play_until(at_us);
            feed.insert(&Arrival {
                at_us,
                sequence,
                timestamp,
                codec,
                payload: vec![0x11; bytes],
            });
        }
        // The listeners' time never runs back; it may wrap, as these numbers do.
        let forward = |pair: &[Frame]| {
            pair[1].rtp_timestamp.wrapping_sub(pair[0].rtp_timestamp) as i64 >= 0
        };
        prop_assert!(feed.heard.windows(2).all(forward));
        prop_assert!(feed.buffer.waiting_samples() <= 320 * rate_hz as usize / 1_000);
    }
}
