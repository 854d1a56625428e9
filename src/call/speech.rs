//! The order of speech: clauses are synthesised side by side but played one after the other, and
//! what was really sent of each is known. Pure: the session feeds it and carries out what it says.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::agent::{ClausePlayed, PlayoutEvent, TurnId};
use crate::net::media::LegEvent;
use offhook_media::UtteranceId;

/// Clauses synthesised ahead of their turn that are kept at once.
const PREPARED_MAX: usize = 3;
/// Clauses that may be in the works at once; an agent that talks faster is cut off.
const CLAUSES_MAX: usize = 256;

/// What the session does next for the speech.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Start synthesising this text for this utterance.
    Synthesise(UtteranceId, String),
    /// Stop synthesising this utterance, if that still runs.
    Abandon(UtteranceId),
    /// Put this sound into the playout.
    Play(UtteranceId, Arc<[i16]>),
    /// Say that the utterance's sound is complete.
    Finish(UtteranceId),
    /// Drop what the playout holds.
    CancelPlayout,
}

#[derive(Debug)]
struct Clause {
    utterance: UtteranceId,
    /// `None` while it is only prepared.
    place: Option<(TurnId, u32)>,
    text: String,
    /// Sound that waits for the clauses before it.
    waiting: Vec<Arc<[i16]>>,
    /// Samples synthesised so far.
    samples: u64,
    complete: bool,
    /// Everything was handed to the playout.
    handed_over: bool,
    /// Everything was sent.
    over: bool,
    /// The voice failed on the way: what there is of it is not the whole text.
    broken: bool,
}

/// Keeps the clauses of a call in order.
#[derive(Debug)]
pub struct SpeechQueue {
    rate_hz: u32,
    next: u64,
    prepared: VecDeque<Clause>,
    clauses: VecDeque<Clause>,
    /// The turn whose playout was asked to be dropped.
    cancelling: Option<TurnId>,
    steps: VecDeque<Step>,
}

