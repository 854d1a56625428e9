//! Streams of every kind through the jitter buffer: pauses, packet times, codecs, other clocks,
//! sources that start over.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::epoch;
use common::feed::{Arrival, Feed, packets, scatter, speech, through_ulaw, ulaw, vowel};
use offhook_media::codec::{Decoder, Encoder, MAX_PAYLOAD_BYTES, OpusWishes, g711};
use offhook_media::jitter::JitterBuffer;
use offhook_media::{Codec, Frame};

fn feed() -> Feed {
    Feed::new(JitterBuffer::new(epoch(), 8_000), 8_000)
}

fn holds(sound: &[i16], piece: &[i16]) -> bool {
    sound.windows(piece.len()).any(|window| window == piece)
}

#[test]
fn packets_of_any_length_are_played_whole_and_in_time() {
    let sound = through_ulaw(&speech(8_000, 11));
    for ms in [10, 20, 30, 40, 60, 120] {
        let mut feed = feed();
        feed.run(&packets(&sound, ms * 8, 8_000, |_| Some(0)));
        let stats = feed.buffer.stats();
        assert_eq!(
            (feed.made_up, stats.concealed, stats.held),
            (0, 0, 0),
            "{ms} ms"
        );
        // Ten milliseconds too many at the start may have to be worn off.
        assert!(
            stats.accelerated <= 80 && stats.expanded == 0,
            "{ms} ms: {stats:?}"
        );
        assert!(stats.delay_ms <= 21, "{ms} ms: {stats:?}");
        // The first two seconds pass before the whole is looked for.
        assert!(holds(&feed.played, &sound[16_000..72_000]), "{ms} ms");
    }
}

#[test]
fn who_only_listens_hears_and_counts_the_same_where_nobody_plays() {
    let sound = through_ulaw(&speech(8_000, 30));
    let mut feeds = [feed(), feed()];
    for (feed, is_played) in feeds.iter_mut().zip([true, false]) {
        feed.is_played = is_played;
        // Some are late, some are lost, and all wait for a while.
        feed.run(&packets(&sound, 160, 8_000, |n| match n {
            n if n % 17 == 3 || n % 131 < 4 => None,
            n if (400..420).contains(&n) => Some(400_000 - (n - 400) * 20_000),
            n => Some(n * 7_919 % 30_000),
        }));
    }
    let [played, passed] = feeds;
    assert!(passed.played.is_empty() && !played.played.is_empty());
    let stats = played.buffer.stats();
    assert!(stats.concealed > 0 && stats.expanded > 0 && stats.accelerated > 0);
    assert_eq!(passed.buffer.stats(), stats);
    let told = |feed: &Feed| -> Vec<_> {
        let frames = feed.heard.iter();
        frames
            .map(|f| {
                (
                    f.rtp_timestamp,
                    f.received,
                    f.concealed,
                    f.samples().to_vec(),
                )
            })
            .collect()
    };
    assert_eq!(told(&passed), told(&played));
}

#[test]
fn a_packet_time_that_changes_within_the_stream_costs_nothing_but_the_longer_wait() {
    let sound = through_ulaw(&speech(8_000, 11));
    let mut arrivals = Vec::new();
    let (mut at, mut sequence) = (0, 0);
    while at + 480 < sound.len() {
        let ms = [20, 60, 10, 30, 40][at / 16_000 % 5];
        let part = &sound[at..at + ms * 8];
        arrivals.push(Arrival {
            at_us: (at + part.len()) as u64 * 125 + 5_000,
            sequence,
            timestamp: 7_000 + at as u64,
            codec: Codec::Pcmu,
            payload: ulaw(part),
        });
        at += part.len();
        sequence += 1;
    }
    let mut feed = feed();
    feed.run(&arrivals);
    let stats = feed.buffer.stats();
    // Where packets get longer, the first of them comes later by as much; steps do the rest.
    assert!(
        feed.made_up <= (40 + 20 + 10 + 3 * 20) * 8,
        "{}",
        feed.made_up
    );
    assert_eq!(stats.late_packets, 0);
    assert!(stats.delay_ms < 60, "{stats:?}");
}

