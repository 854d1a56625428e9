//! What a trunk is allowed, and told, of calls that are led elsewhere.

use std::fmt;
use std::str::FromStr;

use super::value::text_value;

/// Where a trunk's redirects (3xx) may lead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FollowRedirects {
    /// Nowhere: a redirect is how the call ends.
    Never,
    /// To the trunk's own addresses, and to other numbers over it.
    #[default]
    Trunk,
    /// To whatever SIP address they name.
    Anywhere,
}

impl FromStr for FollowRedirects {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            "trunk" => Ok(Self::Trunk),
            "anywhere" => Ok(Self::Anywhere),
            _ => Err(format!("{text:?} is not one of {FOLLOWS}")),
        }
    }
}

impl fmt::Display for FollowRedirects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Trunk => "trunk",
            Self::Anywhere => "anywhere",
        })
    }
}

const FOLLOWS: &str = "\"never\", \"trunk\" or \"anywhere\"";

text_value!(FollowRedirects, "\"never\", \"trunk\" or \"anywhere\"");

/// How a trunk is told whom a call was for before it came over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiversionHeader {
    /// It is not told.
    #[default]
    None,
    /// By Diversion (RFC 5806).
    Diversion,
    /// By History-Info (RFC 7044).
    HistoryInfo,
}

impl FromStr for DiversionHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "diversion" => Ok(Self::Diversion),
            "history-info" => Ok(Self::HistoryInfo),
            _ => Err(format!("{text:?} is not one of {DIVERSIONS}")),
        }
    }
}

impl fmt::Display for DiversionHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Diversion => "diversion",
            Self::HistoryInfo => "history-info",
        })
    }
}

const DIVERSIONS: &str = "\"none\", \"diversion\" or \"history-info\"";

text_value!(
    DiversionHeader,
    "\"none\", \"diversion\" or \"history-info\""
);
