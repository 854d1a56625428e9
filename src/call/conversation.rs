//! The shell around one [`Agent`]: carries out its commands on the media leg, the models, the LLM
//! and the web, and brings back what came of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use offhook_media::UtteranceId;

use super::digits::{Digits, Key};
use super::requests::Requests;
use super::spans::Turns;
use super::speech::{SpeechQueue, Step};
use crate::agent::{
    Agent, BookRequest, CallOutcome, Command, LlmEvent, PlayoutEvent, RequestFailure, RequestId,
    SpeculationId, TransferRequest, TurnRecord, Variables,
};
use crate::agent::{Booking, HangUpReason, HttpResponse};
use crate::ai::hearing::{Ears, Edge};
use crate::ai::{Abandon, Recognised, Sound, TextToSpeech};
use crate::mailbox;
use crate::net::media::{self, LegEvent, LegId, MediaThread};

/// Results of models and requests that may wait for one call.
pub const WORK_QUEUE: usize = 512;

/// Something that was asked for is done.
#[derive(Debug)]
pub enum Work {
    /// A recogniser's result.
    Transcript(SpeculationId, Result<Recognised, String>),
    /// The turn model's result.
    TurnProbability(SpeculationId, Result<f32, String>),
    /// Sound of an utterance.
    Sound(UtteranceId, Sound),
    /// An HTTP answer.
    Http(RequestId, Result<HttpResponse, RequestFailure>),
    /// Progress of an LLM's answer.
    Llm(RequestId, LlmEvent),
    /// An appointment's answer.
    Booked(RequestId, Result<Booking, RequestFailure>),
    /// Nobody took the call.
    NotTransferred(RequestId, RequestFailure),
}

/// What the call around the conversation must do.
#[derive(Debug)]
pub enum Directive {
    /// Write a turn down.
    Record(TurnRecord),
    /// Write down what was learnt.
    Variables(Variables),
    /// Book an appointment; the answer comes back as [`Work::Booked`].
    Book(BookRequest),
    /// Give the call to a person; a failure comes back as [`Work::NotTransferred`].
    Transfer(TransferRequest),
    /// Nobody is to take the call any more.
    CallOffTransfer,
    /// Pause the call's recording, or let it go on.
    PauseRecording(bool),
    /// End the call.
    HangUp(HangUpReason),
    /// The conversation is over.
    Finished(CallOutcome),
}

/// One agent's conversation on one leg.
pub struct Conversation {
    agent: Agent,
    speech: SpeechQueue,
    digits: Digits,
    leg: LegId,
    media: MediaThread,
    ears: Ears,
    voice: Arc<dyn TextToSpeech>,
    requests: Requests,
    work: mailbox::Sender<Work>,
    synthesising: HashMap<UtteranceId, Abandon>,
    speculations: HashMap<SpeculationId, Abandon>,
    directives: Vec<Directive>,
    /// The transfer that is under way.
    transferring: Option<RequestId>,
    turns: Turns,
    /// Edges of the caller's speech taken so far, and by when the ears were last told that no turn
    /// is under way.
    edges: u32,
    between_turns_at: u32,
}

/// What a conversation needs.
pub struct Parts {
    /// The agent, not yet started.
    pub agent: Agent,
    /// Its leg.
    pub leg: LegId,
    /// The thread that the leg lives on.
    pub media: MediaThread,
    /// What the leg hears.
    pub ears: Ears,
    /// The agent's voice.
    pub voice: Arc<dyn TextToSpeech>,
    /// Its way to the web and the LLM.
    pub requests: Requests,
    /// Where results go: the other end is read by the call's task.
    pub work: mailbox::Sender<Work>,
    /// Samples per second of the leg's sound; until it is known, what it will most likely be.
    pub rate_hz: u32,
}

