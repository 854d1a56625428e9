//! Header fields as text: lines, and the comma-separated values within them.

use super::parse::Line;
use super::{HeaderName, Message, Method, StartLine, lex};
use crate::uri::{Uri, UriError};

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Which field it is.
    pub name: HeaderName,
    /// The name as sent.
    pub label: &'a str,
    /// The value's bytes, folds included, white space around it removed.
    pub bytes: &'a [u8],
}

impl<'a> Header<'a> {
    /// The value, unless it is not UTF-8.
    pub fn value(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes).ok()
    }
}

impl<'a> Message<'a> {
    /// Says whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start.line, StartLine::Request { .. })
    }

    /// A request's method.
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start.line {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// A response's status code.
    pub fn status(&self) -> Option<u16> {
        match self.start.line {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(status),
        }
    }

    /// A request's Request-URI.
    ///
    /// # Errors
    /// [`UriError`] where it is malformed, or the message is a response.
    pub fn request_uri(&self) -> Result<Uri<'a>, UriError> {
        match self.start.line {
            StartLine::Request { uri, .. } => Uri::parse(uri),
            StartLine::Response { .. } => Err(UriError),
        }
    }

    /// The value of the field's first line, folds included.
    #[inline]
    pub fn header(&self, name: HeaderName) -> Option<&'a str> {
        self.line_text(self.table.lines_from(name).first()?)
    }

    /// The bytes of the field's first line, UTF-8 or not.
    pub fn header_bytes(&self, name: HeaderName) -> Option<&'a [u8]> {
        self.table
            .lines_from(name)
            .first()
            .map(|line| self.value_bytes(line))
    }

    /// The values of the field's lines, in order; lines that are not UTF-8 are passed over.
    pub fn headers(&self, name: HeaderName) -> Headers<'_, 'a> {
        Headers {
            message: self,
            lines: self.table.lines_from(name),
            name,
        }
    }

    /// The field's comma-separated values over all its lines; quotes and `<>` hide commas.
    pub fn values(&self, name: HeaderName) -> Values<'_, 'a> {
        Values {
            lines: self.headers(name),
            rest: "",
        }
    }

    /// The value of the first line of that name, in any case, long or compact.
    pub fn header_named(&self, name: &str) -> Option<&'a str> {
        match HeaderName::new(name.as_bytes()) {
            HeaderName::Other => self
                .lines(HeaderName::Other)
                .find(|line| self.label(line).eq_ignore_ascii_case(name))
                .and_then(|line| self.line_text(line)),
            known => self.header(known),
        }
    }

    /// Every header line, in order.
    pub fn all_headers(&self) -> impl Iterator<Item = Header<'a>> + '_ {
        self.table.lines().iter().map(|line| Header {
            name: line.name,
            label: self.label(line),
            bytes: self.value_bytes(line),
        })
    }

    /// Says whether the field has a comma-separated value equal to `token`, without case.
    pub fn lists(&self, name: HeaderName, token: &str) -> bool {
        self.values(name)
            .any(|value| value.eq_ignore_ascii_case(token))
    }

    pub(crate) fn lines(&self, name: HeaderName) -> impl Iterator<Item = &Line> + '_ {
        self.table
            .lines_from(name)
            .iter()
            .filter(move |line| line.name == name)
    }

    pub(crate) fn value_bytes(&self, line: &Line) -> &'a [u8] {
        let range = usize::from(line.value)..usize::from(line.end);
        self.head.get(range).unwrap_or_default()
    }

    #[inline(always)]
    pub(crate) fn line_text(&self, line: &Line) -> Option<&'a str> {
        match self.text {
            Some(text) => Some(lex::slice(
                text,
                usize::from(line.value),
                usize::from(line.end),
            )),
            None => std::str::from_utf8(self.value_bytes(line)).ok(),
        }
    }

    fn label(&self, line: &Line) -> &'a str {
        let whole = usize::from(line.start)..usize::from(line.value);
        let bytes = self.head.get(whole).unwrap_or_default();
        let colon = bytes.iter().position(|&b| b == b':').unwrap_or(bytes.len());
        let label = bytes.get(..colon).unwrap_or_default().trim_ascii_end();
        std::str::from_utf8(label).unwrap_or_default()
    }
}

/// An iterator over the lines of one field.
#[derive(Clone, Debug)]
pub struct Headers<'m, 'a> {
    message: &'m Message<'a>,
    lines: &'m [Line],
    name: HeaderName,
}

impl Headers<'_, '_> {
    pub(crate) fn name(&self) -> HeaderName {
        self.name
    }
}

impl<'a> Iterator for Headers<'_, 'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while let Some((line, rest)) = self.lines.split_first() {
            self.lines = rest;
            if line.name == self.name
                && let Some(text) = self.message.line_text(line)
            {
                return Some(text);
            }
        }
        None
    }
}

/// An iterator over the comma-separated values of one field.
#[derive(Clone, Debug)]
pub struct Values<'m, 'a> {
    lines: Headers<'m, 'a>,
    rest: &'a str,
}

impl<'a> Iterator for Values<'_, 'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            if self.rest.is_empty() {
                self.rest = self.lines.next()?;
            }
            let end = lex::value_end(self.rest.as_bytes(), 0);
            let value = lex::trim(lex::slice(self.rest, 0, end));
            self.rest = lex::slice(self.rest, end + 1, self.rest.len());
            if !value.is_empty() {
                return Some(value);
            }
        }
    }
}
