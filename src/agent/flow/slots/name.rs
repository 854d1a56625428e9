//! Names of people.

use super::words::tokens;
use super::{Filled, Reading};
use crate::agent::Completeness;

const CUES: [&str; 21] = [
    "my name is",
    "my name's",
    "the name is",
    "the name's",
    "name is",
    "this is",
    "i am",
    "i'm",
    "it is",
    "it's",
    "you can call me",
    "call me",
    "speaking with",
    "talking to",
    "speaking to",
    "that is",
    "that's",
    "me llamo",
    "mi nombre es",
    "ich heiße",
    "je m'appelle",
];
/// What may stand before a name and is none of it.
const LEADING: [&str; 26] = [
    "hi",
    "hello",
    "hey",
    "yes",
    "yeah",
    "sure",
    "okay",
    "ok",
    "um",
    "uh",
    "well",
    "so",
    "oh",
    "good",
    "morning",
    "afternoon",
    "evening",
    "mr",
    "mrs",
    "ms",
    "miss",
    "dr",
    "thanks",
    "no",
    "sorry",
    "actually",
];
/// What ends a name.
const ENDS: [&str; 28] = [
    "speaking", "here", "calling", "from", "with", "please", "and", "but", "i", "i'm", "my", "at",
    "for", "thanks", "thank", "about", "is", "that's", "spelled", "spelt", "with", "how", "nice",
    "by", "the", "it's", "of", "on",
];
/// Words that show that what was said is no name.
const NOT_NAMES: [&str; 85] = [
    "a",
    "an",
    "are",
    "ask",
    "asking",
    "because",
    "can",
    "could",
    "did",
    "do",
    "does",
    "don't",
    "fine",
    "get",
    "give",
    "going",
    "good",
    "great",
    "have",
    "having",
    "help",
    "house",
    "interested",
    "it",
    "just",
    "know",
    "like",
    "looking",
    "me",
    "need",
    "nobody",
    "none",
    "not",
    "or",
    "really",
    "say",
    "some",
    "something",
    "tell",
    "to",
    "trying",
    "us",
    "wait",
    "want",
    "was",
    "we",
    "what",
    "what's",
    "when",
    "where",
    "which",
    "who",
    "who's",
    "why",
    "will",
    "would",
    "you",
    "your",
    "yes",
    "no",
    "okay",
    "sure",
    "wondering",
    "nope",
    "nah",
    "yep",
    "yup",
    "yeah",
    "huh",
    "maybe",
    "later",
    "skip",
    "correct",
    "absolutely",
    "nothing",
    "fuck",
    "fucking",
    "shit",
    "damn",
    "bitch",
    "asshole",
    "idiot",
    "hell",
    "email",
    "tomorrow",
];
const MAX_WORDS: usize = 4;

/// Reads a name: after a cue ("this is …"), spelled, or bare.
pub(super) fn read(said: &str) -> Reading {
    let words = tokens(said);
    let after_cue = CUES
        .iter()
        .filter_map(|cue| {
            let parts: Vec<&str> = cue.split(' ').collect();
            let at = super::words::find(&words, &parts)?;
            Some(at + parts.len())
        })
        .filter(|at| *at < words.len())
        .min();
    let from_cue = after_cue.and_then(|at| name_in(words.get(at..)?));
    let found = from_cue.or_else(|| match after_cue {
        Some(_) => None,
        None => name_in(&words),
    });
    match found {
        Some(parts) => Reading::Filled(filled(&parts)),
        None => Reading::Nothing,
    }
}

pub(super) fn completeness(said: &str) -> Completeness {
    let words = tokens(said);
    let phrase = words.join(" ");
    if CUES.iter().any(|cue| phrase.ends_with(cue)) {
        return Completeness::Incomplete;
    }
    let letters = words
        .iter()
        .rev()
        .take_while(|w| w.chars().count() == 1)
        .count();
    if letters > 0 {
        Completeness::Partial
    } else {
        Completeness::Open
    }
}

fn name_in(words: &[String]) -> Option<Vec<String>> {
    let words = &letters(words);
    let start = words.iter().position(|w| !LEADING.contains(&w.as_str()))?;
    let words = words.get(start..)?;
    let single = |at: usize| words.get(at).is_some_and(|w| w.chars().count() == 1);
    let end = (0..words.len())
        .find(|&at| {
            // In "J-I-M" it is a letter.
            let spelled = single(at) && (single(at + 1) || at > 0 && single(at - 1));
            !spelled && words.get(at).is_some_and(|w| ENDS.contains(&w.as_str()))
        })
        .unwrap_or(words.len());
    let head = words.get(..end)?;
    let spelled = spelling(words.get(end..).unwrap_or_default()).or_else(|| spelling(head));
    let plain: Vec<String> = head
        .iter()
        .filter(|w| w.chars().count() > 1)
        .cloned()
        .collect();
    let bad = |w: &String| NOT_NAMES.contains(&w.as_str()) || w.chars().any(|c| c.is_ascii_digit());
    if plain.iter().any(bad) || plain.len() > MAX_WORDS {
        return None;
    }
    match spelled {
        Some(spelled) => Some(with_spelling(plain, spelled)),
        None if plain.is_empty() => None,
        None => Some(plain),
    }
}

