//! We ask the peer to call somebody: our REFER, and the reports on it (RFC 3515, RFC 6665).
//!
//! A REFER makes a subscription of its own beside the call (RFC 6665 §4.5.2). Therefore, on purpose:
//!
//! - Silence to it refuses the transfer and leaves the call up: a person may be talking, and many
//!   peers drop what they do not know. Only 481 says that the dialog is gone (RFC 3261 §12.2.1.2).
//! - 200 accepts as 202 does, which RFC 6665 §8.3.1 has retired; 204, or `Refer-Sub: false`, says
//!   that there will be no report (RFC 4488 §4).
//! - A report without `id` is taken for the only REFER that there is, since many peers leave it out.
//! - Whatever ends the reports without a final status is told as 408: nobody knows what became of it.
//! - When the call ends, so does the subscription, without a word: a NOTIFY after BYE, which RFC
//!   5589 §6.1 allows, gets 481.

use std::time::Instant;

use super::calls::Phase;
use super::clients::{ClientId, Failure, Purpose};
use super::compose::{self, Outgoing};
use super::event::{EndCause, Event};
use super::incoming::{OPTIONS, SUPPORT};
use super::respond::Reply;
use super::settings::pace;
use super::transfer::{Refer, ReplacesBuf};
use super::{CallHandle, Reason, UserAgent};
use crate::flow::Flow;
use crate::message::{Message, Method, Substate, Support, sipfrag_status};
use crate::uri::Uri;

/// The event package of REFER (RFC 3515 §3.1).
pub(super) const PACKAGE: &str = "refer";

/// The media type of reports (RFC 3420).
pub(super) const SIPFRAG: &str = "message/sipfrag";

/// What a NOTIFY may bring.
const NOTIFY: Support<'static> = Support {
    methods: SUPPORT.methods,
    options: OPTIONS,
    content_types: &[SIPFRAG],
};

/// Where our REFER stands; its CSeq names its subscription (RFC 3515 §2.4.6).
pub(super) enum OwnRefer {
    /// It waits for its answer.
    Asking { client: ClientId, cseq: u32 },
    /// The peer is on it, and reports.
    Followed { cseq: u32, give_up_at: Instant },
    /// Its outcome is known; the peer has not ended the subscription yet.
    Known { cseq: u32, until: Instant },
}

impl OwnRefer {
    fn cseq(&self) -> u32 {
        match *self {
            Self::Asking { cseq, .. } | Self::Followed { cseq, .. } | Self::Known { cseq, .. } => {
                cseq
            }
        }
    }

    /// Returns when it wants attention, and why.
    pub(super) fn deadline(&self) -> Option<(Instant, Reason)> {
        match *self {
            Self::Asking { .. } => None,
            Self::Followed { give_up_at: at, .. } | Self::Known { until: at, .. } => {
                Some((at, Reason::Transfer))
            }
        }
    }
}

impl UserAgent {
    /// Asks the peer of an established call to call somebody (RFC 3515 §2.4.1). The answer comes as
    /// [`Event::ReferAnswered`], and what becomes of it as [`Event::ReferProgress`]. One at a time:
    /// another, and one before the call is answered, is refused with 491 at once; one that cannot
    /// be written, with 400.
    pub fn refer(&mut self, now: Instant, handle: CallHandle, refer: Refer) {
        if !self.calls.get(&handle).is_some_and(|call| call.is_alive()) {
            return;
        }
        if let Err(status) = self.send_refer(now, handle, &refer) {
            self.refer_settled(handle, Err(status));
        }
    }

    /// Asks the peer of `call` to take our place in `other` (attended transfer, RFC 5589 §7). Where
    /// `other` is not established, that is refused with 400.
    pub fn refer_to_call(&mut self, now: Instant, call: CallHandle, other: CallHandle) {
        let refer = self.transfer_to(other).filter(|_| call != other);
        // What names no place is refused by `refer`.
        self.refer(now, call, refer.unwrap_or_default());
    }

