//! What `offhook bench switch` looks through at a switch under test: moments written into sound.
//!
//! A sender writes when it sent into a packet's first samples, as codes of µ-law that come through
//! every copy unchanged; whoever has them at the other end knows how long they took. Nothing of it
//! is there in a switch that was not started for a bench.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use offhook_media::Frame;
use offhook_media::codec::g711;

use super::{Command, LegId};
use crate::clock;

/// Delays that may wait for whoever reads them.
const DELAYS: usize = 65_536;
/// What is played that long after what was played before it begins on a silent leg.
const PAUSE: Duration = Duration::from_millis(200);
/// Samples of a millisecond at 8 kHz.
const PER_MS: u64 = 8;

/// A moment as sound: soft samples of 2.5 ms.
pub struct Stamp;

impl Stamp {
    /// Samples, and bytes of µ-law, of one.
    pub const LEN: usize = 20;
    const MAGIC: [u8; 4] = [0xE5, 0xEA, 0xE3, 0xEC];
    /// The codes that carry four bits each lie between silence and a whisper.
    const BASE: u8 = 0xE0;

    /// The bytes for a moment since 1970.
    #[must_use]
    pub fn bytes(at: Duration) -> [u8; Self::LEN] {
        let mut bytes = [Self::BASE; Self::LEN];
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = match Self::MAGIC.get(n) {
                Some(magic) => *magic,
                None => Self::BASE | (nanos >> (4 * (n - Self::MAGIC.len())) & 0xF) as u8,
            };
        }
        bytes
    }

    /// The moment in a payload that begins with one.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Duration> {
        let code = payload.strip_prefix(&Self::MAGIC)?;
        let code = code.get(..Self::LEN - Self::MAGIC.len())?;
        let mut nanos = 0;
        for (n, byte) in code.iter().enumerate() {
            let bits = byte ^ Self::BASE;
            if bits > 0xF {
                return None;
            }
            nanos |= u64::from(bits) << (4 * n);
        }
        Some(Duration::from_nanos(nanos))
    }

    /// The same of decoded sound.
    fn heard(samples: &[i16]) -> Option<Duration> {
        let mut begins = [0; Self::MAGIC.len()];
        g711::encode_ulaw(samples, &mut begins);
        if begins != Self::MAGIC {
            return None;
        }
        let mut payload = [0; Self::LEN];
        g711::encode_ulaw(samples.get(..Self::LEN)?, &mut payload);
        Self::read(&payload)
    }
}

/// How long something took that ended at a moment since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    /// When it was heard.
    pub at: Duration,
    /// Since it was sent.
    pub took: Duration,
}

/// Reads moments out of what legs hear, and writes them into what is played to them.
#[derive(Debug)]
pub struct Probe {
    heard: ArrayQueue<Delay>,
    /// Until when each leg has something to say.
    speaks_until: Mutex<HashMap<LegId, Instant>>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            heard: ArrayQueue::new(DELAYS),
            speaks_until: Mutex::default(),
        }
    }
}

impl Probe {
    /// Looks at a frame that a listener takes: sound with a moment in it says how long it took.
    pub fn hear(&self, frame: &Frame) {
        if let Some(sent) = Stamp::heard(frame.samples()) {
            let at = clock::since_1970();
            let took = at.saturating_sub(sent);
            let _ = self.heard.push(Delay { at, took });
        }
    }

    /// Takes the next delay from a packet's sending until a listener took its sound.
    pub fn next_heard(&self) -> Option<Delay> {
        self.heard.pop()
    }

    /// Looks at what is on its way to a leg.
    pub(super) fn look_at(&self, command: Command) -> Command {
        match command {
            Command::Play {
                leg,
                utterance,
                samples,
            } => Command::Play {
                leg,
                utterance,
                samples: self.stamp(leg, samples),
            },
            other => other,
        }
    }

    /// Writes the moment into the first sound of an utterance on a leg that is silent.
    fn stamp(&self, leg: LegId, samples: Arc<[i16]>) -> Arc<[i16]> {
        let now = clock::now();
        let lasts = Duration::from_millis(samples.len() as u64 / PER_MS);
        let speaks_until = self.speaks_until.lock();
        let mut speaks_until = speaks_until.unwrap_or_else(PoisonError::into_inner);
        let until = speaks_until.entry(leg).or_insert(now - PAUSE);
        let silent = now >= *until + PAUSE;
        *until = now.max(*until) + lasts;
        drop(speaks_until);
        match silent && samples.len() > Stamp::LEN {
            true => stamped(&samples),
            false => samples,
        }
    }
}

fn stamped(samples: &[i16]) -> Arc<[i16]> {
    let mut samples = samples.to_vec();
    let stamp = Stamp::bytes(clock::since_1970());
    for (sample, byte) in samples.iter_mut().zip(stamp) {
        *sample = g711::ulaw_to_linear(byte);
    }
    samples.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_comes_through_sound_unchanged() {
        for nanos in [0, 1, 1_790_000_000_123_456_789, u64::MAX] {
            let at = Duration::from_nanos(nanos);
            let bytes = Stamp::bytes(at);
            assert_eq!(Stamp::read(&bytes), Some(at));
            let mut samples = [0; Stamp::LEN];
            g711::decode_ulaw(&bytes, &mut samples);
            assert_eq!(Stamp::heard(&samples), Some(at));
        }
        assert_eq!(Stamp::read(&[0xFF; 160]), None);
        assert_eq!(Stamp::read(&Stamp::MAGIC), None);
    }
}
