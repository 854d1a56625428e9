//! Silence that is told by comfort noise (RFC 3389) sounds as its sender says, and costs little.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{A, B, CLEAN, Call, Party, Weather, address, agreement, at, config, rtp};
use offhook_media::codec::comfort_noise::ComfortNoise;
use offhook_media::music::{Background, SoundLoop};
use offhook_media::sdp::{self, LocalMedia};
use offhook_media::{Event, SessionConfig, SessionDescription, UtteranceId};

const COMFORT_NOISE: u8 = 13;

fn rms(sound: &[i16]) -> f32 {
    let energy: f32 = sound.iter().map(|s| f32::from(*s).powi(2)).sum();
    (energy / sound.len() as f32).sqrt()
}

fn voice(samples: usize) -> Vec<i16> {
    let turn = |n: usize| (n as f32 / 61.0 * std::f32::consts::TAU).sin();
    (0..samples).map(|n| (turn(n) * 8_000.0) as i16).collect()
}

/// Both parties send nothing while they say nothing, and agreed on comfort noise.
fn call(weather: Weather) -> Call {
    let mut call = Call::new(1, weather, |_| {});
    let (at_a, at_b) = agreement(|local| local.comfort_noise = true);
    for (party, negotiated) in [(&mut call.a, at_a), (&mut call.b, at_b)] {
        *party = Party::new(SessionConfig {
            recording: true,
            ..config(negotiated, 5)
        });
    }
    call
}

/// What a party played between two moments.
fn played(party: &Party, from_ms: u64, to_ms: u64) -> Vec<i16> {
    let mut played = Vec::new();
    for (when, event) in &party.events {
        if let Event::Recording(frame) = event
            && (at(from_ms)..at(to_ms)).contains(when)
        {
            played.extend(frame.remote);
        }
    }
    played
}

#[test]
fn comfort_noise_is_agreed_on_where_both_sides_want_it() {
    let describe = |wanted: bool, at: &str| LocalMedia {
        comfort_noise: wanted,
        ..LocalMedia::new(address(at), 1)
    };
    for (theirs, ours) in [(true, true), (true, false), (false, true)] {
        let offer = sdp::offer(&describe(theirs, A));
        let (answer, at_b) = sdp::answer(&offer, &describe(ours, B)).unwrap();
        let at_a = sdp::Negotiated::from_answer(&offer, &answer).unwrap();
        assert_eq!(at_a.comfort_noise, theirs && ours);
        assert_eq!(at_b.comfort_noise, theirs && ours);
        let text = answer.to_string();
        assert_eq!(
            text.contains("a=rtpmap:13 CN/8000\r\n"),
            theirs && ours,
            "{text}"
        );
    }
}

#[test]
fn a_peer_need_not_map_the_number_and_may_not_map_it_to_another_rate() {
    let offer = |line: &str| {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 0 13\r\n{line}"
        );
        SessionDescription::parse(text.as_bytes()).unwrap()
    };
    let ours = LocalMedia {
        comfort_noise: true,
        ..LocalMedia::new(address(B), 1)
    };
    for (line, agreed) in [
        ("", true),
        ("a=rtpmap:13 cn/8000\r\n", true),
        ("a=rtpmap:13 CN/16000\r\n", false),
    ] {
        let (_, negotiated) = sdp::answer(&offer(line), &ours).unwrap();
        assert_eq!(negotiated.comfort_noise, agreed, "{line}");
        assert_eq!(negotiated.receive_payload_types.len(), 1);
    }
}

#[test]
fn silence_is_told_five_times_a_second_and_speech_begins_anew() {
    let mut call = call(CLEAN);
    call.run(1_000);
    let quiet: Vec<_> = call.a.rtp().map(|sent| sent.payload_type()).collect();
    assert_eq!(quiet, [COMFORT_NOISE; 5]);
    let now = call.now;
    call.a.play_all(now, 1, &voice(1_600));
    call.run(1_000);
    let spoken: Vec<_> = call
        .a
        .rtp()
        .filter(|sent| sent.payload_type() == 0)
        .collect();
    assert_eq!(spoken.len(), 10);
    assert!(spoken[0].marker());
    let sent = call.a.rtp().map(|sent| (sent.sequence(), sent.timestamp()));
    let sent: Vec<_> = sent.collect();
    for pair in sent.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
        assert!(pair[1].1.wrapping_sub(pair[0].1) < 8_000, "{pair:?}");
    }
    let first = call.a.rtp().next().unwrap();
    assert_eq!(
        ComfortNoise::parse(first.payload()),
        Some(ComfortNoise::SILENT)
    );
}

