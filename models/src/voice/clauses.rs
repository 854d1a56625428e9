//! Cuts text that streams in into clauses that can be spoken one after the other.

use super::normalise::is_abbreviation;

/// A first clause may end at a comma once it has this many characters.
const FIRST_SOFT: usize = 8;
/// A first clause without any mark is cut at a blank beyond this many characters.
const FIRST_LONGEST: usize = 60;
/// Later clauses may end at a comma from this many characters on.
const LATER_SOFT: usize = 40;
/// Later clauses without any mark are cut at a blank beyond this many characters.
const LATER_LONGEST: usize = 160;
/// However a text is written, a clause ends after this many characters.
const LIMIT: usize = 600;

/// Cuts a stream of text, such as a language model's tokens, into clauses for speech.
///
/// The first clause is short, so that sound starts early; later ones are longer, since each cut
/// costs a little of the sentence's melody. A sentence's end always cuts. Numbers, e-mail
/// addresses, abbreviations ("Dr. Smith", "3.5", "p.m.") and text within `<spell>` are never split,
/// and so a mark counts only once the blank behind it has arrived.
///
/// ```
/// use offhook_models::voice::ClauseSplitter;
/// let mut splitter = ClauseSplitter::default();
/// assert!(splitter.push("Sure, Dr. Smi").is_empty());
/// assert_eq!(splitter.push("th is in. He").as_slice(), ["Sure, Dr. Smith is in."]);
/// assert_eq!(splitter.finish().as_deref(), Some("He"));
/// ```
#[derive(Debug, Default)]
pub struct ClauseSplitter {
    held: String,
    given: usize,
}

/// What a cut at a place would be worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A sentence ends here, or a line.
    Sentence,
    /// A comma, a colon, a dash.
    Pause,
    None,
}

impl ClauseSplitter {
    /// Makes a splitter whose first clause is as long as later ones, for speech that is already
    /// under way.
    #[must_use]
    pub fn under_way() -> Self {
        Self {
            given: 1,
            ..Self::default()
        }
    }

    /// Takes more text and gives the clauses that are complete, in their order.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.held.push_str(text);
        let mut clauses = Vec::new();
        while let Some(end) = self.find_end() {
            let rest = self.held.split_off(end);
            let clause = std::mem::replace(&mut self.held, rest);
            let clause = clause.trim();
            if clause.chars().any(char::is_alphanumeric) {
                self.given += 1;
                clauses.push(clause.to_owned());
            }
        }
        clauses
    }

    /// Gives what is left at the end of the text, and begins anew.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(self).held;
        let rest = rest.trim();
        rest.chars()
            .any(char::is_alphanumeric)
            .then(|| rest.to_owned())
    }

    /// Whether text is waiting for the rest of its clause.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.trim().is_empty()
    }

    fn limits(&self) -> (usize, usize) {
        match self.given {
            0 => (FIRST_SOFT, FIRST_LONGEST),
            _ => (LATER_SOFT, LATER_LONGEST),
        }
    }

    /// Finds where the first clause ends, in bytes.
    fn find_end(&self) -> Option<usize> {
        let (soft, longest) = self.limits();
        let mut count = 0;
        let mut last_blank = None;
        let mut places = self.held.char_indices().peekable();
        let mut in_spelling = false;
        while let Some((at, c)) = places.next() {
            count += 1;
            let after = at + c.len_utf8();
            if c == '<' {
                let rest = self.held.get(at..).unwrap_or_default();
                in_spelling = rest.starts_with("<spell>") || "<spell>".starts_with(rest);
            }
            if count > LIMIT {
                return Some(last_blank.unwrap_or(after));
            }
            if c.is_whitespace() && count > 1 {
                last_blank = Some(at);
            }
            if in_spelling {
                continue;
            }
            if c.is_whitespace() {
                // A blank that follows a clause too long for its kind cuts it.
                if count > longest && !self.splits_number(at) {
                    return Some(at);
                }
                if c == '\n' && count > 1 {
                    return Some(after);
                }
                continue;
            }
            // Only what has a blank behind it is surely complete.
            let Some((_, next)) = places.peek() else {
                break;
            };
            if !next.is_whitespace() {
                continue;
            }
            match self.mark(at, c) {
                Mark::Sentence => return Some(after),
                Mark::Pause if count >= soft && !self.splits_number(after) => return Some(after),
                _ => {}
            }
        }
        None
    }

    fn mark(&self, at: usize, c: char) -> Mark {
        let before = self.held.get(..at).unwrap_or_default();
        match c {
            '!' | '?' | '\u{3002}' | '\u{ff01}' | '\u{ff1f}' => Mark::Sentence,
            '.' if ends_sentence(before) => Mark::Sentence,
            '"' | '\u{201d}' | ')' | '\'' if before.ends_with(['.', '!', '?']) => Mark::Sentence,
            ';' | ':' | '\u{2014}' | '\u{2026}' => Mark::Pause,
            ',' => Mark::Pause,
            // A dash with blanks around it; "well-known" never gets here.
            '-' | '\u{2013}' if before.ends_with(' ') => Mark::Pause,
            _ => Mark::None,
        }
    }

    /// Whether a cut here would part the groups of one number, a date or an amount:
    /// "202 555 0100", "November 23, 2026", "5 million".
    fn splits_number(&self, at: usize) -> bool {
        let (before, after) = self.held.split_at(at);
        let last = before
            .chars()
            .rev()
            .find(|c| !c.is_whitespace() && *c != ',');
        let Some(next) = after.chars().find(|c| !c.is_whitespace()) else {
            // What follows is not known yet.
            return last.is_some_and(|c| c.is_ascii_digit() || c == ')');
        };
        let number_ends = last.is_some_and(|c| c.is_ascii_digit() || c == ')');
        number_ends && (next.is_ascii_digit() || matches!(next, '(' | '+' | '-'))
    }
}

