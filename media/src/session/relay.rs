//! Two sessions between which packets pass as they are: nothing is decoded, and nothing waits.
//!
//! A packet goes on when it has passed all that a session asks of one that it hears: the source
//! rule, SRTP, the checks of RTP, the source's numbers. The other session writes its own header
//! around the payload and protects it with its own key. RTCP ends at each of them.

use std::net::SocketAddr;
use std::time::Instant;

use super::MediaSession;
use super::receive::Content;
use crate::codec::comfort_noise::PAYLOAD_TYPE as COMFORT_NOISE;
use crate::codec::{Codec, MAX_PAYLOAD_BYTES};
use crate::playout::AUDIBLE;
use crate::sdp::Direction;

/// When nothing was sent on for so long we send silence of our own: a carrier ends a call without
/// RTP …
const SILENT_MS: u32 = 1_000;
/// … later after noise that stands for silence, which our silence would end (RFC 6263 §4.1).
const NOISE_MS: u32 = 15_000;
/// What waits for its turn in a jitter buffer is handed over up to this much, the newest of it, in
/// milliseconds and in packets …
const MAX_HANDED_OVER_MS: u32 = 60;
const MAX_HANDED_OVER_PACKETS: u32 = 4;
/// … and in samples of 16 kHz.
const MAX_HANDED_OVER: usize = 16 * MAX_HANDED_OVER_MS as usize;

/// A packet that one session heard, on its way to another.
#[derive(Clone, Copy, Debug)]
pub struct Relayed<'a> {
    /// Another number each time that the source starts over.
    pub(super) source: u32,
    /// Extended to 64 bits, as is the timestamp.
    pub(super) sequence: u64,
    pub(super) timestamp: u64,
    pub(super) marker: bool,
    pub(super) content: Content,
    pub(super) payload: &'a [u8],
}

/// How a session is relayed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    /// What the other one sends.
    codec: Codec,
    /// Somebody hears or records it as well: its sound is decoded.
    pub(super) hears: bool,
}

impl Relay {
    /// Whether the other session can send a packet on; what it need not understand is left out.
    pub(super) fn takes(self, content: Content, payload: &[u8]) -> bool {
        match content {
            Content::Sound(codec) => codec == self.codec && payload.len() <= MAX_PAYLOAD_BYTES,
            Content::TelephoneEvent | Content::ComfortNoise | Content::Other => true,
        }
    }
}

impl MediaSession {
    /// Whether packets may pass between this session's peer and another's: both speak the same
    /// codec both ways, and neither hears anything but the other.
    #[must_use]
    pub fn can_relay_with(&self, other: &Self) -> bool {
        self.hears_nothing_else() && other.hears_nothing_else() && {
            let codec = self.negotiated.codec;
            codec == other.negotiated.codec
                && (self.speaks(codec) && other.speaks(codec))
                && (self.keys_pass_to(other) && other.keys_pass_to(self))
        }
    }

    /// Whether keys that its peer presses pass as they come: who does not understand them hears
    /// tones, and at another clock they would last longer or shorter.
    fn keys_pass_to(&self, other: &Self) -> bool {
        let clock = |session: &Self| session.negotiated.dtmf_clock_rate_hz;
        self.negotiated.dtmf_receive.is_none()
            || (other.negotiated.dtmf.is_some() && clock(self) == clock(other))
    }

    fn hears_nothing_else(&self) -> bool {
        self.negotiated.direction == Direction::SendRecv
            && self.packing().is_some()
            && self.surroundings.is_empty()
            && self.playout.is_idle()
            && self.dtmf_sender.is_idle()
    }

    fn speaks(&self, codec: Codec) -> bool {
        let spoken = self.peer.codec;
        let fits = spoken.is_none_or(|spoken| spoken == codec) && !self.peer.is_oversized;
        fits && !self.jitter.is_waiting()
    }

    /// Whether something within the session, such as its recording, needs its sound.
    #[must_use]
    pub fn needs_sound(&self) -> bool {
        self.tape.is_some() || self.inband.is_some()
    }

    /// Whether its packets pass to another session.
    #[must_use]
    pub fn is_relaying(&self) -> bool {
        self.relay.is_some()
    }

    /// Whether its steps have nothing to do but look at timers that may be late by some of them:
    /// packets pass both ways and nobody hears them. A peer that was not heard yet is waited for step
    /// by step: that it is not must be told in time.
    #[must_use]
    pub fn can_rest(&self) -> bool {
        let unheard = self.relay.is_some_and(|relay| !relay.hears);
        unheard && self.watch.was_heard() && self.is_sent_on(self.grid.position())
    }

