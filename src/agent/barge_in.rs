//! Barge-in: sound pauses at once; then the agent gives way, or goes on where it paused.

use std::time::{Duration, Instant};

use super::backchannel::{Heard, grade, is_beginning};
use super::command::{ClausePlayed, Command};
use super::core::{Agent, Cut, Phase, Unsaid};
use super::dialogue::{CutText, Event, SayId};
use super::listening::Listening;
use super::record::{TurnRecord, Who};

/// Grace after a short sound within which a transcript may still decide.
const TRANSCRIPT_GRACE: Duration = Duration::from_millis(1_000);
/// A sound that begins this soon after the caller's answer may be its tail: "Yes, … please".
const TAIL: Duration = Duration::from_millis(1_200);
/// Voiced time of such a tail up to which the agent can still resume.
const TAIL_MAX: Duration = Duration::from_millis(1_500);

/// For so long after the agent's first sound its echo may be unknown: the longest delay of one, and
/// the time to find it.
const ECHO_UNKNOWN: Duration = Duration::from_millis(1_500);

/// The caller made a sound while the floor was the agent's; it is not decided yet what it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct BargeIn {
    began: Instant,
    /// Voiced time of the same turn before this sound.
    voiced_before: Duration,
    /// `PausePlayout` was commanded.
    pub(super) paused: bool,
    /// Long enough for speech: the agent stays silent, and only an "mm-hm" lets it go on.
    yielded: bool,
}

enum Decision {
    GiveWay,
    Resume,
    Yield,
    Undecided,
}

impl Agent {
    /// Pauses the sound, if there is any that may be cut off.
    pub(super) fn open_barge_in(&mut self, at: Instant, voiced_before: Duration) {
        if self.barge.is_some() || self.ending.is_some() {
            return;
        }
        let sounding = match &self.air {
            Some(air) if !air.interruptible => return,
            Some(air) => !air.quiet(),
            None => false,
        };
        let thinking = self.retraction.is_some() || !self.requests.is_empty();
        if self.air.is_none() && !thinking {
            return;
        }
        if sounding {
            self.commands.push_back(Command::PausePlayout);
        }
        self.barge = Some(BargeIn {
            began: at,
            voiced_before,
            paused: sounding,
            yielded: false,
        });
    }

    /// Decides an open barge-in, if it can be.
    pub(super) fn step_barge_in(&mut self, now: Instant) -> bool {
        let Some(barge) = self.barge else {
            return false;
        };
        match self.judge(now, barge) {
            Decision::GiveWay => self.give_way(now),
            Decision::Resume => self.resume(now),
            Decision::Yield => {
                self.barge = Some(BargeIn {
                    yielded: true,
                    ..barge
                });
            }
            Decision::Undecided => return false,
        }
        true
    }

    fn judge(&self, now: Instant, barge: BargeIn) -> Decision {
        let Some(ear) = &self.ear else {
            return Decision::Resume;
        };
        if let Some(guess) = ear.guess.as_ref().filter(|g| g.transcript.is_some()) {
            return match &guess.transcript {
                Some(Ok(_)) if self.is_content(ear, now) => Decision::GiveWay,
                _ => Decision::Resume,
            };
        }
        let voiced = ear.voiced(now).saturating_sub(barge.voiced_before);
        if voiced >= self.settings.barge_in_voiced {
            if voiced >= self.backchannel_max(barge) || !self.may_be_backchannel(barge) {
                return Decision::GiveWay;
            }
            if !barge.yielded {
                return Decision::Yield;
            }
            return match ear.voicing {
                false if now >= ear.last_voiced + TRANSCRIPT_GRACE => Decision::Resume,
                _ => Decision::Undecided,
            };
        }
        if !ear.voicing && now >= barge.began + self.settings.barge_in_decision {
            return Decision::Resume;
        }
        Decision::Undecided
    }

    /// Returns when an open barge-in has to be looked at again.
    pub(super) fn barge_in_due(&self) -> Option<Instant> {
        let (barge, ear) = (self.barge?, self.ear.as_ref()?);
        if barge.yielded {
            let full = barge.voiced_before + self.backchannel_max(barge);
            return Some(
                ear.voiced_at(full)
                    .unwrap_or(ear.last_voiced + TRANSCRIPT_GRACE),
            );
        }
        let deadline = barge.began + self.settings.barge_in_decision;
        let speech = ear.voiced_at(barge.voiced_before + self.settings.barge_in_voiced);
        Some(speech.unwrap_or(deadline))
    }

    /// Says whether a sound begins so soon after the last answer that it may belong to it.
    fn is_tail(&self, began: Instant) -> bool {
        self.answered_until
            .is_some_and(|at| began.saturating_duration_since(at) <= TAIL)
    }

    fn backchannel_max(&self, barge: BargeIn) -> Duration {
        let usual = self.settings.backchannel_max;
        if self.is_tail(barge.began) {
            TAIL_MAX.max(usual)
        } else {
            usual
        }
    }

    /// Says whether a short sound may be a listener's: the question was not heard yet.
    fn may_be_backchannel(&self, barge: BargeIn) -> bool {
        if self.air.is_some() && self.is_tail(barge.began) && self.retraction.is_none() {
            return true;
        }
        let asked = self.dialogue.expecting().is_some()
            && self.air.as_ref().is_some_and(|a| a.at_last_clause());
        !asked && self.air.is_some() && self.retraction.is_none()
    }

