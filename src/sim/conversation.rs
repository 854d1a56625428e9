//! One agent's conversation, driven as `call::conversation` drives it: the same agent and the same
//! queue of speech, with fake models and channels of virtual time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use offhook_media::UtteranceId;
use offhook_media::dtmf::Way;

use super::clock::{Channel, Input, Moment};
use super::hearing::Ears;
use super::leg::Command as ToLeg;
use super::models::Models;
use super::voice;
use super::world::Cx;
use crate::agent::{Agent, Command, PlayoutEvent, RequestId, SpeculationId};
use crate::ai::Sound;
use crate::ai::hearing::Edge;
use crate::call::conversation::{Directive, Work};
use crate::call::digits::{Digits, Key};
use crate::call::speech::{SpeechQueue, Step};
use crate::net::media::LegEvent;

/// Probability that a result still comes although nobody wants it any more: it was on its way.
const TOO_LATE_TO_STOP: f64 = 0.3;

pub(super) struct Conversation {
    agent: Agent,
    pub(super) speech: SpeechQueue,
    digits: Digits,
    pub(super) ears: Ears,
    models: Models,
    call: usize,
    media: Channel,
    directives: Vec<Directive>,
    abandoned: BTreeSet<UtteranceId>,
    discarded: BTreeSet<SpeculationId>,
    cancelled: BTreeSet<RequestId>,
}

impl Conversation {
    pub(super) fn new(agent: Agent, models: Models, call: usize) -> Self {
        Self {
            agent,
            speech: SpeechQueue::new(voice::RATE_HZ as u32),
            digits: Digits::default(),
            ears: Ears::default(),
            models,
            call,
            media: Channel::default(),
            directives: Vec::new(),
            abandoned: BTreeSet::new(),
            discarded: BTreeSet::new(),
            cancelled: BTreeSet::new(),
        }
    }

    pub(super) fn prepare(&mut self, cx: &mut Cx, text: String) {
        self.speech.prepare(text);
        self.carry_out_steps(cx);
    }

    pub(super) fn start(&mut self, cx: &mut Cx) {
        self.agent.handle_answered(cx.clock.now());
        self.drain(cx);
    }

    pub(super) fn handle_hung_up(&mut self, cx: &mut Cx) {
        self.agent.handle_hang_up(cx.clock.now());
        self.drain(cx);
    }

    pub(super) fn handle_hold(&mut self, cx: &mut Cx, held: bool) {
        match held {
            true => self.agent.handle_held(cx.clock.now()),
            false => self.agent.handle_resumed(cx.clock.now()),
        }
        self.drain(cx);
    }

    pub(super) fn awaits_playout(&self) -> bool {
        self.agent.awaits_playout()
    }

    pub(super) fn handle_info_key(&mut self, cx: &mut Cx, key: Key) {
        let now = cx.clock.now();
        if self.digits.inform(now, key) {
            cx.watch_digit(self.call, key.digit, Way::Info);
            self.agent.handle_digit(now, key.digit);
            self.drain(cx);
        }
    }

    pub(super) fn handle_edge(&mut self, cx: &mut Cx, edge: Edge) {
        let now = cx.clock.now();
        match edge {
            Edge::SpeechStart { at } => self.agent.handle_speech_start(now, at),
            Edge::SpeechStop { at } => self.agent.handle_speech_stop(now, at),
        }
        self.drain(cx);
    }

    pub(super) fn handle_leg(&mut self, cx: &mut Cx, event: &LegEvent) {
        let now = cx.clock.now();
        if let LegEvent::Dtmf { digit, held } = event
            && self.digits.hear(now, *digit, *held)
        {
            cx.watch_digit(self.call, *digit, Way::Event);
            self.agent.handle_digit(now, *digit);
        }
        if let Some(played) = self.speech.handle_leg(event) {
            self.agent.handle_playout(now, played);
        }
        self.drain(cx);
    }

    pub(super) fn handle_work(&mut self, cx: &mut Cx, work: Work) {
        let now = cx.clock.now();
        if self.is_unwanted(&work) && !cx.hits(TOO_LATE_TO_STOP) {
            return;
        }
        match work {
            Work::Transcript(id, Ok(heard)) => self.agent.handle_transcript(now, id, &heard.text),
            Work::Transcript(id, Err(_)) => self.agent.handle_recognition_failed(now, id),
            Work::TurnProbability(id, Ok(p)) => self.agent.handle_turn_probability(now, id, p),
            Work::TurnProbability(_, Err(_)) => {}
            Work::Sound(utterance, sound) => self.handle_sound(now, utterance, sound),
            Work::Http(id, answer) => self.agent.handle_http(now, id, answer),
            Work::Llm(id, event) => self.agent.handle_llm(now, id, event),
            Work::Booked(id, answer) => self.agent.handle_booked(now, id, answer),
            Work::NotTransferred(id, why) => self.agent.handle_not_transferred(now, id, why),
        }
        self.drain(cx);
    }

    fn is_unwanted(&self, work: &Work) -> bool {
        match work {
            Work::Transcript(id, _) | Work::TurnProbability(id, _) => self.discarded.contains(id),
            Work::Sound(utterance, _) => self.abandoned.contains(utterance),
            Work::Http(id, _) | Work::Llm(id, _) | Work::NotTransferred(id, _) => {
                self.cancelled.contains(id)
            }
            Work::Booked(..) => false,
        }
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
            Sound::End => self.speech.complete(utterance),
            Sound::Failed(_) => self.speech.failed(utterance),
        };
        if let Some(event) = event {
            self.agent.handle_playout(now, event);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.agent.poll_timeout().map(|(at, _)| at)
    }

