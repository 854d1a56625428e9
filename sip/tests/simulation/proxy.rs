//! A carrier's proxy: stateful, record-routing, forking to all contacts (RFC 3261 §16), with a
//! registrar beside it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_sip::message::{HeaderName, Message, Method, ResponseBuilder, StartLine};
use offhook_sip::{Flow, Timers, Transmit, Transport};

use crate::contexts::{Branch, Client, Context, Due, Number, Over};
use crate::draft::Draft;
use crate::registrar::{Answer, Registrar};
use crate::routing::{key_of, round};

/// How the proxy is set up.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) transport: Transport,
    /// Whether it asks callers for their password.
    pub(crate) challenges_calls: bool,
    /// Whether it asks them again for each request within their calls.
    pub(crate) challenges_all: bool,
    /// Whether responses and CANCELs that it knows nothing of go on all the same (RFC 3261 §16.7
    /// step 1), or are dropped (RFC 6026 §8.9).
    pub(crate) forwards_strays: bool,
    pub(crate) timer_c: Duration,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) manner: Manner,
    timers: Timers,
    pub(crate) secret: u64,
    pub(crate) registrar: Registrar,
    contexts: BTreeMap<Number, Context>,
    by_key: BTreeMap<String, Number>,
    clients: BTreeMap<String, Client>,
    last: Number,
    pub(crate) transmits: VecDeque<Transmit>,
    /// The registrar's clock.
    pub(crate) wall: Duration,
    /// Who has placed a call: Call-ID and tag.
    pub(crate) callers: BTreeSet<(String, String)>,
    /// How many requests were cut because they came round.
    pub(crate) loops: u64,
    /// How many INVITEs went to more than one.
    pub(crate) forks: u64,
}

impl Proxy {
    pub(crate) fn new(
        address: SocketAddr,
        manner: Manner,
        secret: u64,
        registrar: Registrar,
    ) -> Self {
        Self {
            address,
            manner,
            timers: Timers {
                c: manner.timer_c,
                ..Timers::default()
            },
            secret,
            registrar,
            contexts: BTreeMap::new(),
            by_key: BTreeMap::new(),
            clients: BTreeMap::new(),
            last: 0,
            transmits: VecDeque::new(),
            wall: Duration::ZERO,
            callers: BTreeSet::new(),
            loops: 0,
            forks: 0,
        }
    }

    /// Forgets every transaction.
    pub(crate) fn restart(&mut self) {
        self.contexts.clear();
        self.by_key.clear();
        self.clients.clear();
        self.callers.clear();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.contexts.is_empty()
            && self.by_key.is_empty()
            && self.clients.is_empty()
            && self.transmits.is_empty()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let clients = self.clients.values().filter_map(Client::deadline);
        let contexts = self.contexts.values().filter_map(Context::deadline);
        clients.chain(contexts).min()
    }

    pub(crate) fn receive(&mut self, now: Instant, wall: Duration, flow: Flow, bytes: &[u8]) {
        self.wall = wall;
        let Ok(message) = Message::parse(bytes) else {
            assert_eq!(bytes, b"\r\n\r\n", "what a user agent sends is SIP");
            return;
        };
        message
            .validate()
            .expect("what a user agent sends is valid");
        match message.start_line() {
            StartLine::Request { method, .. } => self.request(now, flow, &message, method),
            StartLine::Response { status, .. } => self.response(now, &message, status),
        }
    }

    fn request(&mut self, now: Instant, flow: Flow, message: &Message<'_>, method: Method<'_>) {
        let key = key_of(message, method);
        let known = self.by_key.get(&key).copied();
        match (method, known) {
            (Method::Ack, known) => {
                let context = known.and_then(|number| self.contexts.get_mut(&number));
                if !context.is_some_and(|context| context.acknowledge(now)) {
                    self.pass_on(flow, message);
                }
            }
            (Method::Cancel, Some(number)) => {
                self.reply(flow, message, 200);
                self.cancel_branches(now, number);
            }
            (Method::Cancel, None) if self.manner.forwards_strays => self.pass_on(flow, message),
            (Method::Cancel, None) => self.reply(flow, message, 481),
            (_, Some(number)) => {
                let again = self.contexts.get_mut(&number).and_then(Context::again);
                self.transmits.extend(again);
            }
            (_, None) => self.begin(now, flow, message, (method, key)),
        }
    }

