//! Calling (RFC 3261 §13.2).

use std::time::Instant;

use super::calls::{Call, PeerOffer, Phase};
use super::clients::{Client, ClientId, Failure, Purpose};
use super::compose::{self, Outgoing};
use super::early::EarlyAnswer;
use super::event::{EndCause, Event};
use super::provisional::Provisionals;
use super::respond::Reply;
use super::settings::{Error, Invite, RELIABLE, Reliable};
use super::timer::Session;
use super::{CallHandle, Transmit, UserAgent};
use crate::dialog::Dialog;
use crate::message::{Message, Method};

impl UserAgent {
    /// Calls someone; challenges are answered with the credentials without further ado.
    ///
    /// # Errors
    /// A bound is reached, or a part cannot be written into a message.
    pub fn invite(&mut self, now: Instant, invite: Invite) -> Result<CallHandle, Error> {
        if self.calls.len() >= self.settings.max_calls || self.is_full() {
            return Err(Error::Overloaded);
        }
        compose::check_invite(&invite)?;
        let call = self.new_call_handle();
        let client = self.new_branch();
        let contact_user = compose::user_of(&invite.from);
        let call_id = self.new_call_id();
        let session = Session::new(&self.settings.session);
        let mut outgoing =
            Outgoing::new(Method::Invite, invite.flow, client).with_fields(session.ask());
        outgoing.request_uri = invite.request_uri;
        outgoing.routes = invite.route;
        outgoing.from = compose::with_tag(&invite.from, &call.tag());
        outgoing.to = compose::name_addr(&invite.to);
        outgoing.call_id = call_id;
        outgoing.cseq = 1;
        outgoing.contact_user = Some(contact_user.clone());
        outgoing.headers.extend(invite.headers);
        if self.settings.reliable == Reliable::Required && !invite.body.is_empty() {
            outgoing = outgoing.with("Require", RELIABLE);
        }
        outgoing.body = invite.body;
        outgoing.content_type = invite.content_type;
        let request = outgoing.write(&self.settings)?;
        let phase = Phase::Calling {
            client,
            heard: false,
            give_up_at: now + self.settings.timers.c,
        };
        self.calls.insert(
            call,
            Call {
                phase,
                dialog: None,
                flow: invite.flow,
                stream: invite.stream,
                contact_user,
                unacknowledged: Vec::new(),
                provisionals: Provisionals::none(),
                peer_offer: None,
                info_refused: false,
                own_offer: None,
                own_refer: None,
                peer_refer: None,
                session,
                owns_call_id: true,
                seeks_way: false,
            },
        );
        self.answerers.begin(call, invite.credentials);
        self.stats.calls_out += 1;
        let purpose = Purpose::Invite(call);
        self.open_client(now, client, invite.flow, (Method::Invite, request), purpose);
        self.arm_call(call);
        Ok(call)
    }

    /// Takes a response to the INVITE of a call.
    pub(super) fn invite_answered(
        &mut self,
        now: Instant,
        call: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        let phase = self.calls.get(&call).map(|call| &call.phase);
        match phase {
            Some(Phase::Calling { client, .. }) if *client == id => match status {
                0..=199 => self.progress(now, call, id, message, status),
                200..=299 => self.established(now, call, id, message),
                401 | 407 | 422 => self.invite_challenged(now, call, id, message, status),
                _ => self.rejected(now, call, message, status),
            },
            Some(Phase::Cancelling { client, .. }) if *client == id => {
                self.answered_while_cancelling(now, call, id, message, status);
            }
            _ if (200..300).contains(&status) => self.end_fork(now, id, message),
            _ => {}
        }
    }

