//! What happens to bytes that arrive, and to requests until they are somebody's (RFC 3261 §8.2,
//! §12.2.2).

use std::time::Instant;

use super::respond::Reply;
use super::screen::Asking;
use super::servers::{match_key, merge_key};
use super::settings::Settings;
use super::{CallHandle, Transmit, UserAgent};
use crate::flow::Flow;
use crate::message::{HeaderName, Message, Method, ParseError, ParseErrorKind, StartLine};

impl Settings {
    /// The methods that we answer, as Allow lists them. NOTIFY tells us of transfers that we ask for.
    pub(super) fn allow(&self) -> &'static str {
        match (self.takes_prack(), self.transfers) {
            (true, true) => "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY",
            (true, false) => "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, NOTIFY",
            (false, true) => "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, REFER, NOTIFY",
            (false, false) => "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, NOTIFY",
        }
    }
}

impl UserAgent {
    /// Takes one datagram, or one message out of a stream. What the guard drops
    /// ([`crate::Guard`]) is only counted.
    pub fn receive(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        if self.listens(now, flow, bytes) {
            self.read(now, flow, bytes);
        }
        self.asking = Asking::NOBODY;
    }

    fn read(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        match Message::parse(bytes) {
            Ok(message) => match message.start_line() {
                StartLine::Request { method, .. } => self.request(now, flow, &message, method),
                StartLine::Response { status, .. } => self.response(now, flow, &message, status),
            },
            Err(error) if error.kind() == ParseErrorKind::Empty => self.keep_alive(flow, bytes),
            Err(error) => self.malformed(now, flow, &error),
        }
    }

    /// Answers a double CRLF on a stream by a single one (RFC 5626 §4.4.1); a datagram of line
    /// ends only keeps a NAT open and is not answered.
    fn keep_alive(&mut self, flow: Flow, bytes: &[u8]) {
        if flow.transport.is_reliable() && bytes == b"\r\n\r\n" {
            self.send(Transmit {
                flow,
                bytes: (*b"\r\n").into(),
            });
        }
    }

    fn malformed(&mut self, now: Instant, flow: Flow, error: &ParseError<'_>) {
        self.stats.malformed += 1;
        if self.charge(now, flow)
            && let Some(request) = error.answerable()
        {
            self.stats.answered_400 += 1;
            self.refuse(flow, request, &error.refusal());
        }
    }

    fn request(&mut self, now: Instant, flow: Flow, message: &Message<'_>, method: Method<'_>) {
        self.stats.requests_received += 1;
        if !self.lets_in(now, flow, message, method) {
            return;
        }
        if let Err(refusal) = message.validate() {
            // A response cannot be addressed without these, and an ACK is never answered.
            if method != Method::Ack {
                self.stats.malformed += u64::from(refusal.status == 400);
                self.stats.answered_400 += u64::from(refusal.status == 400);
                self.refuse(flow, message, &refusal);
            } else {
                self.stats.malformed += 1;
            }
            return;
        }
        let mut key = std::mem::take(&mut self.scratch);
        if match_key(&mut key, message, method).is_ok() {
            self.matched_request(now, flow, message, (method, &key));
        }
        self.scratch = key;
    }