    /// Makes a response context, and answers the request or sends it on.
    fn begin(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        (method, key): (Method<'_>, String),
    ) {
        self.last += 1;
        let number = self.last;
        let mut draft = Draft::of(message);
        let is_invite = method == Method::Invite;
        let kept = (key.clone(), draft.write());
        let context = Context::new(now, flow, kept, (is_invite, self.timers));
        self.contexts.insert(number, context);
        self.by_key.insert(key, number);
        draft.stamp(message, flow.remote);
        match self.targets(flow, message, &mut draft) {
            Err(answer) => self.answer(now, number, flow, message, answer),
            Ok(targets) => {
                if is_invite {
                    self.answer(now, number, flow, message, (100, Vec::new()));
                    self.forks += u64::from(targets.len() > 1);
                }
                for target in targets {
                    self.fork(now, number, draft.clone(), &target, message);
                }
            }
        }
    }

    /// Sends a request to one of its targets (§16.6).
    fn fork(
        &mut self,
        now: Instant,
        number: Number,
        mut draft: Draft,
        target: &str,
        message: &Message<'_>,
    ) {
        let method = message.method().unwrap();
        let (flow, branch) = self.prepare(&mut draft, target, message);
        let key = format!("{branch}|{}", method.as_str());
        let is_invite = method == Method::Invite;
        let how = (self.timers, is_invite);
        let (client, transmit) = Client::new(now, flow, draft, Some(number), how);
        self.clients.insert(key.clone(), client);
        self.transmits.push_back(transmit);
        let context = self.contexts.get_mut(&number).unwrap();
        context.branches.push(Branch {
            key,
            refusal: None,
            is_over: false,
        });
    }

    /// Takes a response (§16.7).
    fn response(&mut self, now: Instant, message: &Message<'_>, status: u16) {
        let via = message.top_via().unwrap();
        assert_eq!(via.sent_by, self.address.to_string(), "an answer astray");
        let method = message.cseq().unwrap().method;
        let key = format!("{}|{}", via.branch.unwrap_or_default(), method.as_str());
        let Some(client) = self.clients.get_mut(&key) else {
            return self.pass_back(message);
        };
        let (goes_on, ack) = client.handle_response(now, (message, status), &self.timers);
        let (context, cancels) = (client.context, client.cancels());
        self.transmits.extend(ack);
        if cancels {
            self.send_cancel(now, &key);
        }
        if goes_on
            && status > 100
            && let Some(number) = context
        {
            self.deliver(now, (number, &key), message, status);
        }
    }

    /// Gives a response to its context: a provisional one and a 2xx go on at once, a refusal waits
    /// for the others (§16.7 steps 4 and 5).
    fn deliver(
        &mut self,
        now: Instant,
        (number, key): (Number, &str),
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(context) = self.contexts.get_mut(&number) else {
            return;
        };
        let mut draft = Draft::of(message);
        draft.pop(HeaderName::Via);
        let branch = context.branches.iter_mut().find(|b| b.key == key);
        let branch = branch.expect("the branch of a client");
        branch.is_over |= status >= 200;
        if status < 300 {
            let sent = context.respond(now, status, draft.write());
            self.transmits.extend(sent);
        } else {
            branch.refusal = Some((status, draft));
        }
        // Step 10.
        if (200..300).contains(&status) || status >= 600 {
            self.cancel_branches(now, number);
        }
        self.conclude(now, number);
    }

    /// Answers with the best refusal, once no branch can answer any more (§16.7 step 6).
    fn conclude(&mut self, now: Instant, number: Number) {
        let Some(context) = self.contexts.get_mut(&number) else {
            return;
        };
        if let Some((status, best)) = context.best() {
            let sent = context.respond(now, status, best.write());
            self.transmits.extend(sent);
        }
    }

    fn cancel_branches(&mut self, now: Instant, number: Number) {
        let Some(context) = self.contexts.get(&number) else {
            return;
        };
        let open = context.branches.iter().filter(|branch| !branch.is_over);
        let keys: Vec<String> = open.map(|branch| branch.key.clone()).collect();
        for key in keys {
            let client = self.clients.get_mut(&key);
            if client.is_some_and(|client| client.cancel(now)) {
                self.send_cancel(now, &key);
            }
        }
    }

    fn send_cancel(&mut self, now: Instant, invite: &str) {
        let client = &self.clients[invite];
        let bytes = client.request.beside("CANCEL", None);
        let draft = Draft::of(&Message::parse(&bytes).unwrap());
        let key = invite.replace("|INVITE", "|CANCEL");
        let how = (self.timers, false);
        let (cancel, transmit) = Client::new(now, client.flow, draft, None, how);
        self.clients.insert(key, cancel);
        self.transmits.push_back(transmit);
    }

    /// Acts on every timer that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        while let Some(key) = self
            .clients
            .iter()
            .find(|(_, client)| due(client.deadline()))
            .map(|(key, _)| key.clone())
        {
            self.client_timeout(now, &key);
        }
        while let Some(number) = self
            .contexts
            .iter()
            .find(|(_, context)| due(context.deadline()))
            .map(|(&number, _)| number)
        {
            let context = self.contexts.get_mut(&number).unwrap();
            match context.handle_timeout(now) {
                Ok(again) => self.transmits.extend(again),
                Err(Over) => {
                    let context = self.contexts.remove(&number).unwrap();
                    self.by_key.remove(&context.key);
                }
            }
        }
    }

