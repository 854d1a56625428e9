//! Packets of one session pass through another as they are: at once, whole, under its own numbers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

#[path = "relay/rig.rs"]
mod rig;

use common::{Sent, at, hold, rtp, telltale};
use offhook_media::music::{Background, SoundLoop};
use offhook_media::rtcp::{RtcpPacket, parse};
use offhook_media::{Codec, Direction, Event, Negotiated, UtteranceId};
use rig::{Bridge, RIGHT_SSRC, assert_whole, configs, places, since, speak, told};

#[test]
fn a_packet_leaves_as_it_came_within_the_other_sessions_stream() {
    let mut bridge = Bridge::new();
    bridge.relay(false);
    bridge.pass(100);
    let begin = bridge.ms;
    speak(&mut bridge, 0..50);
    let sent = since(&bridge, begin);
    assert_eq!(sent.len(), 50, "nothing is added and nothing left out");
    for (number, sent) in (0..).zip(&sent) {
        assert_eq!(sent.payload(), &told(number, 5)[12..]);
        assert_eq!(sent.at, at(begin + 7 + 20 * u64::from(number)), "at once");
        assert_eq!(sent.bytes[8..12], RIGHT_SSRC.to_be_bytes());
        assert_eq!(sent.to, rig::RIGHT.parse().unwrap());
    }
    assert!(sent[0].marker() && !sent[1].marker());
    assert_whole(bridge.right.rtp());
    assert_whole(bridge.left.rtp());
    let heard = bridge.left.session.stats();
    assert_eq!((heard.received, heard.lost), (50, 0));
    assert!(heard.mos.is_some());
    assert_eq!(bridge.left.heard().count(), 0, "nobody asked for its sound");
}

#[test]
fn payload_types_are_the_other_sides_own() {
    let (mut left, mut right) = configs();
    for config in [&mut left, &mut right] {
        config.negotiated.codec = Codec::Opus;
    }
    left.negotiated.receive_payload_types = vec![(96, Codec::Opus)];
    right.negotiated.receive_payload_types = vec![(111, Codec::Opus)];
    (left.negotiated.send_payload_type, left.negotiated.dtmf) = (96, Some(97));
    (right.negotiated.send_payload_type, right.negotiated.dtmf) = (111, Some(101));
    left.negotiated.dtmf_receive = Some(97);
    let mut bridge = Bridge::of(left, right);
    bridge.relay(false);
    let frame = [0x78, 1, 2, 3];
    bridge.left_sends(&rtp(96, 1, 960, 5, &frame));
    bridge.left_sends(&rtp(97, 2, 1_920, 5, &[1, 10, 0, 160]));
    // Noise has no number on the right; what was not agreed on has none anywhere.
    bridge.left_sends(&rtp(13, 3, 1_920, 5, &[60]));
    bridge.left_sends(&rtp(50, 4, 1_920, 5, &[60]));
    bridge.left_sends(&rtp(96, 5, 2_880, 5, &frame));
    let sent = since(&bridge, 0);
    let types: Vec<_> = sent.iter().map(Sent::payload_type).collect();
    assert_eq!(types, [111, 101, 111]);
    let first = &sent[0];
    for (sent, number) in sent.iter().zip([0, 1, 2]) {
        let ahead = sent.sequence().wrapping_sub(first.sequence());
        assert_eq!(ahead, number, "what is left out is no loss");
        let moved = sent.timestamp().wrapping_sub(first.timestamp());
        assert_eq!(moved, 960 * u32::from(number));
    }
}

#[test]
fn what_is_lost_is_missing_what_is_late_goes_late_and_a_copy_does_not_go() {
    let mut bridge = Bridge::new();
    bridge.relay(false);
    speak(&mut bridge, 0..5);
    let begin = bridge.ms;
    for number in [5, 6, 9, 8, 8, 6, 10] {
        bridge.left_sends(&told(number, 5));
        bridge.pass(1);
    }
    let sent = since(&bridge, begin);
    let base = sent[0].sequence();
    let numbers: Vec<_> = sent
        .iter()
        .map(|s| s.sequence().wrapping_sub(base))
        .collect();
    assert_eq!(numbers, [0, 1, 4, 3, 5]);
    for sent in &sent {
        let number = sent.sequence().wrapping_sub(base);
        assert_eq!(sent.payload(), &told(5 + number, 5)[12..]);
        let moved = sent.timestamp().wrapping_sub(bridge_time(&bridge, base));
        assert_eq!(moved, u32::from(number) * 160);
    }
    let stats = bridge.left.session.stats();
    assert_eq!((stats.lost, stats.duplicates, stats.reordered), (1, 2, 1));
}