    /// A provisional response (§13.2.2.1): with or without a session description the call is not
    /// answered, even where our offer is (RFC 3262 §5).
    fn progress(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        let timer_c = self.settings.timers.c;
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let mut is_first = false;
        if let Phase::Calling {
            heard, give_up_at, ..
        } = &mut call.phase
        {
            is_first = !std::mem::replace(heard, true);
            *give_up_at = now + timer_c;
        }
        if status == 100 && is_first {
            self.emit(Event::Trying { call: handle });
        }
        if status > 100
            && let Some(body) = self.hear_provisional(now, handle, id, message)
        {
            self.emit(Event::Progress {
                call: handle,
                status,
                body,
            });
        }
        self.arm_call(handle);
    }

    /// A 2xx (§13.2.2.4): the dialog is confirmed, and the ACK is ours to send.
    fn established(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) {
        match self.acknowledge_2xx(handle, id, message) {
            Some(()) => {
                let answer = self.early_answer(id, message);
                let offer = self.clients.get(&id).and_then(Client::description);
                self.drop_other_fork(now, handle);
                if let Some(call) = self.calls.get_mut(&handle) {
                    call.phase = Phase::Established;
                    if !matches!(answer, EarlyAnswer::Changed) {
                        call.session.describe(offer.unwrap_or_default());
                    }
                    call.session.accepted(now, message);
                }
                let body = match answer {
                    EarlyAnswer::None => compose::session_description(message),
                    EarlyAnswer::Given(answer) => Some(answer),
                    EarlyAnswer::Changed => None,
                };
                self.emit(Event::Answered { call: handle, body });
                self.arm_call(handle);
            }
            None => self.end_call(handle, Some(EndCause::Protocol)),
        }
    }

    /// Returns how our offer was answered before the 2xx came.
    fn early_answer(&mut self, id: ClientId, message: &Message<'_>) -> EarlyAnswer {
        let tag = message.to().ok().and_then(|to| to.tag());
        let client = self.clients.get_mut(&id);
        let early = client.and_then(|client| client.early(tag.unwrap_or_default()));
        early.map_or(EarlyAnswer::None, |early| std::mem::take(&mut early.answer))
    }

    /// Ends what a callee other than the one that answered has offered.
    fn drop_other_fork(&mut self, now: Instant, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let confirmed = call.dialog.as_ref().map(Dialog::remote_tag);
        let other = |offer: &mut PeerOffer| Some(offer.peer.as_str()) != confirmed;
        if let Some(offer) = call.peer_offer.take_if(other) {
            self.reply_in(now, offer.server, &Reply::new(487));
        }
    }

    /// Makes a call's dialog out of a 2xx and acknowledges it.
    pub(super) fn acknowledge_2xx(
        &mut self,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) -> Option<()> {
        let branch = self.new_branch();
        let client = self.clients.get_mut(&id)?;
        let bytes = client.request.clone();
        let request = Message::parse(&bytes).ok()?;
        let dialog = client.confirm(Dialog::uac(&request, message).ok()?);
        let flow = client.ways().within(&dialog);
        let ack = self.write_ack(flow, &dialog, branch, &request)?;
        let call = self.calls.get_mut(&handle)?;
        call.flow = ack.flow;
        call.dialog = Some(dialog);
        self.keep_and_send_ack(id, message, ack);
        Some(())
    }

    /// Keeps an ACK for the retransmissions of its 2xx, and sends it.
    pub(super) fn keep_and_send_ack(&mut self, id: ClientId, message: &Message<'_>, ack: Transmit) {
        let tag = message
            .to()
            .ok()
            .and_then(|to| to.tag())
            .unwrap_or_default();
        if let Some(client) = self.clients.get_mut(&id) {
            client.keep_ack(tag, ack.clone());
        }
        self.send(ack);
    }

