//! Keys that come as tones are heard where they are wanted, once each, and voices press no keys.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::{A, CLEAN, Call, Party, Weather, agreement, at, config, rtp, with_peer_at};
use offhook_media::codec::g711;
use offhook_media::{Digit, InbandDtmf, Negotiated, SessionConfig};

const STEP: usize = 160;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpora/speech")
}

/// A file's first channel at 8 kHz: the mean of as many samples as stand for one.
fn sound(file: &Path) -> Vec<i16> {
    read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn read(file: &Path) -> Result<Vec<i16>, hound::Error> {
    let mut reader = hound::WavReader::open(file)?;
    let fold = usize::from(reader.spec().channels) * (reader.spec().sample_rate / 8_000) as usize;
    let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>()?;
    let mean = |part: &[i16]| {
        let sum: i32 = part.iter().map(|sample| i32::from(*sample)).sum();
        (sum / part.len() as i32) as i16
    };
    Ok(samples.chunks(fold.max(1)).map(mean).collect())
}

fn without_events() -> Negotiated {
    agreement(|local| local.dtmf = false).1
}

/// A party that listens for tones as `inband_dtmf` says.
fn party(negotiated: Negotiated, inband_dtmf: InbandDtmf) -> Party {
    Party::new(SessionConfig {
        inband_dtmf,
        ..config(negotiated, 7)
    })
}

/// Sends `sound` to a party, packet by packet, and whatever `beside` has to send with each.
fn hear(party: &mut Party, sound: &[i16], mut beside: impl FnMut(u64) -> Option<[u8; 4]>) {
    let mut sequence = 0u16;
    for (n, step) in (0u64..).zip(sound.chunks(STEP)) {
        let mut payload = vec![0xFF; step.len()];
        g711::encode_ulaw(step, &mut payload);
        let packet = rtp(0, sequence, n as u32 * STEP as u32, 9, &payload);
        party.receive(at(n * 20), A, &packet);
        sequence += 1;
        if let Some(event) = beside(n) {
            // The event began with the first packet of its digit, 100 ms each.
            let began = (n / 10 * 10) as u32 * STEP as u32;
            party.receive(at(n * 20), A, &rtp(101, sequence, began, 9, &event));
            sequence += 1;
        }
        party.run_until(at(n * 20 + 20));
    }
}

/// Keys of 100 ms with as much silence behind each.
fn dialled(keys: &str) -> Vec<i16> {
    let mut sound = Vec::new();
    for key in keys.chars() {
        let name = match key {
            '*' => "dtmf-star.wav".to_owned(),
            '#' => "dtmf-pound.wav".to_owned(),
            digit => format!("dtmf-{digit}.wav"),
        };
        sound.extend(&self::sound(&corpus().join(name))[800..1_600]);
        sound.resize(sound.len() + 800, 0);
    }
    sound
}

#[test]
fn keys_go_as_tones_and_are_heard_where_no_events_were_agreed_on() {
    let mut call = Call::new(1, CLEAN, |local| local.dtmf = false);
    call.run(200);
    call.a.session.send_dtmf("1233#*AD0").unwrap();
    call.b.session.send_dtmf("99").unwrap();
    call.run(3_000);
    assert_eq!(call.b.digits(), "1233#*AD0");
    assert_eq!(call.a.digits(), "99");
}

#[test]
fn tones_survive_a_shaky_network() {
    for seed in 0..20 {
        let weather = Weather {
            delay_ms: 20,
            jitter_ms: 40,
            loss: 0.01,
            copies: 0.1,
        };
        let mut call = Call::new(seed, weather, |local| local.dtmf = false);
        call.run(1_000);
        call.a.session.send_dtmf("5505551234").unwrap();
        call.run(4_000);
        assert_eq!(call.b.digits(), "5505551234", "seed {seed}");
    }
}

#[test]
fn recorded_keys_are_heard_once_each() {
    let keys = "0123456789*#";
    for key in keys.chars() {
        let mut party = party(without_events(), InbandDtmf::Auto);
        let name = match key {
            '*' => "dtmf-star.wav".to_owned(),
            '#' => "dtmf-pound.wav".to_owned(),
            digit => format!("dtmf-{digit}.wav"),
        };
        let mut recorded = sound(&corpus().join(name));
        recorded.resize(recorded.len() + 1_600, 0);
        hear(&mut party, &recorded, |_| None);
        assert_eq!(party.digits(), key.to_string());
    }
}

#[test]
fn tones_are_left_alone_where_events_were_agreed_on_or_nobody_wants_them() {
    let mut with_events = party(with_peer_at(A), InbandDtmf::Auto);
    hear(&mut with_events, &dialled("123"), |_| None);
    assert_eq!(with_events.digits(), "");
    let mut unwanted = party(without_events(), InbandDtmf::Off);
    hear(&mut unwanted, &dialled("123"), |_| None);
    assert_eq!(unwanted.digits(), "");
}

#[test]
fn a_key_that_comes_as_tone_and_as_event_counts_once() {
    let keys = "1552";
    let mut both = party(with_peer_at(A), InbandDtmf::On);
    hear(&mut both, &dialled(keys), |n| {
        // 100 ms of key, 100 ms of pause; the end comes three times.
        let (key, step) = (keys.chars().nth(n as usize / 10)?, n % 10);
        let event = Digit::from_char(key)?.event();
        let ticks = ((step + 1).min(5) * STEP as u64) as u16;
        let [high, low] = ticks.to_be_bytes();
        (step < 7).then_some([event, if step < 4 { 0 } else { 0x80 }, high, low])
    });
    assert_eq!(both.digits(), keys);
    let mut tones_alone = party(with_peer_at(A), InbandDtmf::On);
    hear(&mut tones_alone, &dialled(keys), |_| None);
    assert_eq!(tones_alone.digits(), keys);
}

#[test]
fn a_renegotiation_that_takes_events_away_lets_tones_be_heard() {
    let mut party = party(with_peer_at(A), InbandDtmf::Auto);
    party.session.renegotiate(
        at(0),
        Negotiated {
            dtmf: None,
            dtmf_receive: None,
            ..with_peer_at(A)
        },
    );
    hear(&mut party, &dialled("42"), |_| None);
    assert_eq!(party.digits(), "42");
}

/// `OFFHOOK_SPEECH` names a folder of more speech to try: 16-bit WAV files at any multiple of 8 kHz;
/// others are left out.
#[test]
fn voices_press_no_keys() {
    let more = std::env::var_os("OFFHOOK_SPEECH").map(PathBuf::from);
    let mut folders: Vec<PathBuf> = more.into_iter().collect();
    let names = ["jfk.wav", "hello_world.wav", "weather_question.wav"];
    let mut files: Vec<PathBuf> = names.iter().map(|name| corpus().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wav") {
                files.push(path);
            }
        }
    }
    let (mut samples, mut wrong) = (0, Vec::new());
    for file in files {
        let Ok(spoken) = read(&file) else {
            continue;
        };
        // Louder and softer, as lines are.
        for gain in [1.0, 0.4, 2.0] {
            let mut party = party(without_events(), InbandDtmf::Auto);
            let line: Vec<i16> = spoken
                .iter()
                .map(|s| (f32::from(*s) * gain) as i16)
                .collect();
            samples += line.len();
            hear(&mut party, &line, |_| None);
            if !party.digits().is_empty() {
                wrong.push(format!("{} in {} × {gain}", party.digits(), file.display()));
            }
        }
    }
    let hours = samples as f64 / 8_000.0 / 3_600.0;
    println!("{} keys in {hours:.2} hours of speech", wrong.len());
    assert!(
        wrong.is_empty(),
        "in {hours:.2} hours: {}",
        wrong.join(", ")
    );
}
