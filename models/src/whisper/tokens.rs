//! Whisper's tokens: text to and from numbers, the special ones, and those never to be said.

use std::path::Path;

use tokenizers::Tokenizer;

use crate::runtime::{ModelError, read_file};

/// Marks that annotate instead of speech; alone they are suppressed, as in OpenAI's
/// `tokenizer.non_speech_tokens`.
const NON_SPEECH: [&str; 45] = [
    "\"", "#", "(", ")", "*", "+", "/", ":", ";", "<", "=", ">", "@", "[", "\\", "]", "^", "_",
    "`", "{", "|", "}", "~", "「", "」", "『", "』", "<<", ">>", "<<<", ">>>", "--", "---", "-(",
    "-[", "('", "(\"", "((", "))", "(((", ")))", "[[", "]]", "{{", "}}",
];
/// Marks of music, suppressed by their first token even if they have several.
const MUSIC: [&str; 9] = ["♪♪", "♪♪♪", "♩", "♪", "♫", "♬", "♭", "♮", "♯"];

/// The tokenizer of one model with its special tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) previous: u32,
    pub(super) no_speech: u32,
    no_timestamps: u32,
    /// For the models of many languages.
    transcribe: Option<u32>,
    /// Added to the logits: 0, or −∞ for what is never said.
    pub(super) mask: Vec<f32>,
    blank: Option<u32>,
}

impl Tokens {
    pub(super) fn load(
        path: &Path,
        vocabulary: usize,
        multilingual: bool,
    ) -> Result<Self, ModelError> {
        let tokenizer = Tokenizer::from_bytes(read_file(path)?)
            .map_err(|error| ModelError::malformed("tokenizer.json", error))?;
        let special = |names: &[&str]| {
            let found = names.iter().find_map(|name| tokenizer.token_to_id(name));
            found.ok_or_else(|| ModelError::malformed("tokenizer.json", format!("no {names:?}")))
        };
        let mut tokens = Self {
            start: special(&["<|startoftranscript|>"])?,
            end: special(&["<|endoftext|>"])?,
            previous: special(&["<|startofprev|>"])?,
            no_speech: special(&["<|nospeech|>", "<|nocaptions|>"])?,
            no_timestamps: special(&["<|notimestamps|>"])?,
            transcribe: multilingual
                .then(|| special(&["<|transcribe|>"]))
                .transpose()?,
            mask: Vec::new(),
            blank: None,
            tokenizer,
        };
        tokens.blank = tokens.encode(" ").first().copied();
        tokens.mask = tokens.suppressed(vocabulary);
        Ok(tokens)
    }

    /// Returns the tokens of a text.
    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        let encoded = self.tokenizer.encode_fast(text, false);
        encoded
            .map(|encoded| encoded.get_ids().to_vec())
            .unwrap_or_default()
    }

    /// Returns the text of tokens, special ones left out.
    pub(super) fn decode(&self, tokens: &[u32]) -> String {
        let text = self.tokenizer.decode(tokens, true).unwrap_or_default();
        text.trim().to_owned()
    }

    /// Returns the token of a language (`en`), if the model has it.
    pub(super) fn language(&self, code: &str) -> Option<u32> {
        self.tokenizer.token_to_id(&format!("<|{code}|>"))
    }

    /// Tells the language tokens' range: they lie between the start and the tasks.
    pub(super) fn languages(&self) -> std::ops::Range<u32> {
        self.start + 1
            ..self
                .transcribe
                .map_or(self.start + 1, |transcribe| transcribe - 1)
    }

    /// Returns what follows the start token.
    pub(super) fn task(&self, language: Option<u32>) -> Vec<u32> {
        let both = self
            .transcribe
            .zip(language)
            .map(|(task, language)| [language, task]);
        both.into_iter()
            .flatten()
            .chain([self.no_timestamps])
            .collect()
    }

    /// Tells whether a token may begin a transcript.
    pub(super) fn may_begin(&self, token: u32) -> bool {
        token != self.end && Some(token) != self.blank
    }

    fn suppressed(&self, vocabulary: usize) -> Vec<f32> {
        let mut mask = vec![0.0_f32; vocabulary];
        let mut suppress = |token: u32| {
            if let Some(entry) = mask.get_mut(token as usize) {
                *entry = f32::NEG_INFINITY;
            }
        };
        for (marks, first_of_many) in [(&NON_SPEECH[..], false), (&MUSIC[..], true)] {
            for mark in marks {
                for tokens in [self.encode(mark), self.encode(&format!(" {mark}"))] {
                    if let (Some(first), true) =
                        (tokens.first(), first_of_many || tokens.len() == 1)
                    {
                        suppress(*first);
                    }
                }
            }
        }
        for text in [" -", " '"] {
            self.encode(text)
                .first()
                .copied()
                .into_iter()
                .for_each(&mut suppress);
        }
        (self.end + 1..vocabulary as u32).for_each(suppress);
        mask
    }
}
