//! Hold, resume and change: sound stops and comes back both ways, and time never breaks.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{A, CLEAN, Call, Party, address, at, config, hold, rtp, telltale, with_peer_at};
use offhook_media::sdp::{self, Direction};
use offhook_media::{Codec, Event, LocalMedia, SessionDescription, UtteranceId};

fn assert_time_is_whole(party: &Party) {
    let sent: Vec<_> = party.rtp().collect();
    for pair in sent.windows(2) {
        assert_eq!(pair[1].sequence(), pair[0].sequence().wrapping_add(1));
        let moved = pair[1].timestamp().wrapping_sub(pair[0].timestamp());
        assert!((160..1 << 30).contains(&moved), "{moved}");
        let real = (pair[1].at - pair[0].at).as_micros() as u64 / 125;
        assert!(u64::from(moved).abs_diff(real) <= 160, "{moved} in {real}");
    }
    assert!(
        sent.windows(2)
            .all(|pair| pair[0].bytes[8..12] == pair[1].bytes[8..12])
    );
}

#[test]
fn nothing_is_sent_on_hold_and_both_ways_come_back() {
    let mut call = Call::new(1, CLEAN, |_| {});
    call.run(300);
    let (at_a, at_b) = (
        call.a.session.negotiated().clone(),
        call.b.session.negotiated().clone(),
    );
    // A holds: it sends nothing more and listens to nothing.
    call.a
        .session
        .renegotiate(call.now, hold(&at_a, Direction::Inactive));
    call.b
        .session
        .renegotiate(call.now, hold(&at_b, Direction::Inactive));
    call.run(50);
    let (sent_a, sent_b) = (call.a.rtp().count(), call.b.rtp().count());
    call.run(40_000);
    assert_eq!(
        (call.a.rtp().count(), call.b.rtp().count()),
        (sent_a, sent_b)
    );
    assert!(
        !call
            .b
            .events
            .iter()
            .any(|(_, e)| matches!(e, Event::MediaTimeout { .. }))
    );
    call.a.session.renegotiate(call.now, at_a);
    call.b.session.renegotiate(call.now, at_b);
    let resumed = call.now;
    let speech: Vec<i16> = (0..1_600).map(telltale).collect();
    call.a.play_all(call.now, 1, &speech);
    call.b.play_all(call.now, 1, &speech);
    call.run(1_000);
    for party in [&call.a, &call.b] {
        let heard: Vec<i16> = party
            .heard()
            .filter(|(when, frame)| *when >= resumed && !frame.concealed)
            .flat_map(|(_, frame)| frame.samples().to_vec())
            .collect();
        let at = heard
            .windows(8)
            .position(|window| window == &speech[100..108])
            .unwrap();
        assert_eq!(heard[at..at + 1_500], speech[100..]);
        assert_time_is_whole(party);
        let first = party.rtp().find(|sent| sent.at >= resumed).unwrap();
        assert!(first.marker());
    }
}

#[test]
fn a_peer_that_comes_back_with_other_numbers_and_another_address_is_heard() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    for n in 0..20u16 {
        party.receive(
            at(u64::from(n) * 20),
            A,
            &rtp(0, n, u32::from(n) * 160, 1, &[0x10; 160]),
        );
        party.run_until(at(u64::from(n) * 20 + 20));
    }
    // Held in the old way: no address at all.
    let mut held = with_peer_at(A);
    held.remote = address("0.0.0.0:4000");
    held.direction = Direction::RecvOnly;
    party.session.renegotiate(at(400), held);
    party.sent.clear();
    party.run_until(at(3_000));
    assert_eq!(party.rtp().count(), 0);
    // Back from a media server elsewhere, with a new source.
    let elsewhere = "192.0.2.99:7000";
    party
        .session
        .renegotiate(at(3_000), with_peer_at(elsewhere));
    party.run_until(at(3_010));
    let before = party.heard().count();
    party.receive(at(3_010), elsewhere, &rtp(0, 9_000, 5, 2, &[0x20; 160]));
    assert_eq!(party.heard().count(), before + 1);
    // Whoever was the peer before is not any more.
    party.receive(at(3_011), A, &rtp(0, 21, 21 * 160, 1, &[0x10; 160]));
    assert_eq!(party.heard().count(), before + 1);
    party.run_until(at(3_200));
    assert!(party.rtp().all(|sent| sent.to == address(elsewhere)));
    assert!(party.rtp().count() >= 9);
}

