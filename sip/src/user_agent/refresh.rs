//! Refreshes that we send (RFC 4028 §7.4, §10): UPDATE without a body where the peer takes it, else
//! a re-INVITE with the description that holds.

use std::time::{Duration, Instant};

use super::calls::{OwnOffer, Phase};
use super::clients::{ClientId, Failure, Purpose};
use super::compose::{self, Outgoing};
use super::event::{EndCause, Event};
use super::incoming::Heard;
use super::reinvite::{MAX_ATTEMPTS, after_glare};
use super::timer::Refresh;
use super::{CallHandle, UserAgent};
use crate::dialog::contact_uri;
use crate::message::{HeaderName, Message, Method};

impl UserAgent {
    /// Acts on a call's session timer.
    pub(super) fn session_timeout(&mut self, now: Instant, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        if !matches!(call.phase, Phase::Established) {
            return;
        }
        if call.session.is_due(now) {
            return self.refresh(now, handle);
        }
        // Of an INVITE of ours a provisional answer is all that was heard.
        let Some(refresh) = call.session.refresh() else {
            return;
        };
        if refresh.cancel_at.take_if(|at| *at <= now).is_some() {
            let client = refresh.client;
            self.cancel_client(now, client, None);
        }
    }

    /// Refreshes the session, unless something is being negotiated: that refreshes it as well, or
    /// is over soon.
    fn refresh(&mut self, now: Instant, handle: CallHandle) {
        let (timers, full) = (self.settings.timers, self.is_full());
        let id = self.new_branch();
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let busy = call.peer_offer.is_some()
            || !call.unacknowledged.is_empty()
            || matches!(call.own_offer, Some(OwnOffer::InFlight { .. }));
        if busy || full {
            call.session.try_again(now + timers.t2, u8::MAX);
            return;
        }
        let Some(dialog) = &mut call.dialog else {
            return call.session.refused(now);
        };
        call.session.take_over();
        let (offer, flow) = (call.session.offer(), call.flow);
        let method = match offer {
            Some(_) => Method::Invite,
            None => Method::Update,
        };
        let mut outgoing =
            Outgoing::within(method, flow, id, dialog).with_fields(call.session.keep());
        outgoing.cseq = dialog.next_cseq();
        outgoing.contact_user = Some(call.contact_user.clone());
        let patience = timers.give_up() + timers.t2;
        let refresh = Refresh {
            client: id,
            by_invite: offer.is_some(),
            cancel_at: offer.is_some().then(|| now + patience),
        };
        outgoing.content_type = "application/sdp".to_owned();
        outgoing.body = offer.unwrap_or_default();
        match outgoing.write(&self.settings) {
            Ok(bytes) => {
                call.session.sent(refresh);
                let purpose = Purpose::Refresh(handle);
                self.open_client(now, id, flow, (method, bytes), purpose);
            }
            // The peer's Contact is no URI: nothing can be sent there.
            Err(_) => call.session.refused(now),
        }
    }

    /// Takes a response to our refresh. Only 481 and 408 end a call; whatever else refuses it was
    /// said by somebody who is there.
    pub(super) fn refresh_answered(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        if (200..300).contains(&status) {
            self.refresh_accepted(now, handle, id, message);
            return self.arm_call(handle);
        }
        let Some(refresh) = self.refresh_of(handle, id) else {
            return;
        };
        match status {
            0..=199 => return,
            401 | 407 if self.refresh_challenged(now, handle, id, message) => {}
            408 => self.terminate(now, handle, EndCause::Timeout),
            481 => self.terminate(now, handle, EndCause::Lost),
            405 | 501 if !refresh.by_invite => {
                if let Some(call) = self.calls.get_mut(&handle) {
                    call.session.refuses_update();
                }
                self.refresh_again(now, handle, Some(Duration::ZERO));
            }
            422 if self.takes_longer(handle, message) => {
                self.refresh_again(now, handle, Some(Duration::ZERO));
            }
            491 => self.refresh_again(now, handle, None),
            500 if message.retry_after().is_some() => {
                let wait_s = message.retry_after().unwrap_or_default().min(60);
                self.refresh_again(now, handle, Some(Duration::from_secs(wait_s.into())));
            }
            _ => self.refresh_refused(now, handle),
        }
        self.arm_call(handle);
    }

