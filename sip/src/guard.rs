//! Who is not listened to for a while, and what a stranger may cost.
//!
//! A switch with a public address is scanned within minutes and then tried with passwords by the
//! hundred a second. What such a source sends is dropped before it costs anything, without an
//! answer that would tell it that somebody is here. Three kinds of sources are told apart by
//! [`Standing`]: the trusted ones (a trunk's network, a flow whose user has authenticated lately,
//! a call's other side) are never limited; the proven ones have shown that their address is their
//! own; everyone else is a stranger, who over UDP may be anybody's victim and therefore never gets
//! more bytes than it has sent (RFC 3261 §26.3.2.4).

mod expiring;
mod sentry;
mod watch;

use std::fmt;

use crate::network::Network;

pub(crate) use sentry::{Charge, Sentry};

/// How much a source may cost that is neither a trunk nor a phone that has authenticated.
///
/// A source is an IPv4 address, or the /64 of an IPv6 address: who has one address of it has all.
/// Everything is bounded: at most [`max_sources`](Self::max_sources) sources are watched and as
/// many are banned; of the watched the least suspicious is forgotten first, of the bans the one
/// that ends first, and never a ban for the sake of a source that is only watched.
///
/// The defaults are far from what an office behind one address needs: 200 phones that start at
/// once send 400 REGISTERs and their repetitions before all of them are trusted.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Guard {
    /// How many messages that belong to nothing a source may send each second in the long run; 100
    /// by default, 0 for no limit. What is beyond is dropped.
    pub messages_per_s: u32,
    /// How many it may send at once on top, 1,000 by default. One that goes on until so many are
    /// dropped is banned, unless it has been quiet for `burst / messages_per_s` seconds meanwhile.
    pub burst: u32,
    /// How many wrong credentials within [`failures_within_s`](Self::failures_within_s) ban a
    /// source; 20 by default, 0 for never.
    pub failures: u32,
    /// The time in which wrong credentials are counted, in seconds; 60 by default.
    pub failures_within_s: u32,
    /// How long the first ban of a source lasts, in seconds; 60 by default. Each further one lasts
    /// twice as long as the one before, unless a day has passed in between.
    pub ban_s: u32,
    /// How long a ban lasts at most, in seconds; 3,600 by default.
    pub ban_max_s: u32,
    /// How long a flow is trusted after its user has authenticated, in seconds; 3,600 by default,
    /// which is how long a phone's binding lasts.
    pub trust_s: u32,
    /// Parts of the `User-Agent` of known scanners, in any case: who sends one is banned at once.
    pub scanners: Vec<String>,
    /// Networks that are trusted whatever they send, none by default: neither loopback nor a
    /// private network is trusted by itself.
    pub trusted: Vec<Network>,
    /// How many sources are watched, and how many are banned, at the most; 2,048 by default, which
    /// takes less than 2 MiB when all places are taken. Sixteen times as many flows may be trusted at a time.
    pub max_sources: usize,
    /// Whether a stranger over UDP gets no more bytes than it has sent; true by default. Answers
    /// are then written as short as they may be.
    pub no_amplification: bool,
}

/// The tools that scan the Internet for switches, by what they call themselves.
const SCANNERS: &[&str] = &[
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sipcli",
    "sip-scan",
    "sundayddr",
    "iWar",
    "VaxSIPUserAgent",
    "pplsip",
];

impl Default for Guard {
    fn default() -> Self {
        Self {
            messages_per_s: 100,
            burst: 1_000,
            failures: 20,
            failures_within_s: 60,
            ban_s: 60,
            ban_max_s: 3_600,
            trust_s: 3_600,
            scanners: SCANNERS.iter().map(|name| (*name).to_owned()).collect(),
            trusted: Vec::new(),
            max_sources: 2_048,
            no_amplification: true,
        }
    }
}

impl Guard {
    /// Returns a guard that limits nobody: for a phone, or behind a proxy that guards.
    pub fn off() -> Self {
        Self {
            messages_per_s: 0,
            failures: 0,
            scanners: Vec::new(),
            no_amplification: false,
            ..Self::default()
        }
    }

    /// Returns whether nobody is limited.
    pub fn is_off(&self) -> bool {
        self.messages_per_s == 0
            && self.failures == 0
            && self.scanners.is_empty()
            && !self.no_amplification
    }

    /// Returns whether a `User-Agent` is a scanner's.
    fn is_scanner(&self, user_agent: &str) -> bool {
        // The name comes first; the rest of a long one is not worth the time.
        let bytes = user_agent.as_bytes();
        let bytes = bytes.get(..128).unwrap_or(bytes);
        self.scanners.iter().any(|name| {
            !name.is_empty()
                && bytes
                    .windows(name.len())
                    .any(|part| part.eq_ignore_ascii_case(name.as_bytes()))
        })
    }
}

/// Why a source is banned.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum BanReason {
    /// It sent more than [`Guard::messages_per_s`] and went on.
    Flood,
    /// So many of its credentials were wrong.
    WrongCredentials(u32),
    /// It calls itself by a scanner's name.
    Scanner,
}

impl fmt::Display for BanReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flood => f.write_str("too many messages"),
            Self::WrongCredentials(count) => write!(f, "{count} wrong passwords"),
            Self::Scanner => f.write_str("a scanner"),
        }
    }
}

/// A source that is not listened to.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Ban {
    /// Whose messages are dropped: an IPv4 address or an IPv6 /64.
    pub source: Network,
    /// Why.
    pub reason: BanReason,
    /// For how long from now, in seconds, rounded up.
    pub for_s: u32,
}

/// What is known of where a message came from.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub(crate) enum Standing {
    /// Nothing: over UDP the address may be someone else's.
    Stranger,
    /// The address is its own: what we sent to it came back, or it holds a connection.
    Proven,
    /// A trunk, a phone that has authenticated lately, or the other side of a call.
    Trusted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanner_is_known_by_a_part_of_its_name_in_any_case() {
        let guard = Guard::default();
        for name in [
            "friendly-scanner",
            "SIPVicious/0.3",
            "x sipCLI/v1.8",
            "pplsip",
        ] {
            assert!(guard.is_scanner(name), "{name}");
        }
        for name in ["", "Yealink SIP-T46S 66.85.0.5", "Twilio Gateway", "sip"] {
            assert!(!guard.is_scanner(name), "{name}");
        }
        let late = format!("{}sipcli", "x".repeat(200));
        assert!(!guard.is_scanner(&late) && !Guard::off().is_scanner("sipcli"));
    }

    #[test]
    fn a_guard_that_is_off_limits_nothing() {
        assert!(Guard::off().is_off() && !Guard::default().is_off());
    }
}