    fn client_timeout(&mut self, now: Instant, key: &str) {
        let client = self.clients.get_mut(key).unwrap();
        match client.handle_timeout(now) {
            Due::Nothing => {}
            Due::Send(transmit) => self.transmits.push_back(transmit),
            Due::Over => drop(self.clients.remove(key)),
            Due::TimerC if client.is_heard() => {
                if client.cancel(now) {
                    self.send_cancel(now, key);
                }
            }
            Due::TimerC | Due::GivenUp => self.give_up(now, key),
        }
    }

    /// Nobody has answered on a branch: 408 for an INVITE (§16.8), silence for all else, whose
    /// client has given up as well (RFC 4320 §4.2).
    fn give_up(&mut self, now: Instant, key: &str) {
        let client = self.clients.remove(key).unwrap();
        let Some(number) = client.context else { return };
        let Some(context) = self.contexts.get_mut(&number) else {
            return;
        };
        let request = Message::parse(&context.request).unwrap();
        let bytes = ResponseBuilder::to(&request, 408, "")
            .to_tag("proxy")
            .build();
        let refusal = Draft::of(&Message::parse(&bytes).unwrap());
        let is_invite = context.is_invite();
        let branch = context.branches.iter_mut().find(|b| b.key == key);
        let branch = branch.expect("the branch of a client");
        branch.is_over = true;
        branch.refusal = is_invite.then_some((408, refusal));
        self.conclude(now, number);
    }

    /// Answers in a context.
    fn answer(
        &mut self,
        now: Instant,
        number: Number,
        flow: Flow,
        message: &Message<'_>,
        (status, fields): Answer,
    ) {
        let tag = format!("{:016x}", round(message) ^ self.secret);
        let mut builder = ResponseBuilder::to(message, status, "")
            .source(flow.remote)
            .to_tag(&tag);
        for (name, value) in fields {
            builder = builder.header(name, value);
        }
        let context = self.contexts.get_mut(&number).unwrap();
        let sent = context.respond(now, status, builder.build());
        self.transmits.extend(sent);
    }

    /// Answers without keeping anything.
    fn reply(&mut self, flow: Flow, message: &Message<'_>, status: u16) {
        let builder = ResponseBuilder::to(message, status, "");
        let bytes = builder.source(flow.remote).to_tag("proxy").build();
        let bytes = bytes.into();
        self.transmits.push_back(Transmit { flow, bytes });
    }
}
