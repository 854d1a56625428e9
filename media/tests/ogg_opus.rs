//! A recording as Opus in Ogg, read back by another's reader and by plain decoders.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Cursor;

use offhook_media::ogg::StereoOpusWriter;
use opus_pure::{OggOpusReader, OpusDecoder, Trim};

/// A voice: the corpora's, at 16 kHz or at 8.
fn voice(rate_hz: u32) -> Vec<i16> {
    let path = "../tests/corpora/speech/jfk.wav";
    let samples = hound::WavReader::open(path).unwrap().into_samples::<i16>();
    let samples: Vec<i16> = samples.map(Result::unwrap).collect();
    let every = (16_000 / rate_hz) as usize;
    let mean = |of: &[i16]| of.iter().map(|s| i32::from(*s)).sum::<i32>() / of.len() as i32;
    samples.chunks(every).map(|of| mean(of) as i16).collect()
}

/// Splits a packet of two streams, the first of which says how long it is (RFC 6716 appendix B).
fn split(packet: &[u8]) -> [Vec<u8>; 2] {
    assert_eq!(packet[0] & 3, 0, "one frame");
    let (length, at) = match packet[1] {
        short @ 0..252 => (usize::from(short), 2),
        first => (usize::from(first) + 4 * usize::from(packet[2]), 3),
    };
    let first = [&packet[..1], &packet[at..at + length]].concat();
    [first, packet[at + length..].to_vec()]
}

/// Decodes a file to both parties, trimmed as its granule positions say.
fn decode(file: &[u8], rate_hz: u32) -> [Vec<i16>; 2] {
    let mut reader = OggOpusReader::new(Cursor::new(file)).unwrap();
    let head = reader.head().clone();
    assert_eq!((head.channel_count, head.input_sample_rate), (2, rate_hz));
    let streams = (head.mapping_family, head.stream_count, head.coupled_count);
    assert_eq!(
        (streams, &head.channel_mapping[..]),
        ((1, 2, 0), &[0, 1][..])
    );
    assert_eq!(reader.tags().vendor, "Offhook");
    let mut parties = [Vec::new(), Vec::new()];
    let decoder = || OpusDecoder::new(rate_hz as i32, 1).unwrap();
    let mut decoders = [decoder(), decoder()];
    let trim = Trim::new(&head, rate_hz as i32, 1).unwrap();
    let mut trims = [trim.clone(), trim];
    while let Ok(Some(packet)) = reader.read_packet() {
        let streams = split(&packet.data);
        for at in 0..2 {
            let mut sound = vec![0; rate_hz as usize / 50];
            let samples = sound.len();
            let decoded = decoders[at].decode_s16(&streams[at], samples, &mut sound);
            assert_eq!(decoded.unwrap(), samples);
            parties[at].extend(trims[at].keep(&packet, &sound));
        }
    }
    parties
}

/// How far the error lies below the sound, in dB.
fn fidelity_db(said: &[i16], decoded: &[i16]) -> f64 {
    let energy = |of: &mut dyn Iterator<Item = f64>| of.map(|s| s * s).sum::<f64>();
    let wrong = said.iter().zip(decoded);
    let mut wrong = wrong.map(|(a, b)| f64::from(*a) - f64::from(*b));
    let mut said = said.iter().map(|s| f64::from(*s));
    10.0 * (energy(&mut said) / energy(&mut wrong)).log10()
}

fn loudest(sound: &[i16]) -> u16 {
    sound.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
}

/// Writes pieces of 160 samples, as a session gives them.
fn record(writer: &mut StereoOpusWriter<&mut Vec<u8>>, rate_hz: u32, parties: [&[i16]; 2]) {
    let [left, right] = parties.map(|sound| sound.chunks(160));
    for (left, right) in left.zip(right) {
        writer.write(rate_hz, left, right).unwrap();
    }
}

#[test]
fn each_party_comes_back_in_time_to_the_sample_and_on_its_channel_only() {
    for rate_hz in [8_000, 16_000] {
        let said = voice(rate_hz);
        // An odd length, which no packet has.
        let said = &said[..said.len() - 37];
        let quiet = vec![0; said.len()];
        let mut file = Vec::new();
        let mut writer = StereoOpusWriter::new(&mut file, 7);
        record(&mut writer, rate_hz, [said, &quiet]);
        record(&mut writer, rate_hz, [&quiet, said]);
        writer.finish().unwrap();
        let [left, right] = decode(&file, rate_hz);
        assert_eq!((left.len(), right.len()), (2 * said.len(), 2 * said.len()));
        let (first, second) = (0..said.len(), said.len()..2 * said.len());
        // A sample too early or too late would cost nearly all of it.
        let caller = fidelity_db(said, &left[first.clone()]);
        let agent = fidelity_db(said, &right[second.clone()]);
        assert!(caller.min(agent) > 15.0, "{caller:.1} and {agent:.1} dB");
        assert_eq!(loudest(&right[first]), 0);
        // What sounds for a packet after the voice is its end.
        assert!(loudest(&left[second.start + 640..]) <= 1);
        let bps = file.len() as f64 * 8.0 * f64::from(rate_hz) / left.len() as f64;
        assert!(bps < 40_000.0, "{bps:.0} bit/s");
    }
}

#[test]
fn a_file_whose_writer_died_plays_up_to_the_last_second() {
    let said = voice(8_000);
    let mut file = Vec::new();
    let mut writer = StereoOpusWriter::new(&mut file, 7);
    record(&mut writer, 8_000, [&said, &said]);
    std::mem::forget(writer);
    let there = decode(&file, 8_000)[0].len();
    assert!((said.len() - 8_160..said.len()).contains(&there), "{there}");
    // Cut within a page, as a disk that was full cuts it: what is before the page plays.
    let [cut, _] = decode(&file[..file.len() - 100], 8_000);
    assert!((there - 8_000..there).contains(&cut.len()), "{}", cut.len());
    assert!(fidelity_db(&said, &cut) > 15.0);
}

#[test]
fn what_is_flushed_is_there_and_silence_keeps_time() {
    let said = voice(16_000);
    let mut file = Vec::new();
    let mut writer = StereoOpusWriter::new(&mut file, 7);
    record(&mut writer, 16_000, [&said[..32_000], &said[..32_000]]);
    writer.silence(16_000, 5_000).unwrap();
    record(
        &mut writer,
        16_000,
        [&said[37_000..53_000], &said[..16_000]],
    );
    assert!(writer.write(8_000, &[1], &[1]).is_err());
    writer.flush().unwrap();
    std::mem::forget(writer);
    let [left, right] = decode(&file, 16_000);
    // 53,000 samples are 165 packets and a half, of which the encoder's lookahead is not out yet.
    assert_eq!((left.len(), right.len()), (165 * 320 - 40, 165 * 320 - 40));
    assert!(loudest(&left[32_640..36_640]) <= 1);
    let after = fidelity_db(&said[40_000..52_000], &left[40_000..52_000]);
    assert!(after > 15.0, "{after:.1} dB");
}

#[test]
fn a_recording_without_sound_is_a_file_without_sound() {
    let mut file = Vec::new();
    StereoOpusWriter::new(&mut file, 7).finish().unwrap();
    assert_eq!(decode(&file, 8_000), [vec![], vec![]]);
}
