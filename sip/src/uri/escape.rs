//! Percent escapes (RFC 3261 §19.1.2).

use std::borrow::Cow;
use std::fmt;

/// Resolves `%xx` escapes; a `%` without two hexadecimal digits stays as it is.
///
/// The result is bytes because an escape may spell any byte, NUL included.
pub fn unescape(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    Cow::Owned(Unescaped(text.as_bytes()).collect())
}

/// Resolves escapes into text, replacing what is no UTF-8 then.
pub(super) fn unescape_text(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(&unescape(text)).into_owned())
}

/// Resolves escapes into text; `None` where that is no UTF-8.
pub(super) fn exact_text(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    String::from_utf8(unescape(text).into_owned())
        .ok()
        .map(Cow::Owned)
}

/// Compares a name as sent with a plain one, without case and with escapes resolved.
pub(super) fn same_name(sent: &str, plain: &str) -> bool {
    if !sent.contains('%') {
        return sent.eq_ignore_ascii_case(plain);
    }
    let folded = Unescaped(sent.as_bytes()).map(|b| b.to_ascii_lowercase());
    folded.eq(plain.bytes().map(|b| b.to_ascii_lowercase()))
}

/// Compares two texts as sent with escapes resolved; `fold` ignores case.
pub(super) fn same_text(a: &str, b: &str, fold: bool) -> bool {
    let a = Unescaped(a.as_bytes());
    let b = Unescaped(b.as_bytes());
    if fold {
        return a
            .map(|b| b.to_ascii_lowercase())
            .eq(b.map(|b| b.to_ascii_lowercase()));
    }
    a.eq(b)
}

struct Unescaped<'a>(&'a [u8]);

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        match *self.0 {
            [b'%', high, low, ref rest @ ..] => {
                if let (Some(high), Some(low)) = (hex(high), hex(low)) {
                    self.0 = rest;
                    return Some(high << 4 | low);
                }
            }
            [] => return None,
            _ => {}
        }
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Writes a text as a URI's user, escaping what may not stand there unescaped (§25.1).
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, self.0, b"-_.!~*'()&=+$,;?/")
    }
}

/// Writes a text as the value of a URI's header, escaping what may not stand there unescaped
/// (§25.1, `hvalue`).
#[derive(Clone, Copy, Debug)]
pub struct EscapedHeader<'a>(pub &'a str);

impl fmt::Display for EscapedHeader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, self.0, b"-_.!~*'()[]/?:+$")
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str, plain: &[u8]) -> fmt::Result {
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || plain.contains(&b) {
            write!(f, "{}", char::from(b))?;
        } else {
            write!(f, "%{b:02X}")?;
        }
    }
    Ok(())
}
