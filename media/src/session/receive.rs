//! From a datagram to sound that is heard.
//!
//! The order is the security of it: source rule, then (with SRTP) authentication and replay
//! protection, then the checks of RTP, and only then may a source be learned.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::relay::Relayed;
use super::{MediaSession, Notice};
use crate::codec::comfort_noise::{self, ComfortNoise};
use crate::codec::{self, Codec};
use crate::dtmf::{Digit, Press, Way};
use crate::frame::Frame;
use crate::jitter::{Inserted, Packet};
use crate::reception::{Arrival, Reception, micros};
use crate::rtp::{self, Kind, RtpError, RtpPacket};
use crate::source::Verdict;

/// The longest payload that is taken: 200 ms of G.711, more than a datagram of Ethernet holds.
const MAX_PAYLOAD_BYTES: usize = 1_600;
/// Datagrams that are longer carry nothing that would be taken, and are refused before anything of
/// them is proven or copied: the payload, with room for the header, its sources or its extension
/// (RFC 3550 §5.1, §5.3.1), and SRTP's key identifier and tag (RFC 3711 §3.1).
pub const MAX_DATAGRAM_BYTES: usize = MAX_PAYLOAD_BYTES + 128;
/// The peer's reports must have stayed away for so long before they may come from another port:
/// two intervals at their longest.
const REPORTS_MOVE_AFTER: Duration = Duration::from_secs(15);
/// Refused sources are reported so often at most.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(1);

/// What is known of the peer's stream.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) reception: Option<Reception>,
    timescale: Timescale,
    /// The codec of the newest sound.
    pub(super) codec: Option<Codec>,
    /// That took more than is sent on.
    pub(super) is_oversized: bool,
    /// How often the source's numbers started over, as with another source.
    beginnings: u32,
    /// Lost and expected of sources before this one.
    before: (u64, u64),
    /// When something was last received, or the wait for it began.
    pub(super) last_heard: Instant,
    pub(super) timeouts: u32,
    last_refusal: Option<Instant>,
    /// Where its RTCP comes from, and when it came last.
    pub(super) rtcp_from: Option<(SocketAddr, Instant)>,
    pub(super) said_goodbye: bool,
}

/// What a payload type carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Sound(Codec),
    TelephoneEvent,
    /// How the peer's silence sounds (RFC 3389).
    ComfortNoise,
    /// Nothing that was agreed on.
    Other,
}

/// Places a source's timestamps in the session's sound: they count at the codec's clock, and
/// another codec's may differ.
#[derive(Clone, Copy, Debug, Default)]
struct Timescale {
    /// None before the first sound: timestamps stand for themselves.
    clock_rate_hz: Option<u32>,
    /// A timestamp and its sample: where this clock took over.
    timestamp: u64,
    sample: u64,
    /// The newest timestamp that was placed.
    newest: u64,
}

impl Timescale {
    /// Counts at a clock from the next packet on. A sender that changes its clock goes on from
    /// its last timestamp (RFC 7160 §4.1).
    fn follow(&mut self, clock_rate_hz: u32, rate_hz: u32) {
        if self.clock_rate_hz != Some(clock_rate_hz) {
            self.sample = self.place(self.newest, rate_hz);
            self.timestamp = self.newest;
            self.clock_rate_hz = Some(clock_rate_hz);
        }
    }

    fn place(&mut self, timestamp: u64, rate_hz: u32) -> u64 {
        if self.newest == 0 {
            (self.timestamp, self.sample) = (timestamp, timestamp);
        }
        self.newest = self.newest.max(timestamp);
        let clock_rate_hz = self.clock_rate_hz.unwrap_or(rate_hz).max(1);
        let ticks = timestamp.wrapping_sub(self.timestamp) as i64;
        let (rate_hz, clock_rate_hz) = (i64::from(rate_hz), i64::from(clock_rate_hz));
        // A peer may name any timestamps: whole seconds first, so that no product overflows.
        let seconds = ticks.div_euclid(clock_rate_hz).wrapping_mul(rate_hz);
        let rest = ticks.rem_euclid(clock_rate_hz) * rate_hz / clock_rate_hz;
        self.sample.wrapping_add_signed(seconds.wrapping_add(rest))
    }
}

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            reception: None,
            timescale: Timescale::default(),
            codec: None,
            is_oversized: false,
            beginnings: 0,
            before: (0, 0),
            last_heard: now,
            timeouts: 0,
            last_refusal: None,
            rtcp_from: None,
            said_goodbye: false,
        }
    }

    pub(super) fn losses(&self) -> (u64, u64) {
        let (lost, expected) = self.reception.as_ref().map_or((0, 0), Reception::losses);
        (self.before.0 + lost, self.before.1 + expected)
    }

    pub(super) fn jitter_ms(&self) -> f32 {
        self.reception.as_ref().map_or(0.0, Reception::jitter_ms)
    }

    /// Takes note of a sign of life, after which the wait for the next begins.
    pub(super) fn is_there(&mut self, now: Instant) {
        self.last_heard = now;
        self.timeouts = 0;
    }

    /// Remembers where reports come from; while they come, no other port takes their place.
    pub(super) fn reports_from(&mut self, now: Instant, from: SocketAddr) {
        let silent = |last| now.saturating_duration_since(last) >= REPORTS_MOVE_AFTER;
        match self.rtcp_from {
            Some((known, last)) if known != from && !silent(last) => {}
            _ => self.rtcp_from = Some((from, now)),
        }
    }

    fn begin(&mut self, sequence: u16, timestamp: u32) {
        self.before = self.losses();
        let next = Reception::new(sequence, timestamp);
        self.reception = Some(match self.reception.take() {
            Some(before) => next.following(before),
            None => next,
        });
        self.timescale = Timescale::default();
        self.beginnings = self.beginnings.wrapping_add(1);
        self.said_goodbye = false;
    }
}

