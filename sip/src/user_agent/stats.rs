//! What a user agent counts.

/// Counters since the user agent began; each only rises.
#[derive(Copy, Clone, Eq, PartialEq, Default, Debug)]
pub struct Stats {
    /// Requests received, retransmissions included.
    pub requests_received: u64,
    /// Responses received, retransmissions included.
    pub responses_received: u64,
    /// Messages sent, retransmissions included.
    pub sent: u64,
    /// What was received and is no SIP message.
    pub malformed: u64,
    /// Malformed requests that could still be answered 400.
    pub answered_400: u64,
    /// Responses that match no transaction, and ACKs that match nothing.
    pub stray: u64,
    /// Requests that were challenged.
    pub challenged: u64,
    /// Requests with credentials that were wrong.
    pub auth_failed: u64,
    /// Requests refused because their source is unknown.
    pub refused: u64,
    /// Requests refused with 503 because a bound was reached.
    pub overloaded: u64,
    /// Messages that we sent again.
    pub retransmissions: u64,
    /// Messages that the peer sent again.
    pub retransmissions_received: u64,
    /// Answers that were never acknowledged.
    pub no_ack: u64,
    /// Reliable provisional responses that were never acknowledged (RFC 3262 §3).
    pub no_prack: u64,
    /// Client transactions that nobody answered.
    pub timeouts: u64,
    /// Requests refused with 482: they came twice on different ways, or came back to us.
    pub loops: u64,
    /// Calls that came in.
    pub calls_in: u64,
    /// Calls that went out.
    pub calls_out: u64,
    /// Messages dropped unread because their source is banned.
    pub dropped_banned: u64,
    /// Messages dropped because their source sent more than [`crate::Guard::messages_per_s`].
    pub dropped_flood: u64,
    /// Messages dropped because they called themselves a scanner's.
    pub dropped_scanner: u64,
    /// Answers that were not sent because a stranger would have got more bytes than it sent.
    pub withheld: u64,
    /// Bans for sending too much.
    pub bans_flood: u64,
    /// Bans for wrong credentials.
    pub bans_wrong_credentials: u64,
    /// Bans of scanners.
    pub bans_scanner: u64,
}