#[test]
fn the_codec_may_change_within_the_call() {
    let mut call = Call::new(2, CLEAN, |_| {});
    let speech = vec![5_000; 1_600];
    call.a.session.play(call.now, UtteranceId(1), &speech);
    call.run(60);
    let mut local = LocalMedia::new(address(common::B), 2);
    local.codecs = vec![Codec::Pcma];
    let offer = sdp::offer(&LocalMedia::new(address(A), 1));
    let (answer, at_b) = sdp::answer(&offer, &local).unwrap();
    let at_a = offhook_media::Negotiated::from_answer(&offer, &answer).unwrap();
    call.a.session.renegotiate(call.now, at_a);
    call.b.session.renegotiate(call.now, at_b);
    call.run(500);
    let kinds: Vec<u8> = call.a.rtp().map(|sent| sent.payload_type()).collect();
    let change = kinds.iter().position(|kind| *kind == 8).unwrap();
    assert!(kinds[..change].iter().all(|kind| *kind == 0));
    assert!(kinds[change..].iter().all(|kind| *kind == 8));
    assert_time_is_whole(&call.a);
    let loud = call
        .b
        .heard()
        .flat_map(|(_, frame)| frame.samples().to_vec());
    let loud = loud
        .filter(|sample| (4_800..5_200).contains(sample))
        .count();
    // What was on its way under the number that was just taken back is lost, nothing else.
    assert!((1_280..=1_600).contains(&loud), "{loud}");
}

#[test]
fn a_refresh_that_changes_nothing_changes_nothing() {
    let mut call = Call::new(3, CLEAN, |_| {});
    call.run(500);
    let (at_a, at_b) = (
        call.a.session.negotiated().clone(),
        call.b.session.negotiated().clone(),
    );
    call.a.session.renegotiate(call.now, at_a);
    call.b.session.renegotiate(call.now, at_b);
    call.run(500);
    for party in [&call.a, &call.b] {
        assert_eq!(
            party.heard().filter(|(_, frame)| !frame.concealed).count(),
            50
        );
        assert_eq!(
            party.heard().filter(|(_, frame)| frame.concealed).count(),
            0
        );
        assert_eq!(party.rtp().filter(|sent| sent.marker()).count(), 1);
        assert_time_is_whole(party);
    }
}

#[test]
fn speech_waits_on_hold() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    party.session.play(at(0), UtteranceId(1), &[4_000; 800]);
    party.session.finish(at(0), UtteranceId(1));
    party.run_until(at(40));
    party
        .session
        .renegotiate(at(40), hold(&with_peer_at(A), Direction::RecvOnly));
    party.run_until(at(2_000));
    assert!(
        !party
            .events
            .iter()
            .any(|(_, e)| matches!(e, Event::PlayoutFinished { .. }))
    );
    party.session.renegotiate(at(2_000), with_peer_at(A));
    party.run_until(at(2_200));
    let finished = party.events.iter().find_map(|(_, event)| match event {
        Event::PlayoutFinished { played_samples, .. } => Some(*played_samples),
        _ => None,
    });
    assert_eq!(finished, Some(800));
}

#[test]
fn silence_from_the_peer_is_reported_while_it_lasts() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    party.run_until(at(95_000));
    let timeouts: Vec<u64> = party
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::MediaTimeout { silent_for } => Some(silent_for.as_secs()),
            _ => None,
        })
        .collect();
    assert_eq!(timeouts, [30, 60, 90]);
}

#[test]
fn silence_on_hold_is_no_timeout_and_counts_afresh_after_it() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    party.run_until(at(40_000));
    party.events.clear();
    // Held without music: the peer sends nothing, and wants nothing.
    party
        .session
        .renegotiate(at(40_000), hold(&with_peer_at(A), Direction::RecvOnly));
    party.run_until(at(400_000));
    party.session.renegotiate(at(400_000), with_peer_at(A));
    party.run_until(at(445_000));
    let timeouts: Vec<_> = party
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::MediaTimeout { .. }))
        .map(|(when, _)| when.duration_since(at(0)).as_secs())
        .collect();
    assert_eq!(timeouts, [430], "30 s after the hold, and not in it");
}

#[test]
fn a_peer_whose_reports_come_is_there_though_it_says_nothing() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    // A receiver report without blocks, to the port that it shares with RTP.
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    for second in (0..95).step_by(5) {
        party.receive(at(second * 1_000), A, &report);
        party.run_until(at((second + 5) * 1_000));
    }
    let timed_out = |(_, event): &(_, Event)| matches!(event, Event::MediaTimeout { .. });
    assert!(!party.events.iter().any(timed_out));
    party.run_until(at(130_000));
    assert!(party.events.iter().any(timed_out), "and then they stop");
}

#[test]
fn an_offer_held_in_the_old_way_never_makes_us_send_to_nowhere() {
    let offer = SessionDescription::parse(
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
          m=audio 4000 RTP/AVP 0\r\n",
    )
    .unwrap();
    let local = LocalMedia::new(address(common::B), 2);
    let (_, negotiated) = sdp::answer(&offer, &local).unwrap();
    let mut party = Party::new(config(negotiated, 7));
    party.session.play(at(0), UtteranceId(1), &[4_000; 800]);
    party.run_until(at(20_000));
    assert!(party.sent.is_empty());
}
