//! Telephone keys: named events (RFC 4733) both ways, and tones (ITU-T Q.23) for who lacks them.

mod receive;
mod send;
mod tone;

use std::fmt;

pub(crate) use receive::{DtmfReceiver, Press};
pub(crate) use send::{DtmfSender, Outgoing};
pub use send::{InvalidDigit, check_keys};
pub(crate) use tone::Tone;

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
