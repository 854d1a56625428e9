//! Telephone keys: named events (RFC 4733) and, for who lacks them, tones (ITU-T Q.23), both ways.

mod goertzel;
mod inband;
mod once;
mod receive;
mod send;
mod tone;

use std::fmt;

pub(crate) use inband::InbandReceiver;
pub use once::{APART, OncePerPress, Way};
pub(crate) use receive::{DtmfReceiver, Press};
pub(crate) use send::{DtmfSender, Outgoing};
pub use send::{InvalidDigit, check_keys};
pub use tone::Tone;

/// Says when keys are heard in the sound itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InbandDtmf {
    /// Where the peer takes no telephone-events.
    #[default]
    Auto,
    /// Always: a key that also comes as telephone-event counts once.
    On,
    /// Never.
    Off,
}

/// Names a key of a telephone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

const KEYS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D',
];

impl Digit {
    /// Finds the key of an event code, 0 to 15 (RFC 4733 table 3).
    #[must_use]
    pub const fn from_event(event: u8) -> Option<Self> {
        if event < 16 { Some(Self(event)) } else { None }
    }

    /// Finds the key that is labelled so; letters in either case.
    #[must_use]
    pub fn from_char(key: char) -> Option<Self> {
        let key = key.to_ascii_uppercase();
        KEYS.iter()
            .position(|known| *known == key)
            .map(|event| Self(event as u8))
    }

    /// The event code (RFC 4733 table 3).
    #[must_use]
    pub const fn event(self) -> u8 {
        self.0
    }

    /// The label: `0` to `9`, `*`, `#`, `A` to `D`.
    #[must_use]
    pub fn as_char(self) -> char {
        KEYS.get(usize::from(self.0)).copied().unwrap_or('?')
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digit({})", self.as_char())
    }
}
