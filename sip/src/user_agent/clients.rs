//! The client transactions: requests that we sent and what they are for.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::deadlines::{Owner, Reason};
use super::early::Early;
use super::event::Event;
use super::large::Datagram;
use super::{CallHandle, PingHandle, RegistrationHandle, Transmit, UserAgent, compose, prack};
use crate::digest::Attempts;
use crate::flow::Flow;
use crate::message::{MAGIC_COOKIE, Message, Method, Via};
use crate::transaction::{InviteClient, NonInviteClient, OnResponse, OnTimeout, Timer, Timers};

/// How many different answers to one INVITE are acknowledged, and how many early dialogs it has:
/// forks beyond are not.
pub(super) const MAX_FORKS: usize = 8;

/// Names a client transaction by the number that its branch spells; a CANCEL has its INVITE's
/// branch (RFC 3261 §9.1) and is told apart by its method.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub(crate) struct ClientId {
    number: u64,
    is_cancel: bool,
}

impl ClientId {
    /// Returns the name of the CANCEL of this INVITE.
    pub(super) fn of_its_cancel(self) -> Self {
        Self {
            is_cancel: true,
            ..self
        }
    }

    /// Reads the transaction that a response, or our own request come back, belongs to.
    pub(super) fn of(via: &Via<'_>, method: Method<'_>) -> Option<Self> {
        let number = via.branch?.strip_prefix(MAGIC_COOKIE)?;
        let number = (number.len() == 16).then(|| u64::from_str_radix(number, 16).ok())??;
        Some(Self {
            number,
            is_cancel: method == Method::Cancel,
        })
    }
}

impl fmt::Display for ClientId {
    /// Writes the branch.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MAGIC_COOKIE}{:016x}", self.number)
    }
}

/// What a request that we sent is for.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Purpose {
    /// The INVITE that makes a call.
    Invite(CallHandle),
    /// An INVITE within a call.
    Reinvite(CallHandle),
    /// An UPDATE or INVITE that only refreshes a call's session.
    Refresh(CallHandle),
    /// The BYE that ends a call.
    Bye(CallHandle),
    /// The BYE of a callee that a call did without.
    Fork(CallHandle),
    /// A PRACK within an early dialog of a call.
    Prack(CallHandle),
    /// An INFO within a call.
    Info(CallHandle),
    /// A REFER within a call.
    Refer(CallHandle),
    /// A NOTIFY of what becomes of the peer's REFER.
    Report(CallHandle),
    /// A REGISTER.
    Register(RegistrationHandle),
    /// An OPTIONS.
    Ping(PingHandle),
    /// A CANCEL: nobody waits for its answer.
    Nobody,
}

impl Purpose {
    /// Returns the call that the request makes, changes or ends.
    pub(super) fn call(self) -> Option<CallHandle> {
        match self {
            Self::Invite(call)
            | Self::Reinvite(call)
            | Self::Refresh(call)
            | Self::Bye(call)
            | Self::Fork(call)
            | Self::Prack(call)
            | Self::Info(call)
            | Self::Refer(call)
            | Self::Report(call) => Some(call),
            Self::Register(_) | Self::Ping(_) | Self::Nobody => None,
        }
    }
}

/// Why a request got no answer of the peer.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Failure {
    /// Silence, to be taken for 408 (RFC 3261 §8.1.3.1).
    Timeout,
    /// A dead transport, to be taken for 503.
    Transport,
}

impl Failure {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Timeout => 408,
            Self::Transport => 503,
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Timeout => "Request Timeout",
            Self::Transport => "Service Unavailable",
        }
    }
}

/// Either machine.
pub(super) enum ClientMachine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

impl ClientMachine {
    pub(super) fn invite(now: Instant, reliable: bool, timers: Timers) -> Self {
        Self::Invite(InviteClient::new(now, reliable, timers))
    }

    pub(super) fn other(now: Instant, reliable: bool, timers: Timers) -> Self {
        Self::NonInvite(NonInviteClient::new(now, reliable, timers))
    }

