//! Packets that came before one that is still missing.

use std::time::Instant;

use crate::codec::Codec;

/// Packets that may wait: 240 ms of 20 ms packets.
pub(crate) const SLOTS: usize = 12;
/// The longest payload that may wait: 60 ms of G.711.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 480;

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
    Duplicate,
    Full,
    TooLong,
}

#[derive(Debug)]
struct Slot {
    sequence: u64,
    timestamp: u64,
    received: Instant,
    codec: Codec,
    len: u16,
    payload: [u8; MAX_PAYLOAD_BYTES],
}

impl Slot {
    fn packet(&self) -> Packet<'_> {
        let len = usize::from(self.len);
        Packet {
            sequence: self.sequence,
            timestamp: self.timestamp,
            received: self.received,
            codec: self.codec,
            payload: self.payload.get(..len).unwrap_or_default(),
        }
    }
}

/// Keeps packets until those before them came or were given up.
#[derive(Debug, Default)]
pub(crate) struct Reorder {
    slots: Box<[Option<Slot>]>,
    held: usize,
}

impl Reorder {
    pub(crate) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| None).collect(),
            held: 0,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    pub(crate) fn hold(&mut self, packet: &Packet<'_>) -> Held {
        if self
            .slots
            .iter()
            .flatten()
            .any(|slot| slot.sequence == packet.sequence)
        {
            return Held::Duplicate;
        }
        let mut payload = [0; MAX_PAYLOAD_BYTES];
        let Some(room) = payload.get_mut(..packet.payload.len()) else {
            return Held::TooLong;
        };
        room.copy_from_slice(packet.payload);
        let Some(free) = self.slots.iter_mut().find(|slot| slot.is_none()) else {
            return Held::Full;
        };
        *free = Some(Slot {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            received: packet.received,
            codec: packet.codec,
            len: packet.payload.len() as u16,
            payload,
        });
        self.held += 1;
        Held::Kept
    }

    /// Sequence number and timestamp of the packet that comes first in order.
    pub(crate) fn first(&self) -> Option<(u64, u64)> {
        let held = self.slots.iter().flatten();
        held.map(|slot| (slot.sequence, slot.timestamp)).min()
    }

    /// The packet that comes first in order.
    pub(crate) fn next(&self) -> Option<Packet<'_>> {
        let held = self.slots.iter().flatten();
        held.min_by_key(|slot| slot.sequence).map(Slot::packet)
    }

    /// Hands the packet of this number to `use_it` and forgets it.
    pub(crate) fn release(&mut self, sequence: u64, use_it: impl FnOnce(Packet<'_>)) -> bool {
        let is_it =
            |slot: &&mut Option<Slot>| slot.as_ref().is_some_and(|slot| slot.sequence == sequence);
        let Some(slot) = self.slots.iter_mut().find(is_it) else {
            return false;
        };
        if let Some(slot) = slot.as_ref() {
            use_it(slot.packet());
        }
        *slot = None;
        self.held -= 1;
        true
    }

    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = None);
        self.held = 0;
    }
}
