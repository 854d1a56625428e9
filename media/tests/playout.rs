//! What is said reaches the wire at once, whole, once, and no further than it may.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{A, CLEAN, Call, Party, Sent, at, config, telltale, with_peer_at};
use offhook_media::codec::g711;
use offhook_media::{Event, SessionConfig, UtteranceId};

fn party() -> Party {
    Party::new(config(with_peer_at(A), 7))
}

fn sound(sent: &Sent) -> Vec<i16> {
    let mut samples = vec![0; sent.payload().len()];
    g711::decode_ulaw(sent.payload(), &mut samples);
    samples
}

fn tone(samples: usize, level: i16) -> Vec<i16> {
    (0..samples)
        .map(|n| if n % 16 < 8 { level } else { -level })
        .collect()
}

fn loudest(sent: &Sent) -> i16 {
    sound(sent)
        .iter()
        .map(|sample| sample.abs())
        .max()
        .unwrap_or(0)
}

#[test]
fn silence_is_sent_steadily_while_nothing_is_said() {
    let mut party = party();
    party.run_until(at(1_000));
    let sent: Vec<_> = party.rtp().collect();
    assert_eq!(sent.len(), 50);
    for (n, packet) in sent.iter().enumerate() {
        assert_eq!(packet.at, at(n as u64 * 20));
        assert_eq!(packet.payload(), [0xFF; 160]);
        assert_eq!(packet.marker(), n == 0);
        assert_eq!(packet.sequence(), sent[0].sequence().wrapping_add(n as u16));
        assert_eq!(
            packet.timestamp(),
            sent[0].timestamp().wrapping_add(n as u32 * 160)
        );
    }
}

#[test]
fn without_comfort_nothing_is_sent_and_time_goes_on() {
    let quiet = SessionConfig {
        continuous: false,
        ..config(with_peer_at(A), 7)
    };
    let first = quiet.first_timestamp;
    let mut party = Party::new(quiet);
    party.run_until(at(1_000));
    assert_eq!(party.rtp().count(), 0);
    party.play_all(at(1_013), 1, &tone(480, 8_000));
    party.run_until(at(2_000));
    let sent: Vec<_> = party.rtp().collect();
    assert_eq!(sent.len(), 3);
    assert!(sent[0].marker() && !sent[1].marker());
    let position = sent[0].timestamp().wrapping_sub(first);
    assert!((8_000..=8_160).contains(&position), "{position}");
}

#[test]
fn an_utterance_leaves_at_once_whole_and_with_a_marker() {
    let mut party = party();
    party.run_until(at(107));
    let speech: Vec<i16> = (0..1_600).map(telltale).collect();
    party.play_all(at(107), 5, &speech);
    assert_eq!(party.session.next_tick(), at(107));
    party.run_until(at(1_000));
    let said: Vec<_> = party.rtp().filter(|sent| loudest(sent) > 0).collect();
    assert_eq!((said[0].at, said[0].marker()), (at(107), true));
    assert!(said[1..].iter().all(|sent| !sent.marker()));
    let sent: Vec<i16> = said.iter().flat_map(|sent| sound(sent)).collect();
    assert_eq!(sent, speech);
    let started = party.events.iter().find_map(|(_, event)| match event {
        Event::PlayoutStarted {
            utterance: UtteranceId(5),
            at,
        } => Some(*at),
        _ => None,
    });
    assert_eq!(started, Some(at(107)));
    let finished = party.events.iter().find_map(|(_, event)| match event {
        Event::PlayoutFinished {
            utterance: UtteranceId(5),
            at,
            played_samples,
        } => Some((*at, *played_samples)),
        _ => None,
    });
    assert_eq!(finished, Some((at(107 + 9 * 20), 1_600)));
}

#[test]
fn leading_silence_is_not_the_start_of_an_utterance() {
    let mut party = party();
    let mut speech = vec![3; 480];
    speech.extend(tone(320, 4_000));
    party.play_all(at(0), 1, &speech);
    party.run_until(at(500));
    let started = party.events.iter().find_map(|(_, event)| match event {
        Event::PlayoutStarted { at, .. } => Some(*at),
        _ => None,
    });
    assert_eq!(started, Some(at(60)));
}

#[test]
fn timestamps_follow_real_time_and_never_overlap_over_many_utterances() {
    for seed in 0..40u64 {
        let mut party = party();
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut now = 0;
        for id in 0..60 {
            now += draw(300);
            party.run_until(at(now));
            match draw(6) {
                0 => drop(party.session.cancel()),
                1 => party.session.pause(),
                2 => party.session.resume(at(now)),
                _ => {
                    let speech = tone(draw(2_000) as usize, 5_000);
                    party.session.play(at(now), UtteranceId(id), &speech);
                    if draw(3) > 0 {
                        party.session.finish(at(now), UtteranceId(id));
                    }
                }
            }
            party.drain(at(now));
        }
        party.run_until(at(now + 500));
        let sent: Vec<_> = party.rtp().collect();
        let first = sent[0].timestamp();
        for pair in sent.windows(2) {
            let moved = pair[1].timestamp().wrapping_sub(pair[0].timestamp());
            assert_eq!(moved, 160, "seed {seed}");
            assert_eq!(
                pair[1].sequence(),
                pair[0].sequence().wrapping_add(1),
                "seed {seed}"
            );
        }
        for packet in sent {
            let due =
                Duration::from_micros(u64::from(packet.timestamp().wrapping_sub(first)) * 125);
            let sent = packet.at - at(0);
            let ahead = due.saturating_sub(sent);
            assert!(
                sent <= due && ahead <= Duration::from_millis(20),
                "seed {seed}: {ahead:?}"
            );
        }
    }
}