    /// Returns the transfer of somebody into our place in an established call: to the peer's
    /// Contact, where the call is named as the peer names it (RFC 3891 §4).
    pub fn transfer_to(&self, call: CallHandle) -> Option<Refer> {
        let call = self.calls.get(&call)?;
        let (Phase::Established, Some(dialog)) = (&call.phase, &call.dialog) else {
            return None;
        };
        let target = Uri::parse(dialog.remote_target()).ok()?;
        let to_tag = match dialog.remote_tag() {
            "" => "0",
            tag => tag,
        };
        Some(Refer {
            refer_to: format!("<{}>", target.without_headers()),
            replaces: Some(ReplacesBuf {
                call_id: dialog.call_id().to_owned(),
                to_tag: to_tag.to_owned(),
                from_tag: dialog.local_tag().to_owned(),
                early_only: false,
            }),
            ..Refer::default()
        })
    }

    fn send_refer(&mut self, now: Instant, handle: CallHandle, refer: &Refer) -> Result<(), u16> {
        let refer_to = refer.written_refer_to().ok_or(400_u16)?;
        let (id, full) = (self.new_branch(), self.is_full());
        let call = self.calls.get_mut(&handle).ok_or(481_u16)?;
        match (&call.phase, &call.own_refer) {
            _ if full => return Err(503),
            (Phase::Established, None | Some(OwnRefer::Known { .. })) => {}
            _ => return Err(491),
        }
        let dialog = call.dialog.as_mut().ok_or(481_u16)?;
        let mut outgoing =
            Outgoing::within(Method::Refer, call.flow, id, dialog).with("Refer-To", refer_to);
        if let Some(by) = &refer.referred_by {
            compose::check_address("Referred-By", by).map_err(|_| 400_u16)?;
            outgoing = outgoing.with("Referred-By", compose::name_addr(by));
        }
        if refer.without_reports {
            outgoing = outgoing.with("Refer-Sub", "false");
        }
        outgoing.contact_user = Some(call.contact_user.clone());
        outgoing.cseq = dialog.next_cseq();
        let (flow, cseq) = (call.flow, outgoing.cseq);
        let bytes = outgoing.write(&self.settings).map_err(|_| 400_u16)?;
        call.own_refer = Some(OwnRefer::Asking { client: id, cseq });
        let purpose = Purpose::Refer(handle);
        self.open_client(now, id, flow, (Method::Refer, bytes), purpose);
        self.arm_call(handle);
        Ok(())
    }

    fn refer_settled(&mut self, call: CallHandle, result: Result<(), u16>) {
        self.emit(Event::ReferAnswered { call, result });
    }

    /// Takes the response to our REFER (§2.4.2).
    pub(super) fn refer_answered(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(cseq) = self.asking(handle, id) else {
            return;
        };
        match status {
            0..=199 => return,
            204 => self.refer_accepted(now, handle, cseq, (204, false)),
            200..=299 => {
                let reports = message.refer_sub() != Some(false);
                self.refer_accepted(now, handle, cseq, (status, reports));
            }
            401 | 407 if self.refer_challenged(now, handle, id, message) => {}
            481 => self.terminate(now, handle, EndCause::Lost),
            _ => self.refer_refused(handle, status),
        }
        self.arm_call(handle);
    }

    /// Returns the CSeq of our REFER, if it is this one that waits for its answer.
    fn asking(&self, handle: CallHandle, id: ClientId) -> Option<u32> {
        match self.calls.get(&handle)?.own_refer {
            Some(OwnRefer::Asking { client, cseq }) if client == id => Some(cseq),
            _ => None,
        }
    }

    /// The peer accepts, and reports or not.
    fn refer_accepted(
        &mut self,
        now: Instant,
        handle: CallHandle,
        cseq: u32,
        (status, reports): (u16, bool),
    ) {
        let followed = OwnRefer::Followed {
            cseq,
            give_up_at: now + pace::REFER_SILENCE,
        };
        if let Some(call) = self.calls.get_mut(&handle) {
            call.own_refer = reports.then_some(followed);
        }
        self.refer_settled(handle, Ok(()));
        if !reports {
            self.emit(Event::ReferProgress {
                call: handle,
                status,
                is_final: true,
            });
        }
    }

    fn refer_refused(&mut self, handle: CallHandle, status: u16) {
        if let Some(call) = self.calls.get_mut(&handle) {
            call.own_refer = None;
        }
        self.refer_settled(handle, Err(status));
    }

