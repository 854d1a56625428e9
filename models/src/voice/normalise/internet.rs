//! E-mail addresses, web addresses, and text that is to be spelled.

use super::lexicon::{SAID_AS_WORD_TLDS, TOP_LEVEL_DOMAINS};
use super::numbers::digits;
use super::{Place, Spoken};

/// Characters that end an address when they stand at its end.
const TRAILING: &[char] = &[
    '.', ',', ';', ':', '!', '?', ')', ']', '>', '"', '\'', '*', '`', '_',
];

/// Reads `<spell>…</spell>`: the text within is spelled.
pub(super) fn marked_spelling(_: &Place<'_>, text: &str) -> Option<Spoken> {
    let body = text.strip_prefix("<spell>")?;
    let (body, rest) = body.split_once("</spell>")?;
    Spoken::words(spelled(body.trim()), text.len() - rest.len())
}

/// Reads `jane.doe@example.com` as "jane dot doe at example dot com".
pub(super) fn email(_: &Place<'_>, text: &str) -> Option<Spoken> {
    let run = run(text)
        .strip_prefix("mailto:")
        .unwrap_or_else(|| run(text));
    let used = run.len() + if text.starts_with("mailto:") { 7 } else { 0 };
    let (local, domain) = run.split_once('@')?;
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '%');
    if local.is_empty() || !local.chars().all(allowed) || !is_domain(domain, false) {
        return None;
    }
    Spoken::words(
        format!("{} at {}", local_part(local), said_domain(domain)),
        used,
    )
}

/// Reads `https://www.example.com/help` as "example dot com slash help".
pub(super) fn url(_: &Place<'_>, text: &str) -> Option<Spoken> {
    let run = run(text);
    let bare = ["https://", "http://"]
        .iter()
        .find_map(|scheme| super::scan::strip_ignoring_case(run, scheme));
    let has_scheme = bare.is_some();
    let bare = bare.unwrap_or(run);
    let host = bare.split(['/', '?', '#']).next().unwrap_or_default();
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let path = bare.get(host.len()..).unwrap_or_default();
    let www = super::scan::strip_ignoring_case(name, "www.");
    let host_with_scheme = has_scheme && !name.is_empty();
    if !host_with_scheme && !is_domain(name, !has_scheme && www.is_none()) {
        return None;
    }
    let mut said = said_domain(www.unwrap_or(name));
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        said = format!("{said} port {}", digits(port));
    }
    // Nobody says a query aloud.
    let path = path.split(['?', '#']).next().unwrap_or_default();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        said = format!("{said} slash {}", local_part(part));
    }
    Spoken::words(said, run.len())
}

/// Spells a text letter by letter, with a breath after each: for reading back an address.
///
/// ```
/// use offhook_models::voice::normalise::spelled;
/// assert_eq!(spelled("jd@x.com"), "J, D, at, X, dot com");
/// ```
#[must_use]
pub fn spelled(text: &str) -> String {
    let (head, tail) = match text.split_once('@') {
        // A provider that everybody knows is said, not spelled.
        Some((local, domain)) if KNOWN_PROVIDERS.contains(&domain) => {
            (local, format!("at, {}", said_domain(domain)))
        }
        Some((local, domain)) => match domain.rsplit_once('.') {
            Some((name, tld)) => {
                let tail = format!("at, {}, dot {}", letters(name), top_level(tld));
                (local, tail)
            }
            None => (local, format!("at, {}", letters(domain))),
        },
        None => (text, String::new()),
    };
    let head = letters(head);
    if tail.is_empty() {
        head
    } else {
        format!("{head}, {tail}")
    }
}

/// Providers whose names need no spelling.
const KNOWN_PROVIDERS: &[&str] = &[
    "gmail.com",
    "yahoo.com",
    "hotmail.com",
    "outlook.com",
    "icloud.com",
    "aol.com",
    "live.com",
    "proton.me",
    "example.com",
];

