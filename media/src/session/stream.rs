//! The RTP stream that we send: numbers, timestamps, marker, packet time.

use std::net::SocketAddr;

use super::forward::Forwarding;
use super::outbox::Outbox;
use crate::codec::{Codec, Encoder, MAX_PAYLOAD_BYTES, OpusWishes};
use crate::rtp::{HEADER_BYTES, RtpHeader};

/// Packets that may still be on their way back to us: a minute of them.
const SENT_LATELY: u16 = 3_000;
const LATELY_S: u32 = 60;
/// The longest packet time, in milliseconds.
const MAX_PTIME_MS: u32 = 60;

/// How sound is packed at the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    pub(super) to: SocketAddr,
    pub(super) payload_type: u8,
    pub(super) ptime_ms: u32,
}

#[derive(Debug)]
pub(super) struct Stream {
    ssrc: u32,
    pub(super) sequence: u16,
    pub(super) clock: Clock,
    encoder: Encoder,
    wishes: OpusWishes,
    /// Sound that does not fill a packet yet, and the position at which it begins.
    pending: Box<[i16]>,
    pending_len: usize,
    pending_position: u64,
    /// Position of the last packet that was sent.
    pub(super) last_position: u64,
    /// The timestamp at which the newest sound that was sent ends.
    pub(super) end: u32,
    pub(super) forwarding: Forwarding,
    /// The next packet starts a talk-spurt (RFC 3551 §4.1).
    pub(super) marker: bool,
    packets: u64,
    octets: u64,
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
}

/// Turns positions in the session's sound into RTP timestamps of the codec's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    rate_hz: u32,
    clock_rate_hz: u32,
    /// A position and its timestamp: where this clock took over.
    position: u64,
    timestamp: u32,
    /// By how much what is sent runs ahead of that, since it follows on what was sent before. The
    /// next pause takes it back, or it would add up over a call.
    lead: u32,
}

impl Clock {
    /// The timestamp of a position in real time.
    pub(super) fn real(&self, position: u64) -> u32 {
        let moved = position.wrapping_sub(self.position) as i64;
        let ticks = moved * i64::from(self.clock_rate_hz) / i64::from(self.rate_hz.max(1));
        self.timestamp.wrapping_add(ticks as u32)
    }

    fn timestamp(&self, position: u64) -> u32 {
        self.real(position).wrapping_add(self.lead)
    }

    /// Counts on from this timestamp at a position, until the next pause.
    pub(super) fn set(&mut self, position: u64, timestamp: u32) {
        self.lead = timestamp.wrapping_sub(self.real(position));
    }

    /// Samples of the session's sound that last so many milliseconds.
    pub(super) fn samples(&self, ms: u32) -> u64 {
        u64::from(self.rate_hz / 1_000) * u64::from(ms)
    }

    /// Milliseconds that so many of them last.
    pub(super) fn ms(&self, samples: u64) -> u64 {
        samples / u64::from(self.rate_hz / 1_000).max(1)
    }

    /// Ticks of the timestamp in so many milliseconds.
    pub(super) fn ticks(&self, ms: u64) -> u64 {
        ms.saturating_mul(u64::from(self.clock_rate_hz / 1_000))
    }

    /// Counts at another rate from the last packet's position on (RFC 7160 §4.1).
    fn change(&mut self, position: u64, clock_rate_hz: u32) {
        self.timestamp = self.timestamp(position);
        self.lead = 0;
        self.position = position;
        self.clock_rate_hz = clock_rate_hz;
    }
}

