//! The pieces of a spoken e-mail address.

use super::number::{below_hundred, digit};

/// One piece of a spoken address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// "at" as a sign.
    At,
    /// "dot".
    Dot,
    /// `_`, `-` or `+`.
    Sign(char),
    /// Letters or digits read out one by one.
    Letters(String),
    /// A word.
    Word(String),
}

impl Piece {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Piece::Word(w) if w == word)
    }
}

const GLUED: [&str; 7] = [
    "gmail.", "hotmail.", "yahoo.", "outlook.", "icloud.", "aol.", "example.",
];
const DROPPED: [&str; 16] = [
    "um",
    "uh",
    "erm",
    "lowercase",
    "uppercase",
    "capital",
    "lower",
    "upper",
    "case",
    "word",
    "letter",
    "number",
    "please",
    "then",
    "symbol",
    "sign",
];

/// Splits a transcript into pieces.
pub(super) fn pieces(said: &str) -> Vec<Piece> {
    let words = without_remarks(split(said));
    let mut out: Vec<Piece> = Vec::new();
    let mut i = 0;
    while let Some(word) = words.get(i) {
        let next = words.get(i + 1).map(String::as_str);
        i += 1;
        match word.as_str() {
            "@" => out.push(Piece::At),
            "." | "dot" | "point" | "period" => out.push(Piece::Dot),
            "_" | "underscore" => out.push(Piece::Sign('_')),
            "under" if matches!(next, Some("score" | "scores")) => {
                out.push(Piece::Sign('_'));
                i += 1;
            }
            "-" | "dash" | "hyphen" | "minus" => out.push(Piece::Sign('-')),
            "+" | "plus" => out.push(Piece::Sign('+')),
            "double" | "triple" => {
                let times = if word == "double" { 2 } else { 3 };
                i += doubled(&mut out, next, times);
            }
            "as" | "like" | "for" if after_letter(&out) && next.is_some() => {
                // "J as in Juliet", "b for bravo": the example is no part of it.
                i += if next == Some("in") { 2 } else { 1 };
            }
            w if DROPPED.contains(&w) => {}
            w => i += push_text(&mut out, &words, i - 1, w),
        }
    }
    respell(join_letters(out))
}

/// Drops what is said about an address rather than in it: "all one word", and reads "at the rate"
/// as the sign that it names in India.
fn without_remarks(words: Vec<String>) -> Vec<String> {
    const REMARKS: [(&[&str], &str); 11] = [
        (&["at", "the", "rate", "of"], "@"),
        (&["at", "the", "rate"], "@"),
        (&["at", "sign"], "@"),
        (&["all", "one", "word"], ""),
        (&["in", "one", "word"], ""),
        (&["one", "word"], ""),
        (&["all", "in", "lowercase"], ""),
        (&["all", "lowercase"], ""),
        (&["all", "lower", "case"], ""),
        (&["no", "spaces"], ""),
        (&["double", "-", "u"], "w"),
    ];
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    let mut rest = words.as_slice();
    while let Some((word, after)) = rest.split_first() {
        let starts = |phrase: &[&str]| {
            phrase.len() <= rest.len() && phrase.iter().zip(rest).all(|(a, b)| a == b)
        };
        match REMARKS.iter().find(|(phrase, _)| starts(phrase)) {
            Some((phrase, meant)) => {
                out.extend((!meant.is_empty()).then(|| (*meant).to_owned()));
                rest = rest.get(phrase.len()..).unwrap_or_default();
            }
            None => {
                out.push(word.clone());
                rest = after;
            }
        }
    }
    out
}

/// Reads "double u" as w and "double e" as ee; returns the words taken.
fn doubled(out: &mut Vec<Piece>, next: Option<&str>, times: usize) -> usize {
    match next {
        Some("u" | "you") if times == 2 => out.push(Piece::Letters("w".to_owned())),
        Some(next) if next.chars().count() == 1 => out.push(Piece::Letters(next.repeat(times))),
        Some(next) if digit(next).is_some() => {
            let digit: String = digit(next).into_iter().collect();
            out.push(Piece::Letters(digit.repeat(times)));
        }
        _ => {
            out.push(Piece::Word("double".to_owned()));
            return 0;
        }
    }
    1
}

fn push_text(out: &mut Vec<Piece>, words: &[String], at: usize, word: &str) -> usize {
    // "one oh one": between digits it is a nought.
    let next = words.get(at + 1).map(String::as_str).unwrap_or_default();
    let digits = digit(next).is_some() || next.starts_with(|c: char| c.is_ascii_digit());
    if matches!(word, "oh" | "o") && digits && after_digit(out) {
        out.push(Piece::Letters("0".to_owned()));
        return 0;
    }
    if word.chars().count() == 1 {
        out.push(Piece::Letters(word.to_owned()));
        return 0;
    }
    if let Some(digit) = digit(word).filter(|_| word != "oh") {
        out.push(Piece::Letters(digit.to_string()));
        return 0;
    }
    if let Some((n, taken)) = below_hundred(words, at) {
        out.push(Piece::Letters(n.to_string()));
        return taken - 1;
    }
    if word.chars().all(|c| c.is_ascii_digit()) {
        out.push(Piece::Letters(word.to_owned()));
        return 0;
    }
    let between = after_letter(out) && words.get(at + 1).is_some_and(|w| w.chars().count() == 1);
    match letter_name(word).filter(|_| between) {
        Some(letter) => out.push(Piece::Letters(letter.to_owned())),
        None => out.push(Piece::Word(word.to_owned())),
    }
    0
}

fn after_letter(out: &[Piece]) -> bool {
    matches!(out.last(), Some(Piece::Letters(_)))
}

