//! What 20 ms of speech cost in each codec, both ways, and what changes of rate cost.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::hint::black_box;

use divan::Bencher;
use offhook_media::Codec;
use offhook_media::codec::{Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD_BYTES, OpusWishes};
use offhook_media::rate::HalfBand;

fn main() {
    divan::main();
}

/// Real speech at a codec's rate, in pieces of 20 ms.
fn speech(rate_hz: u32) -> Vec<Vec<i16>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpora/speech/jfk.wav");
    let samples: Vec<i16> = hound::WavReader::open(path)
        .unwrap()
        .into_samples()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut narrow = vec![0; samples.len() / 2];
    HalfBand::to(8_000).convert(&samples, &mut narrow);
    let samples = if rate_hz == 8_000 { narrow } else { samples };
    samples
        .chunks_exact(rate_hz as usize / 50)
        .map(<[i16]>::to_vec)
        .collect()
}

fn encoder(codec: Codec) -> Encoder {
    let wishes = OpusWishes {
        in_band_fec: true,
        ..OpusWishes::default()
    };
    Encoder::new(codec, codec.sample_rate_hz(), wishes)
}

fn decoder(codec: Codec) -> Decoder {
    let mut decoder = Decoder::new(codec.sample_rate_hz());
    decoder.prepare([codec]);
    decoder
}

fn packets(codec: Codec, encoder: &mut Encoder) -> Vec<Vec<u8>> {
    let pieces = speech(codec.sample_rate_hz());
    let packets = pieces.iter().map(|piece| {
        let mut payload = [0; MAX_PAYLOAD_BYTES];
        let bytes = encoder.encode(piece, &mut payload);
        payload[..bytes].to_vec()
    });
    packets.collect()
}

fn encode(bencher: Bencher<'_, '_>, codec: Codec, mut encoder: Encoder, pieces: &[Vec<i16>]) {
    let (mut payload, mut next) = ([0; MAX_PAYLOAD_BYTES], pieces.iter().cycle());
    bencher.bench_local(|| {
        let piece = next.next().map_or(&[][..], Vec::as_slice);
        encoder.encode(black_box(piece), black_box(&mut payload))
    });
    assert_eq!(encoder.codec(), codec);
}

#[divan::bench(args = Codec::ALL, sample_count = 550, sample_size = 1)]
fn encode_20_ms(bencher: Bencher<'_, '_>, codec: Codec) {
    let pieces = speech(codec.sample_rate_hz());
    encode(bencher, codec, encoder(codec), &pieces);
}

#[divan::bench(args = Codec::ALL, sample_count = 550, sample_size = 1)]
fn encode_20_ms_of_silence(bencher: Bencher<'_, '_>, codec: Codec) {
    let silence = vec![vec![0; codec.sample_rate_hz() as usize / 50]];
    encode(bencher, codec, encoder(codec), &silence);
}

/// With a tenth of the packets lost, packets carry those before them again.
#[divan::bench(sample_count = 550, sample_size = 1)]
fn encode_20_ms_of_opus_for_a_lossy_network(bencher: Bencher<'_, '_>) {
    let mut encoder = encoder(Codec::Opus);
    encoder.heed_loss(0.1);
    encode(bencher, Codec::Opus, encoder, &speech(16_000));
}

#[divan::bench(args = Codec::ALL, sample_count = 550, sample_size = 1)]
fn decode_20_ms(bencher: Bencher<'_, '_>, codec: Codec) {
    let packets = packets(codec, &mut encoder(codec));
    let mut next = packets.iter().cycle();
    let (mut decoder, mut sound) = (decoder(codec), [0; MAX_PACKET_SAMPLES]);
    bencher.bench_local(|| {
        let payload = next.next().map_or(&[][..], Vec::as_slice);
        decoder.decode(codec, black_box(payload), black_box(&mut sound))
    });
}

/// One packet in four is made up, the one after it decoded.
#[divan::bench(sample_count = 550, sample_size = 1)]
fn conceal_20_ms_of_opus(bencher: Bencher<'_, '_>) {
    let packets = packets(Codec::Opus, &mut encoder(Codec::Opus));
    let mut next = packets.iter().cycle();
    let (mut decoder, mut sound) = (decoder(Codec::Opus), [0; MAX_PACKET_SAMPLES]);
    bencher
        .with_inputs(|| next.next().cloned().unwrap_or_default())
        .bench_local_values(|payload| {
            decoder.conceal(black_box(&mut sound[..320]));
            payload
        });
}

#[divan::bench(args = [8_000, 16_000])]
fn change_the_rate_of_20_ms_to(bencher: Bencher<'_, '_>, rate_hz: u32) {
    let other = if rate_hz == 8_000 { 16_000 } else { 8_000 };
    let (piece, mut out) = (speech(other)[100].clone(), [0; 320]);
    let mut filter = HalfBand::to(rate_hz);
    bencher.bench_local(|| filter.convert(black_box(&piece), black_box(&mut out)));
}
