//! G.722 against vectors of SpanDSP's implementation, and against what ITU-T G.722 asks of one.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{correlation, speech_16k, tone};
use offhook_media::codec::{G722Decoder, G722Encoder};

/// Half a second of speech, then full-scale square waves and noise, where all sums saturate.
fn vector_input() -> Vec<i16> {
    let mut input = speech_16k()[5_600..13_600].to_vec();
    let square = |n: usize| {
        if n / (1 + n / 100) % 2 == 1 {
            32_767
        } else {
            -32_768
        }
    };
    input.extend((0..1_000).map(square));
    let mut state = 1u32;
    input.extend((0..1_000).map(|_| {
        state = (state.wrapping_mul(1_103_515_245).wrapping_add(12_345)) & 0x7FFF_FFFF;
        (((state >> 8) & 0xFFFF) as i32 - 32_768) as i16
    }));
    input
}

fn encode(samples: &[i16]) -> Vec<u8> {
    let mut code = vec![0; samples.len() / 2];
    assert_eq!(
        G722Encoder::default().encode(samples, &mut code),
        code.len()
    );
    code
}

fn decode(code: &[u8]) -> Vec<i16> {
    let mut sound = vec![0; 2 * code.len()];
    assert_eq!(G722Decoder::default().decode(code, &mut sound), sound.len());
    sound
}

#[test]
fn code_and_sound_are_those_of_another_implementation_bit_by_bit() {
    let code = include_bytes!("vectors/g722.code");
    let sound: Vec<i16> = include_bytes!("vectors/g722.pcm")
        .chunks(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let ours = encode(&vector_input());
    let differs = ours
        .iter()
        .zip(code)
        .position(|(ours, theirs)| ours != theirs);
    assert_eq!(differs, None);
    let ours = decode(code);
    // SpanDSP's last sum wraps where G.722 saturates.
    let clipped = |sample: i16| sample == i16::MAX || sample == i16::MIN;
    let mut pairs = ours.iter().zip(&sound);
    let differs = pairs.position(|(ours, theirs)| ours != theirs && !clipped(*ours));
    assert_eq!((differs, ours.len()), (None, sound.len()));
    assert!(ours[..8_000].iter().all(|sample| !clipped(*sample)));
}

/// Signal to noise in decibels, at the delay of both filter banks: 22 samples.
fn signal_to_noise_db(sent: &[i16], heard: &[i16]) -> f64 {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (sent, heard) in sent.iter().zip(&heard[22..]).skip(800) {
        signal += f64::from(*sent).powi(2);
        noise += (f64::from(*sent) - f64::from(*heard)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

#[test]
fn tones_of_both_bands_come_out_as_they_went_in() {
    for (hz, least_db) in [
        (120.0, 30.0),
        (1_000.0, 35.0),
        (3_000.0, 30.0),
        (6_000.0, 14.0),
    ] {
        let sent = tone(16_000, hz, 8_000.0, 16_000);
        let ratio = signal_to_noise_db(&sent, &decode(&encode(&sent)));
        assert!(ratio > least_db, "{hz} Hz: {ratio:.1} dB");
    }
}

#[test]
fn speech_comes_out_alike_at_its_level_and_22_samples_late() {
    let sent = speech_16k();
    let heard = decode(&encode(&sent));
    let best = (0..100)
        .max_by(|a, b| correlation(&sent, &heard, *a).total_cmp(&correlation(&sent, &heard, *b)));
    assert_eq!(best, Some(22));
    assert!(correlation(&sent, &heard, 22) > 0.995);
    let ratio = signal_to_noise_db(&sent, &heard);
    assert!(ratio > 20.0, "{ratio:.1} dB");
}

#[test]
fn silence_stays_silent() {
    let heard = decode(&encode(&[0; 8_000]));
    assert!(heard.iter().all(|sample| sample.abs() <= 8));
}

#[test]
fn it_makes_no_difference_where_the_stream_is_cut() {
    let sent = &speech_16k()[..16_000];
    let whole = encode(sent);
    let sound = decode(&whole);
    for samples in [2, 160, 320, 480, 1_000] {
        let (mut encoder, mut decoder) = (G722Encoder::default(), G722Decoder::default());
        let (mut code, mut heard) = (Vec::new(), Vec::new());
        for piece in sent.chunks(samples) {
            let mut bytes = vec![0; piece.len() / 2];
            encoder.encode(piece, &mut bytes);
            let mut decoded = vec![0; piece.len()];
            decoder.decode(&bytes, &mut decoded);
            code.extend(bytes);
            heard.extend(decoded);
        }
        assert!(code == whole && heard == sound, "pieces of {samples}");
    }
}

#[test]
fn slices_of_any_length_are_filled_as_far_as_they_go() {
    let mut code = [0; 3];
    assert_eq!(G722Encoder::default().encode(&[1; 5], &mut code), 2);
    assert_eq!(G722Encoder::default().encode(&[1; 50], &mut code), 3);
    let mut sound = [7; 5];
    assert_eq!(G722Decoder::default().decode(&[0x7F; 9], &mut sound), 4);
    assert_eq!(sound[4], 7);
}
