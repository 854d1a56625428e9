//! Packets that came before one that is still missing.

use std::time::Instant;

use crate::codec::Codec;

/// Packets that may wait: 240 ms of 20 ms packets.
pub(crate) const SLOTS: usize = 12;
/// The longest payload that may wait in any session: 60 ms of G.711 or G.722.
const PAYLOAD_BYTES: usize = 480;

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

#[derive(Clone, Copy, Debug)]
struct Slot {
    sequence: u64,
    timestamp: u64,
    received: Instant,
    codec: Codec,
    len: usize,
}

/// Keeps packets until those before them came or were given up.
#[derive(Debug, Default)]
pub(crate) struct Reorder {
    slots: [Option<Slot>; SLOTS],
    /// The slots' payloads, side by side.
    payloads: Box<[u8]>,
    /// How long each may be.
    payload_bytes: usize,
    held: usize,
}

impl Reorder {
    pub(crate) fn new() -> Self {
        let mut reorder = Self::default();
        reorder.make_room(PAYLOAD_BYTES);
        reorder
    }

    /// Makes room for payloads of so many bytes; what waits stays.
    pub(crate) fn make_room(&mut self, payload_bytes: usize) {
        if payload_bytes <= self.payload_bytes {
            return;
        }
        let mut payloads = vec![0; SLOTS * payload_bytes];
        let before = self.payloads.chunks_exact(self.payload_bytes.max(1));
        for (to, from) in payloads.chunks_exact_mut(payload_bytes).zip(before) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        self.payloads = payloads.into();
        self.payload_bytes = payload_bytes;
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.payloads.len()
    }

    pub(crate) fn hold(&mut self, packet: &Packet<'_>) -> Held {
        let mut held = self.slots.iter().flatten();
        if held.any(|slot| slot.sequence == packet.sequence) {
            return Held::Duplicate;
        }
        if packet.payload.len() > self.payload_bytes {
            return Held::TooLong;
        }
        let mut slots = self.slots.iter_mut().enumerate();
        let Some((index, free)) = slots.find(|(_, slot)| slot.is_none()) else {
            return Held::Full;
        };
        let room = self.payloads.get_mut(index * self.payload_bytes..);
        let room = room.and_then(|room| room.get_mut(..packet.payload.len()));
        let Some(room) = room else {
            return Held::TooLong;
        };
        room.copy_from_slice(packet.payload);
        *free = Some(Slot {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            received: packet.received,
            codec: packet.codec,
            len: packet.payload.len(),
        });
        self.held += 1;
        Held::Kept
    }

    /// The packet that comes first in order.
    pub(crate) fn first(&self) -> Option<Packet<'_>> {
        let slots = self.slots.iter().enumerate();
        let held = slots.filter_map(|(index, slot)| Some((index, slot.as_ref()?)));
        let (index, slot) = held.min_by_key(|(_, slot)| slot.sequence)?;
        Some(self.packet(index, slot))
    }

    /// Hands the packet of this number to `use_it` and forgets it.
    pub(crate) fn release(&mut self, sequence: u64, use_it: impl FnOnce(Packet<'_>)) -> bool {
        let is_it = |slot: &Option<Slot>| slot.is_some_and(|slot| slot.sequence == sequence);
        let Some(index) = self.slots.iter().position(is_it) else {
            return false;
        };
        if let Some(slot) = self.slots.get(index).and_then(Option::as_ref) {
            use_it(self.packet(index, slot));
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = None;
        }
        self.held -= 1;
        true
    }

    fn packet(&self, index: usize, slot: &Slot) -> Packet<'_> {
        let payload = self.payloads.get(index * self.payload_bytes..);
        let payload = payload.and_then(|payload| payload.get(..slot.len));
        Packet {
            sequence: slot.sequence,
            timestamp: slot.timestamp,
            received: slot.received,
            codec: slot.codec,
            payload: payload.unwrap_or_default(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots = [None; SLOTS];
        self.held = 0;
    }
}
