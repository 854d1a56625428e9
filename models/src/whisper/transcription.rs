//! A transcription in steps: window by window, spectrogram, encoder, decoder.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::Model;
use super::decoder::{Decoding, Logits};
use super::encoder::Encoding;
use super::guard;
use super::window::windows;
use crate::mel::SAMPLE_RATE;
use crate::runtime::ModelError;

/// Silence after the sound at the first try and at the second: too little context makes
/// Whisper loop, more costs time.
const PADDINGS: [usize; 2] = [SAMPLE_RATE / 2, 3 * SAMPLE_RATE];
/// Below this mean logarithm of the tokens' probabilities a try counts as failed.
const LOWEST_LOGPROB: f32 = -1.0;
/// Above this probability of "no speech" a failed try counts as silence.
const SILENCE: f32 = 0.6;
/// Most tokens of a prompt (Whisper: half of the context, less one).
const LONGEST_PROMPT: usize = 223;

/// How to transcribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Language code (`en`), `None` to let the model tell; English-only models ignore it.
    pub language: Option<String>,
    /// What might have been said before, to bias spelling and words ("my e-mail is name at
    /// example dot com").
    pub prompt: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            language: Some("en".to_owned()),
            prompt: None,
        }
    }
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// The text, trimmed; empty if nobody spoke.
    pub text: String,
    /// Mean natural logarithm of the tokens' probabilities: above −0.4 is sure, below −1 poor.
    pub mean_logprob: f32,
    /// Probability that there is no speech, 0 to 1.
    pub no_speech: f32,
    /// The tokens of the text.
    pub tokens: Vec<u32>,
    /// Whether a window needed the second try.
    pub retried: bool,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// There is more to do.
    More,
    /// The transcription is done.
    Done(Transcript),
}

/// A transcription under way; [`Transcription::step`] it until it is done.
#[derive(Debug)]
pub struct Transcription {
    model: Arc<Model>,
    samples: Vec<f32>,
    windows: VecDeque<Range<usize>>,
    prompt: Vec<u32>,
    language: Option<u32>,
    state: State,
    first_try: Option<Attempt>,
    parts: Vec<Attempt>,
}

#[derive(Debug)]
enum State {
    NextWindow,
    Encode(Encoding),
    Prompt(Encoding),
    Decode(Decoding, Attempt),
}

/// What one try at a window gave so far.
#[derive(Clone, Debug, Default)]
struct Attempt {
    tokens: Vec<u32>,
    log_probability: f32,
    no_speech: f32,
    next: u32,
    looped: bool,
    retried: bool,
}

impl Attempt {
    /// Mean over the tokens and the end, as Whisper counts.
    fn mean_logprob(&self) -> f32 {
        self.log_probability / (self.tokens.len() + 1) as f32
    }

    fn is_silence(&self) -> bool {
        self.no_speech > SILENCE && self.mean_logprob() < LOWEST_LOGPROB
    }
}

impl Transcription {
    pub(super) fn new(model: Arc<Model>, samples: Vec<f32>, options: &Options) -> Self {
        let prompt = options
            .prompt
            .as_deref()
            .map(|prompt| format!(" {}", prompt.trim()));
        let mut prompt = prompt
            .map(|prompt| model.tokens.encode(&prompt))
            .unwrap_or_default();
        prompt.drain(..prompt.len().saturating_sub(LONGEST_PROMPT));
        let language = options.language.as_deref();
        Self {
            windows: windows(&samples).into(),
            language: language.and_then(|language| model.tokens.language(language)),
            model,
            samples,
            prompt,
            state: State::NextWindow,
            first_try: None,
            parts: Vec::new(),
        }
    }

    /// Does the next piece of work, one run of the model or a few short ones.
    ///
    /// # Errors
    /// ONNX Runtime fails; the transcription cannot go on.
    pub fn step(&mut self) -> Result<Step, ModelError> {
        let state = std::mem::replace(&mut self.state, State::NextWindow);
        self.state = match state {
            State::NextWindow => match self.windows.front() {
                None => return Ok(Step::Done(self.transcript())),
                Some(window) => self.spectrogram(window.clone())?,
            },
            State::Encode(mut encoding) => {
                if encoding.advance(&self.model)? {
                    State::Prompt(encoding)
                } else {
                    State::Encode(encoding)
                }
            }
            State::Prompt(encoding) => self.feed_prompt(encoding)?,
            State::Decode(decoding, attempt) => self.next_token(decoding, attempt)?,
        };
        let done = matches!(self.state, State::NextWindow) && self.windows.is_empty();
        Ok(if done {
            Step::Done(self.transcript())
        } else {
            Step::More
        })
    }

    fn spectrogram(&self, window: Range<usize>) -> Result<State, ModelError> {
        let samples = self.samples.get(window).unwrap_or_default();
        let [first, second] = PADDINGS;
        let padding = if self.first_try.is_none() {
            first
        } else {
            second
        };
        Ok(State::Encode(Encoding::begin(
            &self.model,
            samples,
            padding,
        )?))
    }