#[test]
fn what_is_softly_around_is_sent_as_it_is() {
    let ambience = Background {
        sound: Arc::new(SoundLoop::room_tone()),
        level_dbfs: -50.0,
    };
    let mut party = Party::new(SessionConfig {
        ambience: Some(ambience),
        ..config(agreement(|local| local.comfort_noise = true).0, 5)
    });
    party.run_until(at(1_000));
    let kinds: Vec<_> = party.rtp().map(|sent| sent.payload_type()).collect();
    assert_eq!(kinds, [0; 50]);
}

#[test]
fn a_later_agreement_without_it_has_silence_sent_again() {
    let mut party = Party::new(config(agreement(|local| local.comfort_noise = true).0, 5));
    party.run_until(at(1_000));
    assert!(party.rtp().all(|sent| sent.payload_type() == COMFORT_NOISE));
    let before = party.rtp().count();
    party.session.renegotiate(at(1_000), agreement(|_| {}).0);
    party.run_until(at(2_000));
    let kinds: Vec<_> = party
        .rtp()
        .skip(before)
        .map(|sent| sent.payload_type())
        .collect();
    assert_eq!(kinds, [0; 50]);
}

#[test]
fn speech_is_heard_whole_around_silences_that_are_told() {
    let mut call = call(Weather {
        jitter_ms: 15,
        ..CLEAN
    });
    call.run(500);
    for id in 1..=3 {
        let now = call.now;
        call.a.play_all(now, id, &voice(3_200));
        call.run(1_500);
    }
    let heard = call.b.heard().filter(|(_, frame)| !frame.concealed);
    let heard: usize = heard.map(|(_, frame)| frame.samples().len()).sum();
    assert_eq!(heard, 3 * 3_200);
    assert_eq!(call.b.session.stats().late, 0);
}

#[test]
fn what_is_played_in_silence_is_as_loud_as_the_peer_says_until_it_speaks_again() {
    let mut party = Party::new(SessionConfig {
        recording: true,
        ..config(agreement(|local| local.comfort_noise = true).1, 7)
    });
    let mut payload = vec![0; 160];
    offhook_media::codec::g711::encode_ulaw(&voice(160), &mut payload);
    let mut sequence = 0;
    let mut send = |party: &mut Party, n: u64, kind: u8, payload: &[u8]| {
        party.run_until(at(n * 20));
        party.receive(
            at(n * 20),
            A,
            &rtp(kind, sequence, n as u32 * 160, 9, payload),
        );
        sequence += 1;
    };
    for n in 0..50 {
        send(&mut party, n, 0, &payload);
    }
    // One second of silence, 46 dB below overload, then silence that is silent, then speech.
    send(&mut party, 50, COMFORT_NOISE, &[46, 100, 140]);
    send(&mut party, 100, COMFORT_NOISE, &[127]);
    for n in 150..170 {
        send(&mut party, n, 0, &payload);
    }
    party.run_until(at(3_400));
    let loudness = |from, to| rms(&played(&party, from, to));
    assert!((loudness(500, 980) / 5_650.0 - 1.0).abs() < 0.05);
    let noise = 32_768.0 * 10f32.powf(-46.0 / 20.0);
    let heard = loudness(1_100, 1_980);
    assert!(
        (heard / noise).log10().abs() * 20.0 < 2.0,
        "{heard} {noise}"
    );
    assert_eq!(loudness(2_100, 2_980), 0.0);
    assert!((loudness(3_100, 3_380) / 5_650.0 - 1.0).abs() < 0.05);
    // Listeners hear nothing in it that could be taken for speech.
    for (_, frame) in party.heard().filter(|(_, frame)| frame.concealed) {
        assert!(rms(frame.samples()) < 2.0 * noise);
    }
}

#[test]
fn without_the_agreement_silence_is_left_out_without_a_word() {
    let (at_a, _) = agreement(|_| {});
    let mut party = Party::new(SessionConfig {
        continuous: false,
        ..config(at_a, 5)
    });
    party.run_until(at(1_000));
    assert_eq!(party.rtp().count(), 0);
    party.session.play(at(1_000), UtteranceId(1), &voice(320));
    party.session.finish(at(1_000), UtteranceId(1));
    party.run_until(at(1_500));
    assert!(party.rtp().all(|sent| sent.payload_type() == 0));
}

#[test]
fn broken_comfort_noise_is_only_a_packet() {
    let mut party = Party::new(config(agreement(|_| {}).1, 7));
    for (n, payload) in [&[][..], &[0xFF], &[0; 200], &[255; 200]]
        .iter()
        .enumerate()
    {
        let packet = rtp(COMFORT_NOISE, n as u16, n as u32 * 160, 9, payload);
        party.receive(at(n as u64 * 20), A, &packet);
        party.run_until(at(n as u64 * 20 + 20));
    }
    assert_eq!(party.session.stats().received, 4);
}
