//! Fake models: a recogniser, a turn model, a voice, an LLM and the web, each with seeded delays
//! and faults.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::plan::Models as Faults;
use super::voice;
use crate::agent::{
    Booking, HttpResponse, LlmEvent, LlmFailure, LlmRequest, RequestFailure, ToolCall,
};
use crate::ai::{Recognised, Sound};

/// What callers say, by the code of its sound; [`NOISE`] has no words.
pub(super) const PHRASES: [&str; 31] = [
    "Jane Doe",
    "my name is John Smith",
    "It's Maria Garcia.",
    "jane dot doe at gmail dot com",
    "john at example dot com",
    "I need a new roof for my house because it leaks",
    "we are looking for a website",
    "Yes.",
    "Yes, that's right.",
    "No.",
    "tomorrow at three",
    "next Tuesday at ten in the morning",
    "Friday at 2 pm",
    "Mm-hm.",
    "Okay.",
    "What?",
    "Hold on.",
    "Hello?",
    "Goodbye.",
    "operator",
    "I'd rather not say",
    "four one five",
    "415 555 0123",
    "no, it's John",
    "blue",
    "stop",
    "Who is this?",
    "at",
    "tomorrow",
    "I talk and talk and I will not come to an end soon since there is so much to be said about it",
    "thank you",
];
/// A sound without words.
pub(super) const NOISE: u8 = 31;
/// How long a character takes to say, by callers and by the agent.
pub(super) const MS_PER_CHAR: u64 = 65;
/// Sound that the voice makes at a time, in milliseconds.
const CHUNK_MS: u64 = 200;

/// How long a phrase takes, in milliseconds.
pub(super) fn phrase_ms(code: u8) -> u64 {
    let phrase = PHRASES.get(usize::from(code)).copied().unwrap_or_default();
    phrase.chars().count() as u64 * MS_PER_CHAR
}

/// How many samples a text of the agent is.
pub(super) fn spoken_samples(text: &str) -> usize {
    text.chars().count() * MS_PER_CHAR as usize * voice::RATE_HZ / 1_000
}

/// Something that comes after a while; none when it never comes.
pub(super) type Later<T> = Option<(Duration, T)>;

pub(super) struct Models {
    rng: StdRng,
    faults: Faults,
    answers: u32,
}

impl Models {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed ^ 0x6D6F_6465_6C73),
            faults,
            answers: 0,
        }
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.rng.random_range(from * 1_000..to * 1_000))
    }

    fn hits(&mut self, chance: f64) -> bool {
        self.rng.random_bool(chance)
    }

    /// Recognises what was really heard, mostly.
    pub(super) fn recognise(&mut self, words: String) -> Later<Result<Recognised, String>> {
        if self.hits(self.faults.stalls) {
            return None;
        }
        let took = self.ms(40, 260);
        if self.hits(self.faults.deaf) {
            return Some((took, Err("the recogniser failed".to_owned())));
        }
        let mut text = words;
        if self.hits(self.faults.slips) {
            let slips = [
                "",
                "Thanks for watching!",
                "[music]",
                "blue",
                "you",
                "Yeah.",
            ];
            text = slips.choose(&mut self.rng).copied().unwrap_or("").into();
        }
        let took_ms = took.as_millis() as u32;
        Some((took, Ok(Recognised { text, took_ms })))
    }

    pub(super) fn judge(&mut self) -> Later<Result<f32, String>> {
        if self.hits(self.faults.stalls) {
            return None;
        }
        let took = self.ms(20, 90);
        if self.hits(self.faults.deaf) {
            return Some((took, Err("the turn model failed".to_owned())));
        }
        let sure = self.hits(0.8);
        let p = match sure {
            true => self.rng.random_range(0.5..1.0),
            false => self.rng.random_range(0.0..0.5),
        };
        Some((took, Ok(p)))
    }

    /// Speaks a text in chunks, faster than it is played.
    pub(super) fn speak(&mut self, code: u8, text: &str) -> Vec<(Duration, Sound)> {
        let mut after = self.ms(30, 160);
        let failed = || Sound::Failed("the voice failed".to_owned());
        if self.hits(self.faults.stalls) {
            return Vec::new();
        }
        if self.hits(self.faults.mute) {
            let end = if self.hits(0.5) { failed() } else { Sound::End };
            return vec![(after, end)];
        }
        let sound = voice::sound(code, spoken_samples(text));
        let mut chunks = Vec::new();
        for chunk in sound.chunks(CHUNK_MS as usize * voice::RATE_HZ / 1_000) {
            if self.hits(self.faults.mute / 8.0) {
                chunks.push((after, failed()));
                return chunks;
            }
            if self.hits(self.faults.stalls / 8.0) {
                return chunks;
            }
            chunks.push((after, Sound::Chunk(Arc::from(chunk))));
            after += self.ms(10, CHUNK_MS * 9 / 10);
        }
        chunks.push((after, Sound::End));
        chunks
    }

    pub(super) fn http(&mut self) -> Later<Result<HttpResponse, RequestFailure>> {
        if self.hits(self.faults.stalls) {
            return None;
        }
        let took = self.ms(5, 900);
        if self.hits(self.faults.refused) {
            let refused = RequestFailure::Connection("refused".to_owned());
            return Some((took, Err(refused)));
        }
        let body = r#"{"contact":{"id":7}}"#.to_owned();
        Some((took, Ok(HttpResponse { status: 200, body })))
    }

    pub(super) fn book(&mut self, id: String) -> Later<Result<Booking, RequestFailure>> {
        let took = self.ms(1, 60);
        if self.hits(self.faults.refused) {
            let refused = RequestFailure::Refused("the disk is full".to_owned());
            return Some((took, Err(refused)));
        }
        Some((took, Ok(Booking { id: Some(id) })))
    }

    /// Nobody is there who would take a call over.
    pub(super) fn transfer(&mut self, ring: Duration) -> (Duration, RequestFailure) {
        let took = self.ms(5, 900).min(ring);
        (took, RequestFailure::Refused("nobody answers".to_owned()))
    }

    /// Streams an answer: some sentences, and sooner or later the end of the call.
    pub(super) fn llm(&mut self, request: &LlmRequest) -> Vec<(Duration, LlmEvent)> {
        self.answers += 1;
        let mut after = request.delay + self.ms(80, 600);
        let mut events = Vec::new();
        if self.hits(self.faults.stalls) {
            return events;
        }
        let sentences = [
            "Sure, I can help you with that.",
            "Could you tell me a little more about it?",
            "I have noted that down for the team, and they will look into it.",
            "What is your name?",
        ];
        let ends = self.answers > 12 || self.hits(0.12);
        for _ in 0..self.rng.random_range(1..=3) {
            let sentence = sentences.choose(&mut self.rng).copied().unwrap_or_default();
            for word in sentence.split_inclusive(' ') {
                if self.hits(self.faults.refused / 20.0) {
                    events.push((after, LlmEvent::Failed(LlmFailure::Cut)));
                    return events;
                }
                events.push((after, LlmEvent::Token(word.to_owned())));
                after += self.ms(5, 60);
            }
            events.push((after, LlmEvent::Token(" ".to_owned())));
        }
        if ends {
            let call = ToolCall {
                id: "1".to_owned(),
                name: "end_call".to_owned(),
                arguments: "{}".to_owned(),
            };
            events.push((after, LlmEvent::ToolCall(call)));
        }
        events.push((after, LlmEvent::Done));
        events
    }
}
