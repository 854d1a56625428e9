//! Words: abbreviations, acronyms, codes of letters and digits.

use super::internet::{letter, spelled_tight};
use super::lexicon::{ABBREVIATIONS, RESPELLED, SAID_ACRONYMS, SHOUTED_WORDS, TECHNICAL_ACRONYMS};
use super::numbers::{cardinal, digits};
use super::scan::{digits_len, ends_word, letters_len};
use super::{Place, Spoken};

/// The longest run of capitals that is taken for an acronym.
const LONGEST_ACRONYM: usize = 6;

/// Tells whether capitals mean nothing in this text because most of it is in capitals.
pub(super) fn is_shouted(text: &str) -> bool {
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| word.chars().count() >= 2)
        .collect();
    let upper = words
        .iter()
        .filter(|word| word.chars().all(char::is_uppercase))
        .count();
    words.len() >= 3 && upper * 3 >= words.len() * 2
}

/// Reads `e.g.`, `a.m.`, `U.S.`, `Ph.D.`: letters with points between them.
pub(super) fn dotted(_: &Place<'_>, text: &str) -> Option<Spoken> {
    let mut letters = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next().filter(|c| c.is_alphabetic())
        && let Some(after) = rest.get(c.len_utf8()..)?.strip_prefix('.')
    {
        letters.push(c);
        rest = after;
    }
    if letters.chars().count() < 2 {
        return None;
    }
    let said = match letters.to_lowercase().as_str() {
        "eg" => "for example".to_owned(),
        "ie" => "that is".to_owned(),
        _ if !ends_word(rest) => return None,
        _ => spelled_tight(&letters),
    };
    // The last point ends the sentence too when nothing else follows.
    let ends = rest.trim().is_empty() && !rest.starts_with(['.', '!', '?']);
    Spoken::words(
        if ends { format!("{said}.") } else { said },
        text.len() - rest.len(),
    )
}

/// Reads `Mr.`, `Dr.`, `St.`, `vs.`, `w/o` and their like.
pub(super) fn abbreviation(place: &Place<'_>, text: &str) -> Option<Spoken> {
    if let Some(spoken) = with_slash(text) {
        return Some(spoken);
    }
    let length = letters_len(text);
    let (word, rest) = text.split_at(length);
    let rest = rest.strip_prefix('.')?;
    let next = rest.trim_start().chars().next();
    let name_follows = rest.starts_with(' ') && next.is_some_and(char::is_uppercase);
    let name_before = place
        .before
        .trim_end()
        .rsplit(' ')
        .next()
        .is_some_and(|word| word.starts_with(char::is_uppercase) && !word.ends_with('.'));
    let said = match word {
        "Dr" if name_before && !name_follows => "Drive",
        "Dr" => "Doctor",
        "St" if name_before => "Street",
        "St" if name_follows => "Saint",
        "No" | "no" if next.is_some_and(|c| c.is_ascii_digit()) => "number",
        "No" | "no" => return None,
        _ => ABBREVIATIONS
            .iter()
            .find(|(short, _)| *short == word)
            .map(|(_, long)| *long)?,
    };
    let ends = rest.trim().is_empty();
    Spoken::words(
        if ends {
            format!("{said}.")
        } else {
            said.to_owned()
        },
        length + 1,
    )
}

/// Tells whether a full stop behind `word` marks an abbreviation.
pub(in crate::voice) fn is_abbreviation(word: &str) -> bool {
    matches!(word, "Dr" | "St") || ABBREVIATIONS.iter().any(|(short, _)| *short == word)
}

fn with_slash(text: &str) -> Option<Spoken> {
    let forms = [
        ("w/o", "without"),
        ("w/", "with"),
        ("c/o", "care of"),
        ("N/A", "not available"),
    ];
    forms.iter().find_map(|(short, long)| {
        let rest = text.strip_prefix(short)?;
        let blank = if rest.starts_with(' ') || rest.is_empty() {
            ""
        } else {
            " "
        };
        Spoken::words(format!("{long}{blank}"), short.len())
    })
}