/// Writes what is said of letters as letters: "double u", "double l", "b as in boy".
fn letters(words: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    let mut rest = words;
    loop {
        let single = |w: &String| w.chars().count() == 1;
        rest = match rest {
            [] => return out,
            [double, u, after @ ..] if double == "double" && (u == "u" || u == "you") => {
                out.push("w".to_owned());
                after
            }
            [double, letter, after @ ..] if double == "double" && single(letter) => {
                out.extend([letter.clone(), letter.clone()]);
                after
            }
            [letter, link, word, _, after @ ..]
                if single(letter) && matches!(link.as_str(), "as" | "like") && word == "in" =>
            {
                out.push(letter.clone());
                after
            }
            [letter, link, _, after @ ..] if single(letter) && link == "for" => {
                out.push(letter.clone());
                after
            }
            [word, after @ ..] => {
                out.push(word.clone());
                after
            }
        };
    }
}

/// Returns letters read out one by one ("J A N E").
fn spelling(words: &[String]) -> Option<String> {
    let letters: String = words
        .iter()
        .skip_while(|w| w.chars().count() != 1)
        .take_while(|w| w.chars().count() == 1)
        .map(String::as_str)
        .collect();
    (letters.len() >= 2 && letters.chars().all(char::is_alphabetic)).then_some(letters)
}

/// Puts a spelled word in place of the spoken word that sounds most like it.
fn with_spelling(mut plain: Vec<String>, spelled: String) -> Vec<String> {
    let alike = |w: &String| strsim::jaro_winkler(w, &spelled);
    let best = plain
        .iter()
        .enumerate()
        .map(|(at, w)| (at, alike(w)))
        .filter(|(_, score)| *score >= 0.6)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(at, _)| at);
    match best.and_then(|at| plain.get_mut(at)) {
        Some(slot) => *slot = spelled,
        None => plain.push(spelled),
    }
    plain
}

fn filled(parts: &[String]) -> Filled {
    let name = parts.iter().map(|p| title(p)).collect::<Vec<_>>().join(" ");
    let first = name.split(' ').next().unwrap_or_default().to_owned();
    let mut filled = Filled::new(name.clone(), name);
    filled.extras.push(("first", first.into()));
    filled
}

/// Capitalises a word of a name: "o'neil" → "O'Neil", "mcdonald" → "McDonald".
fn title(word: &str) -> String {
    let mut out = String::new();
    let mut start = true;
    for c in word.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = c == '\'' && out.chars().count() == 2;
    }
    if let Some(rest) = out.strip_prefix("Mc").filter(|r| r.chars().count() >= 4) {
        return format!("Mc{}", title(rest));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(said: &str) -> Option<String> {
        read(said).filled()?.value.as_str().map(str::to_owned)
    }

    #[test]
    fn names_are_found_in_what_people_say() {
        for (said, want) in [
            ("Jane Doe.", "Jane Doe"),
            ("Hi, my name is Jane Doe.", "Jane Doe"),
            ("This is Jane.", "Jane"),
            ("Yeah, it's Jane Doe speaking.", "Jane Doe"),
            ("I'm Bob Smith and I'm calling about a house", "Bob Smith"),
            ("Jane, J-A-Y-N-E", "Jayne"),
            ("You can call me Bob", "Bob"),
            ("shaun o'neil from acme", "Shaun O'Neil"),
            ("Uh, Maria Garcia Lopez", "Maria Garcia Lopez"),
            ("my name is J-A-N-E", "Jane"),
            ("ronald mcdonald", "Ronald McDonald"),
            ("Will, that's double u i l l", "Will"),
            ("it's B as in boy, O, B", "Bob"),
            ("J-I-M", "Jim"),
            ("My name is Jim, J I M", "Jim"),
            ("A double L E N", "Allen"),
            ("Me llamo Juan Pérez", "Juan Pérez"),
        ] {
            assert_eq!(name(said).as_deref(), Some(want), "{said}");
        }
    }

    #[test]
    fn other_answers_are_no_names() {
        for said in [
            "Hi, I'm looking for a plumber.",
            "What?",
            "Why do you need that?",
            "Hello?",
            "I need help with my roof",
            "Yes.",
            "I'd rather not say",
            "How are you",
            "Nope.",
            "Maybe later",
            "Fuck this shit",
            "",
        ] {
            assert_eq!(name(said), None, "{said}");
        }
    }

    #[test]
    fn a_cue_without_a_name_is_incomplete() {
        assert_eq!(completeness("My name is"), Completeness::Incomplete);
        assert_eq!(completeness("Jane Doe"), Completeness::Open);
    }
}
