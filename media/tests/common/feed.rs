//! Packets into a jitter buffer, in virtual time, and what its two readers get.

use std::time::Duration;

use offhook_media::codec::g711;
use offhook_media::jitter::{Inserted, JitterBuffer, Packet};
use offhook_media::{Codec, Frame, STEP_SAMPLES};

use super::epoch;

/// A packet and when it comes.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at_us: u64,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u64,
    pub(crate) codec: Codec,
    pub(crate) payload: Vec<u8>,
}

/// A buffer, what was played, and what was heard.
pub(crate) struct Feed {
    pub(crate) buffer: JitterBuffer,
    pub(crate) step: usize,
    pub(crate) rate_hz: u64,
    pub(crate) played: Vec<i16>,
    pub(crate) made_up: usize,
    pub(crate) heard: Vec<Frame>,
    pub(crate) inserted: Vec<Inserted>,
    pub(crate) now_us: u64,
    /// Somebody wants what is played.
    pub(crate) is_played: bool,
    /// The listeners come only every so many times.
    pub(crate) hears_every: usize,
    chances: usize,
}

impl Feed {
    /// Plays steps of 20 ms.
    pub(crate) fn new(mut buffer: JitterBuffer, rate_hz: u64) -> Self {
        buffer.prepare([codec(rate_hz)]);
        Self {
            buffer,
            step: rate_hz as usize / 50,
            rate_hz,
            played: Vec::new(),
            made_up: 0,
            heard: Vec::new(),
            inserted: Vec::new(),
            now_us: 0,
            is_played: true,
            hears_every: 1,
            chances: 0,
        }
    }

    /// Feeds what comes and plays for as long as that lasts.
    pub(crate) fn run(&mut self, arrivals: &[Arrival]) {
        let mut arrivals: Vec<&Arrival> = arrivals.iter().collect();
        arrivals.sort_by_key(|packet| packet.at_us);
        for packet in arrivals {
            self.play_until(packet.at_us);
            self.insert(packet);
        }
    }

    pub(crate) fn insert(&mut self, packet: &Arrival) {
        let inserted = self.buffer.insert(Packet {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            received: epoch() + Duration::from_micros(packet.at_us),
            codec: packet.codec,
            payload: &packet.payload,
        });
        self.inserted.push(inserted);
        self.hear();
    }

    /// Takes all steps that are due before a moment.
    pub(crate) fn play_until(&mut self, us: u64) {
        while self.now_us < us {
            let mut out = [0; STEP_SAMPLES];
            let out = &mut out[..self.step];
            let now = epoch() + Duration::from_micros(self.now_us);
            if self.is_played {
                self.made_up += self.buffer.pull(now, out);
                self.played.extend_from_slice(out);
            } else {
                self.buffer.pass(now, out.len());
            }
            self.hear();
            self.now_us += self.step as u64 * 1_000_000 / self.rate_hz;
        }
    }

    fn hear(&mut self) {
        self.chances += 1;
        if !self.chances.is_multiple_of(self.hears_every) {
            return;
        }
        self.heard.extend(std::iter::from_fn(|| self.buffer.hear()));
    }

    /// The sound that packets carried, as the listeners got it.
    pub(crate) fn heard_sound(&self) -> Vec<i16> {
        let real = self.heard.iter().filter(|frame| !frame.concealed);
        real.flat_map(|frame| frame.samples().to_vec()).collect()
    }
}

/// Sound as packets of `samples` each, which leave in time and take 5 ms; `late_us` may delay them.
pub(crate) fn packets(
    sound: &[i16],
    samples: usize,
    rate_hz: u64,
    late_us: impl Fn(u64) -> Option<u64>,
) -> Vec<Arrival> {
    let whole = (0..).zip(sound.chunks_exact(samples));
    let arrivals = whole.filter_map(|(n, part)| {
        let sent_us = (n + 1) * samples as u64 * 1_000_000 / rate_hz;
        Some(Arrival {
            at_us: sent_us + 5_000 + late_us(n)?,
            sequence: 1_000 + n,
            timestamp: 500_000 + n * samples as u64,
            codec: codec(rate_hz),
            payload: match codec(rate_hz) {
                Codec::L16 => part.iter().flat_map(|s| s.to_be_bytes()).collect(),
                _ => ulaw(part),
            },
        })
    });
    arrivals.collect()
}

/// What sound of this rate is carried in.
fn codec(rate_hz: u64) -> Codec {
    if rate_hz == 16_000 {
        Codec::L16
    } else {
        Codec::Pcmu
    }
}

pub(crate) fn ulaw(sound: &[i16]) -> Vec<u8> {
    let mut payload = vec![0; sound.len()];
    g711::encode_ulaw(sound, &mut payload);
    payload
}

/// Sound as it is after µ-law.
pub(crate) fn through_ulaw(sound: &[i16]) -> Vec<i16> {
    let mut decoded = vec![0; sound.len()];
    g711::decode_ulaw(&ulaw(sound), &mut decoded);
    decoded
}

/// Eleven seconds of real speech, at 16 kHz or folded to 8 kHz, over and over for `seconds`.
pub(crate) fn speech(rate_hz: u64, seconds: usize) -> Vec<i16> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/corpora/speech/jfk.wav"
    );
    let bytes = std::fs::read(path).unwrap();
    let chunk = bytes.windows(4).position(|name| name == b"data").unwrap();
    let samples: Vec<i32> = bytes[chunk + 8..]
        .chunks_exact(2)
        .map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])))
        .collect();
    let fold = 16_000 / rate_hz as usize;
    let once = samples
        .chunks_exact(fold)
        .map(|part| (part.iter().sum::<i32>() / fold as i32) as i16);
    let once: Vec<i16> = once.collect();
    let wanted = seconds * rate_hz as usize;
    once.iter().copied().cycle().take(wanted).collect()
}

/// A vowel with a pitch of 125 Hz.
pub(crate) fn vowel(samples: usize, rate_hz: u64) -> Vec<i16> {
    let period = rate_hz as f32 / 125.0;
    let sound = (0..samples).map(|n| {
        let phase = n as f32 / period * std::f32::consts::TAU;
        (6_000.0 * phase.sin() + 2_500.0 * (3.0 * phase).sin()) as i16
    });
    sound.collect()
}

/// Numbers that look random, from 0 to `below`.
pub(crate) fn scatter(n: u64, below: u64) -> u64 {
    (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) % below.max(1)
}
