//! The `neteq` crate as a subject, with its own settings, on a clock that the bench sets.
//!
//! The crate plays what comes next whatever is missing before it: a lost packet is skipped without
//! being concealed, and one that comes after its successors is played after them. The time that the
//! lost ones took is made up for by expanding later; what is played out of order is counted as made
//! up here, since it is not the sound that belongs there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::neteq::codec::AudioDecoder;
use ::neteq::{AudioPacket, NetEq, NetEqConfig, RtpHeader};

use crate::score::{Subject, Tally};
use crate::trace::{PER_MS, Passage};

/// A packet's number and timestamp.
type Stamp = (u64, u64);

/// Tells which packet the crate decodes: the payload carries its stamp before the sound.
struct Telltale(Arc<Mutex<Vec<Stamp>>>);

impl AudioDecoder for Telltale {
    fn sample_rate(&self) -> u32 {
        8_000
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, encoded: &[u8]) -> ::neteq::Result<Vec<f32>> {
        let (sequence, rest) = encoded.split_at(8);
        let (timestamp, sound) = rest.split_at(8);
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap_or_default());
        if let Ok(mut decoded) = self.0.lock() {
            decoded.push((number(sequence), number(timestamp)));
        }
        let linear = sound
            .iter()
            .map(|code| f32::from(offhook_media::codec::g711::ulaw_to_linear(*code)) / 32_768.0);
        Ok(linear.collect())
    }
}

pub(crate) struct Peer {
    buffer: NetEq,
    decoded: Arc<Mutex<Vec<Stamp>>>,
    /// What waits undecoded, by timestamp.
    waiting: BTreeMap<u64, ()>,
    packet: u64,
    /// Position after the newest decoded sample.
    end: u64,
    made_up: u64,
    /// Number of the newest packet that was decoded.
    newest: Option<u64>,
    /// Packets played after those that follow them, and packets jumped over.
    misplaced: u64,
    skipped: u64,
}

impl Peer {
    /// Makes a buffer with the crate's own settings.
    ///
    /// # Panics
    /// When the crate refuses its own settings.
    pub(crate) fn new(ptime_ms: u64) -> Self {
        let config = NetEqConfig {
            sample_rate: 8_000,
            ..NetEqConfig::default()
        };
        let mut buffer = NetEq::new(config).expect("the crate's own settings");
        let decoded = Arc::new(Mutex::new(Vec::new()));
        buffer.register_decoder(0, Box::new(Telltale(Arc::clone(&decoded))));
        Self {
            buffer,
            decoded,
            waiting: BTreeMap::new(),
            packet: ptime_ms * PER_MS,
            end: 0,
            made_up: 0,
            newest: None,
            misplaced: 0,
            skipped: 0,
        }
    }

    fn decoded_but_not_played(&self) -> u64 {
        let all = self.buffer.current_buffer_size_samples() as u64;
        let packets = self.buffer.get_statistics().packets_awaiting_decode as u64;
        all.saturating_sub(packets * self.packet)
    }
}

impl Subject for Peer {
    fn insert(&mut self, now_us: u64, packet: &Passage, payload: &[u8]) {
        web_time::set(Duration::from_micros(now_us));
        let header = RtpHeader::new(packet.sequence as u16, packet.timestamp as u32, 1, 0, false);
        let mut stamped = packet.sequence.to_be_bytes().to_vec();
        stamped.extend(packet.timestamp.to_be_bytes());
        stamped.extend_from_slice(payload);
        let duration_ms = (self.packet / PER_MS) as u32;
        let taken = AudioPacket::new(header, stamped, 8_000, 1, duration_ms);
        if self.buffer.insert_packet(taken).is_ok() {
            self.waiting.insert(packet.timestamp, ());
        }
        let kept = self.buffer.get_statistics().packets_awaiting_decode;
        while self.waiting.len() > kept {
            self.waiting.pop_first();
        }
    }

    fn next(&self) -> Option<u64> {
        match self.decoded_but_not_played() {
            0 => self.waiting.keys().next().copied(),
            left => self.end.checked_sub(left),
        }
    }

    fn pull(&mut self, now_us: u64, out: &mut [i16]) {
        // The crate plays steps of 10 ms.
        for (n, part) in (0..).zip(out.chunks_mut(80)) {
            web_time::set(Duration::from_micros(now_us + n * 10_000));
            let before = self.buffer.get_statistics().lifetime.concealed_samples;
            let Ok(frame) = self.buffer.get_audio() else {
                continue;
            };
            let after = self.buffer.get_statistics().lifetime.concealed_samples;
            self.made_up += after - before;
            for (to, from) in part.iter_mut().zip(&frame.samples) {
                *to = (from * 32_768.0) as i16;
            }
            if let Ok(mut decoded) = self.decoded.lock() {
                for (sequence, timestamp) in decoded.drain(..) {
                    match self.newest {
                        // What comes after its successors is played all the same.
                        Some(newest) if sequence < newest => self.misplaced += 1,
                        Some(newest) => self.skipped += sequence - newest - 1,
                        None => {}
                    }
                    self.newest = self.newest.max(Some(sequence));
                    self.waiting.remove(&timestamp);
                    self.end = self.end.max(timestamp + self.packet);
                }
            }
        }
    }

    fn tally(&self) -> Tally {
        let lifetime = self.buffer.get_statistics().lifetime;
        Tally {
            made_up: self.made_up + self.misplaced * self.packet,
            accelerated: lifetime.removed_samples_for_acceleration + self.skipped * self.packet,
            expanded: lifetime.inserted_samples_for_deceleration,
            late: self.misplaced,
            ..Tally::default()
        }
    }
}
