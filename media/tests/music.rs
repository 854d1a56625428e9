//! Loops without a seam, ambience that is no utterance, and music in place of what is said.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{Party, at, config, speech_16k, telltale, tone, with_peer_at};
use offhook_media::codec::g711;
use offhook_media::music::{Background, LoopError, LoopPlayer, SoundLoop};
use offhook_media::{Event, MediaSession, SessionConfig, UtteranceId};

fn background(sound: SoundLoop, level_dbfs: f32) -> Background {
    Background {
        sound: Arc::new(sound),
        level_dbfs,
    }
}

fn rms_dbfs(sound: &[i16]) -> f64 {
    let energy: f64 = sound.iter().map(|s| f64::from(*s).powi(2)).sum();
    10.0 * (energy / sound.len() as f64 / 32_768_f64.powi(2)).log10()
}

fn play(player: &mut LoopPlayer, samples: usize) -> Vec<i16> {
    let mut sound = vec![0; samples];
    sound.chunks_mut(160).for_each(|step| player.add_to(step));
    sound
}

/// The greatest bend of a sound at each place: a click has one that the sound itself has not.
fn bends(sound: &[i16]) -> Vec<i32> {
    let bend = |w: &[i16]| i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2]);
    sound.windows(3).map(|w| bend(w).abs()).collect()
}

#[test]
fn a_loop_comes_round_without_a_click() {
    // A tone that does not fit into the loop: without care it would jump at the seam.
    for rate_hz in [8_000, 16_000] {
        let sound = tone(rate_hz, 317.3, 9_000.0, rate_hz as usize * 3 / 2 + 77);
        let sound = SoundLoop::from_samples(rate_hz, &sound).unwrap();
        for to_hz in [8_000, 16_000] {
            let mut player = LoopPlayer::new(&background(sound.clone(), -20.0), to_hz);
            let round = sound.duration_ms() as usize * to_hz as usize / 1_000;
            let heard = play(&mut player, 4 * round);
            let all = bends(&heard);
            let within = *all[round / 2..round - round / 20].iter().max().unwrap();
            let worst = *all.iter().max().unwrap();
            assert!(
                worst <= 2 * within,
                "{rate_hz} to {to_hz}: {worst} of {within}"
            );
        }
    }
}

#[test]
fn sounds_are_as_loud_as_they_are_asked_to_be() {
    let speech = SoundLoop::from_samples(16_000, &speech_16k()).unwrap();
    for (name, sound) in [
        ("chords", SoundLoop::chords()),
        ("room tone", SoundLoop::room_tone()),
        ("speech", speech),
    ] {
        for (rate_hz, level) in [
            (8_000, -24.0),
            (16_000, -24.0),
            (8_000, -50.0),
            (16_000, -50.0),
        ] {
            let mut player = LoopPlayer::new(&background(sound.clone(), level), rate_hz);
            let round = sound.duration_ms() as usize * rate_hz as usize / 1_000;
            let heard = play(&mut player, 2 * round);
            let found = rms_dbfs(&heard[round..]);
            println!("{name} at {rate_hz}: {found:.2} dBFS");
            assert!(
                (found - f64::from(level)).abs() < 0.5,
                "{name} {rate_hz}: {found}"
            );
            assert!(heard.iter().all(|s| s.unsigned_abs() <= 30_000));
        }
    }
    // Too loud is not taken at its word.
    let mut player = LoopPlayer::new(&background(SoundLoop::chords(), 6.0), 8_000);
    let loudest = play(&mut player, 128_000)
        .iter()
        .map(|s| s.unsigned_abs())
        .max();
    assert!(loudest <= Some(30_000));
}

#[test]
fn the_music_that_is_built_in_is_there_all_the_time_and_softly() {
    let sound = SoundLoop::chords();
    assert_eq!(sound.duration_ms(), 16_000);
    let mut player = LoopPlayer::new(&background(sound, -24.0), 8_000);
    let heard = play(&mut player, 128_000);
    // After it has faded in, no second is silent and none is much louder than the others.
    for second in heard[8_000..].chunks(4_000) {
        let level = rms_dbfs(second);
        assert!((-34.0..-16.0).contains(&level), "{level}");
    }
}

#[test]
fn what_makes_no_loop_is_refused() {
    let sound = [1_000; 16_000];
    let refused = |rate_hz, sound: &[i16]| SoundLoop::from_samples(rate_hz, sound).unwrap_err();
    assert_eq!(refused(44_100, &sound), LoopError::Rate(44_100));
    assert_eq!(refused(16_000, &sound[1..]), LoopError::TooShort);
    assert_eq!(refused(8_000, &[0; 8_000]), LoopError::Silent);
    assert_eq!(refused(8_000, &vec![1; 8_000 * 301]), LoopError::TooLong);
    assert!(SoundLoop::from_samples(16_000, &sound).is_ok());
}

