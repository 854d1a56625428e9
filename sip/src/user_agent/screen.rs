//! What a stranger's message may cost, before it is handled and when it is answered.

use std::time::Instant;

use super::respond::Reply;
use super::servers::match_key;
use super::{Event, UserAgent};
use crate::flow::Flow;
use crate::guard::{Ban, BanReason, Charge, Standing};
use crate::message::{HeaderName, Message, Method};

/// Where the message in hand came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    standing: Standing,
    /// Its size in bytes.
    brought: usize,
}

impl Asking {
    /// Nobody asks: what is sent now is our own wish.
    pub(super) const NOBODY: Self = Self {
        standing: Standing::Trusted,
        brought: 0,
    };

    pub(super) fn is_stranger(&self) -> bool {
        self.standing == Standing::Stranger
    }
}

impl UserAgent {
    /// Returns the sources whose messages are dropped at `now`, the last to be let in again first.
    pub fn bans(&self, now: Instant) -> impl Iterator<Item = Ban> + '_ {
        self.sentry.bans(now)
    }

    /// Begins to handle so many bytes that came on a flow; false where they are to be dropped
    /// unread. A response is read all the same: it answers what we asked, or nothing is done.
    pub(super) fn listens(&mut self, now: Instant, flow: Flow, bytes: &[u8]) -> bool {
        let standing = match self.gate.knows(flow) {
            true => Standing::Trusted,
            false => self.sentry.standing(now, flow),
        };
        let brought = bytes.len();
        self.asking = Asking { standing, brought };
        let listens = standing == Standing::Trusted
            || !self.sentry.is_banned(now, flow)
            || bytes.starts_with(b"SIP/2.0");
        self.stats.dropped_banned += u64::from(!listens);
        listens
    }

    /// Learns what the flow of the message in hand has shown.
    pub(super) fn vouch(&mut self, now: Instant, flow: Flow, standing: Standing) {
        if self.asking.standing < standing {
            self.asking.standing = standing;
        }
        self.sentry.vouch(now, flow, standing);
    }

    /// Returns whether a request is handled. What belongs to a transaction or a call of ours is:
    /// nobody else knows their branches and tags. Of the rest a source may send so much only.
    pub(super) fn lets_in(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        method: Method<'_>,
    ) -> bool {
        if self.asking.standing == Standing::Trusted {
            return true;
        }
        if self.call_of(message, true).is_some() {
            self.vouch(now, flow, Standing::Trusted);
            return true;
        }
        if self.is_of_transaction(message, method) {
            return true;
        }
        let name = message.header(HeaderName::UserAgent).unwrap_or_default();
        if self.sentry.is_scanner(name) {
            self.stats.dropped_scanner += 1;
            // A stranger may have forged where it comes from: whoever is there would be banned.
            if !self.asking.is_stranger() {
                let ban = self.sentry.unmask(now, flow);
                self.banned(ban);
            }
            return false;
        }
        self.charge(now, flow)
    }

    /// Takes the price of a message that belongs to nothing; false where it is to be dropped.
    pub(super) fn charge(&mut self, now: Instant, flow: Flow) -> bool {
        if self.asking.standing == Standing::Trusted {
            return true;
        }
        match self
            .sentry
            .charge(now, flow, self.asking.brought, self.asking.standing)
        {
            Charge::Paid => return true,
            Charge::Over => {}
            Charge::Banned(ban) => self.banned(ban),
        }
        self.stats.dropped_flood += 1;
        false
    }

    /// Counts wrong credentials. A trunk's are not counted: its network is known.
    pub(super) fn mistrust(&mut self, now: Instant, flow: Flow) {
        if !self.gate.knows(flow)
            && let Some(ban) = self.sentry.failed(now, flow)
        {
            self.banned(ban);
        }
    }

    /// Writes a stranger's answer as short as it may be; nothing where even that is more than it
    /// has brought. It is sent once: nothing of it is kept (RFC 3261 §8.2.7).
    pub(super) fn brief(
        &mut self,
        flow: Flow,
        request: &Message<'_>,
        reply: &Reply<'_>,
    ) -> Option<Vec<u8>> {
        let bytes = reply.write_brief(&flow, request, self.asking.brought);
        let affordable = self.sentry.affords(flow, bytes.len());
        self.stats.withheld += u64::from(!affordable);
        affordable.then_some(bytes)
    }

    /// Returns whether an answer to the message in hand is bounded by its size.
    pub(super) fn is_asked_by_stranger(&self) -> bool {
        self.asking.is_stranger() && self.sentry.counts_bytes()
    }

    fn is_of_transaction(&mut self, message: &Message<'_>, method: Method<'_>) -> bool {
        let method = match method {
            Method::Cancel => Method::Invite,
            other => other,
        };
        let mut key = std::mem::take(&mut self.scratch);
        let found =
            match_key(&mut key, message, method).is_ok_and(|()| self.servers.find(&key).is_some());
        self.scratch = key;
        found
    }

    fn banned(&mut self, ban: Ban) {
        let counter = match ban.reason {
            BanReason::Flood => &mut self.stats.bans_flood,
            BanReason::WrongCredentials(_) => &mut self.stats.bans_wrong_credentials,
            BanReason::Scanner => &mut self.stats.bans_scanner,
        };
        *counter += 1;
        self.emit(Event::Banned(ban));
    }
}
