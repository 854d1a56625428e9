//! Printing messages.

use std::fmt::{self, Display, Write};

use super::{HeaderName, Method, lex, reason_phrase};

/// Writes a message into a buffer, line by line.
///
/// No value can begin a line of its own: line ends in a value become one space.
#[derive(Clone, Debug, Default)]
pub struct MessageWriter {
    buffer: Vec<u8>,
    /// Whether names have their compact forms.
    compact: bool,
}

impl MessageWriter {
    /// Begins a request.
    pub fn request(method: Method<'_>, uri: impl Display) -> Self {
        let mut writer = MessageWriter::with_capacity();
        let method = if lex::is_token(method.as_str()) {
            method.as_str()
        } else {
            "INVALID"
        };
        writer.clean(format_args!("{method} "));
        // White space would end the Request-URI.
        let _ = write!(
            Clean {
                buffer: &mut writer.buffer,
                keep_space: false
            },
            "{uri}"
        );
        writer.buffer.extend_from_slice(b" SIP/2.0\r\n");
        writer
    }

    /// Begins a response; an empty reason takes the code's own phrase.
    pub fn response(status: u16, reason: &str) -> Self {
        let mut writer = MessageWriter::with_capacity();
        let status = status.clamp(100, 699);
        let reason = if reason.is_empty() {
            reason_phrase(status)
        } else {
            reason
        };
        writer.clean(format_args!("SIP/2.0 {status} {reason}"));
        writer.buffer.extend_from_slice(b"\r\n");
        writer
    }

    /// Begins with nothing, for header lines that are to be added to a message later.
    pub(crate) fn lines() -> Self {
        MessageWriter::default()
    }

    fn with_capacity() -> Self {
        // The size of an INVITE with its session description.
        MessageWriter {
            buffer: Vec::with_capacity(1536),
            compact: false,
        }
    }

    /// Adds a header line.
    pub fn header(&mut self, name: HeaderName, value: impl Display) -> &mut Self {
        self.header_named(self.name(name), value)
    }

    /// Adds a header line of any name; a name that is no token adds nothing.
    pub fn header_named(&mut self, name: &str, value: impl Display) -> &mut Self {
        if lex::is_token(name) {
            self.buffer.extend_from_slice(name.as_bytes());
            self.buffer.extend_from_slice(b": ");
            self.clean(format_args!("{value}"));
            self.buffer.extend_from_slice(b"\r\n");
        }
        self
    }

    /// Adds a header line whose value is bytes, UTF-8 or not, as received from a peer.
    pub fn header_bytes(&mut self, name: HeaderName, value: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(self.name(name).as_bytes());
        self.buffer.extend_from_slice(b": ");
        clean(&mut self.buffer, value, true);
        self.buffer.extend_from_slice(b"\r\n");
        self
    }

    /// Has names written in their compact forms from now on, where they have one.
    pub(crate) fn set_compact(&mut self, compact: bool) {
        self.compact = compact;
    }

    fn name(&self, name: HeaderName) -> &'static str {
        name.compact_form()
            .filter(|_| self.compact)
            .unwrap_or(name.as_str())
    }

    /// Adds lines that another writer has made.
    pub(crate) fn append(&mut self, lines: &MessageWriter) -> &mut Self {
        self.buffer.extend_from_slice(&lines.buffer);
        self
    }

    /// Ends the message with a body of that type, and gives its bytes.
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Vec<u8> {
        self.header(HeaderName::ContentType, content_type);
        self.end(body)
    }

    /// Ends the message without a body, and gives its bytes.
    pub fn finish(self) -> Vec<u8> {
        self.end(b"")
    }

    /// Ends the message with a body whose type has been given, and gives its bytes.
    pub fn end(mut self, body: &[u8]) -> Vec<u8> {
        self.header(HeaderName::ContentLength, body.len());
        self.buffer.extend_from_slice(b"\r\n");
        self.buffer.extend_from_slice(body);
        self.buffer
    }

    fn clean(&mut self, value: fmt::Arguments<'_>) {
        // The sink never fails; a value's own Display that does leaves a shorter value.
        let _ = Clean {
            buffer: &mut self.buffer,
            keep_space: true,
        }
        .write_fmt(value);
    }
}

/// A sink that keeps a value on its line.
struct Clean<'b> {
    buffer: &'b mut Vec<u8>,
    keep_space: bool,
}

impl Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        clean(self.buffer, text.as_bytes(), self.keep_space);
        Ok(())
    }
}

/// Appends a value, with each run of line ends as one space; without `keep_space`, as in a
/// Request-URI, without white space and control characters.
fn clean(buffer: &mut Vec<u8>, value: &[u8], keep_space: bool) {
    if keep_space && memchr::memchr2(b'\r', b'\n', value).is_none() {
        buffer.extend_from_slice(value);
        return;
    }
    for b in value {
        match b {
            b'\r' | b'\n' if keep_space && buffer.last() != Some(&b' ') => buffer.push(b' '),
            b'\r' | b'\n' => {}
            0..=b' ' | 0x7f if !keep_space => {}
            _ => buffer.push(*b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;

    #[test]
    fn a_value_cannot_add_a_header() {
        let mut writer = MessageWriter::request(Method::Options, "sip:a@b SIP/2.0\r\nEvil: 1");
        writer.header(HeaderName::Subject, "a\r\nEvil: 2\r\n\r\nbody");
        writer.header_named("X-Name\r\nEvil", "3");
        writer.header_bytes(HeaderName::From, b"<sip:a@b>\nEvil: 4\xff");
        let bytes = writer.body("text/plain\r\nEvil: 5", b"hi");
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.header_named("Evil"), None);
        assert_eq!(message.header(HeaderName::Subject), Some("a Evil: 2 body"));
        assert_eq!(message.all_headers().count(), 4);
        assert_eq!(message.body(), b"hi");
    }

    #[test]
    fn an_empty_reason_takes_the_codes_phrase() {
        let bytes = MessageWriter::response(486, "").finish();
        assert!(bytes.starts_with(b"SIP/2.0 486 Busy Here\r\n"));
        let bytes = MessageWriter::response(403, "Unverified\r\nEvil: 1").finish();
        assert!(bytes.starts_with(b"SIP/2.0 403 Unverified Evil: 1\r\n"));
    }
}
