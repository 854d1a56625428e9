//! Request lines and status lines (RFC 3261 §7.1, §7.2).

use super::error::ParseErrorKind;
use super::{Method, lex};

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// A request.
    Request {
        /// The method.
        method: Method<'a>,
        /// The Request-URI as sent; [`super::Message::request_uri`] reads it.
        uri: &'a str,
    },
    /// A response.
    Response {
        /// The status code, 100 to 699.
        status: u16,
        /// The reason phrase, often empty, never to be relied on.
        reason: &'a str,
    },
}

/// A start line with what validation has to know about how it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLine<'a> {
    pub(crate) line: StartLine<'a>,
    /// The version is 2.0.
    pub(crate) version: bool,
    /// The parts stand one space apart and nothing follows them.
    pub(crate) spacing: bool,
}

/// Reads a start line without its line end.
pub(crate) fn read(line: &[u8]) -> Result<ReadLine<'_>, ParseErrorKind> {
    if line
        .get(..4)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"SIP/"))
    {
        return status_line(line);
    }
    request_line(line).ok_or(ParseErrorKind::NotSip)
}

fn request_line(line: &[u8]) -> Option<ReadLine<'_>> {
    let text = std::str::from_utf8(line).ok()?;
    let trimmed = lex::trim(text);
    let bytes = trimmed.as_bytes();
    let method_end = memchr::memchr(b' ', bytes)?;
    let version_at = memchr::memrchr(b' ', bytes)? + 1;
    let method = lex::slice(trimmed, 0, method_end);
    let version = bytes.get(version_at..)?;
    if !lex::is_token(method) || !version.get(..4)?.eq_ignore_ascii_case(b"SIP/") {
        return None;
    }
    let between = lex::slice(trimmed, method_end + 1, version_at.saturating_sub(1));
    let uri = lex::trim(between);
    // Nothing but control characters is no URI: printed, none of it would be left.
    if uri.bytes().all(|byte| byte <= b' ' || byte == 0x7f) {
        return None;
    }
    Some(ReadLine {
        line: StartLine::Request {
            method: Method::new(method),
            uri,
        },
        version: version.get(4..) == Some(b"2.0"),
        spacing: uri.len() == between.len() && trimmed.len() == text.len(),
    })
}

fn status_line(line: &[u8]) -> Result<ReadLine<'_>, ParseErrorKind> {
    let version_end = memchr::memchr(b' ', line).ok_or(ParseErrorKind::NotSip)?;
    let version = line.get(4..version_end).unwrap_or_default();
    let rest = line.get(version_end + 1..).unwrap_or_default();
    let code_end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let status = match rest.get(..code_end) {
        Some(&[a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9']) => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err(ParseErrorKind::BadStatus),
    };
    // A reason phrase in another encoding than UTF-8 is not worth a message.
    let reason = rest.get(code_end + 1..).unwrap_or_default();
    let reason = lex::trim(std::str::from_utf8(reason).unwrap_or_default());
    Ok(ReadLine {
        line: StartLine::Response { status, reason },
        version: version == b"2.0",
        spacing: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_gives_method_and_uri() {
        let read = read(b"INVITE sip:user@example.com SIP/2.0").unwrap();
        let uri = "sip:user@example.com";
        assert_eq!(
            read.line,
            StartLine::Request {
                method: Method::Invite,
                uri
            }
        );
        assert!(read.version && read.spacing);
    }

    #[test]
    fn odd_spacing_and_versions_are_read_and_remembered() {
        assert!(!read(b"INVITE  sip:a@b  SIP/2.0").unwrap().spacing);
        assert!(!read(b"OPTIONS sip:a@b SIP/2.0  ").unwrap().spacing);
        assert!(!read(b"OPTIONS sip:a@b SIP/7.0").unwrap().version);
    }

    #[test]
    fn what_is_not_sip_is_told_from_a_bad_status() {
        for line in [
            "GET / HTTP/1.1",
            "INVITE",
            "",
            "INVITE SIP/2.0",
            "ACR \u{1}\0\u{1d} SIP/2.0",
            "hello there",
        ] {
            assert_eq!(
                read(line.as_bytes()).unwrap_err(),
                ParseErrorKind::NotSip,
                "{line}"
            );
        }
        for line in [
            "SIP/2.0 4294967301 x",
            "SIP/2.0 099 x",
            "SIP/2.0 700 x",
            "SIP/2.0 20 x",
        ] {
            assert_eq!(
                read(line.as_bytes()).unwrap_err(),
                ParseErrorKind::BadStatus,
                "{line}"
            );
        }
    }

    #[test]
    fn a_status_line_may_lack_its_reason() {
        let line = |bytes| read(bytes).unwrap().line;
        assert_eq!(
            line(b"SIP/2.0 100 "),
            StartLine::Response {
                status: 100,
                reason: ""
            }
        );
        assert_eq!(
            line(b"SIP/2.0 100"),
            StartLine::Response {
                status: 100,
                reason: ""
            }
        );
        assert_eq!(
            line(b"SIP/2.0 200 \xff"),
            StartLine::Response {
                status: 200,
                reason: ""
            }
        );
    }
}
