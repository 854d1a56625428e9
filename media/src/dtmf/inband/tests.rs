use super::*;
use crate::codec::g711;

const KEYS: &str = "0123456789*#ABCD";
/// 0 dBm0 as the peak of a sine: 3.17 dB below full scale.
const FULL: f32 = 22_300.0;

/// A key as a telephone sends it.
#[derive(Clone, Copy)]
struct Sent {
    rate_hz: u32,
    ms: u32,
    row_dbm0: f32,
    column_dbm0: f32,
    /// By how much the frequencies are off, in percent and in Hertz.
    off: (f32, f32),
}

const USUAL: Sent = Sent {
    rate_hz: 8_000,
    ms: 60,
    row_dbm0: -9.0,
    column_dbm0: -7.0,
    off: (0.0, 0.0),
};

impl Sent {
    fn sound(self, key: char) -> Vec<f32> {
        let event = usize::from(Digit::from_char(key).unwrap().event());
        let place = (0..16).find(|n| tone::at(n / 4, n % 4) == Digit::from_event(event as u8));
        let (row, column) = (place.unwrap() / 4, place.unwrap() % 4);
        let sine = |hz: f32, dbm0: f32, n: u32| {
            let hz = hz * (1.0 + self.off.0 / 100.0) + self.off.1;
            let turn = std::f64::consts::TAU * f64::from(hz) * f64::from(n);
            (turn / f64::from(self.rate_hz)).sin() as f32 * FULL * 10f32.powf(dbm0 / 20.0)
        };
        let samples = self.ms * self.rate_hz / 1_000;
        let sum = |n| {
            sine(tone::row_hz(row), self.row_dbm0, n)
                + sine(tone::column_hz(column), self.column_dbm0, n)
        };
        (0..samples).map(sum).collect()
    }

    fn silence(self, ms: u32) -> Vec<f32> {
        vec![0.0; (ms * self.rate_hz / 1_000) as usize]
    }

    /// Keys with pauses of `pause_ms` between them.
    fn dialled(self, keys: &str, pause_ms: u32) -> Vec<f32> {
        let mut sound = self.silence(73);
        for key in keys.chars() {
            sound.extend(self.sound(key));
            sound.extend(self.silence(pause_ms));
        }
        sound.extend(self.silence(100));
        sound
    }
}

fn with_noise(mut sound: Vec<f32>, dbm0: f32) -> Vec<f32> {
    let rms = FULL / 2f32.sqrt() * 10f32.powf(dbm0 / 20.0);
    let mut state = 5;
    for sample in &mut sound {
        *sample += crate::noise::white(&mut state) * 3f32.sqrt() * rms;
    }
    sound
}

/// What is heard of a sound that went through G.711.
fn heard_at(rate_hz: u32, sound: &[f32]) -> Vec<HeardKey> {
    let clipped: Vec<i16> = sound.iter().map(|sample| *sample as i16).collect();
    let (mut coded, mut decoded) = (vec![0; clipped.len()], vec![0; clipped.len()]);
    g711::encode_ulaw(&clipped, &mut coded);
    g711::decode_ulaw(&coded, &mut decoded);
    let mut receiver = InbandReceiver::new(rate_hz);
    let mut heard = Vec::new();
    for step in decoded.chunks(rate_hz as usize / 50) {
        receiver.hear(step, |key| heard.push(key));
    }
    heard
}

fn heard(sound: &[f32]) -> String {
    let keys = heard_at(8_000, sound);
    keys.iter().map(|key| key.digit.as_char()).collect()
}

#[test]
fn every_key_is_heard_once_at_both_rates_with_its_length() {
    for rate_hz in [8_000, 16_000] {
        let sent = Sent {
            rate_hz,
            ms: 100,
            ..USUAL
        };
        let keys = heard_at(rate_hz, &sent.dialled(KEYS, 80));
        let digits: String = keys.iter().map(|key| key.digit.as_char()).collect();
        assert_eq!(digits, KEYS);
        for key in keys {
            assert!(key.duration_ms.abs_diff(100) <= 13, "{key:?}");
        }
    }
}