#[test]
fn a_cancelled_utterance_is_not_heard_again_whatever_still_arrives_of_it() {
    let mut party = party();
    party
        .session
        .play(at(0), UtteranceId(1), &tone(4_000, 8_000));
    party.run_until(at(91));
    let cancelled = party.session.cancel().unwrap();
    assert_eq!(cancelled.utterance, UtteranceId(1));
    assert_eq!(
        (cancelled.played_samples, cancelled.queued_samples),
        (800, 3_200)
    );
    assert_eq!(
        party
            .session
            .play(at(92), UtteranceId(1), &tone(400, 8_000)),
        0
    );
    party.session.finish(at(92), UtteranceId(1));
    assert_eq!(party.session.cancel(), None);
    party.run_until(at(300));
    let after: Vec<_> = party.rtp().filter(|sent| sent.at >= at(91)).collect();
    // The packet that was due next fades out within 5 ms; nothing follows.
    assert_eq!(after[0].at, at(100));
    let fading = sound(after[0]);
    assert!(fading[40..].iter().all(|sample| *sample == 0));
    assert!(fading[36].abs() < 1_000);
    assert!(after[1..].iter().all(|sent| loudest(sent) == 0));
    // The next utterance is not held up.
    party.play_all(at(300), 2, &tone(160, 2_000));
    party.run_until(at(400));
    assert!(
        party
            .rtp()
            .any(|sent| sent.at == at(300) && loudest(sent) > 0)
    );
    let finished = |event: &Event| matches!(event, Event::PlayoutFinished { utterance, .. } if utterance.0 == 1);
    assert!(!party.events.iter().any(|(_, event)| finished(event)));
}

#[test]
fn a_pause_is_heard_by_the_next_tick_and_resuming_lacks_nothing() {
    let mut party = party();
    let speech: Vec<i16> = (0..3_200).map(telltale).collect();
    party.play_all(at(0), 1, &speech);
    party.run_until(at(101));
    party.session.pause();
    party.run_until(at(305));
    let paused: Vec<_> = party.rtp().filter(|sent| sent.at > at(101)).collect();
    assert!(sound(paused[0])[40..].iter().all(|sample| *sample == 0));
    assert!(paused[1..].iter().all(|sent| loudest(sent) == 0));
    assert_eq!(paused.len(), 10);
    party.session.resume(at(305));
    assert_eq!(party.session.next_tick(), at(305));
    party.run_until(at(2_000));
    let before = party
        .rtp()
        .filter(|sent| sent.at <= at(101))
        .flat_map(sound);
    let after = party
        .rtp()
        .filter(|sent| sent.at >= at(305) && loudest(sent) > 0);
    let heard: Vec<i16> = before.chain(after.flat_map(sound)).collect();
    assert_eq!(heard.len(), speech.len());
    // 5 ms fade in; all else is as it was said.
    assert_eq!(heard[..960], speech[..960]);
    assert_eq!(heard[1_000..], speech[1_000..]);
}

#[test]
fn what_does_not_fit_is_not_accepted_and_can_be_given_again() {
    let mut party = party();
    let speech: Vec<i16> = (0..12_000).map(telltale).collect();
    let mut given = 0;
    let mut now = 0;
    while given < speech.len() {
        given += party
            .session
            .play(at(now), UtteranceId(1), &speech[given..]);
        assert!(party.session.queued_samples() <= 4_000);
        now += 40;
        party.run_until(at(now));
    }
    party.session.finish(at(now), UtteranceId(1));
    party.run_until(at(now + 1_000));
    let sent: Vec<i16> = party
        .rtp()
        .filter(|sent| loudest(sent) > 0)
        .flat_map(sound)
        .collect();
    assert_eq!(sent, speech);
}

#[test]
fn utterances_follow_each_other_without_a_seam() {
    let mut party = party();
    let speech: Vec<i16> = (0..1_000).map(telltale).collect();
    party.play_all(at(0), 1, &speech[..390]);
    party.play_all(at(0), 2, &speech[390..]);
    party.run_until(at(500));
    let sent: Vec<i16> = party.rtp().flat_map(sound).take(1_000).collect();
    assert_eq!(sent, speech);
    let finished: Vec<_> = party
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::PlayoutFinished {
                utterance,
                played_samples,
                ..
            } => Some((utterance.0, *played_samples)),
            _ => None,
        })
        .collect();
    assert_eq!(finished, [(1, 390), (2, 610)]);
}

