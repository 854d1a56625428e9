//! What happens to responses (RFC 3261 §17.1.3, §18.1.2).

use std::time::Instant;

use super::clients::{ClientId, Purpose};
use super::{Transmit, UserAgent, compose};
use crate::flow::Flow;
use crate::guard::Standing;
use crate::message::{Message, Method};
use crate::transaction::OnResponse;

impl UserAgent {
    /// Gives a response to the transaction that its topmost branch and its CSeq's method name.
    pub(super) fn response(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        status: u16,
    ) {
        self.stats.responses_received += 1;
        if message.validate().is_err() {
            self.stats.malformed += 1;
            return;
        }
        let Some(id) = addressee(message) else {
            self.stats.stray += 1;
            return;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            self.stats.stray += 1;
            return;
        };
        let action = client.machine.handle_response(now, status);
        let purpose = client.purpose;
        // Nobody else knows the branch: what we sent has come to this address.
        if client.flow.remote == flow.remote {
            self.vouch(now, flow, Standing::Proven);
        }
        match action {
            OnResponse::Ignore => self.stats.retransmissions_received += 1,
            OnResponse::Reack => {
                self.repeat_ack(id, message);
            }
            OnResponse::DeliverAndAck => {
                self.acknowledge_failure(id, message);
                self.deliver(now, id, purpose, message, status);
            }
            OnResponse::Deliver => self.deliver(now, id, purpose, message, status),
        }
        self.arm_client(id);
    }

    /// Sends the ACK of a retransmitted final response again; false if there was none.
    fn repeat_ack(&mut self, id: ClientId, message: &Message<'_>) -> bool {
        let tag = message
            .to()
            .ok()
            .and_then(|to| to.tag())
            .unwrap_or_default();
        let ack = self.clients.get(&id).and_then(|client| client.ack_for(tag));
        let Some(ack) = ack else { return false };
        self.stats.retransmissions_received += 1;
        self.send_again(ack);
        true
    }

    /// Sends the transaction's own ACK, for a final response other than 2xx (§17.1.1.3).
    fn acknowledge_failure(&mut self, id: ClientId, message: &Message<'_>) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Ok(request) = Message::parse(&client.request) else {
            return;
        };
        let tag = message
            .to()
            .ok()
            .and_then(|to| to.tag())
            .unwrap_or_default();
        if let Some(ack) = compose::ack_for_failure(&request, message) {
            let transmit = Transmit {
                flow: client.flow,
                bytes: ack.into(),
            };
            client.keep_ack(tag, transmit.clone());
            self.send(transmit);
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        id: ClientId,
        purpose: Purpose,
        message: &Message<'_>,
        status: u16,
    ) {
        let is_2xx = (200..300).contains(&status);
        match purpose {
            // A 2xx that was acknowledged before is acknowledged again by the same ACK
            // (§13.2.2.4).
            Purpose::Invite(_) | Purpose::Reinvite(_) | Purpose::Refresh(_)
                if is_2xx && self.repeat_ack(id, message) => {}
            Purpose::Invite(call) => self.invite_answered(now, call, id, message, status),
            Purpose::Reinvite(call) => self.reinvite_answered(now, call, id, message, status),
            Purpose::Refresh(call) => self.refresh_answered(now, call, id, message, status),
            Purpose::Bye(call) => self.bye_answered(now, call, id, message, status),
            // Without its call a PRACK is no longer wanted; a callee is still hung up on.
            Purpose::Prack(call) if !self.calls.contains_key(&call) => {}
            Purpose::Prack(_) | Purpose::Fork(_) => self.answered_aside(now, id, message, status),
            Purpose::Info(call) => self.info_answered(now, call, id, message, status),
            Purpose::Refer(call) => self.refer_answered(now, call, id, message, status),
            Purpose::Report(call) => self.report_answered(now, call, id, message, status),
            Purpose::Register(registration) => {
                self.register_answered(now, registration, id, message, status);
            }
            Purpose::Ping(ping) => self.ping_answered(ping, status),
            Purpose::Nobody => {}
        }
    }
}

/// Returns the transaction that a response belongs to; one with more than one Via went astray
/// (§8.1.3.3).
fn addressee(message: &Message<'_>) -> Option<ClientId> {
    let mut vias = message.vias();
    let via = vias.next()?.ok()?;
    if vias.next().is_some() {
        return None;
    }
    let method = message.cseq().ok()?.method;
    (method != Method::Ack).then(|| ClientId::of(&via, method))?
}
