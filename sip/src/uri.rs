//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966).

mod equal;
mod escape;
mod host;

use std::fmt;

use thiserror::Error;

pub use escape::{Escaped, unescape};
pub use host::Host;
pub(crate) use host::host_port;

use crate::message::lex::{self, SCHEME, URI, URI_PART};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    params: &'a str,
    headers: &'a str,
    raw: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a URI that is the whole of `text`.
    ///
    /// # Errors
    /// [`UriError`] where the text is no URI, or holds white space or angle brackets.
    pub fn parse(text: &'a str) -> Result<Uri<'a>, UriError> {
        let bytes = text.as_bytes();
        let colon = lex::run(bytes, 0, SCHEME);
        if bytes.get(colon) != Some(&b':') {
            return Err(UriError);
        }
        let name = lex::slice(text, 0, colon);
        let scheme = match colon {
            3 if name.eq_ignore_ascii_case("sip") => Scheme::Sip,
            4 if name.eq_ignore_ascii_case("sips") => Scheme::Sips,
            3 if name.eq_ignore_ascii_case("tel") => Scheme::Tel,
            0 => return Err(UriError),
            _ => Scheme::Other(name),
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => Uri::sip(scheme, text, colon + 1),
            Scheme::Tel | Scheme::Other(_) => Uri::opaque(scheme, text, colon + 1),
        }
        .ok_or(UriError)
    }

    fn sip(scheme: Scheme<'a>, text: &'a str, start: usize) -> Option<Uri<'a>> {
        let bytes = text.as_bytes();
        let mut uri = Uri {
            scheme,
            user: None,
            password: None,
            host: Host::Name(""),
            port: None,
            params: "",
            headers: "",
            raw: text,
        };
        let mut host_at = start;
        if let Some(length) = memchr::memchr(b'@', bytes.get(start..)?) {
            let info = lex::slice(text, start, start + length);
            if info.is_empty() || !info.bytes().all(|b| lex::is(b, URI)) {
                return None;
            }
            (uri.user, uri.password) = match info.split_once(':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(info), None),
            };
            host_at = start + length + 1;
        }
        let (host, port, end) = host_port(text, host_at)?;
        (uri.host, uri.port) = (host, port);
        let headers_at = uri.take_params(text, end)?;
        uri.take_headers(text, headers_at)?;
        Some(uri)
    }

    fn opaque(scheme: Scheme<'a>, text: &'a str, start: usize) -> Option<Uri<'a>> {
        let bytes = text.as_bytes();
        let end = match scheme {
            Scheme::Tel => lex::run(bytes, start, URI_PART),
            _ => lex::run(bytes, start, URI),
        };
        if end == start {
            return None;
        }
        let mut uri = Uri {
            scheme,
            user: Some(lex::slice(text, start, end)),
            password: None,
            host: Host::Name(""),
            port: None,
            params: "",
            headers: "",
            raw: text,
        };
        let end = uri.take_params(text, end)?;
        (end == bytes.len()).then_some(uri)
    }

    /// Takes `*( ";" name [ "=" value ] )` at `at`, returning the offset after it.
    fn take_params(&mut self, text: &'a str, at: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut end = at;
        while bytes.get(end) == Some(&b';') {
            let next = lex::run(bytes, end + 1, URI_PART);
            if next == end + 1 {
                return None;
            }
            end = next;
        }
        self.params = lex::slice(text, at, end);
        Some(end)
    }

    /// Takes `[ "?" headers ]` at `at`, which must reach the text's end.
    fn take_headers(&mut self, text: &'a str, at: usize) -> Option<()> {
        let bytes = text.as_bytes();
        if at == bytes.len() {
            return Some(());
        }
        let end = lex::run(bytes, at + 1, URI_PART | URI);
        if bytes.get(at) != Some(&b'?') || end == at + 1 || end != bytes.len() {
            return None;
        }
        self.headers = lex::slice(text, at + 1, end);
        Some(())
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
        split_pairs(self.params, b';')
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
        split_pairs(self.headers, b'&')
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
    pub fn user_text(&self) -> std::borrow::Cow<'a, str> {
        escape::unescape_text(self.user.unwrap_or_default())
    }

    /// The telephone number: a `tel` URI's, or a SIP user's up to its own parameters.
    pub fn number(&self) -> Option<&'a str> {
        self.user.map(|user| user.split(';').next().unwrap_or(user))
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
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
