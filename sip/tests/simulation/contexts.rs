//! A proxy's response contexts (RFC 3261 §16.7): a request that came in, the branches that it went
//! out on, and which of their answers goes back.

use std::sync::Arc;
use std::time::Instant;

use offhook_sip::message::{HeaderName, Message};
use offhook_sip::transaction::{
    AckReceived, InviteClient, InviteServer, NonInviteClient, NonInviteServer, OnRequest,
    OnRespond, OnResponse, OnTimeout,
};
use offhook_sip::{Flow, Timers, Transmit};

use crate::draft::Draft;

/// Names a response context.
pub(crate) type Number = u64;

/// A request that came in, and what became of it.
pub(crate) struct Context {
    machine: Server,
    /// What matches a request to it.
    pub(crate) key: String,
    /// Where answers go.
    flow: Flow,
    pub(crate) request: Vec<u8>,
    last: Option<Arc<[u8]>>,
    pub(crate) branches: Vec<Branch>,
    /// Whether it has had its final response.
    is_final: bool,
}

/// Where a request went, and what came back.
pub(crate) struct Branch {
    /// What matches a response to it.
    pub(crate) key: String,
    /// The final response, if it is not passed on at once.
    pub(crate) refusal: Option<(u16, Draft)>,
    pub(crate) is_over: bool,
}

enum Server {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

impl Context {
    pub(crate) fn new(
        now: Instant,
        flow: Flow,
        (key, request): (String, Vec<u8>),
        (is_invite, timers): (bool, Timers),
    ) -> Self {
        let reliable = flow.transport.is_reliable();
        let machine = match is_invite {
            true => Server::Invite(InviteServer::new(reliable, timers)),
            false => Server::NonInvite(NonInviteServer::new(now, reliable, timers)),
        };
        Self {
            machine,
            key,
            flow,
            request,
            last: None,
            branches: Vec::new(),
            is_final: false,
        }
    }

    pub(crate) fn is_invite(&self) -> bool {
        matches!(self.machine, Server::Invite(_))
    }

    /// Takes the request again; returns what is sent again.
    pub(crate) fn again(&mut self) -> Option<Transmit> {
        let resends = match &mut self.machine {
            Server::Invite(machine) => machine.handle_request(),
            Server::NonInvite(machine) => machine.handle_request(),
        };
        (resends == OnRequest::Resend).then(|| self.repeated())?
    }

    fn repeated(&self) -> Option<Transmit> {
        let bytes = self.last.clone()?;
        Some(Transmit {
            flow: self.flow,
            bytes,
        })
    }

    /// Answers; returns what is sent, unless the final response has been. A 2xx to an INVITE always
    /// goes (RFC 6026 §7.1): of each callee, and each time that it comes.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        status: u16,
        bytes: Vec<u8>,
    ) -> Option<Transmit> {
        let is_2xx = (200..300).contains(&status);
        let sends = match &mut self.machine {
            Server::Invite(machine) => machine.respond(now, status),
            Server::NonInvite(machine) => machine.respond(now, status),
        };
        let transmit = Transmit {
            flow: self.flow,
            bytes: bytes.into(),
        };
        if sends == OnRespond::Refuse {
            return (self.is_invite() && is_2xx).then_some(transmit);
        }
        self.is_final |= status >= 200;
        self.last = (!(self.is_invite() && is_2xx)).then(|| transmit.bytes.clone());
        Some(transmit)
    }

    /// Takes an ACK; false where it is to go on.
    pub(crate) fn acknowledge(&mut self, now: Instant) -> bool {
        match &mut self.machine {
            Server::Invite(machine) => machine.handle_ack(now) != AckReceived::Deliver,
            Server::NonInvite(_) => true,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let deadline = match &self.machine {
            Server::Invite(machine) => machine.deadline(),
            Server::NonInvite(machine) => machine.deadline(),
        };
        deadline.map(|(at, _)| at)
    }

    /// Acts on its timer: what is sent again, or that it is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<Option<Transmit>, Over> {
        let due = match &mut self.machine {
            Server::Invite(machine) => machine.handle_timeout(now),
            Server::NonInvite(machine) => machine.handle_timeout(now),
        };
        match due {
            OnTimeout::Nothing => Ok(None),
            OnTimeout::Retransmit => Ok(self.repeated()),
            OnTimeout::TimedOut | OnTimeout::Terminated => Err(Over),
        }
    }

    /// Returns the best of the refusals once no branch can answer any more (§16.7 step 6): a 6xx,
    /// else of the lowest class, and of the 4xx rather one that the caller can mend.
    pub(crate) fn best(&mut self) -> Option<(u16, Draft)> {
        if self.is_final || !self.branches.iter().all(|branch| branch.is_over) {
            return None;
        }
        let rank = |status: u16| match status {
            600.. => (0, 0),
            401 | 407 | 415 | 420 | 484 => (4, 0),
            408 | 481 | 482 | 487 => (4, 2),
            _ => (status / 100, 1),
        };
        let refusals = self.branches.iter().filter_map(|b| b.refusal.as_ref());
        let (status, best) = refusals.clone().min_by_key(|(status, _)| rank(*status))?;
        let (mut status, mut best) = (*status, best.clone());
        if matches!(status, 401 | 407) {
            // Step 7: the caller answers all that challenge it.
            for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate] {
                let asked: Vec<String> = refusals
                    .clone()
                    .flat_map(|(_, refusal)| refusal.values(name).map(str::to_owned))
                    .collect();
                best.remove(name);
                asked.into_iter().for_each(|value| best.add(name, value));
            }
        }
        if status == 503 {
            status = 500;
            best.set_status(status);
        }
        Some((status, best))
    }
}

