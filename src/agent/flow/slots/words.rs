//! Words of a transcript.

/// Splits a transcript into lower-case words: outer punctuation goes, "p.m." becomes "pm",
/// "1,200" becomes "1200", "twenty-first" becomes two words; "3:30", "6/5" and "1.5" stay whole.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for raw in text.split(|c: char| c.is_whitespace() || matches!(c, '—' | '–' | '…')) {
        let word = raw.replace('’', "'").to_lowercase();
        let word = word.trim_matches(|c: char| {
            !(c.is_alphanumeric() || matches!(c, '$' | '€' | '£' | '+' | '@'))
        });
        match word {
            "p.m" | "pm" => out.push("pm".to_owned()),
            "a.m" | "am" => out.push("am".to_owned()),
            "" => {}
            _ => push_word(&mut out, word),
        }
    }
    out
}

fn push_word(out: &mut Vec<String>, word: &str) {
    let digits = word.chars().any(|c| c.is_ascii_digit());
    if digits {
        out.push(word.replace(',', ""));
        return;
    }
    for part in word.split(['-', '/', ',', '.']) {
        if !part.is_empty() {
            out.push(part.to_owned());
        }
    }
}

/// Says whether a text ends on a word after which more must follow.
pub(crate) fn dangles(text: &str) -> bool {
    const DANGLING: [&str; 38] = [
        "a",
        "an",
        "and",
        "at",
        "because",
        "between",
        "but",
        "by",
        "dash",
        "dot",
        "for",
        "from",
        "half",
        "is",
        "it's",
        "i'm",
        "like",
        "my",
        "next",
        "of",
        "on",
        "or",
        "past",
        "plus",
        "quarter",
        "that's",
        "the",
        "to",
        "uh",
        "um",
        "underscore",
        "until",
        "with",
        "maybe",
        "around",
        "about",
        "double",
        "triple",
    ];
    let words = tokens(text);
    let Some(last) = words.last() else {
        return false;
    };
    // A spelled "a" is a letter, not an article.
    let spelled = words.len() >= 2 && words.iter().rev().nth(1).is_some_and(|w| w.len() == 1);
    DANGLING.contains(&last.as_str()) && !(last == "a" && spelled)
}

/// Says whether a heard word is the meant one, with room for a recogniser's slip.
pub(crate) fn similar(heard: &str, meant: &str) -> bool {
    if heard == meant {
        return true;
    }
    let length = meant.chars().count().min(heard.chars().count());
    length >= 4 && strsim::normalized_levenshtein(heard, meant) >= 0.75
}

/// Says whether `words` has `phrase` as consecutive words, and where.
pub(crate) fn find(words: &[String], phrase: &[&str]) -> Option<usize> {
    if phrase.is_empty() {
        return None;
    }
    words
        .windows(phrase.len())
        .position(|w| w.iter().zip(phrase).all(|(a, b)| a == b))
}

/// Says whether the sentence has the phrase, words apart by single spaces.
pub(crate) fn has(words: &[String], phrase: &str) -> bool {
    find(words, &phrase.split(' ').collect::<Vec<_>>()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_becomes_words() {
        assert_eq!(
            tokens("At 3 p.m., twenty-first!"),
            ["at", "3", "pm", "twenty", "first"]
        );
        assert_eq!(tokens("$1,200.50 — it’s"), ["$1200.50", "it's"]);
    }

    #[test]
    fn half_sentences_dangle() {
        assert!(dangles("My e-mail is"));
        assert!(dangles("tomorrow at"));
        assert!(!dangles("j a n e a"));
        assert!(!dangles("tomorrow"));
    }
}
