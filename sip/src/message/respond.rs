//! Responses (RFC 3261 §8.2.6, RFC 3581).

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use super::{HeaderName, Headers, Message, MessageWriter, Method, Refusal, Rport, Via, lex};
use crate::uri::Host;

/// Builds the response to a request, copying what RFC 3261 §8.2.6.2 has copied.
#[derive(Clone, Debug)]
pub struct ResponseBuilder<'m, 'a, 'r> {
    request: &'m Message<'a>,
    status: u16,
    reason: &'r str,
    source: Option<SocketAddr>,
    to_tag: Option<&'r str>,
    compact: bool,
    lines: MessageWriter,
}

impl<'m, 'a, 'r> ResponseBuilder<'m, 'a, 'r> {
    /// Begins a response; an empty reason takes the code's own phrase.
    pub fn to(request: &'m Message<'a>, status: u16, reason: &'r str) -> Self {
        let lines = MessageWriter::lines();
        ResponseBuilder {
            request,
            status,
            reason,
            source: None,
            to_tag: None,
            compact: false,
            lines,
        }
    }

    /// Begins the response that a refusal asks for, its header fields included.
    pub fn refuse(request: &'m Message<'a>, refusal: &'r Refusal) -> Self {
        let builder = ResponseBuilder::to(request, refusal.status, refusal.reason);
        refusal
            .headers
            .iter()
            .fold(builder, |builder, (name, value)| {
                builder.header(*name, value)
            })
    }

    /// Gives the request's source, which fills `received` and `rport` of the topmost Via
    /// (§18.2.1, RFC 3581 §4).
    pub fn source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Gives the tag for a To that has none; a 100 goes without (§8.2.6.2).
    pub fn to_tag(mut self, tag: &'r str) -> Self {
        self.to_tag = Some(tag);
        self
    }

    /// Writes the names of what is copied in their compact forms (§7.3.3).
    pub fn compact(mut self) -> Self {
        self.compact = true;
        self
    }

    /// Adds a Contact.
    pub fn contact(self, uri: impl Display) -> Self {
        self.header(HeaderName::Contact, format_args!("<{uri}>"))
    }

    /// Adds a header line.
    pub fn header(mut self, name: HeaderName, value: impl Display) -> Self {
        self.lines.header(name, value);
        self
    }

    /// Adds a header line of any name; a name that is no token adds nothing.
    pub fn header_named(mut self, name: &str, value: impl Display) -> Self {
        self.lines.header_named(name, value);
        self
    }

    /// Ends the response with a body, and gives its bytes.
    pub fn body(self, content_type: &str, body: &[u8]) -> Vec<u8> {
        self.write().body(content_type, body)
    }

    /// Ends the response without a body, and gives its bytes.
    pub fn build(self) -> Vec<u8> {
        self.write().finish()
    }

    fn write(&self) -> MessageWriter {
        let mut writer = MessageWriter::response(self.status, self.reason);
        writer.set_compact(self.compact);
        self.write_vias(&mut writer);
        let copies_routes = matches!(self.status, 101..=299)
            && !matches!(self.request.method(), Some(Method::Register));
        for line in self.request.all_headers() {
            let copied = match line.name {
                HeaderName::From | HeaderName::CallId | HeaderName::CSeq => true,
                HeaderName::RecordRoute => copies_routes,
                HeaderName::Timestamp => self.status == 100,
                _ => false,
            };
            if copied {
                writer.header_bytes(line.name, line.bytes);
            }
        }
        self.write_to(&mut writer);
        writer.append(&self.lines);
        writer
    }

    fn write_to(&self, writer: &mut MessageWriter) {
        let bytes = self
            .request
            .header_bytes(HeaderName::To)
            .unwrap_or_default();
        let tag = self
            .to_tag
            .filter(|tag| lex::is_token(tag) && self.status > 100);
        // Without a readable To there is no telling whether a tag is there already.
        let tag = tag.filter(|_| self.request.to().is_ok_and(|to| to.tag().is_none()));
        match tag {
            Some(tag) => {
                let mut value = bytes.to_vec();
                value.extend_from_slice(b";tag=");
                value.extend_from_slice(tag.as_bytes());
                writer.header_bytes(HeaderName::To, &value);
            }
            None => {
                writer.header_bytes(HeaderName::To, bytes);
            }
        }
    }

