//! Time-stretching: delay is worn off and built up on real speech without a click.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::epoch;
use common::feed::{Arrival, Feed, packets, scatter, speech, through_ulaw, vowel};
use offhook_media::jitter::JitterBuffer;

/// Places where the sound bends far more sharply than around them. Real speech has a few; a cut
/// that is not blended is mostly one.
fn clicks(sound: &[i16], rate_hz: u64) -> Vec<usize> {
    let bends: Vec<f64> = sound
        .windows(4)
        .map(|four| {
            let [a, b, c, d] = [four[0], four[1], four[2], four[3]].map(f64::from);
            (d - 3.0 * c + 3.0 * b - a).abs()
        })
        .collect();
    let near = rate_hz as usize / 200;
    let stands_out = |at: &usize| {
        // The click itself is left out of what it is compared with.
        let around = bends[at - near..at - 2].iter();
        let around = around.chain(&bends[at + 3..at + near]);
        let usual = around.map(|b| b * b).sum::<f64>() / (2 * near - 5) as f64;
        bends[*at] > 5.0 * (usual.sqrt() + 30.0)
    };
    (near..bends.len() - near).filter(stands_out).collect()
}

/// A sound that was stretched has no more clicks than it had before.
fn assert_no_clicks(played: &[i16], sound: &[i16], rate_hz: u64) {
    let (found, before) = (clicks(played, rate_hz), clicks(sound, rate_hz).len());
    assert!(found.len() <= before + 2, "{before} before, then {found:?}");
}

/// The sender's clock is `ppm` fast.
fn drifting(sound: &[i16], rate_hz: u64, ppm: i64) -> Vec<Arrival> {
    let samples = rate_hz as usize / 50;
    let mut arrivals = packets(sound, samples, rate_hz, |_| Some(0));
    for packet in &mut arrivals {
        let earlier_us = packet.at_us as i64 * ppm / 1_000_000;
        packet.at_us = (packet.at_us as i64 - earlier_us + 100_000) as u64;
    }
    arrivals
}

#[test]
fn a_click_is_told_from_speech() {
    for rate_hz in [8_000, 16_000] {
        let sound = through_ulaw(&speech(rate_hz, 22));
        // Ten milliseconds are cut out of loud sound, here and there.
        let mut cut = sound.clone();
        let mut cuts = 0;
        for second in (1..21).rev() {
            let second = second * rate_hz as usize;
            let loud = (second..second + rate_hz as usize / 2).find(|at| cut[*at] > 2_500);
            if let Some(at) = loud {
                cut.drain(at..at + rate_hz as usize / 100);
                cuts += 1;
            }
        }
        let (before, found) = (clicks(&sound, rate_hz).len(), clicks(&cut, rate_hz).len());
        assert!(before <= 20, "{before} in speech");
        assert!(
            found >= before + cuts / 2 && cuts >= 12,
            "{before}, {found} of {cuts}"
        );
    }
}

#[test]
fn a_fast_clock_is_followed_by_leaving_out_and_a_slow_one_by_repeating_without_a_click() {
    for rate_hz in [8_000, 16_000] {
        for ppm in [1_500, -1_500] {
            let sound = through_ulaw(&speech(rate_hz, 44));
            let mut feed = Feed::new(JitterBuffer::new(epoch(), rate_hz as u32), rate_hz);
            feed.run(&drifting(&sound, rate_hz, ppm));
            let stats = feed.buffer.stats();
            assert_eq!((feed.made_up, stats.concealed), (0, 0), "{stats:?}");
            let stretched = stats.accelerated as i64 - stats.expanded as i64;
            let drifted = sound.len() as i64 * ppm / 1_000_000;
            let step = rate_hz as i64 / 25;
            assert!((stretched - drifted).abs() < step, "{stats:?} {drifted}");
            assert!(stats.delay_ms < 50, "{stats:?}");
            assert_no_clicks(&feed.played, &sound, rate_hz);
        }
    }
}

