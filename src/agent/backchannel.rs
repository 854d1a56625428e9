//! Tells words from noise and from the "mm-hm" of a listener.

/// Grades what was recognised while the agent was speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Noise, a cough, or what a recogniser makes up from silence.
    Nothing,
    /// A listener's "mm-hm": the speaker goes on.
    Backchannel,
    /// Content.
    Words,
}

/// Recognisers emit these for silence and noise.
const PHANTOMS: [&str; 9] = [
    "you",
    "thanks for watching",
    "thank you for watching",
    "bye bye bye",
    "the",
    "so",
    "subtitles",
    "blank audio",
    "silence",
];

const BACKCHANNELS: &[&str] = &[
    "mm",
    "mmm",
    "mhm",
    "mmhm",
    "mhmm",
    "mmhmm",
    "umhum",
    "umhm",
    "mhum",
    "hm",
    "hmm",
    "uh",
    "uhhuh",
    "huh",
    "um",
    "ah",
    "aha",
    "oh",
    "ooh",
    "er",
    "erm",
    "yeah",
    "yes",
    "yep",
    "yup",
    "ok",
    "okay",
    "right",
    "sure",
    "alright",
    "cool",
    "great",
    "nice",
    "good",
    "perfect",
    "hi",
    "hello",
    "hey",
    "thanks",
    "wow",
    "mkay",
    "please",
    "correct",
    "exactly",
    "absolutely",
    "definitely",
];

/// Words that alone say nothing: what a recogniser makes of a "hmm".
const EMPTY_WORDS: &[&str] = &[
    "a", "an", "and", "as", "at", "but", "i", "i'm", "im", "in", "is", "it", "it's", "of", "on",
    "so", "that", "the", "them", "then", "there", "they", "this", "to", "was", "you",
];

const BACKCHANNEL_PHRASES: &[&str] = &[
    "i see",
    "got it",
    "all right",
    "thank you",
    "i know",
    "of course",
    "uh huh",
    "mm hm",
    "that's right",
    "makes sense",
    "make sense",
    "go on",
    "oh okay",
    "that would be great",
    "that'd be great",
    "that would be nice",
    "that would be good",
    "that would be lovely",
    "that would be perfect",
    "sounds good",
    "sounds great",
    "thank you very much",
    "thank you so much",
    "thanks a lot",
    "that's correct",
    "that's fine",
    "that works",
    "please do",
];

/// Grades a transcript.
pub(super) fn grade(text: &str) -> Heard {
    let words = words(text);
    if words.is_empty() || PHANTOMS.contains(&words.join(" ").as_str()) {
        return Heard::Nothing;
    }
    let joined = words.join(" ");
    let short = words.len() <= 4;
    let of = |list: &[&str]| words.iter().all(|w| list.contains(&w.as_str()));
    let listener = of(BACKCHANNELS) || BACKCHANNEL_PHRASES.contains(&joined.as_str());
    if short && (listener || (words.len() <= 2 && of(EMPTY_WORDS))) {
        Heard::Backchannel
    } else {
        Heard::Words
    }
}

/// Whether a transcript is the beginning of what the agent says: its echo, which is not known as
/// such before it has been heard for a moment.
pub(super) fn is_beginning(heard: &str, said: &str) -> bool {
    let (heard, said) = (words(heard), words(said));
    heard.len() > 1 && said.starts_with(&heard)
}

/// Splits a transcript into lower-case words without the annotations of noise (`[music]`).
fn words(text: &str) -> Vec<String> {
    let mut plain = String::with_capacity(text.len());
    let mut depth = 0_u32;
    let mut starred = false;
    for c in text.chars() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            '*' => starred = !starred,
            '-' => {}
            _ if depth > 0 || starred => {}
            _ => plain.extend(c.to_lowercase()),
        }
    }
    plain
        .split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '@'))
        .map(|w| w.trim_matches('\''))
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_noises_are_not_words() {
        for text in [
            "Mm-hm.",
            "Uh-huh.",
            "Yeah.",
            "Okay, right.",
            "I see.",
            "Mmm.",
            "Hello?",
            "Then",
            "I'm on",
        ] {
            assert_eq!(grade(text), Heard::Backchannel, "{text}");
        }
        for text in [
            "",
            " . ",
            "[Music]",
            "(coughs)",
            "*sigh*",
            "you",
            "You.",
            "[BLANK_AUDIO]",
        ] {
            assert_eq!(grade(text), Heard::Nothing, "{text}");
        }
    }

    #[test]
    fn an_echo_begins_as_the_agent_does() {
        let said = "Thank you for calling the bench.";
        assert!(is_beginning("Thank you for...", said));
        for other in ["Thank", "calling the bench", "Thank you for nothing", ""] {
            assert!(!is_beginning(other, said), "{other}");
        }
    }

    #[test]
    fn content_is_words() {
        for text in [
            "No.",
            "Stop.",
            "Wait, what?",
            "Yeah but no",
            "Not that",
            "I want that",
            "jane@example.com",
            "4",
        ] {
            assert_eq!(grade(text), Heard::Words, "{text}");
        }
    }
}
