//! The INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1).

use std::time::{Duration, Instant};

use super::{OnRequest, OnRespond, OnTimeout, Timer, Timers};

/// The INVITE server transaction: answers retransmitted INVITEs, retransmits a non-2xx final
/// response until its ACK, and after a 2xx absorbs INVITEs while the user agent retransmits.
#[derive(Clone, Debug)]
pub struct InviteServer {
    state: State,
    timers: Timers,
    reliable: bool,
}

/// The state of an [`InviteServer`] by name, for tests and logs.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[allow(missing_docs)] // the names are the RFC's
pub enum InviteServerState {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

/// What an ACK that matches the transaction means to its owner.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum AckReceived {
    /// It acknowledges a non-2xx final response: the transaction consumes it.
    Consumed,
    /// It acknowledges a 2xx: it goes to the transaction user (RFC 6026 §7.1).
    Deliver,
    /// Nothing was to be acknowledged.
    Ignore,
}

#[derive(Copy, Clone, Debug)]
enum State {
    Proceeding,
    Completed {
        resend: Option<(Instant, Duration)>,
        give_up_at: Instant,
    },
    Confirmed {
        until: Instant,
    },
    Accepted {
        until: Instant,
    },
    Terminated,
}

impl InviteServer {
    /// Starts in Proceeding: the owner sends 100 or a better response at once.
    pub fn new(reliable: bool, timers: Timers) -> Self {
        Self {
            state: State::Proceeding,
            timers,
            reliable,
        }
    }

    /// Takes a retransmission of the INVITE.
    pub fn handle_request(&mut self) -> OnRequest {
        match self.state {
            State::Proceeding | State::Completed { .. } => OnRequest::Resend,
            State::Confirmed { .. } | State::Accepted { .. } | State::Terminated => {
                OnRequest::Absorb
            }
        }
    }

    /// Takes a response of the transaction user.
    pub fn respond(&mut self, now: Instant, status: u16) -> OnRespond {
        let State::Proceeding = self.state else {
            return OnRespond::Refuse;
        };
        match status {
            0..=199 => {}
            200..=299 => {
                self.state = State::Accepted {
                    until: now + self.timers.give_up(),
                };
            }
            _ => {
                let resend = (!self.reliable).then(|| (now + self.timers.t1, self.timers.t1));
                let give_up_at = now + self.timers.give_up();
                self.state = State::Completed { resend, give_up_at };
            }
        }
        OnRespond::Send
    }

    /// Takes an ACK.
    pub fn handle_ack(&mut self, now: Instant) -> AckReceived {
        match self.state {
            State::Completed { .. } => {
                let wait = if self.reliable {
                    Duration::ZERO
                } else {
                    self.timers.t4
                };
                self.state = State::Confirmed { until: now + wait };
                AckReceived::Consumed
            }
            State::Confirmed { .. } => AckReceived::Consumed,
            State::Accepted { .. } => AckReceived::Deliver,
            State::Proceeding | State::Terminated => AckReceived::Ignore,
        }
    }

    /// Acts on whichever timer is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> OnTimeout {
        match self.state {
            State::Completed { resend, give_up_at } => {
                self.completed_timeout(now, resend, give_up_at)
            }
            State::Confirmed { until } | State::Accepted { until } if until <= now => {
                self.state = State::Terminated;
                OnTimeout::Terminated
            }
            _ => OnTimeout::Nothing,
        }
    }

    /// Timers G and H (RFC 3261 §17.2.1).
    fn completed_timeout(
        &mut self,
        now: Instant,
        resend: Option<(Instant, Duration)>,
        give_up_at: Instant,
    ) -> OnTimeout {
        if give_up_at <= now {
            self.state = State::Terminated;
            return OnTimeout::TimedOut;
        }
        match resend {
            Some((at, interval)) if at <= now => {
                let interval = self.timers.backed_off(interval);
                self.state = State::Completed {
                    resend: Some((now + interval, interval)),
                    give_up_at,
                };
                OnTimeout::Retransmit
            }
            _ => OnTimeout::Nothing,
        }
    }

    /// Returns when `handle_timeout` is next to be called, and for which timer.
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        match self.state {
            State::Completed {
                resend: Some((at, _)),
                give_up_at,
            } if at < give_up_at => Some((at, Timer::G)),
            State::Completed { give_up_at, .. } => Some((give_up_at, Timer::H)),
            State::Confirmed { until } => Some((until, Timer::I)),
            State::Accepted { until } => Some((until, Timer::L)),
            State::Proceeding | State::Terminated => None,
        }
    }

    /// Returns the state by name.
    pub fn state(&self) -> InviteServerState {
        match self.state {
            State::Proceeding => InviteServerState::Proceeding,
            State::Completed { .. } => InviteServerState::Completed,
            State::Confirmed { .. } => InviteServerState::Confirmed,
            State::Accepted { .. } => InviteServerState::Accepted,
            State::Terminated => InviteServerState::Terminated,
        }
    }
}