    /// Our REFER was challenged; false where that cannot be answered.
    fn refer_challenged(
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
        let (Some(again), Some(call)) = (again, self.calls.get_mut(&handle)) else {
            return false;
        };
        let number = call.dialog.as_ref().map(|dialog| dialog.local_cseq());
        if let (Some(OwnRefer::Asking { client, cseq }), Some(number)) =
            (&mut call.own_refer, number)
        {
            (*client, *cseq) = (again, number);
        }
        true
    }

    /// Nobody answered our REFER.
    pub(super) fn refer_failed(&mut self, handle: CallHandle, id: ClientId, failure: Failure) {
        if self.asking(handle, id).is_some() {
            self.refer_refused(handle, failure.status());
            self.arm_call(handle);
        }
    }

    /// Takes a NOTIFY (RFC 6665 §4.1.3): one that belongs to no REFER of ours gets 481, one of
    /// another package 489.
    pub(super) fn peer_reports(
        &mut self,
        now: Instant,
        handle: CallHandle,
        flow: Flow,
        message: &Message<'_>,
        key: &[u8],
    ) {
        let server = self.open_server(now, flow, message, (key.into(), None));
        let event = message
            .event()
            .filter(|event| event.name.eq_ignore_ascii_case(PACKAGE));
        let refer = self
            .calls
            .get(&handle)
            .and_then(|call| call.own_refer.as_ref());
        let reply = match (event, refer) {
            (None, _) => Reply::new(489).with("Allow-Events", PACKAGE),
            (Some(event), Some(refer)) if names(event.id, refer.cseq()) => {
                match message.check_support(&NOTIFY) {
                    Ok(()) => Reply::new(200),
                    Err(refusal) => Reply::refusing(&refusal),
                }
            }
            _ => Reply::new(481),
        };
        let taken = reply.status == 200;
        self.reply_in(now, server, &reply);
        if taken {
            self.take_report(now, handle, message);
            self.arm_call(handle);
        }
    }

    /// Acts on a report. It may overtake the 202 (RFC 6665 §4.1.2.4), which it then stands for; one
    /// without Subscription-State, as older peers send it, ends with a final status.
    fn take_report(&mut self, now: Instant, handle: CallHandle, message: &Message<'_>) {
        let status = sipfrag_status(message.body());
        let settles = status.is_some_and(|status| status >= 200);
        let ends = match message.subscription_state() {
            Some(said) => said.state == Substate::Terminated,
            None => settles,
        };
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let Some(refer) = call.own_refer.take() else {
            return;
        };
        let (cseq, until) = (refer.cseq(), now + pace::REFER_SILENCE);
        call.own_refer = match refer {
            _ if ends => None,
            OwnRefer::Known { .. } => Some(OwnRefer::Known { cseq, until }),
            _ if settles => Some(OwnRefer::Known { cseq, until }),
            _ => Some(OwnRefer::Followed {
                cseq,
                give_up_at: until,
            }),
        };
        match refer {
            OwnRefer::Asking { .. } => self.refer_settled(handle, Ok(())),
            OwnRefer::Followed { .. } => {}
            OwnRefer::Known { .. } => return,
        }
        let is_final = ends || settles;
        let told = match is_final {
            true => Some(status.filter(|_| settles).unwrap_or(408)),
            false => status,
        };
        if let Some(status) = told {
            self.emit(Event::ReferProgress {
                call: handle,
                status,
                is_final,
            });
        }
    }

    /// Gives up a REFER of ours of which nothing was heard for long.
    pub(super) fn refer_timeout(&mut self, now: Instant, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let due = |refer: &mut OwnRefer| refer.deadline().is_some_and(|(at, _)| at <= now);
        if let Some(OwnRefer::Followed { .. }) = call.own_refer.take_if(due) {
            self.emit(Event::ReferProgress {
                call: handle,
                status: 408,
                is_final: true,
            });
        }
    }
}

/// Whether the id of a NOTIFY's Event names a REFER by its CSeq (RFC 3515 §2.4.6).
fn names(id: Option<&str>, cseq: u32) -> bool {
    id.is_none_or(|id| id.parse() == Ok(cseq))
}