/// What a session sent, decoded.
fn sent(party: &Party) -> Vec<i16> {
    let packets = party.rtp();
    packets
        .flat_map(|packet| packet.payload().iter().map(|b| g711::ulaw_to_linear(*b)))
        .collect()
}

fn session(ambience: Option<Background>) -> Party {
    Party::new(SessionConfig {
        ambience,
        recording: true,
        ..config(with_peer_at(common::A), 9)
    })
}

/// A second of silence, a second of speech, a second of silence.
fn speaks(ambience: Option<Background>) -> Party {
    let mut party = session(ambience);
    party.run_until(at(1_000));
    let speech = tone(8_000, 300.0, 8_000.0, 4_000);
    party.play_all(at(1_000), 1, &speech);
    party.run_until(at(1_500));
    party.play_all(at(1_500), 2, &speech);
    party.run_until(at(3_000));
    party
}

#[test]
fn ambience_is_under_all_that_is_sent_and_is_no_utterance() {
    let plain = speaks(None);
    let with = speaks(Some(background(SoundLoop::room_tone(), -50.0)));
    // What was said and when, as reported, is the same.
    let told = |party: &Party| {
        let events = party.events.iter().filter(|(_, event)| {
            matches!(
                event,
                Event::PlayoutStarted { .. } | Event::PlayoutFinished { .. }
            )
        });
        events.map(|event| format!("{event:?}")).collect::<Vec<_>>()
    };
    assert_eq!(told(&with), told(&plain));
    assert_eq!(told(&with).len(), 4);
    // Packets go at the same times, and only speech begins a talk-spurt (RFC 3551 §4.1).
    let packets = |party: &Party| {
        let packets = party.rtp();
        packets
            .map(|p| (p.at, p.timestamp(), p.marker()))
            .collect::<Vec<_>>()
    };
    assert_eq!(packets(&with), packets(&plain));
    let (with_sound, plain_sound) = (sent(&with), sent(&plain));
    let before = &with_sound[4_000..8_000];
    let level = rms_dbfs(before);
    assert!((-52.0..-48.0).contains(&level), "{level}");
    assert!(plain_sound[4_000..8_000].iter().all(|sample| *sample == 0));
    // Under the speech it is as well.
    let differs: Vec<i16> = with_sound[9_000..15_000]
        .iter()
        .zip(&plain_sound[9_000..15_000])
        .map(|(a, b)| a - b)
        .collect();
    // µ-law is coarse where it is loud.
    let level = rms_dbfs(&differs);
    assert!((-52.0..-40.0).contains(&level), "{level}");
    // A recording has what was sent.
    let recorded = with.events.iter().rev().find_map(|(_, event)| match event {
        Event::Recording(frame) => Some(rms_dbfs(&frame.local)),
        _ => None,
    });
    assert!((-54.0..-46.0).contains(&recorded.unwrap()));
}

#[test]
fn ambience_can_change_and_ends_softly() {
    let mut party = session(Some(background(SoundLoop::room_tone(), -40.0)));
    party.run_until(at(1_000));
    let other = background(SoundLoop::room_tone(), -20.0);
    party.session.set_ambience(Some(&other));
    party.run_until(at(2_000));
    party.session.set_ambience(None);
    party.run_until(at(3_000));
    let sound = sent(&party);
    let level = |from: usize| rms_dbfs(&sound[from * 8..(from + 500) * 8]);
    assert!((-42.0..-38.0).contains(&level(400)));
    assert!((-22.0..-18.0).contains(&level(1_400)));
    assert!(sound[2_200 * 8..].iter().all(|sample| *sample == 0));
    // Neither was said.
    let said = |event: &Event| matches!(event, Event::PlayoutStarted { .. });
    assert!(!party.events.iter().any(|(_, event)| said(event)));
}

#[test]
fn the_listeners_hear_nothing_of_ambience_or_music() {
    let mut party = session(Some(background(SoundLoop::room_tone(), -30.0)));
    for n in 0..100u16 {
        let now = at(u64::from(n) * 20);
        party.run_until(now);
        if n == 50 {
            party.session.hold(&background(SoundLoop::chords(), -20.0));
        }
        let payload: Vec<u8> = (0..160)
            .map(|k| g711::linear_to_ulaw(telltale(u64::from(n) * 160 + k)))
            .collect();
        let packet = common::rtp(0, n, u32::from(n) * 160, 5, &payload);
        party.receive(now, common::A, &packet);
    }
    let heard: Vec<i16> = party
        .heard()
        .flat_map(|(_, f)| f.samples().to_vec())
        .collect();
    let expected: Vec<i16> = (0..heard.len() as u64).map(telltale).collect();
    assert!(heard.len() >= 99 * 160);
    assert_eq!(heard, expected);
}

fn finished(party: &Party) -> Option<u64> {
    party.events.iter().find_map(|(_, event)| match event {
        Event::PlayoutFinished { played_samples, .. } => Some(*played_samples),
        _ => None,
    })
}