#[test]
fn a_codec_that_changes_from_packet_to_packet_is_not_noticed() {
    let sound = speech(8_000, 4);
    let mut arrivals = packets(&sound, 160, 8_000, |_| Some(0));
    for packet in arrivals
        .iter_mut()
        .filter(|packet| packet.sequence % 3 == 0)
    {
        let at = (packet.timestamp - 500_000) as usize;
        packet.codec = Codec::Pcma;
        g711::encode_alaw(&sound[at..at + 160], &mut packet.payload);
    }
    let mut feed = feed();
    feed.run(&arrivals);
    assert_eq!(feed.made_up, 0);
    let heard = feed.heard_sound();
    assert_eq!(heard.len(), sound.len());
    let off = heard
        .iter()
        .zip(&sound)
        .map(|(a, b)| a.abs_diff(*b) / (b.unsigned_abs() / 32 + 32));
    assert!(off.max().unwrap() <= 1);
}

#[test]
fn silence_that_the_sender_keeps_is_held_and_not_concealed() {
    let sound = vowel(80_000, 8_000);
    let mut arrivals = packets(&sound, 160, 8_000, |n| Some(scatter(n, 12_000)));
    // A second of speech, then seven tenths of silence, five times: numbers go on, the time jumps.
    arrivals.retain(|packet| (packet.sequence - 1_000) % 85 < 50);
    for (n, packet) in (0..).zip(&mut arrivals) {
        packet.sequence = n;
    }
    let mut feed = feed();
    feed.run(&arrivals);
    let stats = feed.buffer.stats();
    assert!(stats.held > 5 * 8_000 / 2, "{stats:?}");
    assert!(stats.concealed < 8_000 / 10, "{stats:?}");
    assert_eq!(stats.late_packets, 0);
    // Each talk-spurt is played from its first sample on, at its loudness.
    let loud = |step: &[i16]| step.iter().any(|sample| sample.unsigned_abs() > 4_500);
    let loud_steps = feed.played.chunks(160).filter(|step| loud(step)).count();
    assert!(
        loud_steps >= arrivals.len() - 5,
        "{loud_steps} of {}",
        arrivals.len()
    );
    let heard: Vec<u64> = feed
        .heard
        .iter()
        .filter(|frame| !frame.concealed)
        .map(|frame| frame.rtp_timestamp)
        .collect();
    let sent: Vec<u64> = arrivals.iter().map(|packet| packet.timestamp).collect();
    assert_eq!(heard, sent);
}

#[test]
fn while_the_sender_presses_keys_its_silence_is_held() {
    let sound = vowel(32_000, 8_000);
    let mut arrivals = packets(&sound, 160, 8_000, |_| Some(0));
    // Telephone-events take the place of half a second of sound.
    for packet in &mut arrivals[50..75] {
        packet.payload.clear();
    }
    let mut feed = feed();
    feed.run(&arrivals);
    let stats = feed.buffer.stats();
    assert_eq!(stats.concealed, 0, "{stats:?}");
    assert!((3_500..=4_200).contains(&stats.held), "{stats:?}");
}

#[test]
fn a_source_that_starts_over_is_heard_whole_and_without_a_click() {
    let sound = vowel(16_000, 8_000);
    let mut feed = feed();
    feed.run(&packets(&sound, 160, 8_000, |_| Some(0)));
    feed.buffer.restart();
    let mut again = packets(&sound[40..], 160, 8_000, |_| Some(0));
    for packet in &mut again {
        packet.at_us += 2_000_000;
        packet.sequence += 90_000;
        packet.timestamp = packet.timestamp.wrapping_mul(3) % 1_000_000;
    }
    for (n, packet) in (0..).zip(&mut again) {
        packet.timestamp = 77 + n * 160;
    }
    feed.run(&again);
    let heard = feed.heard.iter().filter(|frame| !frame.concealed).count();
    assert_eq!(heard, 100 + again.len());
    let times: Vec<u64> = feed.heard.iter().map(|frame| frame.rtp_timestamp).collect();
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0]));
    let steps = feed.played[1_600..]
        .windows(2)
        .map(|two| two[0].abs_diff(two[1]));
    let usual = sound
        .windows(2)
        .map(|two| two[0].abs_diff(two[1]))
        .max()
        .unwrap();
    assert!(steps.max().unwrap() < usual * 3 / 2);
}

