//! A call over a network that loses, delays, copies and reorders, by seed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Call, Weather, telltale};
use offhook_media::{Event, UtteranceId};

const SEEDS: u64 = 24;

/// A speaks for ten seconds in recognisable samples; B listens.
fn speak(seed: u64, weather: Weather) -> Call {
    let mut call = Call::new(seed, weather, |_| {});
    let speech: Vec<i16> = (0..80_000).map(telltale).collect();
    let mut given = 0;
    call.run_with(11_000, |now, a, _| {
        given += a.session.play(now, UtteranceId(1), &speech[given..]);
        if given == speech.len() {
            a.session.finish(now, UtteranceId(1));
        }
    });
    // It clears up at the end, so that nothing is left waiting.
    let delay_ms = weather.delay_ms + weather.jitter_ms;
    call.weather = Weather {
        delay_ms,
        jitter_ms: 0,
        loss: 0.0,
        copies: 0.0,
    };
    call.run(500);
    call
}

fn weather(seed: u64) -> Weather {
    Weather {
        delay_ms: 5 + seed % 50,
        jitter_ms: [0, 8, 30, 70][seed as usize % 4],
        loss: [0.0, 0.03, 0.1][seed as usize % 3],
        copies: [0.0, 0.05][seed as usize % 2],
    }
}

#[test]
fn what_is_heard_is_in_order_each_sample_once_and_as_it_was_said() {
    for seed in 0..SEEDS {
        let weather = weather(seed);
        let call = speak(seed, weather);
        let stats = call.b.session.stats();
        let first_sent = call.a.rtp().next().unwrap().timestamp();
        let (mut end, mut made_up, mut right, mut real) = (0, 0, 0u64, 0u64);
        let mut last = 0;
        for (_, frame) in call.b.heard() {
            let start = frame.rtp_timestamp;
            assert!(start >= last, "seed {seed}: time runs back");
            last = start;
            if frame.concealed {
                made_up += frame.samples().len();
                continue;
            }
            assert!(start >= end, "seed {seed}: heard twice");
            end = start + frame.samples().len() as u64;
            real += frame.samples().len() as u64;
            for (n, sample) in (0..).zip(frame.samples()) {
                let place = (start as u32).wrapping_sub(first_sent) as u64 + n;
                right += u64::from(*sample == telltale(place));
            }
        }
        // Every packet that came, and came in time, was heard.
        let distinct = stats.received - stats.duplicates;
        assert_eq!(
            real,
            (distinct - stats.late) * 160,
            "seed {seed}: {stats:?}"
        );
        assert_eq!(stats.overrun, 0, "seed {seed}");
        // Only what follows on made-up sound is blended into it, and what came late is missing.
        let said = real.min(80_000) - stats.late * 160;
        let blended = (made_up as u64 + stats.concealed_samples) * 2;
        assert!(
            right + blended + 160 >= said,
            "seed {seed}: {right} of {said}, {made_up}"
        );
        if weather.loss == 0.0 && weather.jitter_ms < 20 {
            // Only the end of the run can be late: nothing was lost.
            assert_eq!(
                (stats.lost, made_up, stats.late),
                (0, 0, 0),
                "seed {seed}: {stats:?}"
            );
        }
    }
}

#[test]
fn gaps_are_filled_to_their_length_so_that_time_is_kept() {
    for seed in [1, 2, 3] {
        let weather = Weather {
            delay_ms: 20,
            jitter_ms: 5,
            loss: 0.05,
            copies: 0.0,
        };
        let call = speak(seed, weather);
        let frames: Vec<_> = call.b.heard().map(|(_, frame)| frame).collect();
        let mut filled = 0;
        for pair in frames.windows(2) {
            let gap = pair[1].rtp_timestamp - pair[0].rtp_timestamp;
            let len = pair[0].samples().len() as u64;
            filled += usize::from(pair[1].concealed);
            // 120 ms of a gap are made up, no more.
            assert!(gap <= len + 160 * 8, "seed {seed}: {gap}");
        }
        assert!(filled > 10, "seed {seed}: {filled}");
        let heard: u64 = frames
            .iter()
            .map(|frame| frame.samples().len() as u64)
            .sum();
        let span = frames.last().unwrap().rtp_timestamp - frames[0].rtp_timestamp;
        assert!(
            heard.abs_diff(span) < 8_000 / 5,
            "seed {seed}: {heard} of {span}"
        );
    }
}

#[test]
fn an_in_order_packet_is_heard_the_moment_it_comes() {
    let call = speak(
        4,
        Weather {
            delay_ms: 30,
            jitter_ms: 0,
            loss: 0.0,
            copies: 0.0,
        },
    );
    let sent: Vec<_> = call.a.rtp().collect();
    let heard: Vec<_> = call.b.heard().collect();
    assert!(heard.len() > 500);
    for ((when, frame), sent) in heard.iter().zip(&sent) {
        assert_eq!(frame.rtp_timestamp as u32, sent.timestamp());
        assert_eq!((*when - sent.at).as_millis(), 30);
        assert_eq!(frame.received, *when);
    }
}

#[test]
fn a_missing_packet_holds_up_the_rest_for_a_step_or_two_only() {
    let call = speak(
        7,
        Weather {
            delay_ms: 30,
            jitter_ms: 0,
            loss: 0.05,
            copies: 0.0,
        },
    );
    let sent: Vec<_> = call
        .a
        .rtp()
        .map(|sent| (sent.timestamp(), sent.at))
        .collect();
    for (when, frame) in call.b.heard().filter(|(_, frame)| !frame.concealed) {
        let of = sent
            .iter()
            .find(|(timestamp, _)| *timestamp == frame.rtp_timestamp as u32);
        let late = (when - of.unwrap().1).as_millis() - 30;
        assert!(late <= 60, "{late} ms");
    }
}

#[test]
fn silence_goes_on_for_the_listeners_when_packets_stop_coming() {
    let mut call = Call::new(9, common::CLEAN, |_| {});
    call.run(500);
    let before = call.b.heard().count();
    let cut = call.now;
    call.weather.loss = 1.0;
    call.run(1_000);
    let after: Vec<_> = call
        .b
        .heard()
        .skip(before)
        .filter(|(when, _)| *when > cut)
        .collect();
    let filler: usize = after
        .iter()
        .filter(|(_, frame)| frame.concealed)
        .map(|(_, frame)| frame.samples().len())
        .sum();
    // A second without packets, less what was on the way and the time that jitter is given.
    assert!((7_000..=7_600).contains(&filler), "{filler}");
    let last = before - 1;
    let newest = call.b.heard().nth(last).unwrap().1.rtp_timestamp;
    assert!(after.iter().all(|(_, frame)| frame.rtp_timestamp >= newest));
}

#[test]
fn the_recording_keeps_time_with_both_parties() {
    for seed in 0..4 {
        let weather = Weather {
            delay_ms: 20,
            jitter_ms: 25,
            loss: 0.02,
            copies: 0.0,
        };
        let mut call = Call::new(seed, weather, |_| {});
        call.b.session.set_recording(true);
        call.run(10_000);
        let recorded = call
            .b
            .events
            .iter()
            .filter(|(_, e)| matches!(e, Event::Recording(_)));
        assert_eq!(recorded.count(), 500, "seed {seed}");
        let stats = call.b.session.stats();
        assert!(stats.buffer_delay_ms < 120, "seed {seed}: {stats:?}");
    }
}