    /// Gives a request to its transaction, or to whoever answers new ones.
    fn matched_request(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        (method, key): (Method<'_>, &[u8]),
    ) {
        match (method, self.servers.find(key)) {
            (Method::Ack, server) => self.ack(now, flow, message, server),
            (Method::Cancel, _) => self.cancelled(now, flow, message),
            (_, Some(server)) => self.request_again(server),
            (_, None) if message.to().is_ok_and(|to| to.tag().is_some()) => {
                self.request_within(now, flow, message, (method, key));
            }
            (Method::Invite, None) => self.incoming_invite(now, flow, message, key),
            (Method::Options, None) => self.answer_options(flow, message),
            (Method::Register, None) => self.incoming_register(now, flow, message, key),
            (
                Method::Bye | Method::Update | Method::Info | Method::Prack | Method::Notify,
                None,
            ) => self.reply(flow, message, &Reply::new(481)),
            // Whoever asks without a call would have us call for them (RFC 3515 §5).
            (Method::Refer, None) => self.reply(flow, message, &Reply::new(403)),
            (_, None) => self.unsupported(flow, message, method),
        }
    }

    /// Answers a method that we do not serve (RFC 3261 §8.2.1, §21.5.2).
    pub(super) fn unsupported(&mut self, flow: Flow, message: &Message<'_>, method: Method<'_>) {
        let status = if method.known().is_some() { 405 } else { 501 };
        self.reply(
            flow,
            message,
            &Reply::new(status).with("Allow", self.settings.allow()),
        );
    }

    /// Finds the call that a request's or response's tags and Call-ID name; our tag is the call's
    /// handle.
    pub(super) fn call_of(&self, message: &Message<'_>, is_request: bool) -> Option<CallHandle> {
        let (from, to) = (message.from().ok()?, message.to().ok()?);
        let (ours, theirs) = if is_request { (to, from) } else { (from, to) };
        let tag = ours.tag()?;
        let call = CallHandle::from_tag(tag)?;
        let call_id = message.call_id().ok()?;
        let mut dialogs = self.dialogs(call);
        dialogs
            .any(|dialog| dialog.matches(call_id, tag, theirs.tag()))
            .then_some(call)
    }

    /// A request within a dialog (RFC 3261 §12.2.2).
    fn request_within(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        (method, key): (Method<'_>, &[u8]),
    ) {
        let Some(call) = self.call_of(message, true) else {
            self.reply(flow, message, &Reply::new(481));
            return;
        };
        let number = message.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let dialog = self.dialog_with(call, tag_of_sender(message));
        if !dialog.is_some_and(|dialog| dialog.accept_cseq(number, method)) {
            self.reply(flow, message, &Reply::new(500).because("CSeq Out Of Order"));
            return;
        }
        self.follow_stream(call, flow);
        if method != Method::Bye && self.is_full() {
            self.reply_overloaded(flow, message);
            return;
        }
        match method {
            Method::Bye => self.remote_bye(now, call, flow, message, key),
            Method::Invite | Method::Update => self.peer_offers(now, call, flow, message, key),
            Method::Prack if self.settings.takes_prack() => {
                self.remote_prack(now, call, flow, message, key)
            }
            Method::Info => self.remote_info(now, call, flow, message, key),
            Method::Refer if self.settings.transfers => {
                self.peer_refers(now, call, flow, message, key)
            }
            Method::Notify => self.peer_reports(now, call, flow, message, key),
            Method::Options => self.answer_options(flow, message),
            _ => self.unsupported(flow, message, method),
        }
    }

    /// Sends a call's requests over the connection on which the peer last spoke, since it may
    /// have opened a new one in place of another that broke.
    fn follow_stream(&mut self, call: CallHandle, flow: Flow) {
        if let Some(kept) = self.calls.get_mut(&call)
            && kept.flow.transport == flow.transport
            && flow.transport.is_reliable()
        {
            kept.flow = flow;
            // What has waited for the peer's name need not any more.
            self.reroute_call(call, flow);
        }
    }

    /// Returns the key under which a request that came on another way is known (§8.2.2.2).
    pub(super) fn merge_key_of(message: &Message<'_>) -> Option<Box<[u8]>> {
        let mut key = Vec::new();
        merge_key(&mut key, message).ok()?;
        Some(key.into())
    }

    /// Returns whether one of our own requests has come back to us unchanged, by the branches
    /// that it carries and its Request-URI (RFC 3261 §16.3 step 4; a changed one spirals).
    pub(super) fn is_looped(&self, message: &Message<'_>) -> bool {
        let Some(method) = message.method() else {
            return false;
        };
        message.vias().flatten().any(|via| {
            let ours = super::ClientId::of(&via, method).and_then(|id| self.clients.get(&id));
            ours.is_some_and(|client| {
                Message::parse(&client.request).is_ok_and(|sent| {
                    sent.request_uri() == message.request_uri()
                        && sent.header(HeaderName::CallId) == message.header(HeaderName::CallId)
                })
            })
        })
    }
}

/// Returns the tag of whoever sent a request, empty for a peer of RFC 2543.
pub(super) fn tag_of_sender<'m>(message: &Message<'m>) -> &'m str {
    let from = message.from().ok();
    from.and_then(|from| from.tag()).unwrap_or_default()
}
