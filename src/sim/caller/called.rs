//! A phone that the switch calls: how it rings, and what becomes of that.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use offhook_media::SessionDescription;
use offhook_media::sdp;
use offhook_sip::{Access, CallHandle, Incoming, TrunkPeer, UserSecret};

use super::Caller;
use crate::sim::call::CREDENTIALS;
use crate::sim::clock::{Action, Datagram, Moment};
use crate::sim::models::NOISE;
use crate::sim::plan::{CallerPlan, Ringing};
use crate::sim::world::Cx;

/// How long an announcement before the answer lasts, in milliseconds.
const EARLY_MS: u64 = 3_000;

/// Whom a phone takes calls from: the switch, which may have to prove that it is known.
pub(super) fn access(plan: &CallerPlan, switch: SocketAddr) -> Access {
    let Some(called) = plan.called else {
        return Access::default();
    };
    let (name, password) = CREDENTIALS;
    let user = UserSecret {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    let trunk = TrunkPeer {
        name: "switch".to_owned(),
        networks: format!("{}/32", switch.ip()).parse().into_iter().collect(),
        ..TrunkPeer::default()
    };
    match called.challenge {
        Some(_) => Access {
            users: vec![user],
            ..Access::default()
        },
        None => Access {
            trunks: vec![trunk],
            ..Access::default()
        },
    }
}

impl Caller {
    /// The switch calls.
    pub(super) fn rings(&mut self, cx: &mut Cx, call: CallHandle, invite: &Incoming) {
        let now = cx.clock.now();
        let Some(called) = self.plan.called else {
            return;
        };
        self.call = Some(call);
        let offer = invite.offer.as_deref().unwrap_or_default();
        let offer = SessionDescription::parse(offer).ok();
        let answer = offer.and_then(|offer| sdp::answer(&offer, &self.local).ok());
        let Some((answer, negotiated)) = answer else {
            return self.ua.reject(now, call, 488, &[]);
        };
        self.description = answer;
        self.agreed = Some(negotiated);
        let rings = called.rings_ms.map(|at| (at, Action::Ring(180)));
        let early = called.early_ms.map(|at| (at, Action::Ring(183)));
        let end = match called.end {
            Ringing::Answered(at) => Some((at, Action::Answer)),
            Ringing::Refused(at, status) => Some((at, Action::Refuse(status))),
            Ringing::Unanswered => None,
        };
        for (at, action) in [rings, early, end].into_iter().flatten() {
            let at = now + Duration::from_millis(at);
            cx.clock.at(at, Moment::Act(self.phone, action));
        }
    }

    /// Says 180, or 183 with a description: then its sound begins, which answers nothing.
    pub(super) fn ring(&mut self, cx: &mut Cx, call: CallHandle, status: u16) {
        let now = cx.clock.now();
        if self.over || self.answered.is_some() {
            return;
        }
        let early = self.agreed.clone().filter(|_| status == 183);
        let body = early
            .as_ref()
            .map(|_| self.description.to_string().into_bytes());
        self.ua.ring(now, call, status, body);
        if let Some(negotiated) = early {
            self.open(cx, negotiated);
            self.say(cx, NOISE, EARLY_MS);
        }
    }

    pub(super) fn answer(&mut self, cx: &mut Cx, call: CallHandle) {
        let now = cx.clock.now();
        let body = self.description.to_string().into_bytes();
        if !self.ua.answer(now, call, body) {
            return;
        }
        self.answered = Some(now);
        if let Some(negotiated) = self.agreed.take().filter(|_| self.leg.is_none()) {
            self.open(cx, negotiated);
        }
    }

    fn asks_as_proxy(&self) -> bool {
        let called = self.plan.called;
        called.is_some_and(|called| called.challenge == Some(407))
    }

    /// Writes a challenge as the proxy does that stands before this phone (RFC 3261 §22.3).
    pub(super) fn as_proxy(&self, mut datagram: Datagram) -> Datagram {
        if self.asks_as_proxy() && datagram.bytes.starts_with(b"SIP/2.0 401") {
            let text = String::from_utf8_lossy(&datagram.bytes);
            let text = text.replacen("401 Unauthorized", "407 Proxy Authentication Required", 1);
            let text = text.replace("WWW-Authenticate:", "Proxy-Authenticate:");
            datagram.bytes = text.into_bytes();
        }
        datagram
    }

    /// Reads the credentials that were meant for that proxy.
    pub(super) fn behind_proxy<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.asks_as_proxy() {
            return Cow::Borrowed(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        Cow::Owned(
            text.replace("Proxy-Authorization:", "Authorization:")
                .into_bytes(),
        )
    }
}
