//! A user agent on a desk: bytes in, bytes out, a clock that is moved by hand.
#![allow(dead_code, missing_docs, unreachable_pub)] // each test file uses a part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // what breaks is the test

pub mod weather;

use std::time::{Duration, Instant};

use offhook_sip::message::{HeaderName, Message};
use offhook_sip::{
    Access, CallHandle, Credentials, Event, Flow, Invite, Settings, Timers, Transport, UserAgent,
};

pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n";
pub const ANSWER: &str = "v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\n";

#[allow(clippy::disallowed_methods)] // an arbitrary origin: only differences matter
pub fn origin() -> Instant {
    Instant::now()
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn flow(transport: Transport, remote: &str) -> Flow {
    Flow {
        transport,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: remote.parse().unwrap(),
    }
}

pub fn settings() -> Settings {
    Settings {
        product: "Offhook/test".to_owned(),
        timers: Timers::default(),
        seed: [7; 32],
        access: Access {
            open_loopback: true,
            ..Access::default()
        },
        transfers: true,
        ..Settings::default()
    }
}

/// A message that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub flow: Flow,
    pub text: String,
}

impl Sent {
    pub fn start(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The method of a request, or the code of a response.
    pub fn what(&self) -> String {
        let mut words = self.start().split(' ');
        match (words.next(), words.next()) {
            (Some("SIP/2.0"), Some(status)) => status.to_owned(),
            (Some(method), _) => method.to_owned(),
            _ => String::new(),
        }
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let bytes = self.text.as_bytes();
        Message::parse(bytes)
            .unwrap()
            .header_named(name)
            .map(str::to_owned)
    }

    pub fn headers(&self, name: HeaderName) -> Vec<String> {
        let message = Message::parse(self.text.as_bytes()).unwrap();
        message.headers(name).map(str::to_owned).collect()
    }

    pub fn tag(&self, name: HeaderName) -> String {
        let message = Message::parse(self.text.as_bytes()).unwrap();
        message
            .address(name)
            .unwrap()
            .tag()
            .unwrap_or_default()
            .to_owned()
    }

    pub fn branch(&self) -> String {
        let message = Message::parse(self.text.as_bytes()).unwrap();
        message.top_via().unwrap().branch.unwrap().to_owned()
    }

    pub fn cseq(&self) -> u32 {
        Message::parse(self.text.as_bytes())
            .unwrap()
            .cseq()
            .unwrap()
            .number
    }

    pub fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map(|(_, body)| body)
            .unwrap_or_default()
    }
}

/// The user agent under test and the peer that the test plays.
pub struct Desk {
    pub ua: UserAgent,
    pub now: Instant,
    pub flow: Flow,
}

impl Desk {
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        Self {
            ua: UserAgent::new(settings),
            now: origin(),
            flow: flow(Transport::Udp, "127.0.0.1:5070"),
        }
    }

    pub fn over_tcp() -> Self {
        Self {
            flow: flow(Transport::Tcp, "127.0.0.1:5070"),
            ..Self::new()
        }
    }

    pub fn from(mut self, remote: &str) -> Self {
        self.flow.remote = remote.parse().unwrap();
        self
    }

    pub fn receive(&mut self, text: &str) {
        self.ua.receive(self.now, self.flow, text.as_bytes());
    }

    /// Takes everything that was sent.
    pub fn sent(&mut self) -> Vec<Sent> {
        std::iter::from_fn(|| self.ua.poll_transmit())
            .map(|transmit| Sent {
                flow: transmit.flow,
                text: String::from_utf8_lossy(&transmit.bytes).into_owned(),
            })
            .collect()
    }

    /// Takes what was sent, as methods and codes.
    pub fn sent_what(&mut self) -> Vec<String> {
        self.sent().iter().map(Sent::what).collect()
    }

    /// Takes the only message that was sent.
    pub fn one(&mut self) -> Sent {
        let mut sent = self.sent();
        let listed: Vec<String> = sent.iter().map(Sent::what).collect();
        assert_eq!(listed.len(), 1, "sent {listed:?}");
        sent.remove(0)
    }

    pub fn nothing_sent(&mut self) {
        assert_eq!(self.sent_what(), Vec::<String>::new());
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.ua.poll_event()).collect()
    }

    pub fn event(&mut self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    pub fn no_event(&mut self) {
        let events = self.events();
        assert!(events.is_empty(), "{events:?}");
    }

    /// Lets time pass, waking the user agent at each instant it asked for.
    pub fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut wakes = 0;
        while let Some((at, reason)) = self.ua.poll_timeout() {
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            self.ua.handle_timeout(self.now);
            wakes += 1;
            assert!(wakes < 100_000, "woken without end for {reason}");
        }
        self.now = until;
    }

    /// Lets time pass until nothing is left, and checks that nothing is.
    pub fn ends_empty(&mut self) {
        self.pass(Duration::from_secs(400));
        self.sent();
        self.events();
        assert_eq!((self.ua.call_count(), self.ua.transaction_count()), (0, 0));
        assert!(self.ua.is_idle(), "{:?}", self.ua.poll_timeout());
    }

    /// Calls the peer, and returns the INVITE.
    pub fn call(&mut self, credentials: Option<Credentials>) -> (CallHandle, Sent) {
        let call = self
            .ua
            .invite(self.now, invite(self.flow, credentials))
            .unwrap();
        (call, self.one())
    }

    /// Calls the peer, who answers.
    pub fn talk(&mut self) -> (CallHandle, Sent) {
        let (call, invite) = self.call(None);
        self.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
        let ack = self.one();
        assert_eq!(ack.what(), "ACK");
        assert!(matches!(self.event(), Event::Answered { .. }));
        (call, invite)
    }

    /// Is called by the peer, and returns the call with our tag.
    pub fn ring(&mut self) -> (CallHandle, String) {
        self.receive(&request("INVITE", 1, "z9hG4bKinv", "", CONTACT, OFFER));
        assert_eq!(self.one().what(), "100");
        let Event::Incoming { call, .. } = self.event() else {
            panic!("no call")
        };
        self.ua.ring(self.now, call, 180, None);
        let ringing = self.one();
        assert_eq!(ringing.what(), "180");
        (call, ringing.tag(HeaderName::To))
    }

    /// Is called by the peer, answers, and is acknowledged.
    pub fn pick_up(&mut self) -> (CallHandle, String) {
        let (call, tag) = self.ring();
        self.ua.answer(self.now, call, ANSWER.into());
        assert_eq!(self.one().what(), "200");
        self.receive(&request("ACK", 1, "z9hG4bKack", &tag, "", ""));
        assert!(matches!(self.event(), Event::Confirmed { body: None, .. }));
        (call, tag)
    }
}

