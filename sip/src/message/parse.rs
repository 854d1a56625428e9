//! The one pass over a message's head.

use std::fmt;

use super::error::{ParseError, ParseErrorKind};
use super::name::NAME_COUNT;
use super::start_line::{self, ReadLine};
use super::{HeaderName, StartLine, lex};

/// The most header lines that a message may have: 70 hops of Via and thirty others.
pub const MAX_HEADERS: usize = 100;

/// The most bytes that a message may have, so that offsets fit 16 bits.
pub const MAX_MESSAGE_BYTES: usize = u16::MAX as usize;

const NONE: u8 = u8::MAX;

/// Where one header line stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) start: u16,
    pub(crate) value: u16,
    pub(crate) end: u16,
    pub(crate) name: HeaderName,
}

const NO_LINE: Line = Line {
    start: 0,
    value: 0,
    end: 0,
    name: HeaderName::Other,
};

const NO_START: ReadLine<'static> = ReadLine {
    line: StartLine::Response {
        status: 0,
        reason: "",
    },
    version: false,
    spacing: false,
};

/// The header lines of a message, and the first of each name.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    lines: [Line; MAX_HEADERS],
    first: [u8; NAME_COUNT],
    count: u8,
    /// A field that may stand once only stands twice.
    pub(crate) repeated: bool,
}

impl Table {
    const fn new() -> Self {
        Table {
            lines: [NO_LINE; MAX_HEADERS],
            first: [NONE; NAME_COUNT],
            count: 0,
            repeated: false,
        }
    }

    /// Rebuilds the table of lines that were kept.
    pub(crate) fn from_lines(lines: &[Line]) -> Self {
        let mut table = Table::new();
        for line in lines {
            table.push(*line);
        }
        table
    }

    pub(crate) fn lines(&self) -> &[Line] {
        self.lines
            .get(..usize::from(self.count))
            .unwrap_or_default()
    }

    /// The lines from the first of that name on; empty where there is none.
    #[inline]
    pub(crate) fn lines_from(&self, name: HeaderName) -> &[Line] {
        let first = self.first.get(name as usize).copied().unwrap_or(NONE);
        self.lines
            .get(usize::from(first)..usize::from(self.count))
            .unwrap_or_default()
    }

    #[inline(always)]
    fn push(&mut self, line: Line) -> bool {
        let Some(place) = self.lines.get_mut(usize::from(self.count)) else {
            return false;
        };
        *place = line;
        if let Some(first) = self.first.get_mut(line.name as usize) {
            if *first == NONE {
                *first = self.count;
            } else {
                self.repeated |= line.name.is_single();
            }
        }
        self.count += 1;
        true
    }

    /// Lets the last line go on with the folded line between two offsets; `None` without one.
    fn extend_last(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<bool> {
        let line = self
            .lines
            .get_mut(usize::from(self.count).checked_sub(1)?)?;
        let (from, to) = trimmed(bytes, start, end);
        if from < to {
            if line.value == line.end {
                line.value = from as u16;
            }
            line.end = to as u16;
        }
        Some(true)
    }
}

/// A SIP message over the bytes that it was received in.
///
/// Cheap to query, about a kilobyte to copy; [`super::OwnedMessage`] is the form to keep.
#[derive(Clone)]
pub struct Message<'a> {
    /// The head's bytes, from the start line to the empty line.
    pub(crate) head: &'a [u8],
    /// The head as text, unless some line is not UTF-8.
    pub(crate) text: Option<&'a str>,
    pub(crate) start: ReadLine<'a>,
    pub(crate) start_end: u16,
    pub(crate) table: Table,
    pub(crate) body: &'a [u8],
}

