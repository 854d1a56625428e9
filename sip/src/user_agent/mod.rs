//! The user agent: calls, registrations and pings over transactions and dialogs, without I/O.
//!
//! # How to drive it
//! One input, then drain: after every call of a method with `now`, take
//! [`poll_transmit`](UserAgent::poll_transmit) and [`poll_event`](UserAgent::poll_event) until
//! both are empty, then wait for the next datagram or for the instant of
//! [`poll_timeout`](UserAgent::poll_timeout), whichever comes first, and hand it to
//! [`receive`](UserAgent::receive) or [`handle_timeout`](UserAgent::handle_timeout).
//!
//! Nothing a peer sends is trusted: a mistake becomes a SIP status code or a counted drop, and
//! everything that a peer can make grow has a bound in [`Settings`].

mod accept;
mod ack;
mod auth;
mod bye;
mod calls;
mod cancel;
mod clients;
mod compose;
mod deadlines;
mod early;
mod event;
mod incoming;
mod info;
mod invite;
mod large;
mod options;
mod prack;
mod provisional;
mod refer;
mod referred;
mod refresh;
mod register;
mod reinvite;
mod reoffer;
mod replaces;
mod requests;
mod reroute;
mod respond;
mod responses;
mod screen;
mod servers;
mod settings;
mod stats;
mod timer;
mod transfer;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub(crate) use auth::Answerer;
pub(crate) use clients::ClientId;
pub use deadlines::Reason;
pub use event::{
    CallHandle, EndCause, Event, Incoming, Party, PingError, PingHandle, RegistrationHandle,
    RequestHandle,
};
pub use settings::{Error, Invite, OptionsPing, Register, Reliable, SessionTimer, Settings};
pub use stats::Stats;
pub use transfer::{Refer, ReferTo, ReplacesBuf};

use crate::access::Gate;
use crate::flow::Flow;
use crate::guard::Sentry;
use crate::network::Network;
use crate::registration::Registration;
use auth::Answerers;
use calls::Call;
use clients::Client;
use deadlines::{Deadlines, Owner};
use large::Refusals;
use screen::Asking;
use servers::Servers;

/// Bytes to be sent.
#[derive(Clone)]
pub struct Transmit {
    /// Where they go.
    pub flow: Flow,
    /// One datagram, or bytes for the stream.
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for Transmit {
    /// Shows the first line only: what follows may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self
            .bytes
            .split(|&byte| byte == b'\r')
            .next()
            .unwrap_or_default();
        f.debug_struct("Transmit")
            .field("flow", &self.flow)
            .field("first_line", &String::from_utf8_lossy(first))
            .finish_non_exhaustive()
    }
}

/// A SIP user agent, both client and server (RFC 3261 §6).
///
/// ```
/// use std::time::Instant;
/// use offhook_sip::{Settings, UserAgent};
///
/// fn after_every_input(ua: &mut UserAgent) {
///     while let Some(transmit) = ua.poll_transmit() {
///         println!("{}: {} bytes", transmit.flow, transmit.bytes.len());
///     }
///     while let Some(event) = ua.poll_event() {
///         println!("{event:?}");
///     }
///     if let Some((at, reason)) = ua.poll_timeout() {
///         println!("wake me at {at:?} for {reason}");
///     }
/// }
/// after_every_input(&mut UserAgent::new(Settings::default()));
/// ```
pub struct UserAgent {
    settings: Settings,
    rng: StdRng,
    /// Mixed into the tags of stateless responses, so that nobody else can write one.
    tag_secret: [u8; 16],
    gate: Gate,
    sentry: Sentry,
    /// Where the message in hand came from.
    asking: Asking,
    clients: HashMap<ClientId, Client>,
    /// Who takes no connections.
    refusals: Refusals,
    servers: Servers,
    calls: HashMap<CallHandle, Call>,
    answerers: Answerers,
    registrations: HashMap<RegistrationHandle, Registration>,
    last_handle: u64,
    /// Whether a call that rang now would be taken.
    takes_calls: bool,
    deadlines: Deadlines,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    stats: Stats,
    /// Where transaction keys are written before they are looked up.
    scratch: Vec<u8>,
}

