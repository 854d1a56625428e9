//! How a trunk is told who calls, beside From.

use std::fmt;
use std::str::FromStr;

use super::value::text_value;

/// The header field that tells a trunk who calls (RFC 3325).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IdentityHeader {
    /// None: From alone tells it.
    #[default]
    None,
    /// P-Asserted-Identity, to a trunk that believes us (§9.1).
    Asserted,
    /// P-Preferred-Identity, to one that chooses among our numbers (§9.2).
    Preferred,
}

impl IdentityHeader {
    /// The field's name.
    #[must_use]
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Asserted => Some("P-Asserted-Identity"),
            Self::Preferred => Some("P-Preferred-Identity"),
        }
    }
}

impl FromStr for IdentityHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "pai" => Ok(Self::Asserted),
            "ppi" => Ok(Self::Preferred),
            _ => Err(format!("{text:?} is not one of {IDENTITIES}")),
        }
    }
}

impl fmt::Display for IdentityHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Asserted => "pai",
            Self::Preferred => "ppi",
        })
    }
}

const IDENTITIES: &str = "\"none\", \"pai\" or \"ppi\"";

text_value!(IdentityHeader, "\"none\", \"pai\" or \"ppi\"");
