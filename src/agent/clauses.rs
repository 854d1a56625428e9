//! Splits speech into clauses: the unit that is synthesised, played and cut.

/// The longest clause in characters; longer ones are cut at a comma or a space.
pub const MAX_CLAUSE: usize = 220;
/// A first clause of at least this many characters may end at a comma, so that its sound is early.
const EARLY_CLAUSE: usize = 14;

const ABBREVIATIONS: [&str; 11] = [
    "mr", "mrs", "ms", "dr", "st", "prof", "vs", "etc", "inc", "ltd", "approx",
];

/// Splits a text that arrives in pieces (LLM tokens) into clauses as soon as each is complete.
///
/// Feed pieces to [`ClauseSplitter::push`]; call [`ClauseSplitter::finish`] at the end.
#[derive(Debug, Clone, Default)]
pub struct ClauseSplitter {
    text: String,
    emitted: usize,
}

impl ClauseSplitter {
    /// Adds a piece and returns the clauses that it completed.
    pub fn push(&mut self, piece: &str) -> Vec<String> {
        self.text.push_str(piece);
        let mut clauses = Vec::new();
        loop {
            if self.emitted > 0 {
                // What is left of "Really?!" is nothing to say.
                let marks = ['!', '?', '…', '.', '"', '”', ')'];
                let said = self.text.len() - self.text.trim_start_matches(marks).len();
                self.text.drain(..said);
            }
            let Some(end) = boundary(&self.text, self.emitted == 0) else {
                return clauses;
            };
            let rest = self.text.split_off(end);
            let clause = speakable(&std::mem::replace(&mut self.text, rest));
            if clause.contains(char::is_alphanumeric) {
                self.emitted += 1;
                clauses.push(clause);
            }
        }
    }

    /// Ends the text and returns what was left of it.
    pub fn finish(&mut self) -> Option<String> {
        self.emitted = 0;
        let clause = speakable(&std::mem::take(&mut self.text));
        clause.contains(char::is_alphanumeric).then_some(clause)
    }
}

/// Splits a whole text into clauses.
pub fn split(text: &str) -> Vec<String> {
    let mut splitter = ClauseSplitter::default();
    let mut clauses = splitter.push(text);
    clauses.extend(splitter.finish());
    clauses
}

/// Makes a text fit to be spoken: no markup, single spaces.
pub fn speakable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let word: String = word
            .chars()
            .filter(|c| !matches!(c, '*' | '`' | '#' | '~' | '|' | '\u{fe0f}') && !pictograph(*c))
            .collect();
        if word.is_empty() || word.chars().all(|c| c == '-' || c == '_') {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&word);
    }
    out
}

fn pictograph(c: char) -> bool {
    matches!(u32::from(c), 0x1F000..=0x1FAFF | 0x2600..=0x27BF)
}

/// Finds the byte index just after the first clause, as soon as it is certain that it ended.
///
/// A clause is not held back for the next token where its mark is certain by what stands before
/// it: `!`, `?`, `;` and `…` (outside of addresses), a line's end, and an early comma after a
/// letter. A full stop and a colon need one character of look-ahead, the blank that follows:
/// "3.5", "example.com" and "10:30" go on without one. Abbreviations ("Dr.", "e.g.") never end a
/// clause. So a text gives the same clauses however it is cut into pieces.
fn boundary(text: &str, first: bool) -> Option<usize> {
    let mut soft = None;
    for (count, (at, c)) in (1..).zip(text.char_indices()) {
        let end = at + c.len_utf8();
        let (head, tail) = (
            text.get(..at).unwrap_or_default(),
            text.get(end..).unwrap_or_default(),
        );
        if c == '\n' && !head.trim().is_empty() {
            return Some(end);
        }
        if let Some(closed) = stop(c, head, tail) {
            return Some(end + closed);
        }
        if pause(c, head, tail) {
            if first && count >= EARLY_CLAUSE && head.split_whitespace().count() >= 3 {
                return Some(end);
            }
            soft = Some(end);
        } else if c == ' ' && soft.is_none() && count > MAX_CLAUSE / 2 {
            soft = Some(end);
        }
        if count >= MAX_CLAUSE {
            return Some(soft.unwrap_or(end));
        }
    }
    None
}

/// Says whether a sentence ends at `c`, and how many bytes of closing quotes belong to it.
fn stop(c: char, head: &str, tail: &str) -> Option<usize> {
    let word = last_word(head);
    if word.is_empty() && !matches!(c, '…') {
        return None;
    }
    match c {
        '!' | '?' | '…' | ';' => (!address(word)).then_some(0),
        '.' | ':' => {
            let after = tail.trim_start_matches(CLOSING);
            let ends = after.starts_with(char::is_whitespace)
                && (c == ':' || !abbreviated(head, after.trim_start()));
            ends.then(|| tail.len() - after.len())
        }
        _ => None,
    }
}

/// Says whether a clause may end at `c` for want of a better place.
fn pause(c: char, head: &str, tail: &str) -> bool {
    let blank = tail.starts_with(char::is_whitespace);
    match c {
        // "1,200" goes on; a comma after a letter ends a word.
        ',' => blank || head.ends_with(char::is_alphabetic),
        '—' => true,
        '–' => blank,
        _ => false,
    }
}

