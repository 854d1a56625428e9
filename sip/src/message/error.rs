//! What can be wrong with a message, and what may be said in return.

use thiserror::Error;

use super::{HeaderName, Message, Method, StartLine};

/// Why bytes are not a SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseErrorKind {
    /// Nothing but line ends: a keep-alive (RFC 5626 §3.5.1), or nothing at all.
    #[error("no message, only a keep-alive")]
    Empty,
    /// More bytes than [`super::MAX_MESSAGE_BYTES`].
    #[error("message larger than 65,535 bytes")]
    TooLarge,
    /// The first line is neither a request line nor a status line of SIP.
    #[error("start line is not SIP")]
    NotSip,
    /// The status code of a response is not three digits from 100 to 699.
    #[error("status code out of range")]
    BadStatus,
    /// A header line has no colon, or no token before it.
    #[error("malformed header line")]
    MalformedHeader,
    /// More header lines than [`super::MAX_HEADERS`].
    #[error("too many header lines")]
    TooManyHeaders,
    /// `Content-Length` is not a number, or stands twice with two values.
    #[error("unreadable or contradicting Content-Length")]
    BadContentLength,
    /// The body is shorter than `Content-Length` says.
    #[error("body shorter than its Content-Length")]
    TruncatedBody,
}

/// A message that could not be read, with as much of it as could.
#[derive(Clone, Debug, Error)]
#[error("{kind}")]
pub struct ParseError<'a> {
    pub(crate) kind: ParseErrorKind,
    pub(crate) partial: Option<Box<Message<'a>>>,
}

impl<'a> ParseError<'a> {
    /// Why the bytes are not a message.
    pub fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// What could be read of the message, if its start line could.
    pub fn partial(&self) -> Option<&Message<'a>> {
        self.partial.as_deref()
    }

    /// The request to answer 400, if enough of it was readable to address a response.
    ///
    /// A response needs Via, From, To, Call-ID and CSeq (RFC 3261 §8.2.6.2), and an ACK is
    /// never answered (§17).
    pub fn answerable(&self) -> Option<&Message<'a>> {
        self.partial().filter(|message| is_answerable(message))
    }

    /// The status and phrase of the answer, where [`ParseError::answerable`] allows one.
    pub fn refusal(&self) -> Refusal {
        match self.kind {
            ParseErrorKind::TooLarge | ParseErrorKind::TooManyHeaders => {
                Refusal::new(513, "Message Too Large")
            }
            ParseErrorKind::BadContentLength => Refusal::new(400, "Bad Content-Length"),
            ParseErrorKind::TruncatedBody => Refusal::new(400, "Body Shorter Than Content-Length"),
            _ => Refusal::new(400, "Malformed Header"),
        }
    }
}

/// Says whether a response to the message can be addressed at all.
pub(crate) fn is_answerable(message: &Message<'_>) -> bool {
    let StartLine::Request { method, .. } = message.start_line() else {
        return false;
    };
    let copied = [
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ];
    method != Method::Ack
        && message.top_via().is_ok()
        && copied
            .iter()
            .all(|&name| message.header_bytes(name).is_some())
}

/// A typed header that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The message has no such header field.
    #[error("no {0} header field")]
    Missing(HeaderName),
    /// The field's value does not follow its grammar.
    #[error("malformed {0} header field")]
    Malformed(HeaderName),
}

/// The response with which a user agent server must refuse a request.
///
/// For a response or an ACK, which cannot be answered, it means: discard it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code, 400 to 699.
    pub status: u16,
    /// The reason phrase, naming the fault where the code's own phrase would not.
    pub reason: &'static str,
    /// Header fields that the response must carry, such as `Unsupported` in a 420.
    pub headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    /// A refusal without further header fields.
    pub fn new(status: u16, reason: &'static str) -> Self {
        Refusal {
            status,
            reason,
            headers: Vec::new(),
        }
    }

    /// The refusal with one more header field.
    pub fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        let name = match error {
            HeaderError::Missing(name) | HeaderError::Malformed(name) => name,
        };
        let missing = matches!(error, HeaderError::Missing(_));
        let reason = match (name, missing) {
            (HeaderName::Via, true) => "Missing Via",
            (HeaderName::Via, false) => "Bad Via",
            (HeaderName::From, true) => "Missing From",
            (HeaderName::From, false) => "Bad From",
            (HeaderName::To, true) => "Missing To",
            (HeaderName::To, false) => "Bad To",
            (HeaderName::CallId, true) => "Missing Call-ID",
            (HeaderName::CallId, false) => "Bad Call-ID",
            (HeaderName::CSeq, true) => "Missing CSeq",
            (HeaderName::CSeq, false) => "Bad CSeq",
            (HeaderName::Contact, _) => "Bad Contact",
            (HeaderName::MaxForwards, _) => "Bad Max-Forwards",
            (HeaderName::ContentType, _) => "Bad Content-Type",
            _ => "Bad Request",
        };
        Refusal::new(400, reason)
    }
}
