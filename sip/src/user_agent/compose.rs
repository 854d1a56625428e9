//! Requests as we write them, and what is read out of messages for the switch.

use super::clients::ClientId;
use super::settings::{Error, Invite, Settings};
use crate::dialog::Dialog;
use crate::flow::Flow;
use crate::message::{HeaderName, MediaType, Message, MessageWriter, Method, NameAddr, StartLine};
use crate::uri::Uri;

/// The hops that a request of ours may take, unless it is told otherwise (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: &str = "70";

/// Bytes of what Reason fields say that are told.
const REASONS_MAX: usize = 1_024;

/// A request before it is written.
pub(super) struct Outgoing<'a> {
    method: Method<'a>,
    flow: Flow,
    branch: ClientId,
    /// Whether it is within a dialog.
    within: bool,
    pub(super) request_uri: String,
    pub(super) routes: Vec<String>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    /// The user part of our Contact; none writes no Contact.
    pub(super) contact_user: Option<String>,
    /// Parameters behind the Contact, such as `;expires=300`.
    pub(super) contact_params: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

impl<'a> Outgoing<'a> {
    /// Begins a request outside of any dialog.
    pub(super) fn new(method: Method<'a>, flow: Flow, branch: ClientId) -> Self {
        Self {
            method,
            flow,
            branch,
            within: false,
            request_uri: String::new(),
            routes: Vec::new(),
            from: String::new(),
            to: String::new(),
            call_id: String::new(),
            cseq: 1,
            contact_user: None,
            contact_params: String::new(),
            headers: Vec::new(),
            content_type: String::new(),
            body: Vec::new(),
        }
    }

    /// Begins a request within a dialog (RFC 3261 §12.2.1.1); the caller draws its CSeq.
    pub(super) fn within(
        method: Method<'a>,
        flow: Flow,
        branch: ClientId,
        dialog: &Dialog,
    ) -> Self {
        let target = dialog.target();
        let mut outgoing = Self::new(method, flow, branch);
        outgoing.within = true;
        outgoing.request_uri = target.request_uri;
        outgoing.routes = target.routes;
        outgoing.from = dialog.local().to_owned();
        outgoing.to = dialog.remote().to_owned();
        outgoing.call_id = dialog.call_id().to_owned();
        outgoing
    }

    /// Adds a header field.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds header fields that are known by name.
    pub(super) fn with_fields(mut self, fields: Vec<(HeaderName, String)>) -> Self {
        let fields = fields.into_iter();
        self.headers
            .extend(fields.map(|(name, value)| (name.to_string(), value)));
        self
    }

    /// What the request says that we support. Provisional responses are taken reliably by an INVITE
    /// that makes a call and has an offer: one without would be offered something by the first of
    /// them (RFC 3262 §5), and one within a call waits for its final response only.
    fn supported(&self, settings: &Settings) -> &'static str {
        let without = self.within || self.body.is_empty();
        match self.method {
            Method::Invite if without => settings.supported_without_prack(),
            _ => settings.supported(),
        }
    }

    /// Writes the request.
    ///
    /// # Errors
    /// The Request-URI is none.
    pub(super) fn write(&self, settings: &Settings) -> Result<Vec<u8>, Error> {
        if Uri::parse(&self.request_uri).is_err() {
            return Err(unwritable("Request-URI", &self.request_uri));
        }
        let mut writer = MessageWriter::request(self.method, &self.request_uri);
        writer.header(HeaderName::Via, via(settings, &self.flow, self.branch));
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("Max-Forwards"))
        {
            writer.header(HeaderName::MaxForwards, MAX_FORWARDS);
        }
        for route in &self.routes {
            writer.header(HeaderName::Route, route);
        }
        writer.header(HeaderName::From, &self.from);
        writer.header(HeaderName::To, &self.to);
        writer.header(HeaderName::CallId, &self.call_id);
        writer.header(
            HeaderName::CSeq,
            format_args!("{} {}", self.cseq, self.method),
        );
        if let Some(user) = &self.contact_user {
            let secure = is_secure(&self.request_uri, &self.routes);
            let uri = contact_uri(settings, &self.flow, (user, secure));
            writer.header(
                HeaderName::Contact,
                format_args!("<{uri}>{}", self.contact_params),
            );
        }
        for (name, value) in &self.headers {
            writer.header_named(name, value);
        }
        if matches!(
            self.method,
            Method::Invite | Method::Update | Method::Options | Method::Refer
        ) {
            writer.header(HeaderName::Allow, settings.allow());
            writer.header(HeaderName::Supported, self.supported(settings));
        }
        writer.header(HeaderName::UserAgent, &settings.product);
        Ok(match self.body.is_empty() {
            true => writer.finish(),
            false => writer.body(&self.content_type, &self.body),
        })
    }
}

fn unwritable(what: &'static str, text: &str) -> Error {
    Error::Unwritable {
        what,
        text: text.to_owned(),
    }
}

