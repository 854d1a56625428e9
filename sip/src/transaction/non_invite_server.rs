//! The non-INVITE server transaction (RFC 3261 §17.2.2).

use std::time::{Duration, Instant};

use super::{OnRequest, OnRespond, OnTimeout, Timer, Timers};

/// The non-INVITE server transaction: repeats its response to retransmitted requests.
///
/// One thing is added to the RFC's diagram: a request that nobody answers within 64×T1 is
/// forgotten, because its client has given up by then (Timer F) and a late answer would only
/// mislead (RFC 4320 §3.1).
#[derive(Clone, Debug)]
pub struct NonInviteServer {
    state: State,
    timers: Timers,
    reliable: bool,
}

/// The state of a [`NonInviteServer`] by name, for tests and logs.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[allow(missing_docs)] // the names are the RFC's
pub enum NonInviteServerState {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Copy, Clone, Debug)]
enum State {
    Open {
        proceeding: bool,
        give_up_at: Instant,
    },
    Completed {
        until: Instant,
    },
    Terminated,
}

impl NonInviteServer {
    /// Starts in Trying.
    pub fn new(now: Instant, reliable: bool, timers: Timers) -> Self {
        let state = State::Open {
            proceeding: false,
            give_up_at: now + timers.give_up(),
        };
        Self {
            state,
            timers,
            reliable,
        }
    }

    /// Takes a retransmission of the request.
    pub fn handle_request(&mut self) -> OnRequest {
        match self.state {
            State::Open {
                proceeding: true, ..
            }
            | State::Completed { .. } => OnRequest::Resend,
            State::Open {
                proceeding: false, ..
            }
            | State::Terminated => OnRequest::Absorb,
        }
    }

    /// Takes a response of the transaction user.
    pub fn respond(&mut self, now: Instant, status: u16) -> OnRespond {
        let State::Open { give_up_at, .. } = self.state else {
            return OnRespond::Refuse;
        };
        self.state = if status < 200 {
            State::Open {
                proceeding: true,
                give_up_at,
            }
        } else {
            let wait = if self.reliable {
                Duration::ZERO
            } else {
                self.timers.give_up()
            };
            State::Completed { until: now + wait }
        };
        OnRespond::Send
    }

    /// Acts on whichever timer is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> OnTimeout {
        match self.state {
            State::Open { give_up_at, .. } if give_up_at <= now => {
                self.state = State::Terminated;
                OnTimeout::TimedOut
            }
            State::Completed { until } if until <= now => {
                self.state = State::Terminated;
                OnTimeout::Terminated
            }
            _ => OnTimeout::Nothing,
        }
    }

    /// Returns when `handle_timeout` is next to be called, and for which timer.
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        match self.state {
            State::Open { give_up_at, .. } => Some((give_up_at, Timer::F)),
            State::Completed { until } => Some((until, Timer::J)),
            State::Terminated => None,
        }
    }

    /// Returns the state by name.
    pub fn state(&self) -> NonInviteServerState {
        match self.state {
            State::Open {
                proceeding: false, ..
            } => NonInviteServerState::Trying,
            State::Open {
                proceeding: true, ..
            } => NonInviteServerState::Proceeding,
            State::Completed { .. } => NonInviteServerState::Completed,
            State::Terminated => NonInviteServerState::Terminated,
        }
    }
}
