//! INFO within a call (RFC 6086).

use std::time::Instant;

use super::calls::Phase;
use super::clients::{ClientId, Failure, Purpose};
use super::compose::Outgoing;
use super::event::{EndCause, Event};
use super::respond::Reply;
use super::{CallHandle, UserAgent};
use crate::flow::Flow;
use crate::message::{HeaderName, Message, Method};

impl UserAgent {
    /// Sends the peer an INFO, such as a DTMF digit as `application/dtmf-relay`. A call that is
    /// not established, or a user agent that is full, sends nothing.
    pub fn info(&mut self, now: Instant, handle: CallHandle, content_type: &str, body: Vec<u8>) {
        let id = self.new_branch();
        let full = self.is_full();
        let Some(call) = self.calls.get_mut(&handle) else {
            return;
        };
        let (Phase::Established, Some(dialog), false) = (&call.phase, &mut call.dialog, full)
        else {
            return;
        };
        let mut outgoing = Outgoing::within(Method::Info, call.flow, id, dialog);
        outgoing.cseq = dialog.next_cseq();
        outgoing.content_type = content_type.to_owned();
        outgoing.body = body;
        let flow = call.flow;
        if let Ok(bytes) = outgoing.write(&self.settings) {
            let purpose = Purpose::Info(handle);
            self.open_client(now, id, flow, (Method::Info, bytes), purpose);
        }
    }

    /// Takes the response to our INFO: only a challenge matters, and one that says that the dialog is
    /// gone (RFC 3261 §12.2.1.2).
    pub(super) fn info_answered(
        &mut self,
        now: Instant,
        handle: CallHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(call) = self.calls.get(&handle).filter(|call| call.is_alive()) else {
            return;
        };
        match status {
            401 | 407 if call.info_refused => {}
            401 | 407 => {
                let answered = self.answer_challenge(now, id, message).is_some();
                if let Some(call) = self.calls.get_mut(&handle) {
                    call.info_refused = !answered;
                }
            }
            408 => self.terminate(now, handle, EndCause::Timeout),
            481 => self.terminate(now, handle, EndCause::Lost),
            _ => {}
        }
    }

    /// Nobody answered our INFO.
    pub(super) fn info_failed(&mut self, now: Instant, handle: CallHandle, failure: Failure) {
        let alive = self.calls.get(&handle).is_some_and(|call| call.is_alive());
        if alive && failure == Failure::Timeout {
            self.terminate(now, handle, EndCause::Timeout);
        }
    }

    /// Takes an INFO: answered here, reported if it says anything.
    pub(super) fn remote_info(
        &mut self,
        now: Instant,
        handle: CallHandle,
        flow: Flow,
        message: &Message<'_>,
        key: &[u8],
    ) {
        if let Err(refusal) = message.check_require(&self.settings.support()) {
            return self.refuse(flow, message, &refusal);
        }
        let server = self.open_server(now, flow, message, (key.into(), None));
        self.reply_in(now, server, &Reply::new(200));
        let alive = self.calls.get(&handle).is_some_and(|call| call.is_alive());
        if alive && !message.body().is_empty() {
            let content_type = message.header(HeaderName::ContentType).unwrap_or_default();
            self.emit(Event::Info {
                call: handle,
                content_type: content_type.to_owned(),
                body: message.body().to_vec(),
            });
        }
    }
}