/// Writes our Via, which asks for the source port (RFC 3581).
fn via(settings: &Settings, flow: &Flow, branch: ClientId) -> String {
    let address = settings.advertise.address(flow);
    format!("SIP/2.0/{} {address};rport;branch={branch}", flow.transport)
}

/// Writes our Contact's URI: the address that the peer reaches the flow's listener by. It is a SIPS
/// URI where it stands in a dialog that is to be secure all the way (RFC 3261 §8.1.1.8, §12.1.1).
pub(super) fn contact_uri(
    settings: &Settings,
    flow: &Flow,
    (user, secure): (&str, bool),
) -> String {
    let address = settings.advertise.address(flow);
    let at = if user.is_empty() { "" } else { "@" };
    let scheme = if secure { "sips" } else { "sip" };
    match flow.transport.uri_parameter() {
        // What `transport=tls` says, the scheme says (§26.2.2).
        Some("tls") if secure => format!("{scheme}:{user}{at}{address}"),
        Some(transport) => format!("{scheme}:{user}{at}{address};transport={transport}"),
        None => format!("{scheme}:{user}{at}{address}"),
    }
}

/// Whether a request is to be secure all the way: its URI, or that of its first hop, is SIPS.
pub(super) fn is_secure(request_uri: &str, routes: &[String]) -> bool {
    let is_sips = |uri: &str| {
        let scheme = uri.trim_start_matches('<').split_once(':');
        scheme.is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("sips"))
    };
    is_sips(request_uri) || routes.first().is_some_and(|route| is_sips(route))
}

/// Checks what a caller gave before a call is made of it.
pub(super) fn check_invite(invite: &Invite) -> Result<(), Error> {
    for (what, text) in [("From", &invite.from), ("To", &invite.to)] {
        check_address(what, text)?;
    }
    invite
        .route
        .iter()
        .try_for_each(|route| check_address("Route", route))
}

/// Checks that a text is a URI or a name-addr, without a tag: tags are ours to give.
pub(super) fn check_address(what: &'static str, text: &str) -> Result<(), Error> {
    match NameAddr::parse(&name_addr(text)) {
        Some(address) if address.tag().is_none() => Ok(()),
        _ => Err(unwritable(what, text)),
    }
}

/// Puts a bare URI into angle brackets, so that its parameters stay its own.
pub(super) fn name_addr(text: &str) -> String {
    let text = text.trim();
    if text.contains('<') {
        text.to_owned()
    } else {
        format!("<{text}>")
    }
}

/// Adds our tag to an address.
pub(super) fn with_tag(text: &str, tag: &str) -> String {
    format!("{};tag={tag}", name_addr(text))
}

/// Returns the user part of an address as it is written, empty if there is none.
pub(super) fn user_of(address: &str) -> String {
    let address = name_addr(address);
    let user = NameAddr::parse(&address).and_then(|address| address.uri.user);
    user.unwrap_or_default().to_owned()
}

/// Writes the ACK for a final response other than 2xx (RFC 3261 §17.1.1.3): the request's own
/// Via, and the response's To.
pub(super) fn ack_for_failure(request: &Message<'_>, response: &Message<'_>) -> Option<Vec<u8>> {
    let mut writer = copy_of(
        request,
        Method::Ack,
        &[HeaderName::From, HeaderName::CallId],
    )?;
    writer.header_bytes(HeaderName::To, response.header_bytes(HeaderName::To)?);
    Some(writer.finish())
}

/// Writes the CANCEL of a request (RFC 3261 §9.1).
pub(super) fn cancel(request: &Message<'_>, reason: Option<&str>) -> Option<Vec<u8>> {
    let copied = [HeaderName::From, HeaderName::To, HeaderName::CallId];
    let mut writer = copy_of(request, Method::Cancel, &copied)?;
    if let Some(reason) = reason {
        writer.header(HeaderName::Reason, reason);
    }
    Some(writer.finish())
}

/// Begins a request of the same transaction: its Via, its route and its number.
fn copy_of(
    request: &Message<'_>,
    method: Method<'_>,
    also: &[HeaderName],
) -> Option<MessageWriter> {
    let number = request.cseq().ok()?.number;
    let mut writer = MessageWriter::request(method, request.request_uri().ok()?);
    writer.header_bytes(HeaderName::Via, request.header_bytes(HeaderName::Via)?);
    writer.header(HeaderName::MaxForwards, MAX_FORWARDS);
    for field in request.all_headers() {
        if field.name == HeaderName::Route || also.contains(&field.name) {
            writer.header_bytes(field.name, field.bytes);
        }
    }
    writer.header(HeaderName::CSeq, format_args!("{number} {method}"));
    Some(writer)
}

