//! A caller's level is brought to what recognisers expect, and nothing else is.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{A, Party, at, config, rtp, with_peer_at};
use offhook_media::SessionConfig;
use offhook_media::codec::g711;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const STEP: usize = 160;

fn level_db(samples: &[i16]) -> f64 {
    let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    10.0 * (energy / samples.len() as f64 / 32_768f64.powi(2)).log10()
}

/// The level over the frames that are within 25 dB of the loudest.
fn speech_level_db(samples: &[i16]) -> f64 {
    let loudest = samples.chunks_exact(STEP).map(level_db);
    let loudest = loudest.fold(-200.0, f64::max);
    let active = samples.chunks_exact(STEP);
    let active = active.filter(|part| level_db(part) > loudest - 25.0);
    level_db(&active.flatten().copied().collect::<Vec<_>>())
}

/// Eleven seconds of speech, three times, at this level, with noise beneath.
fn speech(db: f64, noise_db: f64) -> Vec<i16> {
    let sound = common::feed::speech(8_000, 33);
    let gain = 10f64.powf((db - speech_level_db(&sound)) / 20.0);
    let noise = 32_768.0 * 10f64.powf(noise_db / 20.0) * 3f64.sqrt();
    let mut random = SmallRng::seed_from_u64(1);
    let mixed = sound
        .iter()
        .map(|s| f64::from(*s) * gain + noise * random.random_range(-1.0..1.0));
    mixed.map(|s| s.clamp(-32_768.0, 32_767.0) as i16).collect()
}

/// What is heard of it, and what is recorded.
fn heard(sound: &[i16]) -> (Vec<i16>, Vec<i16>) {
    let mut party = Party::new(SessionConfig {
        gain_control: true,
        recording: true,
        ..config(with_peer_at(A), 7)
    });
    for (n, part) in sound.chunks_exact(STEP).enumerate() {
        let mut payload = [0; STEP];
        g711::encode_ulaw(part, &mut payload);
        let ms = n as u64 * 20;
        party.receive(at(ms), A, &rtp(0, n as u16, (n * STEP) as u32, 5, &payload));
        party.run_until(at(ms + 20));
    }
    let frames = party
        .heard()
        .flat_map(|(_, frame)| frame.samples().to_vec());
    let recorded = party.events.iter().filter_map(|(_, event)| match event {
        offhook_media::Event::Recording(frame) => Some(frame.remote),
        _ => None,
    });
    (frames.collect(), recorded.flatten().collect())
}

#[test]
fn speech_of_every_level_comes_near_the_target_and_clips_nowhere() {
    for db in [-45.0, -40.0, -35.0, -30.0, -25.0, -20.0, -15.0, -10.0, -3.0] {
        let (heard, recorded) = heard(&speech(db, -90.0));
        // From the second time on.
        let level = speech_level_db(&heard[11 * 8_000..]);
        println!("{db} dB becomes {level:.1} dB");
        let expected = (-20.0f64).min(db + 24.0);
        assert!(
            (level - expected).abs() <= 5.0,
            "{db} dB becomes {level} dB"
        );
        assert!(heard.iter().all(|sample| sample.unsigned_abs() <= 29_200));
        let kept = speech_level_db(&recorded);
        assert!(
            (kept - speech_level_db(&speech(db, -90.0))).abs() < 1.5,
            "{kept}"
        );
    }
}

#[test]
fn background_is_not_lifted() {
    // In the pauses of faint speech, and where nobody speaks at all.
    for (db, noise_db) in [
        (-40.0, -60.0),
        (-35.0, -50.0),
        (-90.0, -50.0),
        (-90.0, -35.0),
    ] {
        let (heard, _) = heard(&speech(db, noise_db));
        let mut levels: Vec<f64> = heard[11 * 8_000..]
            .chunks_exact(STEP)
            .map(level_db)
            .collect();
        levels.sort_by(f64::total_cmp);
        let quiet = levels[levels.len() / 20];
        let limit = f64::max(noise_db, -55.0) + 2.0;
        assert!(quiet <= limit, "{db} over {noise_db} dB: {quiet} dB");
    }
}

#[test]
fn a_mute_does_not_make_what_is_behind_the_voice_louder() {
    // Before a gateway is through, and after a word, there is digital silence.
    let mut sound = speech(-90.0, -50.0);
    sound[..5 * STEP].fill(0);
    sound[100 * STEP..110 * STEP].fill(0);
    let (heard, _) = heard(&sound);
    // Half a second passes before it is known for what it is.
    for (n, part) in heard.chunks_exact(STEP).enumerate() {
        assert!(level_db(part) < -44.0, "frame {n}: {} dB", level_db(part));
    }
}

