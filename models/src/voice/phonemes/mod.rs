//! Phonemes from espeak-ng, which runs in a program of its own.
//!
//! One [`Phonemizer`] serves all calls. Its program is started once, asked over a pipe with any
//! number of requests on their way, killed when it hangs and started again when it dies.

mod pipe;
mod program;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::cache::Cache;
use pipe::{Pipe, Reply};
pub use program::{espeak_dir, find_program};

/// How many characters of texts and phonemes are remembered.
const CACHE_BYTES: usize = 1 << 20;
/// The longest text of one request, in bytes; the program refuses longer ones.
const TEXT_LIMIT: usize = 4096;

/// Why there are no phonemes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PhonemeError {
    /// The program is nowhere to be found.
    #[error(
        "the program offhook-phonemes is neither beside this one nor named by OFFHOOK_PHONEMES"
    )]
    NoProgram,
    /// The program cannot be started, or cannot load espeak-ng.
    #[error("offhook-phonemes cannot serve: {0}")]
    Start(String),
    /// The program died or was stopped before it answered.
    #[error("offhook-phonemes died before it answered")]
    Died,
    /// No answer came in time.
    #[error("offhook-phonemes gave no answer in time")]
    Timeout,
    /// Too many requests wait already.
    #[error("offhook-phonemes has too many requests to answer")]
    Busy,
    /// The text is longer than a request may be.
    #[error("a text of {0} bytes is too long for offhook-phonemes")]
    TooLong(usize),
    /// espeak-ng refused the voice or the text.
    #[error("offhook-phonemes: {0}")]
    Refused(String),
}

/// Where the program is and how long it may take.
#[derive(Clone, Debug)]
pub struct PhonemizerOptions {
    /// The program; by default `OFFHOOK_PHONEMES`, or `offhook-phonemes` beside this one.
    pub program: Option<std::path::PathBuf>,
    /// The folder with libespeak-ng and its data; by default the system's.
    pub espeak: Option<std::path::PathBuf>,
    /// How long an answer may take before the program is taken for hung and started again.
    pub timeout: Duration,
}

impl Default for PhonemizerOptions {
    fn default() -> Self {
        Self {
            program: None,
            espeak: None,
            timeout: Duration::from_secs(2),
        }
    }
}

impl PhonemizerOptions {
    /// Takes espeak-ng from a model folder if it is there.
    #[must_use]
    pub fn with_models(mut self, dir: &std::path::Path) -> Self {
        self.espeak = espeak_dir(dir);
        self
    }
}

/// Turns text into phonemes; cheap to clone, and clones share the program and the memory.
#[derive(Clone)]
pub struct Phonemizer {
    shared: Arc<Shared>,
}

struct Shared {
    pipe: Pipe,
    cache: Mutex<Cache<String, Arc<str>>>,
}

impl std::fmt::Debug for Phonemizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Phonemizer").finish_non_exhaustive()
    }
}

impl Phonemizer {
    /// Starts the program and waits until it can serve.
    ///
    /// # Errors
    /// The program is not found, cannot be started, or finds no espeak-ng.
    pub fn start(options: &PhonemizerOptions) -> Result<Self, PhonemeError> {
        let program = match &options.program {
            Some(program) => program.clone(),
            None => find_program().ok_or(PhonemeError::NoProgram)?,
        };
        let pipe = Pipe::open(program, options.espeak.clone(), options.timeout)?;
        let cache = Mutex::new(Cache::new(CACHE_BYTES));
        Ok(Self {
            shared: Arc::new(Shared { pipe, cache }),
        })
    }

    /// Gives the phonemes of `text` in IPA as `voice` says them, with the text's punctuation.
    ///
    /// espeak-ng drops punctuation, which Piper was trained with, so the text is asked for clause
    /// by clause and each clause gets its mark back.
    ///
    /// # Errors
    /// The program cannot answer: it is gone, busy or late, or it does not know the voice.
    pub fn phonemes(&self, voice: &str, text: &str) -> Result<String, PhonemeError> {
        let mut phonemes = Phonemes::with_capacity(text.len());
        let mut on_the_way: VecDeque<(Asked, &str)> = VecDeque::new();
        for (segment, mark) in segments(text) {
            // Requests go out ahead of the answers, as many as the pipe takes.
            let mut asked = self.ask(voice, segment);
            while matches!(asked, Err(PhonemeError::Busy))
                && let Some((earlier, mark)) = on_the_way.pop_front()
            {
                phonemes.push(&self.receive(earlier)?, mark);
                asked = self.ask(voice, segment);
            }
            let asked = asked?;
            on_the_way.push_back((asked, mark));
        }
        for (asked, mark) in on_the_way {
            phonemes.push(&self.receive(asked)?, mark);
        }
        Ok(phonemes.0)
    }

