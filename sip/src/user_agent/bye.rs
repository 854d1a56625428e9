//! Hanging up, and being hung up on (RFC 3261 §15).

use std::time::Instant;

use super::calls::{OwnOffer, Phase};
use super::clients::{ClientId, Failure, Purpose};
use super::compose::{self, Outgoing};
use super::event::EndCause;
use super::respond::Reply;
use super::{CallHandle, UserAgent};
use crate::flow::Flow;
use crate::message::{Message, Method};

impl UserAgent {
    /// Ends a call by what its state asks for: CANCEL while it is being placed, a refusal (480)
    /// while it waits for us, BYE once it is answered, which waits for the ACK of our own answer.
    /// `reason` is written as the Reason header field, such as `Q.850;cause=16` (RFC 3326).
    pub fn hang_up(&mut self, now: Instant, call: CallHandle, reason: Option<&str>) {
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        match kept.phase {
            Phase::Calling { .. } => {
                self.give_up(now, call, reason, EndCause::Cancelled { reason: None });
            }
            Phase::Ringing { .. } => {
                let headers = reason.map(|reason| ("Reason".to_owned(), reason.to_owned()));
                self.reject(now, call, 480, headers.as_slice());
            }
            // §15: a callee's BYE waits for the ACK. That of a re-INVITE may be overtaken.
            Phase::Established if !kept.owns_call_id && !kept.unacknowledged.is_empty() => {
                kept.phase = Phase::HangingUp {
                    reason: reason.map(str::to_owned),
                };
                self.drop_offers(now, call);
                self.arm_call(call);
            }
            Phase::Established => self.send_bye(now, call, reason, Some(EndCause::LocalBye)),
            Phase::Cancelling { .. } | Phase::HangingUp { .. } | Phase::Ending { .. } => {}
        }
    }

    /// Ends a call that is beyond use: it is reported at once, and the peer is sent a BYE all the
    /// same (RFC 3261 §12.2.1.2).
    pub(super) fn terminate(&mut self, now: Instant, call: CallHandle, cause: EndCause) {
        self.send_bye(now, call, None, None);
        self.emit(super::Event::Ended { call, cause });
    }

    /// Sends BYE; `cause` is reported once it is answered, unless it has been.
    pub(super) fn send_bye(
        &mut self,
        now: Instant,
        call: CallHandle,
        reason: Option<&str>,
        cause: Option<EndCause>,
    ) {
        self.drop_offers(now, call);
        let id = self.new_branch();
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        kept.unacknowledged.clear();
        kept.phase = Phase::Ending {
            cause: cause.clone(),
        };
        let flow = kept.flow;
        let written = kept.dialog.as_mut().map(|dialog| {
            let mut outgoing = Outgoing::within(Method::Bye, flow, id, dialog);
            outgoing.cseq = dialog.next_cseq();
            let outgoing = match reason {
                Some(reason) => outgoing.with("Reason", reason),
                None => outgoing,
            };
            outgoing.write(&self.settings)
        });
        match written {
            Some(Ok(bytes)) => {
                self.open_client(now, id, flow, (Method::Bye, bytes), Purpose::Bye(call));
                self.arm_call(call);
            }
            // The peer's Contact is no URI: nothing can be sent there.
            _ => self.end_call(call, cause),
        }
    }

    /// Takes the response to our BYE. Whatever it says, the call is over (§15.1.1); a challenge
    /// is answered first.
    pub(super) fn bye_answered(
        &mut self,
        now: Instant,
        call: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        if status < 200 {
            return;
        }
        if matches!(status, 401 | 407) && self.answer_challenge(now, id, message).is_some() {
            return;
        }
        let cause = self.ending_cause(call);
        self.end_call(call, cause);
    }

    /// Nobody answered our BYE.
    pub(super) fn bye_failed(&mut self, call: CallHandle, failure: Failure) {
        let cause = self.ending_cause(call).map(|cause| match (cause, failure) {
            (EndCause::LocalBye, Failure::Timeout) => EndCause::Timeout,
            (EndCause::LocalBye, Failure::Transport) => EndCause::Transport,
            (cause, _) => cause,
        });
        self.end_call(call, cause);
    }

    fn ending_cause(&mut self, call: CallHandle) -> Option<EndCause> {
        match &mut self.calls.get_mut(&call)?.phase {
            Phase::Ending { cause } => cause.take(),
            _ => None,
        }
    }

    /// Takes a BYE (§15.1.2).
    pub(super) fn remote_bye(
        &mut self,
        now: Instant,
        call: CallHandle,
        flow: Flow,
        message: &Message<'_>,
        key: &[u8],
    ) {
        if self.is_full() {
            self.reply(flow, message, &Reply::new(200));
        } else {
            let server = self.open_server(now, flow, message, (key.into(), None));
            self.reply_in(now, server, &Reply::new(200));
        }
        let reason = compose::reason_field(message);
        let Some(kept) = self.calls.get(&call) else {
            return;
        };
        match kept.phase {
            // Both hung up at once: our own BYE is answered, or fails, by itself.
            Phase::Ending { .. } => {}
            // A caller may end an early dialog by BYE too (§15): its INVITE is answered 487.
            Phase::Ringing { server, .. } => {
                self.reply_in(now, server, &Reply::new(487).tagged(call.tag()));
                self.drop_offers(now, call);
                self.end_call(call, Some(EndCause::RemoteBye { reason }));
            }
            Phase::Calling { .. } | Phase::Cancelling { .. } => {
                // §15 forbids it: the answer that it ends is still on its way, or lost.
                self.give_up(now, call, None, EndCause::RemoteBye { reason });
            }
            Phase::Established | Phase::HangingUp { .. } => {
                self.drop_offers(now, call);
                self.end_call(call, Some(EndCause::RemoteBye { reason }));
            }
        }
    }

    /// Ends whatever was being negotiated: the peer's request is answered 487 (§15.1.2), ours is
    /// forgotten once it is answered.
    pub(super) fn drop_offers(&mut self, now: Instant, call: CallHandle) {
        self.drop_refers(now, call);
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        let (ours, theirs) = (kept.own_offer.take(), kept.peer_offer.take());
        let refresh = kept.session.stop();
        let ours = match ours {
            Some(OwnOffer::InFlight { client, .. }) => Some(client),
            _ => None,
        };
        for client in ours.into_iter().chain(refresh) {
            self.abandon_client(now, client);
        }
        if let Some(offer) = theirs {
            self.reply_in(now, offer.server, &Reply::new(487));
        }
    }
}
