//! What another session's peer sends, sent on as it is within our own stream: under our source, in
//! our numbers, at our time.
//!
//! Numbers and timestamps keep the distances that they came with, from a place on at which ours
//! stand then: what is lost before us is missing after us, what comes late goes late. No number
//! is ever used twice, since with SRTP two packets under one index betray each other.

use super::outbox::Outbox;
use super::receive::Content;
use super::relay::Relayed;
use super::stream::{Stream, write};
use crate::codec::Codec;
use std::net::SocketAddr;

/// A gap of time up to this long between what was sent and what follows is no pause: the packets
/// were early or late by so much.
const SEAM_MS: u32 = 60;
/// A source's time that leaps ahead of real time by more is a clock that was set.
const LEAP_MS: u64 = 2_000;

/// What was sent on last.
#[derive(Clone, Copy, Debug)]
struct Latest {
    /// In the session's sound.
    position: u64,
    /// It says how silence sounds (RFC 3389).
    noise: bool,
}

/// Where a source's numbers and timestamps lie in ours.
#[derive(Clone, Copy, Debug)]
struct Place {
    source: u32,
    /// The source's newest number, which is the one before our next.
    newest: u64,
    /// Which of our numbers up to that one are used, the newest lowest; all those before the
    /// place are.
    used: u64,
    /// A timestamp of the source's, and ours for it.
    from: u64,
    to: u32,
    /// The newest timestamp of its sound, and when that was sent on.
    newest_timestamp: u64,
}

/// How a stream stands to what it sends on.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// None once sound of our own was sent: what is sent on next is placed anew.
    place: Option<Place>,
    /// None once sound of our own was sent as well.
    latest: Option<Latest>,
}

impl Place {
    fn new(packet: &Relayed<'_>, to: u32) -> Self {
        Self {
            source: packet.source,
            newest: packet.sequence.wrapping_sub(1),
            used: u64::MAX,
            from: packet.timestamp,
            to,
            newest_timestamp: packet.timestamp,
        }
    }

    /// How far a number lies ahead of the newest one; it lies behind when that is not positive.
    fn ahead(&self, sequence: u64) -> i64 {
        sequence.wrapping_sub(self.newest) as i64
    }

    /// Goes on to a newer number, and gives ours for it.
    fn go_on(&mut self, ahead: i64, next: &mut u16) -> u16 {
        self.newest = self.newest.wrapping_add_signed(ahead);
        let shifted = u32::try_from(ahead).ok();
        self.used = shifted
            .and_then(|ahead| self.used.checked_shl(ahead))
            .unwrap_or(0)
            | 1;
        let number = next.wrapping_add((ahead - 1) as u16);
        *next = number.wrapping_add(1);
        number
    }

    /// Gives our number of an older packet, unless it is used or lies too far back.
    fn go_back(&mut self, behind: i64, next: u16) -> Option<u16> {
        let bit = 1_u64.checked_shl(u32::try_from(behind).ok()?)?;
        if self.used & bit != 0 {
            return None;
        }
        self.used |= bit;
        Some(next.wrapping_sub(1).wrapping_sub(behind as u16))
    }

    /// Leaves out a packet, whose number is no gap.
    fn leave_out(&mut self, ahead: i64, next: &mut u16) {
        if ahead > 1 {
            self.go_on(ahead - 1, next);
            // The number of what is missing is free.
            self.used &= !1;
        }
        self.newest = self.newest.wrapping_add(1);
    }

    fn timestamp(&self, source: u64) -> u32 {
        let moved = source.wrapping_sub(self.from) as u32;
        self.to.wrapping_add(moved)
    }
}

impl Stream {
    /// Sends on a packet that another session took at `position` of our sound; false when that
    /// cannot be.
    pub(super) fn forward(
        &mut self,
        position: u64,
        packet: &Relayed<'_>,
        to: SocketAddr,
        payload_type: u8,
        outbox: &mut Outbox,
    ) -> bool {
        let mut place = self.place_of(position, packet);
        let ahead = place.ahead(packet.sequence);
        let number = match ahead {
            1.. => Some(place.go_on(ahead, &mut self.sequence)),
            _ => place.go_back(-ahead, self.sequence),
        };
        let Some(sequence) = number else {
            self.forwarding.place = Some(place);
            return false;
        };
        let sound = match packet.content {
            Content::Sound(codec) if ahead > 0 => Some(codec),
            _ => None,
        };
        if sound.is_some() && self.breaks_time(position, &place, packet) {
            (place.from, place.to) = (packet.timestamp, self.continued(position));
            self.marker = true;
        }
        let timestamp = place.timestamp(packet.timestamp);
        if let Some(codec) = sound {
            place.newest_timestamp = packet.timestamp;
            self.clock.set(position, timestamp);
            self.end = timestamp.wrapping_add(ticks(codec, packet.payload));
        }
        if ahead > 0 {
            self.last_position = position;
            let noise = packet.content == Content::ComfortNoise;
            self.forwarding.latest = Some(Latest { position, noise });
        }
        self.forwarding.place = Some(place);
        let marker = std::mem::take(&mut self.marker) || packet.marker;
        let header = self.numbered(
            payload_type,
            marker,
            sequence,
            timestamp,
            packet.payload.len(),
        );
        outbox.push(to, false, |room| write(header, packet.payload, room));
        true
    }