impl fmt::Debug for Message<'_> {
    /// Shows the start line and how much there is: header fields may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("start_line", &self.start.line)
            .field("headers", &self.table.count)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl<'a> Message<'a> {
    /// Reads a message from a datagram, or from the frame that a stream's reader cut.
    ///
    /// Line ends before it are skipped, compact and folded header fields are read, bytes after
    /// the body that Content-Length bounds are ignored (RFC 3261 §18.3). A missing
    /// Content-Length means the rest of the datagram.
    ///
    /// # Errors
    /// [`ParseError`] where the bytes are no SIP message, with what could be read of it.
    // Inlined, so that the message is built where the caller keeps it: its copy would cost a
    // fifth of the reading.
    #[inline(always)]
    pub fn parse(datagram: &'a [u8]) -> Result<Message<'a>, ParseError<'a>> {
        let mut message = Message {
            head: b"",
            text: None,
            start: NO_START,
            start_end: 0,
            table: Table::new(),
            body: b"",
        };
        match message.read(datagram) {
            Ok(()) => Ok(message),
            Err(kind) => Err(ParseError::new(kind, &message)),
        }
    }

    /// Fills in an empty message; one whose start line is not SIP stays empty.
    #[inline(never)]
    fn read(&mut self, datagram: &'a [u8]) -> Result<(), ParseErrorKind> {
        if datagram.len() > MAX_MESSAGE_BYTES {
            return Err(ParseErrorKind::TooLarge);
        }
        let blank = datagram
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        let bytes = datagram.get(blank..).unwrap_or_default();
        if bytes.is_empty() {
            return Err(ParseErrorKind::Empty);
        }
        let mut ends = memchr::memchr_iter(b'\n', bytes);
        let start_end = ends.next().unwrap_or(bytes.len());
        self.start = start_line::read(chomp(bytes.get(..start_end).unwrap_or_default()))?;
        self.start_end = start_end as u16;
        let scan = scan_lines(bytes, start_end + 1, ends, &mut self.table);
        self.head = bytes.get(..scan.head_end).unwrap_or(bytes);
        self.text = std::str::from_utf8(self.head).ok();
        self.body = bytes.get(scan.body_at..).unwrap_or_default();
        scan.fault.map_or_else(|| self.bound_body(), Err)
    }

    /// Cuts the body to Content-Length.
    fn bound_body(&mut self) -> Result<(), ParseErrorKind> {
        let Some(length) = self.content_length()? else {
            return Ok(());
        };
        self.body = self
            .body
            .get(..length)
            .ok_or(ParseErrorKind::TruncatedBody)?;
        Ok(())
    }

    /// What the Content-Length lines agree on.
    fn content_length(&self) -> Result<Option<usize>, ParseErrorKind> {
        let mut agreed = None;
        for line in self.lines(HeaderName::ContentLength) {
            let value = std::str::from_utf8(self.value_bytes(line)).unwrap_or_default();
            let value = lex::decimal(lex::trim(value)).ok_or(ParseErrorKind::BadContentLength)?;
            if agreed.is_some_and(|other| other != value) {
                return Err(ParseErrorKind::BadContentLength);
            }
            agreed = Some(value);
        }
        Ok(agreed.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
    }

    /// The first line.
    pub fn start_line(&self) -> StartLine<'a> {
        self.start.line
    }

    /// The body, as long as Content-Length says.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

struct Scan {
    head_end: usize,
    body_at: usize,
    fault: Option<ParseErrorKind>,
}

/// Notes every header line up to the empty one; a datagram that ends before it ends the head.
#[inline(always)]
fn scan_lines(bytes: &[u8], from: usize, mut ends: memchr::Memchr<'_>, table: &mut Table) -> Scan {
    let mut start = from;
    let mut fault = None;
    while start < bytes.len() {
        let newline = ends.next().unwrap_or(bytes.len());
        let end = match bytes.get(newline.wrapping_sub(1)) {
            Some(b'\r') if newline > start => newline - 1,
            _ => newline,
        };
        if end == start {
            return Scan {
                head_end: start,
                body_at: newline + 1,
                fault,
            };
        }
        let noted = match bytes.get(start) {
            Some(b' ' | b'\t') => table.extend_last(bytes, start, end),
            _ => header_line(bytes, start, end).map(|line| table.push(line)),
        };
        let wrong = match noted {
            Some(true) => None,
            Some(false) => Some(ParseErrorKind::TooManyHeaders),
            None => Some(ParseErrorKind::MalformedHeader),
        };
        fault = fault.or(wrong);
        start = newline + 1;
    }
    Scan {
        head_end: bytes.len(),
        body_at: bytes.len(),
        fault,
    }
}

/// Tells the name of the line between two offsets from its value, without the space around.
#[inline(always)]
fn header_line(bytes: &[u8], start: usize, end: usize) -> Option<Line> {
    let colon = lex::colon(bytes, start, end)?;
    let mut name_end = colon;
    while matches!(bytes.get(name_end.wrapping_sub(1)), Some(b' ' | b'\t')) {
        name_end -= 1;
    }
    let rest = bytes.get(start..)?;
    let length = name_end.checked_sub(start)?;
    let name = HeaderName::at_start(rest, length);
    if name == HeaderName::Other && !is_name(rest.get(..length)?) {
        return None;
    }
    let (value, end) = trimmed(bytes, colon + 1, end);
    Some(Line {
        start: start as u16,
        value: value as u16,
        end: end as u16,
        name,
    })
}

#[inline(never)]
fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| lex::is(b, lex::TOKEN))
}

/// The offsets of a value without the white space around it.
#[inline(always)]
fn trimmed(bytes: &[u8], from: usize, to: usize) -> (usize, usize) {
    let (mut from, mut to) = (from, to);
    while from < to && bytes.get(from).is_some_and(|&b| lex::is(b, lex::LWS)) {
        from += 1;
    }
    while from < to && bytes.get(to - 1).is_some_and(|&b| lex::is(b, lex::LWS)) {
        to -= 1;
    }
    (from, to)
}

/// The line without its carriage return.
fn chomp(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
