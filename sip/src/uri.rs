//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966).

mod equal;
mod escape;
mod host;

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

pub use escape::{Escaped, EscapedHeader, unescape};
pub use host::Host;
pub(crate) use host::host_port;

use crate::message::lex::{self, SCHEME, URI, URI_PART, USER};

/// Why a text is no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed URI")]
pub struct UriError;

/// A URI's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme<'a> {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel`
    Tel,
    /// Any other scheme, as sent.
    Other(&'a str),
}

impl<'a> Scheme<'a> {
    /// The scheme's name.
    pub fn as_str(&self) -> &'a str {
        match self {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
            Scheme::Other(name) => name,
        }
    }
}

/// A URI over the text that it was read from.
///
/// User, password, parameters and headers are as sent, escapes included; [`unescape`] resolves
/// them. In a `tel` URI the number stands in `user`, in one of another scheme everything after
/// the colon does; both have an empty host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme<'a>,
    /// The user part.
    pub user: Option<&'a str>,
    /// The password after the user part; deprecated, and never to be logged.
    pub password: Option<&'a str>,
    /// The host.
    pub host: Host<'a>,
    /// The port, where given.
    pub port: Option<u16>,
    /// Where parameters and headers begin and end in the text.
    params_at: u16,
    params_end: u16,
    headers_at: u16,
    raw: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a URI that is the whole of `text`.
    ///
    /// # Errors
    /// [`UriError`] where the text is no URI, is over 65,535 bytes, or holds white space or
    /// angle brackets.
    pub fn parse(text: &'a str) -> Result<Uri<'a>, UriError> {
        let mut uri = Uri::EMPTY;
        match uri.fill(text, 0) {
            Some(end) if end == text.len() => Ok(uri),
            _ => Err(UriError),
        }
    }

    /// A place for a URI that is to be read.
    pub(crate) const EMPTY: Uri<'static> = Uri {
        scheme: Scheme::Sip,
        user: None,
        password: None,
        host: Host::Name(""),
        port: None,
        params_at: 0,
        params_end: 0,
        headers_at: 0,
        raw: "",
    };

    /// Reads the URI at `at` into an empty place, returning the offset of what can no more
    /// belong to it.
    ///
    /// Values are read in place because moving them costs as much as reading them.
    #[inline(never)]
    pub(crate) fn fill(&mut self, text: &'a str, at: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        if let Some([s, i, p, b':']) = bytes.get(at..at + 4)
            && [s | 0x20, i | 0x20, p | 0x20] == *b"sip"
        {
            return self.fill_sip(text, at, at + 4);
        }
        let colon = lex::run(bytes, at, SCHEME);
        if bytes.get(colon) != Some(&b':') || colon == at {
            return None;
        }
        let name = lex::slice(text, at, colon);
        self.scheme = match name {
            _ if name.eq_ignore_ascii_case("sips") => Scheme::Sips,
            _ if name.eq_ignore_ascii_case("tel") => Scheme::Tel,
            _ => Scheme::Other(name),
        };
        match self.scheme {
            Scheme::Sips => self.fill_sip(text, at, colon + 1),
            _ => self.fill_opaque(text, at, colon + 1),
        }
    }

    fn fill_sip(&mut self, text: &'a str, from: usize, start: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let user_end = lex::run(bytes, start, USER);
        let mut info_end = user_end;
        // A colon may begin a password, stand in one, or belong to a host without a user.
        while bytes.get(info_end) == Some(&b':') {
            info_end = lex::run(bytes, info_end + 1, USER);
        }
        let mut host_at = start;
        if bytes.get(info_end) == Some(&b'@') {
            if user_end == start {
                return None;
            }
            self.user = Some(lex::slice(text, start, user_end));
            if user_end < info_end {
                self.password = Some(lex::slice(text, user_end + 1, info_end));
            }
            host_at = info_end + 1;
        }
        let (host, port, params_from) = host_port(text, host_at)?;
        (self.host, self.port) = (host, port);
        let params_to = params_end(bytes, params_from)?;
        let end = headers_end(bytes, params_to)?;
        let headers_at = if end > params_to { params_to + 1 } else { end };
        self.close(text, from, [params_from, params_to, headers_at, end])
    }

    fn fill_opaque(&mut self, text: &'a str, from: usize, start: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let is_tel = self.scheme == Scheme::Tel;
        let user_end = lex::run(bytes, start, if is_tel { URI_PART } else { URI });
        if user_end == start {
            return None;
        }
        self.user = Some(lex::slice(text, start, user_end));
        let end = params_end(bytes, user_end)?;
        self.close(text, from, [user_end, end, end, end])
    }

    /// Notes where parameters begin and end, where headers begin and where the URI ends.
    #[inline(always)]
    fn close(&mut self, text: &'a str, from: usize, at: [usize; 4]) -> Option<usize> {
        let [params_at, params_end, headers_at, end] = at;
        u16::try_from(end - from).ok()?;
        self.params_at = (params_at - from) as u16;
        self.params_end = (params_end - from) as u16;
        self.headers_at = (headers_at - from) as u16;
        self.raw = lex::slice(text, from, end);
        Some(end)
    }

    fn params_text(&self) -> &'a str {
        lex::slice(
            self.raw,
            usize::from(self.params_at),
            usize::from(self.params_end),
        )
    }

    fn headers_text(&self) -> &'a str {
        lex::slice(self.raw, usize::from(self.headers_at), self.raw.len())
    }

    /// Says whether headers follow a `?`.
    pub fn has_headers(&self) -> bool {
        usize::from(self.headers_at) < self.raw.len()
    }

    /// The URI without its headers.
    pub fn without_headers(&self) -> &'a str {
        lex::slice(self.raw, 0, usize::from(self.params_end))
    }

    /// The URI without its parameters and headers.
    pub fn without_params(&self) -> &'a str {
        lex::slice(self.raw, 0, usize::from(self.params_at))
    }

    /// The value of a header after `?`, escapes resolved.
    ///
    /// # Errors
    /// [`UriError`] where the header stands more than once, or is no UTF-8.
    pub fn header(&self, name: &str) -> Result<Option<Cow<'a, str>>, UriError> {
        let mut values = self
            .headers()
            .filter(|(key, _)| escape::same_name(key, name));
        let Some((_, value)) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(UriError);
        }
        escape::exact_text(value.unwrap_or_default())
            .map(Some)
            .ok_or(UriError)
    }

    /// The URI as it was sent.
    pub fn as_str(&self) -> &'a str {
        self.raw
    }

    /// Says whether the scheme is `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The parameters as name and value, as sent.
    pub fn params(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        split_pairs(self.params_text(), b';')
    }

    /// The value of a parameter, escapes in its name resolved; empty where only the name stands.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        let mut params = self.params();
        params
            .find(|(key, _)| escape::same_name(key, name))
            .map(|(_, v)| v.unwrap_or_default())
    }

    /// The headers after `?` as name and value, as sent.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        split_pairs(self.headers_text(), b'&')
    }

    /// The `transport` parameter.
    pub fn transport(&self) -> Option<&'a str> {
        self.param("transport")
    }

    /// Says whether the `lr` parameter marks a loose router (RFC 3261 §19.1.1).
    pub fn is_loose_route(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The user with its escapes resolved; what is no UTF-8 then is replaced.
    pub fn user_text(&self) -> Cow<'a, str> {
        escape::unescape_text(self.user.unwrap_or_default())
    }

    /// The telephone number: a `tel` URI's, or a SIP user's up to its own parameters.
    pub fn number(&self) -> Option<&'a str> {
        self.user.map(|user| user.split(';').next().unwrap_or(user))
    }
}