#[test]
fn who_is_held_hears_music_and_then_the_rest_of_what_was_being_said() {
    let mut party = session(Some(background(SoundLoop::room_tone(), -60.0)));
    let music = background(SoundLoop::chords(), -24.0);
    let said: Vec<i16> = (0..4_000).map(telltale).collect();
    party.play_all(at(0), 1, &said);
    party.run_until(at(100));
    party.session.hold(&music);
    assert!(party.session.is_held_here() && !party.session.is_paused());
    party.run_until(at(2_100));
    assert_eq!(finished(&party), None);
    party.session.unhold(at(2_100));
    party.run_until(at(3_000));
    assert_eq!(finished(&party), Some(4_000));
    let sound = sent(&party);
    let level = rms_dbfs(&sound[400 * 8..2_000 * 8]);
    assert!((-34.0..-16.0).contains(&level), "{level}");
    // What was said goes on where it paused, once the music has faded: the same samples but for
    // what ambience adds.
    let rest = &sound[(2_100 + 150) * 8..2_400 * 8];
    let expected = &said[(100 + 150) * 8..400 * 8];
    assert!(common::correlation(rest, expected, 0) > 0.99);
}

#[test]
fn what_is_asked_of_the_playout_during_a_hold_counts_after_it() {
    type Ask = fn(&mut MediaSession);
    let asks: [(&str, Ask, Option<u64>); 4] = [
        ("nothing", |_| {}, Some(1_600)),
        ("pause", MediaSession::pause, None),
        (
            "pause and resume",
            |s| (s.pause(), s.resume(at(500))).1,
            Some(1_600),
        ),
        (
            "cancel and speak anew",
            |s| {
                s.cancel();
                s.play(at(500), UtteranceId(2), &[3_000; 800]);
                s.finish(at(500), UtteranceId(2));
            },
            Some(800),
        ),
    ];
    for (name, ask, expected) in asks {
        let mut party = session(None);
        party.play_all(at(0), 1, &[2_000; 1_600]);
        party.run_until(at(40));
        party.session.hold(&background(SoundLoop::chords(), -24.0));
        party.run_until(at(500));
        ask(&mut party.session);
        party.run_until(at(1_000));
        assert_eq!(finished(&party), None, "{name}: while it waits");
        party.session.unhold(at(1_000));
        party.run_until(at(2_000));
        assert_eq!(finished(&party), expected, "{name}");
        if name == "pause" {
            assert!(party.session.is_paused());
        }
    }
}

#[test]
fn what_stands_aside_waits_in_silence_and_a_hold_in_between_does_not_wake_it() {
    let mut party = session(None);
    let said = [2_000; 1_600];
    party.play_all(at(0), 1, &said);
    party.run_until(at(100));
    party.session.set_aside(at(100), true);
    party.run_until(at(500));
    party.session.hold(&background(SoundLoop::chords(), -24.0));
    party.run_until(at(1_000));
    party.session.unhold(at(1_000));
    party.session.resume(at(1_000));
    party.run_until(at(2_000));
    assert_eq!(finished(&party), None);
    let sound = sent(&party);
    assert!(sound[200 * 8..480 * 8].iter().all(|sample| *sample == 0));
    assert!(
        sound[1_300 * 8..1_900 * 8]
            .iter()
            .all(|sample| *sample == 0)
    );
    party.session.set_aside(at(2_000), false);
    party.run_until(at(2_500));
    assert_eq!(finished(&party), Some(1_600));
}

#[test]
fn an_echo_is_known_with_ambience_as_it_is_without() {
    let speech: Vec<i16> = speech_16k().chunks_exact(2).map(|s| s[0]).collect();
    let echoes = |ambience: Option<Background>| {
        let mut party = Party::new(SessionConfig {
            ambience,
            echo_gate: true,
            playout_capacity_ms: 20_000,
            ..config(with_peer_at(common::A), 9)
        });
        party.play_all(at(0), 1, &speech);
        // All that is sent comes back 100 ms later, at half its level.
        let mut back = 0;
        for ms in 0..8_000 {
            party.run_until(at(ms));
            loop {
                let Some(packet) = party.rtp().nth(back).cloned() else {
                    break;
                };
                if packet.at + std::time::Duration::from_millis(100) > at(ms) {
                    break;
                }
                let softer = packet
                    .payload()
                    .iter()
                    .map(|byte| g711::linear_to_ulaw(g711::ulaw_to_linear(*byte) / 2));
                let payload: Vec<u8> = softer.collect();
                let number = back as u32;
                let packet = common::rtp(0, number as u16, number * 160, 5, &payload);
                party.receive(at(ms), common::A, &packet);
                back += 1;
            }
        }
        party.session.stats().echo_frames
    };
    let plain = echoes(None);
    let with = echoes(Some(background(SoundLoop::room_tone(), -45.0)));
    println!("{plain} echoes, {with} with ambience");
    assert!(plain > 150 && with + 15 >= plain, "{plain} {with}");
}
