//! A wish for a person, and the question whether this is one.

/// Words that mean a person rather than this agent.
const PERSON: [&str; 18] = [
    "human",
    "humans",
    "person",
    "people",
    "operator",
    "representative",
    "rep",
    "agent",
    "manager",
    "supervisor",
    "receptionist",
    "secretary",
    "salesperson",
    "attendant",
    "advisor",
    "adviser",
    "being",
    "colleague",
];
/// Words that mean a person only where nothing follows them: "talk to someone", but not "talk to
/// someone about my roof", which says what the call is about.
const SOMEBODY: [&str; 7] = [
    "someone", "somebody", "anyone", "anybody", "service", "support", "sales",
];
const DESCRIBED: [&str; 21] = [
    "a",
    "an",
    "the",
    "your",
    "some",
    "real",
    "actual",
    "live",
    "human",
    "customer",
    "other",
    "another",
    "living",
    "breathing",
    "sales",
    "any",
    "who",
    "that",
    "is",
    "isn't",
    "technical",
];
/// What a request begins with.
const LEAD: [&str; 41] = [
    "can", "could", "may", "i", "i'd", "i'll", "like", "want", "need", "would", "wanna", "to",
    "please", "just", "let", "me", "us", "we", "you", "get", "give", "is", "there", "rather",
    "prefer", "have", "um", "uh", "no", "yes", "okay", "ok", "well", "so", "look", "sorry", "but",
    "hi", "hello", "actually", "hey",
];
const TALKING: [&str; 13] = [
    "speak",
    "speaking",
    "talk",
    "talking",
    "connect",
    "transfer",
    "put",
    "reach",
    "connected",
    "transferred",
    "switch",
    "pass",
    "forward",
];
const HAVING: [&str; 8] = [
    "have", "get", "give", "there", "want", "need", "like", "prefer",
];
const LINKS: [&str; 9] = [
    "to", "with", "through", "me", "us", "over", "on", "directly", "a",
];
/// What may follow and changes nothing.
const TAIL: [&str; 14] = [
    "please", "now", "instead", "there", "here", "directly", "today", "thanks", "thank", "you",
    "right", "away", "then", "real",
];
/// How much may follow a person's name: "a person about my bill".
const MAX_TAIL: usize = 8;

/// Says whether a sentence asks for a person: "can I talk to a person?", "get me an operator".
pub(super) fn asks_for_person(words: &[String]) -> bool {
    let is = |at: usize, list: &[&str]| words.get(at).is_some_and(|w| list.contains(&w.as_str()));
    let begun = skip(words, 0, &LEAD);
    let talking = is(begun, &TALKING);
    let lead = words.get(..begun).unwrap_or_default();
    let having = lead.iter().any(|w| HAVING.contains(&w.as_str()));
    let Some((person, end)) = named(words, begun + usize::from(talking)) else {
        return false;
    };
    let closed = skip(words, end, &TAIL) == words.len();
    let tail = words.get(end..).unwrap_or_default();
    // "Is there a person I can talk to?"
    let talked_to = tail.iter().any(|w| matches!(w.as_str(), "talk" | "speak"));
    match (talking, having) {
        (true, _) => closed || person && tail.len() <= MAX_TAIL,
        // "I need an agent to sell my house" says what the call is about.
        (false, true) => person && closed || talked_to,
        (false, false) => false,
    }
}

/// Says whether an utterance is the name of a person and nothing else: "operator, please".
pub(super) fn names_person(words: &[String]) -> bool {
    let begun = skip(words, 0, &LEAD);
    named(words, begun)
        .is_some_and(|(person, end)| person && skip(words, end, &TAIL) == words.len())
}

/// Finds a person's name behind articles and adjectives: whether it is a sure one, and its end.
fn named(words: &[String], at: usize) -> Option<(bool, usize)> {
    let is = |at: usize, list: &[&str]| words.get(at).is_some_and(|w| list.contains(&w.as_str()));
    let at = skip(words, skip(words, at, &LINKS), &DESCRIBED);
    let (person, end) = if is(at, &PERSON) {
        (true, at + 1)
    } else if is(at, &SOMEBODY) {
        (false, at + 1)
    } else {
        // "human" and "sales" both describe and name.
        let last = at.checked_sub(1)?;
        match is(last, &["human", "sales"]) {
            true => (is(last, &["human"]), at),
            false => return None,
        }
    };
    Some((person, skip(words, end, &["being", "beings"])))
}

