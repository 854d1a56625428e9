//! Calls in each codec, and what may change about it within a call.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{A, B, CLEAN, Call, Party, Sent, Weather, address, correlation, speech_16k, tone};
use offhook_media::sdp::{self, LocalMedia, LocalSrtp, Negotiated};
use offhook_media::{Codec, Event, Frame, SrtpPolicy, UtteranceId};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Speech at a session's rate.
fn speech(rate_hz: u32) -> Vec<i16> {
    let wide = speech_16k();
    if rate_hz == 16_000 {
        return wide;
    }
    let mut narrow = vec![0; wide.len() / 2];
    offhook_media::rate::HalfBand::to(8_000).convert(&wide, &mut narrow);
    narrow
}

/// Lets A say `sound` for `ms`, as the playout has room for it.
fn say(call: &mut Call, sound: &[i16], ms: u64) {
    let mut said = 0;
    call.run_with(ms, |now, a, _| {
        let next = (said + a.session.rate_hz() as usize / 10).min(sound.len());
        if a.session.queued_samples() < a.session.rate_hz() as usize / 10 {
            said += a.session.play(now, UtteranceId(1), &sound[said..next]);
        }
    });
}

/// All that a party heard, end to end.
fn heard(party: &Party) -> Vec<i16> {
    party
        .heard()
        .flat_map(|(_, frame)| frame.samples().to_vec())
        .collect()
}

/// How alike what was heard is to what was said, wherever it begins.
fn likeness(said: &[i16], heard: &[i16]) -> f64 {
    let said = &said[..said.len().min(24_000)];
    (0..4_000.min(heard.len()))
        .map(|delay| correlation(said, heard, delay))
        .fold(0.0, f64::max)
}

fn agree(change: impl Fn(&mut LocalMedia)) -> (Negotiated, Negotiated) {
    common::agreement(change)
}

/// Timestamps of packets of sound, as steps from one to the next.
fn steps(packets: &[&Sent]) -> Vec<u32> {
    packets
        .windows(2)
        .map(|pair| pair[1].timestamp().wrapping_sub(pair[0].timestamp()))
        .collect()
}

#[test]
fn each_codec_carries_a_call_at_its_rate_and_counts_at_its_clock() {
    for (codec, rate_hz, step) in [
        (Codec::Pcmu, 8_000, 160),
        (Codec::Pcma, 8_000, 160),
        (Codec::G722, 16_000, 160),
        (Codec::Opus, 16_000, 960),
        (Codec::L16, 16_000, 320),
    ] {
        let mut call = Call::new(3, CLEAN, |local| local.codecs = vec![codec]);
        assert_eq!(call.a.session.rate_hz(), rate_hz, "{codec:?}");
        let sound = speech(rate_hz);
        say(&mut call, &sound, 3_000);
        let sent: Vec<&Sent> = call.a.rtp().collect();
        assert!(steps(&sent).iter().all(|moved| *moved == step), "{codec:?}");
        let (_, frame) = call.b.heard().next().unwrap();
        assert_eq!(
            (frame.rate_hz, frame.samples().len()),
            (rate_hz, Frame::MAX_SAMPLES)
        );
        let alike = likeness(&sound, &heard(&call.b));
        assert!(alike > 0.97, "{codec:?}: {alike:.3}");
        let stats = call.b.session.stats();
        assert_eq!((stats.lost, stats.concealed_samples), (0, 0), "{codec:?}");
        assert!(stats.jitter_ms < 2.0, "{codec:?}: {}", stats.jitter_ms);
    }
}

#[test]
fn each_packet_time_is_sent_and_heard_in_each_codec() {
    for codec in Codec::ALL {
        for ptime_ms in [10, 20, 30, 40, 60] {
            let mut call = Call::new(9, CLEAN, |local| {
                local.codecs = vec![codec];
                local.ptime_ms = ptime_ms;
            });
            let sound = speech(call.a.session.rate_hz());
            say(&mut call, &sound, 2_400);
            let sent: Vec<&Sent> = call.a.rtp().collect();
            let each_ms = codec.packet_time_ms(ptime_ms);
            let step = codec.clock_rate_hz() / 1_000 * each_ms;
            assert!(
                steps(&sent).iter().all(|moved| *moved == step),
                "{codec:?} {ptime_ms} ms"
            );
            let alike = likeness(&sound, &heard(&call.b));
            assert!(alike > 0.96, "{codec:?} {ptime_ms} ms: {alike:.3}");
            assert_eq!(
                call.b.session.stats().concealed_samples,
                0,
                "{codec:?} {ptime_ms} ms"
            );
        }
    }
}

