//! CANCEL, sent and received (RFC 3261 §9).

use std::time::Instant;

use super::calls::Phase;
use super::clients::{ClientId, Purpose};
use super::event::EndCause;
use super::respond::Reply;
use super::servers::match_key;
use super::{CallHandle, UserAgent, compose};
use crate::flow::Flow;
use crate::message::{Message, Method};

impl UserAgent {
    /// Gives up a call that was not answered yet: by CANCEL at once if anything was heard, else
    /// as soon as something is (§9.1).
    pub(super) fn give_up(
        &mut self,
        now: Instant,
        handle: CallHandle,
        reason: Option<&str>,
        cause: EndCause,
    ) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let Phase::Calling { client, heard, .. } = call.phase else {
            return;
        };
        let reason = reason.map(str::to_owned);
        call.phase = Phase::Cancelling {
            client,
            sent: false,
            reason,
            cause,
        };
        if heard {
            self.send_cancel(now, handle);
        }
        self.arm_call(handle);
    }

    /// Sends the CANCEL of a call that is given up, unless that was done. Without a final response
    /// the call ends as its INVITE is forgotten.
    pub(super) fn send_cancel(&mut self, now: Instant, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let Phase::Cancelling {
            client,
            sent: sent @ false,
            reason,
            ..
        } = &mut call.phase
        else {
            return;
        };
        *sent = true;
        let (client, reason) = (*client, reason.clone());
        self.cancel_client(now, client, reason.as_deref());
    }

    /// Sends the CANCEL of an INVITE of ours, of which something was heard (§9.1).
    pub(super) fn cancel_client(&mut self, now: Instant, client: ClientId, reason: Option<&str>) {
        self.abandon_client(now, client);
        let Some(invite) = self.clients.get(&client) else {
            return;
        };
        let flow = invite.flow;
        let bytes = Message::parse(&invite.request)
            .ok()
            .and_then(|request| compose::cancel(&request, reason));
        if let Some(bytes) = bytes {
            let id = client.of_its_cancel();
            self.open_client(now, id, flow, (Method::Cancel, bytes), Purpose::Nobody);
        }
    }

    /// Takes a CANCEL (§9.2). It is answered without a transaction of its own: each copy finds
    /// the INVITE's, and the same answer.
    pub(super) fn cancelled(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        let mut key = Vec::new();
        let server = match_key(&mut key, message, Method::Invite)
            .ok()
            .and_then(|()| self.servers.find(&key));
        let Some(server) = server else {
            self.reply(flow, message, &Reply::new(481));
            return;
        };
        let call = self.servers.get(server).and_then(|server| server.call);
        let reply = match call {
            Some(call) => Reply::new(200).tagged(call.tag()),
            None => Reply::new(200),
        };
        self.reply(flow, message, &reply);
        let Some(handle) = call else { return };
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let rings = matches!(call.phase, Phase::Ringing { server: other, .. } if other == server);
        // A re-INVITE that is cancelled leaves the session as it is.
        let reoffers = call
            .peer_offer
            .take_if(|offer| offer.server == server)
            .is_some();
        if rings || reoffers {
            self.reply_in(now, server, &Reply::new(487).tagged(handle.tag()));
        }
        if rings {
            self.drop_offers(now, handle);
            let reason = compose::reason_field(message);
            self.end_call(handle, Some(EndCause::Cancelled { reason }));
        }
    }
}
