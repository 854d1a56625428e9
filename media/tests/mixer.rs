//! A conversation of several: who hears whom, how loud, and without a click.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{speech_16k, tone};
use offhook_media::mixer::{MAX_PARTIES, Mixer, MixerError, PartyId, Role};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const STEP: usize = 160;

/// Parties at 8 kHz with these roles, faded in.
fn conversation(roles: &[Role]) -> (Mixer, Vec<PartyId>) {
    let mut mixer = Mixer::new(8_000);
    let parties: Vec<_> = roles
        .iter()
        .map(|role| mixer.join(8_000, *role).unwrap())
        .collect();
    parties
        .iter()
        .for_each(|party| mixer.give(*party, &[0; STEP]));
    mixer.step();
    (mixer, parties)
}

/// One step of what each says.
fn say(mixer: &mut Mixer, said: &[(PartyId, &[i16])]) {
    said.iter()
        .for_each(|(party, sound)| mixer.give(*party, sound));
    mixer.step();
}

/// Noise that is never loud enough to be turned down.
fn noise(random: &mut SmallRng, samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|_| random.random_range(-2_000..=2_000))
        .collect()
}

/// The greatest step between two samples that follow on each other.
fn steepest(sound: &[i16]) -> u16 {
    let pairs = sound.windows(2);
    pairs.map(|pair| pair[0].abs_diff(pair[1])).max().unwrap()
}

/// What is left of a sound once a tone is taken out of it, in dB below the tone.
fn distortion_db(sound: &[i16], rate_hz: f64, hz: f64) -> f64 {
    let (mut in_phase, mut across, mut all) = (0.0, 0.0, 0.0);
    for (n, sample) in sound.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * hz * n as f64 / rate_hz).sin_cos();
        let sample = f64::from(*sample);
        in_phase += sample * sin;
        across += sample * cos;
        all += sample * sample;
    }
    let tone = (in_phase * in_phase + across * across) * 2.0 / sound.len() as f64;
    10.0 * ((all - tone).max(1.0) / tone).log10()
}

#[test]
fn each_hears_the_exact_sum_of_all_others_and_never_itself() {
    let mut random = SmallRng::seed_from_u64(1);
    let (mut mixer, parties) = conversation(&[Role::Talker; 5]);
    for _ in 0..50 {
        let said: Vec<_> = parties.iter().map(|_| noise(&mut random, STEP)).collect();
        let pairs: Vec<_> = parties
            .iter()
            .copied()
            .zip(said.iter().map(Vec::as_slice))
            .collect();
        say(&mut mixer, &pairs);
        for (me, party) in parties.iter().enumerate() {
            let others = |n: usize| {
                let others = said.iter().enumerate().filter(|(who, _)| *who != me);
                others.map(|(_, sound)| sound[n]).sum::<i16>()
            };
            let expected: Vec<i16> = (0..STEP).map(others).collect();
            assert_eq!(mixer.heard(*party), expected);
        }
    }
}

#[test]
fn one_voice_alone_passes_bit_for_bit_at_full_scale() {
    let (mut mixer, parties) = conversation(&[Role::Talker, Role::Talker, Role::Listener]);
    let loud = tone(8_000, 400.0, 32_767.0, STEP);
    say(&mut mixer, &[(parties[0], &loud), (parties[1], &[0; STEP])]);
    assert_eq!(mixer.heard(parties[1]), loud);
    assert_eq!(mixer.heard(parties[2]), loud);
    assert_eq!(mixer.heard(parties[0]), [0; STEP]);
}