impl UserAgent {
    /// Makes a user agent without calls.
    pub fn new(settings: Settings) -> Self {
        let mut rng = StdRng::from_seed(settings.seed);
        let tag_secret = rng.random();
        let gate = Gate::new(&settings.access, rng.random(), rng.random());
        Self {
            rng,
            tag_secret,
            gate,
            sentry: Sentry::new(&settings.guard),
            settings,
            asking: Asking::NOBODY,
            clients: HashMap::new(),
            refusals: Refusals::default(),
            servers: Servers::default(),
            calls: HashMap::new(),
            answerers: Answerers::default(),
            registrations: HashMap::new(),
            last_handle: 0,
            takes_calls: true,
            deadlines: Deadlines::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            scratch: Vec::new(),
        }
    }

    /// Sets the networks that a trunk calls from, in place of those that it had: a carrier's
    /// addresses change while calls run.
    pub fn set_trunk_networks(&mut self, trunk: &str, networks: Vec<Network>) {
        self.gate.set_trunk_networks(trunk, networks);
    }

    /// Says whether a call that rang now would be taken; while not, an OPTIONS gets 503, as the
    /// INVITE would (RFC 3261 §11.2). It is so from the start.
    pub fn set_takes_calls(&mut self, takes_calls: bool) {
        self.takes_calls = takes_calls;
    }

    /// Acts on every timer that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(owner) = self.deadlines.pop_due(now) {
            match owner {
                Owner::Client(id) => self.client_timeout(now, id),
                Owner::Server(number) => self.server_timeout(now, number),
                Owner::Call(call) => self.call_timeout(now, call),
                Owner::Registration(registration) => self.registration_timeout(now, registration),
            }
        }
    }

    /// Learns that a connection was closed, by either side: what waits for it goes another way or
    /// fails.
    pub fn flow_closed(&mut self, now: Instant, flow: Flow) {
        self.sentry.closed(flow);
        if flow.transport.is_websocket() {
            self.lose_clients_on(now, flow);
        } else {
            self.leave_flow(flow);
            self.fail_clients_on(now, flow);
        }
        self.registrations_lost_flow(now, flow);
    }

    /// Learns that nothing can be sent on `flow` (a refused connection, ICMP unreachable): its
    /// unanswered requests fail as if by 503 (RFC 3261 §8.1.3.1, §18.4).
    pub fn transport_failed(&mut self, now: Instant, flow: Flow) {
        self.fail_clients_on(now, flow);
    }

    /// Returns the next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Returns the next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is next to be called, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.deadlines.next()
    }

    /// Returns the counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns how many calls are kept, those included that only wait for their BYE's answer.
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// Returns how many transactions are kept, those included that only absorb retransmissions.
    pub fn transaction_count(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// Returns whether nothing is kept and nothing will happen by itself.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
            && self.clients.is_empty()
            && self.servers.is_empty()
            && self.answerers.is_empty()
            && self.registrations.is_empty()
            && self.deadlines.next().is_none()
            && self.transmits.is_empty()
            && self.events.is_empty()
    }

    fn send(&mut self, transmit: Transmit) {
        self.stats.sent += 1;
        self.transmits.push_back(transmit);
    }

    fn send_again(&mut self, transmit: Transmit) {
        self.stats.retransmissions += 1;
        self.send(transmit);
    }

    fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Draws a number that `free` accepts.
    fn unused(&mut self, free: impl Fn(&Self, u64) -> bool) -> u64 {
        loop {
            let number = self.rng.random();
            if free(self, number) {
                return number;
            }
        }
    }

    /// Draws the handle of a new call; as sixteen hexadecimal digits it is our tag.
    fn new_call_handle(&mut self) -> CallHandle {
        CallHandle(self.unused(|ua, number| !ua.calls.contains_key(&CallHandle(number))))
    }

    fn next_handle(&mut self) -> u64 {
        self.last_handle += 1;
        self.last_handle
    }

    /// Sets the deadline that a call now has.
    fn arm_call(&mut self, call: CallHandle) {
        let deadline = self.calls.get(&call).and_then(Call::deadline);
        self.deadlines.set(Owner::Call(call), deadline);
    }

    /// Forgets a call and, unless that was done before, says why it is over.
    fn end_call(&mut self, call: CallHandle, cause: Option<EndCause>) {
        self.deadlines.set(Owner::Call(call), None);
        if self.calls.remove(&call).is_none() {
            return;
        }
        self.answerers.leave(call);
        if let Some(cause) = cause {
            self.emit(Event::Ended { call, cause });
        }
    }
}
