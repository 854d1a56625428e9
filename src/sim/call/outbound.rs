//! A call of ours until it is answered, as `call::outbound` and `call::outgoing` place it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_sip::{Credentials, Flow, Invite};

use super::{Stage, SwitchCall, local_media};
use crate::call::session::Session;
use crate::net::sip::Signal;
use crate::sim::clock::{Input, Moment, SipCommand};
use crate::sim::ledger::Ledger;
use crate::sim::ports::Ports;
use crate::sim::set_up;
use crate::sim::world::Cx;
use crate::switch::{Call, EndReason};

/// As in `call::outbound`.
const RING: Duration = Duration::from_secs(60);
/// As in `call::dial`.
const ENDING: Duration = Duration::from_secs(2);

/// The name and password by which the switch is known to a phone that asks for them.
pub(in crate::sim) const CREDENTIALS: (&str, &str) = ("offhook", "secret");

/// A call that rings at the other side.
#[derive(Default)]
pub(super) struct Dialling {
    /// The INVITE was sent: who waits for the answer reads the mail.
    placed: bool,
    /// How long it may ring.
    pub(super) until: Option<Instant>,
    /// Somebody asked for the call's end.
    called_off: Option<EndReason>,
    /// Why it is given up.
    failure: Option<EndReason>,
    /// What an early answer described.
    early: Option<Vec<u8>>,
}

impl SwitchCall {
    /// A call is to be placed: the look-up begins.
    pub(in crate::sim) fn outbound(
        cx: &mut Cx,
        number: usize,
        flow: Flow,
        address: SocketAddr,
    ) -> Self {
        let local = local_media(cx, address);
        let session = Session::offering(local.clone(), &local.codecs);
        let record = set_up::record(cx, number, None);
        let life = Call::outbound(cx.clock.now());
        let mut call = Self::made(cx, number, (address, flow), (session, record, life));
        call.prepare(cx);
        call
    }

    /// Sends the INVITE.
    pub(super) fn dial(&mut self, cx: &mut Cx) {
        self.life.handle_progress();
        self.stage = Stage::Dialling;
        let called = cx.plan.callers.get(self.number).and_then(|c| c.called);
        let (username, password) = CREDENTIALS;
        let password = match called.is_some_and(|called| called.trusted) {
            true => password,
            false => "wrong",
        };
        let invite = Invite {
            request_uri: format!("sip:{}@{}", self.number, self.flow.remote),
            to: format!("sip:{}@{}", self.number, self.flow.remote),
            from: format!("<sip:offhook@{}>", self.flow.local.ip()),
            route: Vec::new(),
            flow: self.flow,
            stream: None,
            credentials: Some(Credentials {
                username: username.to_owned(),
                password: password.to_owned(),
            }),
            body: self.session.sdp(),
            content_type: "application/sdp".to_owned(),
            headers: Vec::new(),
        };
        self.command(cx, SipCommand::Invite(Box::new(invite)));
    }

    pub(super) fn handle_while_dialling(
        &mut self,
        cx: &mut Cx,
        ports: &mut Ports,
        ledger: &mut Ledger,
        input: Input,
    ) {
        match input {
            Input::Placed(true) => self.placed(cx, ports, ledger),
            Input::Placed(false) => {
                ports.close(self.port());
                let reason = EndReason::Failed("the INVITE was not sent".to_owned());
                self.never_answered(cx, ledger, reason);
            }
            Input::HangUpByApi => {
                self.dialling.called_off.get_or_insert(EndReason::Api);
                if self.dialling.placed && self.stage == Stage::Dialling {
                    self.end_dialling(cx, EndReason::Api);
                }
            }
            Input::Signal(signal) if self.dialling.placed => {
                self.handle_progress(cx, ports, ledger, signal);
            }
            Input::Signal(signal) => self.mailbox.push_back(signal),
            other => self.wait_for_the_call(other),
        }
    }

    /// The INVITE is out: the answer is waited for.
    fn placed(&mut self, cx: &mut Cx, ports: &mut Ports, ledger: &mut Ledger) {
        self.dialling.placed = true;
        self.dialling.until = Some(cx.clock.now() + RING);
        if let Some(reason) = self.dialling.called_off.clone() {
            self.end_dialling(cx, reason);
        }
        while let Some(signal) = self.mailbox.pop_front() {
            self.handle(cx, ports, ledger, Input::Signal(signal));
        }
    }

    fn handle_progress(
        &mut self,
        cx: &mut Cx,
        ports: &mut Ports,
        ledger: &mut Ledger,
        signal: Signal,
    ) {
        let gives_up = matches!(self.stage, Stage::GivingUp { .. });
        match signal {
            Signal::Ended { .. } | Signal::Rejected { .. } if gives_up => {
                self.given_up(cx, ports, ledger);
            }
            _ if gives_up => {}
            Signal::Progress { body, .. } => {
                let early = body.or(self.dialling.early.take());
                let useful = |sdp: &Vec<u8>| self.session.read_answer(sdp).is_ok();
                self.dialling.early = early.filter(useful);
            }
            Signal::Answered { body } => self.they_answered(cx, ports, ledger, body),
            Signal::Rejected { status, .. } => {
                ports.close(self.port());
                self.never_answered(cx, ledger, EndReason::Refused(status));
            }
            Signal::Ended { .. } => {
                ports.close(self.port());
                let reason = self.dialling.called_off.take();
                self.never_answered(cx, ledger, reason.unwrap_or(EndReason::Cancelled));
            }
            _ => {}
        }
    }

    fn they_answered(
        &mut self,
        cx: &mut Cx,
        ports: &mut Ports,
        ledger: &mut Ledger,
        body: Option<Vec<u8>>,
    ) {
        let answer = body.filter(|sdp| !sdp.is_empty());
        let answer = answer.or(self.dialling.early.take());
        let agreed = answer.map(|answer| self.session.read_answer(&answer));
        let Some(Ok(negotiated)) = agreed else {
            let reason = "it was answered, but not with how".to_owned();
            return self.end_dialling(cx, EndReason::Failed(reason));
        };
        self.open(cx, negotiated);
        if self.dialling.called_off.is_some() {
            // The answer was faster: it is asked once more, of the call that runs.
            self.backlog.push_back(Input::HangUpByApi);
        }
        self.write_down(cx, ledger);
        self.catch_up(cx, ports, ledger);
    }

    /// Ends a call that comes to nothing, and waits a while until that is settled.
    pub(super) fn end_dialling(&mut self, cx: &mut Cx, reason: EndReason) {
        self.command(cx, SipCommand::HangUp);
        self.dialling.failure = Some(reason);
        let until = cx.clock.now() + ENDING;
        self.stage = Stage::GivingUp { until };
    }

    /// It is settled, or was waited for long enough.
    pub(super) fn given_up(&mut self, cx: &mut Cx, ports: &mut Ports, ledger: &mut Ledger) {
        ports.close(self.port());
        let reason = self.dialling.failure.take();
        self.never_answered(cx, ledger, reason.unwrap_or(EndReason::Cancelled));
    }

    pub(in crate::sim) fn hear_back(&mut self, cx: &mut Cx, input: Input) {
        let at = cx.clock.now() + cx.lag();
        cx.clock.at(at, Moment::Task(self.number, input));
    }
}
