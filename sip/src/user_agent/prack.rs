//! PRACK, sent and received (RFC 3262 §3, §4).
//!
//! A PRACK that fails ends nothing: 481 is said of the response that it acknowledges and not of the
//! dialog (RFC 5057 §5.1), and of a peer that lost it the INVITE's own final response tells.

use std::time::Instant;

use super::clients::{ClientId, Purpose};
use super::compose::{self, Outgoing};
use super::early::Place;
use super::respond::Reply;
use super::settings::RELIABLE;
use super::{CallHandle, UserAgent};
use crate::flow::Flow;
use crate::message::{HeaderName, Message, Method, RAck};

impl UserAgent {
    /// Takes a provisional response to an INVITE of ours, from 101 on, and acknowledges it if it
    /// demands that. Returns what is told of it: nothing of one that was taken before or comes out
    /// of order, else the session description that it brings, unless an answer came before.
    pub(super) fn hear_provisional(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
    ) -> Option<Option<Vec<u8>>> {
        let description = compose::session_description(message);
        let (prack, full) = (self.new_branch(), self.is_full());
        let client = self.clients.get_mut(&id)?;
        let ways = client.ways();
        let asked = message.lists(HeaderName::Require, RELIABLE) && client.knows_prack();
        let Some(early) = client.early_of(message) else {
            return Some(description);
        };
        // Without a number that can be read it is no reliable one, and cannot be acknowledged.
        let (true, Ok(rseq), Ok(cseq)) = (asked, message.rseq(), message.cseq()) else {
            return Some(early.foretold(description));
        };
        match early.place(rseq) {
            // It comes again, and may find room.
            Place::Next if full => return None,
            Place::Next => {}
            Place::Again => {
                self.stats.retransmissions_received += 1;
                return None;
            }
            Place::Gap => {
                self.stats.stray += 1;
                return None;
            }
        }
        let flow = ways.within(&early.dialog);
        let rack = RAck { rseq, cseq };
        let mut outgoing = Outgoing::within(Method::Prack, flow, prack, &early.dialog)
            .with("RAck", rack.to_string());
        outgoing.cseq = early.dialog.next_cseq();
        let told = early.take(rseq, description);
        // Where the peer's Contact is no URI nothing can be sent.
        if let Ok(bytes) = outgoing.write(&self.settings) {
            let purpose = Purpose::Prack(handle);
            self.open_client(now, prack, flow, (Method::Prack, bytes), purpose);
        }
        Some(told)
    }

    /// Takes a PRACK (§3): 200 if it acknowledges what is out, else 481. One that brings an offer
    /// (§5) is answered by the switch, as an UPDATE is.
    pub(super) fn remote_prack(
        &mut self,
        now: Instant,
        handle: CallHandle,
        flow: Flow,
        message: &Message<'_>,
        key: &[u8],
    ) {
        let support = self.settings.support();
        let Some(server) = self.open_supported(now, flow, message, key, &support) else {
            return;
        };
        let Ok(rack) = message.rack() else {
            self.reply_in(now, server, &Reply::new(400).because("Bad RAck"));
            return;
        };
        let call = self.calls.get_mut(&handle);
        if !call.is_some_and(|call| call.provisionals.acknowledge(&rack)) {
            self.reply_in(now, server, &Reply::new(481));
            return;
        }
        match compose::session_description(message) {
            Some(_) => self.take_offer(now, handle, flow, message, server),
            None => {
                self.reply_in(now, server, &Reply::new(200));
            }
        }
        self.provisional_acknowledged(now, handle);
    }
}

/// Returns whether a message that we sent said that we take reliable provisional responses.
pub(super) fn offers_prack(request: &Message<'_>) -> bool {
    let fields = [HeaderName::Supported, HeaderName::Require];
    fields.iter().any(|&name| request.lists(name, RELIABLE))
}
