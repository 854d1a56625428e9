//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2).

use std::time::{Duration, Instant};

use super::{OnResponse, OnTimeout, Timer, Timers};

/// The INVITE client transaction: retransmits the INVITE until someone answers, acknowledges
/// non-2xx final responses, and after a 2xx stays for forks and retransmissions.
#[derive(Clone, Debug)]
pub struct InviteClient {
    state: State,
    timers: Timers,
    reliable: bool,
    abandoned: bool,
}

/// The state of an [`InviteClient`] by name, for tests and logs.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[allow(missing_docs)] // the names are the RFC's
pub enum InviteClientState {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

#[derive(Copy, Clone, Debug)]
enum State {
    Calling {
        resend: Option<(Instant, Duration)>,
        give_up_at: Instant,
    },
    /// With an end only once the INVITE is abandoned.
    Proceeding {
        give_up_at: Option<Instant>,
    },
    Completed {
        until: Instant,
    },
    Accepted {
        until: Instant,
    },
    Terminated,
}

impl InviteClient {
    /// Starts in Calling: the owner has just sent the INVITE (RFC 3261 §17.1.1.2).
    pub fn new(now: Instant, reliable: bool, timers: Timers) -> Self {
        let resend = (!reliable).then(|| (now + timers.t1, timers.t1));
        let state = State::Calling {
            resend,
            give_up_at: now + timers.give_up(),
        };
        Self {
            state,
            timers,
            reliable,
            abandoned: false,
        }
    }

    /// Takes a response with `status` and says what becomes of it.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> OnResponse {
        match self.state {
            State::Calling { .. } | State::Proceeding { .. } => {
                self.response_while_open(now, status)
            }
            State::Completed { .. } if status >= 300 => OnResponse::Reack,
            State::Accepted { .. } if (200..300).contains(&status) => OnResponse::Deliver,
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => {
                OnResponse::Ignore
            }
        }
    }

    /// Calling and Proceeding (RFC 3261 §17.1.1.2; RFC 6026 §7.2 for the 2xx).
    fn response_while_open(&mut self, now: Instant, status: u16) -> OnResponse {
        match status {
            0..=199 => {
                if !matches!(self.state, State::Proceeding { .. }) {
                    let give_up_at = self.abandoned.then(|| now + self.timers.give_up());
                    self.state = State::Proceeding { give_up_at };
                }
                OnResponse::Deliver
            }
            200..=299 => {
                self.state = State::Accepted {
                    until: now + self.timers.give_up(),
                };
                OnResponse::Deliver
            }
            _ => {
                let wait = if self.reliable {
                    Duration::ZERO
                } else {
                    self.timers.d
                };
                self.state = State::Completed { until: now + wait };
                OnResponse::DeliverAndAck
            }
        }
    }

    /// Acts on whichever timer is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> OnTimeout {
        match self.state {
            State::Calling { resend, give_up_at } => self.calling_timeout(now, resend, give_up_at),
            State::Proceeding {
                give_up_at: Some(at),
            } if at <= now => {
                self.state = State::Terminated;
                OnTimeout::TimedOut
            }
            State::Completed { until } | State::Accepted { until } if until <= now => {
                self.state = State::Terminated;
                OnTimeout::Terminated
            }
            _ => OnTimeout::Nothing,
        }
    }

    /// Timers A and B (RFC 3261 §17.1.1.2): A doubles without a ceiling, B ends it.
    fn calling_timeout(
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
                let interval = interval * 2;
                self.state = State::Calling {
                    resend: Some((now + interval, interval)),
                    give_up_at,
                };
                OnTimeout::Retransmit
            }
            _ => OnTimeout::Nothing,
        }
    }

    /// Learns that nobody waits for the answer any more: the INVITE was cancelled, or its dialog
    /// has ended. Without a final response within 64×T1 the transaction is forgotten (RFC 3261
    /// §9.1), where Proceeding alone would wait for ever.
    pub fn abandon(&mut self, now: Instant) {
        self.abandoned = true;
        if let State::Proceeding {
            give_up_at: give_up_at @ None,
        } = &mut self.state
        {
            *give_up_at = Some(now + self.timers.give_up());
        }
    }

    /// Whether nobody waits for its answer any more.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Ends the transaction because the transport refused the INVITE; returns whether the
    /// transaction user is to be told (RFC 3261 §17.1.4).
    pub fn transport_failed(&mut self) -> bool {
        let unanswered = matches!(self.state, State::Calling { .. });
        if unanswered {
            self.state = State::Terminated;
        }
        unanswered
    }

    /// Ends the transaction because the only way to the peer is gone, so that even one who works on
    /// the INVITE answers no more; returns whether the transaction user is to be told.
    pub fn peer_gone(&mut self) -> bool {
        let open = matches!(self.state, State::Calling { .. } | State::Proceeding { .. });
        if open {
            self.state = State::Terminated;
        }
        open
    }

    /// Returns when `handle_timeout` is next to be called, and for which timer.
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        match self.state {
            State::Calling {
                resend: Some((at, _)),
                give_up_at,
            } if at < give_up_at => Some((at, Timer::A)),
            State::Calling { give_up_at, .. }
            | State::Proceeding {
                give_up_at: Some(give_up_at),
            } => Some((give_up_at, Timer::B)),
            State::Completed { until } => Some((until, Timer::D)),
            State::Accepted { until } => Some((until, Timer::M)),
            State::Proceeding { give_up_at: None } | State::Terminated => None,
        }
    }

    /// Returns the state by name.
    pub fn state(&self) -> InviteClientState {
        match self.state {
            State::Calling { .. } => InviteClientState::Calling,
            State::Proceeding { .. } => InviteClientState::Proceeding,
            State::Completed { .. } => InviteClientState::Completed,
            State::Accepted { .. } => InviteClientState::Accepted,
            State::Terminated => InviteClientState::Terminated,
        }
    }
}
