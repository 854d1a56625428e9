//! A message taken apart, so that a proxy may change it on its way (RFC 3261 §16.6, §16.7).

use std::fmt::Write;
use std::net::SocketAddr;

use offhook_sip::message::{HeaderName, Message, MessageWriter, Method, StartLine};

/// A message as lines.
#[derive(Clone)]
pub(crate) struct Draft {
    start: Start,
    lines: Vec<Line>,
    body: Vec<u8>,
}

#[derive(Clone)]
enum Start {
    Request { method: String, uri: String },
    Response { status: u16, reason: String },
}

#[derive(Clone)]
struct Line {
    name: HeaderName,
    label: String,
    value: String,
}

/// The fields whose values stand one a line, the next hop's first.
const LISTS: [HeaderName; 3] = [HeaderName::Via, HeaderName::Route, HeaderName::RecordRoute];

impl Draft {
    /// Takes a message apart.
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let start = match message.start_line() {
            StartLine::Request { method, uri } => Start::Request {
                method: method.as_str().to_owned(),
                uri: uri.to_owned(),
            },
            StartLine::Response { status, reason } => Start::Response {
                status,
                reason: reason.to_owned(),
            },
        };
        let mut lines: Vec<Line> = Vec::new();
        for name in LISTS {
            let label = name.as_str();
            lines.extend(message.values(name).map(|value| Line {
                name,
                label: label.to_owned(),
                value: value.to_owned(),
            }));
        }
        let others = message
            .all_headers()
            .filter(|header| !LISTS.contains(&header.name));
        let kept = others.filter(|header| header.name != HeaderName::ContentLength);
        lines.extend(kept.map(|header| Line {
            name: header.name,
            label: header.label.to_owned(),
            value: header.value().unwrap_or_default().to_owned(),
        }));
        Self {
            start,
            lines,
            body: message.body().to_vec(),
        }
    }

    /// Writes it again.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut writer = match &self.start {
            Start::Request { method, uri } => MessageWriter::request(Method::new(method), uri),
            Start::Response { status, reason } => MessageWriter::response(*status, reason),
        };
        for line in &self.lines {
            writer.header_named(&line.label, &line.value);
        }
        writer.end(&self.body)
    }

    pub(crate) fn uri(&self) -> &str {
        match &self.start {
            Start::Request { uri, .. } => uri,
            Start::Response { .. } => "",
        }
    }

    pub(crate) fn set_uri(&mut self, target: &str) {
        if let Start::Request { uri, .. } = &mut self.start {
            target.clone_into(uri);
        }
    }

    /// Gives a response another status, with that status' own phrase.
    pub(crate) fn set_status(&mut self, with: u16) {
        if let Start::Response { status, reason } = &mut self.start {
            *status = with;
            reason.clear();
        }
    }

    /// The values of a field, in order.
    pub(crate) fn values(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        let lines = self.lines.iter().filter(move |line| line.name == name);
        lines.map(|line| line.value.as_str())
    }

    /// Takes the first value of a field away.
    pub(crate) fn pop(&mut self, name: HeaderName) -> Option<String> {
        let at = self.lines.iter().position(|line| line.name == name)?;
        Some(self.lines.remove(at).value)
    }

    /// Puts a value before all others of its field.
    pub(crate) fn push(&mut self, name: HeaderName, value: String) {
        let label = name.as_str().to_owned();
        self.lines.insert(0, Line { name, label, value });
    }

    /// Adds a value behind all others.
    pub(crate) fn add(&mut self, name: HeaderName, value: String) {
        let label = name.as_str().to_owned();
        self.lines.push(Line { name, label, value });
    }

    /// Replaces a field by one value.
    pub(crate) fn set(&mut self, name: HeaderName, value: String) {
        self.remove(name);
        self.add(name, value);
    }

    pub(crate) fn remove(&mut self, name: HeaderName) {
        self.lines.retain(|line| line.name != name);
    }

    /// Writes into the topmost Via where the request came from (§18.2.1, RFC 3581 §4).
    pub(crate) fn stamp(&mut self, message: &Message<'_>, source: SocketAddr) {
        let via = message.top_via().expect("a Via that was read before");
        let mut stamped = format!("SIP/2.0/{} {}", via.transport, via.sent_by);
        let known = ["received", "rport"];
        let params = via.params.iter();
        for param in params.filter(|param| !known.contains(&param.name)) {
            let _ = match param.value {
                Some(value) => write!(stamped, ";{}={value}", param.name),
                None => write!(stamped, ";{}", param.name),
            };
        }
        let _ = write!(stamped, ";received={};rport={}", source.ip(), source.port());
        self.pop(HeaderName::Via);
        self.push(HeaderName::Via, stamped);
    }

    /// Makes the request that goes hop by hop beside this one, as it was sent: a CANCEL (§9.1), or
    /// the ACK of a refusal (§17.1.1.3), which has the refusal's To.
    pub(crate) fn beside(&self, method: &str, to: Option<&str>) -> Vec<u8> {
        let uri = self.uri();
        let mut writer = MessageWriter::request(Method::new(method), uri);
        let copied = [
            HeaderName::Route,
            HeaderName::From,
            HeaderName::CallId,
            HeaderName::MaxForwards,
        ];
        writer.header(
            HeaderName::Via,
            self.values(HeaderName::Via).next().unwrap_or_default(),
        );
        for line in self.lines.iter().filter(|line| copied.contains(&line.name)) {
            writer.header_named(&line.label, &line.value);
        }
        let own = self.values(HeaderName::To).next().unwrap_or_default();
        let cseq = self.values(HeaderName::CSeq).next().unwrap_or_default();
        let number = cseq.split(' ').next().unwrap_or_default();
        writer.header(HeaderName::To, to.unwrap_or(own));
        writer.header(HeaderName::CSeq, format_args!("{number} {method}"));
        writer.end(b"")
    }
}