    /// Whether what another session's peer says goes on, so that no silence of ours is needed.
    fn is_sent_on(&self, position: u64) -> bool {
        self.stream.sent_on_within(position, SILENT_MS, NOISE_MS)
    }

    /// Lets the steps before a beat go by in which a session [rested](Self::can_rest).
    pub fn pass_steps(&mut self, beat: Instant) {
        self.grid.pass_to(beat);
    }

    /// Begins to hand packets to another session, which does the same; `hears` when somebody hears
    /// or records one of them, who then goes on to. What waits for its turn in the jitter buffer is
    /// sent on at once, so that no sound is left out.
    pub fn begin_relay(&mut self, to: &mut Self, hears: bool) {
        let mut sound = [0; MAX_HANDED_OVER];
        let ptime_ms = to.packing().map_or(0, |packing| packing.ptime_ms);
        let most_ms = MAX_HANDED_OVER_MS.min(MAX_HANDED_OVER_PACKETS * ptime_ms);
        let most = (self.rate_hz / 1_000 * most_ms) as usize;
        let room = sound.get_mut(..most.min(MAX_HANDED_OVER));
        let len = self.jitter.waiting(room.unwrap_or_default());
        // What was sent on before two were mixed for a while is the oldest of what waits.
        let waiting = self.jitter.waiting_samples();
        let passed = self.passed_on_steps * self.grid.step_samples();
        let unsent = waiting.saturating_sub(passed).min(len);
        if self.rate_hz == to.rate_hz {
            to.send_rest(sound.get(len - unsent..len).unwrap_or_default());
        }
        self.relay = Some(Relay {
            codec: to.negotiated.codec,
            hears,
        });
        self.passed_on_steps = 0;
        if !hears {
            self.jitter.begin_anew();
        }
    }

    /// Sends sound that follows on what was sent last, at once.
    fn send_rest(&mut self, sound: &[i16]) {
        if let Some(packing) = self.packing() {
            let position = self.grid.position();
            self.stream
                .sound(&packing, position, sound, &mut self.outbox);
            self.stream.flush(&packing, &mut self.outbox);
            self.stream.give_over(position);
        }
    }

    /// Hears the peer itself again. What the other session sent on of it is not heard there twice.
    pub fn end_relay(&mut self) {
        let Some(relay) = self.relay.take() else {
            return;
        };
        if relay.hears {
            let step = self.grid.step_samples().max(1);
            self.passed_on_steps = self.jitter.waiting_samples() / step;
        }
    }

    /// Takes a datagram as [`MediaSession::handle_rtp`] does, and hands what is heard in it to
    /// another session, which has it to be sent at once. A session that does not relay only takes
    /// it; one whose peer speaks what the other cannot send on does not relay any more.
    pub fn relay_rtp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], to: &mut Self) {
        self.take_rtp(now, from, bytes, |packet| to.forward(now, packet));
    }

    /// Sends on a packet of another session's peer.
    pub fn forward(&mut self, now: Instant, packet: &Relayed<'_>) {
        let Some(packing) = self.packing() else {
            return;
        };
        let position = self.grid.position_at(now);
        let payload_type = match packet.content {
            Content::Sound(codec) if codec == self.negotiated.codec => Some(packing.payload_type),
            Content::TelephoneEvent => self.negotiated.dtmf,
            Content::ComfortNoise if self.negotiated.comfort_noise => Some(COMFORT_NOISE),
            _ => None,
        };
        match payload_type {
            Some(number) if packet.payload.len() <= MAX_PAYLOAD_BYTES => {
                self.stream
                    .forward(position, packet, packing.to, number, &mut self.outbox);
            }
            _ => self.stream.leave_out(position, packet),
        }
    }

    /// Takes a step beside what is sent on: it is put down how that sounds, as far as it was
    /// decoded, and where nothing comes any more we send silence of our own.
    pub(super) fn step_beside(&mut self, heard: Option<&[i16]>, local: &mut [i16]) {
        for (to, from) in local.iter_mut().zip(heard.unwrap_or_default()) {
            *to = *from;
        }
        let audible = |sample: &i16| sample.saturating_abs() > AUDIBLE;
        self.sounding = local.iter().any(audible);
        let Some(packing) = self.packing() else {
            return;
        };
        let position = self.grid.position();
        if !self.is_sent_on(position) {
            self.send_sound(&packing, position, local, false);
        }
    }
}
