//! What comes from a party in one codec goes to another in any other, as a bridge sends it on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{correlation, speech_16k};
use offhook_media::Codec;
use offhook_media::codec::{Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD_BYTES, OpusWishes};
use offhook_media::rate::HalfBand;

/// Sends sound of one rate in a codec, and gives it as a session of the codec's rate hears it.
fn carry(codec: Codec, rate_hz: u32, sound: &[i16]) -> Vec<i16> {
    let mut encoder = Encoder::new(codec, rate_hz, OpusWishes::default());
    let mut decoder = Decoder::new(codec.sample_rate_hz());
    decoder.prepare([codec]);
    let mut heard = Vec::new();
    for piece in sound.chunks_exact(rate_hz as usize / 50) {
        let (mut payload, mut decoded) = ([0; MAX_PAYLOAD_BYTES], [0; MAX_PACKET_SAMPLES]);
        let bytes = encoder.encode(piece, &mut payload);
        let samples = decoder.decode(codec, &payload[..bytes], &mut decoded);
        assert_eq!(samples, codec.sample_rate_hz() as usize / 50, "{codec:?}");
        heard.extend_from_slice(&decoded[..samples]);
    }
    heard
}

fn to_16k(rate_hz: u32, sound: Vec<i16>) -> Vec<i16> {
    if rate_hz == 16_000 {
        return sound;
    }
    let mut wide = vec![0; 2 * sound.len()];
    HalfBand::to(16_000).convert(&sound, &mut wide);
    wide
}

fn level(sound: &[i16]) -> f64 {
    let energy: f64 = sound.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    10.0 * (energy / sound.len() as f64).log10()
}

#[test]
fn any_codec_can_be_sent_on_in_any_other() {
    let wide = speech_16k()[16_000..64_000].to_vec();
    let mut narrow = vec![0; wide.len() / 2];
    HalfBand::to(8_000).convert(&wide, &mut narrow);
    let narrow = to_16k(8_000, narrow);
    for from in Codec::ALL {
        for to in Codec::ALL {
            let heard = carry(from, 16_000, &wide);
            let sent_on = carry(to, from.sample_rate_hz(), &heard);
            let heard = to_16k(to.sample_rate_hz(), sent_on);
            let whole = from.is_wideband() && to.is_wideband();
            let said = if whole { &wide } else { &narrow };
            let delays = (0..300).map(|delay| (correlation(said, &heard, delay), delay));
            let (alike, delay) = delays.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            let gain = level(&heard) - level(said);
            println!("{from:?} to {to:?}: {alike:.4}, {delay} samples, {gain:+.2} dB");
            assert!(alike > 0.95, "{from:?} to {to:?}: {alike:.3}");
            // Opus delays by 6.5 ms, G.722 by 1.4 ms, a change of rate by 2 ms.
            assert!(delay <= 16 * 17, "{from:?} to {to:?}: {delay} samples");
            assert!(gain.abs() < 0.7, "{from:?} to {to:?}: {gain:.2} dB");
        }
    }
}
