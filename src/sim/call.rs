//! One call's task on the switch: `call::inbound`, `call::talk` and `call::task` in virtual time,
//! in the same order and with the same pure parts.

mod post;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use offhook_media::{LocalMedia, MediaSession, Negotiated, SessionConfig, Stats};
use offhook_sip::{CallHandle, Incoming};

use super::clock::{Channel, Input, Moment, SipCommand};
use super::conversation::Conversation;
use super::ledger::Ledger;
use super::leg::{Command, Leg};
use super::ports::Ports;
use super::set_up;
use super::world::Cx;
use crate::agent::CallOutcome;
use crate::call::conversation::Directive;
use crate::call::digits::info_digit;
use crate::call::line::{LegTerms, PLAYOUT_MS};
use crate::call::session::{Change, Session};
use crate::call::task::{end_reason, media_timeout};
use crate::call::{media_summary, stored_state, stored_turn, stored_variables};
use crate::net::media::LegEvent;
use crate::net::sip::Signal;
use crate::store::{CallRecord, CallState as StoredState};
use crate::switch::{Call, EndReason};

/// As in `call::task`.
const CLOSING_TIME: Duration = Duration::from_secs(20);
/// As in `call::inbound`.
const ACK_TIMEOUT: Duration = Duration::from_secs(32);
/// As in `call::talk`.
const CLOSING: Duration = Duration::from_secs(2);

/// Where the task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The look-up is under way.
    Preparing,
    /// The answer is on its way to the SIP task.
    Answering,
    /// Our answer was an offer; the ACK must bring its answer.
    AwaitingAck {
        until: Instant,
    },
    Talking,
    /// The leg owes its figures.
    Closing {
        until: Instant,
    },
    Over {
        at: Instant,
    },
}

pub(super) struct SwitchCall {
    pub(super) handle: CallHandle,
    pub(super) record: CallRecord,
    pub(super) leg: Option<Leg>,
    pub(super) conversation: Conversation,
    number: usize,
    stage: Stage,
    life: Call,
    begun: Instant,
    /// Media that is agreed upon but not open yet.
    half: bool,
    address: SocketAddr,
    remote: IpAddr,
    session: Session,
    mailbox: VecDeque<Signal>,
    end: Option<EndReason>,
    /// What came before the call ran: results of the voice, a wish to hang up.
    backlog: VecDeque<Input>,
    outcome: Option<CallOutcome>,
    closing: Option<Instant>,
    /// The leg was told to end.
    leg_closed: bool,
    stats: Option<Box<Stats>>,
    signals: Channel,
    events: Channel,
    edges: Channel,
    commands: Channel,
}

