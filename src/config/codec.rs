//! Codecs by the names that a configuration and a command line give them.

use std::fmt;
use std::str::FromStr;

use super::reader::{Reader, Section};
use super::value::text_value;

/// A codec that may be offered and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, payload type 0 (RFC 3551).
    Pcmu,
    /// G.711 A-law, payload type 8 (RFC 3551).
    Pcma,
    /// G.722, payload type 9 (RFC 3551).
    G722,
    /// Opus (RFC 7587).
    Opus,
    /// Samples as they are, 16 kHz (RFC 3551).
    L16,
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "pcmu" | "ulaw" => Ok(Self::Pcmu),
            "pcma" | "alaw" => Ok(Self::Pcma),
            "g722" => Ok(Self::G722),
            "opus" => Ok(Self::Opus),
            "l16" => Ok(Self::L16),
            _ => Err(format!(
                "{text:?} is not a codec of this version: use \"PCMU\", \"PCMA\", \"G722\", \
                 \"opus\", \"L16\""
            )),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
            Self::L16 => "L16",
        })
    }
}

text_value!(Codec, "\"PCMU\", \"PCMA\", \"G722\", \"opus\" or \"L16\"");

/// Reads `codecs`; there is at least one.
pub(super) fn read(r: &mut Reader<'_>, s: &mut Section) -> Option<Vec<Codec>> {
    let origin = s.origin_of("codecs");
    let codecs: Vec<Codec> = s.list(r, "codecs")?;
    if codecs.is_empty() {
        let message =
            "is empty: name at least one of \"PCMU\", \"PCMA\", \"G722\", \"opus\", \"L16\"";
        s.wrong(r, "codecs", &origin, message);
    }
    Some(codecs)
}