/// The end of `*( ";" name [ "=" value ] )` at `at`.
#[inline(always)]
fn params_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while bytes.get(end) == Some(&b';') {
        let next = lex::run(bytes, end + 1, URI_PART);
        if next == end + 1 {
            return None;
        }
        end = next;
    }
    Some(end)
}

/// The end of `[ "?" headers ]` at `at`.
#[inline(always)]
fn headers_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'?') {
        return Some(at);
    }
    let end = lex::run(bytes, at + 1, URI);
    (end > at + 1).then_some(end)
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

impl fmt::Debug for Uri<'_> {
    /// Shows the text, unless it holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.password.is_none() {
            return write!(f, "Uri({:?})", self.raw);
        }
        let (scheme, user) = (self.scheme.as_str(), self.user.unwrap_or_default());
        write!(f, "Uri(\"{scheme}:{user}:…@{}\")", self.host)
    }
}

fn split_pairs(text: &str, separator: u8) -> impl Iterator<Item = (&str, Option<&str>)> + use<'_> {
    text.split(char::from(separator))
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (part, None),
        })
}

/// A URI that owns its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriBuf(String);

impl UriBuf {
    /// Keeps a text that is a URI.
    ///
    /// # Errors
    /// [`UriError`] where the text is no URI.
    pub fn new(text: impl Into<String>) -> Result<UriBuf, UriError> {
        let text = text.into();
        Uri::parse(&text)?;
        Ok(UriBuf(text))
    }

    /// The URI over the kept text.
    ///
    /// # Errors
    /// None for a kept URI: the text was read when it was kept.
    pub fn view(&self) -> Result<Uri<'_>, UriError> {
        Uri::parse(&self.0)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for UriBuf {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        UriBuf::new(text)
    }
}

impl fmt::Display for UriBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