fn after_digit(out: &[Piece]) -> bool {
    matches!(out.last(), Some(Piece::Letters(run)) if run.ends_with(|c: char| c.is_ascii_digit()))
}

/// Returns the letter that a word names, where letters are being read out.
fn letter_name(word: &str) -> Option<&'static str> {
    Some(match word {
        "bee" | "be" => "b",
        "see" | "sea" => "c",
        "dee" => "d",
        "eff" => "f",
        "gee" => "g",
        "aitch" => "h",
        "eye" => "i",
        "jay" => "j",
        "kay" => "k",
        "el" | "ell" => "l",
        "em" => "m",
        "en" => "n",
        "oh" => "o",
        "pee" => "p",
        "queue" | "cue" => "q",
        "are" => "r",
        "ess" => "s",
        "tee" | "tea" => "t",
        "you" => "u",
        "vee" => "v",
        "ex" => "x",
        "why" => "y",
        "zee" | "zed" => "z",
        _ => return None,
    })
}

/// Splits into words with "@" and "." as words of their own; spelled-out forms ("J-A-N-E",
/// "J.A.N.E.") become single letters.
fn split(said: &str) -> Vec<String> {
    let mut out = Vec::new();
    for raw in said.replace('’', "'").to_lowercase().split_whitespace() {
        let word = raw.trim_matches(|c: char| {
            !(c.is_alphanumeric() || matches!(c, '@' | '_' | '+' | '-' | '.'))
        });
        let spelled = word.len() > 2
            && word.contains(['-', '.'])
            && word.split(['-', '.']).all(|p| p.chars().count() <= 1)
            && !word.starts_with(['-', '.']);
        if spelled && (word.ends_with('.') || word.matches(['-', '.']).count() > 1) {
            out.extend(
                word.split(['-', '.'])
                    .filter(|p| !p.is_empty())
                    .map(str::to_owned),
            );
            continue;
        }
        let word = if word == "." {
            word
        } else {
            word.trim_end_matches('.').trim_start_matches('.')
        };
        split_word(&mut out, &unglue(word));
    }
    out
}

/// Separates an "at" that was written into the address: "doe.at.gmail.com", "doeatgmail.com".
fn unglue(word: &str) -> String {
    if word.contains('@') {
        return word.to_owned();
    }
    if let Some((local, domain)) = word.rsplit_once(".at.") {
        return format!("{local}@{domain}");
    }
    for domain in GLUED {
        if let Some(at) = word.find(&format!("at{domain}")).filter(|at| *at > 0) {
            let (local, rest) = word.split_at(at);
            return format!("{local}@{}", rest.get(2..).unwrap_or_default());
        }
    }
    word.to_owned()
}

fn split_word(out: &mut Vec<String>, word: &str) {
    let mut run = String::new();
    for c in word.chars() {
        if matches!(c, '@' | '.' | '_' | '+' | '-') {
            if !run.is_empty() {
                out.push(std::mem::take(&mut run));
            }
            out.push(c.to_string());
        } else if c.is_alphanumeric() || c == '\'' {
            run.push(c);
        }
    }
    if !run.is_empty() {
        out.push(run);
    }
}

fn join_letters(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (out.last_mut(), piece) {
            (Some(Piece::Letters(run)), Piece::Letters(more)) => run.push_str(&more),
            (_, piece) => out.push(piece),
        }
    }
    out
}

/// Drops a word that is followed by its own spelling: "Jane, that's J-A-Y-N-E".
fn respell(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        if let Piece::Letters(run) = &piece
            && run.len() >= 3
            && run.chars().all(char::is_alphabetic)
        {
            let filler = |p: &Piece| {
                ["that's", "thats", "spelled", "spelt", "so"]
                    .iter()
                    .any(|w| p.is_word(w))
            };
            let end = out.iter().rposition(|p| !filler(p)).map_or(0, |at| at + 1);
            if let Some(from) = spoken_before(out.get(..end).unwrap_or_default(), run) {
                out.truncate(from);
            }
        }
        out.push(piece);
    }
    out
}

/// Finds the words that a spelling repeats, and where they begin: one that sounds like it, or
/// several that make it up ("Jane Doe, J-A-N-E-D-O-E").
fn spoken_before(pieces: &[Piece], spelled: &str) -> Option<usize> {
    let mut joined = String::new();
    for (at, piece) in pieces.iter().enumerate().rev().take(3) {
        let Piece::Word(word) = piece else { break };
        joined.insert_str(0, word);
        let near = strsim::jaro_winkler(&joined, spelled);
        if near >= 0.95 || (joined == *word && near >= 0.7 && word.len() + 2 > spelled.len()) {
            return Some(at);
        }
    }
    None
}

/// Drops what introduces an address: "my e-mail is", "you can reach me at", "it's".
pub(super) fn strip_preamble(pieces: &[Piece]) -> &[Piece] {
    const CUES: [&str; 12] = [
        "is", "it's", "its", "be", "address", "at", "email", "mail", "use", "that's", "thats", "to",
    ];
    const FILLERS: [&str; 22] = [
        "okay", "ok", "yeah", "yes", "sure", "so", "well", "the", "my", "and", "hi", "all", "one",
        "oh", "alright", "right", "no", "sorry", "just", "actually", "it", "great",
    ];
    let cue = pieces
        .iter()
        .rposition(|p| CUES.iter().any(|c| p.is_word(c)))
        .filter(|at| at + 1 < pieces.len());
    let mut kept = cue.and_then(|at| pieces.get(at + 1..)).unwrap_or(pieces);
    while let [first, rest @ ..] = kept {
        let filler = FILLERS.iter().any(|f| first.is_word(f));
        let only_sign = matches!(first, Piece::Dot | Piece::Sign(_));
        if rest.is_empty() || !(filler || only_sign) {
            break;
        }
        kept = rest;
    }
    kept
}
