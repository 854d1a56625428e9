//! We change the session: our re-INVITE, its glare and its failures (RFC 3261 §14.1).

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use super::calls::{OwnOffer, Phase};
use super::clients::{ClientId, Failure, Purpose};
use super::compose::{self, Outgoing};
use super::event::{EndCause, Event};
use super::incoming::Heard;
use super::{CallHandle, UserAgent};
use crate::dialog::contact_uri;
use crate::message::{Message, Method};

/// How often a re-INVITE that meets the peer's is tried again.
pub(super) const MAX_ATTEMPTS: u8 = 8;

impl UserAgent {
    /// Offers the peer a new session description. While the peer's INVITE is in progress it waits;
    /// while an offer of our own is unsettled, another is refused with 491 (§14.1): what the session
    /// should be by then, only who makes the offers knows.
    pub fn reinvite(&mut self, now: Instant, handle: CallHandle, body: Vec<u8>) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        // The 2xx may wait for a PRACK (RFC 3262 §3): for whoever offers, the call is answered.
        let waits = matches!(call.phase, Phase::Ringing { .. });
        if !waits && !matches!(call.phase, Phase::Established) {
            return;
        }
        if waits || call.own_offer.is_some() {
            return self.emit(Event::ReofferAnswered {
                call: handle,
                offer: body,
                result: Err(491),
            });
        }
        call.own_offer = Some(OwnOffer::Waiting {
            until: now,
            body,
            attempts: 0,
        });
        self.glare_timeout(now, handle);
        self.arm_call(handle);
    }

    /// Gives up an offer of ours that waits, since the peer's was answered meanwhile: it names what
    /// no longer holds.
    pub(super) fn overtake_own_offer(&mut self, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let waiting = |offer: &mut OwnOffer| matches!(offer, OwnOffer::Waiting { .. });
        if call.own_offer.take_if(waiting).is_some() {
            self.emit(Event::ReofferOvertaken { call: handle });
        }
    }

    /// Sends a re-INVITE that has waited long enough, unless it must wait on.
    pub(super) fn glare_timeout(&mut self, now: Instant, handle: CallHandle) {
        let timers = self.settings.timers;
        let id = self.new_branch();
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let busy = call.peer_offer.is_some()
            || !call.unacknowledged.is_empty()
            || call.session.is_refreshing();
        let Some(OwnOffer::Waiting {
            until,
            body,
            attempts,
        }) = &mut call.own_offer
        else {
            return;
        };
        if *until > now {
            return;
        }
        if busy {
            *until = now + timers.t1;
            return;
        }
        let (body, attempts) = (std::mem::take(body), *attempts + 1);
        let Some(dialog) = &mut call.dialog else {
            return;
        };
        let mut outgoing = Outgoing::within(Method::Invite, call.flow, id, dialog)
            .with_fields(call.session.keep());
        outgoing.cseq = dialog.next_cseq();
        outgoing.contact_user = Some(call.contact_user.clone());
        outgoing.content_type = "application/sdp".to_owned();
        outgoing.body = body.clone();
        let flow = call.flow;
        match outgoing.write(&self.settings) {
            Ok(bytes) => {
                call.own_offer = Some(OwnOffer::InFlight {
                    client: id,
                    body,
                    attempts,
                    cancel_at: Some(now + timers.give_up() + timers.t2),
                });
                let purpose = Purpose::Reinvite(handle);
                self.open_client(now, id, flow, (Method::Invite, bytes), purpose);
            }
            Err(_) => {
                call.own_offer = None;
                self.emit(Event::ReofferAnswered {
                    call: handle,
                    offer: body,
                    result: Err(400),
                });
            }
        }
    }

    /// Cancels a re-INVITE of which a provisional answer is all that was heard: while it is in
    /// flight, neither side can offer anything else (§14.1). Where nothing at all was heard, its
    /// transaction has ended before.
    pub(super) fn offer_timeout(&mut self, now: Instant, handle: CallHandle) {
        let offer = self
            .calls
            .get_mut(&handle)
            .and_then(|c| c.own_offer.as_mut());
        let Some(OwnOffer::InFlight {
            client, cancel_at, ..
        }) = offer
        else {
            return;
        };
        if cancel_at.take_if(|at| *at <= now).is_some() {
            let client = *client;
            self.cancel_client(now, client, None);
        }
    }

    /// Takes a response to our re-INVITE.
    pub(super) fn reinvite_answered(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        let wanted = self.calls.get(&handle).is_some_and(
            |call| matches!(call.own_offer, Some(OwnOffer::InFlight { client, .. }) if client == id),
        );
        match status {
            0..=199 => {}
            200..=299 => self.reinvite_accepted(now, handle, id, message, wanted),
            _ if !wanted => {}
            401 | 407 if self.reinvite_challenged(now, handle, id, message) => {}
            408 => self.terminate(now, handle, EndCause::Timeout),
            481 => self.terminate(now, handle, EndCause::Lost),
            491 => self.try_again_later(now, handle, None),
            422 if self.takes_longer(handle, message) => {
                self.try_again_later(now, handle, Some(0));
            }
            500 if message.retry_after().is_some() => {
                self.try_again_later(now, handle, message.retry_after());
            }
            _ => self.reoffer_answered(handle, Err(status)),
        }
        self.arm_call(handle);
    }

    /// A 2xx: acknowledged whether the offer is still wanted or not.
    fn reinvite_accepted(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        wanted: bool,
    ) {
        self.acknowledge_reinvite(now, handle, id, message);
        let Some(call) = self.calls.get_mut(&handle).filter(|_| wanted) else {
            return;
        };
        call.session.accepted(now, message);
        let answer = compose::session_description(message);
        self.reoffer_answered(handle, Ok(answer));
    }

    /// Acknowledges the 2xx of an INVITE within a call, and takes its target.
    pub(super) fn acknowledge_reinvite(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) {
        let branch = self.new_branch();
        let Some(call) = self.calls.get_mut(&handle) else {
            return self.end_fork(now, id, message);
        };
        let heard = Heard::answering(call.flow);
        call.refresh_target(contact_uri(message).ok().flatten(), heard);
        let flow = call.flow;
        let Some(dialog) = call.dialog.clone() else {
            return;
        };
        let request = self.clients.get(&id).map(|client| client.request.clone());
        let ack = request.and_then(|request| {
            let request = Message::parse(&request).ok()?;
            self.write_ack(flow, &dialog, branch, &request)
        });
        if let Some(ack) = ack {
            self.keep_and_send_ack(id, message, ack);
        }
    }

    /// Our offer is settled.
    fn reoffer_answered(&mut self, handle: CallHandle, result: Result<Option<Vec<u8>>, u16>) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let in_flight = |offer: &mut OwnOffer| matches!(offer, OwnOffer::InFlight { .. });
        let Some(OwnOffer::InFlight { body, .. }) = call.own_offer.take_if(in_flight) else {
            return;
        };
        // An answer that an ACK of whoever asked has carried is not known here.
        if let Ok(Some(_)) = result {
            call.session.describe(body.clone());
        }
        self.emit(Event::ReofferAnswered {
            call: handle,
            offer: body,
            result,
        });
    }

    /// Waits before the next attempt: as long as the peer asks, or as after a glare.
    fn try_again_later(&mut self, now: Instant, handle: CallHandle, after_s: Option<u32>) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let Some(OwnOffer::InFlight { body, attempts, .. }) = &mut call.own_offer else {
            return;
        };
        if *attempts >= MAX_ATTEMPTS {
            return self.reoffer_answered(handle, Err(491));
        }
        let wait = match after_s {
            Some(seconds) => Duration::from_secs(u64::from(seconds.min(60))),
            None => after_glare(&mut self.rng, call.owns_call_id),
        };
        let (body, attempts) = (std::mem::take(body), *attempts);
        call.own_offer = Some(OwnOffer::Waiting {
            until: now + wait,
            body,
            attempts,
        });
    }

    /// Nobody answered our re-INVITE: the dialog is lost (§14.1, §12.2.1.2).
    pub(super) fn reinvite_failed(&mut self, now: Instant, handle: CallHandle, failure: Failure) {
        let offer = self.calls.get(&handle).map(|call| &call.own_offer);
        let Some(Some(offer)) = offer else { return };
        let cancelled = matches!(
            offer,
            OwnOffer::InFlight {
                cancel_at: None,
                ..
            }
        );
        match failure {
            // It was there, since it said that it worked on it: the session goes on.
            Failure::Timeout if cancelled => self.reoffer_answered(handle, Err(failure.status())),
            Failure::Timeout => self.terminate(now, handle, EndCause::Timeout),
            Failure::Transport => self.reoffer_answered(handle, Err(failure.status())),
        }
        self.arm_call(handle);
    }
}

/// Draws how long to wait after a glare: 2.1 to 4 s for the owner of the Call-ID and up to 2 s for
/// the other, in steps of 10 ms (§14.1).
pub(super) fn after_glare(rng: &mut StdRng, owns_call_id: bool) -> Duration {
    let tens_ms = match owns_call_id {
        true => 210..=400,
        false => 0..=200,
    };
    Duration::from_millis(10 * rng.random_range::<u64, _>(tens_ms))
}
