//! The agent itself: its state and its inputs.

use std::collections::VecDeque;
use std::time::Instant;

use super::barge_in::BargeIn;
use super::command::{Command, HangUpReason, PlayoutEvent, SpeculationId, TransferRequest, TurnId};
use super::dialogue::{Completeness, Context, Dialogue, Event, SayId};
use super::hold::Hold;
use super::listening::{Listening, Speculation};
use super::record::{CallOutcome, EndedBy, Latency, TurnRecord};
use super::requests::Pending;
use super::settings::{Settings, WallClock};
use super::utterance::Utterance;
use super::variables::Variables;

/// Most unsaid texts that wait for the floor.
pub(super) const MAX_UNSAID: usize = 256;
/// A recognised segment of at least this length is kept when the caller goes on.
const SEAL_AFTER_MS: u128 = 8_000;

/// Where the call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not answered yet.
    Ringing,
    /// In conversation.
    Live,
    /// Hung up; requests of the dialogue are still pending.
    Closing(EndedBy),
    /// Over.
    Finished,
}

/// Speech that waits for the floor.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unsaid {
    Say {
        say: SayId,
        text: String,
        interruptible: bool,
    },
    Wait,
    Transfer(TransferRequest),
    End,
}

/// The caller's turn that is being answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    pub(super) last_voiced: Instant,
    pub(super) latency: Latency,
}

/// An answered turn that can still be taken back, because nothing of the answer was heard.
pub(super) struct Retraction {
    pub(super) dialogue: Box<dyn Dialogue>,
    pub(super) listening: Listening,
    pub(super) record: TurnRecord,
}

/// An agent's turn that was cancelled and whose playout report is awaited.
pub(super) struct Cut {
    pub(super) utterance: Utterance,
    pub(super) since: Instant,
    /// Texts that waited behind it and will not be said.
    pub(super) dropped: Vec<SayId>,
}

#[derive(Debug, Default)]
pub(super) struct Digits {
    pub(super) text: String,
    pub(super) last: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Ids {
    pub(super) turn: u64,
    pub(super) speculation: u64,
    pub(super) request: u64,
}

/// Holds one conversation: listens, takes turns, speaks.
///
/// Every `handle_*` mutates once; then drain [`Agent::poll_command`] and set one timer for
/// [`Agent::poll_timeout`]. All decisions are deterministic in the inputs and their times.
pub struct Agent {
    pub(super) settings: Settings,
    pub(super) wall: WallClock,
    pub(super) phase: Phase,
    pub(super) dialogue: Box<dyn Dialogue>,
    pub(super) unsaid: VecDeque<Unsaid>,
    pub(super) air: Option<Utterance>,
    pub(super) cut: Option<Cut>,
    pub(super) ear: Option<Listening>,
    pub(super) barge: Option<BargeIn>,
    pub(super) hold: Option<Hold>,
    pub(super) requests: Vec<Pending>,
    pub(super) retraction: Option<Retraction>,
    pub(super) exchange: Option<Exchange>,
    /// The last voiced audio of the caller's last committed turn.
    pub(super) answered_until: Option<Instant>,
    pub(super) digits: Digits,
    pub(super) answered_at: Option<Instant>,
    /// Until when the greeting is held back.
    pub(super) hushed_until: Option<Instant>,
    pub(super) limit_reached: bool,
    /// Since when nobody has spoken.
    pub(super) idle_since: Instant,
    pub(super) silences: u32,
    pub(super) ending: Option<HangUpReason>,
    pub(super) ids: Ids,
    shown: Variables,
    /// Whether the recording was told to pause.
    secret: bool,
    pub(super) commands: VecDeque<Command>,
}

impl Agent {
    /// Makes an agent for one call; `wall` anchors its calendar.
    pub fn new(
        settings: Settings,
        dialogue: Box<dyn Dialogue>,
        wall: WallClock,
        now: Instant,
    ) -> Self {
        Self {
            settings,
            wall,
            phase: Phase::Ringing,
            shown: dialogue.variables().clone(),
            dialogue,
            unsaid: VecDeque::new(),
            air: None,
            cut: None,
            ear: None,
            barge: None,
            hold: None,
            requests: Vec::new(),
            retraction: None,
            exchange: None,
            answered_until: None,
            digits: Digits::default(),
            answered_at: None,
            hushed_until: None,
            limit_reached: false,
            idle_since: now,
            silences: 0,
            ending: None,
            ids: Ids::default(),
            secret: false,
            commands: VecDeque::new(),
        }
    }

    /// Takes the next command.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Borrows everything learned so far.
    pub fn variables(&self) -> &Variables {
        self.dialogue.variables()
    }

