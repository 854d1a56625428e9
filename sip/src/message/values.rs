//! Small typed values: CSeq, RAck, media types, reasons, session intervals.

use std::fmt;

use super::lex::{self, TOKEN};
use super::params::{Step, step};
use super::{Method, Params};

/// The CSeq header field (RFC 3261 §20.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The sequence number.
    pub number: u32,
    /// The method, which is the request's.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads a value such as `4711 INVITE`; a number over 2³²−1 is malformed (§8.1.1.5).
    #[inline(always)]
    pub fn parse(text: &'a str) -> Option<CSeq<'a>> {
        let bytes = text.as_bytes();
        let start = lex::skip_lws(bytes, 0);
        let digits = bytes
            .get(start..)?
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        let end = start + digits;
        let number = lex::decimal(lex::slice(text, start, end))?;
        if number > u64::from(u32::MAX) {
            return None;
        }
        let method_at = lex::skip_lws(bytes, end);
        let method_end = lex::run(bytes, method_at, TOKEN);
        let complete = lex::skip_lws(bytes, method_end) == bytes.len();
        if method_at == end || method_end == method_at || !complete {
            return None;
        }
        let method = Method::new(lex::slice(text, method_at, method_end));
        Some(CSeq {
            number: number as u32,
            method,
        })
    }
}

impl fmt::Display for CSeq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// The RAck header field of a PRACK (RFC 3262 §7.2): which reliable provisional response it
/// acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RAck<'a> {
    /// The RSeq of the response, at least 1.
    pub rseq: u32,
    /// The CSeq of the response: the number of the request that it answers, and its method.
    pub cseq: CSeq<'a>,
}

impl<'a> RAck<'a> {
    /// Reads a value such as `776656 1 INVITE`; an RSeq of 0 or over 2³²−1 is malformed, and so is
    /// a CSeq number over 2³²−1.
    pub fn parse(text: &'a str) -> Option<RAck<'a>> {
        let bytes = text.as_bytes();
        let start = lex::skip_lws(bytes, 0);
        let digits = bytes.get(start..)?.iter();
        let end = start + digits.take_while(|b| b.is_ascii_digit()).count();
        // The two numbers would run into one.
        if lex::skip_lws(bytes, end) == end {
            return None;
        }
        Some(RAck {
            rseq: response_number(lex::slice(text, start, end))?,
            cseq: CSeq::parse(lex::slice(text, end, text.len()))?,
        })
    }
}

impl fmt::Display for RAck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

/// Reads an RSeq (RFC 3262 §7.1): 1 to 2³²−1.
pub(super) fn response_number(digits: &str) -> Option<u32> {
    let number = u32::try_from(lex::decimal(digits)?).ok()?;
    (number > 0).then_some(number)
}

/// A media type, as in Content-Type and Accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// The type, such as `application`.
    pub kind: &'a str,
    /// The subtype, such as `sdp`.
    pub subtype: &'a str,
    /// Parameters such as `boundary`.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads a value such as `multipart/mixed;boundary=x`.
    #[inline(always)]
    pub fn parse(text: &'a str) -> Option<MediaType<'a>> {
        let bytes = text.as_bytes();
        let start = lex::skip_lws(bytes, 0);
        let kind_end = lex::run(bytes, start, TOKEN);
        let slash = lex::skip_lws(bytes, kind_end);
        if kind_end == start || bytes.get(slash) != Some(&b'/') {
            return None;
        }
        let sub_at = lex::skip_lws(bytes, slash + 1);
        let sub_end = lex::run(bytes, sub_at, TOKEN);
        if sub_end == sub_at {
            return None;
        }
        let mut at = sub_end;
        while let Step::Param(_, next) = step(text, at)? {
            at = next;
        }
        Some(MediaType {
            kind: lex::slice(text, start, kind_end),
            subtype: lex::slice(text, sub_at, sub_end),
            params: Params::new(lex::slice(text, sub_end, text.len())),
        })
    }

    /// Compares with a name such as `application/sdp`, without case or parameters.
    pub fn is(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }

    /// Says whether this range, as in Accept, covers a name such as `application/sdp`.
    pub fn covers(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(kind, subtype)| {
            (self.kind == "*" || self.kind.eq_ignore_ascii_case(kind))
                && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype))
        })
    }
}

impl fmt::Display for MediaType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params.as_str())
    }
}

/// One value of the Reason header field (RFC 3326), such as a release cause of Q.850.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// The protocol: `SIP` or `Q.850`.
    pub protocol: &'a str,
    /// The cause code of that protocol.
    pub cause: Option<u16>,
    /// The text beside the code, quotes removed.
    pub text: Option<&'a str>,
}

