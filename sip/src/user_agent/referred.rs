//! The peer asks us to call somebody: its REFER, and our reports on it (RFC 3515, RFC 6665).
//!
//! Therefore, on purpose:
//!
//! - One at a time: another before the outcome of the last was told is refused with 491, as it would
//!   be answered once the pending one is settled.
//! - Before the call is answered a REFER is refused with 403.
//! - One report is out at a time, since the network could turn two around, and then one would be out
//!   of order (RFC 3261 §12.2.2). The newest waits: what is reported is a state.
//! - 202 is said although 200 would do (RFC 6665 §8.3.1): older peers wait for it.
//! - A report is good for a minute, as a subscription refreshed by nobody has to be. It is said
//!   again before that, until the switch has been silent for so long that 408 is reported.
//! - A report that fails in any way ends the reports, and never the call (RFC 6665 §4.2.2).
//! - When the call ends, the reports end with it.

use std::time::Instant;

use super::calls::{Call, Phase};
use super::clients::{ClientId, Purpose};
use super::compose::{self, Outgoing};
use super::event::Event;
use super::incoming::SUPPORT;
use super::refer::{PACKAGE, SIPFRAG};
use super::respond::Reply;
use super::settings::pace;
use super::transfer::ReferTo;
use super::{CallHandle, Reason, UserAgent};
use crate::flow::Flow;
use crate::message::{Message, Method, reason_phrase};

/// How much of a reason phrase is reported, in characters.
const MAX_REASON: usize = 80;

/// The peer's REFER; its CSeq names its subscription (RFC 3515 §2.4.6).
pub(super) enum PeerRefer {
    /// The switch has not answered it yet.
    Asked {
        server: u64,
        cseq: u32,
        /// Whether the peer wants reports (RFC 4488).
        wants_reports: bool,
        /// When it is refused, since the switch does not answer.
        refuse_at: Instant,
    },
    /// It was accepted, and the peer is told what becomes of it.
    Reported(Reports),
}

/// What the peer was told, and is to be told.
pub(super) struct Reports {
    cseq: u32,
    in_flight: Option<ClientId>,
    status: u16,
    reason: String,
    /// Whether the status waits to be told.
    is_due: bool,
    repeat_at: Instant,
    give_up_at: Instant,
}

impl Reports {
    /// Begins with what is so as soon as a REFER is accepted.
    fn new(now: Instant, cseq: u32) -> Self {
        Self {
            cseq,
            in_flight: None,
            status: 100,
            reason: String::new(),
            is_due: true,
            repeat_at: now + pace::REFER_REPEAT,
            give_up_at: now + pace::REFER_SILENCE,
        }
    }

    fn is_final(&self) -> bool {
        self.status >= 200
    }

    /// Writes the state that the subscription has then.
    fn state(&self) -> String {
        match self.is_final() {
            true => "terminated;reason=noresource".to_owned(),
            false => format!("active;expires={}", pace::REFER_EXPIRES_S),
        }
    }

    /// Writes the status line (RFC 3515 §2.4.5).
    fn sipfrag(&self) -> String {
        let reason = match self.reason.is_empty() {
            true => reason_phrase(self.status),
            false => &self.reason,
        };
        format!("SIP/2.0 {} {reason}\r\n", self.status)
    }
}

impl PeerRefer {
    /// Whether another would come too early.
    fn is_pending(&self) -> bool {
        match self {
            Self::Asked { .. } => true,
            Self::Reported(reports) => !reports.is_final(),
        }
    }

    /// Returns when it wants attention, and why.
    pub(super) fn deadline(&self) -> Option<(Instant, Reason)> {
        let at = match self {
            Self::Asked { refuse_at, .. } => *refuse_at,
            // The transaction ends it.
            Self::Reported(reports) if reports.is_final() && !reports.is_due => return None,
            Self::Reported(reports) if reports.is_final() => reports.repeat_at,
            Self::Reported(reports) => reports.repeat_at.min(reports.give_up_at),
        };
        Some((at, Reason::Transfer))
    }
}