/// A transaction is to be forgotten.
pub(crate) struct Over;

/// A request that went out.
pub(crate) struct Client {
    machine: Machine,
    pub(crate) flow: Flow,
    pub(crate) request: Draft,
    bytes: Arc<[u8]>,
    ack: Option<Transmit>,
    /// None for a CANCEL, whose answer nobody waits for.
    pub(crate) context: Option<Number>,
    /// When an INVITE is given up that only works on it (§16.8).
    timer_c: Option<Instant>,
    /// Whether anything was heard: only then may a CANCEL be sent (§9.1).
    heard: bool,
    cancelled: Cancelled,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Cancelled {
    No,
    Wanted,
    Sent,
}

enum Machine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

/// What a client's timer says.
pub(crate) enum Due {
    Nothing,
    Send(Transmit),
    /// Nobody answers any more.
    GivenUp,
    /// Only that it goes on was heard, for too long: it is to be cancelled.
    TimerC,
    Over,
}

impl Client {
    /// Sends a request.
    pub(crate) fn new(
        now: Instant,
        flow: Flow,
        request: Draft,
        context: Option<Number>,
        (timers, is_invite): (Timers, bool),
    ) -> (Self, Transmit) {
        let reliable = flow.transport.is_reliable();
        let machine = match is_invite {
            true => Machine::Invite(InviteClient::new(now, reliable, timers)),
            false => Machine::NonInvite(NonInviteClient::new(now, reliable, timers)),
        };
        let bytes: Arc<[u8]> = request.write().into();
        let transmit = Transmit {
            flow,
            bytes: bytes.clone(),
        };
        let client = Self {
            machine,
            flow,
            request,
            bytes,
            ack: None,
            context,
            timer_c: is_invite.then(|| now + timers.c),
            heard: false,
            cancelled: Cancelled::No,
        };
        (client, transmit)
    }

    /// Takes a response: whether it goes on, and what is sent back for it.
    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        (message, status): (&Message<'_>, u16),
        timers: &Timers,
    ) -> (bool, Option<Transmit>) {
        let action = match &mut self.machine {
            Machine::Invite(machine) => machine.handle_response(now, status),
            Machine::NonInvite(machine) => machine.handle_response(now, status),
        };
        if action == OnResponse::Deliver || action == OnResponse::DeliverAndAck {
            self.heard = true;
            self.timer_c = match status {
                // Step 2: 100 does not count.
                101..=199 => self.timer_c.map(|_| now + timers.c),
                100 => self.timer_c,
                _ => None,
            };
        }
        match action {
            OnResponse::Ignore => (false, None),
            OnResponse::Deliver => (true, None),
            OnResponse::Reack => (false, self.ack.clone()),
            OnResponse::DeliverAndAck => {
                let bytes = self.request.beside("ACK", message.header(HeaderName::To));
                self.ack = Some(Transmit {
                    flow: self.flow,
                    bytes: bytes.into(),
                });
                (true, self.ack.clone())
            }
        }
    }

    /// Wants an INVITE cancelled; true where the CANCEL is due now.
    pub(crate) fn cancel(&mut self, now: Instant) -> bool {
        let Machine::Invite(machine) = &mut self.machine else {
            return false;
        };
        if self.cancelled == Cancelled::Sent {
            return false;
        }
        self.cancelled = Cancelled::Wanted;
        self.timer_c = None;
        machine.abandon(now);
        self.cancels()
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.heard
    }

    /// Whether the CANCEL that was wanted is due, now that something may have been heard.
    pub(crate) fn cancels(&mut self) -> bool {
        let due = self.heard && self.cancelled == Cancelled::Wanted;
        if due {
            self.cancelled = Cancelled::Sent;
        }
        due
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let machine = match &self.machine {
            Machine::Invite(machine) => machine.deadline(),
            Machine::NonInvite(machine) => machine.deadline(),
        };
        let machine = machine.map(|(at, _)| at);
        machine.into_iter().chain(self.timer_c).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        if self.timer_c.is_some_and(|at| at <= now) {
            self.timer_c = None;
            return Due::TimerC;
        }
        let due = match &mut self.machine {
            Machine::Invite(machine) => machine.handle_timeout(now),
            Machine::NonInvite(machine) => machine.handle_timeout(now),
        };
        match due {
            OnTimeout::Nothing => Due::Nothing,
            OnTimeout::Retransmit => Due::Send(Transmit {
                flow: self.flow,
                bytes: self.bytes.clone(),
            }),
            OnTimeout::TimedOut => Due::GivenUp,
            OnTimeout::Terminated => Due::Over,
        }
    }
}