#[test]
fn an_hour_of_a_hundred_parts_in_a_million_costs_no_made_up_sound() {
    // A vowel, of which any period may be left out or repeated without a trace.
    let sound = vowel(8_000 * 3_600, 8_000);
    for ppm in [100, -100] {
        let mut feed = Feed::new(JitterBuffer::new(epoch(), 8_000), 8_000);
        feed.run(&drifting(&sound, 8_000, ppm));
        let stats = feed.buffer.stats();
        assert_eq!(
            (feed.made_up, stats.concealed, stats.late_packets),
            (0, 0, 0)
        );
        assert!(stats.delay_ms <= 42, "{stats:?}");
        let steepest = |sound: &[i16]| {
            let steps = sound.windows(2).map(|two| two[0].abs_diff(two[1]));
            steps.max().unwrap()
        };
        let start = 8_000;
        assert!(steepest(&feed.played[start..]) <= steepest(&through_ulaw(&sound)) + 200);
    }
}

#[test]
fn a_shaky_network_is_followed_without_a_click() {
    for rate_hz in [8_000, 16_000] {
        let sound = through_ulaw(&speech(rate_hz, 44));
        // It shakes by 60 ms for six seconds, and is calm from then on.
        let late_us = |n: u64| Some(if n < 300 { scatter(n, 60_000) } else { 0 });
        let arrivals = packets(&sound, rate_hz as usize / 50, rate_hz, late_us);
        let mut feed = Feed::new(JitterBuffer::new(epoch(), rate_hz as u32), rate_hz);
        feed.run(&arrivals);
        let stats = feed.buffer.stats();
        let ms = |samples: u64| samples * 1_000 / rate_hz;
        assert!(ms(stats.accelerated) >= 50, "{stats:?}");
        assert!(stats.concealed_ratio() < 0.01, "{stats:?}");
        assert!(stats.delay_ms <= 40, "{stats:?}");
        let calm = 10 * rate_hz as usize;
        assert_no_clicks(&feed.played[calm..], &sound, rate_hz);
    }
}

#[test]
fn what_bursts_out_of_a_stall_is_caught_up_with_within_two_seconds() {
    let rate_hz = 8_000;
    let sound = through_ulaw(&speech(rate_hz, 20));
    // From 8 s on nothing comes for 200 ms.
    let late_us = |n: u64| match n {
        400..410 => Some((410 - n) * 20_000),
        _ => Some(0),
    };
    let mut feed = Feed::new(JitterBuffer::new(epoch(), 8_000), rate_hz);
    let arrivals = packets(&sound, 160, rate_hz, late_us);
    let (before, after) = arrivals.split_at(510);
    feed.run(before);
    let stats = feed.buffer.stats();
    assert!(stats.accelerated > 120 * 8, "{stats:?}");
    assert!(stats.delay_ms < 60, "{stats:?}");
    assert_eq!((stats.late_packets, stats.discarded), (0, 0), "{stats:?}");
    feed.run(after);
    assert_no_clicks(&feed.played, &sound, rate_hz);
}

#[test]
fn the_listeners_get_the_sound_as_it_was_however_it_is_stretched_for_the_playout() {
    let sound = through_ulaw(&speech(8_000, 22));
    for ppm in [1_500, -1_500] {
        let mut feed = Feed::new(JitterBuffer::new(epoch(), 8_000), 8_000);
        feed.run(&drifting(&sound, 8_000, ppm));
        let stats = feed.buffer.stats();
        assert!(stats.accelerated + stats.expanded > 0);
        assert!(feed.heard_sound() == sound, "heard otherwise than sent");
        let times: Vec<u64> = feed.heard.iter().map(|frame| frame.rtp_timestamp).collect();
        assert!(times.windows(2).all(|pair| pair[1] == pair[0] + 160));
    }
}
