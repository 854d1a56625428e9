//! How keys that people press go over a trunk.

use std::fmt;
use std::str::FromStr;

use super::value::text_value;

/// How keys go over a trunk, both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keys {
    /// As telephone-events where both know them, else as tones; an INFO is heard too.
    #[default]
    Auto,
    /// As telephone-events (RFC 4733), and never as what sounds like a key.
    Events,
    /// As tones: telephone-events are neither offered nor taken.
    Tones,
    /// By INFO (`application/dtmf-relay`), with nothing in the sound.
    Info,
}

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "events" => Ok(Self::Events),
            "tones" => Ok(Self::Tones),
            "info" => Ok(Self::Info),
            _ => Err(format!("{text:?} is not one of {KEYS}")),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Events => "events",
            Self::Tones => "tones",
            Self::Info => "info",
        })
    }
}

const KEYS: &str = "\"auto\", \"events\", \"tones\" or \"info\"";

text_value!(Keys, "\"auto\", \"events\", \"tones\" or \"info\"");
