//! The RTP stream that we send: numbers, timestamps, marker, packet time.

use std::net::SocketAddr;

use super::outbox::Outbox;
use crate::codec::{Codec, Encoder};
use crate::rtp::{HEADER_BYTES, RtpHeader};

/// 60 ms of packet time, and one step on top.
const MAX_PENDING_BYTES: usize = 640;

/// How sound is packed at the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    pub(super) to: SocketAddr,
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    pub(super) ptime_ms: u32,
}

#[derive(Debug)]
pub(super) struct Stream {
    ssrc: u32,
    sequence: u16,
    first_timestamp: u32,
    encoder: Encoder,
    /// Encoded sound that does not fill a packet yet, and its position in RTP time.
    pending: [u8; MAX_PENDING_BYTES],
    pending_len: usize,
    pending_position: u64,
    /// The next packet starts a talk-spurt (RFC 3551 §4.1).
    marker: bool,
    packets: u64,
    octets: u64,
}

impl Stream {
    pub(super) fn new(ssrc: u32, first_sequence: u16, first_timestamp: u32) -> Self {
        Self {
            ssrc,
            sequence: first_sequence,
            first_timestamp,
            encoder: Encoder,
            pending: [0; MAX_PENDING_BYTES],
            pending_len: 0,
            pending_position: 0,
            marker: true,
            packets: 0,
            octets: 0,
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// The timestamp of a position in RTP time.
    pub(super) fn timestamp(&self, position: u64) -> u32 {
        self.first_timestamp.wrapping_add(position as u32)
    }

    /// Marks the next packet of sound as the first of a talk-spurt.
    pub(super) fn mark(&mut self) {
        self.marker = true;
    }

    /// Adds one step of sound, and sends each packet that it fills.
    pub(super) fn sound(
        &mut self,
        packing: &Packing,
        position: u64,
        samples: &[i16],
        outbox: &mut Outbox,
    ) {
        if self.pending_len == 0 {
            self.pending_position = position;
        }
        let room = self.pending.get_mut(self.pending_len..).unwrap_or_default();
        self.pending_len += self.encoder.encode(packing.codec, samples, room);
        let rate_khz = packing.codec.clock_rate_hz() / 1_000;
        let full = packing
            .codec
            .payload_bytes((rate_khz * packing.ptime_ms) as usize);
        while full > 0 && self.pending_len >= full {
            self.send_pending(packing, full, outbox);
        }
    }

    /// Sends what does not fill a packet: nothing follows on it.
    pub(super) fn flush(&mut self, packing: &Packing, outbox: &mut Outbox) {
        if self.pending_len > 0 {
            self.send_pending(packing, self.pending_len, outbox);
        }
    }

    /// Forgets what does not fill a packet: nobody is to hear it.
    pub(super) fn discard(&mut self) {
        self.pending_len = 0;
    }

    /// Sends a packet whose payload stands apart from the sound, such as a telephone-event.
    pub(super) fn event(
        &mut self,
        to: SocketAddr,
        payload_type: u8,
        marker: bool,
        position: u64,
        payload: &[u8],
        outbox: &mut Outbox,
    ) {
        let header = self.header(payload_type, marker, position, payload.len());
        outbox.push(to, false, |packet| write(header, payload, packet));
    }

    fn send_pending(&mut self, packing: &Packing, len: usize, outbox: &mut Outbox) {
        let marker = std::mem::take(&mut self.marker);
        let header = self.header(packing.payload_type, marker, self.pending_position, len);
        let payload = self.pending.get(..len).unwrap_or_default();
        outbox.push(packing.to, false, |packet| write(header, payload, packet));
        self.pending.copy_within(len..self.pending_len, 0);
        self.pending_len -= len;
        self.pending_position += packing.codec.payload_samples(len) as u64;
    }

    fn header(&mut self, kind: u8, marker: bool, position: u64, bytes: usize) -> RtpHeader {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.packets += 1;
        self.octets += bytes as u64;
        let timestamp = self.timestamp(position);
        RtpHeader {
            payload_type: kind,
            marker,
            sequence,
            timestamp,
            ssrc: self.ssrc,
        }
    }
}

fn write(header: RtpHeader, payload: &[u8], packet: &mut [u8]) -> usize {
    let (Some(head), Some(body)) = (
        packet.get(..HEADER_BYTES).map(<[u8]>::len),
        packet
            .get(HEADER_BYTES..HEADER_BYTES + payload.len())
            .map(<[u8]>::len),
    ) else {
        return 0;
    };
    let (to_head, to_body) = packet.split_at_mut(head);
    to_head.copy_from_slice(&header.to_bytes());
    to_body
        .iter_mut()
        .zip(payload)
        .for_each(|(to, from)| *to = *from);
    head + body
}