fn skip(words: &[String], mut at: usize, list: &[&str]) -> usize {
    while words.get(at).is_some_and(|w| list.contains(&w.as_str())) {
        at += 1;
    }
    at
}

/// Says whether a few words mention a person, for questions that have other answers.
pub(super) fn mentions_person(words: &[String]) -> bool {
    const PHRASES: [&str; 6] = [
        "real person",
        "human being",
        "customer service",
        "to a person",
        "to a human",
        "a real human",
    ];
    let said = format!(" {} ", words.join(" "));
    PHRASES.iter().any(|p| said.contains(&format!(" {p} ")))
}

/// Says whether a sentence asks whom the caller talks to: "who is this?", "are you a robot?".
pub(super) fn asks_who(words: &[String]) -> bool {
    const WHO: [&str; 13] = [
        "who is this",
        "who's this",
        "who are you",
        "who am i speaking",
        "who am i talking",
        "who is calling",
        "who's calling",
        "who is speaking",
        "who's speaking",
        "what's your name",
        "what is your name",
        "who do i have",
        "whom am i",
    ];
    const ARE_YOU: [&str; 9] = [
        "are you",
        "is this",
        "am i talking to",
        "am i speaking to",
        "am i talking with",
        "am i speaking with",
        "you're",
        "is that",
        "you are",
    ];
    const WHAT: [&str; 12] = [
        "robot",
        "machine",
        "computer",
        "ai",
        "bot",
        "human",
        "person",
        "recording",
        "automated",
        "chatbot",
        "answering",
        "program",
    ];
    if words.len() > 12 {
        return false;
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let from = words
        .iter()
        .position(|w| !LEADING_WHO.contains(w))
        .unwrap_or(0);
    let said = words.get(from..).unwrap_or_default().join(" ");
    let begins = |phrase: &&str| {
        said.strip_prefix(*phrase)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let what = words.iter().any(|w| WHAT.contains(w)) || words.last() == Some(&"real");
    said == "what are you" || WHO.iter().any(begins) || ARE_YOU.iter().any(begins) && what
}

const LEADING_WHO: [&str; 14] = [
    "wait", "um", "uh", "so", "and", "but", "sorry", "hey", "hello", "hi", "okay", "look", "oh",
    "well",
];

#[cfg(test)]
mod tests {
    use super::super::slots::tokens;
    use super::*;

    #[test]
    fn a_person_is_asked_for_in_many_ways() {
        for said in [
            "Can I talk to a person?",
            "Could I please speak to a real person?",
            "I want to speak to a human",
            "I'd like to talk to someone.",
            "I'd rather talk to a real human being",
            "Get me an operator",
            "Give me a human",
            "Put me through to someone, please",
            "Can you connect me with an agent?",
            "transfer me to a representative",
            "Is there a real person I can talk to?",
            "Let me speak to your manager",
            "I need a human",
            "Can I speak with somebody real?",
            "Can I speak to a person about my bill?",
        ] {
            assert!(asks_for_person(&tokens(said)), "{said}");
        }
        for said in [
            "Operator",
            "A person, please",
            "human please",
            "Representative!",
        ] {
            assert!(names_person(&tokens(said)), "{said}");
        }
    }

    #[test]
    fn what_a_call_is_about_is_no_wish_for_a_person() {
        for said in [
            "I'd like to talk to someone about selling my house",
            "I need a new roof",
            "I want to buy a house for three people",
            "A phone system for our sales team",
            "I need a property manager for my building",
            "I need an agent to sell my house",
            "we are looking for an insurance agent",
            "I don't want to talk to a person",
            "I need support",
        ] {
            assert!(!asks_for_person(&tokens(said)), "{said}");
            assert!(!names_person(&tokens(said)), "{said}");
        }
    }

    #[test]
    fn callers_ask_what_they_talk_to() {
        for said in [
            "Who are you?",
            "Is this a robot?",
            "Wait, am I talking to a machine?",
            "Is this a real person or a computer?",
            "Are you real?",
            "who am I speaking with",
            "what's your name",
        ] {
            assert!(asks_who(&tokens(said)), "{said}");
        }
        for said in ["You are welcome", "Is this about my bill", "this is Jane"] {
            assert!(!asks_who(&tokens(said)), "{said}");
        }
    }
}
