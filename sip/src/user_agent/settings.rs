//! What a user agent is told once, and what it is asked to do.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use crate::access::Access;
use crate::flow::Flow;
use crate::guard::Guard;
use crate::network::Advertise;
use crate::transaction::Timers;

/// How a [`super::UserAgent`] presents itself, whom it lets in, and its bounds.
#[derive(Clone)]
pub struct Settings {
    /// The product that `User-Agent` and `Server` name, such as `Offhook/0.1.0`.
    pub product: String,
    /// The timers of RFC 3261 table 4.
    pub timers: Timers,
    /// How many calls may be kept, those that only wait for their BYE's answer included; an INVITE
    /// beyond gets 503 with Retry-After.
    pub max_calls: usize,
    /// How many transactions there may be, those that only absorb retransmissions included.
    pub max_transactions: usize,
    /// Where tags, branches, Call-IDs and nonces come from: fresh from the system at every start,
    /// fixed in a simulation.
    pub seed: [u8; 32],
    /// Which of our addresses messages name.
    pub advertise: Advertise,
    /// Who may call and register.
    pub access: Access,
    /// What a source may cost that is nobody we know.
    pub guard: Guard,
    /// Whether peers may transfer calls (REFER, Replaces): whoever says so must act on what they ask.
    pub transfers: bool,
    /// What a 503 asks the peer to wait, in seconds.
    pub retry_after_s: u32,
    /// How often a call's two sides make sure of each other.
    pub session: SessionTimer,
    /// Whether provisional responses are delivered reliably.
    pub reliable: Reliable,
}

/// The option tag of reliable provisional responses (RFC 3262 §8.1).
pub(super) const RELIABLE: &str = "100rel";

/// Whether provisional responses are delivered reliably (RFC 3262): acknowledged by PRACK, and sent
/// again until they are.
#[derive(Clone, Copy, Eq, PartialEq, Default, Debug)]
pub enum Reliable {
    /// Never: PRACK is a method that we do not serve, and an INVITE that demands it gets 420.
    Off,
    /// Where the peer wants it: an INVITE of ours that makes a call and has an offer says that we
    /// can, and a call that comes in gets them as its INVITE asks.
    #[default]
    Supported,
    /// The same, and an INVITE of ours that makes a call and has an offer demands it: a callee that
    /// cannot refuses with 420.
    Required,
}

/// The session timer that is asked for and agreed to (RFC 4028).
#[derive(Clone, Copy, Eq, PartialEq, Debug)]
pub struct SessionTimer {
    /// The interval that our INVITE asks for, in seconds, and never less than `min_se_s`; half of
    /// it is between two refreshes (§7.1). 0 asks for none; what a peer asks for is kept all the
    /// same.
    pub expires_s: u32,
    /// The least interval that a call may come with, in seconds: one with less gets 422 (§9). 90
    /// is the least that may be (§5).
    pub min_se_s: u32,
}

impl Default for SessionTimer {
    /// Returns what §4 and §5 recommend.
    fn default() -> Self {
        Self {
            expires_s: 1800,
            min_se_s: 90,
        }
    }
}

impl fmt::Debug for Settings {
    /// Leaves the seed out, which every secret comes from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("product", &self.product)
            .field("timers", &self.timers)
            .field("max_calls", &self.max_calls)
            .field("max_transactions", &self.max_transactions)
            .field("advertise", &self.advertise)
            .field("access", &self.access)
            .field("guard", &self.guard)
            .field("transfers", &self.transfers)
            .field("retry_after_s", &self.retry_after_s)
            .field("session", &self.session)
            .field("reliable", &self.reliable)
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    /// Returns settings that admit nobody, with a seed that must be replaced outside tests.
    fn default() -> Self {
        Self {
            product: "Offhook".to_owned(),
            timers: Timers::default(),
            max_calls: 10_000,
            max_transactions: 200_000,
            seed: [0; 32],
            advertise: Advertise::default(),
            access: Access::default(),
            guard: Guard::default(),
            transfers: false,
            retry_after_s: 5,
            session: SessionTimer::default(),
            reliable: Reliable::default(),
        }
    }
}

