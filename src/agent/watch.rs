//! The rules that no order of commands may break.

use std::collections::BTreeSet;

use super::{Command, LlmMessage, LlmRole, SpeculationId, TurnId};

/// Watches the order of commands.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) turn: Option<TurnId>,
    clauses: u32,
    pub(super) settled: u32,
    closed: bool,
    cancelled: BTreeSet<TurnId>,
    speculations: BTreeSet<SpeculationId>,
    finished: bool,
    hung_up: bool,
    paused: bool,
}

impl Watch {
    fn idle(&self) -> bool {
        self.turn.is_none() || (self.closed && self.settled >= self.clauses)
    }

    pub(super) fn command(&mut self, command: &Command) {
        assert!(!self.finished, "a command after the end: {command:?}");
        match command {
            Command::Speak { turn, clause, text } => {
                assert!(!self.hung_up, "speech after hanging up");
                assert!(!self.cancelled.contains(turn), "speech of a cancelled turn");
                assert!(!text.trim().is_empty(), "empty speech");
                assert!(
                    !self.paused,
                    "a clause is handed over while the floor is undecided"
                );
                if self.turn == Some(*turn) {
                    assert!(!self.closed, "a clause after FinishSpeaking");
                    assert_eq!(*clause, self.clauses, "clauses are numbered in order");
                } else {
                    assert!(self.idle(), "two turns at once");
                    assert_eq!(*clause, 0);
                    (self.turn, self.settled, self.closed) = (Some(*turn), 0, false);
                }
                self.clauses = clause + 1;
            }
            Command::Llm(request) => answers_follow_their_calls(&request.messages),
            Command::FinishSpeaking { turn } => {
                assert_eq!(self.turn, Some(*turn), "finishing another turn");
                assert!(!self.closed, "finished twice");
                self.closed = true;
            }
            Command::CancelTurn { turn } => {
                assert_eq!(
                    self.turn,
                    Some(*turn),
                    "cancelling a turn that is not on the air"
                );
                assert!(self.cancelled.insert(*turn), "cancelled twice");
                (self.turn, self.paused) = (None, false);
            }
            Command::PausePlayout => {
                assert!(self.turn.is_some() && !self.paused, "a pause of nothing");
                self.paused = true;
            }
            Command::ResumePlayout => {
                assert!(self.paused, "resumed without a pause");
                self.paused = false;
            }
            Command::Recognise {
                speculation,
                from,
                until,
                ..
            } => {
                assert!(
                    self.speculations.insert(*speculation),
                    "a number used twice"
                );
                assert!(from <= until, "recognition of nothing");
            }
            Command::DetectTurn { speculation } | Command::Discard { speculation } => {
                assert!(
                    self.speculations.contains(speculation),
                    "an unknown speculation"
                );
            }
            Command::HangUp { .. } => {
                assert!(!self.hung_up, "hung up twice");
                self.hung_up = true;
            }
            Command::Finished(_) => self.finished = true,
            _ => {}
        }
    }
}

/// Servers refuse a conversation in which a tool's result does not follow its call at once.
fn answers_follow_their_calls(messages: &[LlmMessage]) {
    let mut awaited: Vec<&str> = Vec::new();
    for message in messages {
        if let Some(id) = &message.tool_call_id {
            let at = awaited.iter().position(|awaited| awaited == id);
            awaited.remove(at.unwrap_or_else(|| panic!("a result without a call: {messages:?}")));
            continue;
        }
        assert_ne!(message.role, LlmRole::Tool, "a result of nothing");
        assert!(awaited.is_empty(), "a call without a result: {messages:?}");
        awaited = message
            .tool_calls
            .iter()
            .map(|call| call.id.as_str())
            .collect();
    }
    assert!(awaited.is_empty(), "a call without a result: {messages:?}");
}
