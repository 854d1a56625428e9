//! Telephone numbers as they are routed, dialled and written down.

use std::fmt;

/// Digits of the longest number: E.164 has 15, what a PBX dials may have some before them.
const DIGITS_MAX: usize = 20;

/// A telephone number without its punctuation: `+` where it was written with it, then digits, `*`
/// and `#`. Whoever calls, routes or dials a number does so by this form of it, so that one number
/// is one number however it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number(String);

impl Number {
    /// Reads a number as people and phones write it: visual separators go (RFC 3966 §5.1.1), and
    /// so do the parameters of a global number (§5.1.5). None when it is no number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let written = match text.split_once(';') {
            Some((number, _)) if text.starts_with('+') => number,
            _ => text,
        };
        let separates = |c: &char| matches!(c, ' ' | '-' | '(' | ')' | '.');
        let number: String = written.chars().filter(|c| !separates(c)).collect();
        let digits = number.strip_prefix('+').unwrap_or(&number);
        let known = |b: u8| b.is_ascii_digit() || matches!(b, b'*' | b'#');
        let is_number = digits.len() <= DIGITS_MAX
            && digits.bytes().all(known)
            && digits.bytes().any(|b| b.is_ascii_digit());
        is_number.then_some(Self(number))
    }

    /// The number as it is dialled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes a called or calling party, a URI's user part, in the form that all share: a number without
/// its punctuation, a name as it is.
#[must_use]
pub fn normalised(user: &str) -> String {
    Number::parse(user).map_or_else(|| user.to_owned(), |number| number.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_one_however_it_is_written() {
        for text in [
            "+442079460123",
            "+44-20-7946-0123",
            " +44 (20) 7946.0123",
            "+442079460123;npdi;rn=+44207",
        ] {
            assert_eq!(normalised(text), "+442079460123", "{text}");
        }
        for text in ["*21#", "0", "8000"] {
            assert_eq!(normalised(text), text);
        }
    }

    #[test]
    fn a_name_is_no_number_and_stays_as_it_is() {
        let long = "1".repeat(DIGITS_MAX + 1);
        for text in [
            "",
            "+",
            "*",
            "-",
            "sales-team",
            "+44x",
            "++44",
            "44+20",
            "+44:x@127.0.0.2",
            "+1202\r\nX",
            "020;phone-context=+44",
            &long,
        ] {
            assert_eq!(Number::parse(text), None, "{text}");
            assert_eq!(normalised(text), text);
        }
    }
}