    /// Leaves out a packet that our peer would not understand; its number is no gap.
    pub(super) fn leave_out(&mut self, position: u64, packet: &Relayed<'_>) {
        let mut place = self.place_of(position, packet);
        let ahead = place.ahead(packet.sequence);
        if ahead > 0 {
            place.leave_out(ahead, &mut self.sequence);
        }
        self.forwarding.place = Some(place);
    }

    /// What was sent last goes on with what is sent on.
    pub(super) fn give_over(&mut self, position: u64) {
        self.forwarding.latest = Some(Latest {
            position,
            noise: false,
        });
    }

    /// Goes on with sound of our own from a position on, where what was sent on ends.
    pub(super) fn take_over(&mut self, position: u64) {
        self.forwarding.place = None;
        if self.forwarding.latest.take().is_some() {
            let timestamp = self.continued(position);
            self.clock.set(position, timestamp);
            self.marker = true;
        }
    }

    /// Whether something was sent on so shortly before a position that more of it is on its way.
    pub(super) fn is_in_a_seam(&self, position: u64) -> bool {
        let seam = self.clock.samples(SEAM_MS);
        let latest = self.forwarding.latest;
        latest.is_some_and(|latest| position.saturating_sub(latest.position) < seam)
    }

    /// Whether something was sent on within so many milliseconds before a position: the first
    /// number is for sound, the second for noise that stands for silence.
    pub(super) fn sent_on_within(&self, position: u64, sound_ms: u32, noise_ms: u32) -> bool {
        self.forwarding.latest.is_some_and(|latest| {
            let ms = if latest.noise { noise_ms } else { sound_ms };
            position.saturating_sub(latest.position) < self.clock.samples(ms)
        })
    }

    /// The place of a packet's source, or a new one from here on.
    fn place_of(&mut self, position: u64, packet: &Relayed<'_>) -> Place {
        match self.forwarding.place {
            Some(place) if place.source == packet.source => place,
            _ => {
                self.marker = true;
                // A packet of ours that was not full yet lies before what is sent on.
                self.discard();
                Place::new(packet, self.continued(position))
            }
        }
    }

    /// Whether a packet's sound would lie over what was sent, or far ahead of real time.
    fn breaks_time(&self, position: u64, place: &Place, packet: &Relayed<'_>) -> bool {
        let over = self.end.wrapping_sub(place.timestamp(packet.timestamp)) as i32 > 0;
        let moved = packet.timestamp.wrapping_sub(place.newest_timestamp) as i64;
        let latest = self
            .forwarding
            .latest
            .map_or(position, |latest| latest.position);
        let elapsed_ms = self.clock.ms(position.saturating_sub(latest));
        let most = self.clock.ticks(elapsed_ms + LEAP_MS);
        over || moved > most as i64
    }

    /// The timestamp of what follows at a position on what was sent last: real time, but right
    /// after that when it is near.
    fn continued(&self, position: u64) -> u32 {
        let real = self.clock.real(position);
        let pause = real.wrapping_sub(self.end) as i32;
        if i64::from(pause) < self.clock.ticks(u64::from(SEAM_MS)) as i64 {
            self.end
        } else {
            real
        }
    }
}

/// How long a payload's sound lasts, in ticks of its codec's clock.
fn ticks(codec: Codec, payload: &[u8]) -> u32 {
    let samples = codec.payload_samples(payload) as u32;
    samples.wrapping_mul(codec.clock_rate_hz() / 1_000) / (codec.sample_rate_hz() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u64) -> Relayed<'static> {
        Relayed {
            source: 1,
            sequence,
            timestamp: sequence * 160,
            marker: false,
            content: Content::Sound(Codec::Pcmu),
            payload: &[0; 160],
        }
    }

    #[test]
    fn gaps_stay_what_comes_late_goes_late_and_no_number_is_used_twice() {
        let (mut place, mut next) = (Place::new(&packet(1_000), 0), 65_534_u16);
        let mut number = |sequence: u64| {
            let ahead = place.ahead(sequence);
            match ahead {
                1.. => Some(place.go_on(ahead, &mut next)),
                _ => place.go_back(-ahead, next),
            }
        };
        assert_eq!(number(1_000), Some(65_534));
        assert_eq!(number(1_003), Some(1));
        assert_eq!(number(1_001), Some(65_535));
        assert_eq!(number(1_001), None);
        assert_eq!(number(1_002), Some(0));
        assert_eq!(number(999), None, "from before the place");
        assert_eq!(number(1_004), Some(2));
        assert_eq!(number(1_200), Some(198));
        assert_eq!(number(1_100), None, "too old to be sure");
    }

    #[test]
    fn what_is_left_out_leaves_no_gap() {
        let (mut place, mut next) = (Place::new(&packet(10), 0), 100_u16);
        assert_eq!(place.go_on(1, &mut next), 100);
        place.leave_out(place.ahead(11), &mut next);
        assert_eq!(place.go_on(place.ahead(12), &mut next), 101);
        // One is missing before the next that is left out: that gap stays.
        place.leave_out(place.ahead(14), &mut next);
        assert_eq!(place.go_on(place.ahead(15), &mut next), 103);
    }

    #[test]
    fn a_payload_lasts_as_long_as_its_codec_counts() {
        assert_eq!(ticks(Codec::Pcmu, &[0; 160]), 160);
        assert_eq!(ticks(Codec::G722, &[0; 160]), 160);
        assert_eq!(ticks(Codec::L16, &[0; 640]), 320);
        // One frame of 20 ms by its first byte (RFC 6716 §3.1).
        assert_eq!(ticks(Codec::Opus, &[0x78, 1, 2]), 960);
    }
}
