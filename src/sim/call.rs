//! One call's task on the switch: `call::inbound`, `call::talk` and `call::task` in virtual time,
//! in the same order and with the same pure parts.

mod end;
mod offers;
mod outbound;
mod post;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_media::sdp::LocalSrtp;
use offhook_media::{LocalMedia, MediaSession, Negotiated, SessionConfig, Stats};
use offhook_sip::{CallHandle, Flow, Incoming};

pub(super) use self::outbound::CREDENTIALS;
use self::outbound::Dialling;
use super::clock::{Channel, Input, Moment, SipCommand};
use super::conversation::Conversation;
use super::invariants::Rule;
use super::ledger::Ledger;
use super::leg::{Command, Leg};
use super::ports::Ports;
use super::recording::Recording;
use super::set_up;
use super::world::Cx;
use crate::agent::CallOutcome;
use crate::call::PausedBy;
use crate::call::digits::info_key;
use crate::call::line::{LegTerms, PLAYOUT_MS};
use crate::call::session::Session;
use crate::call::task::{end_reason, media_timeout};
use crate::call::trouble::Troubles;
use crate::net::media::LegEvent;
use crate::net::sip::Signal;
use crate::store::{CallRecord, CallState as StoredState};
use crate::switch::{Call, EndReason};

/// As in `call::task`.
const CLOSING_TIME: Duration = Duration::from_secs(20);
/// As in `call::inbound`.
const ACK_TIMEOUT: Duration = Duration::from_secs(32);
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
    /// We call, and it rings.
    Dialling,
    /// We called, and hang up: that is settled, or given up, by then.
    GivingUp {
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
    /// None before our INVITE is sent.
    pub(super) handle: Option<CallHandle>,
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
    /// Where the signalling goes.
    flow: Flow,
    session: Session,
    dialling: Dialling,
    troubles: Troubles,
    /// When the session was offered anew, until that is answered.
    offered: Option<Instant>,
    /// A supervisor talks in the agent's place.
    aside: bool,
    pub(super) recording: Recording,
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
        let local = local_media(cx, address);
        let session = match invite.offer.as_deref() {
            Some(offer) => Session::answering(local, offer).map(|(session, _)| session),
            None => Ok(Session::offering(local.clone(), &local.codecs)),
        };
        let session = session.map_err(|error| error.status())?;
        let record = set_up::record(cx, number, Some(invite));
        let life = Call::inbound(cx.clock.now());
        let mut call = Self::made(cx, number, (address, invite.flow), (session, record, life));
        call.handle = Some(handle);
        call.command(cx, SipCommand::Ring);
        call.prepare(cx);
        Ok(call)
    }

    fn made(
        cx: &mut Cx,
        number: usize,
        (address, flow): (SocketAddr, Flow),
        (session, record, life): (Session, CallRecord, Call),
    ) -> Self {
        Self {
            handle: None,
            conversation: set_up::conversation(cx, number, &record),
            record,
            leg: None,
            number,
            stage: Stage::Preparing,
            life,
            begun: cx.clock.now(),
            half: true,
            address,
            flow,
            session,
            dialling: Dialling::default(),
            troubles: Troubles::default(),
            offered: None,
            aside: false,
            recording: set_up::recording(cx, number),
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
        }
    }

    /// Looks up who it is while the first words are synthesised.
    fn prepare(&mut self, cx: &mut Cx) {
        if let Some(words) = set_up::first_words(cx) {
            self.conversation.prepare(cx, words);
        }
        let look_up = Duration::from_millis(cx.draw(800));
        let at = cx.clock.now() + look_up;
        cx.clock.at(at, Moment::Prepared(self.number));
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn holds_port(&self) -> bool {
        self.half || self.leg.is_some()
    }

    /// The look-up is done: answer or dial, unless somebody ended the call.
    pub(super) fn prepared(&mut self, cx: &mut Cx, ports: &mut Ports, ledger: &mut Ledger) {
        if self.stage != Stage::Preparing {
            return;
        }
        if cx.is_called(self.number) {
            return self.dial(cx);
        }
        if let Some(Signal::Ended { .. }) = self.mailbox.pop_front() {
            ports.close(self.port());
            return self.never_answered(cx, ledger, EndReason::Cancelled);
        }
        self.command(cx, SipCommand::Answer(self.session.sdp()));
        self.stage = Stage::Answering;
    }

    /// Somebody ends the call before it is answered, or dialled.
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
        if !cx.is_answered(self.number) {
            let what = "the call is opened before it is answered".to_owned();
            cx.violate(Rule::AnsweredOnPaper, self.number, what);
        }
        let ssrc = cx.draw(u64::from(u32::MAX)) as u32;
        let mut config = SessionConfig::new(negotiated.clone(), ssrc, self.flow.remote.ip());
        config.media_timeout = LegTerms::default().silence_hangup.unwrap_or(Duration::MAX);
        config.playout_capacity_ms = PLAYOUT_MS;
        config.recording = self.recording.is_made();
        config.unix_time = Duration::from_secs(1_780_000_000) + cx.clock.elapsed();
        cx.watch_agreed(self.number, &negotiated);
        self.leg = Some(Leg::new(MediaSession::new(now, config), self.address));
        self.half = false;
        self.session.agree(negotiated);
        self.stage = Stage::Talking;
        self.life.handle_answer(now);
        self.record.state = StoredState::InProgress;
        self.record.answered_at = Some(cx.timestamp(now));
        self.look_at_hold(cx);
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
        if let Input::PauseRecording(pause) = input {
            return self.recording.pause(PausedBy::Api, pause);
        }
        match self.stage {
            Stage::Preparing | Stage::Answering => {
                match input {
                    Input::HangUpByApi if self.stage == Stage::Preparing => {
                        self.called_off(cx, ports, ledger);
                    }
                    Input::Answered(sent) => self.answered(cx, ports, ledger, sent),
                    Input::Signal(signal) => self.mailbox.push_back(signal),
                    other => self.wait_for_the_call(other),
                }
                return;
            }
            Stage::Dialling | Stage::GivingUp { .. } => {
                return self.handle_while_dialling(cx, ports, ledger, input);
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

    /// Keeps what is for the call once it runs; nobody supervises or heals one that does not.
    fn wait_for_the_call(&mut self, input: Input) {
        if !matches!(input, Input::OfferAgain | Input::StandAside(_)) {
            self.backlog.push_back(input);
        }
    }

    fn handle_talking(&mut self, cx: &mut Cx, input: Input) {
        match input {
            Input::Signal(signal) if self.end.is_none() => self.handle_signal(cx, signal),
            Input::Leg(LegEvent::MediaTimeout { silent_for }) if self.end.is_none() => {
                self.hang_up(cx, media_timeout(silent_for));
            }
            Input::Leg(LegEvent::Closed { stats }) => self.stats = Some(stats),
            Input::Leg(LegEvent::OneWay { why, silent_for }) => {
                self.handle_one_way(cx, why, silent_for);
            }
            Input::Leg(LegEvent::TwoWay { after }) => {
                self.troubles.two_way(after);
            }
            Input::Leg(event) => self.conversation.handle_leg(cx, &event),
            Input::Edge(edge) => self.conversation.handle_edge(cx, edge),
            Input::Work(work) => self.conversation.handle_work(cx, work),
            Input::HangUpByApi if self.end.is_none() => self.hang_up(cx, EndReason::Api),
            Input::StandAside(aside) if self.end.is_none() => self.stand_aside(cx, aside),
            Input::OfferAgain if self.end.is_none() && !self.session.has_offered() => {
                self.offer(cx);
            }
            Input::Signal(_) | Input::HangUpByApi | Input::Answered(_) | Input::Placed(_) => {}
            Input::StandAside(_) | Input::OfferAgain | Input::PauseRecording(_) => {}
        }
        self.after(cx);
    }

    fn hang_up(&mut self, cx: &mut Cx, reason: EndReason) {
        self.command(cx, SipCommand::HangUp);
        self.conversation.handle_hung_up(cx);
        self.end = Some(reason);
    }

    /// Lets the agent wait as on hold while a supervisor talks in its place.
    fn stand_aside(&mut self, cx: &mut Cx, aside: bool) {
        self.aside = aside;
        self.conversation.tell(cx, Command::SetAside(aside));
        self.look_at_hold(cx);
    }

    /// Tells the agent whether it is listened to.
    fn look_at_hold(&mut self, cx: &mut Cx) {
        let held = self.session.is_held() || self.aside;
        self.conversation.handle_hold(cx, held);
    }

    fn handle_signal(&mut self, cx: &mut Cx, signal: Signal) {
        match signal {
            Signal::Reoffer { offer } => self.handle_reoffer(cx, offer.as_deref()),
            Signal::ReofferAnswered { offer, result } => {
                self.handle_reoffer_answered(cx, &offer, result);
            }
            Signal::ReofferOvertaken => self.handle_reoffer_overtaken(cx),
            Signal::Confirmed { body: Some(answer) } => self.take_answer(cx, &answer),
            Signal::Info { content_type, body } => {
                if let Some(key) = info_key(content_type.as_deref(), &body) {
                    self.conversation.handle_info_key(cx, key);
                }
            }
            Signal::Ended { cause } => {
                self.conversation.handle_hung_up(cx);
                self.end = Some(end_reason(cause));
            }
            _ => {}
        }
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
            other => return self.wait_for_the_call(other),
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
            Stage::AwaitingAck { until } | Stage::Closing { until } | Stage::GivingUp { until } => {
                Some(until)
            }
            Stage::Dialling => self.dialling.until,
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
            Stage::Dialling if self.dialling.until.is_some_and(|at| at <= now) => {
                self.end_dialling(cx, EndReason::Refused(408));
            }
            Stage::GivingUp { until } if until <= now => self.given_up(cx, ports, ledger),
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
            let now = cx.clock.now();
            self.closing.get_or_insert(now + CLOSING_TIME);
            if let Some(wire) = cx.watch.wire(self.number) {
                wire.ended(now);
            }
        }
    }
}

/// What we can do, as `call::line` puts it together.
fn local_media(cx: &mut Cx, address: SocketAddr) -> LocalMedia {
    let mut local = LocalMedia::new(address, cx.draw(u64::from(u32::MAX)) + 1);
    local.srtp = LocalSrtp::new(cx.plan.srtp, &mut cx.secrets);
    local
}