fn bridge_time(bridge: &Bridge, sequence: u16) -> u32 {
    let mut sent = bridge.right.rtp();
    sent.find(|sent| sent.sequence() == sequence)
        .unwrap()
        .timestamp()
}

#[test]
fn time_never_runs_back_however_the_source_starts_over() {
    let mut bridge = Bridge::new();
    bridge.relay(false);
    speak(&mut bridge, 100..120);
    // Another source at the same place, after a pause, with numbers of its own.
    bridge.pass(400);
    speak_as(&mut bridge, 9, 60_000, 4_000_000_000);
    // The same source, with its numbers set back.
    speak_as(&mut bridge, 9, 3, 4_000_003_200);
    // … with its time set back, then far ahead.
    speak_as(&mut bridge, 9, 23, 5);
    speak_as(&mut bridge, 9, 43, 2_000_000_000);
    speak_as(&mut bridge, 9, 30_000, 2_000_003_200);
    // … with its numbers and time going over their ends.
    speak_as(&mut bridge, 9, 65_530, u32::MAX - 1_000);
    assert_whole(bridge.right.rtp());
    let sent: Vec<_> = bridge.right.rtp().collect();
    for pair in sent.windows(2) {
        let moved = f64::from(pair[1].timestamp().wrapping_sub(pair[0].timestamp())) / 8.0;
        let real = (pair[1].at - pair[0].at).as_secs_f64() * 1_000.0;
        assert!((moved - real).abs() <= 100.0, "{moved} ms in {real}");
    }
    // The first packet of each beginning proves that it is one.
    assert_eq!(sent.len(), 140 - 4);
}

#[test]
fn time_does_not_run_ahead_however_often_a_silent_peer_speaks_again() {
    let mut bridge = Bridge::new();
    bridge.relay(false);
    // It sends nothing while it is silent, and speaks again in the middle of a step of ours.
    for number in 0..2_000_u16 {
        let time = bridge.ms as u32 * 8;
        bridge.left_sends(&rtp(0, number, time, 5, &[0x20; 160]));
        bridge.pass(if number % 10 < 9 { 20 } else { 1_509 });
    }
    assert_whole(bridge.right.rtp());
    let ahead = bridge.right.rtp().map(|sent| {
        let real = (sent.at - at(0)).as_millis() as u32 * 8;
        sent.timestamp().wrapping_sub(real) as i32 / 8
    });
    let ahead: Vec<_> = ahead.collect();
    let first = ahead[0];
    assert!(
        ahead.iter().all(|ms| (first..=first + 40).contains(ms)),
        "{first} … {} ms",
        ahead[ahead.len() - 1]
    );
}

fn speak_as(bridge: &mut Bridge, ssrc: u32, first: u16, time: u32) {
    for n in 0..20_u16 {
        bridge.pass(20);
        let time = time.wrapping_add(u32::from(n) * 160);
        bridge.left_sends(&rtp(0, first.wrapping_add(n), time, ssrc, &[0x20; 160]));
    }
}