impl<'a> Reason<'a> {
    /// Reads a value such as `Q.850;cause=16;text="Normal call clearing"`.
    pub fn parse(text: &'a str) -> Option<Reason<'a>> {
        let bytes = text.as_bytes();
        let start = lex::skip_lws(bytes, 0);
        let end = lex::run(bytes, start, TOKEN);
        let params = Params::new(lex::slice(text, end, text.len()));
        (end > start).then(|| Reason {
            protocol: lex::slice(text, start, end),
            cause: params.get("cause").and_then(|cause| cause.parse().ok()),
            text: params.get("text"),
        })
    }
}

/// Who refreshes a session, by its role in the request that says so (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Whoever sent the request.
    Uac,
    /// Whoever answers it.
    Uas,
}

impl fmt::Display for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refresher::Uac => "uac",
            Refresher::Uas => "uas",
        })
    }
}

/// The Session-Expires header field (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The session interval in seconds, held at 2³²−1.
    pub interval_s: u32,
    /// Who refreshes, where it is said in a word that is known.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads a value such as `1800;refresher=uac`; other parameters are passed over.
    pub fn parse(text: &str) -> Option<SessionExpires> {
        let bytes = text.as_bytes();
        let start = lex::skip_lws(bytes, 0);
        let digits = bytes.get(start..)?.iter();
        let end = start + digits.take_while(|b| b.is_ascii_digit()).count();
        let interval_s = lex::saturating_u32(lex::slice(text, start, end))?;
        let rest = lex::skip_lws(bytes, end);
        if !matches!(bytes.get(rest), None | Some(b';')) {
            return None;
        }
        let params = Params::new(lex::slice(text, rest, text.len()));
        let refresher = match params.get("refresher") {
            Some(role) if role.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(role) if role.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(SessionExpires {
            interval_s,
            refresher,
        })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.interval_s)?;
        match self.refresher {
            Some(refresher) => write!(f, ";refresher={refresher}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cseq_is_a_32_bit_number_and_a_method() {
        let cseq = CSeq::parse("0009\r\n  INVITE").unwrap();
        assert_eq!(
            cseq,
            CSeq {
                number: 9,
                method: Method::Invite
            }
        );
        assert_eq!(
            CSeq::parse("4294967295 ACK").map(|cseq| cseq.number),
            Some(u32::MAX)
        );
        for bad in [
            "36893488147419103232 REGISTER",
            "4294967296 ACK",
            "1",
            "1 ",
            "x ACK",
            "-1 ACK",
            "1INVITE",
            "1 INVITE x",
        ] {
            assert_eq!(CSeq::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_rack_names_a_response_and_a_zero_names_none() {
        let rack = RAck::parse(" 776656  1\tINVITE ").unwrap();
        assert_eq!((rack.rseq, rack.cseq.number), (776_656, 1));
        assert_eq!(rack.cseq.method, Method::Invite);
        assert_eq!(rack.to_string(), "776656 1 INVITE");
        let most = RAck::parse("4294967295 4294967295 INVITE").unwrap();
        assert_eq!((most.rseq, most.cseq.number), (u32::MAX, u32::MAX));
        for bad in [
            "",
            "1",
            "1 INVITE",
            "0 1 INVITE",
            "4294967296 1 INVITE",
            "1 4294967296 INVITE",
            "36893488147419103233 1 INVITE",
            "1 1INVITE",
            "x 1 INVITE",
            "-1 1 INVITE",
            "1 1 INVITE x",
        ] {
            assert_eq!(RAck::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn media_types_compare_without_case_and_parameters() {
        let media = MediaType::parse("Multipart / mixed ; boundary=7a9cbec02ceef655").unwrap();
        assert!(media.is("multipart/mixed"));
        assert_eq!(media.params.get("boundary"), Some("7a9cbec02ceef655"));
        assert!(
            MediaType::parse("application/*")
                .unwrap()
                .covers("application/sdp")
        );
        assert!(
            !MediaType::parse("text/*")
                .unwrap()
                .covers("application/sdp")
        );
        assert_eq!(MediaType::parse("sdp"), None);
    }

    #[test]
    fn a_session_interval_is_read_with_its_refresher_and_without_anything_else() {
        let read = |text| SessionExpires::parse(text).map(|s| (s.interval_s, s.refresher));
        assert_eq!(read("1800"), Some((1800, None)));
        assert_eq!(
            read(" 90 ; x=y;Refresher = UAS;z"),
            Some((90, Some(Refresher::Uas)))
        );
        assert_eq!(read("90;refresher=none"), Some((90, None)));
        assert_eq!(read("90;;refresher=uac"), Some((90, None)));
        assert_eq!(read("99999999999999999999"), Some((u32::MAX, None)));
        for bad in [
            "",
            ";refresher=uac",
            "-1",
            "90s",
            "90 refresher=uac",
            "90, 1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let text = SessionExpires::parse("1800;refresher=UAC").unwrap();
        assert_eq!(text.to_string(), "1800;refresher=uac");
    }

    #[test]
    fn a_reason_gives_its_cause() {
        let reason = Reason::parse("Q.850;cause=16;text=\"Normal call clearing\"").unwrap();
        assert_eq!((reason.protocol, reason.cause), ("Q.850", Some(16)));
        assert_eq!(reason.text, Some("Normal call clearing"));
    }
}