impl UserAgent {
    /// Takes a REFER within a call (RFC 3515 §2.4.2).
    pub(super) fn peer_refers(
        &mut self,
        now: Instant,
        handle: CallHandle,
        flow: Flow,
        message: &Message<'_>,
        key: &[u8],
    ) {
        let Some(server) = self.open_supported(now, flow, message, key, &SUPPORT) else {
            return;
        };
        let refer_to = message.refer_to().ok();
        let refer_to = refer_to.and_then(|address| ReferTo::read(&address));
        let replaces = refer_to.as_ref().and_then(|to| to.replaces.as_ref());
        let replaces = replaces.and_then(|replaces| self.named(&replaces.view()));
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let reply = match (refusal(call), refer_to) {
            (Some(status), _) => Reply::new(status),
            (None, None) => Reply::new(400).because("Bad Refer-To"),
            (None, Some(refer_to)) => {
                call.peer_refer = Some(PeerRefer::Asked {
                    server,
                    cseq: message.cseq().map(|cseq| cseq.number).unwrap_or_default(),
                    wants_reports: message.refer_sub() != Some(false),
                    refuse_at: now + pace::REFER_UNANSWERED,
                });
                self.emit(Event::Refer {
                    call: handle,
                    refer_to,
                    replaces,
                    referred_by: compose::referred_by(message),
                });
                return self.arm_call(handle);
            }
        };
        self.reply_in(now, server, &reply);
    }