impl Conversation {
    /// Makes a conversation that has not begun.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            agent: parts.agent,
            speech: SpeechQueue::new(parts.rate_hz),
            digits: Digits::default(),
            leg: parts.leg,
            media: parts.media,
            ears: parts.ears,
            voice: parts.voice,
            requests: parts.requests,
            work: parts.work,
            synthesising: HashMap::new(),
            speculations: HashMap::new(),
            directives: Vec::new(),
            turns: Turns::begin(),
            edges: 0,
            between_turns_at: 0,
            transferring: None,
        }
    }

    /// The agent's voice.
    #[must_use]
    pub fn voice(&self) -> &Arc<dyn TextToSpeech> {
        &self.voice
    }

    /// Synthesises a text ahead, such as the greeting while the phone still rings.
    pub fn prepare(&mut self, text: String) {
        self.speech.prepare(text);
        self.carry_out_steps();
    }

    /// Sets the rate of the leg's sound, now that it is known; nothing was said yet.
    pub fn set_rate(&mut self, rate_hz: u32) {
        self.speech.set_rate(rate_hz);
        self.carry_out_steps();
    }

    /// Begins: the call was answered.
    pub fn start(&mut self, now: Instant) {
        self.turns = Turns::begin();
        let _turn = self.turns.enter();
        self.agent.handle_answered(now);
        self.drain(now);
    }

    /// Takes the other side's hang-up.
    pub fn handle_hung_up(&mut self, now: Instant) {
        let _turn = self.turns.enter();
        self.agent.handle_hang_up(now);
        self.drain(now);
    }

    /// Takes note whether the other side holds the call.
    pub fn handle_hold(&mut self, now: Instant, held: bool) {
        match held {
            true => self.agent.handle_held(now),
            false => self.agent.handle_resumed(now),
        }
        self.drain(now);
    }

    /// Whether the playout still owes a report of what was sent.
    #[must_use]
    pub fn awaits_playout(&self) -> bool {
        self.agent.awaits_playout()
    }

    /// Takes a key that came by INFO; one that the media told of as well counts once.
    pub(crate) fn handle_info_key(&mut self, now: Instant, key: Key) {
        let _turn = self.turns.enter();
        if self.digits.inform(now, key) {
            self.agent.handle_digit(now, key.digit);
            self.drain(now);
        }
    }

    /// Takes an edge of the caller's speech.
    pub fn handle_edge(&mut self, now: Instant, edge: Edge) {
        let _turn = self.turns.enter();
        tracing::debug!(
            edge = edge.name(),
            ago_ms = edge.age(now).as_millis(),
            "the caller's voice"
        );
        self.edges = self.edges.wrapping_add(1);
        match edge {
            Edge::SpeechStart { at } => self.agent.handle_speech_start(now, at),
            Edge::SpeechStop { at } => self.agent.handle_speech_stop(now, at),
        }
        self.drain(now);
    }

    /// Takes what happened on the leg.
    pub fn handle_leg(&mut self, now: Instant, event: &LegEvent) {
        let _turn = self.turns.enter();
        if let LegEvent::Dtmf { digit, held } = event
            && self.digits.hear(now, *digit, *held)
        {
            self.agent.handle_digit(now, *digit);
        }
        if let Some(played) = self.speech.handle_leg(event) {
            self.agent.handle_playout(now, played);
        }
        self.drain(now);
    }

    /// Takes a result.
    pub fn handle_work(&mut self, now: Instant, work: Work) {
        let _turn = self.turns.enter();
        match work {
            Work::Transcript(speculation, Ok(heard)) => {
                self.speculations.remove(&speculation);
                tracing::debug!(text = %heard.text, took_ms = heard.took_ms, "recognised");
                self.agent.handle_transcript(now, speculation, &heard.text);
            }
            Work::Transcript(speculation, Err(reason)) => {
                self.speculations.remove(&speculation);
                tracing::warn!(%reason, "the recogniser failed");
                self.agent.handle_recognition_failed(now, speculation);
            }
            Work::TurnProbability(speculation, Ok(probability)) => {
                tracing::debug!(probability, "is the turn over?");
                self.agent
                    .handle_turn_probability(now, speculation, probability);
            }
            // Without the model's word the silence cap ends the turn.
            Work::TurnProbability(_, Err(reason)) => {
                tracing::warn!(%reason, "the turn model failed");
            }
            Work::Sound(utterance, sound) => self.handle_sound(now, utterance, sound),
            Work::Http(request, answer) => {
                self.requests.done(request);
                self.agent.handle_http(now, request, answer);
            }
            Work::Llm(request, event) => self.agent.handle_llm(now, request, event),
            Work::Booked(request, answer) => self.agent.handle_booked(now, request, answer),
            Work::NotTransferred(request, why) => {
                self.transferring.take_if(|under_way| *under_way == request);
                self.agent.handle_not_transferred(now, request, why);
            }
        }
        self.drain(now);
    }

    fn handle_sound(&mut self, now: Instant, utterance: UtteranceId, sound: Sound) {
        let event = match sound {
            Sound::Chunk(samples) => {
                let first = self.speech.sound(utterance, samples);
                first.map(|(turn, clause)| PlayoutEvent::Synthesised {
                    turn,
                    clause,
                    at: now,
                })
            }
            Sound::End => {
                self.synthesising.remove(&utterance);
                self.speech.complete(utterance)
            }
            Sound::Failed(reason) => {
                tracing::warn!(%reason, "a clause could not be spoken");
                self.synthesising.remove(&utterance);
                self.speech.failed(utterance)
            }
        };
        if let Some(event) = event {
            self.agent.handle_playout(now, event);
        }
    }

    /// When [`Conversation::handle_timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.agent.poll_timeout().map(|(at, _)| at)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _turn = self.turns.enter();
        self.agent.handle_timeout(now);
        self.drain(now);
    }

    /// Takes what the call must do, in order.
    pub fn take_directives(&mut self) -> Vec<Directive> {
        std::mem::take(&mut self.directives)
    }

    fn drain(&mut self, now: Instant) {
        while let Some(command) = self.agent.poll_command() {
            self.carry_out(now, command);
        }
        if self.edges != self.between_turns_at && !self.agent.is_listening() {
            self.between_turns_at = self.edges;
            self.ears.end_turn(self.edges);
        }
        self.carry_out_steps();
    }

    fn carry_out(&mut self, now: Instant, command: Command) {
        match command {
            Command::Recognise {
                speculation,
                from,
                until,
                expecting,
            } => {
                let abandon = self.speculate(speculation);
                let work = self.work.clone();
                let deliver = Box::new(move |heard| {
                    report(&work, Work::Transcript(speculation, heard));
                });
                self.ears
                    .recognise(from, until, expecting, abandon, deliver);
            }
            Command::DetectTurn { speculation } => {
                let abandon = self.speculate(speculation);
                let work = self.work.clone();
                let deliver = Box::new(move |judged| {
                    report(&work, Work::TurnProbability(speculation, judged));
                });
                self.ears.judge_turn(abandon, deliver);
            }
            Command::Discard { speculation } => {
                if let Some(abandon) = self.speculations.remove(&speculation) {
                    abandon.abandon();
                }
            }
            Command::Prepare { text } => self.speech.prepare(text),
            Command::Speak { turn, clause, text } => {
                if !self.speech.speak(turn, clause, text) {
                    let failed = PlayoutEvent::Failed { turn, clause };
                    self.agent.handle_playout(now, failed);
                }
            }
            Command::FinishSpeaking { .. } => {}
            Command::PausePlayout => {
                tracing::debug!("the agent pauses");
                self.tell(media::Command::Pause(self.leg));
            }
            Command::ResumePlayout => {
                tracing::debug!("the agent goes on");
                crate::meters::resumed();
                self.tell(media::Command::Resume(self.leg));
            }
            Command::CancelTurn { turn } => {
                if let Some(unheard) = self.speech.cancel(turn) {
                    self.agent.handle_playout(now, unheard);
                }
            }
            Command::Http(request) => self.requests.http(request, self.work.clone()),
            Command::Llm(request) => self.requests.llm(request, self.work.clone()),
            Command::CancelRequest { request } if self.transferring == Some(request) => {
                self.transferring = None;
                self.directives.push(Directive::CallOffTransfer);
            }
            Command::CancelRequest { request } => self.requests.cancel(request),
            Command::Transfer(request) => {
                self.transferring = Some(request.id);
                self.directives.push(Directive::Transfer(request));
            }
            Command::Book(request) => self.directives.push(Directive::Book(request)),
            Command::Record(turn) => {
                self.directives.push(Directive::Record(turn));
                self.turns.next();
            }
            Command::SetVariables(all) => self.directives.push(Directive::Variables(all)),
            Command::PauseRecording => self.directives.push(Directive::PauseRecording(true)),
            Command::ResumeRecording => self.directives.push(Directive::PauseRecording(false)),
            Command::HangUp { reason } => self.directives.push(Directive::HangUp(reason)),
            Command::Finished(outcome) => self.directives.push(Directive::Finished(outcome)),
        }
    }

    fn speculate(&mut self, speculation: SpeculationId) -> Abandon {
        self.speculations.entry(speculation).or_default().clone()
    }

    fn carry_out_steps(&mut self) {
        while let Some(step) = self.speech.poll_step() {
            match step {
                Step::Synthesise(utterance, text) => self.synthesise(utterance, &text),
                Step::Abandon(utterance) => {
                    if let Some(abandon) = self.synthesising.remove(&utterance) {
                        abandon.abandon();
                    }
                }
                Step::Play(utterance, samples) => {
                    let leg = self.leg;
                    self.tell(media::Command::Play {
                        leg,
                        utterance,
                        samples,
                    });
                }
                Step::Finish(utterance) => {
                    self.tell(media::Command::Finish(self.leg, utterance));
                }
                Step::CancelPlayout => self.tell(media::Command::Cancel(self.leg)),
            }
        }
    }

    fn synthesise(&mut self, utterance: UtteranceId, text: &str) {
        let abandon = Abandon::default();
        self.synthesising.insert(utterance, abandon.clone());
        let work = self.work.clone();
        let deliver = Box::new(move |sound| report(&work, Work::Sound(utterance, sound)));
        self.voice
            .speak(text, self.speech.rate_hz(), abandon, deliver);
    }

    fn tell(&self, command: media::Command) {
        if let Err(error) = self.media.send(command) {
            tracing::error!(%error, "the media thread did not take a command");
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.synthesising
            .values()
            .chain(self.speculations.values())
            .for_each(Abandon::abandon);
    }
}

/// Hands a result to the call's task; false when the call is over or does not keep up.
fn report(work: &mailbox::Sender<Work>, result: Work) -> bool {
    work.try_send(result).is_ok()
}
