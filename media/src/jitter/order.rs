//! Numbers: which packet is next, which waits, which comes too late.

use super::reorder::{Held, Packet};
use super::{Inserted, JitterBuffer, REMEMBERED};

impl JitterBuffer {
    /// Puts a packet where its number says that it belongs.
    pub(super) fn take_in(&mut self, packet: Packet<'_>) -> Inserted {
        let next = match self.next_sequence {
            Some(next) => next,
            None => self.begin(&packet),
        };
        if packet.sequence < next {
            return self.insert_late(&packet, next);
        }
        if self.reorder.contains(packet.sequence) {
            return Inserted::Duplicate;
        }
        self.learn(&packet);
        match self.place_in_order(packet, next) {
            Held::Kept if packet.sequence == next => Inserted::InOrder,
            Held::Kept => Inserted::Waiting,
            Held::TooLong => Inserted::Dropped,
            Held::Full => self.make_room_for(packet),
        }
    }

    /// A source's first packet sets where its numbers and its time begin.
    fn begin(&mut self, packet: &Packet<'_>) -> u64 {
        self.next_sequence = Some(packet.sequence);
        self.given_up = u64::MAX;
        if self.next_timestamp == 0 {
            self.next_timestamp = packet.timestamp;
        }
        self.offset = self.next_timestamp.wrapping_sub(packet.timestamp);
        packet.sequence
    }

    /// A packet whose turn is over was given up, or is a copy of one that was there.
    fn insert_late(&mut self, packet: &Packet<'_>, next: u64) -> Inserted {
        let age = next - packet.sequence - 1;
        let place = 1u64.checked_shl(age.min(REMEMBERED) as u32).unwrap_or(0);
        if age < REMEMBERED && self.given_up & place == 0 {
            return Inserted::Duplicate;
        }
        self.given_up &= !place;
        self.counts.late_packets += 1;
        self.learn(packet);
        Inserted::Late
    }

    /// Gives up gaps, the oldest first, until the packet fits or its own place is given up.
    fn make_room_for(&mut self, packet: Packet<'_>) -> Inserted {
        while !self.reorder.is_empty() {
            self.give_up(packet.received);
            let next = self.next_sequence.unwrap_or(packet.sequence);
            if packet.sequence < next {
                self.counts.late_packets += 1;
                return Inserted::Late;
            }
            match self.place_in_order(packet, next) {
                Held::Kept if packet.sequence == next => return Inserted::InOrder,
                Held::Kept => return Inserted::Waiting,
                Held::Full | Held::TooLong => {}
            }
        }
        Inserted::Dropped
    }

    fn place_in_order(&mut self, packet: Packet<'_>, next: u64) -> Held {
        if packet.sequence != next {
            return self.reorder.hold(&packet);
        }
        self.append(packet);
        self.release();
        Held::Kept
    }

    /// The delay estimate learns from each packet that carries sound, late ones above all.
    fn learn(&mut self, packet: &Packet<'_>) {
        if !packet.payload.is_empty() {
            self.delay.observe(packet.received, packet.timestamp);
        }
    }
}
