//! What is kept of a call, and when it next wants attention.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clients::ClientId;
use super::deadlines::Reason;
use super::event::EndCause;
use super::incoming::Heard;
use super::provisional::Provisionals;
use super::refer::OwnRefer;
use super::referred::PeerRefer;
use super::settings::pace;
use super::timer::Session;
use crate::dialog::Dialog;
use crate::flow::Flow;
use crate::transaction::Timers;

/// A call: at most one dialog, and the transactions that make, change and end it.
pub(super) struct Call {
    pub(super) phase: Phase,
    /// None while our INVITE is not answered: its early dialogs are the transaction's.
    pub(super) dialog: Option<Dialog>,
    /// Where our requests go.
    pub(super) flow: Flow,
    /// Whether that is a connection that is gone, and the name of the next hop is looked up.
    pub(super) seeks_way: bool,
    /// Our end of the connection that takes those which are too large for a datagram.
    pub(super) stream: Option<SocketAddr>,
    /// The user part of our Contact.
    pub(super) contact_user: String,
    /// Our 2xx responses that wait for their ACK: to the first INVITE, and to a re-INVITE.
    pub(super) unacknowledged: Vec<Accepted>,
    /// Our provisional responses, of a call that came in.
    pub(super) provisionals: Provisionals,
    /// The peer's re-INVITE, UPDATE or PRACK that the switch has not answered yet.
    pub(super) peer_offer: Option<PeerOffer>,
    /// Whether a challenge to an INFO could not be answered. Each key would be another try with a
    /// password that is wrong, and accounts get locked.
    pub(super) info_refused: bool,
    /// Our own re-INVITE.
    pub(super) own_offer: Option<OwnOffer>,
    /// Our REFER.
    pub(super) own_refer: Option<OwnRefer>,
    /// The peer's REFER.
    pub(super) peer_refer: Option<PeerRefer>,
    /// Who refreshes the session, and when (RFC 4028).
    pub(super) session: Session,
    /// Whether the Call-ID is ours, which decides who waits longer after a glare (§14.1).
    pub(super) owns_call_id: bool,
}

/// Where a call stands.
pub(super) enum Phase {
    /// We called and wait for the answer (RFC 3261 §13.2).
    Calling {
        client: ClientId,
        /// Whether anything was heard: only then may a CANCEL be sent (§9.1).
        heard: bool,
        /// Timer C.
        give_up_at: Instant,
    },
    /// We called and gave up (§9.1).
    Cancelling {
        client: ClientId,
        /// Whether a CANCEL could be sent: it waits until something is heard.
        sent: bool,
        reason: Option<String>,
        cause: EndCause,
    },
    /// They called and wait for us (§13.3).
    Ringing { server: u64, repeat_at: Instant },
    /// There is a dialog, and the session may run.
    Established,
    /// We hung up before the ACK of our answer, and must wait for it (§15).
    HangingUp { reason: Option<String> },
    /// Our BYE is out. The cause is reported when it is answered, unless it has been.
    Ending { cause: Option<EndCause> },
}

/// A 2xx that waits for its ACK (RFC 3261 §13.3.1.4).
pub(super) struct Accepted {
    pub(super) cseq: u32,
    pub(super) response: Arc<[u8]>,
    /// The transaction, which lives as long and knows where responses go.
    pub(super) server: u64,
    /// Whether the offer is in the response, so that the ACK brings the answer.
    pub(super) offers: bool,
    pub(super) resend_at: Instant,
    pub(super) interval: Duration,
    pub(super) give_up_at: Instant,
}

impl Accepted {
    pub(super) fn new(
        now: Instant,
        timers: &Timers,
        (cseq, response, server): (u32, Arc<[u8]>, u64),
        offers: bool,
    ) -> Self {
        Self {
            cseq,
            response,
            server,
            offers,
            resend_at: now + timers.t1,
            interval: timers.t1,
            give_up_at: now + timers.give_up(),
        }
    }

    fn deadline(&self) -> (Instant, Reason) {
        if self.resend_at < self.give_up_at {
            (self.resend_at, Reason::Retransmit2xx)
        } else {
            (self.give_up_at, Reason::NoAck)
        }
    }
}

/// The peer's wish to change or refresh the session.
pub(super) struct PeerOffer {
    pub(super) server: u64,
    /// The peer's tag: an early dialog may be one of several.
    pub(super) peer: String,
    pub(super) cseq: u32,
    /// Whether it came by INVITE, so that our 2xx is repeated until its ACK, or by UPDATE or PRACK.
    pub(super) by_invite: bool,
    /// Whether it brought an offer.
    pub(super) offered: bool,
    /// The peer's new target, taken over when we agree (§12.2.2).
    pub(super) contact: Option<String>,
    /// Where it came from.
    pub(super) heard: Heard,
}

/// Our wish to change the session.
pub(super) enum OwnOffer {
    InFlight {
        client: ClientId,
        body: Vec<u8>,
        attempts: u8,
        /// When it is cancelled, unless it was: a peer may say that it works on it and no more.
        cancel_at: Option<Instant>,
    },
    /// It met the peer's, and is tried again (§14.1).
    Waiting {
        until: Instant,
        body: Vec<u8>,
        attempts: u8,
    },
}

impl Call {
    /// Returns when the call itself, apart from its transactions, wants attention.
    pub(super) fn deadline(&self) -> Option<(Instant, Reason)> {
        let phase = match self.phase {
            Phase::Calling { give_up_at, .. } => Some((give_up_at, Reason::TimerC)),
            Phase::Ringing { repeat_at, .. } => Some((repeat_at, Reason::StillRinging)),
            _ => None,
        };
        let retry = match self.own_offer {
            Some(OwnOffer::Waiting { until, .. }) => Some((until, Reason::Glare)),
            Some(OwnOffer::InFlight { cancel_at, .. }) => {
                cancel_at.map(|at| (at, Reason::OfferUnanswered))
            }
            None => None,
        };
        let provisional = self.provisionals.deadline();
        let refresh = match self.phase {
            Phase::Established => self.session.deadline(),
            _ => None,
        };
        let accepted = self.unacknowledged.iter().map(Accepted::deadline);
        let asked = self.own_refer.as_ref().and_then(OwnRefer::deadline);
        let told = self.peer_refer.as_ref().and_then(PeerRefer::deadline);
        let transfer = asked.into_iter().chain(told);
        let others = phase
            .into_iter()
            .chain(provisional)
            .chain(retry)
            .chain(refresh)
            .chain(transfer);
        accepted.chain(others).min_by_key(|&(at, _)| at)
    }

    /// Takes the target of a re-INVITE or UPDATE, or of its 2xx (RFC 3261 §12.2). A datagram goes
    /// to where the peer is now, unless a route says where it goes; a connection stays.
    pub(super) fn refresh_target(&mut self, contact: Option<String>, heard: Heard) {
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let moves = contact
            .as_deref()
            .is_some_and(|c| c != dialog.remote_target());
        dialog.refresh_target(contact);
        let direct = dialog.route_set().is_empty() && !self.flow.transport.is_reliable();
        if moves && direct && heard.flow.transport == self.flow.transport {
            self.flow = heard.next_flow(dialog);
        }
    }

    /// Returns whether requests within the dialog still mean something.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Ending { .. } | Phase::HangingUp { .. })
    }

    /// Returns the phase of a fresh incoming call.
    pub(super) fn ringing(now: Instant, server: u64) -> Phase {
        Phase::Ringing {
            server,
            repeat_at: now + pace::STILL_RINGING,
        }
    }
}