const CLOSING: [char; 5] = ['"', '”', '’', '\'', ')'];

fn last_word(head: &str) -> &str {
    head.rsplit(char::is_whitespace).next().unwrap_or_default()
}

/// Says whether a word is part of an address or of markup ("x.com/?a=b", "&amp;").
fn address(word: &str) -> bool {
    word.contains(['/', '@', '=', '&']) || word.trim_end_matches('.').contains('.')
}

/// Says whether the full stop after `head` belongs to its last word, given what follows.
fn abbreviated(head: &str, next: &str) -> bool {
    let last = last_word(head)
        .trim_start_matches(['(', '"', '\''])
        .to_lowercase();
    let letters = |part: &str| part.chars().count() <= 1 && part.chars().all(char::is_alphabetic);
    // "J.", "U.S.", "p.m."; but not the dots of "well...".
    let initials = !last.is_empty() && !last.ends_with('.') && last.split('.').all(letters);
    // "No. 5", but "No. We are closed."; which of them is not known before more has arrived.
    if last == "no" {
        return next.is_empty() || next.starts_with(|d: char| d.is_ascii_digit());
    }
    let number = !last.is_empty() && last.chars().all(|d| d.is_ascii_digit());
    let listed = number && head.trim().len() == last.len();
    initials || listed || ABBREVIATIONS.contains(&last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_become_clauses_and_abbreviations_do_not() {
        assert_eq!(
            split("Thanks, Dr. Doe. It is 3.5 percent! See you at 3 p.m. on Friday."),
            [
                "Thanks, Dr. Doe.",
                "It is 3.5 percent!",
                "See you at 3 p.m. on Friday."
            ]
        );
    }

    #[test]
    fn the_first_clause_ends_at_an_early_comma_so_that_its_sound_is_early() {
        assert_eq!(
            split("Thanks for calling Acme, this is Robin, how can I help?"),
            ["Thanks for calling Acme,", "this is Robin, how can I help?"]
        );
    }

    #[test]
    fn tokens_split_anywhere_give_the_same_clauses() {
        let text = "Hello there. I am at j.doe@example.com, 2.5 miles away. Is that fine? Good";
        for size in 1..9 {
            let mut splitter = ClauseSplitter::default();
            let letters: Vec<char> = text.chars().collect();
            let mut clauses = Vec::new();
            for piece in letters.chunks(size) {
                clauses.extend(splitter.push(&piece.iter().collect::<String>()));
            }
            clauses.extend(splitter.finish());
            assert_eq!(clauses, split(text), "pieces of {size}");
        }
    }

    #[test]
    fn a_clause_is_given_with_the_token_that_makes_it_certain() {
        for (tokens, want) in [
            (vec!["Since", " when", "?"], "Since when?"),
            (vec!["Great", "!"], "Great!"),
            (
                vec!["I'm sorry", " to hear that", ".", " "],
                "I'm sorry to hear that.",
            ),
            (
                vec!["Thanks for calling", " Acme", ","],
                "Thanks for calling Acme,",
            ),
            (vec!["He said \"yes", ".\"", " And"], "He said \"yes.\""),
        ] {
            let mut splitter = ClauseSplitter::default();
            let (last, before) = tokens.split_last().unwrap();
            for token in before {
                assert_eq!(splitter.push(token), [""; 0], "{token} of {tokens:?}");
            }
            assert_eq!(splitter.push(last), [want], "{tokens:?}");
        }
    }

    #[test]
    fn what_goes_on_after_its_mark_is_not_split() {
        let whole: [(&str, &[&str]); 7] = [
            (
                "It costs 3.5 or $1,200.50 a year",
                &["It costs 3.5 or $1,200.50 a year"],
            ),
            (
                "Please ask Dr. Doe, e.g. at 3 p.m. on Friday",
                &["Please ask Dr. Doe,", "e.g. at 3 p.m. on Friday"],
            ),
            (
                "See www.example.com/?page=2 at 10:30 today",
                &["See www.example.com/?page=2 at 10:30 today"],
            ),
            ("The U.S. office", &["The U.S. office"]),
            ("No. It is in room no. 5.", &["No.", "It is in room no. 5."]),
            ("Really?! Well... Yes.", &["Really?", "Well...", "Yes."]),
            ("She said \"no.\" Twice.", &["She said \"no.\"", "Twice."]),
        ];
        for (text, want) in whole {
            let mut splitter = ClauseSplitter::default();
            let letters = text.chars().map(String::from);
            let mut clauses: Vec<String> = letters.flat_map(|c| splitter.push(&c)).collect();
            clauses.extend(splitter.finish());
            assert_eq!(clauses, want);
            assert_eq!(split(text), want);
        }
    }

    #[test]
    fn endless_text_is_cut_at_a_bounded_length() {
        let clauses = split(&"word ".repeat(500));
        assert!(clauses.iter().all(|c| c.chars().count() <= MAX_CLAUSE));
        assert_eq!(split(&"é".repeat(1000)).concat().chars().count(), 1000);
    }

    #[test]
    fn markup_is_not_read_out() {
        assert_eq!(speakable("**Great!** 🎉 - `yes`"), "Great! yes");
    }
}
