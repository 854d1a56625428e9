//! Keys reach the other side once each, over any network that lets something through.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{A, CLEAN, Call, Party, Weather, at, config, rtp, with_peer_at};
use offhook_media::{Event, UtteranceId};

#[test]
fn keys_arrive_in_order_and_once_each() {
    let mut call = Call::new(1, CLEAN, |_| {});
    call.a.session.send_dtmf("1233#*AD0").unwrap();
    call.run(3_000);
    assert_eq!(call.b.digits(), "1233#*AD0");
    let durations = call.b.events.iter().filter_map(|(_, event)| match event {
        Event::Dtmf { duration_ms, .. } => Some(*duration_ms),
        _ => None,
    });
    assert!(durations.into_iter().all(|ms| ms == 100));
}

#[test]
fn keys_survive_loss_jitter_and_copies() {
    for seed in 0..60 {
        let weather = Weather {
            delay_ms: 20,
            jitter_ms: 40,
            loss: 0.15,
            copies: 0.1,
        };
        let mut call = Call::new(seed, weather, |_| {});
        call.run(200);
        call.a.session.send_dtmf("5505551234").unwrap();
        call.b.session.send_dtmf("99*").unwrap();
        call.run(4_000);
        assert_eq!(call.b.digits(), "5505551234", "seed {seed}");
        assert_eq!(call.a.digits(), "99*", "seed {seed}");
    }
}

#[test]
fn a_key_whose_every_end_is_lost_is_heard_all_the_same() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    for n in 0..3u16 {
        let payload = [7, 10, 0, 160 * (n as u8 % 2)];
        party.receive(at(u64::from(n) * 20), A, &rtp(101, n, 4_000, 5, &payload));
    }
    party.run_until(at(1_000));
    assert_eq!(party.digits(), "7");
}

#[test]
fn that_a_key_is_held_down_is_told_before_its_release_and_once() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    for n in 0..100_u16 {
        let [high, low] = (160 * n).to_be_bytes();
        let payload = [5, if n < 97 { 10 } else { 0x8a }, high, low];
        let now = u64::from(n) * 20;
        party.receive(at(now), A, &rtp(101, n, 4_000, 5, &payload));
        party.run_until(at(now + 20));
    }
    let told = party.events.iter().filter_map(|(when, event)| match event {
        Event::KeyDown { digit } => Some((*when, digit.as_char(), true)),
        Event::Dtmf { digit, .. } => Some((*when, digit.as_char(), false)),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(at(0), '5', true), (at(97 * 20), '5', false)]);
}

#[test]
fn speech_waits_for_keys_and_time_goes_on() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    party.session.play(at(0), UtteranceId(1), &[9_000; 1_600]);
    party.run_until(at(60));
    party.session.send_dtmf("5").unwrap();
    party.run_until(at(1_000));
    let sent: Vec<_> = party.rtp().collect();
    let events: Vec<_> = sent
        .iter()
        .filter(|sent| sent.payload_type() == 101)
        .collect();
    assert_eq!(events.len(), 7);
    assert!(events[0].marker());
    assert!(
        events
            .iter()
            .all(|sent| sent.timestamp() == events[0].timestamp())
    );
    let speech: Vec<_> = sent
        .iter()
        .filter(|sent| sent.payload_type() == 0 && sent.payload()[0] != 0xFF)
        .collect();
    assert_eq!(speech.len(), 10);
    // What follows the key starts after it has ended, and numbers are never used twice.
    let end = events[0].timestamp().wrapping_add(800);
    let next = sent
        .iter()
        .position(|sent| sent.sequence() == events[6].sequence())
        .unwrap()
        + 1;
    assert!(sent[next].timestamp().wrapping_sub(end) < 1_000);
    for pair in sent.windows(2) {
        assert_eq!(pair[1].sequence(), pair[0].sequence().wrapping_add(1));
    }
    let in_time = (sent[next].at - at(0)).as_micros() as u64 / 125;
    assert_eq!(
        u64::from(sent[next].timestamp().wrapping_sub(sent[0].timestamp())),
        in_time
    );
}

#[test]
fn a_peer_without_telephone_events_hears_tones() {
    let mut call = Call::new(3, CLEAN, |local| local.dtmf = false);
    call.run(100);
    call.a.session.send_dtmf("5").unwrap();
    call.run(500);
    assert!(call.a.rtp().all(|sent| sent.payload_type() == 0));
    let loud = call
        .b
        .heard()
        .filter(|(_, frame)| frame.samples().iter().any(|s| s.abs() > 8_000));
    assert_eq!(loud.count(), 5);
}

#[test]
fn what_is_no_key_is_an_error_and_dials_nothing() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    let error = party.session.send_dtmf("12!").unwrap_err();
    assert!(error.to_string().contains('!'));
    party.run_until(at(500));
    assert!(party.rtp().all(|sent| sent.payload_type() == 0));
}
