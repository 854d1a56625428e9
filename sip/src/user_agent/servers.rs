//! The server transactions: requests that we received and what we answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::deadlines::{Owner, Reason};
use super::respond::Reply;
use super::{CallHandle, Transmit, UserAgent};
use crate::flow::Flow;
use crate::message::{HeaderError, Message, Method, OwnedMessage, Support};
use crate::transaction::{
    AckReceived, InviteServer, NonInviteServer, OnRequest, OnRespond, OnTimeout, Timer,
};

/// Either machine.
pub(super) enum ServerMachine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

impl ServerMachine {
    fn handle_request(&mut self) -> OnRequest {
        match self {
            Self::Invite(machine) => machine.handle_request(),
            Self::NonInvite(machine) => machine.handle_request(),
        }
    }

    fn respond(&mut self, now: Instant, status: u16) -> OnRespond {
        match self {
            Self::Invite(machine) => machine.respond(now, status),
            Self::NonInvite(machine) => machine.respond(now, status),
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
}

/// A server transaction with what it repeats and what its answers are made of.
pub(super) struct Server {
    machine: ServerMachine,
    /// Where responses go (RFC 3261 §18.2.2, RFC 3581 §4).
    pub(super) flow: Flow,
    /// The port that responses go to when their connection is gone (RFC 3261 §18.2.2).
    sent_by_port: u16,
    /// The flow that the request came on.
    pub(super) came_on: Flow,
    /// The call that the INVITE belongs to.
    pub(super) call: Option<CallHandle>,
    /// Kept until the final response.
    pub(super) request: Option<OwnedMessage>,
    response: Option<Arc<[u8]>>,
    key: Box<[u8]>,
    merge_key: Option<Box<[u8]>>,
}

/// The server transactions by number, by what matches a request to one (RFC 3261 §17.2.3), and by
/// what makes a request known that came before on another way (§8.2.2.2).
#[derive(Default)]
pub(super) struct Servers {
    by_number: HashMap<u64, Server>,
    by_key: HashMap<Box<[u8]>, u64>,
    by_merge_key: HashMap<Box<[u8]>, u64>,
    last: u64,
}

impl Servers {
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<u64> {
        self.by_key.get(key).copied()
    }

    pub(super) fn is_merged(&self, merge_key: &[u8]) -> bool {
        self.by_merge_key.contains_key(merge_key)
    }

    pub(super) fn get(&self, number: u64) -> Option<&Server> {
        self.by_number.get(&number)
    }

    /// Sends the responses that went over a connection to the peer's own port, now that it is
    /// gone.
    pub(super) fn leave_flow(&mut self, flow: Flow) {
        for server in self
            .by_number
            .values_mut()
            .filter(|server| server.flow == flow)
        {
            server.flow.remote.set_port(server.sent_by_port);
        }
    }

    /// Notes which call an INVITE belongs to.
    pub(super) fn assign(&mut self, number: u64, call: CallHandle) {
        if let Some(server) = self.by_number.get_mut(&number) {
            server.call = Some(call);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(server) = self.by_number.remove(&number) else {
            return;
        };
        self.by_key.remove(&server.key);
        if let Some(merge_key) = server.merge_key {
            self.by_merge_key.remove(&merge_key);
        }
    }

    /// Checks that the indexes hold nothing that the table does not.
    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty() && self.by_key.is_empty() && self.by_merge_key.is_empty()
    }
}

/// Writes what matches a request to its transaction (RFC 3261 §17.2.3): branch, sent-by and
/// method, ACK and CANCEL under their INVITE's; for an old peer without a proper branch, the
/// fields of RFC 2543 that an ACK repeats.
pub(super) fn match_key(
    key: &mut Vec<u8>,
    message: &Message<'_>,
    method: Method<'_>,
) -> Result<(), HeaderError> {
    key.clear();
    let via = message.top_via()?;
    let method = if method == Method::Ack {
        Method::Invite
    } else {
        method
    };
    // Nothing is allocated: it is written for messages that are dropped as well.
    key.extend_from_slice(method.as_str().as_bytes());
    key.push(0);
    key.extend(via.sent_by.bytes().map(|byte| byte.to_ascii_lowercase()));
    key.push(0);
    let mut put = |part: &str| {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    };
    put(via.branch.unwrap_or_default());
    if !via.has_rfc3261_branch() {
        put(message.call_id()?);
        put(message.from()?.tag().unwrap_or_default());
        put(&message.cseq()?.number.to_string());
        put(message
            .request_uri()
            .map(|uri| uri.as_str())
            .unwrap_or_default());
    }
    Ok(())
}

/// Writes what two copies of one request have in common, whichever way they came (§8.2.2.2).
pub(super) fn merge_key(key: &mut Vec<u8>, message: &Message<'_>) -> Result<(), HeaderError> {
    key.clear();
    let cseq = message.cseq()?;
    for part in [
        message.call_id()?,
        message.from()?.tag().unwrap_or_default(),
        cseq.method.as_str(),
        &cseq.number.to_string(),
    ] {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    Ok(())
}

impl UserAgent {
    /// Returns whether the bound on transactions is reached.
    pub(super) fn is_full(&self) -> bool {
        self.clients.len() + self.servers.len() >= self.settings.max_transactions
    }

    /// Keeps a transaction for a request within a call; none where the request asks for what is not
    /// supported, and is refused by that.
    pub(super) fn open_supported(
        &mut self,
        now: Instant,
        came_on: Flow,
        message: &Message<'_>,
        key: &[u8],
        support: &Support<'_>,
    ) -> Option<u64> {
        let server = self.open_server(now, came_on, message, (key.into(), None));
        let Err(refusal) = message.check_support(support) else {
            return Some(server);
        };
        self.reply_in(now, server, &Reply::refusing(&refusal));
        None
    }

    /// Keeps a transaction for a request; the keys are those that the caller has just looked up.
    pub(super) fn open_server(
        &mut self,
        now: Instant,
        came_on: Flow,
        message: &Message<'_>,
        (key, merge_key): (Box<[u8]>, Option<Box<[u8]>>),
    ) -> u64 {
        let reliable = came_on.transport.is_reliable();
        let timers = self.settings.timers;
        let machine = match message.method() {
            Some(Method::Invite) => ServerMachine::Invite(InviteServer::new(reliable, timers)),
            _ => ServerMachine::NonInvite(NonInviteServer::new(now, reliable, timers)),
        };
        self.servers.last += 1;
        let number = self.servers.last;
        self.servers.by_key.insert(key.clone(), number);
        if let Some(merge_key) = &merge_key {
            self.servers.by_merge_key.insert(merge_key.clone(), number);
        }
        let server = Server {
            machine,
            flow: super::respond::reply_flow(came_on, message),
            sent_by_port: message
                .top_via()
                .ok()
                .and_then(|via| via.port)
                .unwrap_or(came_on.transport.default_port()),
            came_on,
            call: None,
            request: Some(OwnedMessage::from(message)),
            response: None,
            key,
            merge_key,
        };
        self.servers.by_number.insert(number, server);
        self.arm_server(number);
        number
    }

    /// Sets the deadline that a server transaction now has.
    fn arm_server(&mut self, number: u64) {
        let deadline = self
            .servers
            .get(number)
            .and_then(|server| server.machine.deadline());
        let deadline = deadline.map(|(at, timer)| (at, Reason::Transaction(timer)));
        self.deadlines.set(Owner::Server(number), deadline);
    }

    fn drop_server(&mut self, number: u64) {
        self.deadlines.set(Owner::Server(number), None);
        self.servers.remove(number);
    }

    /// Answers a retransmitted request with what was answered before.
    pub(super) fn request_again(&mut self, number: u64) {
        self.stats.retransmissions_received += 1;
        let Some(server) = self.servers.by_number.get_mut(&number) else {
            return;
        };
        if server.machine.handle_request() == OnRequest::Resend {
            self.resend_response(number);
        }
    }

    /// Sends a transaction's last response again.
    pub(super) fn resend_response(&mut self, number: u64) {
        let Some(server) = self.servers.get(number) else {
            return;
        };
        let flow = server.flow;
        if let Some(bytes) = server.response.clone() {
            self.send_again(Transmit { flow, bytes });
        }
    }

    /// Answers a request in its transaction and returns what was sent; nothing is sent, and
    /// nothing returned, where the transaction is gone or already has its final response.
    pub(super) fn reply_in(
        &mut self,
        now: Instant,
        number: u64,
        reply: &Reply<'_>,
    ) -> Option<Transmit> {
        let server = self.servers.by_number.get_mut(&number)?;
        let request = server.request.as_ref()?;
        let bytes = reply.write(&self.settings, &server.came_on, &request.view());
        if server.machine.respond(now, reply.status) == OnRespond::Refuse {
            return None;
        }
        let transmit = Transmit {
            flow: server.flow,
            bytes: bytes.into(),
        };
        let is_2xx_to_invite = matches!(server.machine, ServerMachine::Invite(_))
            && (200..300).contains(&reply.status);
        // A 2xx to INVITE is repeated by the call, never by the transaction (RFC 6026 §7.1).
        server.response = (!is_2xx_to_invite).then(|| transmit.bytes.clone());
        if reply.status >= 200 {
            server.request = None;
        }
        self.send(transmit.clone());
        self.arm_server(number);
        Some(transmit)
    }

    /// Shows an ACK to the transaction that it may belong to.
    pub(super) fn ack_in(&mut self, now: Instant, number: u64) -> AckReceived {
        let Some(server) = self.servers.by_number.get_mut(&number) else {
            return AckReceived::Ignore;
        };
        let received = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.handle_ack(now),
            ServerMachine::NonInvite(_) => AckReceived::Ignore,
        };
        self.arm_server(number);
        received
    }

    /// Acts on a server transaction's timer.
    pub(super) fn server_timeout(&mut self, now: Instant, number: u64) {
        let Some(server) = self.servers.by_number.get_mut(&number) else {
            return;
        };
        match server.machine.handle_timeout(now) {
            OnTimeout::Nothing => self.arm_server(number),
            OnTimeout::Retransmit => {
                self.resend_response(number);
                self.arm_server(number);
            }
            OnTimeout::TimedOut | OnTimeout::Terminated => self.drop_server(number),
        }
    }
}
