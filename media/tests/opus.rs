//! Opus as we send and receive it (RFC 7587).
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{correlation, speech_16k};
use offhook_media::Codec;
use offhook_media::codec::{Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD_BYTES, OpusWishes};

/// The encoder's look-ahead and the decoder's resampler: 6.5 ms.
const DELAY: usize = 104;

fn encoder(wishes: OpusWishes) -> Encoder {
    Encoder::new(Codec::Opus, 16_000, wishes)
}

fn decoder(rate_hz: u32) -> Decoder {
    let mut decoder = Decoder::new(rate_hz);
    decoder.prepare([Codec::Opus]);
    decoder
}

fn encode(encoder: &mut Encoder, sound: &[i16], samples: usize) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for piece in sound.chunks_exact(samples) {
        let mut payload = [0; MAX_PAYLOAD_BYTES];
        let bytes = encoder.encode(piece, &mut payload);
        packets.push(payload[..bytes].to_vec());
    }
    packets
}

fn decode(decoder: &mut Decoder, payload: &[u8]) -> Vec<i16> {
    let mut sound = [0; MAX_PACKET_SAMPLES];
    let len = decoder.decode(Codec::Opus, payload, &mut sound);
    sound[..len].to_vec()
}

fn kbits_per_second(packets: &[Vec<u8>], ms: usize) -> usize {
    packets.iter().map(Vec::len).sum::<usize>() * 8 / (packets.len() * ms)
}

#[test]
fn speech_comes_through_at_each_packet_time() {
    let sound = speech_16k();
    for ms in [10, 20, 40, 60] {
        let packets = encode(&mut encoder(OpusWishes::default()), &sound, 16 * ms);
        let mut decoder = decoder(16_000);
        let mut heard = Vec::new();
        for packet in &packets {
            assert_eq!(Codec::Opus.payload_samples(packet), 16 * ms);
            heard.extend(decode(&mut decoder, packet));
        }
        let alike = correlation(&sound, &heard, DELAY);
        assert!(alike > 0.97, "{ms} ms: {alike:.3}");
        let rate = kbits_per_second(&packets, ms);
        assert!((28..37).contains(&rate), "{ms} ms: {rate} kbit/s");
    }
}

#[test]
fn a_packet_of_several_frames_is_decoded_whole() {
    // Code 3 with three frames of 10 ms (RFC 6716 §3.2.5), as no encoder here makes one.
    let frames = encode(
        &mut encoder(OpusWishes::default()),
        &speech_16k()[32_000..],
        160,
    );
    let same_mode = frames.windows(3).find(|three| {
        three
            .iter()
            .all(|frame| frame[0] == three[0][0] && frame.len() < 252)
    });
    let three = same_mode.unwrap();
    let mut packet = vec![three[0][0] | 3, 0x83];
    packet.extend(three[..2].iter().map(|frame| frame.len() as u8 - 1));
    three.iter().for_each(|frame| packet.extend(&frame[1..]));
    assert_eq!(Codec::Opus.payload_samples(&packet), 480);
    let mut one_by_one = Vec::new();
    let (mut whole, mut single) = (decoder(16_000), decoder(16_000));
    three
        .iter()
        .for_each(|frame| one_by_one.extend(decode(&mut single, frame)));
    assert_eq!(decode(&mut whole, &packet), one_by_one);
}

#[test]
fn a_peers_wishes_are_heeded() {
    let sound = &speech_16k()[..96_000];
    let wishes = OpusWishes {
        max_average_bitrate_bps: 16_000,
        ..OpusWishes::default()
    };
    let rate = kbits_per_second(&encode(&mut encoder(wishes), sound, 320), 20);
    assert!(rate <= 17, "{rate} kbit/s");
    let wishes = OpusWishes {
        cbr: true,
        ..OpusWishes::default()
    };
    let packets = encode(&mut encoder(wishes), sound, 320);
    assert!(
        packets
            .iter()
            .all(|packet| packet.len() == packets[0].len())
    );
    let wishes = OpusWishes {
        max_playback_rate_hz: 8_000,
        ..OpusWishes::default()
    };
    // Narrowband, in SILK or in CELT (RFC 6716 table 2).
    let narrow = |packet: &Vec<u8>| matches!(packet[0] >> 3, 0..=3 | 16..=19);
    assert!(encode(&mut encoder(wishes), sound, 320).iter().all(narrow));
}

#[test]
fn silence_is_left_out_only_for_a_peer_that_wishes_so() {
    let mut sound = speech_16k()[..32_000].to_vec();
    sound.resize(32_000 + 48_000, 0);
    let sent = |dtx| {
        let wishes = OpusWishes {
            dtx,
            ..OpusWishes::default()
        };
        let packets = encode(&mut encoder(wishes), &sound, 320);
        packets[110..]
            .iter()
            .filter(|packet| !packet.is_empty())
            .count()
    };
    assert_eq!(sent(false), 140);
    let updates = sent(true);
    assert!((3..20).contains(&updates), "{updates}");
}

