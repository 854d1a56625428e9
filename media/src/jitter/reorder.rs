//! Packets that came before one that is still missing.

use std::time::Instant;

use crate::codec::Codec;

/// Packets that may wait: 240 ms of 10 ms packets.
pub(crate) const SLOTS: usize = 24;
/// Bytes of payload that may wait, all packets together: 256 ms of G.711 or G.722.
pub(crate) const BYTES: usize = 2_048;

/// A packet on its way through the buffer.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Extended sequence number.
    pub sequence: u64,
    /// Extended timestamp of the first sample, in samples of the buffer's rate.
    pub timestamp: u64,
    /// When it arrived.
    pub received: Instant,
    /// What the payload is encoded in.
    pub codec: Codec,
    /// The payload; empty for a packet that carries no sound, such as a telephone-event.
    pub payload: &'a [u8],
}

/// Whether a packet could be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Kept,
    Full,
    TooLong,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    sequence: u64,
    timestamp: u64,
    received: Instant,
    codec: Codec,
    start: u16,
    len: u16,
}

/// Keeps packets until those before them came or were given up.
///
/// The payloads lie one after the other in one store, so that many short packets and a few long
/// ones need no more room than what they carry.
#[derive(Debug, Default)]
pub(crate) struct Reorder {
    slots: Vec<Slot>,
    bytes: Box<[u8]>,
    used: usize,
}

impl Reorder {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::with_capacity(SLOTS),
            bytes: vec![0; BYTES].into_boxed_slice(),
            used: 0,
        }
    }

    /// Makes room for so many bytes of payload, all packets together; what waits stays.
    pub(crate) fn make_room(&mut self, bytes: usize) {
        if bytes > self.bytes.len() {
            let mut larger = std::mem::take(&mut self.bytes).into_vec();
            larger.resize(bytes.min(usize::from(u16::MAX)), 0);
            self.bytes = larger.into_boxed_slice();
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a packet of this number waits.
    #[inline]
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.slots.iter().any(|slot| slot.sequence == sequence)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.bytes.len()
    }

    /// Keeps a packet that does not wait here yet.
    pub(crate) fn hold(&mut self, packet: &Packet<'_>) -> Held {
        let len = packet.payload.len();
        if len > self.bytes.len() {
            return Held::TooLong;
        }
        let Some(room) = self.bytes.get_mut(self.used..self.used + len) else {
            return Held::Full;
        };
        if self.slots.len() >= SLOTS {
            return Held::Full;
        }
        room.copy_from_slice(packet.payload);
        self.slots.push(Slot {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            received: packet.received,
            codec: packet.codec,
            start: self.used as u16,
            len: len as u16,
        });
        self.used += len;
        Held::Kept
    }

    /// The packet that comes first in order.
    pub(crate) fn first(&self) -> Option<Packet<'_>> {
        let first = self.slots.iter().min_by_key(|slot| slot.sequence)?;
        Some(self.packet(first))
    }

    /// Hands the packet of this number to `use_it` and forgets it.
    pub(crate) fn release(&mut self, sequence: u64, use_it: impl FnOnce(Packet<'_>)) -> bool {
        let Some(at) = self.slots.iter().position(|slot| slot.sequence == sequence) else {
            return false;
        };
        let slot = self.slots.swap_remove(at);
        use_it(self.packet(&slot));
        let (start, len) = (usize::from(slot.start), usize::from(slot.len));
        self.bytes.copy_within(start + len..self.used, start);
        self.used -= len;
        let behind = self
            .slots
            .iter_mut()
            .filter(|other| other.start > slot.start);
        behind.for_each(|other| other.start -= slot.len);
        true
    }

    fn packet(&self, slot: &Slot) -> Packet<'_> {
        let (start, len) = (usize::from(slot.start), usize::from(slot.len));
        Packet {
            sequence: slot.sequence,
            timestamp: slot.timestamp,
            received: slot.received,
            codec: slot.codec,
            payload: self.bytes.get(start..start + len).unwrap_or_default(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn packet(sequence: u64, payload: &[u8]) -> Packet<'_> {
        Packet {
            sequence,
            timestamp: sequence * 160,
            received: epoch(),
            codec: Codec::Pcmu,
            payload,
        }
    }

    #[test]
    fn payloads_of_all_lengths_come_out_as_they_went_in() {
        let mut store = Reorder::new();
        let payload = |n: u64| vec![n as u8; (n as usize * 97) % 300];
        for round in 0..50 {
            let numbers = [5, 2, 9, 7, 3].map(|n| n + round * 10);
            for n in numbers {
                assert_eq!(store.hold(&packet(n, &payload(n))), Held::Kept);
                assert!(store.contains(n) && !store.contains(n + 1_000));
            }
            while let Some(first) = store.first().map(|packet| packet.sequence) {
                let is_it = |held: Packet<'_>| assert_eq!(held.payload, payload(first));
                assert!(store.release(first, is_it));
            }
            assert!(store.is_empty());
        }
    }

    #[test]
    fn what_does_not_fit_is_told_apart_from_what_never_will() {
        let mut store = Reorder::new();
        assert_eq!(store.hold(&packet(1, &[0; BYTES + 1])), Held::TooLong);
        assert_eq!(store.hold(&packet(2, &[0; BYTES])), Held::Kept);
        assert_eq!(store.hold(&packet(3, &[0])), Held::Full);
        assert_eq!(store.hold(&packet(3, &[])), Held::Kept);
        let before = store.heap_bytes();
        for n in 4..100 {
            store.hold(&packet(n, &[]));
        }
        assert_eq!(store.heap_bytes(), before);
    }
}
