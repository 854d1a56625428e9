//! `name-addr` and `addr-spec`: From, To, Contact, Route and their kin (RFC 3261 §20.10).

use std::borrow::Cow;
use std::fmt;

use super::params::{Step, step, unquote};
use super::{Params, lex};
use crate::uri::Uri;

/// An address with an optional display name and the header's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name without its quotes, quoted pairs unresolved; empty where none stands.
    pub display: &'a str,
    /// The address.
    pub uri: Uri<'a>,
    /// The header's parameters (those inside `<>` belong to the URI).
    pub params: Params<'a>,
    tag: Option<&'a str>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value, such as a From, or `None` where it is malformed.
    pub fn parse(text: &'a str) -> Option<NameAddr<'a>> {
        let (address, end) = NameAddr::read(text, 0)?;
        (end == text.len()).then_some(address)
    }

    /// Reads the value at `at`, returning it with the offset of the comma or end after it.
    #[inline(always)]
    pub(crate) fn read(text: &'a str, at: usize) -> Option<(NameAddr<'a>, usize)> {
        let bytes = text.as_bytes();
        let at = lex::skip_lws(bytes, at);
        let (display, open) = match bytes.get(at)? {
            b'<' => ("", Some(at)),
            b'"' => {
                let end = lex::quoted_end(bytes, at)?;
                let open = lex::skip_lws(bytes, end);
                if bytes.get(open) != Some(&b'<') {
                    return None;
                }
                (lex::slice(text, at + 1, end - 1), Some(open))
            }
            _ => unquoted_display(text, at),
        };
        let Some(open) = open else {
            return NameAddr::read_bare(text, at);
        };
        let (uri, close) = Uri::read(text, open + 1)?;
        if bytes.get(close) != Some(&b'>') {
            return None;
        }
        NameAddr::read_params(text, display, uri, close + 1)
    }

    /// Reads an `addr-spec` without `<>`: what follows a `;` is the header's, and a `?` or a
    /// comma cannot stand in it (RFC 3261 §20).
    fn read_bare(text: &'a str, at: usize) -> Option<(NameAddr<'a>, usize)> {
        let rest = text.as_bytes().get(at..)?;
        let end = at
            + rest
                .iter()
                .position(|b| matches!(b, b';' | b','))
                .unwrap_or(rest.len());
        let spec = lex::trim(lex::slice(text, at, end));
        if spec.contains('?') {
            return None;
        }
        let uri = Uri::parse(spec).ok()?;
        NameAddr::read_params(text, "", uri, end)
    }

    #[inline(always)]
    fn read_params(
        text: &'a str,
        display: &'a str,
        uri: Uri<'a>,
        from: usize,
    ) -> Option<(NameAddr<'a>, usize)> {
        let mut tag = None;
        let mut at = from;
        loop {
            match step(text, at)? {
                Step::Param(param, next) => {
                    if param.name.len() == 3 && param.name.eq_ignore_ascii_case("tag") {
                        tag = Some(param.value.filter(|value| !value.is_empty())?);
                    }
                    at = next;
                }
                Step::End(end) => {
                    let params = Params::new(lex::slice(text, from, end));
                    return Some((
                        NameAddr {
                            display,
                            uri,
                            params,
                            tag,
                        },
                        end,
                    ));
                }
            }
        }
    }

    /// The `tag` parameter, which names one side of a dialog.
    pub fn tag(&self) -> Option<&'a str> {
        self.tag
    }

    /// The display name as a person reads it: quoted pairs resolved, folds undone.
    pub fn display_name(&self) -> Cow<'a, str> {
        unquote(self.display)
    }
}

impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.display.is_empty() {
            write!(f, "{} ", Quoted(&self.display_name()))?;
        }
        write!(f, "<{}>{}", self.uri, self.params.as_str())
    }
}

/// Writes a text as a quoted string, escaping `"` and `\` and dropping line ends.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\r' | '\n' | '\0' => {}
                _ => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Tells `display-name <` from a bare address: the text up to `<`, if that comes first.