    /// A 2xx that no call wants, from another fork or too late: acknowledged, then hung up
    /// (§13.2.2.4), whether the call is still there or not.
    pub(super) fn end_fork(&mut self, now: Instant, id: ClientId, message: &Message<'_>) {
        let (ack_branch, bye) = (self.new_branch(), self.new_branch());
        let Some(client) = self
            .clients
            .get_mut(&id)
            .filter(|client| client.has_room_for_fork())
        else {
            return;
        };
        let Some(call) = client.purpose.call() else {
            return;
        };
        let request_bytes = client.request.clone();
        let Ok(request) = Message::parse(&request_bytes) else {
            return;
        };
        let Ok(dialog) = Dialog::uac(&request, message) else {
            return;
        };
        let mut dialog = client.confirm(dialog);
        let flow = client.ways().within(&dialog);
        let Some(ack) = self.write_ack(flow, &dialog, ack_branch, &request) else {
            return;
        };
        self.keep_and_send_ack(id, message, ack);
        let mut outgoing = Outgoing::within(Method::Bye, flow, bye, &dialog);
        outgoing.cseq = dialog.next_cseq();
        if let Ok(bytes) = outgoing.write(&self.settings) {
            self.open_client(now, bye, flow, (Method::Bye, bytes), Purpose::Fork(call));
        }
    }

    /// A final response other than 2xx: the call is over.
    pub(super) fn rejected(
        &mut self,
        now: Instant,
        call: CallHandle,
        message: &Message<'_>,
        status: u16,
    ) {
        self.drop_offers(now, call);
        let retry_after_s = message.retry_after();
        let headers = compose::fields(message);
        let reason = compose::reason_phrase(message);
        self.end_call(call, None);
        self.emit(Event::Rejected {
            call,
            status,
            reason,
            retry_after_s,
            headers,
        });
    }

    /// A response to an INVITE that was given up (§9.1, §15).
    fn answered_while_cancelling(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        match status {
            0..=199 => {
                // It may have to be acknowledged before the callee looks at anything else.
                if status > 100 {
                    self.hear_provisional(now, handle, id, message);
                }
                self.send_cancel(now, handle);
            }
            200..=299 => {
                // The answer crossed our CANCEL: acknowledged, then hung up.
                if self.acknowledge_2xx(handle, id, message).is_none() {
                    return self.end_call(handle, Some(EndCause::Protocol));
                }
                if let Some((reason, cause)) = self.given_up(handle) {
                    self.send_bye(now, handle, reason.as_deref(), Some(cause));
                }
            }
            _ => {
                let cause = self.given_up(handle).map(|(_, cause)| cause);
                self.drop_offers(now, handle);
                self.end_call(handle, cause);
            }
        }
    }

    /// Returns what a call that was given up says in BYE, and how it is reported.
    pub(super) fn given_up(&self, handle: CallHandle) -> Option<(Option<String>, EndCause)> {
        match &self.calls.get(&handle)?.phase {
            Phase::Cancelling { reason, cause, .. } => Some((reason.clone(), cause.clone())),
            _ => None,
        }
    }

    /// Nobody answered the INVITE at all.
    pub(super) fn invite_failed(&mut self, now: Instant, call: CallHandle, failure: Failure) {
        if self.invite_of(call).is_some() {
            self.drop_offers(now, call);
        }
        match self.calls.get(&call).map(|call| &call.phase) {
            Some(Phase::Calling { .. }) => {
                self.end_call(call, None);
                self.emit(Event::Rejected {
                    call,
                    status: failure.status(),
                    reason: failure.reason().to_owned(),
                    retry_after_s: None,
                    headers: Vec::new(),
                });
            }
            Some(Phase::Cancelling { .. }) => {
                let cause = self.given_up(call).map(|(_, cause)| cause);
                self.end_call(call, cause);
            }
            _ => {}
        }
    }

    /// Draws a Call-ID that nobody can guess.
    pub(super) fn new_call_id(&mut self) -> String {
        let (high, low): (u64, u64) = (self.unused(|_, _| true), self.unused(|_, _| true));
        format!("{high:016x}{low:016x}")
    }
}

impl CallHandle {
    /// Writes our tag.
    pub(super) fn tag(self) -> String {
        format!("{:016x}", self.0)
    }

    /// Reads our tag.
    pub(super) fn from_tag(tag: &str) -> Option<Self> {
        let number = (tag.len() == 16).then(|| u64::from_str_radix(tag, 16).ok())??;
        Some(Self(number))
    }
}