#[test]
fn a_key_passes_once_with_its_length_and_is_told_once() {
    let (left, mut right) = configs();
    right.negotiated.dtmf = Some(120);
    let keys = left.negotiated.dtmf_receive.unwrap();
    let mut bridge = Bridge::of(left, right);
    bridge.relay(false);
    speak(&mut bridge, 0..10);
    let begin = bridge.ms;
    for (n, (ms, ends)) in [
        (20, 0),
        (40, 0),
        (60, 0),
        (80, 0x80),
        (80, 0x80),
        (80, 0x80),
    ]
    .into_iter()
    .enumerate()
    {
        bridge.pass(20);
        let held = (ms * 8_u16).to_be_bytes();
        let event = [5, 10 | ends, held[0], held[1]];
        let mut packet = rtp(keys, 10 + n as u16, 1_600, 5, &event);
        packet[1] |= if n == 0 { 0x80 } else { 0 };
        bridge.left_sends(&packet);
    }
    bridge.pass(20);
    let mut after = told(16, 5);
    after[4..8].copy_from_slice(&(1_600_u32 + 960).to_be_bytes());
    bridge.left_sends(&after);
    let sent = since(&bridge, begin);
    let (events, sound) = sent.split_at(6);
    for (event, ms) in events.iter().zip([20, 40, 60, 80, 80, 80]) {
        assert_eq!(event.payload_type(), 120);
        assert_eq!(event.timestamp(), events[0].timestamp());
        assert_eq!(event.payload()[2..], (ms * 8_u16).to_be_bytes());
    }
    assert!(events[0].marker() && !events[1].marker());
    let moved = sound[0].timestamp().wrapping_sub(events[0].timestamp());
    assert_eq!((sound.len(), moved), (1, 960));
    assert_eq!(bridge.left.digits(), "5");
    assert_eq!(bridge.right.digits(), "");
    assert_whole(bridge.right.rtp());
}

#[test]
fn no_sample_is_lost_or_doubled_when_packets_begin_to_pass_and_when_they_are_mixed_again() {
    for hears in [false, true] {
        let mut bridge = Bridge::new();
        speak(&mut bridge, 0..25);
        let stretch = |bridge: &Bridge| {
            let stats = bridge.left.session.stats();
            stats.concealed_samples + u64::from(stats.accelerated_ms + stats.expanded_ms > 0)
        };
        let before = stretch(&bridge);
        bridge.relay(hears);
        speak(&mut bridge, 25..50);
        // Steps were let go by where nobody hears; they are missing nowhere.
        assert_eq!(bridge.rested > 0, !hears);
        bridge.mix();
        speak(&mut bridge, 50..75);
        assert_whole(bridge.right.rtp());
        let sound = places(bridge.right.rtp());
        let begin = 10 * 160;
        let from = position(&sound, begin).unwrap();
        let passed: Vec<i16> = (begin..45 * 160).map(telltale).collect();
        assert_eq!(before, 0);
        assert_eq!(sound[from..from + passed.len()], passed);
        if hears {
            continue;
        }
        // What is mixed again follows on the last packet that passed, without a silence.
        let passed: Vec<i16> = (begin..70 * 160).map(telltale).collect();
        assert_eq!(sound[from..from + passed.len()], passed);
    }
}

/// Where the sound of a place lies.
fn position(sound: &[i16], place: u64) -> Option<usize> {
    let wanted: Vec<i16> = (place..place + 32).map(telltale).collect();
    sound.windows(32).position(|window| window == wanted)
}

#[test]
fn an_agent_speaks_again_where_the_packets_end() {
    let mut bridge = Bridge::new();
    speak(&mut bridge, 0..10);
    bridge.relay(false);
    speak(&mut bridge, 10..40);
    let passed = bridge.right.rtp().count();
    assert!(bridge.right.session.can_relay_with(&bridge.left.session));
    let says: Vec<i16> = (500_000..500_000 + 1_600).map(telltale).collect();
    bridge.right.play_all(at(bridge.ms), 1, &says);
    assert!(!bridge.right.session.can_relay_with(&bridge.left.session));
    bridge.mix();
    bridge.pass(400);
    let sent: Vec<_> = bridge.right.rtp().skip(passed).collect();
    assert!(sent[0].marker());
    let sound = places(sent.iter().copied());
    let at = position(&sound, 500_000).unwrap();
    assert!(at <= 320, "{at}");
    assert_eq!(sound[at..at + 1_600], says);
    assert_whole(bridge.right.rtp());
    assert!(bridge.right.session.can_relay_with(&bridge.left.session));
    let finished = bridge.right.events.iter().any(|(_, event)| {
        matches!(
            event,
            Event::PlayoutFinished {
                utterance: UtteranceId(1),
                played_samples: 1_600,
                ..
            }
        )
    });
    assert!(finished);
}

