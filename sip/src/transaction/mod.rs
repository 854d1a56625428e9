//! The four transactions of RFC 3261 §17, with the Accepted state and Timers L and M of RFC 6026.
//!
//! Each machine knows nothing of messages: its owner tells it what kind of message came (a status,
//! a retransmitted request, an ACK) and when, and is told in return what to do with the message
//! that it keeps (send it again, hand it on, forget the transaction). So a machine is a few words
//! of memory, and every line of the RFC's state diagrams can be tested by itself.
//!
//! Driving one is always the same: feed it, act on the answer, then arm one timer for
//! `deadline()`, and call `handle_timeout` when that is due.

mod invite_client;
mod invite_server;
mod non_invite_client;
mod non_invite_server;
mod timers;

pub use invite_client::{InviteClient, InviteClientState};
pub use invite_server::{AckReceived, InviteServer, InviteServerState};
pub use non_invite_client::{NonInviteClient, NonInviteClientState};
pub use non_invite_server::{NonInviteServer, NonInviteServerState};
pub use timers::{Timer, Timers};

/// What the owner of a client transaction does with a response that it was sent.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum OnResponse {
    /// The response is a retransmission, or comes too late: it is dropped.
    Ignore,
    /// The response goes to the transaction user.
    Deliver,
    /// The response goes to the transaction user, and an ACK is built, kept and sent
    /// (RFC 3261 §17.1.1.3).
    DeliverAndAck,
    /// The ACK that was kept is sent again.
    Reack,
}

/// What the owner of a server transaction does with a request that matches it.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum OnRequest {
    /// The request is absorbed.
    Absorb,
    /// The last response that was sent is sent again.
    Resend,
}

/// What the owner of a server transaction does with a response of the transaction user.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum OnRespond {
    /// The response is kept as the last one and sent.
    Send,
    /// The transaction has had its final response: this one is dropped.
    Refuse,
}

/// What the owner of a transaction does when its deadline has come.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum OnTimeout {
    /// Nothing was due yet.
    Nothing,
    /// The kept message is sent again.
    Retransmit,
    /// The peer never answered: the transaction user is told, the transaction is forgotten.
    TimedOut,
    /// The transaction has served its time and is forgotten.
    Terminated,
}
