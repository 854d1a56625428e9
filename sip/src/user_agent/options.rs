//! OPTIONS: asking whether a peer is there, and being asked (RFC 3261 §11).

use std::time::Instant;

use super::clients::{Failure, Purpose};
use super::compose::{self, Outgoing};
use super::event::{Event, PingError};
use super::respond::Reply;
use super::settings::{Error, OptionsPing};
use super::{PingHandle, UserAgent};
use crate::flow::Flow;
use crate::message::{Message, Method};

impl UserAgent {
    /// Asks a peer whether it is there; [`Event::Pong`] tells.
    ///
    /// # Errors
    /// The URI is none, or too many transactions are open.
    pub fn options(&mut self, now: Instant, ping: OptionsPing) -> Result<PingHandle, Error> {
        if self.is_full() {
            return Err(Error::Overloaded);
        }
        for route in &ping.route {
            compose::check_address("Route", route)?;
        }
        let id = self.new_branch();
        let handle = PingHandle(self.next_handle());
        let tag = format!("{:016x}", self.unused(|_, _| true));
        let us = compose::contact_uri(&self.settings, &ping.flow, ("", false));
        let mut outgoing = Outgoing::new(Method::Options, ping.flow, id);
        outgoing.to = compose::name_addr(&ping.uri);
        outgoing.request_uri = ping.uri;
        outgoing.routes = ping.route;
        outgoing.from = compose::with_tag(&us, &tag);
        outgoing.call_id = self.new_call_id();
        outgoing.contact_user = Some(String::new());
        let bytes = outgoing
            .with("Accept", "application/sdp")
            .write(&self.settings)?;
        let purpose = Purpose::Ping(handle);
        self.open_client(now, id, ping.flow, (Method::Options, bytes), purpose);
        Ok(handle)
    }

    pub(super) fn ping_answered(&mut self, ping: PingHandle, status: u16) {
        if status >= 200 {
            self.emit(Event::Pong {
                ping,
                result: Ok(status),
            });
        }
    }

    pub(super) fn ping_failed(&mut self, ping: PingHandle, failure: Failure) {
        let error = match failure {
            Failure::Timeout => PingError::Timeout,
            Failure::Transport => PingError::Transport,
        };
        self.emit(Event::Pong {
            ping,
            result: Err(error),
        });
    }

    /// Answers OPTIONS as an INVITE would be answered (§11.2): whoever watches us by it learns
    /// when we are full or not ready. Nothing is kept of it.
    pub(super) fn answer_options(&mut self, flow: Flow, message: &Message<'_>) {
        // A body tells nothing here, and whoever watches us is not to take us for dead by it.
        if let Err(refusal) = message.check_require(&self.settings.support()) {
            return self.refuse(flow, message, &refusal);
        }
        if self.is_busy() {
            return self.reply_overloaded(flow, message);
        }
        let reply = Reply::new(200)
            .with("Accept", "application/sdp")
            .with("Accept-Encoding", "identity")
            .with("Accept-Language", "en");
        self.reply(flow, message, &reply);
    }

    fn is_busy(&self) -> bool {
        !self.takes_calls || self.calls.len() >= self.settings.max_calls
    }
}
