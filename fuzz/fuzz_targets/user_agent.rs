//! Anything said to a user agent and asked of it, in any order: it neither panics nor is woken
//! without end, keeps its bounds, and forgets every call.
//!
//! The input is a run of records with a zero byte after each. A record's first byte says what is
//! done; the rest, if it is a message, may name by marks what the user agent has sent: `{v}`
//! `{f}` `{o}` `{c}` `{q}` its last request's Via, From, To, Call-ID and CSeq, `{t}` its last
//! response's To tag, `{r}` that one's RSeq, `{auth}` the answer to its last challenge.
#![no_main]

#[path = "../answer.rs"]
mod answer;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use answer::Answer;
use offhook_sip::digest::{Attempts, DigestClient};
use offhook_sip::message::{HeaderName, Message};
use offhook_sip::{
    Access, CallHandle, Credentials, Event, Flow, Invite, OptionsPing, Refer, Register,
    RegistrationHandle, RequestHandle, Settings, Transport, TrunkPeer, UserAgent, UserSecret,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

const CALLS_MAX: usize = 3;
const TRANSACTIONS_MAX: usize = 12;
const RECORDS_MAX: usize = 64;

struct Desk {
    ua: UserAgent,
    now: Instant,
    rng: StdRng,
    calls: Vec<CallHandle>,
    registrations: Vec<RegistrationHandle>,
    requests: Vec<RequestHandle>,
    marks: Vec<(&'static str, String)>,
    client: DigestClient,
}

fn settings() -> Settings {
    let network = "192.0.2.0/24".parse().expect("a network");
    Settings {
        max_calls: CALLS_MAX,
        max_transactions: TRANSACTIONS_MAX,
        seed: [7; 32],
        transfers: true,
        access: Access {
            trunks: vec![TrunkPeer {
                name: "trunk".to_owned(),
                networks: vec![network],
                ..TrunkPeer::default()
            }],
            users: vec![UserSecret {
                name: "alice".to_owned(),
                password: "alice-secret".to_owned(),
            }],
            realm: "fuzz".to_owned(),
            ..Access::default()
        },
        ..Settings::default()
    }
}

fn flow(transport: Transport, remote: [u8; 4]) -> Flow {
    Flow {
        transport,
        local: ([192, 0, 2, 2], 5060).into(),
        remote: (remote, 5060).into(),
    }
}

impl Desk {
    fn new(now: Instant) -> Self {
        Self {
            ua: UserAgent::new(settings()),
            now,
            rng: StdRng::seed_from_u64(7),
            calls: Vec::new(),
            registrations: Vec::new(),
            requests: Vec::new(),
            marks: Vec::new(),
            client: DigestClient::new(),
        }
    }

    fn credentials() -> Option<Credentials> {
        Some(Credentials {
            username: "trunkuser".to_owned(),
            password: "secret".to_owned(),
        })
    }

    /// Does what a record says.
    fn act(&mut self, deed: u8, rest: &[u8]) {
        let (now, call) = (self.now, self.calls.last().copied());
        let trunk = flow(Transport::Udp, [192, 0, 2, 1]);
        match (deed, call) {
            (b'<', _) => self.receive(trunk, rest),
            (b'[', _) => self.receive(flow(Transport::Tcp, [192, 0, 2, 1]), rest),
            (b'(', _) => self.receive(flow(Transport::Udp, [203, 0, 113, 9]), rest),
            (b'i', _) => self.invite(trunk),
            (b'g', _) => self.register(trunk),
            (b'o', _) => {
                let uri = "sip:trunk.example".to_owned();
                let route = Vec::new();
                let _ = self.ua.options(now, OptionsPing { uri, flow: trunk, route });
            }
            (b'u', _) => {
                for registration in &self.registrations {
                    self.ua.unregister(now, *registration);
                }
            }
            (b'm', _) => {
                for registration in &self.registrations {
                    let moved = flow(Transport::Udp, [192, 0, 2, 3]);
                    self.ua.reroute_registration(now, *registration, moved);
                }
            }
            (b'p', _) => {
                for request in self.requests.drain(..) {
                    self.ua.respond(now, request, 200, &[], &[]);
                }
            }
            (b'c', _) => self.ua.flow_closed(now, flow(Transport::Tcp, [192, 0, 2, 1])),
            (b'd', _) => self.ua.transport_failed(now, trunk),
            (b'r', Some(call)) => self.ua.ring(now, call, 183, Some(rest.to_vec())),
            (b'b', Some(call)) => self.ua.ring(now, call, 180, None),
            (b'a', Some(call)) => drop(self.ua.answer(now, call, rest.to_vec())),
            (b'x', Some(call)) => self.ua.reject(now, call, 486, &[]),
            (b'h', Some(call)) => self.ua.hang_up(now, call, Some("SIP;cause=500")),
            (b'e', Some(call)) => self.ua.reinvite(now, call, rest.to_vec()),
            (b'n', Some(call)) => self.ua.info(now, call, "text/plain", rest.to_vec()),
            (b'f', Some(call)) => {
                let refer_to = String::from_utf8_lossy(rest).into_owned();
                let refer = Refer { refer_to, ..Refer::default() };
                self.ua.refer(now, call, refer);
            }
            (b't', Some(call)) => {
                let other = self.calls.first().copied().unwrap_or(call);
                self.ua.refer_to_call(now, call, other);
            }
            (b'k', Some(call)) => self.ua.answer_refer(now, call, Ok(())),
            (b'q', Some(call)) => self.ua.answer_refer(now, call, Err(403)),
            (b'w', Some(call)) => self.ua.notify_refer(now, call, 180, ""),
            (b'v', Some(call)) => {
                self.ua.notify_refer(now, call, 200, &String::from_utf8_lossy(rest));
            }
            (b'y', Some(call)) => self.ua.answer_reoffer(now, call, Ok(Some(rest.to_vec()))),
            (b'z', Some(call)) => self.ua.answer_reoffer(now, call, Err(488)),
            _ => self.pass(Duration::from_millis(u64::from(deed) * u64::from(deed))),
        }
        self.drain();
    }

    fn receive(&mut self, flow: Flow, text: &[u8]) {
        let mut text = text.to_vec();
        for (mark, value) in &self.marks {
            if let Some(at) = text.windows(mark.len()).position(|w| w == mark.as_bytes()) {
                text.splice(at..at + mark.len(), value.bytes()).for_each(drop);
            }
        }
        let mut answer = Answer::new(self.client.clone(), "alice-secret");
        let (text, _) = answer.put(&text, &mut self.rng);
        self.ua.receive(self.now, flow, &text);
    }

    fn invite(&mut self, flow: Flow) {
        let invite = Invite {
            request_uri: "sip:+12025550123@trunk.example".to_owned(),
            to: "sip:+12025550123@trunk.example".to_owned(),
            from: "sip:+12025550100@us.example".to_owned(),
            route: Vec::new(),
            flow,
            stream: None,
            credentials: Self::credentials(),
            body: b"v=0\r\n".to_vec(),
            content_type: "application/sdp".to_owned(),
            headers: Vec::new(),
        };
        self.calls.extend(self.ua.invite(self.now, invite));
    }

    fn register(&mut self, flow: Flow) {
        if self.registrations.len() == 2 {
            return;
        }
        let register = Register {
            registrar_uri: "sip:trunk.example".to_owned(),
            aor: "sip:us@trunk.example".to_owned(),
            contact_user: "us".to_owned(),
            flow,
            stream: None,
            route: Vec::new(),
            credentials: Self::credentials(),
            expires_s: 60,
        };
        self.registrations.extend(self.ua.register(self.now, register));
    }

    /// Takes what was sent and what happened, and holds the bounds against it.
    fn drain(&mut self) {
        while let Some(transmit) = self.ua.poll_transmit() {
            // A ping of ours, or the answer to the peer's (RFC 5626 §4.4.1).
            if matches!(&*transmit.bytes, b"\r\n\r\n" | b"\r\n") {
                continue;
            }
            let sent = Message::parse(&transmit.bytes).expect("what we send, we read");
            self.note(&sent);
        }
        while let Some(event) = self.ua.poll_event() {
            match event {
                Event::Incoming { call, .. } => self.calls.push(call),
                Event::Rejected { call, .. } | Event::Ended { call, .. } => {
                    self.calls.retain(|kept| *kept != call);
                }
                Event::Request { handle, .. } => self.requests.push(handle),
                Event::Unregistered { registration } => {
                    self.registrations.retain(|kept| *kept != registration);
                }
                _ => {}
            }
        }
        assert!(self.ua.call_count() <= CALLS_MAX);
        // What ends a call may always be sent, and a registration is ours alone.
        let most = TRANSACTIONS_MAX + CALLS_MAX * 4 + self.registrations.len() * 2;
        assert!(self.ua.transaction_count() <= most, "{} transactions", self.ua.transaction_count());
    }

    /// Remembers what the next records may name.
    fn note(&mut self, sent: &Message<'_>) {
        let value = |name| sent.header(name).unwrap_or_default().to_owned();
        let tag = || Some(sent.to().ok()?.tag()?.to_owned());
        let marks = if sent.status().is_some() {
            if sent.status() == Some(401) {
                self.client = DigestClient::new();
                let first = Message::parse(b"INVITE sip:a@b SIP/2.0\r\n\r\n").expect("a request");
                let _ = self.client.challenged(&first, sent, &mut Attempts::default());
            }
            vec![("{t}", tag().unwrap_or_default()), ("{r}", value(HeaderName::RSeq))]
        } else {
            vec![
                ("{v}", value(HeaderName::Via)),
                ("{f}", value(HeaderName::From)),
                ("{o}", value(HeaderName::To)),
                ("{c}", value(HeaderName::CallId)),
                ("{q}", value(HeaderName::CSeq)),
            ]
        };
        for (mark, value) in marks {
            self.marks.retain(|(kept, _)| *kept != mark);
            self.marks.push((mark, value));
        }
    }

    /// Lets time pass, waking the user agent whenever it asks.
    fn pass(&mut self, pause: Duration) {
        let until = self.now + pause;
        let mut wakes = 0;
        while let Some((at, reason)) = self.ua.poll_timeout() {
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            self.ua.handle_timeout(self.now);
            self.drain();
            wakes += 1;
            assert!(wakes < 10_000, "woken without end for {reason}");
        }
        self.now = until;
    }

    /// Ends everything from our side; a silent peer must not keep anything alive.
    fn end(mut self) {
        for call in self.calls.clone() {
            self.ua.hang_up(self.now, call, None);
        }
        for registration in self.registrations.clone() {
            self.ua.unregister(self.now, registration);
        }
        self.drain();
        self.pass(Duration::from_secs(400));
        assert_eq!((self.ua.call_count(), self.ua.transaction_count()), (0, 0));
        assert!(self.calls.is_empty(), "a call's end was not told");
        assert!(self.ua.is_idle(), "{:?}", self.ua.poll_timeout());
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static START: OnceLock<Instant> = OnceLock::new();
    let mut desk = Desk::new(*START.get_or_init(Instant::now));
    for record in bytes.split(|byte| *byte == 0).take(RECORDS_MAX) {
        if let [deed, rest @ ..] = record {
            desk.act(*deed, rest);
        }
    }
    desk.end();
});
