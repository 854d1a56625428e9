//! Any payloads to the decoders of one source, lost ones between them.
//!
//! The input begins with a byte for the sound's rate; then a run of records: a byte says what to
//! do in which codec, a byte how long the payload is.
#![no_main]

use offhook_media::Codec;
use offhook_media::codec::{Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD_BYTES, OpusWishes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [rate, rest @ ..] = bytes else { return };
    let rate_hz = if rate & 1 == 0 { 8_000 } else { 16_000 };
    let mut decoder = Decoder::new(rate_hz);
    decoder.prepare(Codec::ALL);
    let mut encoder = None;
    let mut rest = rest;
    while let [how, length, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        let codec = Codec::ALL[usize::from(how >> 3) % Codec::ALL.len()];
        let mut sound = [0; MAX_PACKET_SAMPLES];
        let samples = match how & 7 {
            0 => {
                let out = &mut sound[..usize::from(*length)];
                decoder.conceal(out);
                out.len()
            }
            1 => {
                let wanted = decoder.fec_samples(codec, payload);
                let made = decoder.decode_fec(codec, payload, &mut sound);
                assert!(made == wanted || made == 0);
                made
            }
            _ => decoder.decode(codec, payload, &mut sound),
        };
        // What was heard can be said again.
        if how & 7 == 7 && codec != Codec::Opus {
            let fresh = || Encoder::new(codec, rate_hz, OpusWishes::default());
            let mut out = [0; MAX_PAYLOAD_BYTES];
            let said = &sound[..samples.min(rate_hz as usize / 50)];
            encoder.get_or_insert_with(fresh).encode(said, &mut out);
        }
        rest = after;
    }
});