#[test]
fn a_listener_hears_all_and_a_whisper_reaches_one_alone() {
    let (mut mixer, parties) = conversation(&[Role::Talker; 4]);
    let [agent, caller, supervisor, other] = parties[..] else {
        panic!("four parties");
    };
    let said = |mixer: &mut Mixer| {
        say(
            mixer,
            &[
                (agent, &[100; STEP]),
                (caller, &[20; STEP]),
                (supervisor, &[3_000; STEP]),
                (other, &[0; STEP]),
            ],
        );
        let last = |party| mixer.heard(party).last().copied().unwrap_or_default();
        [last(agent), last(caller), last(supervisor), last(other)]
    };
    mixer.set_role(supervisor, Role::Listener).unwrap();
    assert_eq!(said(&mut mixer), [20, 100, 120, 120]);
    mixer.set_role(supervisor, Role::Whisper(agent)).unwrap();
    assert_eq!(said(&mut mixer), [3_020, 100, 120, 120]);
    mixer.set_role(supervisor, Role::Whisper(caller)).unwrap();
    assert_eq!(said(&mut mixer), [20, 3_100, 120, 120]);
    mixer.set_role(supervisor, Role::Talker).unwrap();
    assert_eq!(said(&mut mixer), [3_020, 3_100, 120, 3_120]);
    // Who whispers to one that has left is heard by nobody, least of all by who comes next.
    mixer.set_role(supervisor, Role::Whisper(other)).unwrap();
    mixer.leave(other);
    for _ in 0..3 {
        said(&mut mixer);
    }
    let next = mixer.join(8_000, Role::Talker).unwrap();
    assert_eq!(said(&mut mixer)[..3], [20, 100, 120]);
    assert_eq!(*mixer.heard(next).last().unwrap(), 120);
    assert_eq!(
        mixer.set_role(supervisor, Role::Whisper(other)),
        Err(MixerError::NotThere)
    );
}

#[test]
fn what_is_played_to_one_is_heard_by_the_others_and_not_twice_by_itself() {
    let (mut mixer, parties) = conversation(&[Role::Talker, Role::Listener, Role::Talker]);
    let loud = tone(8_000, 400.0, 32_767.0, STEP);
    mixer.give_both(parties[0], &[50; STEP], &[600; STEP]);
    mixer.give(parties[1], &[900; STEP]);
    mixer.give(parties[2], &[9; STEP]);
    mixer.step();
    assert_eq!(mixer.heard(parties[0]), [9; STEP]);
    assert_eq!(mixer.heard(parties[1]), [659; STEP]);
    assert_eq!(mixer.heard(parties[2]), [650; STEP]);
    // Both at full scale are turned down like any others.
    mixer.give_both(parties[0], &loud, &loud);
    mixer.step();
    let loudest = mixer.heard(parties[1]).iter().max();
    assert!((25_000..32_000).contains(loudest.unwrap()));
}

#[test]
fn what_is_too_loud_is_turned_down_without_distortion() {
    for (rate_hz, hz) in [
        (8_000, 100.0),
        (8_000, 1_000.0),
        (16_000, 80.0),
        (16_000, 440.0),
    ] {
        let step = rate_hz as usize / 50;
        let mut mixer = Mixer::new(rate_hz);
        let parties: Vec<_> = (0..5)
            .map(|_| mixer.join(rate_hz, Role::Talker).unwrap())
            .collect();
        let loud = tone(rate_hz, hz, 20_000.0, rate_hz as usize);
        let mut heard = Vec::new();
        for sound in loud.chunks_exact(step) {
            let pairs: Vec<_> = parties.iter().map(|party| (*party, sound)).collect();
            say(&mut mixer, &pairs);
            heard.extend_from_slice(mixer.heard(parties[0]));
        }
        let loudest = heard
            .iter()
            .map(|sample| sample.unsigned_abs())
            .max()
            .unwrap();
        assert!(loudest <= 32_000, "{hz} Hz: {loudest}");
        // After the first 100 ms, whole periods.
        let steady = &heard[rate_hz as usize / 10..];
        let loudest = steady
            .iter()
            .map(|sample| sample.unsigned_abs())
            .max()
            .unwrap();
        assert!(loudest > 26_000, "{hz} Hz: {loudest}");
        let distortion = distortion_db(steady, f64::from(rate_hz), hz);
        println!("{hz} Hz at {rate_hz}: {distortion:.1} dB, loudest {loudest}");
        assert!(distortion < -60.0, "{hz} Hz: {distortion}");
    }
}

#[test]
fn voices_that_shout_together_are_turned_down_and_still_sound_like_themselves() {
    let speech = speech_16k();
    let peak = speech.iter().map(|s| s.unsigned_abs()).max().unwrap();
    let loud: Vec<i16> = speech
        .iter()
        .map(|s| (f32::from(*s) * 32_000.0 / f32::from(peak)) as i16)
        .collect();
    let mut mixer = Mixer::new(16_000);
    let parties: Vec<_> = (0..4)
        .map(|_| mixer.join(16_000, Role::Talker).unwrap())
        .collect();
    let mut heard = Vec::new();
    for (n, sound) in loud.chunks_exact(320).enumerate() {
        // Three shout the same words, so that each of their peaks falls on one another.
        for party in &parties[1..] {
            mixer.give(*party, sound);
        }
        mixer.give(parties[0], &[0; 320]);
        mixer.step();
        heard.extend_from_slice(mixer.heard(parties[0]));
        assert_eq!(heard.len(), (n + 1) * 320);
    }
    assert!(heard.iter().all(|sample| sample.unsigned_abs() <= 32_000));
    let like = common::correlation(&heard, &loud[..heard.len()], 0);
    println!("like the voice: {like}");
    assert!(like > 0.95, "{like}");
}

