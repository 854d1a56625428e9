//! Responses as we write them, and those that are sent without any state (RFC 3261 §8.2.6,
//! §8.2.7).

use std::net::SocketAddr;
use std::time::Instant;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::compose::contact_uri;
use super::settings::Settings;
use super::{RequestHandle, Transmit, UserAgent};
use crate::flow::Flow;
use crate::message::{HeaderName, Message, Method, Refusal, ResponseBuilder, Rport};
use crate::uri::{Scheme, Uri};

/// A response before it is written.
#[derive(Clone, Default)]
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    reason: &'a str,
    to_tag: Option<String>,
    /// The user part of our Contact; none writes no Contact.
    contact_user: Option<String>,
    headers: Vec<(String, String)>,
    /// What stands for all of them where there is little room.
    shortest: Option<(String, String)>,
    content_type: &'a str,
    body: &'a [u8],
}

impl<'a> Reply<'a> {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Begins the response that a check of a request demands.
    pub(super) fn refusing(refusal: &Refusal) -> Self {
        let fields = refusal.headers.iter();
        Self {
            status: refusal.status,
            reason: refusal.reason,
            headers: fields
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
            ..Self::default()
        }
    }

    /// Replaces the code's own reason phrase.
    pub(super) fn because(mut self, reason: &'a str) -> Self {
        self.reason = reason;
        self
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn with_all(mut self, headers: &[(String, String)]) -> Self {
        self.headers.extend_from_slice(headers);
        self
    }

    /// Gives the one field that the others can be left out for.
    pub(super) fn or_only(mut self, shortest: (String, String)) -> Self {
        self.shortest = Some(shortest);
        self
    }

    /// Adds header fields that are known by name.
    pub(super) fn with_fields(mut self, fields: Vec<(HeaderName, String)>) -> Self {
        let fields = fields.into_iter();
        self.headers
            .extend(fields.map(|(name, value)| (name.to_string(), value)));
        self
    }

    /// Makes the response one of a dialog: with our tag and our Contact.
    pub(super) fn in_dialog(mut self, tag: String, contact_user: &str) -> Self {
        self.to_tag = Some(tag);
        self.contact_user = Some(contact_user.to_owned());
        self
    }

    /// Sets our tag.
    pub(super) fn tagged(mut self, tag: String) -> Self {
        self.to_tag = Some(tag);
        self
    }

    pub(super) fn with_body(mut self, content_type: &'a str, body: &'a [u8]) -> Self {
        self.content_type = content_type;
        self.body = body;
        self
    }

    /// Writes the response to a request that came on a flow.
    pub(super) fn write(
        &self,
        settings: &Settings,
        came_on: &Flow,
        request: &Message<'_>,
    ) -> Vec<u8> {
        let mut builder = ResponseBuilder::to(request, self.status, self.reason);
        builder = builder.source(came_on.remote);
        if let Some(tag) = &self.to_tag {
            builder = builder.to_tag(tag);
        }
        if let Some(user) = &self.contact_user {
            let contact = contact_uri(settings, came_on, (user, asks_for_sips(request)));
            builder = builder.contact(contact);
        }
        let announces = matches!(
            request.method(),
            Some(Method::Invite | Method::Update | Method::Options)
        );
        if announces && (101..300).contains(&self.status) {
            builder = builder.header(HeaderName::Allow, settings.allow());
        }
        if announces && (200..300).contains(&self.status) {
            builder = builder.header(HeaderName::Supported, settings.supported());
        }
        for (name, value) in &self.headers {
            builder = builder.header_named(name, value);
        }
        builder = builder.header(HeaderName::Server, &settings.product);
        match self.body {
            [] => builder.build(),
            body => builder.body(self.content_type, body),
        }
    }
}

impl Reply<'_> {
    /// Writes the response without anything that a request can do without: no Server, Allow or
    /// Supported (§20 has them as optional in a 2xx, and tells a 405, 415 or 420 what it must
    /// say), the code's own phrase, compact names (§7.3.3). Where it is longer than `room` bytes
    /// it has its shortest field in place of all.
    pub(super) fn write_brief(
        &self,
        came_on: &Flow,
        request: &Message<'_>,
        room: usize,
    ) -> Vec<u8> {
        let told = match self.status {
            200..300 => &[],
            _ => self.headers.as_slice(),
        };
        let write = |fields: &[(String, String)]| {
            let builder = ResponseBuilder::to(request, self.status, "").compact();
            let builder = builder.source(came_on.remote);
            let builder = builder.to_tag(self.to_tag.as_deref().unwrap_or_default());
            fields
                .iter()
                .fold(builder, |builder, (name, value)| {
                    builder.header_named(name, value)
                })
                .build()
        };
        let bytes = write(told);
        match &self.shortest {
            Some(shortest) if bytes.len() > room => write(std::slice::from_ref(shortest)),
            _ => bytes,
        }
    }
}

