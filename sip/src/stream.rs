//! Messages out of a byte stream: the framing of RFC 3261 §18.3 and the keep-alives of RFC 5626
//! §3.5.1, with a bound on everything that a peer can make grow; and those that come whole.

use thiserror::Error;

/// The longest header section that is waited for, in bytes, start line included.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The longest message that is accepted, in bytes, body included.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

const END_OF_HEADER: &[u8] = b"\r\n\r\n";

/// What a stream held.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Frame {
    /// A whole message, to be given to [`crate::UserAgent::receive`].
    Message(Vec<u8>),
    /// A double CRLF: the peer wants a single CRLF back.
    Ping,
    /// A single CRLF: the peer's answer to our double one.
    Pong,
}

/// Why a stream cannot be read any further; the connection is to be closed.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Error)]
pub enum StreamError {
    /// The header section did not end within [`MAX_HEADER_BYTES`].
    #[error("a header section longer than {MAX_HEADER_BYTES} bytes")]
    HeaderTooLong,
    /// The message is longer than [`MAX_MESSAGE_BYTES`].
    #[error("a message longer than {MAX_MESSAGE_BYTES} bytes")]
    MessageTooLong,
    /// There is no Content-Length, which RFC 3261 §18.3 requires on a stream.
    #[error("no Content-Length on a stream")]
    NoContentLength,
    /// The Content-Length is not a number, or there are two that differ.
    #[error("an unusable Content-Length on a stream")]
    BadContentLength,
    /// What was to be one message goes on behind its end.
    #[error("more than one SIP message in one")]
    NotOne,
}

/// Reads what a transport with boundaries of its own has delivered, one SIP message or a keep-alive
/// (RFC 7118 §5, §6). It needs no Content-Length; one that it has is the message's to mend (400),
/// unless more follows: a second message would pass those who read only the first one.
///
/// # Errors
/// [`StreamError::HeaderTooLong`], [`StreamError::MessageTooLong`] or [`StreamError::NotOne`].
pub fn read_whole(bytes: &[u8]) -> Result<Frame, StreamError> {
    if bytes == END_OF_HEADER {
        return Ok(Frame::Ping);
    }
    if is_blank(bytes) {
        return Ok(Frame::Pong);
    }
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(StreamError::MessageTooLong);
    }
    let mut places = bytes.windows(END_OF_HEADER.len());
    let found = places.position(|place| place == END_OF_HEADER);
    let header_bytes = found.map_or(bytes.len(), |at| at + END_OF_HEADER.len());
    if header_bytes > MAX_HEADER_BYTES {
        return Err(StreamError::HeaderTooLong);
    }
    let header = bytes.get(..header_bytes).unwrap_or_default();
    let length = content_length(header).unwrap_or(usize::MAX);
    let rest = bytes.get(header_bytes.saturating_add(length)..);
    match rest.unwrap_or_default() {
        rest if is_blank(rest) => Ok(Frame::Message(bytes.to_vec())),
        _ => Err(StreamError::NotOne),
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

/// Cuts one connection's byte stream into messages.
///
/// Bytes go in by [`push`](Self::push) as they are read; [`next_frame`](Self::next_frame) is then
/// called until it returns `None`. After an error the connection is closed: nobody can tell where
/// the next message would begin.
#[derive(Default, Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Where the next frame begins: what lies before has been handed out.
    start: usize,
    /// How far behind `start` the search for the header's end has come.
    searched: usize,
    /// The whole message's length, once its header has been read.
    expected: Option<usize>,
    /// A ping of ours is out.
    pong_due: bool,
}

impl Framer {
    /// Says that a ping was sent: a CRLF that comes alone answers it, where it would otherwise wait
    /// for whether it is half of a ping of the peer's (RFC 5626 §4.4.1).
    pub fn expect_pong(&mut self) {
        self.pong_due = true;
    }