    pub(super) fn handle_timeout(&mut self, cx: &mut Cx) {
        self.agent.handle_timeout(cx.clock.now());
        self.drain(cx);
    }

    pub(super) fn take_directives(&mut self) -> Vec<Directive> {
        std::mem::take(&mut self.directives)
    }

    fn drain(&mut self, cx: &mut Cx) {
        while let Some(command) = self.agent.poll_command() {
            cx.note(self.call, || match &command {
                Command::Recognise { speculation, .. } => {
                    format!("agent: recognise {speculation:?}")
                }
                other => format!("agent: {other:?}"),
            });
            self.carry_out(cx, command);
        }
        self.carry_out_steps(cx);
    }

    fn carry_out(&mut self, cx: &mut Cx, command: Command) {
        match command {
            Command::Recognise {
                speculation,
                from,
                until,
                ..
            } => {
                let words = self.ears.words(from, until);
                if let Some((after, heard)) = self.models.recognise(words) {
                    self.later(cx, after, Work::Transcript(speculation, heard));
                }
            }
            Command::DetectTurn { speculation } => {
                if let Some((after, judged)) = self.models.judge() {
                    self.later(cx, after, Work::TurnProbability(speculation, judged));
                }
            }
            Command::Discard { speculation } => {
                self.discarded.insert(speculation);
            }
            Command::Prepare { text } => self.speech.prepare(text),
            Command::Speak { turn, clause, text } => {
                cx.watch.spoken(self.call, turn, clause, &text);
                if !self.speech.speak(turn, clause, text) {
                    let failed = PlayoutEvent::Failed { turn, clause };
                    self.agent.handle_playout(cx.clock.now(), failed);
                }
            }
            Command::FinishSpeaking { .. } => {}
            Command::PausePlayout => self.tell(cx, ToLeg::Pause),
            Command::ResumePlayout => self.tell(cx, ToLeg::Resume),
            Command::CancelTurn { turn } => match self.speech.cancel(turn) {
                None => cx.watch.cancelling(self.call, turn),
                Some(unheard) => self.agent.handle_playout(cx.clock.now(), unheard),
            },
            Command::Http(request) => {
                let answer = self.models.http();
                self.answer(cx, request.id, answer, Work::Http);
            }
            Command::Llm(request) => {
                for (after, event) in self.models.llm(&request) {
                    self.later(cx, after, Work::Llm(request.id, event));
                }
            }
            Command::CancelRequest { request } => {
                self.cancelled.insert(request);
            }
            Command::Book(request) => {
                let answer = self.models.book(format!("{}-{}", self.call, request.id.0));
                self.answer(cx, request.id, answer, Work::Booked);
                self.directives.push(Directive::Book(request));
            }
            Command::Transfer(request) => {
                let (after, why) = self.models.transfer(request.ring);
                self.later(cx, after, Work::NotTransferred(request.id, why));
            }
            Command::Record(turn) => {
                cx.watch_recorded(self.call, &turn);
                self.directives.push(Directive::Record(turn));
            }
            Command::SetVariables(all) => self.directives.push(Directive::Variables(all)),
            Command::PauseRecording => self.directives.push(Directive::PauseRecording(true)),
            Command::ResumeRecording => self.directives.push(Directive::PauseRecording(false)),
            Command::HangUp { reason } => self.directives.push(Directive::HangUp(reason)),
            Command::Finished(outcome) => self.directives.push(Directive::Finished(outcome)),
        }
    }

    fn answer<T>(
        &self,
        cx: &mut Cx,
        id: RequestId,
        answer: super::models::Later<T>,
        work: impl FnOnce(RequestId, T) -> Work,
    ) {
        if let Some((after, answer)) = answer {
            self.later(cx, after, work(id, answer));
        }
    }

    fn later(&self, cx: &mut Cx, after: Duration, work: Work) {
        let at = cx.clock.now() + after;
        cx.clock.at(at, Moment::Task(self.call, Input::Work(work)));
    }

    fn carry_out_steps(&mut self, cx: &mut Cx) {
        while let Some(step) = self.speech.poll_step() {
            match step {
                Step::Synthesise(utterance, text) => {
                    cx.watch.synthesised(self.call, utterance, &text);
                    let code = (utterance.0 % u64::from(voice::CODES)) as u8;
                    for (after, sound) in self.models.speak(code, &text) {
                        self.later(cx, after, Work::Sound(utterance, sound));
                    }
                }
                Step::Abandon(utterance) => {
                    self.abandoned.insert(utterance);
                }
                Step::Play(utterance, samples) => self.tell(cx, ToLeg::Play(utterance, samples)),
                Step::Finish(utterance) => self.tell(cx, ToLeg::Finish(utterance)),
                Step::CancelPlayout => self.tell(cx, ToLeg::Cancel),
            }
        }
        cx.watch
            .placed(self.call, |utterance| self.speech.place(utterance));
    }

    /// Hands a command to the media thread; commands keep their order.
    pub(super) fn tell(&mut self, cx: &mut Cx, command: ToLeg) {
        let lag = cx.lag();
        let at = self.media.due(cx.clock.now(), lag);
        cx.clock.at(at, Moment::Media(self.call, command));
    }
}