    /// Returns the version of espeak-ng that answers.
    #[must_use]
    pub fn engine(&self) -> String {
        self.shared.pipe.engine()
    }

    /// Returns the process id of the program, if it runs now.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.shared.pipe.process_id()
    }

    fn ask(&self, voice: &str, segment: &str) -> Result<Asked, PhonemeError> {
        if segment.len() > TEXT_LIMIT {
            return Err(PhonemeError::TooLong(segment.len()));
        }
        let key = format!("{voice}\n{segment}");
        let found = self
            .shared
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .find(&key);
        Ok(match found {
            Some(phonemes) => Asked::Known(phonemes),
            None => Asked::Sent {
                reply: self.shared.pipe.ask(voice, segment)?,
                key,
                voice: voice.to_owned(),
                segment: segment.to_owned(),
            },
        })
    }

    fn receive(&self, asked: Asked) -> Result<Arc<str>, PhonemeError> {
        let (reply, key, voice, segment) = match asked {
            Asked::Known(phonemes) => return Ok(phonemes),
            Asked::Sent {
                reply,
                key,
                voice,
                segment,
            } => (reply, key, voice, segment),
        };
        let pipe = &self.shared.pipe;
        let answer = match pipe.receive(reply) {
            // A second try meets a fresh program; a text that kills it twice is given up.
            Err(PhonemeError::Died) => pipe.receive(pipe.ask(&voice, &segment)?)?,
            other => other?,
        };
        let phonemes: Arc<str> = without_switches(&answer).into();
        let weight = key.len() + phonemes.len();
        let mut cache = self
            .shared
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        cache.insert(key, Arc::clone(&phonemes), weight);
        Ok(phonemes)
    }
}

/// Clauses joined by a blank, each with its mark.
struct Phonemes(String);

impl Phonemes {
    fn with_capacity(letters: usize) -> Self {
        Self(String::with_capacity(letters * 2))
    }

    fn push(&mut self, clause: &str, mark: &str) {
        if clause.is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(clause);
        self.0.push_str(mark);
    }
}

enum Asked {
    Known(Arc<str>),
    Sent {
        reply: Reply,
        key: String,
        voice: String,
        segment: String,
    },
}

/// Cuts text behind its marks and gives each part, mark included, with the mark alone.
///
/// A point inside a word ("S.I.P", "3.5") is none: a mark is followed by a blank or the end.
fn segments(text: &str) -> impl Iterator<Item = (&str, &'static str)> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut places = rest.char_indices().peekable();
        let mut cut = None;
        while let Some((at, c)) = places.next() {
            let ends = places.peek().is_none_or(|(_, next)| next.is_whitespace());
            if let Some(mark) = mark(c).filter(|_| ends) {
                cut = Some((at + c.len_utf8(), mark));
                break;
            }
        }
        let (end, mark) = cut.unwrap_or((rest.len(), ""));
        let (segment, further) = rest.split_at(end);
        rest = further.trim_start();
        Some((segment, mark))
    })
}

/// The mark that Piper's voices know for one in a text.
fn mark(c: char) -> Option<&'static str> {
    Some(match c {
        '.' | '\u{3002}' => ".",
        ',' | '\u{3001}' => ",",
        ';' => ";",
        ':' => ":",
        '!' | '\u{ff01}' => "!",
        '?' | '\u{ff1f}' => "?",
        _ => return None,
    })
}

/// Removes espeak's notes of a change of language, such as `(en)`.
fn without_switches(phonemes: &str) -> String {
    let mut kept = String::with_capacity(phonemes.len());
    let mut rest = phonemes;
    while let Some((before, after)) = rest.split_once('(') {
        kept.push_str(before);
        match after.split_once(')') {
            Some((note, further)) if note.is_ascii() && note.len() <= 10 => rest = further,
            _ => rest = after,
        }
    }
    kept.push_str(rest);
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_behind_marks_and_not_within_words() {
        let cut: Vec<_> = segments("The S.I.P trunk, at 3.5: yes? No").collect();
        let expected = [
            ("The S.I.P trunk,", ","),
            ("at 3.5:", ":"),
            ("yes?", "?"),
            ("No", ""),
        ];
        assert_eq!(cut, expected);
        assert_eq!(segments("  ").count(), 0);
    }

    #[test]
    fn notes_of_a_change_of_language_are_removed() {
        assert_eq!(
            without_switches("(fr)bɔ̃ʒˈuːɹ(en-us) hɛlˈoʊ"),
            "bɔ̃ʒˈuːɹ hɛlˈoʊ"
        );
        assert_eq!(without_switches("a (b"), "a b");
    }
}
