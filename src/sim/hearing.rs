//! A fake voice detector with the shape of the real one, and what a recogniser may look back at.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use offhook_media::Frame;

use super::models::{NOISE, PHRASES, phrase_ms};
use super::voice;
use crate::ai::hearing::Edge;

/// Voiced frames in a row that make speech: two windows of the real detector.
const ONSET_FRAMES: u32 = 3;
/// Silent frames in a row that end it.
const HANGOVER_FRAMES: u32 = 6;
/// As in `ai::hearing`: what belongs to a word beside its voiced frames.
const LEAD_IN: Duration = Duration::from_millis(260);
const LEAD_OUT: Duration = Duration::from_millis(200);
const LONGEST: usize = 32 * 50;
const FRAME_MS: u64 = 20;

#[derive(Debug, Clone, Copy)]
struct Heard {
    received: Instant,
    code: Option<u8>,
}

/// One leg's ears.
#[derive(Default)]
pub(super) struct Ears {
    frames: VecDeque<Heard>,
    speaking: bool,
    voiced: u32,
    silent: u32,
    onset: Option<Instant>,
    last_audible: Option<Instant>,
}

impl Ears {
    /// Takes a frame and gives the edge of speech that it brings.
    pub(super) fn hear(&mut self, frame: &Frame) -> Option<Edge> {
        let code = voice::majority(frame.samples());
        if self.frames.len() == LONGEST {
            self.frames.pop_front();
        }
        self.frames.push_back(Heard {
            received: frame.received,
            code,
        });
        // Sound that is made up for what was lost never passes the cheap gate.
        if code.is_none() || frame.concealed {
            return self.silence();
        }
        self.silent = 0;
        self.voiced += 1;
        let onset = *self.onset.get_or_insert(frame.received);
        self.last_audible = Some(frame.received);
        if self.speaking || self.voiced < ONSET_FRAMES {
            return None;
        }
        self.speaking = true;
        Some(Edge::SpeechStart { at: onset })
    }

    fn silence(&mut self) -> Option<Edge> {
        self.voiced = 0;
        self.silent += 1;
        if !self.speaking {
            self.onset = None;
            return None;
        }
        if self.silent < HANGOVER_FRAMES {
            return None;
        }
        self.speaking = false;
        let onset = self.onset.take();
        let at = self.last_audible.take().or(onset)?;
        Some(Edge::SpeechStop { at })
    }

    /// Gives the words between two moments: of each phrase as many as there was sound for.
    pub(super) fn words(&self, from: Instant, until: Instant) -> String {
        let from = from.checked_sub(LEAD_IN).unwrap_or(from);
        let until = until + LEAD_OUT;
        let mut said: Vec<(u8, u64)> = Vec::new();
        let heard = self.frames.iter();
        for code in heard
            .filter(|frame| frame.received >= from && frame.received <= until)
            .filter_map(|frame| frame.code)
            .filter(|code| *code != NOISE)
        {
            // Concealment may sound like something else for a moment: phrases are counted whole.
            match said.iter_mut().find(|(known, _)| *known == code) {
                Some((_, frames)) => *frames += 1,
                None => said.push((code, 1)),
            }
        }
        let texts = said.into_iter().map(|(code, frames)| part(code, frames));
        texts
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn part(code: u8, frames: u64) -> String {
    let Some(phrase) = PHRASES.get(usize::from(code)) else {
        return String::new();
    };
    let words: Vec<&str> = phrase.split(' ').collect();
    let whole = phrase_ms(code).max(1);
    // The last frames of a phrase hold no word of their own.
    let heard = (frames * FRAME_MS + 100).min(whole) as usize * words.len();
    let count = heard / whole as usize;
    words.get(..count).unwrap_or_default().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_becomes_two_edges_and_its_words_and_half_of_it_half_its_words() {
        let start = crate::clock::now();
        let at = |n: u64| start + Duration::from_millis(20 * n);
        let code = 5;
        let frames = phrase_ms(code) / FRAME_MS;
        let mut ears = Ears::default();
        let mut edges = Vec::new();
        for n in 0..frames + 40 {
            let sound = match (10..10 + frames).contains(&n) {
                true => voice::sound(code, 160),
                false => vec![0; 160],
            };
            let frame = Frame::new(8_000, n * 160, at(n), false, &sound);
            edges.extend(ears.hear(&frame));
        }
        let (begin, end) = (at(10), at(9 + frames));
        let expected = [
            Edge::SpeechStart { at: begin },
            Edge::SpeechStop { at: end },
        ];
        assert_eq!(edges, expected);
        let phrase = PHRASES[usize::from(code)];
        assert_eq!(ears.words(begin, end), phrase);
        let half = ears.words(begin, at(10 + frames / 2));
        assert!(phrase.starts_with(&half) && !half.is_empty() && half != phrase);
    }
}