    /// Takes bytes as they were read.
    pub fn push(&mut self, bytes: &[u8]) {
        // What was handed out is let go of once a read and not once a frame: a read that holds a
        // thousand small frames must not move its bytes a thousand times.
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns whether a message has begun to come and is not whole yet.
    pub fn is_mid_message(&self) -> bool {
        !END_OF_HEADER.starts_with(self.rest())
    }

    /// Returns how many bytes are kept, at most [`MAX_MESSAGE_BYTES`] and one push.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the next whole frame, or `None` until more bytes have come.
    ///
    /// # Errors
    /// The stream breaks the framing or a bound, see [`StreamError`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, StreamError> {
        if let Some(keep_alive) = self.keep_alive() {
            return Ok(keep_alive);
        }
        let expected = match self.expected {
            Some(expected) => expected,
            None => match self.message_length()? {
                Some(length) => *self.expected.insert(length),
                None => return Ok(None),
            },
        };
        let Some(message) = self.rest().get(..expected) else {
            return Ok(None);
        };
        let message = message.to_vec();
        self.start += expected;
        self.searched = 0;
        self.expected = None;
        Ok(Some(Frame::Message(message)))
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Reads CRLFs between messages: `Some(None)` waits for the other half of a pair.
    fn keep_alive(&mut self) -> Option<Option<Frame>> {
        let rest = self.rest();
        if rest.first() != Some(&b'\r') {
            return None;
        }
        if rest.starts_with(END_OF_HEADER) {
            self.start += END_OF_HEADER.len();
            return Some(Some(Frame::Ping));
        }
        let is_alone = rest == b"\r\n";
        if END_OF_HEADER.starts_with(rest) && !(is_alone && self.pong_due) {
            return Some(None);
        }
        if rest.starts_with(b"\r\n") {
            self.start += 2;
            self.pong_due = false;
            return Some(Some(Frame::Pong));
        }
        None
    }

    /// Returns the length of the message at the buffer's start once its header is complete.
    fn message_length(&mut self) -> Result<Option<usize>, StreamError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let from = self.searched.saturating_sub(END_OF_HEADER.len() - 1);
        let unsearched = rest.get(from..).unwrap_or_default();
        let found = unsearched
            .windows(END_OF_HEADER.len())
            .position(|w| w == END_OF_HEADER);
        self.searched = rest.len();
        let Some(header_bytes) = found.map(|at| from + at + END_OF_HEADER.len()) else {
            return if rest.len() > MAX_HEADER_BYTES {
                Err(StreamError::HeaderTooLong)
            } else {
                Ok(None)
            };
        };
        if header_bytes > MAX_HEADER_BYTES {
            return Err(StreamError::HeaderTooLong);
        }
        let header = rest.get(..header_bytes).unwrap_or_default();
        let total = header_bytes.saturating_add(content_length(header)?);
        if total > MAX_MESSAGE_BYTES {
            Err(StreamError::MessageTooLong)
        } else {
            Ok(Some(total))
        }
    }
}

/// Finds the Content-Length of a header section; two are accepted only when they agree, since a
/// difference would let a peer smuggle a second message past whoever reads the other one.
fn content_length(header: &[u8]) -> Result<usize, StreamError> {
    let mut length = None;
    for line in LogicalLines(header).skip(1) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let name = name.trim_ascii();
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = decimal(value.get(1..).unwrap_or_default().trim_ascii());
        let value = value.ok_or(StreamError::BadContentLength)?;
        if length.is_some_and(|other| other != value) {
            return Err(StreamError::BadContentLength);
        }
        length = Some(value);
    }
    length.ok_or(StreamError::NoContentLength)
}

fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The header's lines, a folded one as one (RFC 3261 §7.3.1).
struct LogicalLines<'a>(&'a [u8]);

