//! Reads numbers and words at the beginning of a text.

/// A number as it was written.
pub(super) struct Written {
    /// The digits before the point, without separators.
    pub(super) whole: String,
    /// The digits after the point.
    pub(super) fraction: Option<String>,
    /// Whether thousands were set apart by commas.
    pub(super) grouped: bool,
    /// Its length in bytes.
    pub(super) used: usize,
}

impl Written {
    /// The value of the whole part, if it is small enough to be said.
    pub(super) fn value(&self) -> Option<u64> {
        self.whole.parse().ok()
    }

    /// Says the number with its fraction: "three point one four".
    pub(super) fn words(&self) -> String {
        let whole = match self.value() {
            Some(value) => super::cardinal(value),
            None => super::numbers::grouped_digits(&self.whole),
        };
        match &self.fraction {
            Some(fraction) => format!("{whole} point {}", super::digits(fraction)),
            None => whole,
        }
    }

    /// Whether exactly one of something is meant.
    pub(super) fn is_one(&self) -> bool {
        self.whole == "1" && self.fraction.is_none()
    }
}

/// Counts the bytes of the ASCII digits at the beginning.
pub(super) fn digits_len(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Splits the ASCII digits off the beginning.
pub(super) fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(digits_len(text))
}

/// Counts the bytes of the letters at the beginning.
pub(super) fn letters_len(text: &str) -> usize {
    text.chars()
        .take_while(|c| c.is_alphabetic())
        .map(char::len_utf8)
        .sum()
}

/// Reads a number such as `1,249.99`, `.5` or `20`.
pub(super) fn number(text: &str) -> Option<Written> {
    let (first, mut rest) = split_digits(text);
    let mut whole = first.to_owned();
    let mut used = first.len();
    if first.is_empty() && !text.starts_with('.') {
        return None;
    }
    // Groups of exactly three digits only: "1,2" is a list.
    while (1..=3).contains(&first.len())
        && let Some(after) = rest.strip_prefix(',')
        && digits_len(after) == 3
    {
        let (group, further) = after.split_at(3);
        whole.push_str(group);
        used += 4;
        rest = further;
    }
    let grouped = whole.len() > first.len();
    let fraction = rest.strip_prefix('.').map(|after| split_digits(after).0);
    let fraction = fraction
        .filter(|digits| !digits.is_empty())
        .map(str::to_owned);
    if let Some(digits) = &fraction {
        used += 1 + digits.len();
    }
    if whole.is_empty() {
        fraction.as_ref()?;
        whole.push('0');
    }
    Some(Written {
        whole,
        fraction,
        grouped,
        used,
    })
}

/// Reads a whole number of at most `most` digits that no further digit follows.
pub(super) fn small(text: &str, most: usize) -> Option<(u64, &str)> {
    let (found, rest) = split_digits(text);
    if found.is_empty() || found.len() > most {
        return None;
    }
    Some((found.parse().ok()?, rest))
}

/// Tells whether a word or number could end before `rest`.
pub(super) fn ends_word(rest: &str) -> bool {
    !rest.chars().next().is_some_and(char::is_alphanumeric)
}

/// Strips `prefix` in any case of ASCII letters.
pub(super) fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| text.get(prefix.len()..))
        .flatten()
}

/// Removes at most `most` blanks from the beginning.
pub(super) fn skip_blanks(text: &str, most: usize) -> &str {
    let blanks = text
        .bytes()
        .take(most)
        .take_while(|byte| *byte == b' ')
        .count();
    text.get(blanks..).unwrap_or_default()
}

/// How many bytes of `text` lie before its end part `rest`.
pub(super) fn used(text: &str, rest: &str) -> usize {
    text.len().saturating_sub(rest.len())
}
