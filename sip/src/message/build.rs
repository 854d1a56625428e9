//! Requests.

use std::fmt::Display;

use super::{HeaderName, MessageWriter, Method, NameAddr, Quoted};

/// Builds a request: the lines come out in the order of the calls.
#[derive(Clone, Debug)]
pub struct RequestBuilder<'m> {
    method: Method<'m>,
    writer: MessageWriter,
}

impl<'m> RequestBuilder<'m> {
    /// Begins a request to a URI.
    pub fn new(method: Method<'m>, uri: impl Display) -> Self {
        RequestBuilder {
            method,
            writer: MessageWriter::request(method, uri),
        }
    }

    /// Adds a Via that asks for the source port (RFC 3581).
    pub fn via(self, transport: &str, sent_by: impl Display, branch: impl Display) -> Self {
        self.header(
            HeaderName::Via,
            format_args!("SIP/2.0/{transport} {sent_by};rport;branch={branch}"),
        )
    }

    /// Adds Max-Forwards.
    pub fn max_forwards(self, hops: u8) -> Self {
        self.header(HeaderName::MaxForwards, hops)
    }

    /// Adds a Route for each URI, in order.
    pub fn routes<T: Display>(mut self, uris: impl IntoIterator<Item = T>) -> Self {
        for uri in uris {
            self = self.header(HeaderName::Route, format_args!("<{uri}>"));
        }
        self
    }

    /// Adds From; an empty display name is left out.
    pub fn from(self, display: &str, uri: impl Display, tag: impl Display) -> Self {
        self.address(HeaderName::From, display, uri, Some(tag))
    }

    /// Adds To; an empty display name is left out.
    pub fn to<T: Display>(self, display: &str, uri: impl Display, tag: Option<T>) -> Self {
        self.address(HeaderName::To, display, uri, tag)
    }

    /// Adds a field that holds an address of a received message.
    pub fn name_addr(self, name: HeaderName, address: &NameAddr<'_>) -> Self {
        self.header(name, address)
    }

    fn address<T: Display>(
        self,
        name: HeaderName,
        display: &str,
        uri: impl Display,
        tag: Option<T>,
    ) -> Self {
        match (display.is_empty(), tag) {
            (true, Some(tag)) => self.header(name, format_args!("<{uri}>;tag={tag}")),
            (true, None) => self.header(name, format_args!("<{uri}>")),
            (false, Some(tag)) => {
                self.header(name, format_args!("{} <{uri}>;tag={tag}", Quoted(display)))
            }
            (false, None) => self.header(name, format_args!("{} <{uri}>", Quoted(display))),
        }
    }

    /// Adds Call-ID.
    pub fn call_id(self, call_id: impl Display) -> Self {
        self.header(HeaderName::CallId, call_id)
    }

    /// Adds CSeq with the request's method.
    pub fn cseq(self, number: u32) -> Self {
        let method = self.method;
        self.header(HeaderName::CSeq, format_args!("{number} {method}"))
    }

    /// Adds a Contact.
    pub fn contact(self, uri: impl Display) -> Self {
        self.header(HeaderName::Contact, format_args!("<{uri}>"))
    }

    /// Adds a header line.
    pub fn header(mut self, name: HeaderName, value: impl Display) -> Self {
        self.writer.header(name, value);
        self
    }

    /// Adds a header line of any name; a name that is no token adds nothing.
    pub fn header_named(mut self, name: &str, value: impl Display) -> Self {
        self.writer.header_named(name, value);
        self
    }

    /// Ends the request with a body, and gives its bytes.
    pub fn body(self, content_type: &str, body: &[u8]) -> Vec<u8> {
        self.writer.body(content_type, body)
    }

    /// Ends the request without a body, and gives its bytes.
    pub fn build(self) -> Vec<u8> {
        self.writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;

    #[test]
    fn a_built_request_is_valid_and_reads_back() {
        let bytes = RequestBuilder::new(Method::Invite, "sip:+12025550123@example.com")
            .via("UDP", "192.0.2.1:5060", "z9hG4bKabc")
            .max_forwards(70)
            .routes(["sip:edge.example.com;lr"])
            .from("Desk \"One\"", "sip:desk@example.com", "f1")
            .to("", "sip:+12025550123@example.com", None::<&str>)
            .call_id("call@192.0.2.1")
            .cseq(17)
            .contact("sip:desk@192.0.2.1:5060")
            .header_named("X-Campaign", "spring")
            .body("application/sdp", b"v=0\r\n");
        let message = Message::parse(&bytes).unwrap();
        let request = message.essentials().unwrap();
        assert_eq!(request.via.branch, Some("z9hG4bKabc"));
        assert_eq!(request.from.display_name(), "Desk \"One\"");
        assert_eq!(request.from.tag(), Some("f1"));
        assert_eq!(request.to.tag(), None);
        assert_eq!(request.cseq.number, 17);
        assert_eq!(message.routes().count(), 1);
        assert_eq!(message.header_named("x-campaign"), Some("spring"));
        assert_eq!(message.body(), b"v=0\r\n");
    }
}