impl<'a> Iterator for LogicalLines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = (0..self.0.len()).find(|&at| {
            let rest = self.0.get(at..).unwrap_or_default();
            rest.starts_with(b"\r\n") && !matches!(rest.get(2), Some(b' ' | b'\t'))
        });
        let line = self
            .0
            .get(..end.unwrap_or(self.0.len()))
            .unwrap_or_default();
        self.0 = end
            .and_then(|end| self.0.get(end + 2..))
            .unwrap_or_default();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(framer: &mut Framer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next_frame().unwrap()).collect()
    }

    fn message(body: &str) -> Vec<u8> {
        let length = body.len();
        format!("OPTIONS sip:a SIP/2.0\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn messages_come_out_whole_however_the_bytes_are_cut() {
        let mut stream = message("hello");
        stream.extend(b"\r\n\r\n");
        stream.extend(message(""));
        let wanted = vec![
            Frame::Message(message("hello")),
            Frame::Ping,
            Frame::Message(message("")),
        ];
        for cut in 1..stream.len() {
            let mut framer = Framer::default();
            let mut got = Vec::new();
            for piece in stream.chunks(cut) {
                framer.push(piece);
                got.extend(frames(&mut framer));
            }
            assert_eq!(got, wanted, "cut every {cut} bytes");
        }
    }

    #[test]
    fn a_single_crlf_before_a_message_is_a_pong() {
        let mut framer = Framer::default();
        framer.push(b"\r\n");
        assert_eq!(framer.next_frame(), Ok(None), "it may be half of a ping");
        framer.push(&message("x"));
        assert_eq!(
            frames(&mut framer),
            [Frame::Pong, Frame::Message(message("x"))]
        );
    }

    #[test]
    fn a_single_crlf_after_a_ping_of_ours_is_its_pong_at_once() {
        let mut framer = Framer::default();
        for _ in 0..2 {
            framer.expect_pong();
            framer.push(b"\r\n");
            assert_eq!(frames(&mut framer), [Frame::Pong]);
        }
        framer.push(b"\r\n");
        assert_eq!(framer.next_frame(), Ok(None), "it may be half of a ping");
        framer.expect_pong();
        framer.push(b"\r\n");
        assert_eq!(frames(&mut framer), [Frame::Ping]);
    }

    #[test]
    fn a_message_has_begun_with_its_first_byte_and_a_keep_alive_is_none() {
        let mut framer = Framer::default();
        for keep_alive in [&b""[..], b"\r", b"\n", b"\r\n"] {
            framer.push(keep_alive);
            let _ = framer.next_frame();
            assert!(!framer.is_mid_message(), "{keep_alive:?}");
        }
        let message = message("hello");
        let (begun, rest) = message.split_at(message.len() - 1);
        framer.push(begun);
        assert_eq!(frames(&mut framer), []);
        assert!(framer.is_mid_message());
        framer.push(rest);
        assert_eq!(frames(&mut framer).len(), 1);
        assert!(!framer.is_mid_message());
    }

    #[test]
    fn compact_folded_and_spaced_lengths_are_read() {
        for field in ["l:3", "L : 3", "Content-Length:\r\n 3", "content-length:3 "] {
            let mut framer = Framer::default();
            framer.push(format!("BYE sip:a SIP/2.0\r\n{field}\r\n\r\nabc").as_bytes());
            assert_eq!(frames(&mut framer).len(), 1, "{field}");
        }
    }

    #[test]
    fn what_cannot_be_framed_ends_the_connection() {
        let error = |bytes: &[u8]| {
            let mut framer = Framer::default();
            framer.push(bytes);
            framer.next_frame().unwrap_err()
        };
        assert_eq!(
            error(b"BYE sip:a SIP/2.0\r\n\r\n"),
            StreamError::NoContentLength
        );
        for bad in ["-1", "x", "", "1\r\nl: 2", "99999999999999999999999"] {
            let text = format!("BYE sip:a SIP/2.0\r\nl: {bad}\r\n\r\n");
            assert_eq!(
                error(text.as_bytes()),
                StreamError::BadContentLength,
                "{bad}"
            );
        }
        let huge = b"BYE sip:a SIP/2.0\r\nContent-Length: 65536\r\n\r\n";
        assert_eq!(error(huge), StreamError::MessageTooLong);
        assert_eq!(
            error(&[b'a'; MAX_HEADER_BYTES + 1]),
            StreamError::HeaderTooLong
        );
    }

    #[test]
    fn what_comes_whole_is_one_message_with_or_without_its_length() {
        let whole = |text: &str| read_whole(text.as_bytes());
        let head = "OPTIONS sip:a SIP/2.0\r\n";
        for one in [
            format!("{head}\r\nbody"),
            format!("{head}Content-Length: 4\r\n\r\nbody"),
            format!("{head}l: 0\r\n\r\n\r\n"),
            // Answered 400, each of them.
            format!("{head}Content-Length: 5\r\n\r\nbody"),
            format!("{head}Content-Length: x\r\n\r\nbody"),
            head.to_owned(),
        ] {
            let message = Frame::Message(one.clone().into_bytes());
            assert_eq!(whole(&one), Ok(message), "{one}");
        }
        let second = format!("{head}l: 0\r\n\r\n{head}l: 0\r\n\r\n");
        assert_eq!(whole(&second), Err(StreamError::NotOne));
        assert_eq!(whole("\r\n\r\n"), Ok(Frame::Ping));
        assert_eq!(whole("\r\n"), Ok(Frame::Pong));
        assert_eq!(whole(""), Ok(Frame::Pong));
    }

    #[test]
    fn what_comes_whole_has_the_bounds_of_a_stream() {
        assert_eq!(
            read_whole(&[b'a'; MAX_HEADER_BYTES + 1]),
            Err(StreamError::HeaderTooLong)
        );
        let mut long = b"OPTIONS sip:a SIP/2.0\r\n\r\n".to_vec();
        long.resize(MAX_MESSAGE_BYTES + 1, b'a');
        assert_eq!(read_whole(&long), Err(StreamError::MessageTooLong));
    }

    #[test]
    fn a_peer_that_never_ends_its_header_is_cut_off_in_bounded_memory() {
        let mut framer = Framer::default();
        let mut pushed = 0;
        while framer.next_frame().is_ok() {
            framer.push(&[b'x'; 1024]);
            pushed += 1024;
        }
        assert!(pushed <= MAX_HEADER_BYTES + 1024);
    }
}
