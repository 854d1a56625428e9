//! The buffer that is measured: the media engine's own.

use std::time::{Duration, Instant};

use offhook_media::Codec;
use offhook_media::jitter::{JitterBuffer, Packet};

use super::score::{Subject, Tally};
use super::trace::Passage;

/// Offhook's jitter buffer, whose listeners take each frame at once.
pub(super) struct Ours {
    start: Instant,
    buffer: JitterBuffer,
    /// Position after the newest sample in order.
    end: u64,
    heard: u64,
    heard_after_us: u64,
}

impl Ours {
    pub(super) fn new(start: Instant, bounds_ms: (u32, u32)) -> Self {
        let buffer = JitterBuffer::new(start, 8_000);
        Self {
            start,
            buffer: buffer.with_delay_between(bounds_ms.0, bounds_ms.1),
            end: 0,
            heard: 0,
            heard_after_us: 0,
        }
    }

    fn at(&self, now_us: u64) -> Instant {
        self.start + Duration::from_micros(now_us)
    }

    fn hear(&mut self, now: Instant) {
        while let Some(frame) = self.buffer.hear() {
            if !frame.concealed {
                self.end = frame.rtp_timestamp + frame.samples().len() as u64;
                self.heard += 1;
                let after = now.saturating_duration_since(frame.received);
                self.heard_after_us += after.as_micros() as u64;
            }
        }
    }
}

impl Subject for Ours {
    fn insert(&mut self, now_us: u64, packet: &Passage, payload: &[u8]) {
        let received = self.at(now_us);
        self.buffer.insert(Packet {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            received,
            codec: Codec::Pcmu,
            payload,
        });
        self.hear(received);
    }

    fn next(&self) -> Option<u64> {
        let waiting = self.buffer.waiting_samples() as u64;
        self.end.checked_sub(waiting).filter(|_| waiting > 0)
    }

    fn pull(&mut self, now_us: u64, out: &mut [i16]) {
        let now = self.at(now_us);
        self.buffer.pull(now, out);
        self.hear(now);
    }

    fn tally(&self) -> Tally {
        let stats = self.buffer.stats();
        Tally {
            made_up: stats.concealed + stats.held,
            accelerated: stats.accelerated + stats.discarded,
            expanded: stats.expanded,
            late: stats.late_packets,
            heard: self.heard,
            heard_after_us: self.heard_after_us,
        }
    }
}