impl SwitchCall {
    /// A call rings: an offer is answered, or ours is made; the look-up begins.
    pub(super) fn new(
        cx: &mut Cx,
        number: usize,
        handle: CallHandle,
        invite: &Incoming,
        address: SocketAddr,
    ) -> Result<Self, u16> {
        let now = cx.clock.now();
        let local = LocalMedia::new(address, cx.draw(u64::from(u32::MAX)) + 1);
        let session = match invite.offer.as_deref() {
            Some(offer) => Session::answering(local, offer).map(|(session, _)| session),
            None => Ok(Session::offering(local.clone(), &local.codecs)),
        };
        let session = session.map_err(|error| error.status())?;
        let record = set_up::record(cx, number, invite);
        let mut call = Self {
            handle,
            conversation: set_up::conversation(cx, number, &record),
            record,
            leg: None,
            number,
            stage: Stage::Preparing,
            life: Call::inbound(now),
            begun: now,
            half: true,
            address,
            remote: invite.flow.remote.ip(),
            session,
            mailbox: VecDeque::new(),
            end: None,
            backlog: VecDeque::new(),
            outcome: None,
            closing: None,
            leg_closed: false,
            stats: None,
            signals: Channel::default(),
            events: Channel::default(),
            edges: Channel::default(),
            commands: Channel::default(),
        };
        call.command(cx, SipCommand::Ring);
        if let Some(words) = set_up::first_words(cx) {
            call.conversation.prepare(cx, words);
        }
        let look_up = Duration::from_millis(cx.draw(800));
        cx.clock.at(now + look_up, Moment::Prepared(number));
        Ok(call)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn holds_port(&self) -> bool {
        self.half || self.leg.is_some()
    }

    /// The look-up is done: answer, unless the caller is gone.
    pub(super) fn prepared(&mut self, cx: &mut Cx, ports: &mut Ports, ledger: &mut Ledger) {
        if self.stage != Stage::Preparing {
            return;
        }
        if let Some(Signal::Ended { .. }) = self.mailbox.pop_front() {
            ports.close(self.port());
            return self.never_answered(cx, ledger, EndReason::Cancelled);
        }
        self.command(cx, SipCommand::Answer(self.session.sdp()));
        self.stage = Stage::Answering;
    }

    /// Somebody ends the call before it is answered.
    fn called_off(&mut self, cx: &mut Cx, ports: &mut Ports, ledger: &mut Ledger) {
        let gone = matches!(self.mailbox.pop_front(), Some(Signal::Ended { .. }));
        let reason = if gone {
            EndReason::Cancelled
        } else {
            self.command(cx, SipCommand::HangUp);
            EndReason::Api
        };
        ports.close(self.port());
        self.never_answered(cx, ledger, reason);
    }

    /// The answer was sent, or came too late.
    fn answered(&mut self, cx: &mut Cx, ports: &mut Ports, ledger: &mut Ledger, sent: bool) {
        if !sent {
            ports.close(self.port());
            return self.never_answered(cx, ledger, EndReason::Cancelled);
        }
        match self.session.negotiated().cloned() {
            Some(negotiated) => self.open(cx, negotiated),
            None => {
                let until = cx.clock.now() + ACK_TIMEOUT;
                self.stage = Stage::AwaitingAck { until };
            }
        }
        while let Some(signal) = self.mailbox.pop_front() {
            self.handle(cx, ports, ledger, Input::Signal(signal));
        }
        self.catch_up(cx, ports, ledger);
    }

    /// Handles what waited for the call to run.
    fn catch_up(&mut self, cx: &mut Cx, ports: &mut Ports, ledger: &mut Ledger) {
        if self.stage != Stage::Talking {
            return;
        }
        while let Some(input) = self.backlog.pop_front() {
            self.handle(cx, ports, ledger, input);
        }
    }

    /// Starts the media and the conversation.
    fn open(&mut self, cx: &mut Cx, negotiated: Negotiated) {
        let now = cx.clock.now();
        let ssrc = cx.draw(u64::from(u32::MAX)) as u32;
        let mut config = SessionConfig::new(negotiated.clone(), ssrc, self.remote);
        config.media_timeout = LegTerms::default().silence_hangup.unwrap_or(Duration::MAX);
        config.playout_capacity_ms = PLAYOUT_MS;
        config.unix_time = Duration::from_secs(1_780_000_000) + cx.clock.elapsed();
        if let Some(wire) = cx.watch.wire(self.number) {
            wire.opened(negotiated.ptime_ms, negotiated.direction.sends());
        }
        self.leg = Some(Leg::new(MediaSession::new(now, config), self.address));
        self.half = false;
        self.session.agree(negotiated);
        self.stage = Stage::Talking;
        self.life.handle_answer(now);
        self.record.state = StoredState::InProgress;
        self.record.answered_at = Some(cx.timestamp(now));
        self.conversation.handle_hold(cx, self.session.is_held());
        self.conversation.start(cx);
        self.after(cx);
    }

    /// Takes what reaches the task.
    pub(super) fn handle(
        &mut self,
        cx: &mut Cx,
        ports: &mut Ports,
        ledger: &mut Ledger,
        input: Input,
    ) {
        cx.note(self.number, || format!("task: {}", post::brief(&input)));
        match self.stage {
            Stage::Preparing | Stage::Answering => {
                match input {
                    Input::HangUpByApi if self.stage == Stage::Preparing => {
                        self.called_off(cx, ports, ledger);
                    }
                    Input::Answered(sent) => self.answered(cx, ports, ledger, sent),
                    Input::Signal(signal) => self.mailbox.push_back(signal),
                    other => self.backlog.push_back(other),
                }
                return;
            }
            Stage::AwaitingAck { .. } => {
                return self.handle_while_waiting(cx, ports, ledger, input);
            }
            Stage::Talking => self.handle_talking(cx, input),
            Stage::Closing { .. } => {
                if let Input::Leg(LegEvent::Closed { stats }) = input {
                    self.stats = Some(stats);
                    self.write_end(cx, ledger);
                }
                return;
            }
            Stage::Over { .. } => return,
        }
        self.write_down(cx, ledger);
    }

    fn handle_talking(&mut self, cx: &mut Cx, input: Input) {
        match input {
            Input::Signal(signal) if self.end.is_none() => self.handle_signal(cx, signal),
            Input::Leg(LegEvent::MediaTimeout { silent_for }) if self.end.is_none() => {
                self.hang_up(cx, media_timeout(silent_for));
            }
            Input::Leg(LegEvent::Closed { stats }) => self.stats = Some(stats),
            Input::Leg(event) => self.conversation.handle_leg(cx, &event),
            Input::Edge(edge) => self.conversation.handle_edge(cx, edge),
            Input::Work(work) => self.conversation.handle_work(cx, work),
            Input::HangUpByApi if self.end.is_none() => self.hang_up(cx, EndReason::Api),
            Input::Signal(_) | Input::HangUpByApi | Input::Answered(_) => {}
        }
        self.after(cx);
    }

    fn hang_up(&mut self, cx: &mut Cx, reason: EndReason) {
        self.command(cx, SipCommand::HangUp);
        self.conversation.handle_hung_up(cx);
        self.end = Some(reason);
    }

    fn handle_signal(&mut self, cx: &mut Cx, signal: Signal) {
        match signal {
            Signal::Reoffer { offer } => {
                let answer = self.answer_reoffer(cx, offer.as_deref()).map(Some);
                self.command(cx, SipCommand::AnswerReoffer(answer));
            }
            Signal::Confirmed { body: Some(answer) } => self.take_answer(cx, &answer),
            Signal::Info { content_type, body } => {
                if let Some(digit) = info_digit(content_type.as_deref(), &body) {
                    self.conversation.handle_info_digit(cx, digit);
                }
            }
            Signal::Ended { cause } => {
                self.conversation.handle_hung_up(cx);
                self.end = Some(end_reason(cause));
            }
            _ => {}
        }
    }

    /// As `call::line` answers a re-INVITE or UPDATE.
    fn answer_reoffer(&mut self, cx: &mut Cx, offer: Option<&[u8]>) -> Result<Vec<u8>, u16> {
        let change = self.session.answer_reoffer(offer);
        let change = change.map_err(|error| error.status())?;
        let sdp = change.sdp();
        self.adopt(cx, change);
        Ok(sdp)
    }

    fn take_answer(&mut self, cx: &mut Cx, answer: &[u8]) {
        if let Ok(change) = self.session.take_answer(answer) {
            self.adopt(cx, change);
        }
    }

    fn adopt(&mut self, cx: &mut Cx, change: Change) {
        if let Some(negotiated) = change.media() {
            let command = Command::Renegotiate(Box::new(negotiated.clone()));
            self.conversation.tell(cx, command);
        }
        self.session.adopt(change);
        self.conversation.handle_hold(cx, self.session.is_held());
    }

    fn handle_while_waiting(
        &mut self,
        cx: &mut Cx,
        ports: &mut Ports,
        ledger: &mut Ledger,
        input: Input,
    ) {
        let signal = match input {
            Input::Signal(signal) => signal,
            Input::HangUpByApi => return self.give_up(cx, ports, ledger, EndReason::Api),
            other => return self.backlog.push_back(other),
        };
        let reason = match signal {
            Signal::Confirmed { body: Some(answer) } => {
                if let Ok(negotiated) = self.session.read_answer(&answer) {
                    self.open(cx, negotiated);
                    self.write_down(cx, ledger);
                    return self.catch_up(cx, ports, ledger);
                }
                "the answer cannot be used"
            }
            Signal::Confirmed { body: None } => "the ACK brought no answer to our offer",
            Signal::Ended { .. } => "the caller hung up",
            _ => return,
        };
        self.give_up(cx, ports, ledger, EndReason::Lost(reason.to_owned()));
    }

    fn give_up(&mut self, cx: &mut Cx, ports: &mut Ports, ledger: &mut Ledger, reason: EndReason) {
        self.command(cx, SipCommand::HangUp);
        ports.close(self.port());
        self.never_answered(cx, ledger, reason);
    }

    /// When the task wants to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let tick = self.leg.as_ref().map(|leg| leg.session.next_tick());
        let task = match self.stage {
            Stage::AwaitingAck { until } | Stage::Closing { until } => Some(until),
            Stage::Talking => crate::clock::earliest(self.conversation.deadline(), self.closing),
            Stage::Preparing | Stage::Answering | Stage::Over { .. } => None,
        };
        crate::clock::earliest(tick, task)
    }