impl SpeechQueue {
    /// Makes an empty queue for sound at `rate_hz`.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            next: 0,
            prepared: VecDeque::new(),
            clauses: VecDeque::new(),
            cancelling: None,
            steps: VecDeque::new(),
        }
    }

    /// Samples per second of the sound.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Sets the rate of the sound before anything is said; what was prepared at another rate is
    /// synthesised anew.
    pub fn set_rate(&mut self, rate_hz: u32) {
        if rate_hz == self.rate_hz {
            return;
        }
        self.rate_hz = rate_hz;
        for clause in std::mem::take(&mut self.prepared) {
            self.steps.push_back(Step::Abandon(clause.utterance));
            self.prepare(clause.text);
        }
    }

    /// Takes the next thing to do.
    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Synthesises a text that is likely to be said.
    pub fn prepare(&mut self, text: String) {
        if self.prepared.iter().any(|clause| clause.text == text) {
            return;
        }
        if self.prepared.len() == PREPARED_MAX
            && let Some(dropped) = self.prepared.pop_front()
        {
            self.steps.push_back(Step::Abandon(dropped.utterance));
        }
        let clause = self.clause(text, None);
        self.prepared.push_back(clause);
    }

    /// Says a clause of a turn after those that were asked for before; false when too many wait.
    pub fn speak(&mut self, turn: TurnId, number: u32, text: String) -> bool {
        if self.clauses.len() == CLAUSES_MAX {
            return false;
        }
        let ready = self.prepared.iter().position(|clause| clause.text == text);
        let clause = match ready.and_then(|at| self.prepared.remove(at)) {
            Some(mut clause) => {
                clause.place = Some((turn, number));
                clause
            }
            None => self.clause(text, Some((turn, number))),
        };
        self.clauses.push_back(clause);
        self.hand_over();
        true
    }

    fn clause(&mut self, text: String, place: Option<(TurnId, u32)>) -> Clause {
        self.next += 1;
        let utterance = UtteranceId(self.next);
        self.steps
            .push_back(Step::Synthesise(utterance, text.clone()));
        Clause {
            utterance,
            place,
            text,
            waiting: Vec::new(),
            samples: 0,
            complete: false,
            handed_over: false,
            over: false,
            broken: false,
        }
    }

    /// Takes sound of an utterance. Gives the turn and clause when it is their first.
    pub fn sound(&mut self, utterance: UtteranceId, samples: Arc<[i16]>) -> Option<(TurnId, u32)> {
        let clause = self.find(utterance)?;
        let first = clause.samples == 0;
        clause.samples += samples.len() as u64;
        clause.waiting.push(samples);
        let place = clause.place.filter(|_| first);
        self.hand_over();
        place
    }

    /// Takes note that an utterance's sound is complete.
    pub fn complete(&mut self, utterance: UtteranceId) -> Option<PlayoutEvent> {
        // What was prepared and has no sound is no use: it is tried again when it is to be said.
        let mute = |clause: &Clause| clause.utterance == utterance && clause.samples == 0;
        self.prepared.retain(|clause| !mute(clause));
        let clause = self.find(utterance)?;
        clause.complete = true;
        // A clause without any sound, such as "…", is over as soon as its turn comes.
        if clause.samples == 0 && clause.place.is_some() {
            return self.failed(utterance);
        }
        self.hand_over();
        None
    }

    /// Takes note that an utterance could not be synthesised.
    pub fn failed(&mut self, utterance: UtteranceId) -> Option<PlayoutEvent> {
        self.prepared.retain(|clause| clause.utterance != utterance);
        let at = self
            .clauses
            .iter()
            .position(|clause| clause.utterance == utterance)?;
        let clause = self.clauses.get_mut(at)?;
        let place = clause.place;
        if clause.samples > 0 {
            // What there is of it is played; the rest is missing.
            clause.complete = true;
            clause.broken = true;
        } else {
            self.clauses.remove(at);
        }
        self.hand_over();
        place.map(|(turn, clause)| PlayoutEvent::Failed { turn, clause })
    }

    /// Takes what the leg reports of its playout, and tells the agent's side of it.
    pub fn handle_leg(&mut self, event: &LegEvent) -> Option<PlayoutEvent> {
        match event {
            LegEvent::PlayoutStarted { utterance, at } => {
                let (turn, clause) = self.place(*utterance)?;
                let at = *at;
                Some(PlayoutEvent::Started { turn, clause, at })
            }
            LegEvent::PlayoutFinished { utterance, .. } => self.finished(*utterance),
            LegEvent::Cancelled { played } => self.cancelled(*played),
            _ => None,
        }
    }

    /// Finds where an utterance stands.
    #[must_use]
    pub fn place(&self, utterance: UtteranceId) -> Option<(TurnId, u32)> {
        self.clauses
            .iter()
            .find(|clause| clause.utterance == utterance)?
            .place
    }

    /// Takes note that an utterance was sent to its end.
    pub fn finished(&mut self, utterance: UtteranceId) -> Option<PlayoutEvent> {
        let clause = self
            .clauses
            .iter_mut()
            .find(|clause| clause.utterance == utterance)?;
        clause.over = true;
        let broken = clause.broken;
        let (turn, clause) = clause.place?;
        if self.cancelling.is_none() {
            // Finished turns need not be remembered: what was heard of them is all of it.
            while self.clauses.len() > 1 && self.clauses.front().is_some_and(|c| c.over) {
                let next_turn = self
                    .clauses
                    .get(1)
                    .and_then(|c| c.place)
                    .map(|(turn, _)| turn);
                if next_turn
                    == self
                        .clauses
                        .front()
                        .and_then(|c| c.place)
                        .map(|(turn, _)| turn)
                {
                    break;
                }
                self.clauses.pop_front();
            }
        }
        // Its failure was told when it happened.
        (!broken).then_some(PlayoutEvent::Finished { turn, clause })
    }

    /// Drops a turn: what is not sent yet will not be. What was sent of it is told when the playout
    /// has reported. While a report on an earlier turn is awaited nothing of a later one has been
    /// handed over: that one is dropped here and now, so that no more than one report is ever
    /// awaited.
    pub fn cancel(&mut self, turn: TurnId) -> Option<PlayoutEvent> {
        let of_turn = |clause: &Clause| clause.place.is_some_and(|(t, _)| t == turn);
        for clause in self.clauses.iter().filter(|c| of_turn(c) && !c.complete) {
            self.steps.push_back(Step::Abandon(clause.utterance));
        }
        match self.cancelling {
            Some(awaited) if awaited == turn => None,
            Some(_) => {
                self.clauses.retain(|clause| !of_turn(clause));
                let played = Vec::new();
                Some(PlayoutEvent::Cancelled { turn, played })
            }
            None => {
                self.cancelling = Some(turn);
                self.steps.push_back(Step::CancelPlayout);
                None
            }
        }
    }

    /// Takes note of what the playout had sent when it was dropped.
    pub fn cancelled(&mut self, playing: Option<(UtteranceId, u64)>) -> Option<PlayoutEvent> {
        let turn = self.cancelling.take()?;
        let rate_hz = self.rate_hz;
        let mut played = Vec::new();
        self.clauses.retain(|clause| {
            let Some((of_turn, number)) = clause.place else {
                return true;
            };
            if of_turn != turn {
                return true;
            }
            let sent = match playing {
                Some((utterance, sent)) if utterance == clause.utterance => sent,
                _ if clause.over => clause.samples,
                _ => 0,
            };
            if sent > 0 {
                played.push(ClausePlayed {
                    clause: number,
                    played_ms: milliseconds(sent, rate_hz),
                    total_ms: (clause.complete && !clause.broken)
                        .then(|| milliseconds(clause.samples, rate_hz)),
                });
            }
            false
        });
        self.hand_over();
        Some(PlayoutEvent::Cancelled { turn, played })
    }

    fn find(&mut self, utterance: UtteranceId) -> Option<&mut Clause> {
        self.clauses
            .iter_mut()
            .chain(&mut self.prepared)
            .find(|c| c.utterance == utterance)
    }

    /// Hands sound to the playout, strictly in the order of the clauses.
    fn hand_over(&mut self) {
        if self.cancelling.is_some() {
            return;
        }
        for clause in &mut self.clauses {
            if clause.handed_over {
                continue;
            }
            for samples in clause.waiting.drain(..) {
                self.steps.push_back(Step::Play(clause.utterance, samples));
            }
            if !clause.complete {
                return;
            }
            clause.handed_over = true;
            self.steps.push_back(Step::Finish(clause.utterance));
        }
    }
}

fn milliseconds(samples: u64, rate_hz: u32) -> u32 {
    u32::try_from(samples * 1000 / u64::from(rate_hz.max(1))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
