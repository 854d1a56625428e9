//! What a caller makes of what it hears, and says next.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::clock::Action;
use super::models::{PHRASES, phrase_ms};
use super::plan::{CallerPlan, Manner};

/// Silence after which the agent is believed to have finished.
const PAUSE: Duration = Duration::from_millis(450);
/// Silence after which a caller asks whether somebody is there.
const UNEASY: Duration = Duration::from_secs(14);

const HOLD_ON: u8 = 16;
const HELLO: u8 = 17;
const GOODBYE: u8 = 18;

/// What a question is about, and the phrases that answer it; later questions go first.
const ANSWERS: [(&[&str], &[u8]); 8] = [
    (
        &["is that right", "did i get it right", "shall i book it"],
        &[7, 8, 7, 9],
    ),
    (&["still there", "can't hear you"], &[7, HELLO]),
    (&["book a call"], &[7, 7, 8, 9]),
    (
        &["would suit", "day and time", "day and a time"],
        &[10, 11, 12],
    ),
    (&["e-mail"], &[3, 4]),
    (&["name"], &[0, 1, 2]),
    (
        &["help you with", "looking for", "your call about"],
        &[5, 6],
    ),
    (&["billing"], &[24, 5]),
];

pub(super) struct Mind {
    rng: StdRng,
    manner: Manner,
    interrupts: f64,
    thinks_ms: u64,
    /// Codes of the clauses heard since the caller last spoke.
    heard: Vec<u8>,
    current: Option<u8>,
    last_heard: Option<Instant>,
    last_spoke: Option<Instant>,
    answer_at: Option<Instant>,
}

impl Mind {
    pub(super) fn new(seed: u64, plan: &CallerPlan) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            manner: plan.manner,
            interrupts: plan.interrupts,
            thinks_ms: plan.thinks_ms.max(1),
            heard: Vec::new(),
            current: None,
            last_heard: None,
            last_spoke: None,
            answer_at: None,
        }
    }

    /// Takes note that the caller speaks, until then.
    pub(super) fn speaks(&mut self, until: Instant) {
        self.last_spoke = Some(until);
        self.answer_at = None;
    }

    /// Hears a frame; a clause that begins may provoke an interruption after a while.
    pub(super) fn hear(&mut self, now: Instant, code: Option<u8>) -> Option<(Duration, Action)> {
        let code = code?;
        self.last_heard = Some(now);
        self.answer_at = None;
        if self.current == Some(code) {
            return None;
        }
        self.current = Some(code);
        self.heard.push(code);
        if !self.rng.random_bool(self.interrupts) {
            return None;
        }
        let after = Duration::from_millis(self.rng.random_range(0..2_500));
        let said = self.rng.random_range(0..PHRASES.len()) as u8;
        Some((after, Action::Say(said, phrase_ms(said))))
    }

    /// Decides what to do now.
    pub(super) fn decide<'t>(
        &mut self,
        now: Instant,
        text: impl Fn(u8) -> Option<&'t str>,
    ) -> Option<Action> {
        let begun = *self.last_spoke.get_or_insert(now);
        let quiet_since = self.last_heard.map_or(begun, |heard| heard.max(begun));
        if now < quiet_since + PAUSE {
            return None;
        }
        if self.heard.is_empty() {
            let uneasy = now >= quiet_since + UNEASY && self.manner != Manner::Silent;
            return uneasy.then(|| Action::Say(HELLO, phrase_ms(HELLO)));
        }
        let thinks_ms = self.thinks_ms;
        let thought = Duration::from_millis(self.rng.random_range(0..thinks_ms));
        let answer_at = *self.answer_at.get_or_insert(now + thought);
        if now < answer_at {
            return None;
        }
        self.answer_at = None;
        self.current = None;
        let heard: Vec<u8> = std::mem::take(&mut self.heard);
        let heard = heard.into_iter().rev().filter_map(text);
        self.answer(heard.map(str::to_lowercase).collect())
    }

    fn answer(&mut self, heard: Vec<String>) -> Option<Action> {
        let farewell = heard.iter().any(|text| text.contains("goodbye"));
        if farewell && self.manner != Manner::Silent {
            return self.rng.random_bool(0.5).then_some(Action::HangUp);
        }
        let said = match self.manner {
            Manner::Silent => return None,
            Manner::Endless => HOLD_ON,
            Manner::Erratic if self.rng.random_bool(0.5) => {
                self.rng.random_range(0..PHRASES.len()) as u8
            }
            Manner::Erratic | Manner::Cooperative => {
                let fits = |text: &String| {
                    let mut all = ANSWERS.iter();
                    all.find(|(words, _)| words.iter().any(|word| text.contains(word)))
                };
                let (_, answers) = heard.iter().find_map(fits)?;
                *answers.choose(&mut self.rng)?
            }
        };
        debug_assert!(said != GOODBYE || self.manner != Manner::Cooperative);
        Some(Action::Say(said, phrase_ms(said)))
    }
}
