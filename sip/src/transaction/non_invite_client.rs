//! The non-INVITE client transaction (RFC 3261 §17.1.2).

use std::time::{Duration, Instant};

use super::{OnResponse, OnTimeout, Timer, Timers};

/// The non-INVITE client transaction: retransmits the request until its final response.
#[derive(Clone, Debug)]
pub struct NonInviteClient {
    state: State,
    timers: Timers,
    reliable: bool,
}

/// The state of a [`NonInviteClient`] by name, for tests and logs.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[allow(missing_docs)] // the names are the RFC's
pub enum NonInviteClientState {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Copy, Clone, Debug)]
enum State {
    Open {
        proceeding: bool,
        resend: Option<(Instant, Duration)>,
        give_up_at: Instant,
    },
    Completed {
        until: Instant,
    },
    Terminated,
}

impl NonInviteClient {
    /// Starts in Trying: the owner has just sent the request.
    pub fn new(now: Instant, reliable: bool, timers: Timers) -> Self {
        let resend = (!reliable).then(|| (now + timers.t1, timers.t1));
        let give_up_at = now + timers.give_up();
        let state = State::Open {
            proceeding: false,
            resend,
            give_up_at,
        };
        Self {
            state,
            timers,
            reliable,
        }
    }

    /// Takes a response with `status` and says what becomes of it (RFC 3261 §17.1.2.2).
    pub fn handle_response(&mut self, now: Instant, status: u16) -> OnResponse {
        let State::Open {
            resend, give_up_at, ..
        } = self.state
        else {
            return OnResponse::Ignore;
        };
        self.state = if status < 200 {
            State::Open {
                proceeding: true,
                resend,
                give_up_at,
            }
        } else {
            let wait = if self.reliable {
                Duration::ZERO
            } else {
                self.timers.t4
            };
            State::Completed { until: now + wait }
        };
        OnResponse::Deliver
    }

    /// Acts on whichever timer is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> OnTimeout {
        match self.state {
            State::Open { give_up_at, .. } if give_up_at <= now => {
                self.state = State::Terminated;
                OnTimeout::TimedOut
            }
            State::Open {
                proceeding,
                resend: Some((at, interval)),
                give_up_at,
            } if at <= now => {
                // Timer E: doubled up to T2 in Trying, T2 in Proceeding.
                let interval = if proceeding {
                    self.timers.t2
                } else {
                    self.timers.backed_off(interval)
                };
                let resend = Some((now + interval, interval));
                self.state = State::Open {
                    proceeding,
                    resend,
                    give_up_at,
                };
                OnTimeout::Retransmit
            }
            State::Completed { until } if until <= now => {
                self.state = State::Terminated;
                OnTimeout::Terminated
            }
            _ => OnTimeout::Nothing,
        }
    }

    /// Ends the transaction because the transport refused the request; returns whether the
    /// transaction user is to be told (RFC 3261 §17.1.4).
    pub fn transport_failed(&mut self) -> bool {
        let unanswered = matches!(
            self.state,
            State::Open {
                proceeding: false,
                ..
            }
        );
        if unanswered {
            self.state = State::Terminated;
        }
        unanswered
    }

    /// Ends the transaction because the only way to the peer is gone, so that even one who works on
    /// the request answers no more; returns whether the transaction user is to be told.
    pub fn peer_gone(&mut self) -> bool {
        let open = matches!(self.state, State::Open { .. });
        if open {
            self.state = State::Terminated;
        }
        open
    }

    /// Returns when `handle_timeout` is next to be called, and for which timer.
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        match self.state {
            State::Open {
                resend: Some((at, _)),
                give_up_at,
                ..
            } if at < give_up_at => Some((at, Timer::E)),
            State::Open { give_up_at, .. } => Some((give_up_at, Timer::F)),
            State::Completed { until } => Some((until, Timer::K)),
            State::Terminated => None,
        }
    }

    /// Returns the state by name.
    pub fn state(&self) -> NonInviteClientState {
        match self.state {
            State::Open {
                proceeding: false, ..
            } => NonInviteClientState::Trying,
            State::Open {
                proceeding: true, ..
            } => NonInviteClientState::Proceeding,
            State::Completed { .. } => NonInviteClientState::Completed,
            State::Terminated => NonInviteClientState::Terminated,
        }
    }
}