#[test]
fn whoever_joins_leaves_or_changes_role_makes_no_click() {
    // A tone is cut at its crest. Its own steepest step, and what a ramp of 10 ms adds to it.
    let speech = tone(8_000, 200.0, 8_000.0, 8_000);
    let allowed = steepest(&speech) + 8_000 / 80 + 2;
    type Change = fn(&mut Mixer, PartyId, PartyId);
    let changes: [(&str, Change); 5] = [
        ("listens", |mixer, me, _| {
            mixer.set_role(me, Role::Listener).unwrap()
        }),
        ("whispers", |mixer, me, other| {
            mixer.set_role(me, Role::Whisper(other)).unwrap();
        }),
        ("leaves", |mixer, me, _| mixer.leave(me)),
        ("talks", |mixer, me, _| {
            mixer.set_role(me, Role::Talker).unwrap()
        }),
        ("falls silent", |_, _, _| {}),
    ];
    for (name, change) in changes {
        let mut mixer = Mixer::new(8_000);
        let [hears, talks, third] = [(); 3].map(|()| mixer.join(8_000, Role::Talker).unwrap());
        let (mut heard, mut aside) = (Vec::new(), Vec::new());
        for (n, sound) in speech[10..].chunks_exact(STEP).take(30).enumerate() {
            if n == 10 {
                change(&mut mixer, talks, third);
            }
            if n == 15 {
                let _ = mixer.set_role(talks, Role::Talker);
            }
            // Its packets stop, such as on hold; and come again.
            if name != "falls silent" || !(10..15).contains(&n) {
                mixer.give(talks, sound);
            }
            mixer.step();
            heard.extend_from_slice(mixer.heard(hears));
            aside.extend_from_slice(mixer.heard(third));
        }
        for heard in [&heard, &aside] {
            let worst = steepest(heard);
            assert!(worst <= allowed, "who {name}: {worst} of {allowed}");
        }
        let after = &heard[10 * STEP + 80..15 * STEP];
        let silent = after.iter().all(|sample| *sample == 0);
        assert_eq!(silent, name != "talks", "who {name}");
    }
}

#[test]
fn a_level_does_not_jump_when_others_come_and_go() {
    let (mut mixer, parties) = conversation(&[Role::Talker; 2]);
    let steady = tone(8_000, 1_000.0, 15_000.0, STEP);
    let mut guests = Vec::new();
    for n in 0..100 {
        // Silent guests, and loud ones that make the sum be turned down for a while.
        match n % 20 {
            5 => guests.push(mixer.join(8_000, Role::Talker).unwrap()),
            15 => mixer.leave(guests.pop().unwrap()),
            _ => {}
        }
        let loud = n > 50;
        guests
            .iter()
            .for_each(|guest| mixer.give(*guest, if loud { &steady } else { &[0; STEP] }));
        mixer.give(parties[0], &steady);
        mixer.step();
        let level = |part: &[i16]| part.iter().map(|s| s.unsigned_abs()).max().unwrap();
        let levels: Vec<u16> = mixer.heard(parties[1]).chunks(16).map(level).collect();
        for pair in levels.windows(2) {
            // Half of a ramp of 10 ms is eight pieces of 2 ms; a loud guest is heard to come.
            let most = if loud { 4_500 } else { 0 };
            assert!(pair[0].abs_diff(pair[1]) <= most, "step {n}: {levels:?}");
        }
    }
}