#[test]
fn keys_are_heard_at_every_level_and_twist_that_they_may_have() {
    // Q.24: from 0 to −25 dBm0 each, the column up to 4 dB louder and up to 8 dB softer.
    for (row_dbm0, column_dbm0) in [
        (-3.0, -3.0),
        (-6.0, -2.0),
        (0.0, -8.0),
        (-15.0, -15.0),
        (-25.0, -25.0),
        (-25.0, -21.0),
        (-17.0, -25.0),
    ] {
        let sent = Sent {
            row_dbm0,
            column_dbm0,
            ..USUAL
        };
        assert_eq!(
            heard(&sent.dialled(KEYS, 50)),
            KEYS,
            "{row_dbm0} {column_dbm0}"
        );
    }
}

#[test]
fn what_is_too_soft_or_too_one_sided_is_no_key() {
    for (row_dbm0, column_dbm0) in [(-40.0, -40.0), (-20.0, -4.0), (-4.0, -22.0)] {
        let sent = Sent {
            row_dbm0,
            column_dbm0,
            ..USUAL
        };
        assert_eq!(
            heard(&sent.dialled(KEYS, 50)),
            "",
            "{row_dbm0} {column_dbm0}"
        );
    }
}

#[test]
fn frequencies_may_be_off_by_what_q24_allows_and_not_by_much_more() {
    for (percent, hz) in [(1.5, 2.0), (-1.5, -2.0), (0.9, 0.0), (-0.9, 0.0)] {
        let off = Sent {
            off: (percent, hz),
            ..USUAL
        };
        assert_eq!(heard(&off.dialled(KEYS, 50)), KEYS, "{percent} %");
    }
    for percent in [3.6, -3.6] {
        let off = Sent {
            off: (percent, 0.0),
            ..USUAL
        };
        assert_eq!(heard(&off.dialled(KEYS, 50)), "", "{percent} %");
    }
}

#[test]
fn keys_of_40_ms_are_heard_and_those_of_23_are_not() {
    // ITU-T Q.24, annex A: AT&T's limits of what must and what must not be taken for a key.
    // Wherever they fall between the receiver's windows.
    for shift in 0..26 {
        let mut sound = vec![0.0; shift * 2];
        let short = Sent { ms: 40, ..USUAL };
        sound.extend(short.dialled(KEYS, 53));
        assert_eq!(heard(&sound), KEYS, "{shift}");
        let mut sound = vec![0.0; shift * 2];
        sound.extend(Sent { ms: 23, ..USUAL }.dialled(KEYS, 73));
        assert_eq!(heard(&sound), "", "{shift}");
    }
}

#[test]
fn a_break_of_10_ms_does_not_make_two_keys_and_a_pause_of_40_does() {
    for shift in 0..26 {
        let mut broken = USUAL.silence(50);
        broken.resize(broken.len() + shift * 2, 0.0);
        broken.extend(USUAL.sound('8'));
        broken.extend(USUAL.silence(10));
        broken.extend(USUAL.sound('8'));
        broken.extend(USUAL.silence(100));
        assert_eq!(heard(&broken), "8", "{shift}");
        let mut dialled = vec![0.0; shift * 2];
        dialled.extend(USUAL.dialled("8855*", 40));
        assert_eq!(heard(&dialled), "8855*", "{shift}");
    }
}

#[test]
fn keys_are_heard_in_noise_15_db_below() {
    let sent = Sent {
        row_dbm0: -12.0,
        column_dbm0: -12.0,
        ..USUAL
    };
    let dialled = sent.dialled(&KEYS.repeat(5), 50);
    assert_eq!(heard(&with_noise(dialled, -27.0)), KEYS.repeat(5));
}

