//! G.711 against the reference code of the ITU-T software tool library (G.191), all of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use offhook_media::Codec;
use offhook_media::codec::g711::{alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear};
use offhook_media::codec::{Decoder, Encoder, OpusWishes};

/// `ulaw_compress` of G.191, step by step.
fn reference_ulaw(sample: i16) -> u8 {
    let magnitude = if sample < 0 {
        (!sample) >> 2
    } else {
        sample >> 2
    } + 33;
    let magnitude = magnitude.min(0x1FFF);
    let mut segment = 1;
    let mut rest = magnitude >> 6;
    while rest != 0 {
        segment += 1;
        rest >>= 1;
    }
    let high = 8 - segment;
    let low = 0x0F - ((magnitude >> segment) & 0x0F);
    ((high << 4) | low) as u8 | if sample >= 0 { 0x80 } else { 0 }
}

/// `alaw_compress` of G.191.
fn reference_alaw(sample: i16) -> u8 {
    let mut code = if sample < 0 {
        (!sample) >> 4
    } else {
        sample >> 4
    };
    if code > 15 {
        let mut exponent = 1;
        while code > 16 + 15 {
            code >>= 1;
            exponent += 1;
        }
        code -= 16;
        code += exponent << 4;
    }
    (code as u8 | if sample >= 0 { 0x80 } else { 0 }) ^ 0x55
}

/// `ulaw_expand` of G.191.
fn reference_from_ulaw(code: u8) -> i16 {
    let sign = if code < 0x80 { -1 } else { 1 };
    let inverted = i32::from(!code);
    let exponent = (inverted >> 4) & 7;
    let mantissa = inverted & 0x0F;
    let step = 4 << (exponent + 1);
    (sign * ((0x80 << exponent) + step * mantissa + step / 2 - 4 * 33)) as i16
}

/// `alaw_expand` of G.191.
fn reference_from_alaw(code: u8) -> i16 {
    let plain = i16::from((code ^ 0x55) & 0x7F);
    let exponent = plain >> 4;
    let mut mantissa = plain & 0x0F;
    if exponent > 0 {
        mantissa += 16;
    }
    mantissa = (mantissa << 4) + 8;
    if exponent > 1 {
        mantissa <<= exponent - 1;
    }
    if code > 127 { mantissa } else { -mantissa }
}

#[test]
fn every_sample_is_encoded_as_the_reference_does() {
    for sample in i16::MIN..=i16::MAX {
        assert_eq!(
            linear_to_ulaw(sample),
            reference_ulaw(sample),
            "µ-law of {sample}"
        );
        assert_eq!(
            linear_to_alaw(sample),
            reference_alaw(sample),
            "A-law of {sample}"
        );
    }
}

#[test]
fn every_code_is_decoded_as_the_reference_does_and_survives_the_round_trip() {
    for code in 0..=255 {
        assert_eq!(
            ulaw_to_linear(code),
            reference_from_ulaw(code),
            "µ-law code {code}"
        );
        assert_eq!(
            alaw_to_linear(code),
            reference_from_alaw(code),
            "A-law code {code}"
        );
        assert_eq!(linear_to_alaw(alaw_to_linear(code)), code);
        // µ-law has two zeros and keeps the positive one.
        let kept = if code == 0x7F { 0xFF } else { code };
        assert_eq!(linear_to_ulaw(ulaw_to_linear(code)), kept);
    }
}

#[test]
fn silence_is_the_byte_that_the_field_expects() {
    for (codec, silence) in [(Codec::Pcmu, 0xFF), (Codec::Pcma, 0xD5)] {
        let mut payload = [0; 4];
        let mut encoder = Encoder::new(codec, 8_000, OpusWishes::default());
        assert_eq!(encoder.encode(&[0; 8], &mut payload), 4);
        assert_eq!(payload, [silence; 4]);
        let mut sound = [99; 8];
        assert_eq!(Decoder::new(8_000).decode(codec, &payload, &mut sound), 4);
        assert!(sound[..4].iter().all(|sample| sample.abs() <= 8) && sound[4] == 99);
    }
}
