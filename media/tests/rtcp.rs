//! Reports between two parties: what was sent, what was heard, how long the way is.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{CLEAN, Call, Weather};
use offhook_media::rtcp::{RtcpPacket, parse};
use offhook_media::sdp::Direction;
use offhook_media::{Event, Stats, UtteranceId};

fn stats(call: &Call) -> (Stats, Stats) {
    (call.a.session.stats(), call.b.session.stats())
}

#[test]
fn both_sides_learn_the_round_trip_loss_and_jitter() {
    let weather = Weather {
        delay_ms: 40,
        jitter_ms: 10,
        loss: 0.1,
        copies: 0.0,
    };
    let mut call = Call::new(1, weather, |_| {});
    call.run(60_000);
    let (a, b) = stats(&call);
    for stats in [a, b] {
        assert!(
            stats.rtcp_sent >= 10 && stats.rtcp_received >= 8,
            "{stats:?}"
        );
        let trip = stats.rtt_ms.unwrap();
        assert!((80.0..=102.0).contains(&trip), "{trip}");
        assert!((0.02..0.25).contains(&stats.remote_loss), "{stats:?}");
        assert!((1.0..8.0).contains(&stats.jitter_ms), "{stats:?}");
        assert!((1.0..8.0).contains(&stats.remote_jitter_ms), "{stats:?}");
        assert!((2_400..=2_880).contains(&stats.received), "{stats:?}");
        assert!((200..450).contains(&stats.lost), "{stats:?}");
        assert!((2.0..3.7).contains(&stats.mos.unwrap()), "{stats:?}");
    }
}

#[test]
fn a_clean_call_scores_as_one() {
    let mut call = Call::new(2, CLEAN, |_| {});
    call.run(20_000);
    let (a, _) = stats(&call);
    assert_eq!((a.lost, a.late, a.duplicates, a.reordered), (0, 0, 0, 0));
    assert!(a.mos.unwrap() > 4.3, "{a:?}");
    assert!(a.jitter_ms < 1.0 && a.buffer_delay_ms <= 40, "{a:?}");
    assert_eq!(a.concealed_samples, 0);
}

#[test]
fn reports_go_beside_rtp_or_on_its_port_as_agreed() {
    for mux in [true, false] {
        let mut call = Call::new(3, CLEAN, |local| local.rtcp_mux = mux);
        call.run(12_000);
        let reports: Vec<_> = call.a.sent.iter().filter(|sent| !sent.is_rtp()).collect();
        assert!(reports.len() >= 2);
        for report in reports {
            assert_eq!(report.rtcp, !mux);
            assert_eq!(report.to.port(), if mux { 5000 } else { 5001 });
            let kinds: Vec<_> = parse(&report.bytes).unwrap().collect();
            assert!(matches!(kinds[0], RtcpPacket::SenderReport { .. }));
            assert!(matches!(
                kinds[1],
                RtcpPacket::SourceDescription { cname: Some(_), .. }
            ));
        }
        assert!(
            call.a
                .sent
                .iter()
                .filter(|sent| sent.is_rtp())
                .all(|sent| !sent.rtcp)
        );
    }
}

#[test]
fn sender_reports_count_what_was_sent() {
    let mut call = Call::new(4, CLEAN, |_| {});
    call.run(30_000);
    let mut seen = 0;
    for report in call.a.sent.iter().filter(|sent| !sent.is_rtp()) {
        let before: Vec<_> = call.a.rtp().filter(|sent| sent.at <= report.at).collect();
        let Some(RtcpPacket::SenderReport { info, .. }) = parse(&report.bytes).unwrap().next()
        else {
            panic!("no sender report");
        };
        assert_eq!(info.packets as usize, before.len());
        assert_eq!(info.octets as usize, before.len() * 160);
        let last = before.last().unwrap();
        let ahead = info.rtp_timestamp.wrapping_sub(last.timestamp());
        assert!(ahead <= 160, "{ahead}");
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn who_only_listens_reports_what_it_receives() {
    let mut call = Call::new(6, CLEAN, |_| {});
    let held = common::hold(call.b.session.negotiated(), Direction::RecvOnly);
    call.b.session.renegotiate(call.now, held);
    call.run(12_000);
    assert_eq!(call.b.rtp().count(), 0);
    let reports: Vec<_> = call.b.sent.iter().filter(|sent| !sent.is_rtp()).collect();
    assert!(reports.len() >= 2);
    for report in reports {
        let mut packets = parse(&report.bytes).unwrap();
        let Some(RtcpPacket::ReceiverReport { mut blocks, .. }) = packets.next() else {
            panic!("no receiver report");
        };
        let block = blocks.next().unwrap();
        assert_eq!(block.ssrc, 0xAAAA_0006);
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 0));
    }
}

#[test]
fn each_side_tells_the_other_how_its_voice_is_heard() {
    let weather = Weather {
        delay_ms: 30,
        jitter_ms: 0,
        loss: 0.05,
        copies: 0.0,
    };
    let mut call = Call::new(7, weather, |_| {});
    let tone = common::tone(8_000, 440.0, 3_000.0, 160);
    call.run_with(40_000, |now, a, _| {
        // Half a second of sound, half a second of none.
        let ms = now.duration_since(common::epoch()).as_millis() as u64;
        if ms.is_multiple_of(20) && ms % 1_000 < 500 {
            a.session.play(now, UtteranceId(1), &tone);
        }
    });
    let (a, b) = stats(&call);
    let told = a.remote_mos.unwrap();
    assert!((told - b.mos.unwrap()).abs() < 0.6, "{told} {b:?}");
    let mut seen = 0;
    let reports = call.b.sent.iter().filter(|sent| !sent.is_rtp());
    for report in reports.skip(1) {
        let Some(voice) = parse(&report.bytes)
            .unwrap()
            .find_map(|packet| match packet {
                RtcpPacket::ExtendedReport { mut voices, .. } => voices.next(),
                _ => None,
            })
        else {
            panic!("no extended report");
        };
        assert_eq!(voice.ssrc, 0xAAAA_0007);
        assert!((0.01..0.12).contains(&voice.loss), "{voice:?}");
        assert!((58..=64).contains(&voice.round_trip_ms), "{voice:?}");
        assert!(voice.gap_ms > 0 && voice.burst_ms > 0, "{voice:?}");
        assert!(voice.burst_density > voice.gap_density, "{voice:?}");
        // 3,000 of 32,768 are 20.8 dB below the sine of full scale, which is 3.14 dBm0.
        let level = voice.signal_dbm0.unwrap();
        assert!((-20..=-16).contains(&level), "{voice:?}");
        assert!((60..93).contains(&voice.rating.unwrap()), "{voice:?}");
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn who_does_not_ask_how_it_is_heard_is_not_told() {
    let mut call = Call::new(8, CLEAN, |local| local.voip_metrics = false);
    call.run(20_000);
    let reports = call.a.sent.iter().filter(|sent| !sent.is_rtp());
    let mut packets = reports.flat_map(|report| parse(&report.bytes).unwrap());
    assert!(packets.all(|packet| !matches!(packet, RtcpPacket::ExtendedReport { .. })));
    assert_eq!(call.a.session.stats().remote_mos, None);
}

#[test]
fn goodbye_reaches_the_other_side() {
    let mut call = Call::new(5, CLEAN, |_| {});
    call.run(200);
    call.a.session.close(call.now);
    call.run(100);
    assert!(
        call.b
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::RemoteBye))
    );
}
