//! Lexical ground of RFC 3261 §25.1: character classes, white space, quoted strings.

/// A `token` character.
pub(crate) const TOKEN: u16 = 1;
/// A character of an unquoted parameter value, generously: all but separators and controls.
pub(crate) const VALUE: u16 = 2;
/// Linear white space, a fold's CR and LF included.
pub(crate) const LWS: u16 = 4;
/// A character of a host name (`_` is not in the grammar but in many networks).
pub(crate) const HOST: u16 = 8;
/// A character that may stand in a URI.
pub(crate) const URI: u16 = 16;
/// A character of a URI parameter or header: `URI` without the delimiters `;` and `?`.
pub(crate) const URI_PART: u16 = 32;
/// A character of a URI scheme.
pub(crate) const SCHEME: u16 = 64;
/// A character of a parameter name: `VALUE` without `=`.
pub(crate) const NAME: u16 = 128;
/// A character of a URI's user part: `URI` without the delimiters `:` and `@`.
pub(crate) const USER: u16 = 256;

static CLASS: [u16; 256] = classes();

const fn classes() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut index = 0;
    while index < 256 {
        let b = index as u8;
        let mut class = 0u16;
        if b.is_ascii_alphanumeric() || in_set(b, b"-.!%*_+`'~") {
            class |= TOKEN;
        }
        if (b > b' ' && b != 0x7f) && !in_set(b, b";,\"<>") {
            class |= VALUE;
            if b != b'=' {
                class |= NAME;
            }
        }
        if in_set(b, b" \t\r\n") {
            class |= LWS;
        }
        if b.is_ascii_alphanumeric() || in_set(b, b"-._") {
            class |= HOST;
        }
        if (b > b' ' && b != 0x7f) && !in_set(b, b"\"<>\\^`{|}") {
            class |= URI;
            if !in_set(b, b";?@") {
                class |= URI_PART;
            }
            if !in_set(b, b":@") {
                class |= USER;
            }
        }
        if b.is_ascii_alphanumeric() || in_set(b, b"+-.") {
            class |= SCHEME;
        }
        table[index] = class;
        index += 1;
    }
    table
}

const fn in_set(b: u8, set: &[u8]) -> bool {
    let mut index = 0;
    while index < set.len() {
        if set[index] == b {
            return true;
        }
        index += 1;
    }
    false
}

/// Says whether `b` belongs to one of the classes in `mask`.
#[inline(always)]
pub(crate) fn is(b: u8, mask: u16) -> bool {
    CLASS[b as usize] & mask != 0
}

/// The index of the first byte from `at` on that is outside `mask`.
#[inline(always)]
pub(crate) fn run(bytes: &[u8], at: usize, mask: u16) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|&b| !is(b, mask))
        .unwrap_or(rest.len())
}

/// The index of the first byte from `at` on that is no white space.
#[inline(always)]
pub(crate) fn skip_lws(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(&b) if is(b, LWS) => run(bytes, at + 1, LWS),
        _ => at,
    }
}

/// The text between two byte offsets, empty where they do not bound characters.
#[inline(always)]
pub(crate) fn slice(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

/// The text without the white space around it.
#[inline]
pub(crate) fn trim(text: &str) -> &str {
    let bytes = text.as_bytes();
    let from = skip_lws(bytes, 0);
    let mut to = bytes.len();
    while to > from && bytes.get(to - 1).is_some_and(|&b| is(b, LWS)) {
        to -= 1;
    }
    slice(text, from, to)
}

/// The index after the quote that closes the one at `open`, or `None` where none does.
pub(crate) fn quoted_end(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The eight bytes from `at` on, the first of them lowest, with zeros after the end.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes
        .get(at..at + 8)
        .and_then(|eight| <[u8; 8]>::try_from(eight).ok())
    {
        Some(eight) => u64::from_le_bytes(eight),
        None => short_word(bytes.get(at..).unwrap_or_default()),
    }
}

#[cold]
fn short_word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, b| word << 8 | u64::from(*b))
}

/// The index of the first colon between `from` and `to`, eight bytes at a step.
#[inline(always)]
pub(crate) fn colon(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = LOW << 7;
    let mut at = from;
    while at < to {
        // A byte that is a colon becomes zero; the borrow sets its highest bit.
        let word = word(bytes, at) ^ (LOW * b':' as u64);
        let zeros = word.wrapping_sub(LOW) & !word & HIGH;
        if zeros != 0 {
            return Some(at + (zeros.trailing_zeros() / 8) as usize).filter(|&found| found < to);
        }
        at += 8;
    }
    None
}

/// Says whether the text is a non-empty `token`.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| is(b, TOKEN))
}

/// Reads `1*DIGIT`, holding at the largest value where it would overflow.
#[inline]
pub(crate) fn decimal(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for b in text.bytes() {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(u64::from(digit));
    }
    Some(value)
}

/// Reads `1*DIGIT` as a 32-bit count, holding at the largest value where it would overflow.
pub(crate) fn saturating_u32(text: &str) -> Option<u32> {
    decimal(text).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

/// The end of the first comma-separated value from `at` on; quotes and `<>` hide commas.
pub(crate) fn value_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at;
    let mut angle = false;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'"' => match quoted_end(bytes, at) {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => return bytes.len(),
            },
            b'<' => angle = true,
            b'>' => angle = false,
            b',' if !angle => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_string_ends_at_its_own_quote() {
        let text = br#""a \" b" <sip:x>"#;
        assert_eq!(quoted_end(text, 0), Some(8));
        assert_eq!(quoted_end(br#""never"#, 0), None);
        assert_eq!(quoted_end(br#""never\"#, 0), None);
    }

    #[test]
    fn commas_hide_in_quotes_and_angle_brackets() {
        let text = br#""a,b" <sip:x,y>;q=1, next"#;
        assert_eq!(value_end(text, 0), 19);
        assert_eq!(value_end(br#""open, a"#, 0), 8);
    }

    #[test]
    fn a_colon_is_found_wherever_it_stands() {
        for length in 0..30 {
            let name = "x".repeat(length);
            let line = format!("{name}: y:");
            assert_eq!(colon(line.as_bytes(), 0, line.len()), Some(length));
            assert_eq!(colon(line.as_bytes(), 0, length), None);
        }
        assert_eq!(word(b"abc", 1), u64::from(b'b') | u64::from(b'c') << 8);
    }

    #[test]
    fn numbers_hold_instead_of_overflowing() {
        assert_eq!(decimal("0068"), Some(68));
        assert_eq!(decimal("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(decimal("-1"), None);
        assert_eq!(decimal(""), None);
        assert_eq!(saturating_u32("280297596632815"), Some(u32::MAX));
    }
}
