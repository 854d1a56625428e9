//! Packets that wait to be sent, in memory that is there from the start.

use std::net::SocketAddr;

use super::event::Transmit;
use crate::codec::MAX_PAYLOAD_BYTES;
use crate::rtp::{self, HEADER_BYTES, Kind};
use crate::srtp::Outbound;

/// A step makes two packets of sound at most, what was left of the packet time before, a report.
const SLOTS: usize = 4;
/// RTP header, the longest payload, and room for an SRTP tag (RFC 3711 §3.1).
const MAX_PACKET_BYTES: usize = HEADER_BYTES + MAX_PAYLOAD_BYTES + 20;

#[derive(Debug)]
struct Slot {
    to: SocketAddr,
    rtcp: bool,
    len: usize,
    bytes: [u8; MAX_PACKET_BYTES],
}

/// A queue of packets. What is not taken in time gives way to what is newer.
#[derive(Debug)]
pub(super) struct Outbox {
    slots: Box<[Slot]>,
    first: usize,
    len: usize,
    overrun: u64,
    /// Protects all that goes out, in an SRTP session.
    protection: Option<Box<Outbound>>,
}

impl Outbox {
    pub(super) fn new(to: SocketAddr) -> Self {
        let slot = |_| Slot {
            to,
            rtcp: false,
            len: 0,
            bytes: [0; MAX_PACKET_BYTES],
        };
        Self {
            slots: (0..SLOTS).map(slot).collect(),
            first: 0,
            len: 0,
            overrun: 0,
            protection: None,
        }
    }

    /// Protects what is queued from now on, or no longer does.
    pub(super) fn protect(&mut self, protection: Option<Outbound>) {
        self.protection = protection.map(Box::new);
    }

    /// Queues the packet that `write` makes; it returns its length, 0 when there is none.
    pub(super) fn push(
        &mut self,
        to: SocketAddr,
        rtcp: bool,
        write: impl FnOnce(&mut [u8; MAX_PACKET_BYTES]) -> usize,
    ) {
        if self.len == SLOTS {
            self.first = (self.first + 1) % SLOTS;
            self.len -= 1;
            self.overrun += 1;
        }
        let Some(slot) = self.slots.get_mut((self.first + self.len) % SLOTS) else {
            return;
        };
        slot.to = to;
        slot.rtcp = rtcp;
        slot.len = write(&mut slot.bytes).min(MAX_PACKET_BYTES);
        if slot.len == 0 {
            return;
        }
        if let Some(protection) = &mut self.protection {
            let protected = match rtp::classify(slot.bytes.get(..slot.len).unwrap_or_default()) {
                Kind::Rtcp => protection.protect_rtcp(&mut slot.bytes, slot.len),
                _ => protection.protect_rtp(&mut slot.bytes, slot.len),
            };
            // What cannot be protected is never sent.
            let Ok(len) = protected else {
                self.overrun += 1;
                return;
            };
            slot.len = len;
        }
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<Transmit<'_>> {
        if self.len == 0 {
            return None;
        }
        let slot = self.slots.get(self.first)?;
        self.first = (self.first + 1) % SLOTS;
        self.len -= 1;
        let bytes = slot.bytes.get(..slot.len)?;
        Some(Transmit {
            to: slot.to,
            rtcp: slot.rtcp,
            bytes,
        })
    }

    pub(super) fn overrun(&self) -> u64 {
        self.overrun
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.slots)
            + self
                .protection
                .as_ref()
                .map_or(0, |_| size_of::<Outbound>())
    }
}