    /// Says whether the conversation is over.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// Returns the outcome as it stands.
    pub fn outcome(&self) -> CallOutcome {
        CallOutcome {
            outcome: self.dialogue.outcome(),
            ended_by: match self.phase {
                Phase::Closing(by) => by,
                _ => EndedBy::Agent,
            },
            variables: self.dialogue.variables().clone(),
        }
    }

    /// Starts the conversation.
    pub fn handle_answered(&mut self, now: Instant) {
        if self.phase != Phase::Ringing {
            return;
        }
        self.phase = Phase::Live;
        self.answered_at = Some(now);
        let delay = self.settings.greeting_delay;
        self.hushed_until = (!delay.is_zero()).then(|| now + delay);
        self.idle_since = now;
        self.deliver(now, Event::Start);
        self.settle(now);
    }

    /// Notes that voice began; `at` is when its first audio was received.
    pub fn handle_speech_start(&mut self, now: Instant, at: Instant) {
        if self.phase != Phase::Live || self.ear.as_ref().is_some_and(|e| e.voicing) {
            return;
        }
        if let Some(hold) = &mut self.hold {
            hold.voicing = true;
            return;
        }
        let at = at.min(now);
        let before = match self.ear.take() {
            None => {
                self.ear = Some(Listening::new(at));
                std::time::Duration::ZERO
            }
            Some(mut ear) => {
                let voiced = ear.voiced(at);
                self.go_on(&mut ear, at);
                self.ear = Some(ear);
                voiced
            }
        };
        self.open_barge_in(at, before);
        self.settle(now);
    }

    /// Whether a turn of the caller's is under way, or may yet go on, so that what was said in it
    /// may still be asked for.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.ear.is_some() || self.retraction.is_some()
    }

    /// Notes that voice stopped; `at` is when the last voiced audio was received.
    pub fn handle_speech_stop(&mut self, now: Instant, at: Instant) {
        if let Some(hold) = &mut self.hold {
            let voicing = std::mem::take(&mut hold.voicing);
            if let Some(ear) = self.ear.as_mut().filter(|_| voicing) {
                // It was believed to go on until the hold.
                ear.stopped_earlier(at);
            }
            return;
        }
        let Some(ear) = self.ear.as_mut().filter(|e| e.voicing) else {
            return;
        };
        if at < ear.started {
            // It ended before the hold did at whose end it was believed to go on.
            self.forget_listening();
        } else {
            ear.stop(at.min(now));
            self.look(now);
        }
        self.settle(now);
    }

    /// Takes the turn model's probability that the caller's turn is over.
    pub fn handle_turn_probability(&mut self, now: Instant, speculation: SpeculationId, p: f32) {
        if let Some(guess) = self.guess(speculation) {
            guess.probability = Some(p);
            self.settle(now);
        }
    }

    /// Takes a final transcript; an empty one says that there were no words.
    pub fn handle_transcript(&mut self, now: Instant, speculation: SpeculationId, text: &str) {
        self.transcribed(now, speculation, Ok(text.to_owned()));
    }

    /// Notes that the recogniser failed.
    pub fn handle_recognition_failed(&mut self, now: Instant, speculation: SpeculationId) {
        self.transcribed(now, speculation, Err(()));
    }

    /// Takes a report on the agent's own sound.
    pub fn handle_playout(&mut self, now: Instant, event: PlayoutEvent) {
        self.played(now, event);
        self.settle(now);
    }

    /// Notes that the remote party hung up. What is being said is cancelled; the end waits for the
    /// playout's report on it.
    pub fn handle_hang_up(&mut self, now: Instant) {
        match self.phase {
            Phase::Ringing => self.phase = Phase::Closing(EndedBy::Caller),
            Phase::Live => {
                // Whoever took the call has it: that is not called off.
                self.requests.retain(|request| !request.is_transfer());
                self.silence_everything(now);
                self.phase = Phase::Closing(EndedBy::Caller);
                self.deliver(now, Event::HungUp);
            }
            Phase::Closing(_) | Phase::Finished => return,
        }
        self.settle(now);
    }

    /// Lets the dialogue react, and performs what it wants.
    pub(super) fn deliver(&mut self, now: Instant, event: Event<'_>) {
        let mut cx = Context::new(self.wall.zoned(now), &mut self.ids.request);
        self.dialogue.handle(&mut cx, event);
        let acts = cx.into_acts();
        self.take_acts(now, acts);
    }

    /// Repeats every pending decision until nothing changes.
    pub(super) fn settle(&mut self, now: Instant) {
        for _ in 0..64 {
            let changed = match self.phase {
                Phase::Live => {
                    self.step_barge_in(now)
                        || self.step_endpoint(now)
                        || self.step_unsaid(now)
                        || self.step_off_air(now)
                }
                Phase::Closing(_) => self.step_closing(),
                Phase::Ringing | Phase::Finished => false,
            };
            if !changed {
                break;
            }
        }
        self.show_variables();
        self.keep_secret();
    }