#[test]
fn a_loss_or_a_detour_of_packets_ends_no_stream_in_any_codec() {
    let weather = Weather {
        delay_ms: 10,
        jitter_ms: 30,
        loss: 0.05,
        copies: 0.02,
    };
    for codec in Codec::ALL {
        let mut call = Call::new(21, weather, |local| local.codecs = vec![codec]);
        let sound = speech(call.a.session.rate_hz());
        say(&mut call, &sound, 6_000);
        let stats = call.b.session.stats();
        assert!(
            stats.lost > 5 && stats.reordered > 5,
            "{codec:?}: {stats:?}"
        );
        // What is there is waited for: no more is made up than was lost.
        let step = u64::from(call.b.session.rate_hz() / 50);
        let made_up = stats.concealed_samples / step;
        assert!(made_up <= 2 * stats.lost, "{codec:?}: {made_up} made up");
        let frames = call.b.heard().filter(|(_, frame)| !frame.concealed).count();
        assert!(frames > 250, "{codec:?}: {frames} of 300");
    }
}

#[test]
fn the_longest_packets_of_each_codec_go_encrypted_too() {
    for codec in Codec::ALL {
        for ptime_ms in [10, 60] {
            let mut call = Call::new(13, CLEAN, |local| {
                local.codecs = vec![codec];
                local.ptime_ms = ptime_ms;
                let mut random = StdRng::seed_from_u64(local.session_id);
                local.srtp = LocalSrtp::new(SrtpPolicy::Required, &mut random);
            });
            let sound = speech(call.a.session.rate_hz());
            say(&mut call, &sound, 1_200);
            let (sent, heard) = (call.a.session.stats(), call.b.session.stats());
            assert!(call.a.session.negotiated().srtp.is_some());
            assert_eq!(
                (sent.overrun, heard.overrun),
                (0, 0),
                "{codec:?} {ptime_ms}"
            );
            assert_eq!(heard.lost + heard.malformed + heard.unauthenticated, 0);
            assert!(call.b.heard().count() > 50, "{codec:?} {ptime_ms} ms");
        }
    }
}

/// What a party agrees on anew within a call.
fn renegotiate(call: &mut Call, change: impl Fn(&mut LocalMedia)) {
    let (at_a, at_b) = agree(change);
    call.a.session.renegotiate(call.now, at_a);
    call.b.session.renegotiate(call.now, at_b);
}

#[test]
fn codec_and_packet_time_may_change_within_a_call_and_its_time_goes_on() {
    let mut call = Call::new(5, CLEAN, |local| local.codecs = vec![Codec::Pcmu]);
    let sound = speech(8_000);
    let mut said = 0;
    for (codec, ptime_ms) in [
        (Codec::Opus, 20),
        (Codec::Opus, 60),
        (Codec::G722, 10),
        (Codec::L16, 20),
        (Codec::Pcma, 40),
        (Codec::Opus, 20),
    ] {
        renegotiate(&mut call, |local| {
            local.codecs = vec![codec];
            local.ptime_ms = ptime_ms;
        });
        say(&mut call, &sound[said..], 1_000);
        said += 8_000 - call.a.session.queued_samples();
        call.run(200);
        let all = heard(&call.b);
        let loudest = all[all.len() - 8_000..].iter().map(|s| s.abs()).max();
        assert!(loudest > Some(1_000), "{codec:?} {ptime_ms}");
    }
    // The session's rate stays what it was, and no timestamp runs back or overlaps.
    assert!(call.b.heard().all(|(_, frame)| frame.rate_hz == 8_000));
    let positions: Vec<u64> = call
        .b
        .heard()
        .map(|(_, frame)| frame.rtp_timestamp)
        .collect();
    assert!(positions.windows(2).all(|pair| pair[1] >= pair[0]));
    let sent: Vec<&Sent> = call.a.rtp().collect();
    assert!(
        steps(&sent)
            .iter()
            .all(|moved| (80..=20_000).contains(moved))
    );
    assert_eq!(call.b.session.stats().lost, 0);
}