    pub(super) fn handle_timeout(&mut self, cx: &mut Cx, ports: &mut Ports, ledger: &mut Ledger) {
        let now = cx.clock.now();
        if let Some(leg) = self.leg.as_mut().filter(|l| l.session.next_tick() <= now) {
            leg.tick(now);
        }
        match self.stage {
            Stage::AwaitingAck { until } if until <= now => {
                let reason = "the answer was never acknowledged".to_owned();
                self.give_up(cx, ports, ledger, EndReason::Lost(reason));
            }
            Stage::Closing { until } if until <= now => self.write_end(cx, ledger),
            Stage::Talking => {
                if self.closing.is_some_and(|at| at <= now) {
                    self.close(cx, ledger);
                } else if self.conversation.deadline().is_some_and(|at| at <= now) {
                    self.conversation.handle_timeout(cx);
                    self.after(cx);
                    self.write_down(cx, ledger);
                }
            }
            _ => {}
        }
    }

    /// What the task does before it waits again: directives are looked at by `write_down`.
    fn after(&mut self, cx: &mut Cx) {
        if self.end.is_some() && self.stage == Stage::Talking {
            let closing = cx.clock.now() + CLOSING_TIME;
            self.closing.get_or_insert(closing);
        }
    }

    /// Carries out what the conversation wants of the call.
    fn write_down(&mut self, cx: &mut Cx, ledger: &mut Ledger) {
        for directive in self.conversation.take_directives() {
            match directive {
                Directive::HangUp(_) if self.end.is_none() => {
                    self.end = Some(EndReason::Agent);
                    self.command(cx, SipCommand::HangUp);
                    self.after(cx);
                }
                // Nothing is recorded here.
                Directive::HangUp(_) | Directive::PauseRecording(_) => {}
                Directive::Finished(with) => self.outcome = Some(with),
                Directive::Record(turn) => {
                    ledger.turn(cx, &mut self.record, stored_turn(turn));
                }
                Directive::Variables(all) => self.record.variables = stored_variables(&all),
                Directive::Book(request) => {
                    let appointment = set_up::appointment(cx, &self.record, request);
                    ledger.book(&self.record, appointment);
                }
            }
        }
        if self.end.is_none() {
            return;
        }
        if self.outcome.is_some() {
            self.close(cx, ledger);
        } else if !self.conversation.awaits_playout() {
            self.close_leg(cx);
        }
    }