/// Returns where responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4): back over the same
/// connection; for a datagram to its source address, and to the source port if that was asked
/// for, else to the port that the Via names. `maddr` is not honoured: it would let anyone point
/// our responses at a third party.
pub(super) fn reply_flow(came_on: Flow, request: &Message<'_>) -> Flow {
    let mut flow = came_on;
    if !flow.transport.is_reliable()
        && let Ok(via) = request.top_via()
        && via.rport == Rport::Absent
    {
        flow.remote = SocketAddr::new(flow.remote.ip(), via.port.unwrap_or(5060));
    }
    flow
}

impl UserAgent {
    /// Answers a request without keeping anything of it: a retransmission is answered anew, and
    /// alike.
    pub(super) fn reply(&mut self, flow: Flow, request: &Message<'_>, reply: &Reply<'_>) {
        let mut reply = reply.clone();
        reply
            .to_tag
            .get_or_insert_with(|| self.stateless_tag(flow, request));
        let bytes = match self.is_asked_by_stranger() {
            false => reply.write(&self.settings, &flow, request),
            true => match self.brief(flow, request, &reply) {
                Some(bytes) => bytes,
                None => return,
            },
        };
        self.send(Transmit {
            flow: reply_flow(flow, request),
            bytes: bytes.into(),
        });
    }

    /// Answers a request as a check of it demands.
    pub(super) fn refuse(&mut self, flow: Flow, request: &Message<'_>, refusal: &Refusal) {
        self.reply(flow, request, &Reply::refusing(refusal));
    }

    /// Refuses a request because a bound is reached.
    pub(super) fn reply_overloaded(&mut self, flow: Flow, request: &Message<'_>) {
        self.stats.overloaded += 1;
        let retry_after = self.settings.retry_after_s.to_string();
        self.reply(
            flow,
            request,
            &Reply::new(503).with("Retry-After", retry_after),
        );
    }

    /// Makes a tag that is the same for every copy of a request, and that nobody else can make
    /// (§8.2.7), the ACK included. It is shorter than a call's tag, so that neither is ever taken
    /// for the other.
    fn stateless_tag(&self, flow: Flow, request: &Message<'_>) -> String {
        let mut hash = Sha256::new();
        hash.update(self.tag_secret);
        for name in [HeaderName::CallId, HeaderName::From] {
            hash.update(request.header_bytes(name).unwrap_or_default());
            hash.update([0]);
        }
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        hash.update(number.to_be_bytes());
        // Who repeats it from elsewhere has not received it there.
        hash.update(flow.remote.to_string());
        let digest = hash.finalize();
        digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Returns whether a tag is the one that we gave this request's INVITE.
    pub(super) fn is_stateless_tag(&self, flow: Flow, tag: &str, ack: &Message<'_>) -> bool {
        bool::from(
            tag.as_bytes()
                .ct_eq(self.stateless_tag(flow, ack).as_bytes()),
        )
    }

    /// Answers a request that [`super::Event::Request`] has reported.
    pub fn respond(
        &mut self,
        now: Instant,
        request: RequestHandle,
        status: u16,
        headers: &[(String, String)],
        body: &[u8],
    ) {
        let tag = format!("{:020x}", self.unused(|_, _| true));
        let (types, others): (Vec<_>, Vec<_>) = headers
            .iter()
            .cloned()
            .partition(|(name, _)| name.eq_ignore_ascii_case("Content-Type"));
        let content_type = types.first().map_or("text/plain", |(_, value)| value);
        let reply = Reply::new(status).tagged(tag).with_all(&others);
        self.reply_in(now, request.0, &reply.with_body(content_type, body));
    }
}

/// Whether a request is to be secure all the way: then so is what it makes (RFC 3261 §12.1.1).
fn asks_for_sips(request: &Message<'_>) -> bool {
    let is_sips = |uri: &Uri<'_>| uri.scheme == Scheme::Sips;
    let asked = request.request_uri().is_ok_and(|uri| is_sips(&uri));
    let mut routes = request.record_routes().flatten();
    asked || routes.next().is_some_and(|route| is_sips(&route.uri))
}
