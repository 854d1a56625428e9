//! Hosts and ports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::message::lex::{self, HOST};

/// A URI's or a Via's host.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// A domain name, as sent.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, which stands in brackets.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Reads a host: a name, an IPv4 address or a bracketed IPv6 address.
    pub fn parse(text: &'a str) -> Option<Host<'a>> {
        match host_port(text, 0)? {
            (host, None, end) if end == text.len() => Some(host),
            _ => None,
        }
    }

    /// The address, unless the host is a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(address) => Some(IpAddr::V4(*address)),
            Host::V6(address) => Some(IpAddr::V6(*address)),
        }
    }
}

impl PartialEq for Host<'_> {
    /// Names compare without case, addresses by value.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

impl From<IpAddr> for Host<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Host::V4(address),
            IpAddr::V6(address) => Host::V6(address),
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => write!(f, "{address}"),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Reads `host [ ":" port ]` at `at`, with the white space that a Via allows round the colon;
/// returns the offset after it.
#[inline(always)]
pub(crate) fn host_port(text: &str, at: usize) -> Option<(Host<'_>, Option<u16>, usize)> {
    let bytes = text.as_bytes();
    let (host, end) = match bytes.get(at)? {
        b'[' => bracketed(text, at)?,
        b'0'..=b'9' => numeric(text, at)?,
        _ => {
            let end = lex::run(bytes, at, HOST);
            (
                Host::Name(Some(lex::slice(text, at, end)).filter(|name| !name.is_empty())?),
                end,
            )
        }
    };
    let colon = lex::skip_lws(bytes, end);
    if bytes.get(colon) != Some(&b':') {
        return Some((host, None, end));
    }
    let start = lex::skip_lws(bytes, colon + 1);
    let mut port: u32 = 0;
    let mut at = start;
    while let Some(digit) = bytes
        .get(at)
        .map(|b| b.wrapping_sub(b'0'))
        .filter(|d| *d <= 9)
    {
        port = port.checked_mul(10)?.checked_add(u32::from(digit))?;
        at += 1;
    }
    if at == start {
        return None;
    }
    Some((host, Some(u16::try_from(port).ok()?), at))
}

fn bracketed(text: &str, at: usize) -> Option<(Host<'_>, usize)> {
    let close = at + memchr::memchr(b']', text.as_bytes().get(at..)?)?;
    Some((Host::V6(ipv6(lex::slice(text, at + 1, close))?), close + 1))
}

/// Reads an IPv4 address, or a name that begins with a digit.
///
/// The last label of a name begins with a letter, so digits and dots alone are an address. One
/// with leading zeros, whose meaning differs between systems, is refused.
#[inline(always)]
fn numeric(text: &str, at: usize) -> Option<(Host<'_>, usize)> {
    let bytes = text.as_bytes();
    let mut address: u32 = 0;
    let mut octet: u32 = 0;
    let (mut digits, mut dots, mut broken) = (0u32, 0u32, false);
    let mut end = at;
    loop {
        match bytes.get(end) {
            Some(b @ b'0'..=b'9') => {
                broken |= digits > 0 && octet == 0;
                octet = octet.saturating_mul(10).saturating_add(u32::from(b - b'0'));
                digits += 1;
            }
            Some(b'.') => {
                broken |= digits == 0 || octet > 255;
                address = address << 8 | (octet & 255);
                (octet, digits, dots) = (0, 0, dots + 1);
            }
            Some(&b) if lex::is(b, HOST) => {
                end = lex::run(bytes, end, HOST);
                return Some((Host::Name(lex::slice(text, at, end)), end));
            }
            _ => break,
        }
        end += 1;
    }
    if broken || dots != 3 || digits == 0 || octet > 255 {
        return None;
    }
    Some((Host::V4(Ipv4Addr::from(address << 8 | octet)), end))
}

/// Reads an IPv6 address; three colons, which RFC 3261's grammar generated before its
/// correction, count as two (RFC 5118 §4.10).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (before, after) = text.split_once(":::")?;
    let mut joined = [0u8; 64];
    let parts = [before.as_bytes(), b"::", after.as_bytes()];
    let mut at = 0;
    for part in parts {
        joined.get_mut(at..at + part.len())?.copy_from_slice(part);
        at += part.len();
    }
    std::str::from_utf8(joined.get(..at)?).ok()?.parse().ok()
}