#[test]
fn packets_pass_between_people_once_an_agent_has_left() {
    let (mut left, right) = configs();
    left.ambience = Some(Background {
        sound: SoundLoop::room_tone().into(),
        level_dbfs: -30.0,
    });
    (left.gain_control, left.echo_gate) = (true, true);
    let mut bridge = Bridge::of(left, right);
    speak(&mut bridge, 0..10);
    assert!(!bridge.left.session.can_relay_with(&bridge.right.session));
    let before = bridge.left.session.memory_bytes();
    bridge.left.session.leave_to_people();
    assert!(bridge.left.session.memory_bytes() < before);
    // What was around the agent fades out.
    speak(&mut bridge, 10..40);
    bridge.relay(false);
    speak(&mut bridge, 40..50);
    assert_whole(bridge.left.rtp());
}

#[test]
fn silence_of_our_own_waits_until_nothing_comes_any_more() {
    let mut bridge = Bridge::new();
    bridge.relay(false);
    // Nobody has spoken yet: carriers end calls without RTP.
    bridge.pass(1_205);
    let first = bridge.right.rtp().count();
    assert!((5..=11).contains(&first), "{first}");
    speak(&mut bridge, 0..50);
    assert_eq!(bridge.right.rtp().count(), first + 50);
    bridge.pass(900);
    assert_eq!(
        bridge.right.rtp().count(),
        first + 50,
        "a pause is the peer's own"
    );
    bridge.pass(400);
    let rested = bridge.rested;
    assert!(rested > 0);
    let silence = bridge.right.rtp().count() - first - 50;
    assert!((10..=20).contains(&silence), "{silence}");
    // Silence is sent step by step.
    bridge.pass(200);
    assert_eq!(bridge.rested, rested);
    let silence = silence + 10;
    speak(&mut bridge, 50..100);
    assert_eq!(bridge.right.rtp().count(), first + 50 + silence + 50);
    // Noise that stands for silence is not ended by ours.
    let (mut left, mut right) = configs();
    (
        left.negotiated.comfort_noise,
        right.negotiated.comfort_noise,
    ) = (true, true);
    let mut bridge = Bridge::of(left, right);
    bridge.relay(false);
    speak(&mut bridge, 0..50);
    bridge.left_sends(&rtp(13, 50, 50 * 160, 5, &[60]));
    let before = bridge.right.rtp().count();
    bridge.pass(10_000);
    assert_eq!(bridge.right.rtp().count(), before);
    assert_whole(bridge.right.rtp());
}

#[test]
fn a_side_on_hold_is_sent_nothing_and_goes_on_after_it() {
    let mut bridge = Bridge::new();
    bridge.relay(false);
    speak(&mut bridge, 0..10);
    let agreed = bridge.right.session.negotiated().clone();
    let now = at(bridge.ms);
    let held = hold(&agreed, Direction::Inactive);
    bridge.right.session.renegotiate(now, held);
    assert!(!bridge.left.session.can_relay_with(&bridge.right.session));
    let before = bridge.right.rtp().count();
    speak(&mut bridge, 10..20);
    bridge.mix();
    speak(&mut bridge, 20..30);
    assert_eq!(bridge.right.rtp().count(), before);
    bridge.right.session.renegotiate(at(bridge.ms), agreed);
    speak(&mut bridge, 30..40);
    bridge.relay(false);
    speak(&mut bridge, 40..50);
    assert_whole(bridge.right.rtp());
    assert!(bridge.right.rtp().count() >= before + 19);
}

#[test]
fn what_the_other_side_does_not_speak_is_decoded() {
    let (mut left, right) = configs();
    left.negotiated.receive_payload_types = vec![(0, Codec::Pcmu), (8, Codec::Pcma)];
    let mut bridge = Bridge::of(left, right);
    bridge.relay(false);
    speak(&mut bridge, 0..10);
    bridge.left_sends(&rtp(8, 10, 1_600, 5, &[0x10; 160]));
    assert!(!bridge.left.session.is_relaying());
    assert_eq!(bridge.left.heard().count(), 1);
    assert!(!bridge.left.session.can_relay_with(&bridge.right.session));
    bridge.mix();
    for n in 11..30_u16 {
        bridge.pass(20);
        bridge.left_sends(&rtp(8, n, u32::from(n) * 160, 5, &[0x10; 160]));
    }
    let last = bridge.right.rtp().last().unwrap();
    assert_eq!(last.payload_type(), 0);
    assert_whole(bridge.right.rtp());
    // It speaks the common codec again.
    bridge.left_sends(&rtp(0, 30, 4_800, 5, &[0x10; 160]));
    assert!(bridge.left.session.can_relay_with(&bridge.right.session));
}

