//! Sound that goes one way only is noticed within half a second, explained and, where the rules
//! allow it, healed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{A, B, CLEAN, Call, Party, at, config, hold, rtp, with_peer_at};
use offhook_media::{Direction, Event, OneWay, SessionConfig};

/// What was told of sound that goes one way, and when in milliseconds.
fn told(party: &Party) -> Vec<(u64, OneWay)> {
    let since = |at: Instant| at.duration_since(common::epoch()).as_millis() as u64;
    let events = party.events.iter();
    let told = events.filter_map(|(at, event)| match event {
        Event::OneWay { why, .. } => Some((since(*at), *why)),
        _ => None,
    });
    told.collect()
}

fn healed(party: &Party) -> Option<Duration> {
    party.events.iter().find_map(|(_, event)| match event {
        Event::TwoWay { after } => Some(*after),
        _ => None,
    })
}

/// Runs a party for so long while `from` sends it packets of this payload type.
fn stream(party: &mut Party, from: &str, payload_type: u8, ms: std::ops::Range<u64>) {
    for now in ms {
        if now.is_multiple_of(20) {
            let n = now / 20;
            let packet = rtp(payload_type, n as u16, 160 * n as u32, 7, &[0x55; 160]);
            party.receive(at(now), from, &packet);
        }
        party.run_until(at(now + 1));
    }
}

fn party() -> Party {
    Party::new(config(with_peer_at(A), 1))
}

#[test]
fn a_peer_of_whom_nothing_comes_is_missed_within_half_a_second_and_once() {
    let mut party = party();
    party.run_until(at(5_000));
    let told = told(&party);
    assert_eq!(told.len(), 1, "{told:?}");
    let (when, why) = told[0];
    assert!((480..=500).contains(&when), "{when}");
    assert_eq!(why, OneWay::NothingComes);
    assert_eq!(healed(&party), None);
}

#[test]
fn it_is_missed_within_half_a_second_after_the_answer_wherever_in_a_step_that_falls() {
    for answer in 1_000..1_020 {
        let mut party = party();
        party.run_until(at(answer));
        party.events.clear();
        party.session.answered(at(answer));
        party.run_until(at(answer + 2_000));
        let after: Vec<_> = told(&party).iter().map(|(when, _)| when - answer).collect();
        assert_eq!(after.len(), 1, "{after:?}");
        assert!((480..=500).contains(&after[0]), "{answer}: {after:?}");
    }
}

#[test]
fn when_the_peer_is_heard_after_all_it_is_said_how_long_that_took() {
    let mut party = party();
    party.run_until(at(1_300));
    stream(&mut party, A, 0, 1_300..3_000);
    let after = healed(&party).unwrap().as_millis();
    assert!((1_300..=2_020).contains(&after), "{after}");
    assert_eq!(told(&party).len(), 1);
}

#[test]
fn a_call_that_is_heard_both_ways_and_one_that_falls_silent_later_have_no_trouble() {
    let mut call = Call::new(1, CLEAN, |_| {});
    call.run(3_000);
    assert!(told(&call.a).is_empty() && told(&call.b).is_empty());
    let mut party = party();
    stream(&mut party, A, 0, 0..1_000);
    party.run_until(at(20_000));
    assert!(told(&party).is_empty(), "it may have nothing to say");
}

#[test]
fn a_held_call_is_not_missed_until_it_is_resumed() {
    let mut party = party();
    stream(&mut party, A, 0, 0..1_000);
    let agreed = party.session.negotiated().clone();
    let held = hold(&agreed, Direction::RecvOnly);
    party.session.renegotiate(at(1_000), held);
    party.run_until(at(9_000));
    assert!(told(&party).is_empty());
    party.session.renegotiate(at(9_000), agreed);
    party.run_until(at(12_000));
    let told = told(&party);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!((9_480..=9_500).contains(&told[0].0), "{told:?}");
}

#[test]
fn a_codec_that_was_not_agreed_on_is_named() {
    let mut party = party();
    stream(&mut party, A, 18, 0..1_000);
    assert_eq!(told(&party)[0].1, OneWay::WrongPayload { payload_type: 18 });
}