#[test]
fn a_peer_may_change_among_the_agreed_codecs_from_one_packet_to_the_next() {
    let all = [Codec::G722, Codec::Pcmu, Codec::Opus, Codec::Pcma];
    let (at_a, at_b) = common::taking_all(&all);
    assert_eq!(at_b.receivable().collect::<Vec<_>>(), all);
    let mut call = Call::new(8, CLEAN, |_| {});
    call.a = Party::new(common::config(at_a.clone(), 1));
    call.b = Party::new(common::config(at_b, 2));
    let sound = speech(16_000);
    let mut said = 0;
    for number in [9, 0, 111, 8, 111, 9] {
        let known = at_a.receive_payload_types.iter();
        let (_, codec) = *known.clone().find(|(known, _)| *known == number).unwrap();
        call.a.session.renegotiate(
            call.now,
            Negotiated {
                codec,
                send_payload_type: number,
                ..at_a.clone()
            },
        );
        let before = call.b.heard().count();
        say(&mut call, &sound[said..], 600);
        said += 9_600;
        let lately: Vec<(bool, i16)> = call
            .b
            .heard()
            .skip(before + 3)
            .flat_map(|(_, frame)| frame.samples().iter().map(|s| (frame.concealed, *s)))
            .collect();
        assert!(lately.iter().all(|(concealed, _)| !concealed), "{codec:?}");
        assert!(
            lately.iter().any(|(_, sample)| sample.abs() > 300),
            "{codec:?}"
        );
    }
    assert!(call.b.heard().all(|(_, frame)| frame.rate_hz == 16_000));
    let stats = call.b.session.stats();
    assert_eq!((stats.lost, stats.unknown_payload), (0, 0));
    assert!(stats.jitter_ms < 1.0, "{}", stats.jitter_ms);
}

#[test]
fn a_key_lasts_as_long_at_each_clock() {
    for codec in Codec::ALL {
        let mut call = Call::new(4, CLEAN, |local| local.codecs = vec![codec]);
        call.run(100);
        call.a.session.send_dtmf("5").unwrap();
        call.run(600);
        let pressed = call.b.events.iter().find_map(|(_, event)| match event {
            Event::Dtmf { digit, duration_ms } => Some((digit.as_char(), *duration_ms)),
            _ => None,
        });
        assert_eq!(pressed, Some(('5', 100)), "{codec:?}");
        assert_eq!(call.b.digits(), "5", "{codec:?}");
    }
}

#[test]
fn a_phone_with_opus_that_counts_keys_at_8_000_is_understood_and_spoken_to() {
    let mut theirs = sdp::offer(&LocalMedia {
        codecs: vec![Codec::Opus],
        ..LocalMedia::new(address(A), 1)
    });
    let audio = &mut theirs.media[0];
    audio.formats = vec!["96".into(), "101".into()];
    audio
        .attributes
        .retain(|line| line.name != "rtpmap" && line.name != "fmtp");
    for map in ["96 opus/48000/2", "101 telephone-event/8000"] {
        audio.attributes.push(sdp::Attribute::new("rtpmap", map));
    }
    let ours = LocalMedia {
        codecs: vec![Codec::Opus],
        ..LocalMedia::new(address(B), 2)
    };
    let (answer, agreed) = sdp::answer(&theirs, &ours).unwrap();
    assert_eq!((agreed.dtmf, agreed.dtmf_clock_rate_hz), (Some(101), 8_000));
    assert!(
        answer
            .to_string()
            .contains("a=rtpmap:101 telephone-event/8000")
    );
    let mut party = Party::new(common::config(agreed, 1));
    party.session.send_dtmf("9").unwrap();
    party.run_until(common::at(300));
    let events = party.rtp().filter(|sent| sent.payload_type() == 101);
    let durations: Vec<u16> = events
        .map(|sent| u16::from_be_bytes([sent.payload()[2], sent.payload()[3]]))
        .collect();
    assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
}

#[test]
fn what_opus_carries_again_is_heard_instead_of_being_made_up() {
    let weather = Weather {
        delay_ms: 10,
        jitter_ms: 30,
        loss: 0.05,
        copies: 0.0,
    };
    let mut call = Call::new(12, weather, |local| local.codecs = vec![Codec::Opus]);
    let sound = speech(16_000);
    // RTCP has told of the loss after some seconds.
    for _ in 0..4 {
        say(&mut call, &sound, 9_000);
    }
    let stats = call.b.session.stats();
    assert!(call.a.session.stats().remote_loss > 0.01);
    assert!(stats.lost > 40, "{} lost", stats.lost);
    assert!(
        stats.recovered_samples > 10 * 320,
        "{}",
        stats.recovered_samples
    );
    let positions: Vec<u64> = call
        .b
        .heard()
        .map(|(_, frame)| frame.rtp_timestamp)
        .collect();
    assert!(positions.windows(2).all(|pair| pair[1] >= pair[0]));
}

