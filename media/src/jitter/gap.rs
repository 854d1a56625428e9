//! What is missing between two packets: recovered from the later one, or made up.

use std::time::Instant;

use super::{JitterBuffer, MAX_FILL_MS, Packet, Standstill};
use crate::codec::MAX_PACKET_SAMPLES;
use crate::frame::Frame;

impl JitterBuffer {
    /// Waits no longer for what is missing before the first packet that is there.
    pub(super) fn give_up(&mut self, now: Instant) {
        if let Some(first) = self.reorder.first() {
            let (sequence, timestamp) = (first.sequence, first.timestamp);
            self.skip_to(now, sequence, timestamp);
            self.release();
        }
    }

    /// Waits for nothing that is missing before this packet, which is too long to wait itself.
    pub(super) fn overtake(&mut self, packet: Packet<'_>) {
        while let Some(first) = self.reorder.first()
            && first.sequence < packet.sequence
        {
            self.give_up(packet.received);
        }
        self.skip_to(packet.received, packet.sequence, packet.timestamp);
        self.append(packet);
        self.release();
    }

    /// Conceals what is missing before the packet that is to be the next.
    fn skip_to(&mut self, now: Instant, sequence: u64, timestamp: u64) {
        let next = self.next_sequence.unwrap_or(sequence);
        let packets = sequence.saturating_sub(next).min(64) as usize;
        let placed = timestamp.wrapping_add(self.offset);
        let missing = (placed.wrapping_sub(self.next_timestamp) as i64).max(0) as usize;
        let missing = missing
            .min(packets * self.packet_samples)
            .min(self.samples(MAX_FILL_MS));
        self.next_sequence = Some(sequence);
        self.fill(now, missing);
    }

    /// Conceals a gap of `missing` samples, of which a standstill may have made up some.
    fn fill(&mut self, now: Instant, missing: usize) {
        if missing == 0 {
            return;
        }
        let start = self.next_timestamp;
        let made = self.still.samples.min(missing);
        if made > self.still.heard {
            let (from, heard) = (self.still.start, self.still.heard);
            self.offer_concealed(now, from + heard as u64, made - heard, start + heard as u64);
        }
        let mut done = made;
        let concealed = missing - self.recoverable(missing - made);
        while done < concealed {
            let len = (concealed - done).min(self.step_samples());
            let position = self.make_up(len);
            self.offer_concealed(now, position, len, start + done as u64);
            done += len;
        }
        self.recover(now, missing - done, start + done as u64);
        self.next_timestamp = start + missing as u64;
        self.still = Standstill::default();
    }

    /// Samples at a gap's end that the packet after it carries again, when the gap has room.
    fn recoverable(&self, room: usize) -> usize {
        let samples = self
            .after_gap()
            .map_or(0, |next| self.decoder.fec_samples(next.codec, next.payload));
        if samples <= room { samples } else { 0 }
    }

    /// The packet that a gap ends with, when it waits here.
    fn after_gap(&self) -> Option<Packet<'_>> {
        let first = self.reorder.first();
        first.filter(|packet| Some(packet.sequence) == self.next_sequence)
    }

    /// Takes so much lost sound from the packet that comes after it.
    fn recover(&mut self, now: Instant, samples: usize, timestamp: u64) {
        let first = self.reorder.first();
        let Some(next) = first.filter(|_| samples > 0) else {
            return;
        };
        let mut sound = [0; MAX_PACKET_SAMPLES];
        let sound = sound.get_mut(..samples).unwrap_or_default();
        self.decoder.decode_fec(next.codec, next.payload, sound);
        self.recovered += sound.len() as u64;
        let mut at = timestamp;
        for piece in sound.chunks(self.step_samples().min(Frame::MAX_SAMPLES)) {
            let start = self.timeline.push(piece);
            self.timeline.offer(start, piece.len(), at, now, false);
            at += piece.len() as u64;
        }
    }
}