/// Reads a word with the digits that belong to it.
pub(super) fn word(place: &Place<'_>, text: &str) -> Option<Spoken> {
    let length = text
        .find(|c: char| !(c.is_alphanumeric() || c == '\'' || matches!(c, '\u{300}'..='\u{36f}')))
        .unwrap_or(text.len());
    let (run, _) = text.split_at(length);
    let run = run.trim_end_matches('\'');
    if run.is_empty() || !run.contains(char::is_alphanumeric) {
        return None;
    }
    if run.contains(|c: char| c.is_ascii_digit()) {
        return code(run);
    }
    let (stem, ending) = split_ending(run);
    if let Some((_, said)) = RESPELLED.iter().find(|(written, _)| *written == stem) {
        return Spoken::words(format!("{said}{ending}"), run.len());
    }
    if let Some(number) = roman(place, run) {
        return Spoken::words(cardinal(number), run.len());
    }
    Spoken::words(acronym_or_word(place, stem, ending), run.len())
}

/// Splits a plural or possessive ending off an acronym: `APIs`, `CRM's`.
fn split_ending(word: &str) -> (&str, &str) {
    for ending in ["'s", "s"] {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().count() >= 2
            && stem.chars().all(char::is_uppercase)
        {
            return (stem, ending);
        }
    }
    (word, "")
}

fn acronym_or_word(place: &Place<'_>, stem: &str, ending: &str) -> String {
    let count = stem.chars().count();
    let capitals = stem.chars().all(char::is_uppercase);
    if !capitals || count < 2 {
        return format!("{stem}{ending}");
    }
    if SHOUTED_WORDS.contains(&stem) || SAID_ACRONYMS.contains(&stem) {
        return format!("{}{ending}", stem.to_lowercase());
    }
    let consonants = !stem.contains(['A', 'E', 'I', 'O', 'U', 'Y']);
    let sure = TECHNICAL_ACRONYMS.contains(&stem) || consonants;
    if (place.shouted && !sure) || count > LONGEST_ACRONYM {
        return format!("{}{ending}", stem.to_lowercase());
    }
    // "APIs" must not become "A.P.Is".
    match ending {
        "" => spelled_tight(stem),
        ending => format!(
            "{}'{}",
            spelled_tight(stem),
            ending.trim_start_matches('\'')
        ),
    }
}

/// "World War II", "Henry VIII": only after a capitalised word, and never "I", "V" or "X".
fn roman(place: &Place<'_>, word: &str) -> Option<u64> {
    let value = match word {
        "II" => 2,
        "III" => 3,
        "IV" => 4,
        "VI" => 6,
        "VII" => 7,
        "VIII" => 8,
        "IX" => 9,
        _ => return None,
    };
    let before = place
        .before
        .trim_end()
        .rsplit(' ')
        .next()
        .unwrap_or_default();
    before.starts_with(char::is_uppercase).then_some(value)
}

/// Letters and digits mixed, such as `B2B`, `A4`, `MP3`, `5G` and `ORD1234`.
fn code(run: &str) -> Option<Spoken> {
    let mut said = Vec::new();
    let mut rest = run;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_digit() {
            digits_len(rest)
        } else {
            rest.find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len())
        };
        let (part, further) = rest.split_at(length);
        rest = further;
        said.push(match part.chars().count() {
            _ if first.is_ascii_digit() => short_number(part),
            1 => part.chars().map(letter).collect(),
            2..=4 if part.chars().all(char::is_uppercase) => spelled_tight(part),
            _ => part.to_owned(),
        });
    }
    Spoken::words(said.join(" "), run.len())
}

fn short_number(part: &str) -> String {
    match part.parse() {
        Ok(value) if part.len() <= 2 && !part.starts_with('0') => cardinal(value),
        _ => digits(part),
    }
}