/// Whether a full stop after `before` ends a sentence rather than an abbreviation.
fn ends_sentence(before: &str) -> bool {
    let start = before
        .rfind(char::is_whitespace)
        .map_or(0, |blank| blank + 1);
    let word = before.get(start..).unwrap_or_default();
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    // "p.m.", "U.S.", "e.g.": a letter between points, whatever follows.
    let letters_and_points = word.contains('.')
        && word
            .split('.')
            .all(|part| part.chars().count() <= 1 && !part.contains(is_digit));
    // "J. Smith"; but "plan B." and "it is I." are rare enough to wait for more text.
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    !letters_and_points && !initial && !is_abbreviation(word)
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Vec<String> {
        let mut splitter = ClauseSplitter::default();
        let mut clauses = splitter.push(text);
        clauses.extend(splitter.finish());
        clauses
    }

    fn by_character(text: &str) -> Vec<String> {
        let mut splitter = ClauseSplitter::default();
        let mut clauses = Vec::new();
        for c in text.chars() {
            clauses.extend(splitter.push(c.encode_utf8(&mut [0; 4])));
        }
        clauses.extend(splitter.finish());
        clauses
    }

    #[test]
    fn the_first_clause_is_short_and_later_ones_are_long() {
        let text = "Thanks for calling, how can I help you today? I can book a call, take a \
                    message, or answer questions about our plans, whichever you like.";
        assert_eq!(
            whole(text),
            [
                "Thanks for calling,",
                "how can I help you today?",
                "I can book a call, take a message, or answer questions about our plans,",
                "whichever you like.",
            ]
        );
    }

    #[test]
    fn what_belongs_together_is_never_split() {
        for text in [
            "That is Dr. Smith of Acme Inc. speaking",
            "It costs $1,249.99 or 3.5 percent",
            "Write to jane.doe@example.com today",
            "At 5 p.m. on the U.S. coast",
            "My number is 202 555 0100 or so",
            "On November 23, 2026 we meet",
            "See e.g. the J. Smith case",
            "<spell>jane. doe, x@y.com</spell> it is",
        ] {
            assert_eq!(whole(text), [text]);
            assert_eq!(by_character(text), [text]);
        }
    }

    #[test]
    fn a_stream_of_characters_gives_the_clauses_of_the_whole() {
        for text in [
            "Sure! Let me look. One moment, please, while I find your record in our system.",
            "Hello there. Is this Jane? Great, I have you down for 3 p.m. tomorrow.",
            "Okay\nnext line; and more: a list - of things, of stuff. The end",
        ] {
            assert_eq!(by_character(text), whole(text), "{text}");
        }
    }

    #[test]
    fn text_without_marks_is_cut_at_a_blank() {
        let text = "word ".repeat(200);
        let clauses = whole(&text);
        assert!(clauses.len() > 4);
        assert!(
            clauses
                .iter()
                .all(|clause| clause.len() <= LATER_LONGEST + 8),
            "{clauses:?}"
        );
        assert_eq!(clauses.join(" "), text.trim());
    }

    #[test]
    fn a_clause_has_a_length_limit_whatever_comes() {
        for text in ["x".repeat(5_000), format!("<spell>{}", "y ".repeat(3_000))] {
            assert!(
                by_character(&text)
                    .iter()
                    .all(|clause| clause.chars().count() <= LIMIT + 1)
            );
        }
    }

    #[test]
    fn marks_without_words_are_no_clause() {
        assert_eq!(whole("... !!! Yes."), ["Yes."]);
        assert_eq!(whole("  \n "), [""; 0]);
    }

    #[test]
    fn no_text_is_lost() {
        let text = "a, b. c! d? e: f; g - h (i) \"j.\" k\nl <spell>m n</spell> o <b> p 1,000 q";
        let joined: String = by_character(text).concat();
        let bare = |s: &str| {
            s.chars()
                .filter(|c| c.is_alphanumeric())
                .collect::<String>()
        };
        assert_eq!(bare(&joined), bare(text));
    }
}