#[test]
fn a_wideband_call_is_recorded_with_all_of_its_band() {
    let mut call = Call::new(2, CLEAN, |local| local.codecs = vec![Codec::G722]);
    call.b.session.set_recording(true);
    let high = tone(16_000, 6_000.0, 8_000.0, 32_000);
    say(&mut call, &high, 1_500);
    let (mut local, mut remote) = (Vec::new(), Vec::new());
    for (_, event) in &call.b.events {
        if let Event::Recording(frame) = event {
            assert_eq!(frame.rate_hz, 16_000);
            local.extend(frame.local);
            remote.extend(frame.remote);
        }
    }
    assert_eq!(local.len(), 1_500 * 16);
    assert!(local.iter().all(|sample| sample.abs() < 50));
    let alike = (0..3).map(|delay| correlation(&high, &remote[8_000..], delay).abs());
    assert!(alike.fold(0.0, f64::max) > 0.9);
    assert_eq!(call.b.session.stats().overrun, 0);
}

#[test]
fn silence_that_opus_leaves_out_does_not_end_the_call_and_speech_goes_on_after_it() {
    let (at_a, at_b) = agree(|local| local.codecs = vec![Codec::Opus]);
    let mut call = Call::new(6, CLEAN, |_| {});
    let saving = Negotiated {
        opus: offhook_media::codec::OpusWishes {
            dtx: true,
            ..at_a.opus
        },
        ..at_a
    };
    call.a = Party::new(common::config(saving, 1));
    call.b = Party::new(common::config(at_b, 2));
    let sound = speech(16_000);
    say(&mut call, &sound[..32_000], 2_400);
    let before = call.a.rtp().count();
    call.run(4_000);
    let in_silence = call.a.rtp().count() - before;
    assert!((4..60).contains(&in_silence), "{in_silence}");
    call.a.session.cancel();
    let heard_before = heard(&call.b).len();
    let mut said = 0;
    call.run_with(2_000, |now, a, _| {
        said += a
            .session
            .play(now, UtteranceId(2), &sound[said..said + 1_600]);
    });
    // The silence before the words is left out too.
    let after = heard(&call.b).split_off(heard_before + 8_000);
    let alike = (0..16_000).map(|at| correlation(&after[..8_000], &sound, at));
    let alike = alike.fold(0.0, f64::max);
    assert!(alike > 0.9, "{alike:.3}");
    let spurts = call.a.rtp().filter(|sent| sent.marker()).count();
    assert!(spurts >= 2, "{spurts}");
    assert_eq!(call.b.session.stats().lost, 0);
}

/// The share of frames, once the agent has spoken for a second, that are taken for its echo when
/// the line sends all of it back.
fn share_of_echo(codec: Codec) -> f64 {
    let (_, at_b) = agree(|local| local.codecs = vec![codec]);
    let mut party = Party::new(offhook_media::SessionConfig {
        echo_gate: true,
        ..common::config(at_b, 7)
    });
    let sound = speech(party.session.rate_hz());
    let (mut said, mut sent_back) = (0, 0);
    for ms in (0..6_000).step_by(20) {
        let now = common::at(ms);
        said += party.session.play(now, UtteranceId(1), &sound[said..]);
        party.run_until(common::at(ms + 1));
        // 120 ms later it is back.
        while let Some(packet) = party.sent.get(sent_back).cloned() {
            if packet.at + std::time::Duration::from_millis(120) > now {
                break;
            }
            sent_back += 1;
            if packet.is_rtp() {
                let mut bytes = packet.bytes;
                bytes[8..12].copy_from_slice(&[0, 0, 0, 5]);
                party.receive(now, A, &bytes);
            }
        }
    }
    let frames: Vec<bool> = party
        .heard()
        .skip(50)
        .map(|(_, frame)| frame.echo)
        .collect();
    frames.iter().filter(|echo| **echo).count() as f64 / frames.len() as f64
}

#[test]
fn our_own_echo_is_told_in_wideband_as_in_narrowband() {
    let narrow = share_of_echo(Codec::Pcmu);
    for codec in [Codec::G722, Codec::Opus, Codec::L16] {
        let wide = share_of_echo(codec);
        assert!(
            wide > narrow - 0.05,
            "{codec:?}: {wide:.2}, PCMU: {narrow:.2}"
        );
    }
    assert!(narrow > 0.6, "{narrow:.2}");
}
