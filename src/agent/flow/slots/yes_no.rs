//! Yes and no.

use super::words::{has, tokens};
use super::{Filled, Reading};
use crate::agent::Completeness;

const YES: [&str; 29] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "ya",
    "yea",
    "sure",
    "ok",
    "okay",
    "absolutely",
    "definitely",
    "certainly",
    "correct",
    "right",
    "please",
    "exactly",
    "affirmative",
    "indeed",
    "perfect",
    "uhhuh",
    "mhm",
    "mmhm",
    "true",
    "yessir",
    "totally",
    "great",
    "alright",
    "gladly",
    "fine",
];
const NO: [&str; 9] = [
    "no",
    "nope",
    "nah",
    "not",
    "never",
    "negative",
    "wrong",
    "incorrect",
    "naw",
];

const YES_PHRASES: [&str; 22] = [
    "of course",
    "that's right",
    "that is right",
    "that's correct",
    "that's it",
    "sounds good",
    "sounds great",
    "i'd love to",
    "i would love",
    "i'd like that",
    "i would like",
    "why not",
    "no problem",
    "not a problem",
    "no worries",
    "go ahead",
    "i guess so",
    "that works",
    "works for me",
    "let's do it",
    "uh huh",
    "you got it",
];
const NO_PHRASES: [&str; 19] = [
    "no thanks",
    "no thank you",
    "not really",
    "not now",
    "not right now",
    "not today",
    "not interested",
    "i don't think so",
    "i do not",
    "i don't want",
    "i'm good",
    "i'm okay",
    "maybe later",
    "maybe another time",
    "not right",
    "not correct",
    "that's wrong",
    "isn't right",
    "rather not",
];
/// Whole answers, fillers aside.
const WHOLE_YES: [&str; 20] = [
    "i do",
    "we do",
    "i would",
    "we would",
    "it is",
    "i am",
    "we are",
    "i can",
    "i will",
    "i think so",
    "i believe so",
    "please do",
    "by all means",
    "you bet",
    "go for it",
    "don't mind",
    "i don't mind",
    "si",
    "sí",
    "oui",
];
const WHOLE_NO: [&str; 14] = [
    "i don't",
    "we don't",
    "it isn't",
    "it's not",
    "i wouldn't",
    "i can't",
    "not yet",
    "no need",
    "forget it",
    "i'll pass",
    "nein",
    "non",
    "don't bother",
    "no gracias",
];
/// What turns the rest of the sentence round: "I don't think that's right".
const NEGATING: [&str; 4] = ["don't think", "do not think", "doesn't sound", "can't say"];
const UNSURE: [&str; 6] = [
    "not sure",
    "don't know",
    "i'm unsure",
    "what do you mean",
    "no idea",
    "which one",
];
const FILLERS: [&str; 21] = [
    "um", "uh", "well", "oh", "so", "i", "it", "is", "that", "that's", "it's", "thanks", "thank",
    "you", "do", "would", "the", "a", "all", "good", "hm",
];

/// Reads yes or no; `None` when it is neither or unclear.
pub(crate) fn yes_no(said: &str) -> Option<bool> {
    let words = tokens(
        &said
            .replace("uh-huh", "uhhuh")
            .replace("mm-hm", "mmhm")
            .replace("Uh-huh", "uhhuh")
            .replace("Mm-hm", "mmhm"),
    );
    if UNSURE.iter().any(|p| has(&words, p)) {
        return None;
    }
    let whole = words.join(" ");
    if WHOLE_YES.contains(&whole.as_str()) {
        return Some(true);
    }
    let negated = NEGATING.iter().any(|p| has(&words, p));
    if negated || WHOLE_NO.contains(&whole.as_str()) {
        return Some(false);
    }
    let leading: Vec<String> = words.iter().skip_while(|w| is_filler(w)).cloned().collect();
    let first = leading.first().or(words.first())?.as_str();
    // "Yeah, no" is no.
    if YES.contains(&first)
        && leading
            .get(1)
            .is_some_and(|w| matches!(w.as_str(), "no" | "nope"))
    {
        return Some(false);
    }
    if YES_PHRASES.iter().any(|p| has(&words, p)) && !has(&words, "not right") {
        return Some(true);
    }
    if NO_PHRASES.iter().any(|p| has(&words, p)) {
        return Some(false);
    }
    match first {
        w if YES.contains(&w) => Some(true),
        w if NO.contains(&w) => Some(false),
        _ => {
            let late_yes = words
                .iter()
                .any(|w| matches!(w.as_str(), "yes" | "yeah" | "sure"));
            let late_no = words
                .iter()
                .any(|w| matches!(w.as_str(), "no" | "not" | "nope"));
            (late_yes != late_no && words.len() <= 6).then_some(late_yes)
        }
    }
}

pub(super) fn read(said: &str) -> Reading {
    yes_no(said).map_or(Reading::Nothing, |yes| Reading::Filled(filled(yes)))
}

pub(super) fn filled(yes: bool) -> Filled {
    Filled::new(yes, if yes { "yes" } else { "no" })
}

/// A bare "yes" or "no" ends the turn at once; anything longer may go on ("no, it's …").
pub(super) fn completeness(said: &str) -> Completeness {
    let words = tokens(said);
    if yes_no(said).is_none() {
        return Completeness::Open;
    }
    let known = |w: &String| YES.contains(&w.as_str()) || is_filler(w) || NO.contains(&w.as_str());
    let phrase = words.join(" ");
    let whole = YES_PHRASES.contains(&phrase.as_str()) || NO_PHRASES.contains(&phrase.as_str());
    if whole || (words.len() <= 3 && words.iter().all(known)) {
        Completeness::Final
    } else {
        Completeness::Open
    }
}

fn is_filler(word: &str) -> bool {
    FILLERS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_say_yes_in_many_ways() {
        for said in [
            "Yes.",
            "Yeah, sure.",
            "Yep!",
            "That's right.",
            "Sounds good.",
            "No problem.",
            "Um, yes please.",
            "Of course!",
            "Uh-huh.",
            "That would be great, yes.",
            "Okay.",
            "I would love that. I'd love to.",
            "Absolutely",
            "It is, yes.",
            "I do.",
            "It is.",
            "I think so.",
            "Please do!",
            "I don't mind.",
            "Hell yes!",
            "Sí.",
        ] {
            assert_eq!(yes_no(said), Some(true), "{said}");
        }
    }

    #[test]
    fn people_say_no_in_many_ways() {
        for said in [
            "No.",
            "Nope.",
            "No thanks.",
            "Not right now.",
            "Yeah, no.",
            "I don't think so.",
            "No, that's not right.",
            "That's wrong",
            "Maybe later.",
            "I'm good, thanks.",
            "Uh, no.",
            "I don't think that's right.",
            "It's not.",
            "Not yet.",
            "Hell no!",
            "Forget it.",
        ] {
            assert_eq!(yes_no(said), Some(false), "{said}");
        }
    }

    #[test]
    fn unclear_answers_are_neither() {
        for said in [
            "I'm not sure.",
            "What do you mean?",
            "Jane",
            "I don't know",
            "",
            "blue",
        ] {
            assert_eq!(yes_no(said), None, "{said}");
        }
    }

    #[test]
    fn a_bare_yes_is_final_and_a_correction_is_not() {
        assert_eq!(completeness("Yes."), Completeness::Final);
        assert_eq!(completeness("No thanks."), Completeness::Final);
        assert_eq!(completeness("No, it's Jane with a y"), Completeness::Open);
    }
}