    fn write_vias(&self, writer: &mut MessageWriter) {
        let mut lines: Headers<'_, 'a> = self.request.headers(HeaderName::Via);
        if let Some(source) = self.source
            && let Some(first) = self.request.header(HeaderName::Via)
            && let Some((via, end)) = Via::read(first, 0)
        {
            lines.next();
            let rest = lex::trim(lex::slice(first, end + 1, first.len()));
            let stamped = stamp(&via, source);
            match rest.is_empty() {
                true => writer.header(HeaderName::Via, stamped),
                false => writer.header(HeaderName::Via, format_args!("{stamped}, {rest}")),
            };
        }
        for line in lines {
            writer.header(HeaderName::Via, line);
        }
    }
}

/// The topmost Via with the source that the request came from.
fn stamp(via: &Via<'_>, source: SocketAddr) -> String {
    let address = source.ip().to_canonical();
    let wants_port = via.rport != Rport::Absent;
    let mut value = format!("SIP/2.0/{} {}", via.transport, via.sent_by);
    for param in via.params.iter() {
        if param.name.eq_ignore_ascii_case("received") || param.name.eq_ignore_ascii_case("rport") {
            continue;
        }
        value.push(';');
        value.push_str(param.name);
        if let Some(text) = param.value {
            value.push('=');
            match text.bytes().all(|b| lex::is(b, lex::VALUE)) {
                true => value.push_str(text),
                // The value stood in quotes, its quoted pairs still in place.
                false => value.extend(["\"", text, "\""]),
            }
        }
    }
    if wants_port {
        value.push_str(&format!(";rport={}", source.port()));
    }
    if wants_port || !is_source(via.host, address) {
        value.push_str(&format!(";received={address}"));
    }
    value
}

fn is_source(host: Host<'_>, address: IpAddr) -> bool {
    host.address()
        .is_some_and(|host| host.to_canonical() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(via: &str) -> Vec<u8> {
        format!(
            "INVITE sip:b@b.example SIP/2.0\r\nVia: {via}\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKb\r\n\
             Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nFrom: <sip:a@a.example>;tag=a\r\n\
             To: \"B\" <sip:b@b.example>\r\nCall-ID: c\r\nTimestamp: 54\r\nCSeq: 1 INVITE\r\n\r\n"
        )
        .into_bytes()
    }

    fn respond(via: &str, status: u16) -> String {
        let bytes = request(via);
        let message = Message::parse(&bytes).unwrap();
        let bytes = ResponseBuilder::to(&message, status, "")
            .source("198.51.100.7:40000".parse().unwrap())
            .to_tag("t1")
            .build();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_source_is_stamped_on_the_topmost_via() {
        let text = respond("SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKa;alias", 180);
        let via = "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa;alias;rport=40000;received=198.51.100.7\r\n\
                   Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKb\r\n";
        assert!(text.contains(via), "{text}");
        let text = respond("SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa", 180);
        assert!(
            text.contains("Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa\r\n"),
            "{text}"
        );
        let text = respond(
            "SIP/2.0/TCP a.example;received=6.6.6.6;branch=z9hG4bKa, SIP/2.0/UDP x",
            180,
        );
        assert!(
            text.contains("Via: SIP/2.0/TCP a.example;branch=z9hG4bKa;received=198.51.100.7, SIP/2.0/UDP x\r\n"),
            "{text}"
        );
    }

    #[test]
    fn a_provisional_response_over_100_has_a_tag_and_the_routes() {
        let text = respond("SIP/2.0/UDP a;branch=z9hG4bKa", 180);
        assert!(text.contains("To: \"B\" <sip:b@b.example>;tag=t1\r\n"));
        assert!(text.contains("Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"));
        assert!(!text.contains("Timestamp"));
        let text = respond("SIP/2.0/UDP a;branch=z9hG4bKa", 100);
        assert!(text.contains("To: \"B\" <sip:b@b.example>\r\n"));
        assert!(text.contains("Timestamp: 54\r\n"));
        assert!(!text.contains("Record-Route"));
        assert!(text.ends_with("Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn a_refusal_carries_its_headers() {
        let bytes = request("SIP/2.0/UDP a;branch=z9hG4bKa");
        let message = Message::parse(&bytes).unwrap();
        let refusal =
            Refusal::new(420, "Bad Extension").with(HeaderName::Unsupported, "foo".to_owned());
        let bytes = ResponseBuilder::refuse(&message, &refusal).build();
        let response = Message::parse(&bytes).unwrap();
        assert_eq!(response.status(), Some(420));
        assert_eq!(response.header(HeaderName::Unsupported), Some("foo"));
        assert!(response.validate().is_ok());
    }
}
