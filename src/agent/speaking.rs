//! The agent's own speech: from what the dialogue wants said to what was heard.

use std::time::Instant;

use super::clauses;
use super::command::{Command, HangUpReason, PlayoutEvent, TurnId};
use super::core::{Agent, MAX_UNSAID, Phase, Unsaid};
use super::dialogue::{Act, SayId};
use super::endpoint::millis;
use super::record::EndedBy;
use super::requests::{Owner, Pending, PendingKind};
use super::utterance::{Clause, ClauseState, Utterance};

impl Agent {
    /// Performs what the dialogue wants: requests at once, speech when the floor is free.
    pub(super) fn take_acts(&mut self, now: Instant, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Say {
                    say,
                    text,
                    interruptible,
                } => {
                    self.leave_unsaid(Unsaid::Say {
                        say,
                        text,
                        interruptible: interruptible && self.settings.allow_interrupt,
                    });
                }
                Act::Wait => self.leave_unsaid(Unsaid::Wait),
                Act::End => self.leave_unsaid(Unsaid::End),
                Act::Http(request) => {
                    self.close_retraction();
                    self.begin(now, request.id, PendingKind::Http(request.timeout));
                    self.commands.push_back(Command::Http(request));
                }
                Act::Llm(request) => self.begin_llm(now, request, Owner::Dialogue),
                Act::Book(request) => {
                    self.close_retraction();
                    self.begin(now, request.id, PendingKind::Book);
                    self.commands.push_back(Command::Book(request));
                }
                Act::Transfer(request) => self.leave_unsaid(Unsaid::Transfer(request)),
                Act::Cancel(request) => self.cancel_request(request),
            }
        }
    }

    fn leave_unsaid(&mut self, unsaid: Unsaid) {
        let live = self.phase == Phase::Live;
        let is_speech = matches!(unsaid, Unsaid::Say { .. } | Unsaid::Wait);
        if live && (self.unsaid.len() < MAX_UNSAID || !is_speech) {
            self.unsaid.push_back(unsaid);
        }
    }

    /// Says whether the playout still owes a report of what was sent of a turn.
    pub fn awaits_playout(&self) -> bool {
        self.cut.is_some()
    }

    /// Speaks the next unsaid text, if the floor is free.
    pub(super) fn step_unsaid(&mut self, now: Instant) -> bool {
        match self.unsaid.front() {
            None => false,
            Some(Unsaid::Say { interruptible, .. }) => {
                let interruptible = *interruptible;
                // Speech of another kind needs a turn of its own.
                if self
                    .air
                    .as_ref()
                    .is_some_and(|a| !a.closed && a.interruptible != interruptible)
                {
                    self.close_turn(now);
                    return true;
                }
                if !self.has_floor(interruptible) {
                    return false;
                }
                if let Some(Unsaid::Say { say, text, .. }) = self.unsaid.pop_front() {
                    self.speak(now, say, &text, interruptible);
                }
                true
            }
            Some(Unsaid::Wait) => {
                self.unsaid.pop_front();
                self.close_turn(now);
                true
            }
            // Whoever is being called is waited for.
            Some(Unsaid::Transfer(_) | Unsaid::End) if self.is_given_away() => false,
            Some(Unsaid::Transfer(_)) => self.step_transfer(now),
            Some(Unsaid::End) => {
                self.unsaid.clear();
                self.begin_ending(now, HangUpReason::Completed);
                true
            }
        }
    }

    /// Says whether somebody is being called who is to take the call.
    fn is_given_away(&self) -> bool {
        self.requests.iter().any(Pending::is_transfer)
    }

    /// Gives the call away once all was said and the caller is silent.
    fn step_transfer(&mut self, now: Instant) -> bool {
        if self.air.as_ref().is_some_and(|air| !air.closed) {
            self.close_turn(now);
            return true;
        }
        if self.air.is_some() || self.cut.is_some() || !self.has_floor(true) {
            return false;
        }
        if let Some(Unsaid::Transfer(request)) = self.unsaid.pop_front() {
            self.close_retraction();
            self.begin(now, request.id, PendingKind::Transfer(request.ring));
            self.commands.push_back(Command::Transfer(request));
        }
        true
    }

    /// Says whether the agent may hand a clause to the synthesiser now.
    fn has_floor(&self, interruptible: bool) -> bool {
        let nobody_listens = self.hold.is_some() || self.hushed_until.is_some();
        if self.ending.is_some() || self.barge.is_some() || nobody_listens {
            return false;
        }
        let caller_has_it = self.ear.as_ref().is_some_and(|e| !e.dismissed);
        match &self.air {
            Some(air) => !air.closed && (!interruptible || !caller_has_it),
            None => !caller_has_it,
        }
    }

    fn speak(&mut self, now: Instant, say: SayId, text: &str, interruptible: bool) {
        let mut air = match self.air.take() {
            Some(air) => air,
            None => {
                let mut air = Utterance::new(self.next_turn(), now, interruptible);
                if let Some(exchange) = &self.exchange {
                    air.latency = exchange.latency;
                }
                air
            }
        };
        for text in clauses::split(text) {
            self.commands.push_back(Command::Speak {
                turn: air.turn,
                clause: u32::try_from(air.clauses.len()).unwrap_or(u32::MAX),
                text: text.clone(),
            });
            air.clauses.push(Clause {
                say,
                text,
                state: ClauseState::Pending,
            });
        }
        air.touched = now;
        self.air = Some(air);
    }

    fn close_turn(&mut self, now: Instant) {
        if let Some(air) = self.air.as_mut().filter(|a| !a.closed) {
            air.closed = true;
            air.touched = now;
            self.commands
                .push_back(Command::FinishSpeaking { turn: air.turn });
        }
    }

    pub(super) fn begin_ending(&mut self, now: Instant, reason: HangUpReason) {
        self.close_turn(now);
        self.ending = Some(reason);
        self.barge_off();
        self.forget_listening();
    }

    fn barge_off(&mut self) {
        if self.barge.take().is_some_and(|b| b.paused) {
            self.commands.push_back(Command::ResumePlayout);
        }
    }

    /// Takes the agent's turn off the air once it is over, and hangs up if that was the last.
    pub(super) fn step_off_air(&mut self, now: Instant) -> bool {
        let pending = self.requests.iter().any(|r| r.owner == Owner::Dialogue);
        if let Some(air) = &self.air {
            if !air.quiet() {
                return false;
            }
            if !air.closed {
                // Nothing more can come: the turn ends even if the dialogue did not say so.
                if pending || !self.unsaid.is_empty() || self.barge.is_some() {
                    return false;
                }
                self.close_turn(now);
            }
            self.off_air(now);
            return true;
        }
        if self.ending.is_some() {
            self.hang_up(now);
            return true;
        }
        // The caller's turn needed no answer: it cannot be taken back any more.
        let idle = !pending && self.unsaid.is_empty() && self.ear.is_none();
        if idle && self.retraction.is_some() {
            self.close_retraction();
            self.exchange = None;
            return true;
        }
        false
    }

    fn off_air(&mut self, now: Instant) {
        if let Some(air) = self.air.take() {
            self.close_retraction();
            let unheard = air.clauses.iter().any(|c| c.state == ClauseState::Failed);
            let heard = unheard.then(|| air.heard(None));
            self.record_utterance(&air, heard);
        }
        // The last packet left before the pause took hold: nothing must stay paused.
        if self.barge.take().is_some_and(|b| b.paused) {
            self.commands.push_back(Command::ResumePlayout);
        }
        self.idle_since = now;
    }

    fn hang_up(&mut self, now: Instant) {
        let reason = self.ending.take().unwrap_or(HangUpReason::Completed);
        self.silence_everything(now);
        self.commands.push_back(Command::HangUp { reason });
        self.phase = Phase::Closing(EndedBy::Agent);
    }

    /// Takes a playout report.
    pub(super) fn played(&mut self, now: Instant, event: PlayoutEvent) {
        match event {
            PlayoutEvent::Synthesised { turn, clause, at } => {
                self.synthesised(turn, clause, at.min(now));
            }
            PlayoutEvent::Started { turn, clause, at } => {
                self.started(now, turn, clause, at.min(now))
            }
            PlayoutEvent::Finished { turn, clause } => {
                self.clause_settled(now, turn, clause, ClauseState::Done);
            }
            PlayoutEvent::Failed { turn, clause } => {
                self.clause_settled(now, turn, clause, ClauseState::Failed);
            }
            PlayoutEvent::Cancelled { turn, played } => {
                if self.cut.as_ref().is_some_and(|c| c.utterance.turn == turn) {
                    self.finish_cut(now, Some(&played));
                } else if self.air.as_ref().is_some_and(|a| a.turn == turn) {
                    // The playout gave the turn up by itself.
                    self.barge = None;
                    self.cut_off(now);
                    self.finish_cut(now, Some(&played));
                }
            }
        }
    }

    fn synthesised(&mut self, turn: TurnId, clause: u32, at: Instant) {
        if let Some(air) = self.air.as_mut().filter(|a| a.turn == turn && clause == 0) {
            air.latency
                .tts_first_audio_ms
                .get_or_insert(millis(air.spoken_at, at));
        }
    }

    fn started(&mut self, now: Instant, turn: TurnId, clause: u32, at: Instant) {
        let Some(air) = self.air.as_mut().filter(|a| a.turn == turn) else {
            return;
        };
        let Some(state) = air.clauses.get_mut(clause as usize).map(|c| &mut c.state) else {
            return;
        };
        match state {
            ClauseState::Pending => *state = ClauseState::Started,
            // Its voice failed on the way: what there is of it sounds all the same.
            ClauseState::Failed => {}
            ClauseState::Started | ClauseState::Done => return,
        }
        air.touched = now;
        if air.first_audio.is_none() {
            air.first_audio = Some(at);
            air.latency
                .tts_first_audio_ms
                .get_or_insert(millis(air.spoken_at, at));
            if let Some(exchange) = self.exchange.take() {
                air.latency.voice_to_voice_ms = Some(millis(exchange.last_voiced, at));
                let said = &mut air.latency;
                let (first_token, begins) =
                    (exchange.latency.llm_first_token_ms, exchange.latency.begins);
                said.llm_first_token_ms = said.llm_first_token_ms.or(first_token);
                said.begins.llm_ms = said.begins.llm_ms.or(begins.llm_ms);
                said.begins.tts_ms = Some(millis(exchange.last_voiced, air.spoken_at));
            }
            self.close_retraction();
        }
    }

    fn clause_settled(&mut self, now: Instant, turn: TurnId, clause: u32, to: ClauseState) {
        if to == ClauseState::Done {
            self.started(now, turn, clause, now);
        }
        let Some(air) = self.air.as_mut().filter(|a| a.turn == turn) else {
            return;
        };
        if let Some(clause) = air.clauses.get_mut(clause as usize) {
            clause.state = to;
            air.touched = now;
        }
    }

    /// Gives up a turn of which the playout reports nothing.
    pub(super) fn playout_stalled(&mut self) {
        let Some(air) = &mut self.air else { return };
        self.commands
            .push_back(Command::CancelTurn { turn: air.turn });
        let turn = air.turn;
        for clause in &mut air.clauses {
            if clause.state != ClauseState::Done {
                clause.state = ClauseState::Failed;
            }
        }
        air.closed = true;
        tracing::warn!(
            turn = turn.0,
            "playout reports nothing: the turn is given up"
        );
    }
}
