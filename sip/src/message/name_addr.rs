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
    pub(crate) fn read(text: &'a str, at: usize) -> Option<(NameAddr<'a>, usize)> {
        let mut address = NameAddr::EMPTY;
        let end = address.fill(text, at)?;
        Some((address, end))
    }

    /// A place for an address that is to be read.
    pub(crate) const EMPTY: NameAddr<'static> = NameAddr {
        display: "",
        uri: Uri::EMPTY,
        params: Params::NONE,
        tag: None,
    };

    /// Reads the value at `at` into an empty place, returning the offset of the comma or end
    /// after it.
    #[inline(never)]
    pub(crate) fn fill(&mut self, text: &'a str, at: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let at = lex::skip_lws(bytes, at);
        let open = match bytes.get(at)? {
            b'<' => at,
            b'"' => {
                let end = lex::quoted_end(bytes, at)?;
                self.display = lex::slice(text, at + 1, end - 1);
                lex::skip_lws(bytes, end)
            }
            _ => {
                let Some(open) = unquoted_display(bytes, at) else {
                    return self.fill_bare(text, at);
                };
                self.display = lex::trim(lex::slice(text, at, open));
                open
            }
        };
        if bytes.get(open) != Some(&b'<') {
            return None;
        }
        let close = self.uri.fill(text, open + 1)?;
        if bytes.get(close) != Some(&b'>') {
            return None;
        }
        self.fill_params(text, close + 1)
    }

    /// Reads an `addr-spec` without `<>`: what follows a `;` is the header's, and a `?` or a
    /// comma cannot stand in it (RFC 3261 §20).
    fn fill_bare(&mut self, text: &'a str, at: usize) -> Option<usize> {
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
        self.uri = Uri::parse(spec).ok()?;
        self.fill_params(text, end)
    }

    #[inline(always)]
    fn fill_params(&mut self, text: &'a str, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            match step(text, at)? {
                Step::Param(param, next) => {
                    if param.name.len() == 3 && param.name.eq_ignore_ascii_case("tag") {
                        self.tag = Some(param.value.filter(|value| !value.is_empty())?);
                    }
                    at = next;
                }
                Step::End(end) => {
                    self.params = Params::new(lex::slice(text, from, end));
                    return Some(end);
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

/// Tells `display-name <` from a bare address: the offset of `<`, if that comes first.
fn unquoted_display(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let offset = rest
        .iter()
        .position(|b| matches!(b, b'<' | b';' | b',' | b'"'))?;
    (rest.get(offset) == Some(&b'<')).then_some(at + offset)
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
    /// Reads the values of a whole header field, up to the first that is malformed.
    pub fn list(text: &'a str) -> impl Iterator<Item = Contact<'a>> {
        let mut next = Some(0);
        std::iter::from_fn(move || {
            let (contact, end) = Contact::read(text, next.take()?)?;
            next = (end < text.len()).then_some(end + 1);
            Some(contact)
        })
    }

    /// Reads the value at `at`, returning it with the offset of the comma or end after it.
    pub(crate) fn read(text: &'a str, at: usize) -> Option<(Contact<'a>, usize)> {
        let mut contact = Contact::Star;
        let end = contact.fill(text, at)?;
        Some((contact, end))
    }

    /// Reads the value at `at` in place, returning the offset of the comma or end after it.
    #[inline(always)]
    pub(crate) fn fill(&mut self, text: &'a str, at: usize) -> Option<usize> {
        let start = lex::skip_lws(text.as_bytes(), at);
        if text.as_bytes().get(start) == Some(&b'*') {
            *self = Contact::Star;
            let rest = lex::trim(lex::slice(text, start + 1, text.len()));
            return rest.is_empty().then_some(text.len());
        }
        *self = Contact::Address(NameAddr::EMPTY);
        match self {
            Contact::Star => None,
            Contact::Address(address) => address.fill(text, at),
        }
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
    fn the_contacts_of_a_field_are_read_as_far_as_they_can_be() {
        let uris = |text| {
            let uris = Contact::list(text).filter_map(|contact| contact.uri());
            uris.map(|uri| uri.as_str()).collect::<Vec<_>>()
        };
        let text = "\"a, b\" <sip:a@b>;q=1 , sip:c@d;q=0.5,<sip:e@f>";
        assert_eq!(uris(text), ["sip:a@b", "sip:c@d", "sip:e@f"]);
        assert_eq!(uris("<sip:a@b>, <sip:c"), ["sip:a@b"]);
        assert!(uris("").is_empty() && uris("*").is_empty() && uris(",").is_empty());
    }

    #[test]
    fn an_address_prints_with_its_quotes_escaped() {
        let address = NameAddr::parse("\"a \\\"b\\\"\" <sip:a@b;lr> ;tag=x").unwrap();
        assert_eq!(address.to_string(), "\"a \\\"b\\\"\" <sip:a@b;lr>;tag=x");
    }
}