#[test]
fn a_source_that_starts_over_after_a_pause_waits_no_longer_than_it_must() {
    let sound = vowel(16_000, 8_000);
    let mut feed = feed();
    feed.run(&packets(&sound, 160, 8_000, |_| Some(0)));
    feed.buffer.restart();
    let mut again = packets(&sound, 160, 8_000, |_| Some(0));
    for packet in &mut again {
        packet.at_us += 2_500_000;
        packet.timestamp += 3_000_000_000;
    }
    feed.run(&again);
    let stats = feed.buffer.stats();
    assert!(stats.delay_ms <= 21 && stats.accelerated == 0, "{stats:?}");
}

#[test]
fn sound_of_16_khz_is_treated_like_sound_of_8_khz() {
    for rate_hz in [8_000, 16_000] {
        let sound = through_ulaw(&speech(rate_hz, 11));
        let packet = rate_hz as usize / 50;
        let arrivals = packets(&sound, packet, rate_hz, |n| {
            let lost = n > 100 && n % 50 == 7;
            (!lost).then_some(scatter(n, 15_000))
        });
        let mut feed = Feed::new(JitterBuffer::new(epoch(), rate_hz as u32), rate_hz);
        feed.run(&arrivals);
        let stats = feed.buffer.stats();
        let lost = 550 - arrivals.len();
        assert_eq!(stats.late_packets, 0, "{rate_hz}: {stats:?}");
        let made_up = stats.concealed as i64 - (lost * packet) as i64;
        assert!(
            (0..2 * packet as i64).contains(&made_up),
            "{rate_hz}: {stats:?}"
        );
        assert!(stats.delay_ms < 45, "{rate_hz}: {stats:?}");
        let times: Vec<u64> = feed.heard.iter().map(|f| f.rtp_timestamp).collect();
        let whole = |pair: &[u64]| pair[1] - pair[0] == Frame::MAX_SAMPLES as u64;
        assert!(times.windows(2).all(whole));
    }
}

/// Speech in Opus, for a peer that reports so much loss.
fn opus_packets(loss: f32) -> Vec<Arrival> {
    let wishes = OpusWishes {
        in_band_fec: true,
        ..OpusWishes::default()
    };
    let mut encoder = Encoder::new(Codec::Opus, 16_000, wishes);
    encoder.heed_loss(loss);
    let mut arrivals = packets(&speech(16_000, 8), 320, 16_000, |_| Some(0));
    for packet in &mut arrivals {
        let sound: Vec<i16> = packet.payload.chunks_exact(2).map(from_be).collect();
        let mut payload = [0; MAX_PAYLOAD_BYTES];
        let bytes = encoder.encode(&sound, &mut payload);
        packet.payload = payload[..bytes].to_vec();
        packet.codec = Codec::Opus;
    }
    arrivals
}

