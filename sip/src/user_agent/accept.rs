//! Answering a call: the 2xx and its retransmission, refusals (RFC 3261 §13.3.1).

use std::time::Instant;

use super::calls::{Accepted, Phase};
use super::event::EndCause;
use super::provisional::Answering;
use super::respond::Reply;
use super::{CallHandle, UserAgent};

pub(super) const SDP: &str = "application/sdp";

impl UserAgent {
    /// Answers a call. `body` is the answer to the caller's offer or, if there was none, our
    /// offer, whose answer [`super::Event::Confirmed`] brings. Returns whether the answer was sent:
    /// not when the call waits for none any more, because the caller has given up.
    ///
    /// An answer that a reliable provisional response has given holds: `body` is then not sent
    /// (RFC 6337 §3.1.1). While that one is not acknowledged, the 2xx waits (RFC 3262 §3); the call
    /// rings until then, and may still end as one that rings does.
    pub fn answer(&mut self, now: Instant, call: CallHandle, body: Vec<u8>) -> bool {
        let Some((server, reply)) = self.reply_to_ringing(call, 200) else {
            return false;
        };
        let kept = self.calls.get_mut(&call);
        let body = match kept.map(|kept| kept.provisionals.answer(body)) {
            Some(Answering::Now(body)) => body,
            Some(Answering::Held) => return true,
            Some(Answering::Already) | None => return false,
        };
        let request = self
            .servers
            .get(server)
            .and_then(|server| server.request.clone());
        let Some(request) = request else {
            return false;
        };
        let request = request.view();
        let offers = super::compose::session_description(&request).is_none();
        let cseq = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let kept = self.calls.get_mut(&call);
        let fields = kept.map(|kept| kept.session.agree(now, &request));
        let reply = reply.with_fields(fields.unwrap_or_default());
        let description = body.as_deref().unwrap_or_default();
        let sent = self.reply_in(now, server, &reply.with_body(SDP, description));
        let (Some(sent), Some(kept)) = (sent, self.calls.get_mut(&call)) else {
            return false;
        };
        kept.phase = Phase::Established;
        kept.provisionals.end();
        if let Some(body) = body {
            kept.session.describe(body);
        }
        let sent = (cseq, sent.bytes, server);
        let accepted = Accepted::new(now, &self.settings.timers, sent, offers);
        kept.unacknowledged.push(accepted);
        self.arm_call(call);
        true
    }

    /// Refuses a call with a status from 300 to 699.
    pub fn reject(
        &mut self,
        now: Instant,
        call: CallHandle,
        status: u16,
        headers: &[(String, String)],
    ) {
        let status = status.clamp(300, 699);
        let Some((server, reply)) = self.reply_to_ringing(call, status) else {
            return;
        };
        self.reply_in(now, server, &reply.with_all(headers));
        self.drop_offers(now, call);
        self.end_call(call, Some(EndCause::Refused { status }));
    }

    /// Begins a response to the INVITE of a call that still waits for an answer. A refusal names
    /// no Contact: it would be read as a redirection.
    pub(super) fn reply_to_ringing(
        &self,
        call: CallHandle,
        status: u16,
    ) -> Option<(u64, Reply<'static>)> {
        let kept = self.calls.get(&call)?;
        let Phase::Ringing { server, .. } = kept.phase else {
            return None;
        };
        let reply = Reply::new(status);
        Some((
            server,
            match status {
                300.. => reply.tagged(call.tag()),
                _ => reply.in_dialog(call.tag(), &kept.contact_user),
            },
        ))
    }

    /// Acts on whichever of a call's own timers is due.
    pub(super) fn call_timeout(&mut self, now: Instant, call: CallHandle) {
        self.unacknowledged_timeout(now, call);
        self.provisional_timeout(now, call);
        self.still_ringing(now, call);
        match self.calls.get(&call).map(|call| &call.phase) {
            Some(Phase::Calling { give_up_at, .. }) if *give_up_at <= now => {
                self.give_up(now, call, None, EndCause::Timeout);
            }
            Some(_) => {}
            None => return,
        }
        self.glare_timeout(now, call);
        self.offer_timeout(now, call);
        self.session_timeout(now, call);
        self.refer_timeout(now, call);
        self.referred_timeout(now, call);
        self.arm_call(call);
    }

    /// Repeats each 2xx whose ACK is missing, doubling up to T2, on any transport, and hangs up
    /// after 64×T1 (§13.3.1.4).
    fn unacknowledged_timeout(&mut self, now: Instant, call: CallHandle) {
        let timers = self.settings.timers;
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        if kept
            .unacknowledged
            .iter()
            .any(|accepted| accepted.give_up_at <= now)
        {
            return self.never_acknowledged(now, call);
        }
        let mut due = Vec::new();
        for accepted in kept
            .unacknowledged
            .iter_mut()
            .filter(|a| a.resend_at <= now)
        {
            accepted.interval = timers.backed_off(accepted.interval);
            accepted.resend_at = now + accepted.interval;
            due.push((accepted.server, accepted.response.clone()));
        }
        for (server, bytes) in due {
            if let Some(flow) = self.servers.get(server).map(|server| server.flow) {
                self.send_again(super::Transmit { flow, bytes });
            }
        }
    }

    /// An answer was never acknowledged: the dialog is confirmed but useless, and is ended by
    /// BYE (§13.3.1.4, §14.2).
    fn never_acknowledged(&mut self, now: Instant, call: CallHandle) {
        self.stats.no_ack += 1;
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        kept.unacknowledged.clear();
        match &mut kept.phase {
            Phase::HangingUp { reason } => {
                let reason = reason.take();
                self.send_bye(now, call, reason.as_deref(), Some(EndCause::NoAck));
            }
            Phase::Ending { .. } => {}
            _ => self.terminate(now, call, EndCause::NoAck),
        }
    }
}
