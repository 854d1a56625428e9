//! The Via header field (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::IpAddr;

use super::Params;
use super::lex::{self, TOKEN};
use super::params::{Step, step};
use crate::uri::{Host, host_port};

/// The prefix of a branch that names a transaction of RFC 3261 (§8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// The `rport` parameter (RFC 3581).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rport {
    /// Not there.
    #[default]
    Absent,
    /// There without a value: the sender asks for an answer to its source port.
    Requested,
    /// Filled with the source port by the receiver.
    Port(u16),
}

/// One Via value: a hop that the message has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport, such as `UDP`; compares without case.
    pub transport: &'a str,
    /// The sender's own name or address.
    pub host: Host<'a>,
    /// The sender's port, where given.
    pub port: Option<u16>,
    /// Host and port as they stand.
    pub sent_by: &'a str,
    /// The transaction's branch.
    pub branch: Option<&'a str>,
    /// The source address that the receiver saw.
    pub received: Option<&'a str>,
    /// The source port that the receiver saw, or the wish for it.
    pub rport: Rport,
    /// All parameters, those above included.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads the Via value at `at`, returning it with the offset of the comma or end after it.
    #[inline(always)]
    pub(crate) fn read(text: &'a str, at: usize) -> Option<(Via<'a>, usize)> {
        let bytes = text.as_bytes();
        let at = lex::skip_lws(bytes, at);
        let (start, end) = if bytes.get(at..at + 8) == Some(b"SIP/2.0/") {
            (at + 8, lex::run(bytes, at + 8, TOKEN))
        } else {
            transport(bytes, at)?
        };
        let transport = lex::slice(text, start, end);
        let sent_from = lex::skip_lws(bytes, end);
        if end == start || sent_from == end {
            return None;
        }
        let (host, port, sent_to) = host_port(text, sent_from)?;
        let mut via = Via {
            transport,
            host,
            port,
            sent_by: lex::slice(text, sent_from, sent_to),
            branch: None,
            received: None,
            rport: Rport::Absent,
            params: Params::default(),
        };
        let mut at = sent_to;
        loop {
            match step(text, at)? {
                Step::Param(param, next) => {
                    via.note(param.name, param.value)?;
                    at = next;
                }
                Step::End(end) => {
                    via.params = Params::new(lex::slice(text, sent_to, end));
                    return Some((via, end));
                }
            }
        }
    }

    #[inline(always)]
    fn note(&mut self, name: &'a str, value: Option<&'a str>) -> Option<()> {
        match name.len() {
            6 if name.eq_ignore_ascii_case("branch") => self.branch = value,
            8 if name.eq_ignore_ascii_case("received") => self.received = value,
            5 if name.eq_ignore_ascii_case("rport") => {
                self.rport = match value {
                    None | Some("") => Rport::Requested,
                    Some(port) => Rport::Port(port.parse().ok()?),
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Says whether the branch is one of RFC 3261: the cookie and something after it.
    ///
    /// Otherwise the transaction is matched by the rules of RFC 2543 (§17.2.3).
    pub fn has_rfc3261_branch(&self) -> bool {
        self.branch.is_some_and(|branch| {
            branch.len() > MAGIC_COOKIE.len() && branch.starts_with(MAGIC_COOKIE)
        })
    }

    /// The address in `received`, with or without brackets (RFC 5118 §4.5).
    pub fn received_address(&self) -> Option<IpAddr> {
        let text = self.received?;
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        bare.unwrap_or(text).parse().ok()
    }

    /// The `maddr` parameter, the address that a response goes to instead of the source.
    pub fn maddr(&self) -> Option<&'a str> {
        self.params.get("maddr")
    }

    /// Says whether the transport keeps order and delivers: anything but UDP and DTLS.
    pub fn is_reliable(&self) -> bool {
        !self.transport.eq_ignore_ascii_case("UDP") && !self.transport.starts_with("DTLS")
    }
}

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SIP/2.0/{} {}{}",
            self.transport,
            self.sent_by,
            self.params.as_str()
        )
    }
}

/// Finds the transport in `protocol SLASH version SLASH transport`, with white space anywhere.
fn transport(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut at = at;
    for part in 0..2 {
        let end = lex::run(bytes, at, TOKEN);
        if part == 0 && !bytes.get(at..end)?.eq_ignore_ascii_case(b"SIP") {
            return None;
        }
        let slash = lex::skip_lws(bytes, end);
        if end == at || bytes.get(slash) != Some(&b'/') {
            return None;
        }
        at = lex::skip_lws(bytes, slash + 1);
    }
    Some((at, lex::run(bytes, at, TOKEN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_with_folds_and_spaces_reads_like_a_plain_one() {
        let text = " SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239";
        let (first, end) = Via::read(text, 0).unwrap();
        assert_eq!(first.transport, "TCP");
        assert_eq!(first.host, Host::Name("spindle.example.com"));
        assert_eq!(first.branch, Some("z9hG4bK9ikj8"));
        let (second, end) = Via::read(text, end + 1).unwrap();
        assert_eq!(second.sent_by, "192.168.255.111");
        assert_eq!(second.branch, Some("z9hG4bK30239"));
        assert_eq!(end, text.len());
    }

    #[test]
    fn rport_is_absent_requested_or_filled() {
        let rport = |text| Via::read(text, 0).map(|(via, _)| via.rport);
        assert_eq!(rport("SIP/2.0/UDP a;branch=x"), Some(Rport::Absent));
        assert_eq!(
            rport("SIP/2.0/UDP a;rport;branch=x"),
            Some(Rport::Requested)
        );
        assert_eq!(rport("SIP/2.0/UDP a;rport=5060"), Some(Rport::Port(5060)));
        assert_eq!(rport("SIP/2.0/UDP a;rport=99999"), None);
    }

    #[test]
    fn an_ipv6_received_is_read_with_and_without_brackets() {
        let read = |text| Via::read(text, 0).unwrap().0.received_address();
        let address: IpAddr = "2001:db8::9:255".parse().unwrap();
        assert_eq!(
            read("SIP/2.0/UDP [::1];received=2001:db8::9:255"),
            Some(address)
        );
        assert_eq!(
            read("SIP/2.0/UDP [::1];received=[2001:db8::9:255]"),
            Some(address)
        );
    }

    #[test]
    fn a_cookie_alone_is_no_rfc3261_branch() {
        let (via, _) = Via::read("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK", 0).unwrap();
        assert!(!via.has_rfc3261_branch());
    }

    #[test]
    fn separators_without_parameters_are_malformed() {
        assert!(Via::read("SIP/2.0/UDP 192.0.2.15;;,;,,", 0).is_none());
        assert!(Via::read("HTTP/1.1/TCP 192.0.2.15", 0).is_none());
        assert!(Via::read("SIP/2.0/UDP", 0).is_none());
    }
}
