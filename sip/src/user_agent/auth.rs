//! Answering challenges to our own requests (RFC 3261 §22).
//!
//! Whether credentials count as wrong is a matter of the one request and what it carried: several
//! may be challenged at once, and a server may use one nonce for all of them. The nonces and their
//! counts are the call's.

use std::collections::HashMap;
use std::time::Instant;

use rand::RngCore;

use super::calls::{OwnOffer, Phase};
use super::clients::{ClientId, Purpose};
use super::{CallHandle, UserAgent, compose};
use crate::digest::{Attempts, Credentials, DigestClient};
use crate::message::{HeaderName, Message};

/// Credentials, and the nonces that they were asked for with.
#[derive(Clone, Debug)]
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

    /// Takes the challenges of a response to a request; false where they cannot be answered, so that
    /// the response is final.
    pub(crate) fn take(
        &mut self,
        request: &Message<'_>,
        response: &Message<'_>,
        attempts: &mut Attempts,
    ) -> bool {
        self.credentials.is_some() && self.digest.challenged(request, response, attempts).is_ok()
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
}

/// What answers for the calls that were placed with credentials.
#[derive(Default)]
pub(super) struct Answerers(HashMap<CallHandle, Kept>);

/// What answers for a call. It is kept for as long as the call or a request of it is: a callee that
/// answers too late is hung up on when the call may long be over.
struct Kept {
    answerer: Answerer,
    /// The call and its client transactions.
    users: usize,
}

impl Answerers {
    /// Begins with the call itself.
    pub(super) fn begin(&mut self, call: CallHandle, credentials: Option<Credentials>) {
        if credentials.is_some() {
            let answerer = Answerer::new(credentials);
            self.0.insert(call, Kept { answerer, users: 1 });
        }
    }

    /// Counts one more transaction of a call.
    pub(super) fn join(&mut self, call: CallHandle) {
        if let Some(kept) = self.0.get_mut(&call) {
            kept.users += 1;
        }
    }

    /// Learns that a call, or a transaction of it, is gone.
    pub(super) fn leave(&mut self, call: CallHandle) {
        if let Some(kept) = self.0.get_mut(&call) {
            kept.users = kept.users.saturating_sub(1);
            if kept.users == 0 {
                self.0.remove(&call);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&mut self, call: CallHandle) -> Option<&mut Answerer> {
        self.0.get_mut(&call).map(|kept| &mut kept.answerer)
    }
}

impl UserAgent {
    /// Sends a challenged request again, with an answer; returns its new transaction, or nothing
    /// where the challenge cannot be answered.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        id: ClientId,
        response: &Message<'_>,
    ) -> Option<ClientId> {
        let client = self.clients.get_mut(&id)?;
        let answerer = self.answerers.of(client.purpose.call()?)?;
        let bytes = client.request.clone();
        let request = Message::parse(&bytes).ok()?;
        if !answerer.take(&request, response, &mut client.attempts) {
            return None;
        }
        self.send_anew(now, id, Vec::new())
    }

    /// Sends a request again with these fields in the place of its own, and with an answer to the
    /// challenges that came before; returns its new transaction.
    pub(super) fn send_anew(
        &mut self,
        now: Instant,
        id: ClientId,
        mut fields: Vec<(HeaderName, String)>,
    ) -> Option<ClientId> {
        let again = self.new_branch();
        let client = self.clients.get(&id)?;
        let (purpose, attempts) = (client.purpose, client.attempts.clone());
        let call = purpose.call()?;
        // How it goes is chosen anew, by its size.
        let flow = client.datagram_flow().unwrap_or(client.flow);
        let bytes = client.request.clone();
        let request = Message::parse(&bytes).ok()?;
        if let Some(answerer) = self.answerers.of(call) {
            fields.extend(answerer.authorize(&request, &mut self.rng));
        }
        let peer = request.to().ok()?.tag().unwrap_or_default();
        let before_dialog = matches!(purpose, Purpose::Invite(_));
        let cseq = match self.dialog_with(call, peer) {
            Some(dialog) if !before_dialog => dialog.next_cseq(),
            _ => request.cseq().ok()?.number.checked_add(1)?,
        };
        let written = (again, cseq);
        let bytes = compose::again(&self.settings, &flow, &request, written, &fields)?;
        self.open_client(now, again, flow, (request.method()?, bytes), purpose);
        if let Some(client) = self.clients.get_mut(&again) {
            client.attempts = attempts;
        }
        Some(again)
    }

    /// Takes the response to a request on which nothing else depends: only a challenge matters.
    pub(super) fn answered_aside(
        &mut self,
        now: Instant,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        if matches!(status, 401 | 407) {
            self.answer_challenge(now, id, message);
        }
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
        let again = match status {
            422 => self.ask_for_longer(now, handle, id, message),
            _ => self.answer_challenge(now, id, message),
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

    /// Our re-INVITE was challenged; false where that cannot be answered.
    pub(super) fn reinvite_challenged(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) -> bool {
        let again = self.answer_challenge(now, id, message);
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
