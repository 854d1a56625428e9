//! The task that owns the user agent: bytes, commands and timers in; bytes and events out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;

use offhook_sip::message::OwnedMessage;
use offhook_sip::{
    CallHandle, Event, Flow, OptionsPing, PingHandle, Register, RegistrationHandle, RequestHandle,
    Settings, Source, UserAgent,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::complaints::Complaints;
use super::rerouting::{self, Hop, Joined, Lookups, WeakSip};
use super::sockets::{Inbound, Sockets};
use super::{
    Command, IncomingCall, News, PlacedCall, PlacedRegistration, ReferAsked, RegistrationState,
    SIGNAL_QUEUE, Signal, SipError,
};
use crate::mailbox::{self, mailbox};
use crate::{clock, meters};

/// A request of an admitted phone that the switch answers.
#[derive(Debug)]
pub struct Request {
    /// What the answer names.
    pub handle: RequestHandle,
    /// Whose it is.
    pub source: Source,
    /// Where it came from.
    pub flow: Flow,
    /// The request itself.
    pub message: OwnedMessage,
}

/// The Reason of a call that is hung up since its task does not read its mail (RFC 3326 §2).
const GIVEN_UP: &str = "SIP;cause=500;text=\"The call's task has ended\"";
/// Messages handled before timers and commands are looked at again.
const BATCH: usize = 64;

pub(super) struct Endpoint {
    agent: UserAgent,
    sockets: Sockets,
    news: mpsc::Sender<News>,
    /// Speaks to this task for who answers later, without keeping it alive.
    sip: WeakSip,
    lookups: Lookups,
    calls: HashMap<CallHandle, mailbox::Sender<Signal>>,
    registrations: HashMap<RegistrationHandle, watch::Sender<RegistrationState>>,
    pings: HashMap<PingHandle, oneshot::Sender<Result<Option<u16>, SipError>>>,
    /// The WebSockets that phones have registered over, and those of them whose end is still to be
    /// told: it is never lost, since another's connection may have the same addresses one day.
    bound: HashSet<Flow>,
    unbound: VecDeque<Flow>,
    wrong_credentials: Complaints,
    overloads: Complaints,
    bans: Complaints,
    /// What the 503 of a call that the switchboard cannot take asks for, in s.
    retry_after_s: u32,
}

impl Endpoint {
    pub(super) fn new(
        settings: Settings,
        sockets: Sockets,
        news: mpsc::Sender<News>,
        sip: WeakSip,
    ) -> Self {
        Self {
            retry_after_s: settings.retry_after_s,
            agent: UserAgent::new(settings),
            sockets,
            news,
            sip,
            lookups: Lookups::default(),
            calls: HashMap::new(),
            registrations: HashMap::new(),
            pings: HashMap::new(),
            bound: HashSet::new(),
            unbound: VecDeque::new(),
            wrong_credentials: Complaints::default(),
            overloads: Complaints::default(),
            bans: Complaints::default(),
        }
    }

    /// Runs until every handle to it is gone, or it is asked to end.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let news = self.news.clone();
        loop {
            let deadline = self.agent.poll_timeout().map(|(at, _)| at);
            tokio::select! {
                inbound = self.sockets.next() => {
                    let Some(inbound) = inbound else { return };
                    self.take_in(inbound);
                    for _ in 1..BATCH {
                        let Some(inbound) = self.sockets.try_next() else { break };
                        self.take_in(inbound);
                    }
                }
                command = commands.recv() => {
                    match command {
                        Some(Command::Close(closed)) => {
                            self.sockets.close().await;
                            let _ = closed.send(());
                            return;
                        }
                        Some(command) => self.obey(command),
                        None => return self.sockets.close().await,
                    }
                }
                room = news.reserve(), if !self.unbound.is_empty() => {
                    let flow = self.unbound.pop_front();
                    if let (Ok(room), Some(flow)) = (room, flow) {
                        room.send(News::Closed(flow));
                    }
                }
                () = clock::sleep_until(deadline) => {}
            }
            let now = clock::now();
            if self.agent.poll_timeout().is_some_and(|(at, _)| at <= now) {
                self.agent.handle_timeout(now);
            }
            self.drain();
        }
    }

    fn take_in(&mut self, inbound: Inbound) {
        let now = clock::now();
        match inbound {
            Inbound::Message(flow, bytes) => {
                meters::sip_message("in", &bytes);
                if let Some(tap) = self.sip.tap.get() {
                    let _ = tap.try_send(bytes.clone().into_boxed_slice());
                }
                self.agent.receive(now, flow, &bytes);
            }
            Inbound::Connected(flow, writer) => self.sockets.connected(flow, writer),
            Inbound::Closed(flow) => {
                self.sockets.closed(flow);
                self.agent.flow_closed(now, flow);
                if self.bound.remove(&flow) {
                    self.unbound.push_back(flow);
                    self.tell_of_unbound();
                }
            }
            Inbound::Failed(flow) => {
                self.sockets.closed(flow);
                self.agent.transport_failed(now, flow);
            }
        }
        self.drain();
    }

    fn obey(&mut self, command: Command) {
        let now = clock::now();
        match command {
            Command::Invite(invite, reply) => {
                let placed = self.agent.invite(now, *invite).map(|call| {
                    let (signals, queue) = mailbox(SIGNAL_QUEUE);
                    self.calls.insert(call, signals);
                    PlacedCall {
                        call,
                        signals: queue,
                    }
                });
                let _ = reply.send(placed.map_err(|error| SipError::Refused(error.to_string())));
            }
            Command::Ring(call, status, body) => self.agent.ring(now, call, status, body),
            Command::Answer(call, body, reply) => {
                let _ = reply.send(self.agent.answer(now, call, body));
            }
            Command::Reject(call, status, headers) => {
                self.agent.reject(now, call, status, &headers);
            }
            Command::HangUp(call, reason) => self.agent.hang_up(now, call, reason.as_deref()),
            Command::Reoffer(call, offer) => self.agent.reinvite(now, call, offer),
            Command::AnswerReoffer(call, answer) => self.agent.answer_reoffer(now, call, answer),
            Command::Info(call, content_type, body) => {
                self.agent.info(now, call, content_type, body);
            }
            Command::Refer(call, refer) => self.agent.refer(now, call, *refer),
            Command::TransferTo(call, reply) => {
                let _ = reply.send(self.agent.transfer_to(call));
            }
            Command::AnswerRefer(call, answer) => self.agent.answer_refer(now, call, answer),
            Command::NotifyRefer(call, status, reason) => {
                self.agent.notify_refer(now, call, status, &reason);
            }
            Command::Register(register, reply) => {
                let _ = reply.send(self.register(*register));
            }
            Command::Ping(ping, reply) => self.ping(*ping, reply),
            Command::Reroute(hop, flow) => {
                for call in self.lookups.take(&hop) {
                    self.agent.reroute_call(call, flow);
                }
            }
            Command::Move(registration, flow) => {
                self.agent.reroute_registration(now, registration, flow);
            }
            Command::TrunkNetworks(trunk, networks) => {
                self.agent.set_trunk_networks(&trunk, networks);
            }
            Command::Expect(flow, peer) => self.sockets.expect(flow, peer),
            // Where it ends, it has ended before.
            Command::Close(_) => {}
            Command::TakesCalls(takes_calls) => self.agent.set_takes_calls(takes_calls),
            Command::Unregister(registration) => self.agent.unregister(now, registration),
            Command::Respond(request, status, headers) => {
                self.agent
                    .respond(now, request.handle, status, &headers, &[]);
            }
            Command::Stats(reply) => {
                let _ = reply.send(*self.agent.stats());
            }
        }
    }

    /// Begins a registration; whoever asked for it holds its state before the first answer comes.
    fn register(&mut self, register: Register) -> Result<PlacedRegistration, SipError> {
        let registered = self.agent.register(clock::now(), register);
        let registration = registered.map_err(|error| SipError::Refused(error.to_string()))?;
        let (tell, state) = watch::channel(RegistrationState::Asking);
        self.registrations.insert(registration, tell);
        Ok(PlacedRegistration {
            registration,
            state,
        })
    }

    /// Asks a peer whether it is there.
    fn ping(&mut self, ping: OptionsPing, reply: oneshot::Sender<Result<Option<u16>, SipError>>) {
        match self.agent.options(clock::now(), ping) {
            Ok(ping) => {
                self.pings.insert(ping, reply);
            }
            Err(error) => {
                let _ = reply.send(Err(SipError::Refused(error.to_string())));
            }
        }
    }

    fn drain(&mut self) {
        loop {
            while let Some(transmit) = self.agent.poll_transmit() {
                meters::sip_message("out", &transmit.bytes);
                if !self.sockets.send(transmit.flow, &transmit.bytes) {
                    self.agent.transport_failed(clock::now(), transmit.flow);
                }
            }
            let Some(event) = self.agent.poll_event() else {
                return;
            };
            self.tell(event);
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Incoming { call, invite } => self.incoming(call, invite),
            Event::Trying { call } => self.signal(call, Signal::Trying),
            Event::Progress { call, status, body } => {
                self.signal(call, Signal::Progress { status, body });
            }
            Event::Answered { call, body } => self.signal(call, Signal::Answered { body }),
            Event::Rejected {
                call,
                status,
                reason,
                retry_after_s,
                headers,
            } => {
                self.signal(
                    call,
                    Signal::Rejected {
                        status,
                        reason,
                        retry_after_s,
                        headers,
                    },
                );
                self.calls.remove(&call);
            }
            Event::Confirmed { call, body } => self.signal(call, Signal::Confirmed { body }),
            Event::Reoffer { call, offer } => self.signal(call, Signal::Reoffer { offer }),
            Event::ReofferAnswered {
                call,
                offer,
                result,
            } => {
                self.signal(call, Signal::ReofferAnswered { offer, result });
            }
            Event::ReofferOvertaken { call } => self.signal(call, Signal::ReofferOvertaken),
            Event::Refer {
                call,
                refer_to,
                replaces,
                ..
            } => {
                if let Some(commands) = self.sip.commands.upgrade() {
                    let asked = ReferAsked::new(commands, call, refer_to, replaces);
                    self.signal(call, Signal::Refer(asked));
                }
            }
            Event::ReferAnswered { call, result } => {
                self.signal(call, Signal::ReferAnswered { result });
            }
            Event::ReferProgress {
                call,
                status,
                is_final,
            } => self.signal(call, Signal::ReferProgress { status, is_final }),
            Event::Info {
                call,
                content_type,
                body,
            } => {
                self.signal(
                    call,
                    Signal::Info {
                        content_type: Some(content_type),
                        body,
                    },
                );
            }
            Event::ConnectionLost {
                call,
                next_hop,
                lost,
            } => self.connection_lost(call, &next_hop, lost),
            Event::Unanswered { flow, since } => self.sockets.doubt(flow, since),
            Event::Ended { call, cause } => {
                self.signal(call, Signal::Ended { cause });
                self.calls.remove(&call);
            }
            Event::Registered {
                registration,
                expires_s,
            } => {
                let service_route = self.agent.service_route(registration).to_vec();
                let registered = RegistrationState::Registered {
                    expires_s,
                    service_route,
                };
                self.stands(registration, registered);
            }
            Event::Unregistered { registration } => {
                self.registrations.remove(&registration);
            }
            Event::RegistrationFailed {
                registration,
                status,
                reason,
                said,
                retry_in,
            } => {
                let failed = RegistrationState::Failed {
                    status,
                    reason,
                    said,
                    retry_in,
                };
                self.stands(registration, failed);
            }
            Event::Pong { ping, result } => {
                if let Some(reply) = self.pings.remove(&ping) {
                    let _ = reply.send(Ok(result.ok()));
                }
            }
            Event::Request {
                handle,
                source,
                flow,
                message,
                ..
            } => {
                if flow.transport.is_reliable() {
                    self.bound.insert(flow);
                }
                self.publish(News::Request(Box::new(Request {
                    handle,
                    source,
                    flow,
                    message,
                })));
            }
            Event::AuthenticationFailed { username, flow } => {
                let noted = self.wrong_credentials.note(clock::now(), flow.remote.ip());
                if let Some(unwritten) = noted {
                    let remote = flow.remote;
                    tracing::warn!(%username, %remote, unwritten, "wrong SIP credentials: 403");
                }
            }
            Event::Banned(ban) => {
                let noted = self.bans.note(clock::now(), ban.source.address());
                if let Some(unwritten) = noted {
                    let (source, for_s, reason) = (ban.source, ban.for_s, ban.reason);
                    tracing::warn!(%source, for_s, %reason, unwritten, "a SIP source is banned");
                }
            }
            Event::Overloaded => {
                // Whoever calls, the bound is ours.
                let noted = self
                    .overloads
                    .note(clock::now(), Ipv4Addr::UNSPECIFIED.into());
                if let Some(unwritten) = noted {
                    tracing::warn!(unwritten, "a call was refused with 503: a bound is reached");
                }
            }
        }
    }

    /// Finds out where a call's requests go whose connection is gone; calls with one next hop wait
    /// for one look-up.
    fn connection_lost(&mut self, call: CallHandle, next_hop: &str, lost: Flow) {
        let Some(hop) = Hop::read(next_hop, lost) else {
            return self.agent.reroute_call(call, lost);
        };
        match self.lookups.join(&hop, call) {
            Joined::First => {
                let expected = self.sockets.expected(&lost, hop.host());
                tokio::spawn(rerouting::look_up(self.sip.clone(), hop, expected));
            }
            Joined::Waits => {}
            Joined::Full => self.agent.reroute_call(call, hop.lost()),
        }
    }

    fn incoming(&mut self, call: CallHandle, invite: Box<offhook_sip::Incoming>) {
        let (signals, queue) = mailbox(SIGNAL_QUEUE);
        self.calls.insert(call, signals);
        let incoming = Box::new(IncomingCall {
            call,
            invite: *invite,
            signals: queue,
        });
        if self.news.try_send(News::Incoming(incoming)).is_err() {
            tracing::warn!("the switchboard does not keep up: a call is refused with 503");
            self.calls.remove(&call);
            let retry = [("Retry-After".to_owned(), self.retry_after_s.to_string())];
            self.agent.reject(clock::now(), call, 503, &retry);
        }
    }

    fn stands(&self, registration: RegistrationHandle, state: RegistrationState) {
        if let Some(tell) = self.registrations.get(&registration) {
            tell.send_replace(state);
        }
    }

    /// Says which phones' connections are closed, as long as there is room; false where some wait.
    fn tell_of_unbound(&mut self) -> bool {
        while let Some(&flow) = self.unbound.front() {
            if self.news.try_send(News::Closed(flow)).is_err() {
                return false;
            }
            self.unbound.pop_front();
        }
        true
    }

    fn publish(&mut self, news: News) {
        // What came later over the same addresses is not told before.
        if !self.tell_of_unbound() || self.news.try_send(news).is_err() {
            tracing::warn!("the switchboard does not keep up: news of the SIP task is lost");
        }
    }

    /// Puts a signal into the call's mailbox; a call that does not read its mail is hung up.
    fn signal(&mut self, call: CallHandle, signal: Signal) {
        let Some(mailbox) = self.calls.get(&call) else {
            return;
        };
        if mailbox.try_send(signal).is_err() {
            self.calls.remove(&call);
            let now = clock::now();
            self.agent.hang_up(now, call, Some(GIVEN_UP));
        }
    }
}

#[cfg(test)]
mod tests;