#[test]
fn one_tone_alone_three_tones_and_noise_are_no_keys() {
    let row = Sent {
        column_dbm0: -90.0,
        ..USUAL
    };
    assert_eq!(heard(&row.dialled(KEYS, 50)), "");
    let (one, five) = (USUAL.sound('1'), USUAL.sound('5'));
    let both: Vec<f32> = one.iter().zip(five).map(|(a, b)| a + b).collect();
    assert_eq!(heard(&both), "");
    assert_eq!(heard(&with_noise(vec![0.0; 80_000], -10.0)), "");
}

#[test]
fn a_key_that_is_held_long_is_one_key() {
    let long = Sent { ms: 5_000, ..USUAL };
    let keys = heard_at(8_000, &long.dialled("3", 50));
    assert_eq!(keys.len(), 1);
    assert!(keys[0].duration_ms.abs_diff(5_000) <= 13, "{keys:?}");
}

/// Percent of `rounds` times sixteen keys that are heard; a wrong one counts as ten missed.
fn heard_percent(sent: Sent, noise_dbm0: f32, rounds: usize) -> i32 {
    let (mut right, mut wrong) = (0, 0);
    for round in 0..rounds {
        let mut sound = vec![0.0; round * 7];
        sound.extend(sent.dialled(KEYS, 60));
        let found = heard(&with_noise(sound, noise_dbm0));
        let mut wanted = KEYS.chars();
        for key in found.chars() {
            match wanted.any(|known| known == key) {
                true => right += 1,
                false => wrong += 1,
            }
        }
    }
    (right - 10 * wrong) * 100 / (16 * rounds as i32)
}

#[test]
fn detection_falls_off_beyond_the_limits_only() {
    const QUIET: f32 = -70.0;
    let percent = |name: &str, values: &[f32], sent: &dyn Fn(f32) -> (Sent, f32)| {
        let found = values.iter().map(|value| {
            let (sent, noise_dbm0) = sent(*value);
            (*value, heard_percent(sent, noise_dbm0, 7))
        });
        let found: Vec<(f32, i32)> = found.collect();
        println!("{name}: {found:?}");
        found
    };
    let ms = percent("ms", &[20.0, 23.0, 26.0, 30.0, 34.0, 40.0], &|ms| {
        (
            Sent {
                ms: ms as u32,
                ..USUAL
            },
            QUIET,
        )
    });
    let noise = percent("dB over noise", &[0.0, 3.0, 6.0, 9.0, 12.0, 15.0], &|db| {
        let even = Sent {
            row_dbm0: -12.0,
            column_dbm0: -12.0,
            ..USUAL
        };
        (even, -12.0 - db)
    });
    let twist = percent("column over row", &[-12.0, -8.0, 0.0, 4.0, 8.0], &|db| {
        let row_dbm0 = -12.0 - db / 2.0;
        (
            Sent {
                row_dbm0,
                column_dbm0: row_dbm0 + db,
                ..USUAL
            },
            QUIET,
        )
    });
    let off = percent(
        "percent off",
        &[-3.5, -2.5, -1.7, 0.0, 1.7, 2.5, 3.5],
        &|percent| {
            (
                Sent {
                    off: (percent, 0.0),
                    ..USUAL
                },
                QUIET,
            )
        },
    );
    let at = |found: &[(f32, i32)], value: f32| found.iter().find(|f| f.0 == value).unwrap().1;
    assert_eq!((at(&ms, 23.0), at(&ms, 40.0)), (0, 100));
    assert_eq!((at(&noise, 15.0), at(&noise, 12.0) >= 95), (100, true));
    assert!([-8.0, 0.0, 4.0].iter().all(|db| at(&twist, *db) == 100));
    assert!(
        [-1.7, 0.0, 1.7]
            .iter()
            .all(|percent| at(&off, *percent) == 100)
    );
    assert!([-3.5, 3.5].iter().all(|percent| at(&off, *percent) == 0));
    // What is heard is right, also in noise as loud as each tone.
    assert!(noise.iter().all(|(_, percent)| *percent >= 0), "{noise:?}");
}