#[test]
fn packets_do_not_pass_where_keys_would_be_lost_or_last_longer() {
    let passes = |change: fn(&mut Negotiated)| {
        let (left, mut right) = configs();
        change(&mut right.negotiated);
        let bridge = Bridge::of(left, right);
        let (left, right) = (&bridge.left.session, &bridge.right.session);
        assert_eq!(left.can_relay_with(right), right.can_relay_with(left));
        left.can_relay_with(right)
    };
    assert!(passes(|_| {}));
    assert!(!passes(
        |right| (right.dtmf, right.dtmf_receive) = (None, None)
    ));
    assert!(!passes(|right| right.dtmf_clock_rate_hz = 48_000));
}

#[test]
fn packets_too_large_to_be_sent_on_are_mixed_until_they_are_smaller() {
    let mut bridge = Bridge::new();
    bridge.relay(false);
    bridge.left_sends(&rtp(0, 1, 0, 5, &[0xFF; 800]));
    let fits = |bridge: &Bridge| bridge.left.session.can_relay_with(&bridge.right.session);
    assert!(!bridge.left.session.is_relaying() && !fits(&bridge));
    bridge.mix();
    bridge.left_sends(&rtp(0, 2, 800, 5, &[0xFF; 160]));
    assert!(fits(&bridge));
}

#[test]
fn reports_are_each_sides_own() {
    let mut bridge = Bridge::new();
    bridge.relay(false);
    for number in (0..1_000).filter(|number| number % 100 != 99) {
        bridge.left_sends(&told(number, 5));
        bridge.pass(3);
        bridge.right_sends(&told(number, 6));
        bridge.pass(17);
    }
    let report = bridge
        .right
        .sent
        .iter()
        .rev()
        .find(|sent| !sent.is_rtp())
        .unwrap();
    let sent: Vec<_> = bridge
        .right
        .rtp()
        .filter(|sent| sent.at <= report.at)
        .collect();
    let mut packets = parse(&report.bytes).unwrap();
    let Some(RtcpPacket::SenderReport {
        ssrc,
        info,
        mut blocks,
    }) = packets.next()
    else {
        panic!("no sender report")
    };
    assert_eq!(ssrc, RIGHT_SSRC);
    assert_eq!(info.packets as usize, sent.len());
    let octets: usize = sent.iter().map(|sent| sent.payload().len()).sum();
    assert_eq!(info.octets as usize, octets);
    let last = sent.last().unwrap();
    let since = (report.at - last.at).as_millis() as u32 * 8;
    let off = info
        .rtp_timestamp
        .wrapping_sub(last.timestamp().wrapping_add(since)) as i32;
    assert!(off.abs() <= 160, "{off}");
    let block = blocks.next().unwrap();
    assert_eq!((block.ssrc, block.cumulative_lost > 0), (6, true));
}

#[test]
fn who_listens_or_records_gets_the_sound_as_well() {
    let (mut left, right) = configs();
    left.recording = true;
    let mut bridge = Bridge::of(left, right);
    assert!(bridge.left.session.needs_sound() && !bridge.right.session.needs_sound());
    bridge.relay(true);
    speak(&mut bridge, 0..50);
    assert!(bridge.right.rtp().count() >= 50);
    let heard: Vec<i16> = bridge
        .left
        .heard()
        .flat_map(|(_, frame)| frame.samples().to_vec())
        .collect();
    let expected: Vec<i16> = (0..50 * 160).map(telltale).collect();
    assert_eq!(heard, expected);
    let recorded = bridge
        .left
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Recording(frame) => Some((frame.local, frame.remote)),
            _ => None,
        });
    let (local, remote): (Vec<_>, Vec<_>) = recorded.unzip();
    for sound in [local.concat(), remote.concat()] {
        let at = position(&sound, 800).unwrap();
        let passed: Vec<i16> = (800..40 * 160).map(telltale).collect();
        assert_eq!(sound[at..at + passed.len()], passed);
    }
}
