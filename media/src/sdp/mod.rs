//! Session descriptions (RFC 8866) and what two of them agree on (RFC 3264).

mod crypto;
mod direction;
mod negotiate;
mod numbers;
mod offer_answer;
mod parse;
mod payload;
mod print;

use std::fmt;
use std::net::IpAddr;

pub use crypto::{Crypto, LocalSrtp, SrtpPolicy};
pub use direction::Direction;
pub use negotiate::Negotiated;
pub use offer_answer::{LocalMedia, Refusal, answer, offer, reoffer};
pub use parse::SdpError;

/// Holds one session description: what a party can receive, where and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    /// The `o=` line: who made the session, and which version of it this is.
    pub origin: Origin,
    /// The `s=` line; empty when the peer left it out.
    pub name: String,
    /// The session's `c=` line, for each medium that has none of its own.
    pub connection: Option<Connection>,
    /// The first `t=` line as it came; `0 0` when the peer left it out.
    pub timing: String,
    /// The session's `a=` lines.
    pub attributes: Vec<Attribute>,
    /// The `m=` lines, each with what belongs to it.
    pub media: Vec<MediaDescription>,
}

/// Holds an `o=` line (RFC 8866 §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// User name, or `-`.
    pub username: String,
    /// Session identifier; digits, of any length that a peer likes.
    pub session_id: String,
    /// Version; it rises when the description changes (RFC 3264 §8).
    pub version: String,
    /// Address or host name of the party, without the network and address types.
    pub address: String,
}

/// Holds a `c=` line (RFC 8866 §5.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// A numeric address.
    Address(IpAddr),
    /// A host name, which this crate does not resolve.
    Host(String),
}

/// Holds an `a=` line: `a=name` or `a=name:value`. Its debug output shows no key.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// What stands before the colon.
    pub name: String,
    /// What stands after the colon, if there is one.
    pub value: Option<String>,
}

/// Holds an `m=` line and the lines below it (RFC 8866 §5.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaDescription {
    /// Medium: `audio`, `video`, `image`, …
    pub kind: String,
    /// Port; 0 declines or removes the medium (RFC 3264 §6, §8.2).
    pub port: u16,
    /// Number of ports, when the line has one (`49170/2`).
    pub port_count: Option<u16>,
    /// Transport protocol, such as `RTP/AVP`.
    pub protocol: String,
    /// Formats: for RTP the payload types, in the order of preference.
    pub formats: Vec<String>,
    /// This medium's own `c=` line.
    pub connection: Option<Connection>,
    /// This medium's `a=` lines.
    pub attributes: Vec<Attribute>,
}

impl Attribute {
    /// Makes `a=name`.
    #[must_use]
    pub fn flag(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: None,
        }
    }

    /// Makes `a=name:value`.
    #[must_use]
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            value: Some(value.into()),
        }
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(_) if self.name == crypto::CRYPTO => write!(f, "a={}:***", self.name),
            Some(value) => write!(f, "a={}:{value}", self.name),
            None => write!(f, "a={}", self.name),
        }
    }
}

impl MediaDescription {
    /// Finds the first attribute of that name; the value of a flag is empty.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    /// Tells which way sound flows, as the side that wrote the description sees it: the medium's
    /// own attribute, else the session's, else both ways (RFC 8866 §6.7).
    #[must_use]
    pub fn direction(&self, session: &SessionDescription) -> Direction {
        Direction::among(&self.attributes)
            .or_else(|| Direction::among(&session.attributes))
            .unwrap_or(Direction::SendRecv)
    }

    /// Finds where this medium is received: its own `c=` line, else the session's.
    #[must_use]
    pub fn connection<'a>(&'a self, session: &'a SessionDescription) -> Option<&'a Connection> {
        self.connection.as_ref().or(session.connection.as_ref())
    }
}

impl SessionDescription {
    /// Finds the first of the session's own attributes of that name; a flag's value is empty.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    /// Finds the first `m=` line that carries audio and was not declined.
    #[must_use]
    pub fn audio(&self) -> Option<&MediaDescription> {
        self.media.iter().find(|media| media.is_live_audio())
    }

    /// Makes this description the successor of `previous` in the same session: it keeps the
    /// session identifier, and the version rises by one only where something changed
    /// (RFC 3264 §8).
    #[must_use]
    pub fn succeeding(mut self, previous: &Self) -> Self {
        self.origin.username.clone_from(&previous.origin.username);
        self.origin
            .session_id
            .clone_from(&previous.origin.session_id);
        self.origin.version.clone_from(&previous.origin.version);
        if self != *previous {
            let version = previous.origin.version.parse::<u64>().unwrap_or(0);
            self.origin.version = version.wrapping_add(1).to_string();
        }
        self
    }
}

impl MediaDescription {
    fn is_live_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case("audio") && self.port != 0
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|attribute| attribute.name == name)
        .map(|attribute| attribute.value.as_deref().unwrap_or_default())
}
