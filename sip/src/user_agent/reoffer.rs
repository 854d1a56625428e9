//! The peer changes or refreshes the session: re-INVITE and UPDATE (RFC 3261 §14.2, RFC 3311), and
//! PRACK (RFC 3262 §5).
//!
//! A refresh must never end a call: whatever the peer asks is either answered with the session's
//! own description by the switch, or, for an UPDATE without an offer, 200 from here.

use std::time::Instant;

use rand::Rng;

use super::calls::{Accepted, Call, OwnOffer, PeerOffer, Phase};
use super::event::Event;
use super::incoming::Heard;
use super::requests::tag_of_sender;
use super::respond::Reply;
use super::settings::pace;
use super::{CallHandle, UserAgent, compose};
use crate::dialog::contact_uri;
use crate::flow::Flow;
use crate::message::{Message, Method};

/// What becomes of a peer's wish.
enum Verdict {
    /// It goes to the switch.
    Ask,
    /// It only refreshes: agreed at once.
    Agree,
    /// It crosses an offer of ours (§14.2).
    Glare,
    /// It comes before the last one was answered (§14.2).
    Overlap,
    /// The call is ending.
    Gone,
}

impl UserAgent {
    /// Takes a re-INVITE or UPDATE.
    pub(super) fn peer_offers(
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
        self.take_offer(now, handle, flow, message, server);
    }

    /// Takes a re-INVITE or UPDATE, or an offer in a PRACK, that has its transaction.
    pub(super) fn take_offer(
        &mut self,
        now: Instant,
        handle: CallHandle,
        flow: Flow,
        message: &Message<'_>,
        server: u64,
    ) {
        let peer = tag_of_sender(message);
        let by_invite = message.method() == Some(Method::Invite);
        let settled = !by_invite && self.is_settled_early(handle, peer);
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let offer = compose::session_description(message);
        // A PRACK moves nobody (RFC 3262 §7.3).
        let moves = message.method() != Some(Method::Prack);
        let contact = contact_uri(message).ok().flatten().filter(|_| moves);
        let heard = Heard::asking(flow, message);
        let reply = match verdict(call, settled, by_invite, offer.is_some()) {
            Verdict::Ask => {
                let cseq = message.cseq().map(|cseq| cseq.number).unwrap_or_default();
                let offered = offer.is_some();
                call.peer_offer = Some(PeerOffer {
                    server,
                    peer: peer.to_owned(),
                    cseq,
                    by_invite,
                    offered,
                    contact,
                    heard,
                });
                if by_invite {
                    self.servers.assign(server, handle);
                    self.reply_in(now, server, &Reply::new(100));
                }
                self.emit(Event::Reoffer {
                    call: handle,
                    offer,
                });
                return;
            }
            Verdict::Agree => {
                let fields = call.session.agree(now, message);
                let reply = Reply::new(200).in_dialog(handle.tag(), &call.contact_user);
                self.move_target(handle, peer, (contact, heard));
                reply.with_fields(fields)
            }
            Verdict::Glare => Reply::new(491),
            Verdict::Overlap => {
                let wait = self.rng.random_range(0..=pace::OVERLAP_RETRY_S);
                Reply::new(500).with("Retry-After", wait.to_string())
            }
            Verdict::Gone => Reply::new(481),
        };
        self.reply_in(now, server, &reply);
        self.arm_call(handle);
    }

    /// Answers the peer's offer: with the session's description, with none (to an UPDATE or a
    /// refresh that brought none), or with a status from 300 to 699, after which the session is
    /// as it was before.
    pub fn answer_reoffer(
        &mut self,
        now: Instant,
        handle: CallHandle,
        answer: Result<Option<Vec<u8>>, u16>,
    ) {
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let Some(offer) = call.peer_offer.take() else {
            return;
        };
        let body = match answer {
            Ok(body) => body.unwrap_or_default(),
            Err(status) => {
                self.reply_in(now, offer.server, &Reply::new(status.clamp(300, 699)));
                return;
            }
        };
        let request = self.servers.get(offer.server);
        let request = request.and_then(|server| server.request.as_ref());
        let request = request.map(|request| request.view());
        // A PRACK says nothing of the session timer (RFC 4028 §4).
        let request = request.filter(|request| request.method() != Some(Method::Prack));
        let fields = request.map(|request| call.session.agree(now, &request));
        let reply = Reply::new(200)
            .in_dialog(handle.tag(), &call.contact_user)
            .with_fields(fields.unwrap_or_default());
        let sent = self.reply_in(
            now,
            offer.server,
            &reply.with_body("application/sdp", &body),
        );
        let (Some(sent), Some(call)) = (sent, self.calls.get_mut(&handle)) else {
            return;
        };
        if offer.by_invite {
            let sent = (offer.cseq, sent.bytes, offer.server);
            let accepted = Accepted::new(now, &self.settings.timers, sent, !offer.offered);
            call.unacknowledged.push(accepted);
        }
        if !body.is_empty() {
            call.session.describe(body);
            self.early_changed(handle, &offer.peer);
        }
        self.move_target(handle, &offer.peer, (offer.contact, offer.heard));
        self.overtake_own_offer(handle);
        self.arm_call(handle);
    }
}

/// Decides by what is being negotiated already (§14.2; RFC 3311 §5.2; RFC 5407 §3.1.4 for a
/// re-INVITE that overtakes the ACK of our offer). In an early dialog the first offer must be
/// `settled`: ours, of a call that we place, is pending until then, and theirs, of one that rings
/// here.
fn verdict(call: &Call, settled: bool, by_invite: bool, offered: bool) -> Verdict {
    let refreshes_only = !by_invite && !offered;
    match call.phase {
        _ if !call.is_alive() => Verdict::Gone,
        _ if refreshes_only => Verdict::Agree,
        Phase::Cancelling { .. } => Verdict::Glare,
        Phase::Calling { .. } if !settled => Verdict::Glare,
        Phase::Ringing { .. } if !settled => Verdict::Overlap,
        _ if call.peer_offer.is_some() || call.unacknowledged.len() > 1 => Verdict::Overlap,
        _ if matches!(call.own_offer, Some(OwnOffer::InFlight { .. })) => Verdict::Glare,
        _ if call.session.is_offered() => Verdict::Glare,
        _ if call.unacknowledged.iter().any(|accepted| accepted.offers) => Verdict::Glare,
        _ => Verdict::Ask,
    }
}
