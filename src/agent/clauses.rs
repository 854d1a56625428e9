//! Splits speech into clauses: the unit that is synthesised, played and cut.

/// The longest clause in characters; longer ones are cut at a comma or a space.
pub const MAX_CLAUSE: usize = 220;
/// A first clause of at least this many characters may end at a comma, so that its sound is early.
const EARLY_CLAUSE: usize = 14;

const ABBREVIATIONS: [&str; 16] = [
    "mr", "mrs", "ms", "dr", "st", "prof", "vs", "etc", "e.g", "i.e", "a.m", "p.m", "no", "inc",
    "ltd", "approx",
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
        while let Some(end) = boundary(&self.text, self.emitted == 0) {
            let rest = self.text.split_off(end);
            let clause = speakable(&std::mem::replace(&mut self.text, rest));
            if !clause.is_empty() {
                self.emitted += 1;
                clauses.push(clause);
            }
        }
        clauses
    }

    /// Ends the text and returns what was left of it.
    pub fn finish(&mut self) -> Option<String> {
        self.emitted = 0;
        let clause = speakable(&std::mem::take(&mut self.text));
        (!clause.is_empty()).then_some(clause)
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

/// Finds the byte index just after the first clause, once what follows proves that it ended.
fn boundary(text: &str, first: bool) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    let mut count = 0;
    let mut soft = None;
    while let Some((at, c)) = chars.next() {
        count += 1;
        let end = at + c.len_utf8();
        let space_follows = chars.peek().is_some_and(|(_, next)| next.is_whitespace());
        let head = text.get(..at).unwrap_or_default();
        if c == '\n' && !head.trim().is_empty() {
            return Some(end);
        }
        if space_follows && hard_stop(c, head) {
            return Some(end);
        }
        if space_follows && matches!(c, ',' | '—' | '–') {
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

fn hard_stop(c: char, head: &str) -> bool {
    match c {
        '!' | '?' | '…' | ';' | ':' => true,
        '.' => {
            let last = head.rsplit(char::is_whitespace).next().unwrap_or_default();
            let last = last.trim_start_matches(['(', '"', '\'']).to_lowercase();
            let initial = last.chars().count() == 1 && last.chars().all(char::is_alphabetic);
            let number = !last.is_empty() && last.chars().all(|d| d.is_ascii_digit());
            let listed = number && head.trim().len() == last.len();
            !(initial || listed || ABBREVIATIONS.contains(&last.as_str()))
        }
        _ => false,
    }
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
