//! Paths of every kind under the jitter buffer: they reorder, stand still, lose and copy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::epoch;
use common::feed::{Arrival, Feed, packets, speech, through_ulaw, vowel};
use offhook_media::jitter::{Inserted, JitterBuffer};

fn feed() -> Feed {
    Feed::new(JitterBuffer::new(epoch(), 8_000), 8_000)
}

#[test]
fn a_path_that_reorders_is_learned_and_then_nothing_is_late() {
    let sound = through_ulaw(&speech(8_000, 40));
    // Each eighth packet takes 45 ms longer and is overtaken by two.
    let late_us = |n: u64| Some(if n % 8 == 3 { 45_000 } else { 0 });
    let mut feed = feed();
    let arrivals = packets(&sound, 160, 8_000, late_us);
    let (first, rest) = arrivals.split_at(500);
    feed.run(first);
    let learned = feed.buffer.stats();
    feed.run(rest);
    let stats = feed.buffer.stats();
    assert!(learned.late_packets <= 10, "{learned:?}");
    assert_eq!(stats.late_packets, learned.late_packets, "{stats:?}");
    assert!((42..=60).contains(&stats.target_ms), "{stats:?}");
    assert_eq!(
        feed.heard_sound().len(),
        (2_000 - stats.late_packets as usize) * 160
    );
}

#[test]
fn peaks_that_repeat_raise_the_delay_as_long_as_they_do() {
    let sound = vowel(8_000 * 60, 8_000);
    // In the first half a minute the link stands still for 100 ms every other second.
    let late_us = |n: u64| {
        let within = n % 95;
        Some(if n < 1_500 && within < 5 {
            (5 - within) * 20_000
        } else {
            0
        })
    };
    let arrivals = packets(&sound, 160, 8_000, late_us);
    let mut feed = feed();
    feed.run(&arrivals[..1_000]);
    let peaking = feed.buffer.stats();
    assert!(peaking.target_ms >= 97, "{peaking:?}");
    feed.run(&arrivals[1_000..1_500]);
    let still = feed.buffer.stats();
    assert_eq!(still.concealed, peaking.concealed, "{still:?}");
    feed.run(&arrivals[1_500..]);
    let calm = feed.buffer.stats();
    assert!(calm.target_ms < 30 && calm.delay_ms < 50, "{calm:?}");
}

#[test]
fn loss_in_a_row_keeps_time_and_does_not_change_the_delay() {
    let sound = vowel(8_000 * 20, 8_000);
    let mut feed = feed();
    let lost = |n: u64| !(n >= 100 && n % 100 < 9);
    feed.run(&packets(&sound, 160, 8_000, |n| lost(n).then_some(0)));
    let stats = feed.buffer.stats();
    assert_eq!(stats.concealed, 9 * 9 * 160, "{stats:?}");
    assert!(
        stats.delay_ms <= 40 && stats.accelerated <= 160,
        "{stats:?}"
    );
    // The listeners hear something for all of it, in order.
    let mut end = 500_000;
    for frame in &feed.heard {
        assert!(frame.rtp_timestamp >= end - 160 * 9 && frame.rtp_timestamp <= end + 160 * 9);
        end = frame.rtp_timestamp + 160;
    }
}

#[test]
fn a_packet_that_comes_when_all_room_is_taken_by_later_ones_is_late() {
    let sound = vowel(160 * 40, 8_000);
    let mut feed = feed();
    feed.step = 160;
    let mut all = packets(&sound, 160, 8_000, |_| Some(0));
    for packet in &mut all {
        packet.at_us = 1_000;
    }
    // One is there; twelve later ones fill the room; then one comes that lies between.
    feed.insert(&all[0]);
    all[10..22].iter().for_each(|packet| feed.insert(packet));
    feed.insert(&all[5]);
    assert_eq!(feed.inserted.last(), Some(&Inserted::Late));
    all[22..].iter().for_each(|packet| feed.insert(packet));
    feed.play_until(1_000_000);
    let times: Vec<u64> = feed.heard.iter().map(|frame| frame.rtp_timestamp).collect();
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0]));
    let real = feed.heard.iter().filter(|frame| !frame.concealed);
    assert_eq!(real.count(), 1 + 30);
}

#[test]
fn a_copy_is_told_from_a_packet_that_is_late() {
    let sound = vowel(16_000, 8_000);
    let mut feed = feed();
    let mut arrivals = packets(&sound, 160, 8_000, |n| (n != 40).then_some(0));
    let late = Arrival {
        at_us: 50 * 20_000,
        sequence: 1_040,
        ..arrivals[40].clone()
    };
    let copies: Vec<Arrival> = arrivals[10..30].to_vec();
    arrivals.extend(copies.into_iter().map(|packet| Arrival {
        at_us: packet.at_us + 30_000,
        ..packet
    }));
    arrivals.push(late.clone());
    arrivals.push(Arrival {
        at_us: 51 * 20_000,
        ..late
    });
    feed.run(&arrivals);
    let count = |what| feed.inserted.iter().filter(|how| **how == what).count();
    assert_eq!((count(Inserted::Late), count(Inserted::Duplicate)), (1, 21));
    assert_eq!(feed.buffer.stats().late_packets, 1);
}
