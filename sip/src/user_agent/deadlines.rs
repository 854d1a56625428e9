//! When to wake up next, and why.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Instant;

use super::{CallHandle, RegistrationHandle};
use crate::transaction::Timer;

/// Why a user agent wants to be woken.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Reason {
    /// A transaction's timer.
    Transaction(Timer),
    /// A 2xx is sent again, until its ACK comes (RFC 3261 §13.3.1.4).
    Retransmit2xx,
    /// A 2xx was never acknowledged.
    NoAck,
    /// A reliable provisional response is sent again, until its PRACK comes (RFC 3262 §3).
    RetransmitProvisional,
    /// A reliable provisional response was never acknowledged.
    NoPrack,
    /// A provisional response is repeated towards proxies (RFC 3261 §13.3.1.1).
    StillRinging,
    /// A call that we place has heard nothing new for Timer C.
    TimerC,
    /// Our re-INVITE met the peer's and is tried again (RFC 3261 §14.1).
    Glare,
    /// Our re-INVITE gets no final answer, and is cancelled.
    OfferUnanswered,
    /// The session is refreshed: by us, or because the peer has not (RFC 4028 §10).
    SessionTimer,
    /// A report on a transfer is due, or has not come, or the switch has not answered a REFER.
    Transfer,
    /// A registration is refreshed or tried again.
    Register,
    /// A registration's flow is kept open.
    KeepAlive,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transaction(timer) => timer.fmt(f),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Whose deadline it is.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub(super) enum Owner {
    Client(super::clients::ClientId),
    Server(u64),
    Call(CallHandle),
    Registration(RegistrationHandle),
}

/// One deadline per owner, in order; setting one replaces the last, so nothing stale is kept.
#[derive(Default)]
pub(super) struct Deadlines {
    order: BTreeSet<(Instant, Owner)>,
    of: HashMap<Owner, (Instant, Reason)>,
}

impl Deadlines {
    /// Sets, moves or, by `None`, removes the deadline of `owner`.
    pub(super) fn set(&mut self, owner: Owner, deadline: Option<(Instant, Reason)>) {
        let before = match deadline {
            Some(deadline) => self.of.insert(owner, deadline),
            None => self.of.remove(&owner),
        };
        if before.map(|(at, _)| at) == deadline.map(|(at, _)| at) {
            return;
        }
        if let Some((at, _)) = before {
            self.order.remove(&(at, owner));
        }
        if let Some((at, _)) = deadline {
            self.order.insert((at, owner));
        }
    }

    /// Removes and returns one owner whose deadline has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Owner> {
        let &(at, owner) = self.order.first()?;
        if at > now {
            return None;
        }
        self.order.pop_first();
        self.of.remove(&owner);
        Some(owner)
    }

    /// Returns the earliest deadline.
    pub(super) fn next(&self) -> Option<(Instant, Reason)> {
        let (_, owner) = self.order.first()?;
        self.of.get(owner).copied()
    }
}
