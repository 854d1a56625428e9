//! What a caller may say at any question, whatever was asked.

use super::intent_phrases::{AROUND_SWEARING, FILLERS, INSIDE, SWEARING, WHOLE};
use super::person::{asks_for_person, asks_who, mentions_person, names_person};
use super::slots::tokens;

/// Names something that a caller says instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// "What?", "repeat that".
    Repeat,
    /// "Hold on."
    Hold,
    /// "Goodbye."
    Goodbye,
    /// "Operator", "can I speak to a person".
    Human,
    /// "Who is this?", "is this a robot?"
    Identity,
    /// "Hello?"
    Greeting,
    /// "I'd rather not say."
    Refuse,
    /// "Do you speak Spanish?"
    Language,
    /// Swearing and nothing else.
    Anger,
}

const MAX_WORDS_INSIDE: usize = 12;

/// Finds what a caller means apart from the question; `free` where any sentence is an answer.
pub(super) fn intent(said: &str, free: bool) -> Option<Intent> {
    let words = tokens(said);
    let whole = words.join(" ");
    let core: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|w| !FILLERS.contains(w))
        .collect();
    let bare = core.join(" ");
    let exact = WHOLE.iter().find(|(_, phrases)| {
        phrases.contains(&whole.as_str()) || (!bare.is_empty() && phrases.contains(&bare.as_str()))
    });
    if let Some((intent, _)) = exact {
        return Some(*intent);
    }
    if sentences(said).any(|s| asks_who(&s)) {
        return Some(Intent::Identity);
    }
    // Whatever was asked, a wish for a person is no answer to it.
    let mentioned = !free && words.len() <= MAX_WORDS_INSIDE && mentions_person(&words);
    if mentioned || names_person(&words) || sentences(said).any(|s| asks_for_person(&s)) {
        return Some(Intent::Human);
    }
    if let Some(last) = words.last()
        && words.len() <= 8
        && (last == "bye" || last == "goodbye")
        && !free
    {
        return Some(Intent::Goodbye);
    }
    if angry(&words) {
        return Some(Intent::Anger);
    }
    let limit = if free { 6 } else { MAX_WORDS_INSIDE };
    if words.len() > limit {
        return None;
    }
    let padded = format!(" {whole} ");
    INSIDE
        .iter()
        .find(|(_, phrases)| phrases.iter().any(|p| padded.contains(&format!(" {p} "))))
        .map(|(intent, _)| *intent)
}

/// Splits what was said into the words of its sentences and clauses.
fn sentences(said: &str) -> impl Iterator<Item = Vec<String>> {
    said.split(['.', '!', '?', ';', ',']).map(tokens)
}

/// Says whether there is swearing, and nothing in it that could be an answer.
fn angry(words: &[String]) -> bool {
    let swears = |w: &String| SWEARING.contains(&w.trim_end_matches("'s"));
    words.iter().any(swears)
        && words
            .iter()
            .all(|w| swears(w) || AROUND_SWEARING.contains(&w.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intents_are_heard_at_any_question() {
        for (said, want) in [
            ("What?", Intent::Repeat),
            ("Sorry, could you repeat that please?", Intent::Repeat),
            ("Hold on a second.", Intent::Hold),
            ("Uh, one moment please.", Intent::Hold),
            ("Okay, goodbye.", Intent::Goodbye),
            ("Stop!", Intent::Goodbye),
            ("Sorry, wrong number.", Intent::Goodbye),
            ("I want to speak to a human.", Intent::Human),
            ("Operator.", Intent::Human),
            ("Who is this?", Intent::Identity),
            ("Hello?", Intent::Greeting),
            ("I'd rather not give that", Intent::Refuse),
            ("I don't have an email", Intent::Refuse),
            ("I don't have an e-mail.", Intent::Refuse),
            ("Do you speak Spanish?", Intent::Language),
            ("¿Habla español?", Intent::Language),
            ("No hablo inglés.", Intent::Language),
            ("What the hell is this?", Intent::Anger),
            ("Oh for fuck's sake, this is bullshit.", Intent::Anger),
            ("Fuck off.", Intent::Goodbye),
        ] {
            assert_eq!(intent(said, false), Some(want), "{said}");
        }
    }

    #[test]
    fn answers_are_not_intents() {
        for said in [
            "Jane Doe",
            "one",
            "Yes",
            "tomorrow at three",
            "jane at gmail dot com",
        ] {
            assert_eq!(intent(said, false), None, "{said}");
        }
        for need in [
            "I want to stop the leak in my roof before I talk to a person from insurance",
            "My damn roof leaks",
            "I'd like to talk to someone about selling my house",
            "I need a robot for my warehouse",
            "A sales representative for the north",
        ] {
            assert_eq!(intent(need, true), None, "{need}");
        }
    }
}