#[test]
fn long_and_short_packets_carry_the_same_sound() {
    for ptime_ms in [10, 20, 30, 40, 60] {
        let mut negotiated = with_peer_at(A);
        negotiated.ptime_ms = ptime_ms;
        let mut party = Party::new(config(negotiated, 7));
        let speech: Vec<i16> = (0..1_920).map(telltale).collect();
        party.play_all(at(0), 1, &speech);
        party.run_until(at(480));
        let sent: Vec<_> = party.rtp().collect();
        assert!(
            sent.iter()
                .all(|sent| sent.payload().len() == ptime_ms as usize * 8)
        );
        for pair in sent.windows(2) {
            let moved = pair[1].timestamp().wrapping_sub(pair[0].timestamp());
            assert_eq!(moved, ptime_ms * 8);
        }
        let heard: Vec<i16> = sent
            .iter()
            .flat_map(|sent| sound(sent))
            .take(1_920)
            .collect();
        assert_eq!(heard, speech, "{ptime_ms} ms");
    }
}

#[test]
fn an_utterance_starts_and_ends_when_its_packets_leave_however_long_they_are() {
    for ptime_ms in [10, 20, 30, 40, 60] {
        // Audible from different places of a packet on, to different places of one.
        for (silence, loud) in [(0, 800), (160, 810), (200, 950), (390, 30)] {
            let mut negotiated = with_peer_at(A);
            negotiated.ptime_ms = ptime_ms;
            let mut party = Party::new(config(negotiated, 7));
            let mut speech = vec![0; silence];
            speech.extend(vec![4_000; loud]);
            party.play_all(at(0), 1, &speech);
            party.run_until(at(1_000));
            let loud: Vec<_> = party.rtp().filter(|sent| loudest(sent) > 1_000).collect();
            let (first, last) = (loud[0].at, loud[loud.len() - 1].at);
            let told = |event: &(Instant, Event)| match event {
                (when, Event::PlayoutStarted { at, .. } | Event::PlayoutFinished { at, .. }) => {
                    assert_eq!(when, at, "told as it leaves");
                    Some(*at)
                }
                _ => None,
            };
            let told: Vec<_> = party.events.iter().filter_map(told).collect();
            assert_eq!(told, [first, last], "{ptime_ms} ms, {silence} of silence");
        }
    }
}

#[test]
fn what_waits_for_its_packet_to_be_full_when_all_is_cancelled_is_told_before() {
    let mut negotiated = with_peer_at(A);
    negotiated.ptime_ms = 60;
    let mut party = Party::new(config(negotiated, 7));
    party.play_all(at(0), 1, &[4_000; 160]);
    party.play_all(at(0), 2, &[4_000; 960]);
    party.run_until(at(21));
    assert!(party.rtp().next().is_none() && party.events.is_empty());
    let cancelled = party.session.cancel().unwrap();
    assert_eq!((cancelled.utterance.0, cancelled.played_samples), (2, 160));
    party.drain(at(21));
    let told: Vec<_> = party.events.iter().map(|(_, event)| event).collect();
    let first = UtteranceId(1);
    assert!(
        matches!(
            told[..],
            [
                Event::PlayoutStarted { utterance: a, .. },
                Event::PlayoutFinished { utterance: b, played_samples: 160, .. },
                Event::PlayoutStarted { utterance: UtteranceId(2), .. },
            ] if (*a, *b) == (first, first)
        ),
        "{told:?}"
    );
}

#[test]
fn a_late_owner_catches_up_and_a_stalled_one_skips() {
    let mut party = party();
    party.run_until(at(100));
    // 70 ms late: what is due goes out at once.
    while party.session.next_tick() <= at(170) {
        party.session.tick(at(170));
        party.drain(at(170));
    }
    assert_eq!(party.rtp().count(), 9);
    assert_eq!(party.session.stats().skipped_ticks, 0);
    // 5 s late: the time is gone, and timestamps know.
    let last = party.rtp().last().unwrap().timestamp();
    while party.session.next_tick() <= at(5_170) {
        party.session.tick(at(5_170));
        party.drain(at(5_170));
    }
    let sent = party.rtp().last().unwrap().timestamp();
    assert_eq!(sent.wrapping_sub(last), 5_000 * 8);
    assert_eq!(party.session.stats().skipped_ticks, 249);
}

#[test]
fn what_one_says_the_other_hears_to_the_sample() {
    let mut call = Call::new(1, CLEAN, |_| {});
    let speech: Vec<i16> = (0..3_000).map(telltale).collect();
    call.run(205);
    call.a.play_all(call.now, 1, &speech);
    call.run(1_000);
    let heard: Vec<i16> = call
        .b
        .heard()
        .flat_map(|(_, frame)| frame.samples().to_vec())
        .skip_while(|sample| *sample == 0)
        .take(3_000)
        .collect();
    assert_eq!(heard, speech);
}