/// A call to place.
#[derive(Clone, Debug)]
pub struct Invite {
    /// The Request-URI, such as `sip:+12025550123@acme.pstn.twilio.com`.
    pub request_uri: String,
    /// The To, as a URI or a name-addr.
    pub to: String,
    /// The From, as a URI or a name-addr: the caller ID that we own. No tag.
    pub from: String,
    /// The preloaded route set (RFC 3261 §8.1.2), such as `<sip:pstn.ashburn.twilio.com;lr>`.
    pub route: Vec<String>,
    /// Where the INVITE goes.
    pub flow: Flow,
    /// Our end of the TCP connection that takes the call's requests which are too large for a
    /// datagram (RFC 3261 §18.1.1); none where they go over UDP however large they are.
    pub stream: Option<SocketAddr>,
    /// What to answer a challenge with.
    pub credentials: Option<crate::digest::Credentials>,
    /// The offer.
    pub body: Vec<u8>,
    /// The offer's media type, such as `application/sdp`.
    pub content_type: String,
    /// Further header fields; a `Max-Forwards` here replaces the usual 70.
    pub headers: Vec<(String, String)>,
}

/// A binding to keep alive at a registrar (RFC 3261 §10).
#[derive(Clone, Debug)]
pub struct Register {
    /// The Request-URI: the registrar's domain without a user part, such as `sip:example.com`.
    pub registrar_uri: String,
    /// The address-of-record, such as `sip:alice@example.com`.
    pub aor: String,
    /// The user part of the Contact that the registrar shall send calls to.
    pub contact_user: String,
    /// Where the REGISTER goes.
    pub flow: Flow,
    /// As [`Invite::stream`].
    pub stream: Option<SocketAddr>,
    /// The preloaded route set: an outbound proxy.
    pub route: Vec<String>,
    /// What to answer a challenge with.
    pub credentials: Option<crate::digest::Credentials>,
    /// The lifetime to ask for, in seconds; the registrar grants what it will.
    pub expires_s: u32,
}

/// A question whether a peer is there (RFC 3261 §11).
#[derive(Clone, Debug)]
pub struct OptionsPing {
    /// The Request-URI.
    pub uri: String,
    /// Where the OPTIONS goes.
    pub flow: Flow,
    /// The preloaded route set.
    pub route: Vec<String>,
}

/// Why a request could not be sent at all.
#[derive(Clone, Eq, PartialEq, Debug, Error)]
pub enum Error {
    /// [`Settings::max_calls`] or [`Settings::max_transactions`] is reached.
    #[error("no more calls or transactions may be opened")]
    Overloaded,
    /// The named part is not what SIP lets it be.
    #[error("{what} `{text}` cannot be written into a SIP message")]
    Unwritable {
        /// Which part, such as `Request-URI`.
        what: &'static str,
        /// What it holds.
        text: String,
    },
}

/// Timing that is ours and not a transaction's.
pub(super) mod pace {
    use super::Duration;

    /// How often a ringing UAS repeats its provisional response, so that no proxy's Timer C fires
    /// (RFC 3261 §13.3.1.1).
    pub(crate) const STILL_RINGING: Duration = Duration::from_secs(60);
    /// How long nothing may be heard of a transfer, by us or by the peer, until it is given up.
    pub(crate) const REFER_SILENCE: Duration = Duration::from_secs(180);
    /// How long a report on a transfer is good for, in seconds (RFC 3515 §2.4.4).
    pub(crate) const REFER_EXPIRES_S: u32 = 60;
    /// How long after a report it is repeated, so that it does not expire.
    pub(crate) const REFER_REPEAT: Duration = Duration::from_secs(45);
    /// How long the switch may think about a REFER: well within the peer's Timer F.
    pub(crate) const REFER_UNANSWERED: Duration = Duration::from_secs(5);
    /// The Retry-After of a 500 for an overlapping re-INVITE: 0 to this many seconds (§14.2).
    pub(crate) const OVERLAP_RETRY_S: u32 = 10;
}