    fn close_leg(&mut self, cx: &mut Cx) {
        if !std::mem::replace(&mut self.leg_closed, true) {
            self.conversation.tell(cx, Command::Close);
        }
    }

    fn close(&mut self, cx: &mut Cx, ledger: &mut Ledger) {
        self.close_leg(cx);
        let reason = self.end.clone().unwrap_or(EndReason::Agent);
        self.life.handle_end(cx.clock.now(), reason);
        self.stage = Stage::Closing {
            until: cx.clock.now() + CLOSING,
        };
        if self.stats.is_some() {
            self.write_end(cx, ledger);
        }
    }

    /// How long the call is over.
    pub(super) fn over_for(&self, now: Instant) -> Duration {
        let since = self.closing.and_then(|at| at.checked_sub(CLOSING_TIME));
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn never_answered(&mut self, cx: &mut Cx, ledger: &mut Ledger, reason: EndReason) {
        self.half = false;
        self.life.handle_end(cx.clock.now(), reason);
        self.write_end(cx, ledger);
    }

    fn write_end(&mut self, cx: &mut Cx, ledger: &mut Ledger) {
        let now = cx.clock.now();
        let state = self.life.state().clone();
        self.record.state = stored_state(&state);
        self.record.ended_at = Some(cx.timestamp(self.life.ended().unwrap_or(now)));
        let outcome = self.outcome.take().map(|outcome| outcome.outcome);
        self.record.outcome = Some(outcome.unwrap_or_else(|| state.as_str().to_owned()));
        let codec = self.session.negotiated().map(|n| n.codec.name().to_owned());
        let stats = self.stats.as_ref();
        self.record.media = stats.map(|stats| media_summary(codec, None, stats));
        cx.note(self.number, || format!("recorded: {:?}", state.as_str()));
        ledger.finish(cx, &self.record);
        self.stage = Stage::Over { at: now };
    }
}