#[test]
fn what_opus_lost_is_carried_on_by_opus_and_recovered_where_it_comes_again() {
    for (loss, again) in [(0.0, false), (0.05, true)] {
        let mut arrivals = opus_packets(loss);
        let mut decoder = Decoder::new(16_000);
        decoder.prepare([Codec::Opus]);
        let mut sounds = Vec::new();
        for packet in &arrivals {
            let mut sound = [0; 320];
            decoder.decode(packet.codec, &packet.payload, &mut sound);
            sounds.push(sound);
        }
        let energy = |sound: &[i16]| sound.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        // A loud packet, of which the one after it says whether it carries it again.
        let carries = |packet: &Arrival| decoder.fec_samples(packet.codec, &packet.payload) > 0;
        let lost = (100..300)
            .filter(|n| carries(&arrivals[n + 1]) == again)
            .max_by_key(|n| energy(&sounds[*n]) as u64)
            .unwrap();
        arrivals.remove(lost);
        let mut feed = Feed::new(JitterBuffer::new(epoch(), 16_000), 16_000);
        feed.buffer.prepare([Codec::Opus]);
        feed.run(&arrivals);
        let gap = &feed.heard[2 * lost..2 * (lost + 1)];
        assert!(gap.iter().all(|frame| frame.concealed != again));
        let gap: Vec<i16> = gap.iter().flat_map(|f| f.samples().to_vec()).collect();
        assert!(energy(&gap) > energy(&sounds[lost]) / 10.0);
        let pairs = gap.iter().zip(&sounds[lost]);
        let product: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let alike = product / (energy(&gap) * energy(&sounds[lost])).sqrt();
        assert!(alike > if again { 0.8 } else { 0.3 }, "{again}: {alike}");
        // No packet waits on a clean path, so the gap is played before the next one is there.
        let stats = feed.buffer.stats();
        let recovered = if again { 320 } else { 0 };
        assert_eq!(
            (stats.concealed, stats.recovered),
            (320, recovered),
            "{stats:?}"
        );
    }
}

#[test]
fn speech_in_opus_is_heard_as_it_was_sent_however_late_it_comes() {
    let mut arrivals = opus_packets(0.0);
    let mut decoder = Decoder::new(16_000);
    decoder.prepare([Codec::Opus]);
    let mut sounds: Vec<[i16; 320]> = Vec::new();
    let loud = |sound: &[i16; 320]| sound.iter().filter(|s| s.abs() > 1_000).count() > 100;
    for packet in &mut arrivals {
        let stalls = packet.sequence % 10 == 7 && sounds.last().is_some_and(loud);
        let mut sound = [0; 320];
        decoder.decode(packet.codec, &packet.payload, &mut sound);
        sounds.push(sound);
        packet.at_us += if stalls { 17_000 } else { 0 };
    }
    let mut feed = Feed::new(JitterBuffer::new(epoch(), 16_000), 16_000);
    feed.buffer.prepare([Codec::Opus]);
    feed.run(&arrivals);
    assert!(feed.made_up >= 320, "{}", feed.made_up);
    assert_eq!(feed.heard.len(), 2 * sounds.len());
    // What follows on made-up sound is blended into it, for 10 ms at most.
    for (n, (frames, sound)) in feed.heard.chunks(2).zip(&sounds).enumerate() {
        assert!(
            frames[1].samples() == &sound[160..],
            "packet {n} sounds otherwise"
        );
    }
}

fn from_be(pair: &[u8]) -> i16 {
    i16::from_be_bytes([pair[0], pair[1]])
}

#[test]
fn a_buffer_is_as_small_as_it_was_said_to_be_and_does_not_grow() {
    for (rate_hz, most_bytes) in [(8_000, 12_800), (16_000, 25_600)] {
        let mut feed = Feed::new(JitterBuffer::new(epoch(), rate_hz as u32), rate_hz);
        let bytes = |feed: &Feed| size_of::<JitterBuffer>() + feed.buffer.heap_bytes();
        let before = bytes(&feed);
        assert!(before <= most_bytes, "{before} bytes");
        let sound = vowel(rate_hz as usize * 20, rate_hz);
        let late_us = |n: u64| (!n.is_multiple_of(7)).then_some(scatter(n, 300_000));
        feed.run(&packets(&sound, rate_hz as usize / 50, rate_hz, late_us));
        assert_eq!(bytes(&feed), before);
    }
}