#[test]
fn a_level_that_is_right_is_left_alone_and_nothing_pumps() {
    let sound = speech(-20.0, -70.0);
    let (heard, _) = heard(&sound);
    let frames = sound[80_000..]
        .chunks_exact(STEP)
        .zip(heard[80_000..].chunks_exact(STEP));
    let gains: Vec<Option<f64>> = frames
        .map(|(before, after)| {
            let level = level_db(before);
            (level > -40.0).then(|| level_db(after) - level)
        })
        .collect();
    let (least, most) = gains
        .iter()
        .flatten()
        .fold((99.0, -99.0), |(least, most), gain| {
            (f64::min(least, *gain), f64::max(most, *gain))
        });
    assert!(most - least <= 6.0, "{least} to {most} dB");
    let steps = gains
        .windows(2)
        .filter_map(|pair| Some(pair[1]? - pair[0]?));
    let rise = steps.fold(0.0, f64::max);
    assert!(rise <= 1.0, "{rise} dB");
}

/// Decibels over full scale that 0 dBm0 is below: a sine of full scale has +3.17 dBm0 and an RMS
/// of -3.01 dB (ITU-T G.711).
const DBM0_DB: f64 = 6.18;

/// The gain of each frame that is louder than `over_db`, in dB.
fn gains(before: &[i16], after: &[i16], over_db: f64) -> Vec<f64> {
    let frames = before.chunks_exact(STEP).zip(after.chunks_exact(STEP));
    let audible = frames.filter(|(before, _)| level_db(before) > over_db);
    audible
        .map(|(before, after)| level_db(after) - level_db(before))
        .collect()
}

fn range(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least, most)
}

/// Prints what becomes of speech of many levels, and of noise alone:
/// `cargo test --release -p offhook-media --test gain -- --ignored --nocapture`.
#[test]
#[ignore = "a table"]
fn figures_of_levels() {
    println!("speech dBm0 | after | near the end's within | loudest second over the end's");
    for dbm0 in [
        -50.0, -45.0, -40.0, -35.0, -30.0, -25.0, -20.0, -15.0, -10.0,
    ] {
        let sound = speech(dbm0 - DBM0_DB, -90.0);
        let (heard, _) = heard(&sound);
        let end = speech_level_db(&heard[11 * 8_000..]);
        // The same eleven seconds each time: so a second's gain is compared with a later one's.
        let seconds = |n: usize| {
            gains(
                &sound[n * 8_000..][..8_000],
                &heard[n * 8_000..][..8_000],
                dbm0 - DBM0_DB - 15.0,
            )
        };
        let mean = |gains: &[f64]| gains.iter().sum::<f64>() / gains.len().max(1) as f64;
        let wanted = mean(&(22..32).flat_map(seconds).collect::<Vec<_>>());
        let each: Vec<f64> = (0..33).map(|n| mean(&seconds(n)) - wanted).collect();
        let settled = each
            .iter()
            .rposition(|off| off.abs() > 3.0)
            .map_or(0, |n| n + 1);
        println!(
            "{dbm0:5.0} | {:5.1} dBm0 | {settled:2} s | {:+.1} dB",
            end + DBM0_DB,
            range(&each).1
        );
    }
    println!("noise alone, dBm0 | gain, least and most, dB");
    for dbm0 in [-60.0, -50.0, -40.0, -30.0, -20.0] {
        let sound = speech(-120.0, dbm0 - DBM0_DB);
        let (heard, _) = heard(&sound);
        let (least, most) = range(&gains(&sound, &heard, dbm0 - DBM0_DB - 6.0));
        println!("{dbm0:5.0} | {least:+.1} {most:+.1}");
    }
    println!(
        "noise behind speech of -30 dBm0, dBm0 | gain in pauses after 11 s, least and most, dB"
    );
    for dbm0 in [-65.0, -55.0, -45.0] {
        let sound = speech(-30.0 - DBM0_DB, dbm0 - DBM0_DB);
        let (heard, _) = heard(&sound);
        let pauses = sound
            .chunks_exact(STEP)
            .zip(heard.chunks_exact(STEP))
            .skip(550);
        let pauses = pauses.filter(|(before, _)| level_db(before) < dbm0 - DBM0_DB + 2.0);
        let gains: Vec<f64> = pauses
            .map(|(before, after)| level_db(after) - level_db(before))
            .collect();
        let (least, most) = range(&gains);
        println!("{dbm0:5.0} | {least:+.1} {most:+.1}");
    }
}