pub const SUPPORTED: &str = "100rel, timer, replaces, norefersub";
pub const CONTACT: &str = "Contact: <sip:them@127.0.0.1:5070>\r\n";

pub fn credentials(password: &str) -> Credentials {
    Credentials {
        username: "trunkuser".to_owned(),
        password: password.to_owned(),
    }
}

pub fn invite(flow: Flow, credentials: Option<Credentials>) -> Invite {
    Invite {
        request_uri: "sip:+12025550123@trunk.example".to_owned(),
        to: "sip:+12025550123@trunk.example".to_owned(),
        from: "\"Desk\" <sip:+12025550100@us.example>".to_owned(),
        route: Vec::new(),
        flow,
        stream: None,
        credentials,
        body: OFFER.into(),
        content_type: "application/sdp".to_owned(),
        headers: Vec::new(),
    }
}

fn body(content: &str) -> String {
    let field = if content.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!("{field}Content-Length: {}\r\n\r\n{content}", content.len())
}

/// A request of the peer; within a dialog if `to_tag` is given.
pub fn request(
    method: &str,
    cseq: u32,
    branch: &str,
    to_tag: &str,
    fields: &str,
    content: &str,
) -> String {
    let to_tag = if to_tag.is_empty() {
        String::new()
    } else {
        format!(";tag={to_tag}")
    };
    format!(
        "{method} sip:us@127.0.0.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5070;rport;branch={branch}\r\n\
         Max-Forwards: 70\r\n\
         From: \"Them\" <sip:them@127.0.0.1>;tag=them\r\n\
         To: <sip:us@127.0.0.1>{to_tag}\r\n\
         Call-ID: call-1\r\n\
         CSeq: {cseq} {method}\r\n\
         {fields}{}",
        body(content)
    )
}

/// A request of the peer within a call that we have placed by `invite`.
pub fn request_back(invite: &Sent, method: &str, cseq: u32, fields: &str, content: &str) -> String {
    let (us, call_id) = (
        invite.header("From").unwrap(),
        invite.header("Call-ID").unwrap(),
    );
    let to = invite.header("To").unwrap();
    format!(
        "{method} sip:us@127.0.0.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5070;rport;branch=z9hG4bKback{method}{cseq}\r\n\
         Max-Forwards: 70\r\n\
         From: {to};tag=them\r\n\
         To: {us}\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: {cseq} {method}\r\n\
         {fields}{}",
        body(content)
    )
}

/// The peer's response to a request of ours; `tag` is written where To has none yet.
pub fn respond(request: &Sent, status: u16, tag: &str, fields: &str, content: &str) -> String {
    let to = request.header("To").unwrap();
    let tag = match to.contains(";tag=") || tag.is_empty() {
        true => String::new(),
        false => format!(";tag={tag}"),
    };
    format!(
        "SIP/2.0 {status} Reason\r\n\
         Via: {}\r\n\
         From: {}\r\n\
         To: {to}{tag}\r\n\
         Call-ID: {}\r\n\
         CSeq: {}\r\n\
         {fields}{}",
        request.header("Via").unwrap(),
        request.header("From").unwrap(),
        request.header("Call-ID").unwrap(),
        request.header("CSeq").unwrap(),
        body(content)
    )
}