    /// Says whether the last transcript is worth giving way to.
    pub(super) fn is_content(&self, ear: &Listening, now: Instant) -> bool {
        let text = ear.text().unwrap_or_default();
        if self.is_own_beginning(ear, &text) {
            return false;
        }
        match grade(&text) {
            Heard::Words => true,
            Heard::Nothing => false,
            Heard::Backchannel => {
                let asked = self.air.as_ref().is_some_and(|a| a.at_last_clause());
                let answer = asked && !self.is_tail(ear.started);
                answer && self.dialogue.answers(&text, &self.wall.zoned(now))
            }
        }
    }

    /// Says whether a transcript is the echo of the agent's first words.
    fn is_own_beginning(&self, ear: &Listening, text: &str) -> bool {
        let Some(air) = &self.air else { return false };
        let since = air
            .first_audio
            .map(|at| ear.started.saturating_duration_since(at));
        let early = since.is_some_and(|since| since <= ECHO_UNKNOWN);
        early && is_beginning(text, &air.text())
    }

    /// Goes on where the sound paused: it was noise, or a listener's sound.
    fn resume(&mut self, now: Instant) {
        let paused = self.barge.take().is_some_and(|b| b.paused);
        if paused && self.air.is_some() {
            self.commands.push_back(Command::ResumePlayout);
        }
        let decided = self.ear.as_ref().and_then(|e| e.guess.as_ref());
        if decided.is_some_and(|g| g.transcript.is_some()) {
            self.forget_listening();
        } else if let Some(ear) = &mut self.ear {
            ear.dismissed = true;
        }
        if let Some(air) = &mut self.air {
            air.touched = now;
        }
    }

    /// Leaves the floor to the caller: takes the answer back, or cuts it off.
    pub(super) fn give_way(&mut self, now: Instant) {
        self.barge = None;
        if let Some(ear) = &mut self.ear {
            ear.dismissed = false;
        }
        if self.retraction.is_some() {
            self.retract(now);
        } else {
            self.cut_off(now);
        }
    }

    /// Cancels the turn on the air; what was heard of it is settled when the playout reports.
    pub(super) fn cut_off(&mut self, now: Instant) {
        self.finish_cut(now, None);
        self.close_retraction();
        self.exchange = None;
        self.idle_since = now;
        match self.air.take() {
            Some(utterance) => {
                let dropped = self.drop_unsaid();
                self.commands.push_back(Command::CancelTurn {
                    turn: utterance.turn,
                });
                self.cut = Some(Cut {
                    utterance,
                    since: now,
                    dropped,
                });
            }
            // Speech that was not begun is kept: it is said when the caller is done.
            None if self.unsaid.is_empty() => self.deliver(now, Event::Interrupted { cut: &[] }),
            None => {}
        }
    }

    /// Records a cut turn with what was heard of it, and tells the dialogue.
    pub(super) fn finish_cut(&mut self, now: Instant, played: Option<&[ClausePlayed]>) {
        let Some(Cut {
            utterance,
            mut dropped,
            ..
        }) = self.cut.take()
        else {
            return;
        };
        self.record_utterance(&utterance, Some(utterance.heard(played)));
        if self.phase == Phase::Live {
            // What the dialogue wanted to say before it knew.
            dropped.extend(self.drop_unsaid());
            let mut cut = utterance.heard_texts(played);
            let unheard = |say| CutText {
                say,
                heard: String::new(),
            };
            cut.extend(dropped.into_iter().map(unheard));
            self.deliver(now, Event::Interrupted { cut: &cut });
        }
    }

    /// Forgets the speech that waits, but not what becomes of the call; returns its texts.
    fn drop_unsaid(&mut self) -> Vec<SayId> {
        let mut dropped = Vec::new();
        self.unsaid.retain(|unsaid| {
            if let Unsaid::Say { say, .. } = unsaid {
                dropped.push(*say);
            }
            matches!(unsaid, Unsaid::Transfer(_) | Unsaid::End)
        });
        dropped
    }

    /// Takes back an answer of which nothing was heard: the caller had not finished.
    fn retract(&mut self, now: Instant) {
        let Some(retraction) = self.retraction.take() else {
            return;
        };
        if let Some(air) = self.air.take() {
            self.commands
                .push_back(Command::CancelTurn { turn: air.turn });
        }
        self.drop_requests();
        self.unsaid.clear();
        self.exchange = None;
        self.dialogue = retraction.dialogue;
        let Some(later) = self.ear.take() else {
            self.ear = Some(retraction.listening);
            return;
        };
        for guess in later.guess.iter().filter(|g| g.transcript.is_none()) {
            self.commands.push_back(Command::Discard {
                speculation: guess.id,
            });
        }
        let ear = retraction.listening.reopen(&later);
        let stopped = !ear.voicing;
        self.ear = Some(ear);
        if stopped {
            self.look(now);
        }
    }

    /// Writes the agent's turn into the transcript.
    pub(super) fn record_utterance(
        &mut self,
        said: &super::utterance::Utterance,
        heard: Option<String>,
    ) {
        let text = said.text();
        let started = said.first_audio.unwrap_or(said.spoken_at);
        self.commands.push_back(Command::Record(TurnRecord {
            who: Who::Agent,
            interrupted: heard.is_some(),
            heard_text: heard.filter(|h| *h != text),
            text,
            started_at: self.wall.timestamp(started),
            latency: said.latency,
        }));
    }
}