#[test]
fn what_is_no_rtp_is_named() {
    let mut party = party();
    for n in 0..50 {
        party.receive(at(n * 20), A, &[0; 172]);
        party.run_until(at(n * 20 + 20));
    }
    assert_eq!(told(&party)[0].1, OneWay::NotRtp);
}

#[test]
fn a_stranger_is_named_and_never_heard() {
    let mut party = party();
    stream(&mut party, "203.0.113.66:4000", 0, 0..3_000);
    let from = "203.0.113.66:4000".parse().unwrap();
    assert_eq!(told(&party), [(480, OneWay::WrongSource { from })]);
    assert_eq!(party.heard().count(), 0);
}

#[test]
fn a_peer_that_describes_a_wrong_address_is_heard_from_where_it_signals() {
    let signals_from = "198.18.0.9";
    let mut party = Party::new(SessionConfig {
        signalling_remote: signals_from.parse().unwrap(),
        ..config(with_peer_at(A), 1)
    });
    stream(&mut party, "198.18.0.9:7000", 0, 0..2_000);
    assert!(party.heard().count() > 60);
    assert!(healed(&party).is_some());
    let last = party.rtp().last().unwrap();
    assert_eq!(last.to, "198.18.0.9:7000".parse().unwrap());
    let before = party.rtp().filter(|sent| sent.to != last.to).count();
    assert!(
        before <= 28,
        "{before} packets went to the described address"
    );
}

#[test]
fn who_described_itself_is_heard_there_after_all_and_goes_first() {
    let mut party = Party::new(SessionConfig {
        signalling_remote: "198.18.0.9".parse().unwrap(),
        ..config(with_peer_at(A), 1)
    });
    // A stream of before runs on where it signals, and the described one begins late.
    stream(&mut party, "198.18.0.9:7000", 0, 0..1_500);
    for n in 0..100 {
        let packet = rtp(0, 900 + n, 160 * u32::from(n), 0xBEEF, &[0x11; 160]);
        party.receive(at(1_500 + 20 * u64::from(n)), A, &packet);
        party.run_until(at(1_520 + 20 * u64::from(n)));
    }
    assert_eq!(party.session.source(), Some(A.parse().unwrap()));
    assert_eq!(party.rtp().last().unwrap().to, A.parse().unwrap());
}

#[test]
fn junk_from_where_the_peer_signals_is_no_stream() {
    let mut party = Party::new(SessionConfig {
        signalling_remote: "198.18.0.9".parse().unwrap(),
        ..config(with_peer_at(A), 1)
    });
    for n in 0..100_u16 {
        let other = rtp(0, n.wrapping_mul(7), 0, u32::from(n), &[0; 160]);
        party.receive(at(10 * u64::from(n)), "198.18.0.9:7000", &[0; 40]);
        party.receive(at(10 * u64::from(n)), "198.18.0.9:7000", &other);
        party.run_until(at(10 * u64::from(n) + 10));
    }
    stream(&mut party, A, 0, 1_000..2_000);
    assert_eq!(party.session.source(), Some(A.parse().unwrap()));
    assert!(party.rtp().all(|sent| sent.to == A.parse().unwrap()));
}

#[test]
fn the_stream_of_before_a_move_is_not_taken_for_the_new_one() {
    let mut party = Party::new(SessionConfig {
        signalling_remote: "192.0.2.1".parse().unwrap(),
        ..config(with_peer_at(A), 1)
    });
    stream(&mut party, A, 0, 0..1_000);
    let moved = with_peer_at("203.0.113.40:6000");
    party.session.renegotiate(at(1_000), moved);
    stream(&mut party, A, 0, 1_000..2_500);
    assert_eq!(party.session.source(), None);
    let last = party.rtp().last().unwrap();
    assert_eq!(last.to, "203.0.113.40:6000".parse().unwrap());
}

#[test]
fn who_was_heard_where_it_described_itself_is_not_left_for_where_it_signals() {
    let mut party = Party::new(SessionConfig {
        signalling_remote: "198.18.0.9".parse().unwrap(),
        ..config(with_peer_at(A), 1)
    });
    stream(&mut party, A, 0, 0..600);
    let heard = party.heard().count();
    stream(&mut party, "198.18.0.9:7000", 0, 600..3_000);
    assert_eq!(
        party.heard().filter(|(_, frame)| !frame.concealed).count(),
        heard
    );
    assert!(matches!(told(&party)[0].1, OneWay::WrongSource { .. }));
}