/// Sends speech over a network that loses some packets, and tells how alike what is heard is, and
/// how much of the loss was recovered.
fn over_a_lossy_network(in_band_fec: bool) -> (f64, usize) {
    let sound = speech_16k();
    let mut encoder = encoder(OpusWishes {
        in_band_fec,
        ..OpusWishes::default()
    });
    encoder.heed_loss(0.08);
    let packets = encode(&mut encoder, &sound, 320);
    let mut decoder = decoder(16_000);
    let (mut heard, mut recovered) = (Vec::new(), 0);
    for (n, packet) in packets.iter().enumerate() {
        if n % 12 != 7 {
            heard.extend(decode(&mut decoder, packet));
            continue;
        }
        let mut lost = [0; 320];
        let next = packets.get(n + 1).map_or(&[][..], Vec::as_slice);
        if decoder.fec_samples(Codec::Opus, next) == 320 {
            assert_eq!(decoder.decode_fec(Codec::Opus, next, &mut lost), 320);
            recovered += 1;
        } else {
            assert!(decoder.conceal(&mut lost));
        }
        heard.extend(lost);
    }
    (correlation(&sound, &heard, DELAY), recovered)
}

#[test]
fn a_peer_that_reports_loss_is_sent_what_was_lost_again() {
    let (without, none) = over_a_lossy_network(false);
    let (with, recovered) = over_a_lossy_network(true);
    assert_eq!(none, 0);
    assert!(recovered > 30, "{recovered} of 45");
    assert!(
        with > without + 0.01,
        "{with:.3} with, {without:.3} without"
    );
}

#[test]
fn the_bit_rate_follows_the_loss() {
    let sound = &speech_16k()[..64_000];
    let mut encoder = encoder(OpusWishes {
        in_band_fec: true,
        ..OpusWishes::default()
    });
    let mut rate = |loss: f32| {
        (0..12).for_each(|_| encoder.heed_loss(loss));
        kbits_per_second(&encode(&mut encoder, sound, 320), 20)
    };
    let (clean, some, full, again) = (rate(0.0), rate(0.05), rate(0.4), rate(0.0));
    assert!(
        some > clean + 4 && full < clean - 4,
        "{clean} {some} {full}"
    );
    assert!(again.abs_diff(clean) <= 1, "{clean} {again}");
}

#[test]
fn a_gap_is_carried_on_whatever_its_length_and_ends_in_silence() {
    let sound = speech_16k();
    let packets = encode(&mut encoder(OpusWishes::default()), &sound[32_000..], 320);
    let mut decoder = decoder(16_000);
    let before: Vec<i16> = packets[..20]
        .iter()
        .flat_map(|packet| decode(&mut decoder, packet))
        .collect();
    let mut made_up = vec![0; 100];
    assert!(decoder.conceal(&mut made_up));
    let loud = |sound: &[i16]| sound.iter().map(|s| i32::from(*s).abs()).max().unwrap();
    assert!(loud(&made_up) > loud(&before[before.len() - 320..]) / 8);
    for samples in [1, 37, 160, 319, 320, 20_000] {
        made_up = vec![99; samples];
        assert!(decoder.conceal(&mut made_up));
    }
    assert_eq!(loud(&made_up[19_000..]), 0);
    assert_eq!(decode(&mut decoder, &packets[21]).len(), 320);
}

#[test]
fn what_is_no_packet_gives_no_sound_and_spoils_nothing() {
    let packets = encode(&mut encoder(OpusWishes::default()), &speech_16k(), 320);
    let (mut decoder, mut twin) = (decoder(16_000), decoder(16_000));
    let too_long: &[u8] = &[0x1B, 0x3F];
    for (n, packet) in packets.iter().take(100).enumerate() {
        for broken in [&[][..], too_long, &[packet[0] | 2, 250]] {
            assert!(decode(&mut decoder, broken).is_empty());
        }
        assert_eq!(
            decode(&mut decoder, packet),
            decode(&mut twin, packet),
            "{n}"
        );
    }
}

#[test]
fn without_being_prepared_there_is_no_opus() {
    let packets = encode(
        &mut encoder(OpusWishes::default()),
        &speech_16k()[..320],
        320,
    );
    let mut decoder = Decoder::new(16_000);
    assert!(decode(&mut decoder, &packets[0]).is_empty());
    assert!(!decoder.conceal(&mut [0; 320]));
    assert_eq!(decoder.fec_samples(Codec::Opus, &packets[0]), 0);
}
