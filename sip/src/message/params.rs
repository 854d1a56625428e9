//! Header parameters: `*( SEMI name [ EQUAL value ] )`.

use std::borrow::Cow;

use super::lex::{self, NAME, VALUE};

/// One parameter of a header value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as sent; names compare without case.
    pub name: &'a str,
    /// The value without its quotes; `None` where only the name stands.
    pub value: Option<&'a str>,
}

/// The parameters of a header value, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    raw: &'a str,
}

/// What stands at a position among parameters.
pub(crate) enum Step<'a> {
    /// A parameter, and the offset after it.
    Param(Param<'a>, usize),
    /// The end of the value: the text's end or a comma.
    End(usize),
}

/// Reads the parameter at `at`; `None` where the grammar is broken.
#[inline(always)]
pub(crate) fn step(text: &str, at: usize) -> Option<Step<'_>> {
    let bytes = text.as_bytes();
    let at = lex::skip_lws(bytes, at);
    match bytes.get(at) {
        None | Some(b',') => return Some(Step::End(at)),
        Some(b';') => {}
        Some(_) => return None,
    }
    let start = lex::skip_lws(bytes, at + 1);
    let end = lex::run(bytes, start, NAME);
    if end == start {
        return None;
    }
    let name = lex::slice(text, start, end);
    let equal = lex::skip_lws(bytes, end);
    if bytes.get(equal) != Some(&b'=') {
        return Some(Step::Param(Param { name, value: None }, equal));
    }
    let start = lex::skip_lws(bytes, equal + 1);
    if bytes.get(start) == Some(&b'"') {
        let end = lex::quoted_end(bytes, start)?;
        let value = Some(lex::slice(text, start + 1, end - 1));
        return Some(Step::Param(Param { name, value }, end));
    }
    let end = lex::run(bytes, start, VALUE);
    let value = Some(lex::slice(text, start, end));
    Some(Step::Param(Param { name, value }, end))
}

impl<'a> Params<'a> {
    /// Takes the text from the first `;` on, whose syntax has been checked.
    pub(crate) fn new(raw: &'a str) -> Self {
        Params { raw }
    }

    /// The value of the parameter of that name; empty where only the name stands.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))
            .map(Param::text)
    }

    /// Says whether a parameter of that name stands, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The parameters in order.
    pub fn iter(&self) -> ParamIter<'a> {
        ParamIter {
            raw: self.raw,
            at: 0,
        }
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The parameters as they stand, from the first `;` on.
    pub fn as_str(&self) -> &'a str {
        lex::trim(self.raw)
    }
}

impl<'a> Param<'a> {
    fn text(self) -> &'a str {
        self.value.unwrap_or_default()
    }
}

/// An iterator over [`Params`].
#[derive(Clone, Debug)]
pub struct ParamIter<'a> {
    raw: &'a str,
    at: usize,
}

impl<'a> Iterator for ParamIter<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        match step(self.raw, self.at)? {
            Step::Param(param, next) => {
                self.at = next;
                Some(param)
            }
            Step::End(_) => None,
        }
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = Param<'a>;
    type IntoIter = ParamIter<'a>;

    fn into_iter(self) -> ParamIter<'a> {
        self.iter()
    }
}

/// Resolves the quoted pairs of a quoted string's inside (RFC 3261 §25.1) and unfolds it.
pub fn unquote(inside: &str) -> Cow<'_, str> {
    if !inside.bytes().any(|b| matches!(b, b'\\' | b'\r' | b'\n')) {
        return Cow::Borrowed(inside);
    }
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            '\r' => {}
            '\n' => {}
            _ => text.push(c),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_with_any_white_space_and_quotes() {
        let params = Params::new(" ;\r\n tag  =  98asjd8;lr ;text=\"a;b\" ; q = 0.33");
        assert_eq!(params.get("TAG"), Some("98asjd8"));
        assert_eq!(params.get("lr"), Some(""));
        assert_eq!(params.get("text"), Some("a;b"));
        assert_eq!(params.get("q"), Some("0.33"));
        assert_eq!(params.iter().count(), 4);
    }

    #[test]
    fn an_empty_parameter_breaks_the_grammar() {
        assert!(step(";;", 0).is_none());
        assert!(step(";a=\"open", 0).is_none());
    }

    #[test]
    fn quoted_pairs_are_resolved() {
        assert_eq!(unquote(r#"J Rosenberg \\\""#), r#"J Rosenberg \""#);
        assert_eq!(unquote("plain"), "plain");
    }
}
