//! The comma-separated `name=value` list of challenges and credentials.

use crate::message::lex::{self, NAME, TOKEN};

/// A scheme and its parameters, as text that holds nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    pub(crate) scheme: &'a str,
    list: &'a str,
}

impl<'a> Fields<'a> {
    /// The first scheme of a line with its parameters, and the rest of the line.
    ///
    /// Several challenges may share a line (RFC 9110 §11.6.1): a value in which a token and
    /// white space come before `name=` begins the next one.
    pub(crate) fn first(line: &'a str) -> Option<(Fields<'a>, &'a str)> {
        let (scheme, list) = scheme(line)?;
        let bytes = list.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let end = lex::value_end(bytes, at);
            let next = lex::slice(list, end + 1, list.len());
            if scheme_begins(next) {
                return Some((
                    Fields {
                        scheme,
                        list: lex::slice(list, 0, end),
                    },
                    next,
                ));
            }
            at = end + 1;
        }
        Some((Fields { scheme, list }, ""))
    }

    /// The value of a parameter without its quotes, quoted pairs unresolved.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let list = self.list;
        let mut at = 0;
        std::iter::from_fn(move || {
            while at < list.len() {
                let end = lex::value_end(list.as_bytes(), at);
                let pair = pair(lex::slice(list, at, end));
                at = end + 1;
                if pair.is_some() {
                    return pair;
                }
            }
            None
        })
    }
}

fn scheme(line: &str) -> Option<(&str, &str)> {
    let bytes = line.as_bytes();
    let start = lex::skip_lws(bytes, 0);
    let end = lex::run(bytes, start, TOKEN);
    (end > start).then(|| {
        (
            lex::slice(line, start, end),
            lex::slice(line, end, line.len()),
        )
    })
}

/// Says whether `token LWS token` stands at the beginning, and no `=` after the first.
fn scheme_begins(text: &str) -> bool {
    let bytes = text.as_bytes();
    let start = lex::skip_lws(bytes, 0);
    let end = lex::run(bytes, start, TOKEN);
    let next = lex::skip_lws(bytes, end);
    end > start && next > end && bytes.get(next).is_some_and(|&b| lex::is(b, TOKEN))
}

fn pair(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let start = lex::skip_lws(bytes, 0);
    let end = lex::run(bytes, start, NAME);
    let equal = lex::skip_lws(bytes, end);
    if end == start || bytes.get(equal) != Some(&b'=') {
        return None;
    }
    let value = lex::trim(lex::slice(text, equal + 1, text.len()));
    let inside = value
        .strip_prefix('"')
        .map(|rest| rest.strip_suffix('"').unwrap_or(rest));
    Some((lex::slice(text, start, end), inside.unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_and_without_quotes_and_spaces() {
        let line = "Digest realm=\"a, b\",qop=\"auth,auth-int\" , nonce = \"x=/+==\",stale=FALSE";
        let (fields, rest) = Fields::first(line).unwrap();
        assert_eq!(fields.scheme, "Digest");
        assert_eq!(fields.get("REALM"), Some("a, b"));
        assert_eq!(fields.get("qop"), Some("auth,auth-int"));
        assert_eq!(fields.get("nonce"), Some("x=/+=="));
        assert_eq!(fields.get("stale"), Some("FALSE"));
        assert_eq!(rest, "");
    }

    #[test]
    fn challenges_that_share_a_line_are_told_apart() {
        let line = "Digest realm=\"a\", algorithm=SHA-256, nonce=\"1\", Basic realm=\"b\"";
        let (first, rest) = Fields::first(line).unwrap();
        assert_eq!(first.get("nonce"), Some("1"));
        let (second, rest) = Fields::first(rest).unwrap();
        assert_eq!((second.scheme, second.get("realm")), ("Basic", Some("b")));
        assert_eq!(rest, "");
    }
}
