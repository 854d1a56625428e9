//! Two sessions side by side, each with a peer of its own, in virtual time.
#![allow(dead_code)]

use std::time::Duration;

use offhook_media::codec::g711;
use offhook_media::{MediaSession, SessionConfig, StepSound};

use crate::common::{Party, Sent, address, at, config, rtp, telltale, with_peer_at};

/// Where the peers are.
pub(crate) const LEFT: &str = "192.0.2.1:4000";
pub(crate) const RIGHT: &str = "192.0.2.9:6000";
pub(crate) const LEFT_SSRC: u32 = 0x1111_0000;
pub(crate) const RIGHT_SSRC: u32 = 0x2222_0000;

/// A call between the peer on the left and the one on the right.
pub(crate) struct Bridge {
    pub(crate) left: Party,
    pub(crate) right: Party,
    pub(crate) ms: u64,
    /// Somebody hears the sessions, or they are mixed.
    heard: bool,
    /// Steps that are let go by before the next one is taken, and how many ever were.
    rests: u8,
    pub(crate) rested: u64,
}

/// What both sessions are made from by default.
pub(crate) fn configs() -> (SessionConfig, SessionConfig) {
    (
        config(with_peer_at(LEFT), LEFT_SSRC),
        config(with_peer_at(RIGHT), RIGHT_SSRC),
    )
}

impl Bridge {
    pub(crate) fn new() -> Self {
        let (left, right) = configs();
        Self::of(left, right)
    }

    pub(crate) fn of(left: SessionConfig, right: SessionConfig) -> Self {
        let (left, right) = (Party::new(left), Party::new(right));
        Self {
            left,
            right,
            ms: 0,
            heard: true,
            rests: 0,
            rested: 0,
        }
    }

    /// Begins to pass packets, as a room does.
    pub(crate) fn relay(&mut self, hears: bool) {
        let (left, right) = (&mut self.left.session, &mut self.right.session);
        assert!(left.can_relay_with(right) && right.can_relay_with(left));
        left.begin_relay(right, hears);
        right.begin_relay(left, hears);
        self.heard = hears;
        self.drain();
    }

    pub(crate) fn mix(&mut self) {
        self.rests = 0;
        let due = at(self.ms.next_multiple_of(20));
        for session in [&mut self.left.session, &mut self.right.session] {
            if !self.heard {
                session.pass_steps(due);
            }
            session.end_relay();
        }
        self.heard = true;
    }

    pub(crate) fn drain(&mut self) {
        self.left.drain(at(self.ms));
        self.right.drain(at(self.ms));
    }

    /// A datagram comes from the left.
    pub(crate) fn left_sends(&mut self, bytes: &[u8]) {
        self.from(LEFT, bytes);
    }

    pub(crate) fn from(&mut self, from: &str, bytes: &[u8]) {
        let (now, right) = (at(self.ms), &mut self.right.session);
        let left = &mut self.left.session;
        left.relay_rtp(now, address(from), bytes, right);
        self.drain();
    }

    /// One comes from the right.
    pub(crate) fn right_sends(&mut self, bytes: &[u8]) {
        let (now, left) = (at(self.ms), &mut self.left.session);
        let right = &mut self.right.session;
        right.relay_rtp(now, address(RIGHT), bytes, left);
        self.drain();
    }

    /// Time passes; both step together every 20 ms, and every 100 ms while both can rest.
    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            if self.ms.is_multiple_of(20) {
                self.step();
            }
            self.ms += 1;
        }
    }

    fn step(&mut self) {
        if self.rests > 0 {
            self.rests -= 1;
            self.rested += 1;
            return;
        }
        let now = at(self.ms);
        let mut steps = [StepSound::default(), StepSound::default()];
        let mut sessions = [&mut self.left.session, &mut self.right.session];
        for (session, step) in sessions.iter_mut().zip(&mut steps) {
            if !self.heard {
                session.pass_steps(now);
            }
            assert!(session.begin_step(now, now, step));
        }
        let [left, right] = sessions;
        end(left, now, &steps[0], &steps[1]);
        end(right, now, &steps[1], &steps[0]);
        if left.can_rest() && right.can_rest() {
            self.rests = 4;
        }
        self.drain();
    }
}

fn end(session: &mut MediaSession, now: std::time::Instant, own: &StepSound, other: &StepSound) {
    let heard = match other.is_passed_on() && !session.is_relaying() {
        true => &[][..],
        false => other.remote(),
    };
    let mut sound = [0; 320];
    let sound = &mut sound[..other.remote().len()];
    for (to, from) in sound.iter_mut().zip(heard) {
        *to = *from;
    }
    session.end_step(now, own, sound);
}

/// The packet of this number of a peer whose sound can be told by its place.
pub(crate) fn told(number: u16, ssrc: u32) -> Vec<u8> {
    let from = u64::from(number) * 160;
    let sound: Vec<i16> = (from..from + 160).map(telltale).collect();
    let mut payload = vec![0; 160];
    g711::encode_ulaw(&sound, &mut payload);
    rtp(0, number, u32::from(number) * 160, ssrc, &payload)
}

/// What the session on the right sent from a moment on.
pub(crate) fn since(bridge: &Bridge, ms: u64) -> Vec<Sent> {
    let sent = bridge.right.rtp().filter(|sent| sent.at >= at(ms));
    sent.cloned().collect()
}

/// Both peers speak for so many packets, from this number on.
pub(crate) fn speak(bridge: &mut Bridge, numbers: std::ops::Range<u16>) {
    for number in numbers {
        bridge.pass(7);
        bridge.left_sends(&told(number, 5));
        bridge.pass(4);
        bridge.right_sends(&told(number, 6));
        bridge.pass(9);
    }
}

/// Asserts that numbers and time of what was sent go on: each number once, no sound over another.
pub(crate) fn assert_whole<'a>(sent: impl Iterator<Item = &'a Sent>) {
    let mut sent: Vec<_> = sent.collect();
    let first = sent[0].sequence();
    sent.sort_by_key(|sent| sent.sequence().wrapping_sub(first));
    for pair in sent.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        assert_ne!(a.sequence(), b.sequence(), "a number was used twice");
        let moved = b.timestamp().wrapping_sub(a.timestamp());
        let lasts = match a.payload_type() {
            0 => a.payload().len() as u32,
            _ => 0,
        };
        assert!(
            (lasts..8_000 * 60).contains(&moved),
            "{moved} after {lasts} at {:?}",
            b.at - at(0)
        );
        assert_eq!(a.bytes[8..12], b.bytes[8..12], "another source");
        assert!(b.at - a.at < Duration::from_secs(60));
    }
}

/// The places of the samples that were sent, in the order of their time.
pub(crate) fn places<'a>(sent: impl Iterator<Item = &'a Sent>) -> Vec<i16> {
    sent.flat_map(|sent| sent.payload().to_vec())
        .map(g711::ulaw_to_linear)
        .collect()
}