impl MediaSession {
    /// Takes a datagram that came to the RTP port; RTCP is told apart from RTP (RFC 5761 §4).
    pub fn handle_rtp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.take_rtp(now, from, bytes, |_| {});
    }

    /// Takes a datagram and passes on what is heard in it, while the session relays.
    pub(super) fn take_rtp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        pass_on: impl FnOnce(&Relayed<'_>),
    ) {
        if !self.guard.admits(from) {
            // With SRTP nothing is believed that was not proven.
            if self.security.is_none()
                && self.guard.may_be_peer(from)
                && let Ok(packet) = RtpPacket::parse(bytes)
            {
                let header = packet.header;
                self.guard.refused(now, from, header.ssrc, header.sequence);
            }
            return self.refuse(now, from);
        }
        if bytes.len() > MAX_DATAGRAM_BYTES {
            return self.stats.oversized += 1;
        }
        match rtp::classify(bytes) {
            Kind::Rtp => {}
            Kind::Rtcp => return self.handle_rtcp(now, from, bytes),
            Kind::Other if bytes.len() < rtp::HEADER_BYTES => return self.stats.truncated += 1,
            Kind::Other => return self.stats.wrong_version += 1,
        }
        match self.security {
            Some(_) => self.handle_srtp(now, from, bytes, pass_on),
            None => self.handle_clear_rtp(now, from, bytes, pass_on),
        }
    }

    /// Takes an RTP packet that may come from there and, with SRTP, is authentic and new.
    pub(super) fn handle_clear_rtp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        pass_on: impl FnOnce(&Relayed<'_>),
    ) {
        let packet = match RtpPacket::parse(bytes) {
            Ok(packet) if packet.payload.len() <= MAX_PAYLOAD_BYTES => packet,
            Ok(_) => return self.stats.oversized += 1,
            Err(RtpError::Truncated) => return self.stats.truncated += 1,
            Err(RtpError::Version) => return self.stats.wrong_version += 1,
            Err(RtpError::Padding) => return self.stats.malformed += 1,
        };
        if self.stream.sent_lately(&packet.header) {
            return self.looped(now, from);
        }
        let content = self.content(packet.header.payload_type);
        if content == Content::Other {
            self.stats.unknown_payload += 1;
            self.watch.refused_payload(packet.header.payload_type);
            // Nobody is learned by what was not agreed on.
            if self.guard.ssrc() != Some(packet.header.ssrc) {
                return;
            }
        }
        if self.learn(now, from, &packet)
            && let Some(relayed) = self.receive(now, content, &packet)
        {
            pass_on(&relayed);
        }
    }

    fn content(&self, payload_type: u8) -> Content {
        if self.negotiated.dtmf_receive == Some(payload_type) {
            return Content::TelephoneEvent;
        }
        let mut known = self.negotiated.receive_payload_types.iter();
        match known.find(|(number, _)| *number == payload_type) {
            Some((_, codec)) => Content::Sound(*codec),
            // It has a number of its own, and comes from peers that did not ask.
            None if payload_type == comfort_noise::PAYLOAD_TYPE => Content::ComfortNoise,
            None => Content::Other,
        }
    }

    /// Tells whether a packet comes from the session's source.
    fn learn(&mut self, now: Instant, from: SocketAddr, packet: &RtpPacket<'_>) -> bool {
        let header = packet.header;
        match self.guard.accept(now, from, header.ssrc, header.sequence) {
            Verdict::Known => {}
            Verdict::Learned => {
                self.peer.begin(header.sequence, header.timestamp);
                self.jitter.restart();
                self.dtmf_receiver.restart();
                self.notify(Notice::Latched { remote: from });
            }
            Verdict::Moved => {
                self.peer.rtcp_from = None;
                self.notify(Notice::Latched { remote: from });
            }
            Verdict::Probation => return false,
            Verdict::Foreign if self.guard.is_source(from) => {
                self.stats.wrong_ssrc += 1;
                return false;
            }
            Verdict::Foreign => {
                self.refuse(now, from);
                return false;
            }
        }
        true
    }

    /// Drops a packet of ours that came back (RFC 3550 §8.2): it says nothing but that the way is
    /// there.
    fn looped(&mut self, now: Instant, from: SocketAddr) {
        self.stats.looped += 1;
        if self.guard.is_source(from) || self.guard.is_negotiated(from) {
            self.peer.is_there(now);
        }
    }

    /// Takes a packet of the session's source, and gives what is to be passed on of it.
    fn receive<'a>(
        &mut self,
        now: Instant,
        content: Content,
        packet: &RtpPacket<'a>,
    ) -> Option<Relayed<'a>> {
        self.peer.is_there(now);
        self.stats.received += 1;
        if content != Content::Other {
            self.watch.heard();
        }
        let header = packet.header;
        let reception = self.peer.reception.as_mut()?;
        let sequence = match reception.arrive(header.sequence) {
            Arrival::Valid {
                sequence,
                reordered,
            } => {
                self.stats.reordered += u64::from(reordered);
                sequence
            }
            Arrival::Restarted { sequence } => {
                self.jitter.restart();
                self.dtmf_receiver.restart();
                self.peer.beginnings = self.peer.beginnings.wrapping_add(1);
                sequence
            }
            Arrival::Duplicate => {
                self.stats.duplicates += 1;
                return None;
            }
            Arrival::Jumped => return None,
        };
        let timestamp = reception.extend_timestamp(header.timestamp);
        let rate_hz = self.rate_hz;
        let (codec, payload) = match content {
            Content::Sound(codec) => {
                let since_start_us = micros(self.start, now);
                reception.time(since_start_us, timestamp, codec.clock_rate_hz());
                self.peer.timescale.follow(codec.clock_rate_hz(), rate_hz);
                self.peer.codec = Some(codec);
                self.peer.is_oversized = packet.payload.len() > codec::MAX_PAYLOAD_BYTES;
                (codec, packet.payload)
            }
            // What carries no sound takes its place in the order all the same.
            Content::TelephoneEvent | Content::ComfortNoise | Content::Other => {
                (self.negotiated.codec, &[][..])
            }
        };
        if !self.negotiated.direction.receives() {
            return None;
        }
        if content == Content::TelephoneEvent {
            self.hear_key(now, timestamp, packet.payload);
        }
        let placed = self.peer.timescale.place(timestamp, rate_hz);
        if self
            .relay
            .is_some_and(|relay| !relay.takes(content, packet.payload))
        {
            self.end_relay();
        }
        if self.relay.is_none_or(|relay| relay.hears) {
            self.decode(
                content,
                packet,
                Packet {
                    sequence,
                    timestamp: placed,
                    received: now,
                    codec,
                    payload,
                },
            );
        }
        self.relay.map(|_| Relayed {
            source: self.peer.beginnings,
            sequence,
            timestamp,
            marker: header.marker,
            content,
            payload: packet.payload,
        })
    }

    /// Hands a packet to the jitter buffer.
    fn decode(&mut self, content: Content, packet: &RtpPacket<'_>, placed: Packet<'_>) {
        let sequence = placed.sequence;
        let inserted = self.jitter.insert(placed);
        if let (Inserted::Late, Some(reception)) = (inserted, &mut self.peer.reception) {
            reception.was_late(sequence);
        }
        if content == Content::ComfortNoise
            && let Some(noise) = ComfortNoise::parse(packet.payload)
        {
            self.jitter.comfort_noise(&noise);
        }
    }

    fn hear_key(&mut self, now: Instant, timestamp: u64, payload: &[u8]) {
        // One packet ends two keys at most: the one before, whose end was lost, and its own.
        let mut presses = [None; 2];
        let mut free = presses.iter_mut();
        self.dtmf_receiver.handle(now, timestamp, payload, |press| {
            if let Some(slot) = free.next() {
                *slot = Some(press);
            }
        });
        presses
            .into_iter()
            .flatten()
            .for_each(|press| self.pressed(now, press));
        if let Some(digit) = self.dtmf_receiver.take_begun() {
            self.notify(Notice::KeyDown { digit });
        }
    }

    pub(super) fn pressed(&mut self, now: Instant, press: Press) {
        let per_ms = (self.negotiated.dtmf_clock_rate_hz / 1_000).max(1);
        self.press(now, press.digit, press.duration / per_ms, Way::Event);
    }

    /// Listens for keys in sound that is about to be heard.
    pub(super) fn hear_tones(&mut self, frame: &Frame) {
        let Some(inband) = &mut self.inband else {
            return;
        };
        // No key is shorter than a frame.
        let mut key = None;
        inband.hear(frame.samples(), |heard| key = Some(heard));
        if let Some(key) = key {
            self.press(frame.received, key.digit, key.duration_ms, Way::Tone);
        }
    }

    fn press(&mut self, now: Instant, digit: Digit, duration_ms: u32, way: Way) {
        let held = Duration::from_millis(u64::from(duration_ms));
        if self.presses.is_new(now, digit, way, held) {
            self.notify(Notice::Dtmf { digit, duration_ms });
        }
    }

    pub(super) fn refuse(&mut self, now: Instant, from: SocketAddr) {
        self.stats.foreign += 1;
        self.watch.refused_source(from);
        let quiet = |last| now.saturating_duration_since(last) >= REFUSAL_INTERVAL;
        if self.peer.last_refusal.is_none_or(quiet) {
            self.peer.last_refusal = Some(now);
            self.notify(Notice::SourceRefused { from });
        }
    }
}
