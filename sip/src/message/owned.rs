//! Messages that are kept.

use std::fmt;
use std::sync::Arc;

use super::parse::{Line, Table};
use super::{Message, ParseError, StartLine, start_line};

/// A message with its bytes, cheap to clone.
#[derive(Clone)]
pub struct OwnedMessage(Arc<Kept>);

struct Kept {
    head: Head,
    body: Box<[u8]>,
    start_end: u16,
    lines: Box<[Line]>,
}

/// The head as text, so that a view need not check its encoding again, or as bytes.
enum Head {
    Text(Box<str>),
    Bytes(Box<[u8]>),
}

impl OwnedMessage {
    /// Reads a message and keeps it.
    ///
    /// # Errors
    /// [`ParseError`] where the bytes are no SIP message.
    pub fn parse(datagram: &[u8]) -> Result<OwnedMessage, ParseError<'_>> {
        Message::parse(datagram).map(|message| OwnedMessage::from(&message))
    }

    /// The message over the kept bytes.
    pub fn view(&self) -> Message<'_> {
        let kept = &*self.0;
        let (head, text) = match &kept.head {
            Head::Text(text) => (text.as_bytes(), Some(&**text)),
            Head::Bytes(bytes) => (&**bytes, None),
        };
        let first = head.get(..usize::from(kept.start_end)).unwrap_or_default();
        let first = first.strip_suffix(b"\r").unwrap_or(first);
        let fallback = start_line::ReadLine {
            line: StartLine::Response {
                status: 400,
                reason: "",
            },
            version: false,
            spacing: false,
        };
        Message {
            head,
            text,
            // The line was read when the message was kept, so it reads again.
            start: start_line::read(first).unwrap_or(fallback),
            start_end: kept.start_end,
            table: Table::from_lines(&kept.lines),
            body: &kept.body,
        }
    }

    /// How many bytes the kept message takes.
    pub fn size_bytes(&self) -> usize {
        let head = match &self.0.head {
            Head::Text(text) => text.len(),
            Head::Bytes(bytes) => bytes.len(),
        };
        head + self.0.body.len() + size_of_val(&*self.0.lines) + size_of::<Kept>()
    }
}

impl From<&Message<'_>> for OwnedMessage {
    fn from(message: &Message<'_>) -> Self {
        let head = match message.text {
            Some(text) => Head::Text(text.into()),
            None => Head::Bytes(message.head.into()),
        };
        OwnedMessage(Arc::new(Kept {
            head,
            body: message.body.into(),
            start_end: message.start_end,
            lines: message.table.lines().into(),
        }))
    }
}

impl fmt::Debug for OwnedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedMessage")
            .field(&self.view().start_line())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::HeaderName;
    use super::*;

    #[test]
    fn a_kept_message_shows_what_the_received_one_did() {
        let bytes = b"\r\nBYE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bKx\r\nSubject: a\r\n b\r\nl: 2\r\n\r\nhi there";
        let message = Message::parse(bytes).unwrap();
        let kept = OwnedMessage::from(&message);
        let view = kept.view();
        assert_eq!(view.start_line(), message.start_line());
        assert_eq!(view.body(), b"hi");
        assert_eq!(view.header(HeaderName::Subject), Some("a\r\n b"));
        assert_eq!(view.top_via(), message.top_via());
        assert!(view.all_headers().eq(message.all_headers()));
    }

    #[test]
    fn a_kept_message_may_hold_another_encoding() {
        let bytes = b"BYE sip:a@b SIP/2.0\r\nf: \"M\xfcller\" <sip:a@b>;tag=1\r\n\r\n";
        let kept = OwnedMessage::parse(bytes).unwrap();
        assert_eq!(kept.view().from().unwrap().tag(), Some("1"));
    }
}
