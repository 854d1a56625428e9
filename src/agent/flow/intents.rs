//! What a caller may say at any question, whatever was asked.

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
    /// "Who is this?"
    Identity,
    /// "Hello?"
    Greeting,
    /// "I'd rather not say."
    Refuse,
}

/// Whole utterances, fillers aside.
const WHOLE: [(Intent, &[&str]); 5] = [
    (
        Intent::Repeat,
        &[
            "what",
            "what was that",
            "pardon",
            "pardon me",
            "sorry",
            "excuse me",
            "come again",
            "say again",
            "huh",
            "what did you say",
            "repeat",
            "again",
            "one more time",
            "sorry what",
            "i didn't hear you",
            "i didn't catch that",
            "i didn't hear that",
            "i can't hear you",
            "what was the question",
            "i don't understand",
            "what do you mean",
        ],
    ),
    (
        Intent::Hold,
        &[
            "hold on",
            "one moment",
            "one second",
            "just a second",
            "just a moment",
            "a moment",
            "wait",
            "wait a second",
            "wait a minute",
            "one sec",
            "just a sec",
            "hang on",
            "one minute",
            "just a minute",
            "give me a second",
            "give me a moment",
            "give me a minute",
            "let me check",
            "let me see",
            "let me think",
            "hold on a second",
            "hold on a moment",
            "hang on a second",
        ],
    ),
    (
        Intent::Goodbye,
        &[
            "goodbye",
            "bye",
            "bye bye",
            "good bye",
            "stop",
            "stop calling",
            "stop calling me",
            "hang up",
            "end the call",
            "i have to go",
            "i've got to go",
            "i gotta go",
            "cancel",
            "leave me alone",
            "don't call me again",
            "remove me from your list",
            "take me off your list",
            "that's all goodbye",
            "no thanks bye",
            "no thank you bye",
            "talk to you later",
            "see you",
            "have a good day",
            "have a nice day",
            "that's all bye",
            "see you later",
        ],
    ),
    (
        Intent::Identity,
        &[
            "who is this",
            "who's this",
            "who are you",
            "who am i speaking with",
            "who am i talking to",
            "are you a robot",
            "are you a real person",
            "are you human",
            "is this a robot",
            "am i talking to a robot",
            "are you a machine",
            "are you an ai",
            "is this a real person",
            "is this a recording",
            "who's calling",
        ],
    ),
    (
        Intent::Greeting,
        &[
            "hello",
            "hi",
            "hey",
            "hello there",
            "hi there",
            "good morning",
            "good afternoon",
            "good evening",
            "hello hello",
            "can you hear me",
            "are you there",
            "how are you",
            "hello can you hear me",
            "hello how are you",
            "hi how are you",
        ],
    ),
];

/// Phrases that mean the same inside a short sentence.
const INSIDE: [(Intent, &[&str]); 4] = [
    (
        Intent::Repeat,
        &[
            "repeat that",
            "say that again",
            "repeat the question",
            "can you repeat",
            "could you repeat",
            "say it again",
            "what did you say",
            "please repeat",
        ],
    ),
    (
        Intent::Human,
        &[
            "operator",
            "speak to a person",
            "speak to a human",
            "speak to someone",
            "real person",
            "talk to a person",
            "talk to a human",
            "talk to someone",
            "speak with a person",
            "speak with someone",
            "speak with a human",
            "talk to a real person",
            "representative",
            "speak to an agent",
            "talk to an agent",
            "customer service",
            "a human being",
            "speak to a real person",
            "speak with an agent",
            "human please",
            "a person please",
        ],
    ),
    (
        Intent::Refuse,
        &[
            "rather not",
            "don't want to say",
            "don't want to give",
            "none of your business",
            "prefer not",
            "not comfortable",
            "don't have one",
            "don't have an email",
            "don't have an e-mail",
            "don't have email",
            "i don't use email",
            "skip this",
            "skip that",
            "don't wanna say",
            "i don't have any",
            "not going to tell",
            "why do you need",
        ],
    ),
    (
        Intent::Hold,
        &[
            "hold on",
            "hang on",
            "give me a second",
            "give me a moment",
            "let me look it up",
        ],
    ),
];

const FILLERS: [&str; 17] = [
    "um", "uh", "oh", "please", "okay", "ok", "well", "so", "just", "yeah", "and", "thanks",
    "thank", "you", "sir", "ma'am", "now",
];
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
    let core = core.join(" ");
    let exact = WHOLE.iter().find(|(_, phrases)| {
        phrases.contains(&whole.as_str()) || (!core.is_empty() && phrases.contains(&core.as_str()))
    });
    if let Some((intent, _)) = exact {
        return Some(*intent);
    }
    if let Some(last) = words.last()
        && words.len() <= 8
        && (last == "bye" || last == "goodbye")
        && !free
    {
        return Some(Intent::Goodbye);
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
            ("I want to speak to a human.", Intent::Human),
            ("Operator.", Intent::Human),
            ("Who is this?", Intent::Identity),
            ("Hello?", Intent::Greeting),
            ("I'd rather not give that", Intent::Refuse),
            ("I don't have an email", Intent::Refuse),
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
        let need = "I want to stop the leak in my roof before I talk to a person from insurance";
        assert_eq!(intent(need, true), None);
    }
}
