//! One turn of the agent's speech: its clauses and how much of them was heard.

use std::time::{Duration, Instant};

use super::command::{ClausePlayed, TurnId};
use super::dialogue::{CutText, SayId};
use super::record::Latency;

/// Speech takes about this long per character: used only where no playout figure is known.
const MS_PER_CHAR: usize = 65;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClauseState {
    /// Handed over, no sound yet.
    Pending,
    /// Its first packet left.
    Started,
    /// All of its sound left.
    Done,
    /// It never sounded.
    Failed,
}

#[derive(Debug, Clone)]
pub(super) struct Clause {
    /// The text that it is a part of.
    pub(super) say: SayId,
    pub(super) text: String,
    pub(super) state: ClauseState,
}

impl Clause {
    fn settled(&self) -> bool {
        matches!(self.state, ClauseState::Done | ClauseState::Failed)
    }
}

/// Holds the agent's turn that is on the air.
#[derive(Debug, Clone)]
pub(super) struct Utterance {
    pub(super) turn: TurnId,
    pub(super) clauses: Vec<Clause>,
    pub(super) interruptible: bool,
    /// No clause follows; `FinishSpeaking` was commanded.
    pub(super) closed: bool,
    pub(super) spoken_at: Instant,
    pub(super) first_audio: Option<Instant>,
    /// The last report or command about this turn, for the stall watch.
    pub(super) touched: Instant,
    pub(super) latency: Latency,
}

impl Utterance {
    pub(super) fn new(turn: TurnId, now: Instant, interruptible: bool) -> Self {
        Self {
            turn,
            clauses: Vec::new(),
            interruptible,
            closed: false,
            spoken_at: now,
            first_audio: None,
            touched: now,
            latency: Latency::default(),
        }
    }

    /// Says whether every clause handed over has been played or has failed.
    pub(super) fn quiet(&self) -> bool {
        self.clauses.iter().all(Clause::settled)
    }

    /// Says whether only the last clause is left to hear.
    pub(super) fn at_last_clause(&self) -> bool {
        self.closed && self.clauses.iter().rev().skip(1).all(Clause::settled)
    }

    /// Returns the whole text.
    pub(super) fn text(&self) -> String {
        join(self.clauses.iter().map(|c| c.text.as_str()))
    }

    /// Returns how long the unfinished clauses take at most, for the stall watch.
    pub(super) fn remaining(&self) -> Duration {
        let chars = self.clauses.iter().filter(|c| !c.settled());
        let longest = chars.map(|c| c.text.chars().count()).max().unwrap_or(0);
        Duration::from_millis((longest * MS_PER_CHAR * 2) as u64)
    }

    /// Returns the text heard, by the playout's report or, without one, by the clauses that it
    /// reported whole: the clock does not tell what was sent, since there may have been a pause or
    /// a hold.
    pub(super) fn heard(&self, played: Option<&[ClausePlayed]>) -> String {
        join(self.heard_clauses(played).map(|(_, heard)| heard))
    }

    /// Returns what was heard of each text, as [`Utterance::heard`] tells it of the whole turn.
    pub(super) fn heard_texts(&self, played: Option<&[ClausePlayed]>) -> Vec<CutText> {
        let mut texts: Vec<CutText> = Vec::new();
        for (say, heard) in self.heard_clauses(played) {
            match texts.last_mut() {
                Some(text) if text.say == say => {
                    text.heard = join([text.heard.as_str(), heard].into_iter());
                }
                _ => texts.push(CutText {
                    say,
                    heard: heard.to_owned(),
                }),
            }
        }
        texts
    }

    fn heard_clauses<'u>(
        &'u self,
        played: Option<&'u [ClausePlayed]>,
    ) -> impl Iterator<Item = (SayId, &'u str)> {
        self.clauses.iter().enumerate().map(move |(index, clause)| {
            let report = played.and_then(|all| all.iter().find(|p| p.clause as usize == index));
            let heard = match (clause.state, report) {
                (ClauseState::Done, _) => clause.text.as_str(),
                (_, Some(report)) => cut(&clause.text, report.played_ms, report.total_ms),
                _ => "",
            };
            (clause.say, heard)
        })
    }
}

/// Cuts a clause after the last word that was wholly played.
fn cut(text: &str, played_ms: u32, total_ms: Option<u32>) -> &str {
    let chars = text.chars().count();
    let total = total_ms
        .map_or(chars * MS_PER_CHAR, |ms| ms as usize)
        .max(1);
    let played = played_ms as usize;
    if played >= total {
        return text;
    }
    let budget = chars * played / total;
    let mut end = 0;
    let mut seen = 0;
    for (at, c) in text.char_indices() {
        seen += 1;
        let last_of_word = text
            .get(at + c.len_utf8()..)
            .and_then(|t| t.chars().next())
            .is_none_or(char::is_whitespace);
        if seen > budget {
            break;
        }
        if last_of_word {
            end = at + c.len_utf8();
        }
    }
    text.get(..end).unwrap_or_default().trim_end()
}

fn join<'t>(parts: impl Iterator<Item = &'t str>) -> String {
    parts
        .filter(|p| !p.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_is_cut_at_the_last_word_wholly_played() {
        let text = "The quick brown fox jumps";
        assert_eq!(cut(text, 0, Some(2500)), "");
        assert_eq!(cut(text, 350, Some(2500)), "The");
        assert_eq!(cut(text, 1000, Some(2500)), "The quick");
        assert_eq!(cut(text, 2500, Some(2500)), text);
        assert_eq!(cut("Été à Évian", 500, Some(1100)), "Été à");
    }
}
