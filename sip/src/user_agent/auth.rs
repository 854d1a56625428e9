//! Answering challenges to our own requests (RFC 3261 §22).

use std::time::Instant;

use rand::RngCore;

use super::calls::{OwnOffer, Phase};
use super::clients::{ClientId, Purpose};
use super::{CallHandle, UserAgent, compose};
use crate::digest::{Credentials, DigestClient};
use crate::message::{HeaderName, Message};

/// How many challenges one request answers: a server and the proxies before it, each of which
/// may find its nonce stale once.
pub(super) const MAX_CHALLENGES: u8 = 6;

/// Credentials, and the nonces that they were asked for with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answerer {
    credentials: Option<Credentials>,
    digest: DigestClient,
}

impl Answerer {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        Self {
            credentials,
            digest: DigestClient::new(),
        }
    }

    /// Takes the challenges of a response; false where they cannot be answered, so that the
    /// response is final.
    pub(crate) fn take(&mut self, response: &Message<'_>) -> bool {
        self.credentials.is_some() && self.digest.challenged(response).is_ok()
    }

    /// Writes the header fields that answer for a request; none where nobody has asked.
    pub(crate) fn authorize(
        &mut self,
        request: &Message<'_>,
        rng: &mut dyn RngCore,
    ) -> Vec<(HeaderName, String)> {
        let (Some(credentials), Some(method)) = (&self.credentials, request.method()) else {
            return Vec::new();
        };
        let uri = request
            .request_uri()
            .map(|uri| uri.as_str())
            .unwrap_or_default();
        self.digest
            .authorize(credentials, method, uri, request.body(), rng)
    }

    /// Learns that a request was accepted: the next challenge is a new beginning.
    pub(crate) fn accepted(&mut self) {
        self.digest.accepted();
    }
}

impl UserAgent {
    /// Sends a challenged request again, with an answer; returns its new transaction, or nothing
    /// where the challenge cannot be answered.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        response: &Message<'_>,
        purpose: Purpose,
    ) -> Option<ClientId> {
        let call = self.calls.get_mut(&handle)?;
        if !call.answerer.take(response) {
            return None;
        }
        self.send_anew(now, handle, id, purpose, Vec::new())
    }

    /// Sends a request again with these fields in the place of its own, and with an answer to the
    /// challenges that came before; returns its new transaction.
    pub(super) fn send_anew(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        purpose: Purpose,
        mut fields: Vec<(HeaderName, String)>,
    ) -> Option<ClientId> {
        let again = self.new_branch();
        let client = self.clients.get(&id)?;
        // How it goes is chosen anew, by its size.
        let flow = client.datagram_flow().unwrap_or(client.flow);
        let bytes = client.request.clone();
        let request = Message::parse(&bytes).ok()?;
        let call = self.calls.get_mut(&handle)?;
        fields.extend(call.answerer.authorize(&request, &mut self.rng));
        let peer = request.to().ok()?.tag().unwrap_or_default();
        let before_dialog = matches!(purpose, Purpose::Invite(_));
        let cseq = match self.dialog_with(handle, peer) {
            Some(dialog) if !before_dialog => dialog.next_cseq(),
            _ => request.cseq().ok()?.number.checked_add(1)?,
        };
        let written = (again, cseq);
        let bytes = compose::again(&self.settings, &flow, &request, written, &fields)?;
        self.open_client(now, again, flow, (request.method()?, bytes), purpose);
        Some(again)
    }

    /// An INVITE was challenged, or its session interval refused (422; RFC 4028 §7.3): it is sent
    /// again, or the call is refused.
    pub(super) fn invite_challenged(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(Phase::Calling { challenges, .. }) =
            self.calls.get_mut(&handle).map(|call| &mut call.phase)
        else {
            return;
        };
        *challenges += 1;
        let answerable = *challenges <= MAX_CHALLENGES;
        let purpose = Purpose::Invite(handle);
        let again = match status {
            _ if !answerable => None,
            422 => self.ask_for_longer(now, handle, id, message),
            _ => self.answer_challenge(now, handle, id, message, purpose),
        };
        let timer_c = now + self.settings.timers.c;
        match (again, self.calls.get_mut(&handle)) {
            (Some(again), Some(call)) => {
                // The early dialogs of the first attempt ended with it, and are its own.
                if let Phase::Calling {
                    client,
                    heard,
                    give_up_at,
                    ..
                } = &mut call.phase
                {
                    (*client, *heard, *give_up_at) = (again, false, timer_c);
                }
                self.arm_call(handle);
            }
            _ => self.rejected(now, handle, message, status),
        }
    }

    /// Our BYE was challenged; false where that cannot be answered.
    pub(super) fn bye_challenged(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) -> bool {
        let Some(Phase::Ending { challenges, .. }) =
            self.calls.get_mut(&handle).map(|call| &mut call.phase)
        else {
            return false;
        };
        *challenges += 1;
        *challenges <= MAX_CHALLENGES
            && self
                .answer_challenge(now, handle, id, message, Purpose::Bye(handle))
                .is_some()
    }

    /// Our re-INVITE was challenged; false where that cannot be answered.
    pub(super) fn reinvite_challenged(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) -> bool {
        let Some(Some(OwnOffer::InFlight { challenges, .. })) =
            self.calls.get_mut(&handle).map(|call| &mut call.own_offer)
        else {
            return false;
        };
        *challenges += 1;
        if *challenges > MAX_CHALLENGES {
            return false;
        }
        let again = self.answer_challenge(now, handle, id, message, Purpose::Reinvite(handle));
        let offer = self
            .calls
            .get_mut(&handle)
            .and_then(|call| call.own_offer.as_mut());
        let patience = self.settings.timers.give_up() + self.settings.timers.t2;
        if let (
            Some(again),
            Some(OwnOffer::InFlight {
                client, cancel_at, ..
            }),
        ) = (again, offer)
        {
            *client = again;
            // It is another request, of which nothing was heard yet.
            *cancel_at = Some(now + patience);
        }
        again.is_some()
    }
}