/// Runs a call of 40 s in which the peer is heard, and sends this report every five seconds.
fn told_by_reports(report: Option<&[u8]>) -> Vec<(u64, OneWay)> {
    let mut party = party();
    for now in 0..40_000_u64 {
        if now.is_multiple_of(20) {
            let n = now / 20;
            let packet = rtp(0, n as u16, 160 * n as u32, 7, &[0x55; 160]);
            party.receive(at(now), A, &packet);
        }
        if let Some(report) = report.filter(|_| now % 5_000 == 2_500) {
            party.receive(at(now), A, report);
        }
        party.run_until(at(now + 1));
    }
    told(&party)
}

#[test]
fn a_peer_that_never_reports_or_reports_of_others_alone_says_nothing_by_that() {
    assert_eq!(told_by_reports(None), []);
    // A receiver report of source 7 about source 8: a relay gave us another number.
    let mut of_another = [0; 32];
    of_another[..12].copy_from_slice(&[0x81, 201, 0, 7, 0, 0, 0, 7, 0, 0, 0, 8]);
    assert_eq!(told_by_reports(Some(&of_another)), []);
}

#[test]
fn a_peer_that_is_heard_and_reports_that_it_hears_nobody_does_not_hear_us() {
    // A receiver report of source 7 without a block.
    let told = told_by_reports(Some(&[0x80, 201, 0, 1, 0, 0, 0, 7]));
    assert_eq!(told, [(12_500, OneWay::NotHeard)]);
    // So does a sender report.
    let mut report = [0; 28];
    report[..8].copy_from_slice(&[0x80, 200, 0, 6, 0, 0, 0, 7]);
    assert_eq!(told_by_reports(Some(&report)), told);
}

#[test]
fn a_peer_that_reports_of_nobody_at_first_and_of_us_then_hears_us() {
    let mut party = party();
    for now in 0..40_000_u64 {
        if now.is_multiple_of(20) {
            let n = now / 20;
            let packet = rtp(0, n as u16, 160 * n as u32, 7, &[0x55; 160]);
            party.receive(at(now), A, &packet);
        }
        if now % 5_000 == 2_500 {
            let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 7];
            if now > 10_000 {
                (report[0], report[3]) = (0x81, 7);
                report.extend(1_u32.to_be_bytes());
                report.extend([0; 4]);
                report.extend((now as u32).to_be_bytes());
                report.extend([0; 12]);
            }
            party.receive(at(now), A, &report);
        }
        party.run_until(at(now + 1));
    }
    assert_eq!(told(&party), []);
}

#[test]
fn a_few_knocks_while_the_peer_is_silent_are_no_trouble() {
    let mut party = party();
    stream(&mut party, A, 0, 0..1_000);
    for n in 0..8 {
        let packet = rtp(0, n, 0, 9, &[0; 160]);
        party.receive(at(1_000 + 400 * u64::from(n)), "203.0.113.66:4000", &packet);
        party.run_until(at(1_400 + 400 * u64::from(n)));
    }
    assert!(told(&party).is_empty());
}

#[test]
fn a_peer_whose_reports_say_that_it_hears_nothing_is_believed() {
    // From eight seconds on A's packets are lost on the way; B's reports come through.
    let mut call = Call::new(2, CLEAN, |_| {});
    let mut b = Party::new(config(call.b.session.negotiated().clone(), 2));
    let (mut taken, mut lost) = (0, 0);
    for now in 0..60_000 {
        b.run_until(at(now));
        for sent in &call.a.sent[lost..] {
            if now < 8_000 && sent.is_rtp() {
                b.session
                    .handle_rtp(at(now), A.parse().unwrap(), &sent.bytes);
            }
        }
        lost = call.a.sent.len();
        for sent in &b.sent[taken..] {
            call.a
                .session
                .handle_rtp(at(now), B.parse().unwrap(), &sent.bytes);
        }
        taken = b.sent.len();
        call.a.run_until(at(now));
    }
    let told = told(&call.a);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1, OneWay::NotHeard);
    assert!((15_000..40_000).contains(&told[0].0), "{told:?}");
}