    pub(super) fn handle_response(&mut self, now: Instant, status: u16) -> OnResponse {
        match self {
            Self::Invite(machine) => machine.handle_response(now, status),
            Self::NonInvite(machine) => machine.handle_response(now, status),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> OnTimeout {
        match self {
            Self::Invite(machine) => machine.handle_timeout(now),
            Self::NonInvite(machine) => machine.handle_timeout(now),
        }
    }

    fn deadline(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::NonInvite(machine) => machine.deadline(),
        }
    }

    /// Whether it is an INVITE whose answer nobody waits for any more.
    pub(super) fn is_abandoned(&self) -> bool {
        matches!(self, Self::Invite(machine) if machine.is_abandoned())
    }

    fn transport_failed(&mut self) -> bool {
        match self {
            Self::Invite(machine) => machine.transport_failed(),
            Self::NonInvite(machine) => machine.transport_failed(),
        }
    }

    fn peer_gone(&mut self) -> bool {
        match self {
            Self::Invite(machine) => machine.peer_gone(),
            Self::NonInvite(machine) => machine.peer_gone(),
        }
    }
}

/// A client transaction with the message that it repeats.
pub(super) struct Client {
    pub(super) machine: ClientMachine,
    pub(super) purpose: Purpose,
    pub(super) flow: Flow,
    pub(super) request: Arc<[u8]>,
    /// Whether it has not been sent yet: its call does not know where to.
    pub(super) waits_for_way: bool,
    /// Whether it has waited for that once.
    pub(super) was_moved: bool,
    begun: Instant,
    /// What it has been through, in the transactions before this one as well.
    pub(super) attempts: Attempts,
    /// What it goes on as over UDP where its connection comes to nothing.
    pub(super) datagram: Option<Datagram>,
    acks: Vec<Ack>,
    /// The early dialogs that an INVITE has made.
    pub(super) early: Vec<Early>,
}

/// An ACK that was sent, for the fork that answered with `tag`.
struct Ack {
    tag: Box<str>,
    transmit: Transmit,
}

impl Client {
    /// Returns the ACK for a response with this To tag, if one was sent before.
    pub(super) fn ack_for(&self, tag: &str) -> Option<Transmit> {
        self.acks
            .iter()
            .find(|ack| *ack.tag == *tag)
            .map(|ack| ack.transmit.clone())
    }

    /// Returns the session description that the request carries.
    pub(super) fn description(&self) -> Option<Vec<u8>> {
        let request = Message::parse(&self.request).ok()?;
        compose::session_description(&request)
    }

    /// Returns whether the request says that we acknowledge provisional responses.
    pub(super) fn knows_prack(&self) -> bool {
        Message::parse(&self.request).is_ok_and(|request| prack::offers_prack(&request))
    }

    /// Returns whether one more fork may be acknowledged.
    pub(super) fn has_room_for_fork(&self) -> bool {
        self.acks.len() < MAX_FORKS
    }

    /// Keeps an ACK to be repeated.
    pub(super) fn keep_ack(&mut self, tag: &str, transmit: Transmit) {
        self.acks.push(Ack {
            tag: tag.into(),
            transmit,
        });
    }
}

impl UserAgent {
    /// Draws the branch of a new client transaction.
    pub(super) fn new_branch(&mut self) -> ClientId {
        ClientId {
            number: self.unused(|ua, n| !ua.has_branch(n)),
            is_cancel: false,
        }
    }

    fn has_branch(&self, number: u64) -> bool {
        self.clients.contains_key(&ClientId {
            number,
            is_cancel: false,
        })
    }