#[inline(always)]
fn unquoted_display(text: &str, at: usize) -> (&str, Option<usize>) {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    match rest
        .iter()
        .position(|b| matches!(b, b'<' | b';' | b',' | b'"'))
    {
        Some(offset) if rest.get(offset) == Some(&b'<') => (
            lex::trim(lex::slice(text, at, at + offset)),
            Some(at + offset),
        ),
        _ => ("", None),
    }
}

/// One value of a Contact header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact<'a> {
    /// `*`: every binding, in a REGISTER that removes them all (RFC 3261 §10.2.2).
    Star,
    /// An address.
    Address(NameAddr<'a>),
}

impl<'a> Contact<'a> {
    /// Reads the value at `at`, returning it with the offset of the comma or end after it.
    #[inline(always)]
    pub(crate) fn read(text: &'a str, at: usize) -> Option<(Contact<'a>, usize)> {
        let start = lex::skip_lws(text.as_bytes(), at);
        if text.as_bytes().get(start) == Some(&b'*') {
            let rest = lex::trim(lex::slice(text, start + 1, text.len()));
            return rest.is_empty().then_some((Contact::Star, text.len()));
        }
        NameAddr::read(text, at).map(|(address, end)| (Contact::Address(address), end))
    }

    /// The address, unless it is `*`.
    pub fn address(&self) -> Option<NameAddr<'a>> {
        match self {
            Contact::Star => None,
            Contact::Address(address) => Some(*address),
        }
    }

    /// The address's URI, unless it is `*`.
    pub fn uri(&self) -> Option<Uri<'a>> {
        self.address().map(|address| address.uri)
    }

    /// The `expires` parameter in seconds, held at 2³²−1 (RFC 3261 §10.2.1.1).
    pub fn expires(&self) -> Option<u32> {
        lex::saturating_u32(self.address()?.params.get("expires")?)
    }

    /// The `q` parameter in thousandths, 1,000 where it is absent or unreadable.
    pub fn q_thousandths(&self) -> u16 {
        let text = self.address().and_then(|address| address.params.get("q"));
        let value = text
            .and_then(|text| text.parse::<f32>().ok())
            .unwrap_or(1.0);
        (value.clamp(0.0, 1.0) * 1000.0).round() as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_are_read_quoted_bare_and_without_space() {
        let read = |text| NameAddr::parse(text).unwrap();
        assert_eq!(read("\"Bell, A.\" <sip:a@b>;tag=1").display, "Bell, A.");
        assert_eq!(read("caller<sip:a@b>;tag=323").display, "caller");
        assert_eq!(read("A. Bell <sip:a@b>;tag=q").display, "A. Bell");
        assert_eq!(read("\"J \\\\\\\"\"  <sip:a@b>").display_name(), "J \\\"");
    }

    #[test]
    fn without_angle_brackets_parameters_are_the_headers() {
        let address = NameAddr::parse("sip:a@b ;   tag    = 1918181833n").unwrap();
        assert_eq!(address.tag(), Some("1918181833n"));
        assert_eq!(address.uri.as_str(), "sip:a@b");
        let address = NameAddr::parse("<sip:a@b;tag=uri>;x").unwrap();
        assert_eq!(address.tag(), None);
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "\"Mr. J. User <sip:j.user@example.com>",
            "\"Watson\" < sip:t.watson@example.org >",
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            "\"Joe\" <sip:joe@example.org>;;;;",
            "<sip:open@example.org",
            "",
        ] {
            assert_eq!(NameAddr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_contact_may_be_a_star() {
        assert_eq!(Contact::read(" * ", 0).unwrap().0, Contact::Star);
        let text = "<sip:a@b>;q=0.33;expires=280297596632815";
        let contact = Contact::read(text, 0).unwrap().0;
        assert_eq!(contact.q_thousandths(), 330);
        assert_eq!(contact.expires(), Some(u32::MAX));
    }

    #[test]
    fn an_address_prints_with_its_quotes_escaped() {
        let address = NameAddr::parse("\"a \\\"b\\\"\" <sip:a@b;lr> ;tag=x").unwrap();
        assert_eq!(address.to_string(), "\"a \\\"b\\\"\" <sip:a@b;lr>;tag=x");
    }
}