    fn feed_prompt(&mut self, encoding: Encoding) -> Result<State, ModelError> {
        let tokens = &self.model.tokens;
        let mut decoding = encoding.finish(&self.model)?;
        let mut prompt = Vec::new();
        if !self.prompt.is_empty() {
            prompt.push(tokens.previous);
            prompt.extend(&self.prompt);
        }
        prompt.push(tokens.start);
        let start = prompt.len() as i64 - 1;
        if self.language.is_none() && !tokens.languages().is_empty() {
            let logits = decoding.feed(&self.model, &prompt, &[start])?;
            self.language = logits.best_in(0, tokens.languages());
            let no_speech = logits.log_probability(0, tokens.no_speech).exp();
            let task = tokens.task(self.language);
            let logits = decoding.feed(&self.model, &task, &[task.len() as i64 - 1])?;
            return Ok(self.first_token(decoding, &logits, 0, no_speech));
        }
        prompt.extend(tokens.task(self.language));
        let rows = [start, prompt.len() as i64 - 1];
        let logits = decoding.feed(&self.model, &prompt, &rows)?;
        let no_speech = logits.log_probability(0, tokens.no_speech).exp();
        Ok(self.first_token(decoding, &logits, 1, no_speech))
    }

    fn first_token(
        &self,
        decoding: Decoding,
        logits: &Logits,
        row: usize,
        no_speech: f32,
    ) -> State {
        let tokens = &self.model.tokens;
        let next = logits.best(row, &tokens.mask, |token| tokens.may_begin(token));
        let log_probability = logits.log_probability(row, next);
        let attempt = Attempt {
            next,
            log_probability,
            no_speech,
            ..Attempt::default()
        };
        State::Decode(decoding, attempt)
    }

    fn next_token(
        &mut self,
        mut decoding: Decoding,
        mut attempt: Attempt,
    ) -> Result<State, ModelError> {
        let tokens = &self.model.tokens;
        if attempt.next == tokens.end {
            return Ok(self.finish_window(attempt));
        }
        attempt.tokens.push(attempt.next);
        if let Some(length) = guard::before_loop(&attempt.tokens) {
            attempt.tokens.truncate(length);
            attempt.looped = true;
        }
        let length = self.windows.front().map_or(0, ExactSizeIterator::len);
        let full = attempt.tokens.len() >= guard::most_tokens(length);
        if attempt.looped || full || decoding.room(&self.model) == 0 {
            attempt.looped = true;
            return Ok(self.finish_window(attempt));
        }
        let logits = decoding.feed(&self.model, &[attempt.next], &[0])?;
        attempt.next = logits.best(0, &tokens.mask, |_| true);
        attempt.log_probability += logits.log_probability(0, attempt.next);
        Ok(State::Decode(decoding, attempt))
    }

    /// Takes a try's result, or begins the second one.
    fn finish_window(&mut self, mut attempt: Attempt) -> State {
        let samples = self.windows.front().map_or(0, ExactSizeIterator::len);
        if let Some(length) = guard::before_echo(&attempt.tokens, samples) {
            // What is left has about the mean that the whole had.
            attempt.log_probability *= (length + 1) as f32 / (attempt.tokens.len() + 1) as f32;
            attempt.tokens.truncate(length);
        }
        let failed = |attempt: &Attempt| {
            let text = self.model.tokens.decode(&attempt.tokens);
            attempt.looped
                || attempt.mean_logprob() < LOWEST_LOGPROB
                || guard::repeats_itself(&text)
        };
        let better = match self.first_try.take() {
            None if failed(&attempt) && !attempt.is_silence() => {
                self.first_try = Some(attempt);
                return State::NextWindow;
            }
            None => attempt,
            Some(first) => {
                let first_is_better = (failed(&first), -first.mean_logprob())
                    < (failed(&attempt), -attempt.mean_logprob());
                let better = if first_is_better { first } else { attempt };
                Attempt {
                    retried: true,
                    ..better
                }
            }
        };
        self.windows.pop_front();
        self.parts.push(better);
        State::NextWindow
    }

    fn transcript(&mut self) -> Transcript {
        let parts = std::mem::take(&mut self.parts);
        let weight = |part: &Attempt| part.tokens.len() + 1;
        let weights: usize = parts.iter().map(weight).sum();
        let total: f32 = parts.iter().map(|part| part.log_probability).sum();
        let spoken: Vec<&Attempt> = parts.iter().filter(|part| !part.is_silence()).collect();
        let texts = spoken
            .iter()
            .map(|part| self.model.tokens.decode(&part.tokens));
        Transcript {
            text: texts
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
            mean_logprob: total / weights.max(1) as f32,
            no_speech: parts.iter().map(|part| part.no_speech).fold(1.0, f32::min),
            tokens: spoken
                .iter()
                .flat_map(|part| part.tokens.iter().copied())
                .collect(),
            retried: parts.iter().any(|part| part.retried),
        }
    }
}
