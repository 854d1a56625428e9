//! ACK, sent and received (RFC 3261 §13.2.2.4, §13.3.1.4).

use std::time::Instant;

use super::calls::Phase;
use super::clients::ClientId;
use super::compose::{self, Outgoing};
use super::event::Event;
use super::{Transmit, UserAgent};
use crate::dialog::Dialog;
use crate::flow::Flow;
use crate::guard::Standing;
use crate::message::{HeaderName, Message, Method};
use crate::transaction::AckReceived;

impl UserAgent {
    /// Writes the ACK for a 2xx: the INVITE's number and credentials, a branch of its own.
    pub(super) fn write_ack(
        &self,
        flow: Flow,
        dialog: &Dialog,
        branch: ClientId,
        request: &Message<'_>,
    ) -> Option<Transmit> {
        let mut outgoing = Outgoing::within(Method::Ack, flow, branch, dialog);
        outgoing.cseq = request.cseq().ok()?.number;
        for name in [HeaderName::Authorization, HeaderName::ProxyAuthorization] {
            for value in request.headers(name) {
                outgoing = outgoing.with(name.as_str(), value);
            }
        }
        let bytes = outgoing.write(&self.settings).ok()?;
        Some(Transmit {
            flow,
            bytes: bytes.into(),
        })
    }

    /// Takes an ACK; `server` is the transaction that its branch names, if any.
    pub(super) fn ack(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        server: Option<u64>,
    ) {
        if let Some(server) = server
            && self.ack_in(now, server) == AckReceived::Consumed
        {
            return;
        }
        if self.acknowledged(now, message).is_some() {
            return;
        }
        // The ACK of an answer that was sent without state repeats its tag: it has arrived.
        let tag = message.to().ok().and_then(|to| to.tag());
        if self.is_asked_by_stranger()
            && tag.is_some_and(|tag| self.is_stateless_tag(flow, tag, message))
        {
            self.vouch(now, flow, Standing::Proven);
        }
        self.stats.stray += 1;
    }

    /// An ACK for a 2xx of ours: it is told by its dialog and its number.
    fn acknowledged(&mut self, now: Instant, message: &Message<'_>) -> Option<()> {
        let handle = self.call_of(message, true)?;
        let number = message.cseq().ok()?.number;
        let call = self.calls.get_mut(&handle)?;
        let Some(at) = call
            .unacknowledged
            .iter()
            .position(|sent| sent.cseq == number)
        else {
            self.stats.retransmissions_received += 1;
            return Some(());
        };
        let accepted = call.unacknowledged.remove(at);
        match &mut call.phase {
            Phase::HangingUp { reason } => {
                let reason = reason.take();
                self.send_bye(
                    now,
                    handle,
                    reason.as_deref(),
                    Some(super::EndCause::LocalBye),
                );
            }
            Phase::Ending { .. } => {}
            _ => {
                let body = compose::session_description(message).filter(|_| accepted.offers);
                self.emit(Event::Confirmed { call: handle, body });
            }
        }
        self.arm_call(handle);
        Some(())
    }
}