fn letters(text: &str) -> String {
    let said = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| match c {
            '.' => "dot".to_owned(),
            '-' => "dash".to_owned(),
            '_' => "underscore".to_owned(),
            '+' => "plus".to_owned(),
            '@' => "at".to_owned(),
            '\'' => "apostrophe".to_owned(),
            c if c.is_ascii_digit() => digits(&c.to_string()),
            c => letter(c),
        });
    said.collect::<Vec<_>>().join(", ")
}

/// A letter's name: espeak reads a lone "A" as the article.
pub(super) fn letter(c: char) -> String {
    match c {
        'a' | 'A' => "eh".to_owned(),
        c => c.to_uppercase().collect(),
    }
}

/// The beginning of the text up to a blank, without what ends a sentence.
fn run(text: &str) -> &str {
    let end =
        text.find(|c: char| c.is_whitespace() || matches!(c, '<' | '"' | ',' | ';' | '(' | ')'));
    text.get(..end.unwrap_or(text.len()))
        .unwrap_or_default()
        .trim_end_matches(TRAILING)
}

fn is_domain(name: &str, known_only: bool) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let sound =
        |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let tld = labels.last().copied().unwrap_or_default();
    let tld_letters = tld.len() >= 2 && tld.chars().all(char::is_alphabetic);
    // Without a scheme only what is surely an address: "well.Then" is a missing blank.
    let known = !known_only
        || (TOP_LEVEL_DOMAINS.contains(&tld)
            && labels
                .first()
                .is_some_and(|label| label.len() > 1 || labels.len() > 2));
    labels.len() >= 2 && labels.iter().all(sound) && tld_letters && known
}

fn said_domain(name: &str) -> String {
    let mut labels: Vec<&str> = name.split('.').collect();
    let tld = labels.pop().unwrap_or_default();
    let mut said: Vec<String> = labels.into_iter().map(local_part).collect();
    said.push(top_level(tld));
    said.join(" dot ")
}

fn top_level(tld: &str) -> String {
    let tld = tld.to_lowercase();
    if tld.len() > 2 || SAID_AS_WORD_TLDS.contains(&tld.as_str()) {
        return tld;
    }
    spelled_tight(&tld)
}

/// Says the part before the @, a label or a path: words as words, digits one by one.
fn local_part(text: &str) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let same = |c: char| match (first.is_ascii_digit(), first.is_alphabetic()) {
            (true, _) => c.is_ascii_digit(),
            (_, true) => c.is_alphabetic(),
            _ => false,
        };
        let length = rest
            .find(|c| !same(c))
            .unwrap_or(rest.len())
            .max(first.len_utf8());
        let (part, further) = rest.split_at(length);
        rest = further;
        said.push(match first {
            '.' => "dot".to_owned(),
            '-' => "dash".to_owned(),
            '_' => "underscore".to_owned(),
            '+' => "plus".to_owned(),
            '%' => "percent".to_owned(),
            '~' => "tilde".to_owned(),
            '=' => "equals".to_owned(),
            c if c.is_ascii_digit() => digits(part),
            c if c.is_alphabetic() => word_or_letters(part),
            _ => continue,
        });
    }
    said.join(" ")
}

fn word_or_letters(part: &str) -> String {
    let vowel = part.to_lowercase().contains(['a', 'e', 'i', 'o', 'u', 'y']);
    match part.chars().count() {
        1 => part.chars().map(letter).collect(),
        2 if SAID_AS_WORD_TLDS.contains(&part) => part.to_owned(),
        2 => spelled_tight(part),
        _ if vowel => part.to_lowercase(),
        _ => spelled_tight(part),
    }
}

/// Letters said in one go, as in an acronym: espeak reads "S.I.P" so.
pub(super) fn spelled_tight(letters: &str) -> String {
    let upper = letters.to_uppercase();
    let names: Vec<String> = upper.chars().map(|c| c.to_string()).collect();
    match names.as_slice() {
        [_] => upper.chars().map(letter).collect(),
        names => names.join("."),
    }
}