    /// Pauses the recording where the dialogue wants nothing recorded, and until its answer cannot
    /// be taken back any more: the caller may go on with what is secret. Who hangs up there leaves
    /// it paused.
    fn keep_secret(&mut self) {
        let before = self.retraction.as_ref().map(|r| &r.dialogue);
        let secret = !self.dialogue.records() || before.is_some_and(|before| !before.records());
        if self.phase == Phase::Live && secret != self.secret {
            self.secret = secret;
            self.commands.push_back(match secret {
                true => Command::PauseRecording,
                false => Command::ResumeRecording,
            });
        }
    }

    fn show_variables(&mut self) {
        if self.phase != Phase::Finished && self.dialogue.variables() != &self.shown {
            self.shown = self.dialogue.variables().clone();
            self.commands
                .push_back(Command::SetVariables(self.shown.clone()));
        }
    }

    fn step_closing(&mut self) -> bool {
        if !self.requests.is_empty() || self.cut.is_some() {
            return false;
        }
        self.show_variables();
        let outcome = self.outcome();
        self.commands.push_back(Command::Finished(outcome));
        self.phase = Phase::Finished;
        true
    }

    /// Starts one look at the unfinished turn: transcript and turn model, in parallel.
    pub(super) fn look(&mut self, now: Instant) {
        self.ids.speculation += 1;
        let id = SpeculationId(self.ids.speculation);
        let expecting = self.dialogue.expecting();
        let Some(ear) = &mut self.ear else { return };
        ear.guess = Some(Speculation::new(id, now));
        self.commands.push_back(Command::Recognise {
            speculation: id,
            from: ear.segment_from,
            // A segment boundary may lie within the detector's hangover.
            until: ear.last_voiced.max(ear.segment_from),
            expecting,
        });
        if self.settings.turn_model {
            self.commands
                .push_back(Command::DetectTurn { speculation: id });
        }
    }

    /// The caller goes on: the look at the pause is dropped, or kept as a segment of a long turn.
    fn go_on(&mut self, ear: &mut Listening, at: Instant) {
        if let Some(guess) = ear.guess.take() {
            let length = ear
                .last_voiced
                .saturating_duration_since(ear.segment_from)
                .as_millis();
            match &guess.transcript {
                Some(Ok(text)) if length >= SEAL_AFTER_MS && !text.trim().is_empty() => {
                    ear.seal_text(text);
                    ear.segment_from = at;
                }
                Some(_) => {}
                None => self.commands.push_back(Command::Discard {
                    speculation: guess.id,
                }),
            }
            self.drop_fork_requests();
        }
        ear.go_on(at);
    }

    /// Drops the caller's unfinished turn.
    pub(super) fn forget_listening(&mut self) {
        let Some(ear) = self.ear.take() else { return };
        for guess in ear.guess.iter().filter(|g| g.transcript.is_none()) {
            self.commands.push_back(Command::Discard {
                speculation: guess.id,
            });
        }
        if let Some(seal) = ear.seal {
            self.commands.push_back(Command::Discard {
                speculation: seal.id,
            });
        }
        self.drop_fork_requests();
    }

    fn guess(&mut self, id: SpeculationId) -> Option<&mut Speculation> {
        self.ear.as_mut()?.guess.as_mut().filter(|g| g.id == id)
    }

    fn transcribed(&mut self, now: Instant, id: SpeculationId, result: Result<String, ()>) {
        if self
            .ear
            .as_ref()
            .and_then(|e| e.seal)
            .is_some_and(|s| s.id == id)
        {
            self.sealed(now, result.ok());
        } else if let Some(guess) = self.guess(id).filter(|g| g.transcript.is_none()) {
            guess.transcript = Some(result);
            guess.transcript_at = Some(now);
            self.grade_answer(now);
            self.speculate(now);
        } else {
            return;
        }
        self.settle(now);
    }

    /// Asks the grammar how complete the answer is, now that there is a text.
    fn grade_answer(&mut self, now: Instant) {
        let wall = self.wall.zoned(now);
        let Some(text) = self.ear.as_ref().and_then(Listening::text) else {
            return;
        };
        // What was said before the question was heard is no answer to it.
        let asked = self.air.is_none() && self.unsaid.is_empty();
        let grade = if asked {
            self.dialogue.completeness(&text, &wall)
        } else {
            Completeness::Open
        };
        if let Some(guess) = self.ear.as_mut().and_then(|e| e.guess.as_mut()) {
            guess.completeness = grade;
        }
    }

    pub(super) fn next_turn(&mut self) -> TurnId {
        self.ids.turn += 1;
        TurnId(self.ids.turn)
    }
}