/// Writes a request of ours again under a new branch and number, with these fields in the place of
/// its own: an answer to the challenge that it met (RFC 3261 §22.2), a longer session interval.
pub(super) fn again(
    settings: &Settings,
    flow: &Flow,
    request: &Message<'_>,
    (branch, cseq): (ClientId, u32),
    answers: &[(HeaderName, String)],
) -> Option<Vec<u8>> {
    let method = request.method()?;
    let mut writer = MessageWriter::request(method, request.request_uri().ok()?);
    writer.header(HeaderName::Via, via(settings, flow, branch));
    for field in request.all_headers() {
        match field.name {
            HeaderName::Via | HeaderName::ContentLength | HeaderName::ContentType => {}
            HeaderName::CSeq => {
                writer.header(HeaderName::CSeq, format_args!("{cseq} {method}"));
            }
            name if answers.iter().any(|(answered, _)| *answered == name) => {}
            HeaderName::Other => {
                writer.header_named(field.label, field.value().unwrap_or_default());
            }
            name => {
                writer.header_bytes(name, field.bytes);
            }
        }
    }
    for (name, value) in answers {
        writer.header(*name, value);
    }
    let content_type = request.header(HeaderName::ContentType).unwrap_or_default();
    Some(match request.body() {
        [] => writer.finish(),
        body => writer.body(content_type, body),
    })
}

/// Returns what a message's Reason fields say, as one (RFC 3326 §2, RFC 3261 §7.3.1): as many of
/// them as there is room for.
pub(super) fn reason_field(message: &Message<'_>) -> Option<String> {
    let mut reasons = String::new();
    for field in message.headers(HeaderName::Reason) {
        let comma = if reasons.is_empty() { "" } else { ", " };
        if reasons.len() + comma.len() + field.len() > REASONS_MAX {
            break;
        }
        reasons.push_str(comma);
        reasons.push_str(field);
    }
    (!reasons.is_empty()).then_some(reasons)
}

/// Returns a response's reason phrase.
pub(super) fn reason_phrase(message: &Message<'_>) -> String {
    match message.start_line() {
        StartLine::Response { reason, .. } => reason.to_owned(),
        StartLine::Request { .. } => String::new(),
    }
}

/// Returns all header fields as text, for the switch; credentials stay here.
pub(super) fn fields(message: &Message<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = |field: &crate::message::Header<'_>| match field.name {
        HeaderName::Other => field.label.to_owned(),
        known => known.as_str().to_owned(),
    };
    let is_secret = |name| {
        matches!(
            name,
            HeaderName::Authorization | HeaderName::ProxyAuthorization
        )
    };
    message
        .all_headers()
        .filter(|field| !is_secret(field.name))
        .map(|field| (name(&field), text(field.bytes)))
        .collect()
}

/// Returns the Referred-By of a message, on one line; one that is no address is passed over
/// (RFC 3892 §3).
pub(super) fn referred_by(message: &Message<'_>) -> Option<String> {
    message.referred_by().ok()?;
    let value = message.header(HeaderName::ReferredBy)?;
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Returns the session description that a message carries, alone or as a part of a multipart body
/// (RFC 3261 §7.4, RFC 5621 §3).
pub(super) fn session_description(message: &Message<'_>) -> Option<Vec<u8>> {
    let body = message.body();
    if body.is_empty() {
        return None;
    }
    match message.content_type() {
        Ok(media) if media.is("application/sdp") => Some(body.to_vec()),
        Ok(media) if media.kind.eq_ignore_ascii_case("multipart") => {
            part_of_type(body, media.params.get("boundary")?, "application/sdp")
        }
        Ok(_) => None,
        // Content-Type must be there; where it is not, SDP still begins like nothing else.
        Err(_) => body.starts_with(b"v=0").then(|| body.to_vec()),
    }
}

/// Returns the first part of a multipart body that has a media type (RFC 2046 §5.1.1).
fn part_of_type(body: &[u8], boundary: &str, wanted: &str) -> Option<Vec<u8>> {
    let delimiter = format!("--{boundary}");
    let delimiter = delimiter.as_bytes();
    let mut starts = positions(body, delimiter);
    let mut from = starts.next()? + delimiter.len();
    for next in starts {
        let part = body.get(from..next)?;
        from = next + delimiter.len();
        let Some(end) = positions(part, b"\r\n\r\n").next() else {
            continue;
        };
        let (head, content) = (part.get(..end)?, part.get(end + 4..)?);
        if std::str::from_utf8(head).is_ok_and(|head| has_type(head, wanted)) {
            return Some(content.strip_suffix(b"\r\n").unwrap_or(content).to_vec());
        }
    }
    None
}

fn has_type(head: &str, wanted: &str) -> bool {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-type"))
        .any(|(_, value)| MediaType::parse(value.trim()).is_some_and(|media| media.is(wanted)))
}

fn positions<'b>(body: &'b [u8], pattern: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    let windows = body.windows(pattern.len().max(1)).enumerate();
    windows
        .filter(move |(_, window)| *window == pattern)
        .map(|(at, _)| at)
}