#[test]
fn parties_of_both_rates_hear_each_other_2_ms_later() {
    for mixer_hz in [8_000, 16_000] {
        let mut mixer = Mixer::new(mixer_hz);
        let narrow = mixer.join(8_000, Role::Talker).unwrap();
        let wide = mixer.join(16_000, Role::Talker).unwrap();
        let (low, high) = (
            tone(8_000, 500.0, 6_000.0, 8_000),
            tone(16_000, 700.0, 6_000.0, 16_000),
        );
        let (mut at_narrow, mut at_wide) = (Vec::new(), Vec::new());
        for (low, high) in low.chunks_exact(160).zip(high.chunks_exact(320)) {
            mixer.give(narrow, low);
            mixer.give(wide, high);
            mixer.step();
            at_narrow.extend_from_slice(mixer.heard(narrow));
            at_wide.extend_from_slice(mixer.heard(wide));
        }
        let expected = tone(16_000, 500.0, 6_000.0, 16_000);
        assert!(common::correlation(&expected[640..], &at_wide[640..], 32) > 0.999);
        let expected = tone(8_000, 700.0, 6_000.0, 8_000);
        assert!(common::correlation(&expected[320..], &at_narrow[320..], 15) > 0.999);
        assert!(distortion_db(&at_wide[640..], 16_000.0, 500.0) < -50.0);
        assert!(distortion_db(&at_narrow[400..], 8_000.0, 700.0) < -50.0);
    }
}

#[test]
fn there_is_an_end_to_how_many_may_join() {
    let mut mixer = Mixer::new(8_000);
    let parties: Vec<_> = (0..MAX_PARTIES)
        .map(|_| mixer.join(8_000, Role::Talker).unwrap())
        .collect();
    assert_eq!(mixer.join(8_000, Role::Listener), Err(MixerError::Full));
    // All at once at full scale: nothing wraps.
    for _ in 0..10 {
        parties
            .iter()
            .for_each(|party| mixer.give(*party, &[i16::MIN; STEP]));
        mixer.step();
        let heard = mixer.heard(parties[7]);
        assert!(heard.iter().all(|sample| (-32_000..=0).contains(sample)));
    }
    mixer.leave(parties[3]);
    mixer.step();
    mixer.step();
    assert_eq!(mixer.parties(), MAX_PARTIES - 1);
    let next = mixer.join(8_000, Role::Talker).unwrap();
    assert_ne!(next, parties[3]);
    assert_eq!(mixer.heard(parties[3]), &[] as &[i16]);
    mixer.give(parties[3], &[9_000; STEP]);
    mixer.step();
}

/// Who hears whom, once all ramps are over, by the roles alone.
fn expected(all: &[(PartyId, Role, i16)], me: PartyId) -> i16 {
    let others = all.iter().filter(|(party, ..)| *party != me);
    others
        .filter(|(_, role, _)| match role {
            Role::Talker => true,
            Role::Listener => false,
            Role::Whisper(to) => *to == me,
        })
        .map(|(_, _, level)| *level)
        .sum()
}

#[test]
fn whatever_happens_at_random_each_hears_just_those_that_it_should() {
    for seed in 0..200 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut mixer = Mixer::new(if seed % 2 == 0 { 8_000 } else { 16_000 });
        let rate_hz = mixer.rate_hz();
        let step = rate_hz as usize / 50;
        let mut all: Vec<(PartyId, Role, i16)> = Vec::new();
        for _ in 0..60 {
            for _ in 0..random.random_range(0..3) {
                let role = |random: &mut SmallRng, all: &[(PartyId, Role, i16)]| match random
                    .random_range(0..5)
                {
                    0 => Role::Listener,
                    2 if !all.is_empty() => Role::Whisper(all[random.random_range(0..all.len())].0),
                    _ => Role::Talker,
                };
                match random.random_range(0..4) {
                    0 | 1 => {
                        let role = role(&mut random, &all);
                        // Those who leave keep their place for a step.
                        match mixer.join(rate_hz, role) {
                            Ok(party) => all.push((party, role, random.random_range(10..500))),
                            Err(MixerError::Full) => assert!(all.len() + 4 > MAX_PARTIES),
                            Err(other) => panic!("seed {seed}: {other}"),
                        }
                    }
                    2 if !all.is_empty() => {
                        let gone = all.swap_remove(random.random_range(0..all.len())).0;
                        mixer.leave(gone);
                    }
                    _ if !all.is_empty() => {
                        let who = random.random_range(0..all.len());
                        let role = role(&mut random, &all);
                        mixer.set_role(all[who].0, role).unwrap();
                        all[who].1 = role;
                    }
                    _ => {}
                }
            }
            for (party, _, level) in &all {
                mixer.give(*party, &vec![*level; step]);
            }
            mixer.step();
            for (party, _, _) in &all {
                let heard = mixer.heard(*party);
                assert_eq!(heard.len(), step);
                // The ramps take the first half of the step.
                for sample in &heard[step / 2..] {
                    assert_eq!(*sample, expected(&all, *party), "seed {seed}: {all:?}");
                }
            }
            assert!(mixer.parties() >= all.len());
        }
    }
}