    /// Returns our refresh, if it is this one that waits for its answer.
    fn refresh_of(&mut self, handle: CallHandle, id: ClientId) -> Option<Refresh> {
        let refresh = self.calls.get_mut(&handle)?.session.refresh().copied();
        refresh.filter(|refresh| refresh.client == id)
    }

    /// A 2xx: the session goes on, for as long as it says. An answer to our description goes to the
    /// switch, since it may differ from the last.
    fn refresh_accepted(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) {
        let wanted = self.refresh_of(handle, id);
        let by_invite = message.cseq().is_ok_and(|c| c.method == Method::Invite);
        if by_invite {
            self.acknowledge_reinvite(now, handle, id, message);
        }
        let (Some(_), Some(call)) = (wanted, self.calls.get_mut(&handle)) else {
            return;
        };
        if !by_invite {
            let heard = Heard::answering(call.flow);
            call.refresh_target(contact_uri(message).ok().flatten(), heard);
        }
        call.session.accepted(now, message);
        let answer = compose::session_description(message).filter(|_| by_invite);
        if answer.is_some() {
            self.emit(Event::Confirmed {
                call: handle,
                body: answer,
            });
        }
    }

    /// Sends a refresh again after a wait, by default as after a glare (RFC 3261 §14.1); too often
    /// and it was refused.
    fn refresh_again(&mut self, now: Instant, handle: CallHandle, wait: Option<Duration>) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let wait = wait.unwrap_or_else(|| after_glare(&mut self.rng, call.owns_call_id));
        if !call.session.try_again(now + wait, MAX_ATTEMPTS) {
            return call.session.refused(now);
        }
        if wait.is_zero() {
            self.refresh(now, handle);
        }
    }

    fn refresh_refused(&mut self, now: Instant, handle: CallHandle) {
        if let Some(call) = self.calls.get_mut(&handle) {
            call.session.refused(now);
        }
    }

    /// Our refresh was challenged; false where that cannot be answered.
    fn refresh_challenged(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) -> bool {
        let Some(again) = self.answer_challenge(now, id, message) else {
            return false;
        };
        let patience = self.settings.timers.give_up() + self.settings.timers.t2;
        let call = self.calls.get_mut(&handle);
        if let Some(refresh) = call.and_then(|call| call.session.refresh()) {
            refresh.client = again;
            // It is another request, of which nothing was heard yet.
            refresh.cancel_at = refresh.by_invite.then(|| now + patience);
        }
        true
    }

    /// Nobody answered our refresh: the dialog is lost (RFC 4028 §10). A dead transport is another
    /// matter: the next refresh may find another way.
    pub(super) fn refresh_failed(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        failure: Failure,
    ) {
        let Some(refresh) = self.refresh_of(handle, id) else {
            return;
        };
        // It was there, since it said that it worked on it.
        let cancelled = refresh.by_invite && refresh.cancel_at.is_none();
        match failure {
            Failure::Timeout if !cancelled => self.terminate(now, handle, EndCause::Timeout),
            Failure::Timeout | Failure::Transport => self.refresh_refused(now, handle),
        }
        self.arm_call(handle);
    }

    /// Takes the longer interval that a 422 to a request within a call asks for.
    pub(super) fn takes_longer(&mut self, handle: CallHandle, message: &Message<'_>) -> bool {
        let call = self.calls.get_mut(&handle);
        call.is_some_and(|call| call.session.raise(message))
    }

    /// Sends an INVITE again that was refused for its session interval, with the one that the answer
    /// asks for (§7.3).
    pub(super) fn ask_for_longer(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) -> Option<ClientId> {
        if !self.clients.get_mut(&id)?.attempts.once_more() {
            return None;
        }
        let session = &mut self.calls.get_mut(&handle)?.session;
        let fields: Vec<(HeaderName, String)> = match session.raise(message) {
            true => session.ask(),
            false => return None,
        };
        self.send_anew(now, id, fields)
    }
}