    /// Answers the peer's REFER: accepts it, so that [`notify_refer`](Self::notify_refer) is to
    /// tell what becomes of it, or refuses it with a status from 300 to 699. One that is not
    /// answered within seconds is refused with 603.
    pub fn answer_refer(&mut self, now: Instant, handle: CallHandle, answer: Result<(), u16>) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let is_asked = |refer: &mut PeerRefer| matches!(refer, PeerRefer::Asked { .. });
        let Some(PeerRefer::Asked {
            server,
            cseq,
            wants_reports,
            ..
        }) = call.peer_refer.take_if(is_asked)
        else {
            return;
        };
        let reply = match answer {
            Err(status) => Reply::new(status.clamp(300, 699)),
            Ok(()) => {
                let reply = Reply::new(202).in_dialog(handle.tag(), &call.contact_user);
                if wants_reports {
                    call.peer_refer = Some(PeerRefer::Reported(Reports::new(now, cseq)));
                    reply
                } else {
                    reply.with("Refer-Sub", "false")
                }
            }
        };
        self.reply_in(now, server, &reply);
        self.send_report(now, handle);
        self.arm_call(handle);
    }

    /// Tells the peer what becomes of its REFER: a status of the call that it asked for, from 200
    /// on the last. Without a `reason` it is the status's own.
    pub fn notify_refer(&mut self, now: Instant, handle: CallHandle, status: u16, reason: &str) {
        let Some(reports) = self.reports(handle).filter(|r| !r.is_final()) else {
            return;
        };
        let plain = reason.chars().filter(|c| !c.is_control());
        reports.status = status.clamp(100, 699);
        reports.reason = plain.take(MAX_REASON).collect();
        reports.is_due = true;
        reports.give_up_at = now + pace::REFER_SILENCE;
        self.send_report(now, handle);
        self.arm_call(handle);
    }

    fn reports(&mut self, handle: CallHandle) -> Option<&mut Reports> {
        match &mut self.calls.get_mut(&handle)?.peer_refer {
            Some(PeerRefer::Reported(reports)) => Some(reports),
            _ => None,
        }
    }

    /// Sends the report that waits, unless another is out.
    fn send_report(&mut self, now: Instant, handle: CallHandle) {
        let (id, full) = (self.new_branch(), self.is_full());
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let (Some(PeerRefer::Reported(reports)), Some(dialog)) =
            (&mut call.peer_refer, &mut call.dialog)
        else {
            return;
        };
        if !reports.is_due || reports.in_flight.is_some() {
            return;
        }
        if full {
            reports.repeat_at = now + self.settings.timers.t2;
            return;
        }
        let event = format!("{PACKAGE};id={}", reports.cseq);
        let mut outgoing = Outgoing::within(Method::Notify, call.flow, id, dialog)
            .with("Event", event)
            .with("Subscription-State", reports.state());
        outgoing.cseq = dialog.next_cseq();
        outgoing.contact_user = Some(call.contact_user.clone());
        outgoing.content_type = format!("{SIPFRAG};version=2.0");
        outgoing.body = reports.sipfrag().into_bytes();
        reports.in_flight = Some(id);
        reports.is_due = false;
        reports.repeat_at = now + pace::REFER_REPEAT;
        let flow = call.flow;
        match outgoing.write(&self.settings) {
            Ok(bytes) => {
                let purpose = Purpose::Report(handle);
                self.open_client(now, id, flow, (Method::Notify, bytes), purpose);
            }
            // The peer's Contact is no URI: nothing can be sent there.
            Err(_) => call.peer_refer = None,
        }
    }

    /// Takes the response to our NOTIFY.
    pub(super) fn report_answered(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(reports) = self.reports(handle).filter(|r| r.in_flight == Some(id)) else {
            return;
        };
        let told_all = reports.is_final() && !reports.is_due;
        match status {
            0..=199 => return,
            200..=299 if !told_all => {
                reports.in_flight = None;
                self.send_report(now, handle);
            }
            401 | 407 if self.report_challenged(now, handle, id, message) => {}
            _ => self.end_reports(handle),
        }
        self.arm_call(handle);
    }

    /// Nobody answered our NOTIFY.
    pub(super) fn report_failed(&mut self, handle: CallHandle, id: ClientId) {
        let reports = self.reports(handle);
        if reports.is_some_and(|reports| reports.in_flight == Some(id)) {
            self.end_reports(handle);
            self.arm_call(handle);
        }
    }

    fn end_reports(&mut self, handle: CallHandle) {
        if let Some(call) = self.calls.get_mut(&handle) {
            call.peer_refer = None;
        }
    }

    /// Our NOTIFY was challenged; false where that cannot be answered.
    fn report_challenged(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) -> bool {
        if self.is_full() {
            return false;
        }
        let again = self.answer_challenge(now, id, message);
        if let (Some(again), Some(reports)) = (again, self.reports(handle)) {
            reports.in_flight = Some(again);
        }
        again.is_some()
    }

    /// Refuses a REFER that the switch leaves alone, repeats a report before it expires, and gives
    /// up where the switch has nothing to say.
    pub(super) fn referred_timeout(&mut self, now: Instant, handle: CallHandle) {
        let call = self.calls.get_mut(&handle);
        match call.and_then(|call| call.peer_refer.as_mut()) {
            Some(PeerRefer::Asked { refuse_at, .. }) if *refuse_at <= now => {
                self.answer_refer(now, handle, Err(603));
            }
            Some(PeerRefer::Reported(reports)) => {
                if !reports.is_final() && reports.give_up_at <= now {
                    return self.notify_refer(now, handle, 408, "");
                }
                if reports.repeat_at <= now {
                    reports.is_due = true;
                    reports.repeat_at = now + pace::REFER_REPEAT;
                    self.send_report(now, handle);
                }
            }
            _ => {}
        }
    }

    /// Ends what a transfer has left in a call that ends: the peer's REFER is answered 487.
    pub(super) fn drop_refers(&mut self, now: Instant, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        call.own_refer = None;
        if let Some(PeerRefer::Asked { server, .. }) = call.peer_refer.take() {
            self.reply_in(now, server, &Reply::new(487));
        }
    }
}

/// Returns why a REFER cannot be taken now.
fn refusal(call: &Call) -> Option<u16> {
    let is_pending = call.peer_refer.as_ref().is_some_and(PeerRefer::is_pending);
    match call.phase {
        _ if !call.is_alive() => Some(481),
        Phase::Established => is_pending.then_some(491),
        _ => Some(403),
    }
}