impl Stream {
    pub(super) fn new(start: Start, rate_hz: u32, codec: Codec, wishes: OpusWishes) -> Self {
        Self {
            ssrc: start.ssrc,
            sequence: start.sequence,
            clock: Clock {
                rate_hz,
                clock_rate_hz: codec.clock_rate_hz(),
                position: 0,
                timestamp: start.timestamp,
                lead: 0,
            },
            encoder: Encoder::new(codec, rate_hz, wishes),
            wishes,
            pending: vec![0; (rate_hz / 1_000 * MAX_PTIME_MS) as usize].into(),
            pending_len: 0,
            pending_position: 0,
            last_position: 0,
            end: start.timestamp,
            forwarding: Forwarding::default(),
            marker: true,
            packets: 0,
            octets: 0,
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Whether a packet is one of ours come back (RFC 3550 §8.2). A peer that drew, or copied, our
    /// synchronisation source has numbers of its own.
    pub(super) fn sent_lately(&self, header: &RtpHeader) -> bool {
        if header.ssrc != self.ssrc {
            return false;
        }
        let back = self.sequence.wrapping_sub(header.sequence);
        let since = self.timestamp(self.last_position);
        let since = since.wrapping_sub(header.timestamp);
        (1..=SENT_LATELY).contains(&back) && since <= LATELY_S * self.clock.clock_rate_hz
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.encoder.heap_bytes() + size_of_val(&*self.pending)
    }

    /// The timestamp of a position in the session's sound.
    pub(super) fn timestamp(&self, position: u64) -> u32 {
        self.clock.timestamp(position)
    }

    /// Marks the next packet of sound as the first of a talk-spurt.
    pub(super) fn mark(&mut self) {
        self.marker = true;
    }

    /// Takes the share of our packets that the peer reports as lost.
    pub(super) fn heed_loss(&mut self, loss: f32) {
        self.encoder.heed_loss(loss);
    }

    /// Goes on in this codec; what is pending was sent or forgotten.
    pub(super) fn encode_as(&mut self, codec: Codec, wishes: OpusWishes) {
        if (codec, wishes) == (self.encoder.codec(), self.wishes) {
            return;
        }
        self.take_over(self.last_position);
        self.encoder = Encoder::new(codec, self.clock.rate_hz, wishes);
        self.wishes = wishes;
        if codec.clock_rate_hz() != self.clock.clock_rate_hz {
            self.clock.change(self.last_position, codec.clock_rate_hz());
        }
    }

    /// Adds one step of sound, and sends each packet that it fills.
    pub(super) fn sound(
        &mut self,
        packing: &Packing,
        position: u64,
        samples: &[i16],
        outbox: &mut Outbox,
    ) {
        let ptime_ms = self.encoder.codec().packet_time_ms(packing.ptime_ms);
        let full = ((self.clock.rate_hz / 1_000 * ptime_ms) as usize).max(1);
        let mut rest = samples;
        if self.pending_len == 0 {
            self.take_over(position);
            self.pending_position = position;
            // What fills packets waits for nothing.
            while let Some((packet, behind)) = rest.split_at_checked(full) {
                self.send(packing, packet, outbox);
                rest = behind;
            }
        }
        let room = self.pending.get_mut(self.pending_len..).unwrap_or_default();
        room.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.pending_len = (self.pending_len + rest.len()).min(self.pending.len());
        while self.pending_len >= full {
            self.send_pending(packing, full, outbox);
        }
    }

    /// Whether some of the sound before a position waits for its packet to be full.
    pub(super) fn holds_back(&self, position: u64) -> bool {
        self.pending_len > 0 && self.pending_position < position
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
        self.take_over(position);
        let header = self.header(payload_type, marker, position, payload.len());
        outbox.push(to, false, |packet| write(header, payload, packet));
    }

    fn send_pending(&mut self, packing: &Packing, len: usize, outbox: &mut Outbox) {
        let mut pending = std::mem::take(&mut self.pending);
        self.send(packing, pending.get(..len).unwrap_or_default(), outbox);
        pending.copy_within(len..self.pending_len, 0);
        self.pending = pending;
        self.pending_len -= len;
    }

    /// Sends the packet of this sound, which begins where what is pending does.
    fn send(&mut self, packing: &Packing, sound: &[i16], outbox: &mut Outbox) {
        let position = self.pending_position;
        self.pending_position += sound.len() as u64;
        outbox.push(packing.to, false, |packet| {
            let (head, body) = packet.split_at_mut(HEADER_BYTES);
            let room = body.len().min(MAX_PAYLOAD_BYTES);
            let room = body.get_mut(..room).unwrap_or_default();
            let bytes = self.encoder.encode(sound, room);
            if bytes == 0 {
                // The encoder left silence out: what follows on it is a talk-spurt.
                self.marker = true;
                return 0;
            }
            let marker = std::mem::take(&mut self.marker);
            let header = self.header(packing.payload_type, marker, position, bytes);
            self.end = self.timestamp(position + sound.len() as u64);
            head.copy_from_slice(&header.to_bytes());
            HEADER_BYTES + bytes
        });
    }

    fn header(&mut self, kind: u8, marker: bool, position: u64, bytes: usize) -> RtpHeader {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.last_position = position;
        let timestamp = self.timestamp(position);
        self.numbered(kind, marker, sequence, timestamp, bytes)
    }

    /// The header of a packet with these numbers, which is counted.
    pub(super) fn numbered(
        &mut self,
        kind: u8,
        marker: bool,
        sequence: u16,
        timestamp: u32,
        bytes: usize,
    ) -> RtpHeader {
        self.packets += 1;
        self.octets += bytes as u64;
        RtpHeader {
            payload_type: kind,
            marker,
            sequence,
            timestamp,
            ssrc: self.ssrc,
        }
    }
}

/// Writes a packet and returns its length.
pub(super) fn write(header: RtpHeader, payload: &[u8], packet: &mut [u8]) -> usize {
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
