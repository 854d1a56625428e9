//! Text as people write it, turned into text as people say it.
//!
//! espeak-ng reads "$1,249.99" as "dollar one thousand…" and an e-mail address as noise, so what a
//! flow or a language model wrote is put into plain words first. [`normalise`] walks over the text
//! and lets each rule in turn try the place where it stands; what no rule wants is copied. The
//! rules are those of American English; other languages get [`plain`], which only removes mark-up.
//!
//! Everything here is a pure function of its text.

mod calendar;
mod internet;
mod lexicon;
mod numbers;
mod quantities;
mod scan;
mod symbols;
mod telephone;
mod words;

pub use internet::spelled;
pub use numbers::{cardinal, digits, ordinal};
pub(super) use words::is_abbreviation;

/// What a rule made of the beginning of the text it saw.
pub(super) struct Spoken {
    /// The words to say.
    text: String,
    /// How many bytes of the text they stand for.
    used: usize,
    /// Whether a number ends here, so that a dash before the next one means "to".
    number: bool,
}

impl Spoken {
    fn words(text: impl Into<String>, used: usize) -> Option<Self> {
        Some(Self {
            text: text.into(),
            used,
            number: false,
        })
    }

    fn number(text: impl Into<String>, used: usize) -> Option<Self> {
        Some(Self {
            text: text.into(),
            used,
            number: true,
        })
    }
}

/// Where a rule stands: what came before, and how the whole text is written.
pub(super) struct Place<'a> {
    /// The text before, as it was written.
    before: &'a str,
    /// What has been said so far.
    said: &'a str,
    /// Whether most of the text is in capitals, which then say nothing about a word.
    shouted: bool,
    /// Whether the last thing said was a number.
    after_number: bool,
}

impl Place<'_> {
    fn previous(&self) -> Option<char> {
        self.before.chars().next_back()
    }

    /// The last word said, in lower case.
    fn last_word(&self) -> String {
        let word = self.said.trim_end().rsplit(' ').next().unwrap_or_default();
        word.trim_matches(|c: char| !c.is_alphanumeric())
            .to_lowercase()
    }
}

type Rule = fn(&Place<'_>, &str) -> Option<Spoken>;

/// The rules in the order in which they are tried: the more a rule asks of its text, the earlier.
const RULES: &[Rule] = &[
    internet::marked_spelling,
    internet::email,
    internet::url,
    calendar::date,
    calendar::time,
    telephone::number,
    quantities::money,
    quantities::number,
    words::dotted,
    words::abbreviation,
    words::word,
];

/// Puts English text into words that espeak-ng reads as a person would.
///
/// ```
/// use offhook_models::voice::normalise::normalise;
/// assert_eq!(
///     normalise("It's $1,249.99 by 3/4/2026."),
///     "It's one thousand two hundred forty-nine dollars and ninety-nine cents \
///      by March fourth, twenty twenty-six."
/// );
/// ```
#[must_use]
pub fn normalise(text: &str) -> String {
    let text = &symbols::without_typography(text);
    let shouted = words::is_shouted(text);
    let mut said = String::with_capacity(text.len() * 2);
    let mut at = 0;
    let mut after_number = false;
    while let (Some(before), Some(rest)) = (text.get(..at), text.get(at..)) {
        let Some(next) = rest.chars().next() else {
            break;
        };
        let place = Place {
            before,
            said: &said,
            shouted,
            after_number,
        };
        let starts_word = !place.previous().is_some_and(char::is_alphanumeric);
        let spoken = starts_word
            .then(|| RULES.iter().find_map(|rule| rule(&place, rest)))
            .flatten()
            .filter(|spoken| spoken.used > 0);
        let spoken = spoken.unwrap_or_else(|| symbols::symbol(&place, rest, next));
        // A blank between two numbers does not undo that the first was one: "5 - 10".
        after_number = spoken.number || (after_number && spoken.text == " ");
        said.push_str(&spoken.text);
        at += spoken.used;
    }
    symbols::tidied(&said)
}

/// Removes mark-up and typography from text in any language, and leaves its words alone.
#[must_use]
pub fn plain(text: &str) -> String {
    let kept = symbols::without_typography(text)
        .chars()
        .map(|c| match c {
            '*' | '_' | '#' | '`' | '|' | '<' | '>' | '~' | '^' | '\\' => ' ',
            other => other,
        })
        .collect::<String>();
    symbols::tidied(&kept)
}