    /// Sends a request and keeps its transaction; one that is too large for a datagram may take
    /// another flow (RFC 3261 §18.1.1).
    pub(super) fn open_client(
        &mut self,
        now: Instant,
        id: ClientId,
        flow: Flow,
        (method, request): (Method<'_>, Vec<u8>),
        purpose: Purpose,
    ) {
        let (flow, request, datagram) = self.by_size(now, id, flow, request, purpose);
        let reliable = flow.transport.is_reliable();
        let timers = self.settings.timers;
        let machine = match method {
            Method::Invite => ClientMachine::invite(now, reliable, timers),
            _ => ClientMachine::other(now, reliable, timers),
        };
        let waits_for_way = self.seeks_way(purpose, flow);
        if !waits_for_way {
            self.send(Transmit {
                flow,
                bytes: request.clone(),
            });
        }
        if let Some(call) = purpose.call() {
            self.answerers.join(call);
        }
        self.clients.insert(
            id,
            Client {
                machine,
                purpose,
                flow,
                request,
                waits_for_way,
                was_moved: false,
                begun: now,
                attempts: Attempts::default(),
                datagram,
                acks: Vec::new(),
                early: Vec::new(),
            },
        );
        self.arm_client(id);
    }

    /// Sets the deadline that a client transaction now has.
    pub(super) fn arm_client(&mut self, id: ClientId) {
        let deadline = self
            .clients
            .get(&id)
            .and_then(|client| client.machine.deadline());
        let deadline = deadline.map(|(at, timer)| (at, Reason::Transaction(timer)));
        self.deadlines.set(Owner::Client(id), deadline);
    }

    /// Forgets a client transaction.
    pub(super) fn drop_client(&mut self, id: ClientId) -> Option<Client> {
        self.deadlines.set(Owner::Client(id), None);
        let client = self.clients.remove(&id)?;
        if let Some(call) = client.purpose.call() {
            self.answerers.leave(call);
        }
        Some(client)
    }

    /// Lets an INVITE end by itself, now that nobody waits for its answer.
    pub(super) fn abandon_client(&mut self, now: Instant, id: ClientId) {
        let machine = self.clients.get_mut(&id).map(|client| &mut client.machine);
        if let Some(ClientMachine::Invite(machine)) = machine {
            machine.abandon(now);
        }
        self.arm_client(id);
    }

    /// Acts on a client transaction's timer.
    pub(super) fn client_timeout(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        match client.machine.handle_timeout(now) {
            OnTimeout::Nothing => self.arm_client(id),
            OnTimeout::Retransmit => {
                let transmit = Transmit {
                    flow: client.flow,
                    bytes: client.request.clone(),
                };
                self.send_again(transmit);
                self.arm_client(id);
            }
            OnTimeout::TimedOut => {
                self.stats.timeouts += 1;
                let (flow, since) = (client.flow, client.begun);
                let is_connection = flow.transport.is_reliable() && !client.waits_for_way;
                if is_connection {
                    self.emit(Event::Unanswered { flow, since });
                }
                self.fail_client(now, id, Failure::Timeout);
            }
            OnTimeout::Terminated => {
                self.drop_client(id);
            }
        }
    }

    /// Fails the requests on `flow` that nobody has answered yet.
    pub(super) fn fail_clients_on(&mut self, now: Instant, flow: Flow) {
        self.fail_clients(now, flow, ClientMachine::transport_failed);
    }

    /// Fails the requests on `flow` that have no final answer yet: its peer is gone with it.
    pub(super) fn lose_clients_on(&mut self, now: Instant, flow: Flow) {
        self.fail_clients(now, flow, ClientMachine::peer_gone);
    }

    fn fail_clients(&mut self, now: Instant, flow: Flow, fails: fn(&mut ClientMachine) -> bool) {
        let mut failed: Vec<(ClientId, bool)> = self
            .clients
            .iter_mut()
            .filter(|(_, client)| client.flow == flow && !client.waits_for_way)
            .filter_map(|(&id, client)| {
                // Only what nobody has heard of may be sent over another transport.
                let unheard = client.machine.transport_failed();
                (unheard || fails(&mut client.machine)).then_some((id, unheard))
            })
            .collect();
        failed.sort_unstable(); // a simulation must find one order only
        for (id, unheard) in failed {
            if !(unheard && self.falls_back(now, id)) {
                self.fail_client(now, id, Failure::Transport);
            }
        }
    }

    /// Tells whoever sent a request that it has failed.
    fn fail_client(&mut self, now: Instant, id: ClientId, failure: Failure) {
        let Some(client) = self.drop_client(id) else {
            return;
        };
        match client.purpose {
            Purpose::Invite(call) => self.invite_failed(now, call, failure),
            Purpose::Reinvite(call) => self.reinvite_failed(now, call, failure),
            Purpose::Refresh(call) => self.refresh_failed(now, call, id, failure),
            Purpose::Bye(call) => self.bye_failed(call, failure),
            Purpose::Info(call) => self.info_failed(now, call, failure),
            Purpose::Refer(call) => self.refer_failed(call, id, failure),
            Purpose::Report(call) => self.report_failed(call, id),
            Purpose::Register(registration) => {
                let failure = (failure.status(), failure.reason());
                self.register_failed(now, registration, failure, None);
            }
            Purpose::Ping(ping) => self.ping_failed(ping, failure),
            Purpose::Prack(_) | Purpose::Fork(_) | Purpose::Nobody => {}
        }
    }
}
