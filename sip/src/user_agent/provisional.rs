//! Provisional responses that we send, and their reliable delivery (RFC 3261 §13.3.1.1, RFC 3262 §3).
//!
//! They are reliable where the peer demands it, and where it can and they carry the answer: then
//! they are answers and not early news only. One at a time is out; of those that come meanwhile the
//! latest waits, with the description of the first that had one. An INVITE without an offer gets
//! none reliably, since the first would have to carry ours (RFC 3262 §5).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;

use super::accept::SDP;
use super::calls::Phase;
use super::deadlines::Reason;
use super::settings::{RELIABLE, Settings, pace};
use super::{CallHandle, Transmit, UserAgent, compose};
use crate::message::{HeaderName, Message, Method, RAck};
use crate::transaction::Timers;

/// The sequence begins anywhere up to here, so that it does not wrap (RFC 3262 §3).
const MAX_FIRST_RSEQ: u32 = (1 << 31) - 1;

/// Which provisional responses to an INVITE are sent reliably.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Wanted {
    /// The peer cannot, or we do not.
    Never,
    /// The peer can: those with an answer.
    WithDescription,
    /// The peer demands it.
    Always,
}

/// The provisional responses to an INVITE of the peer.
pub(super) struct Provisionals {
    wanted: Wanted,
    /// Whether the INVITE has an offer.
    offered: bool,
    /// The RSeq of the last reliable one; 0 before the first.
    rseq: u32,
    /// The status of the last one, if that was reliable.
    last: Option<u16>,
    outstanding: Option<Outstanding>,
    next: Next,
    /// Whether a reliable one that was acknowledged has answered the offer.
    described: bool,
}

/// A reliable provisional response that waits for its PRACK.
struct Outstanding {
    rseq: u32,
    /// The number of the INVITE.
    cseq: u32,
    /// Whether it carries the answer.
    describes: bool,
    /// None once there is a final response: a PRACK may still come (§3).
    repeat: Option<Repeat>,
}

struct Repeat {
    response: Arc<[u8]>,
    resend_at: Instant,
    interval: Duration,
    give_up_at: Instant,
}

/// What is sent once that was acknowledged.
#[derive(Default)]
enum Next {
    #[default]
    Nothing,
    Provisional {
        status: u16,
        body: Option<Vec<u8>>,
    },
    /// The 2xx, which must not overtake the answer that it relies on (§3).
    Answer(Vec<u8>),
}

/// How a provisional response goes.
enum Way {
    Plainly,
    Reliably,
    Later,
    NotAtAll,
}

/// What is due of the one that waits for its PRACK.
enum Due {
    Nothing,
    Repeat(Arc<[u8]>),
    GiveUp,
}

/// What becomes of an answer.
pub(super) enum Answering {
    /// It goes, with this description: none if a reliable provisional response had it.
    Now(Option<Vec<u8>>),
    /// It waits for a PRACK.
    Held,
    /// There is one that waits.
    Already,
}

impl Provisionals {
    /// Of a call that comes in.
    pub(super) fn of(invite: &Message<'_>, settings: &Settings) -> Self {
        let wanted = match settings.takes_prack() {
            false => Wanted::Never,
            true if invite.lists(HeaderName::Require, RELIABLE) => Wanted::Always,
            true if invite.lists(HeaderName::Supported, RELIABLE) => Wanted::WithDescription,
            true => Wanted::Never,
        };
        Self {
            wanted,
            offered: compose::session_description(invite).is_some(),
            ..Self::none()
        }
    }

    /// Of a call that goes out: there are none.
    pub(super) fn none() -> Self {
        Self {
            wanted: Wanted::Never,
            offered: false,
            rseq: 0,
            last: None,
            outstanding: None,
            next: Next::Nothing,
            described: false,
        }
    }

    /// Returns when the one that waits for its PRACK wants attention, and why.
    pub(super) fn deadline(&self) -> Option<(Instant, Reason)> {
        let repeat = self.outstanding.as_ref()?.repeat.as_ref()?;
        Some(if repeat.resend_at < repeat.give_up_at {
            (repeat.resend_at, Reason::RetransmitProvisional)
        } else {
            (repeat.give_up_at, Reason::NoPrack)
        })
    }

    /// Returns whether the offer was answered reliably.
    pub(super) fn is_described(&self) -> bool {
        self.described
    }

    /// Returns whether one that waits for its PRACK carries the answer.
    fn describes(&self) -> bool {
        let outstanding = self.outstanding.as_ref();
        outstanding.is_some_and(|sent| sent.describes && sent.repeat.is_some())
    }

    fn way(&self, describes: bool) -> Way {
        let reliable = match self.wanted {
            Wanted::Never => false,
            Wanted::WithDescription => describes,
            Wanted::Always if !self.offered => return Way::NotAtAll,
            Wanted::Always => true,
        };
        match (&self.next, &self.outstanding) {
            (Next::Answer(_), _) => Way::NotAtAll,
            _ if !reliable => Way::Plainly,
            (_, Some(_)) => Way::Later,
            (_, None) => Way::Reliably,
        }
    }

    /// Keeps one for later, in the place of another that waits.
    fn put_off(&mut self, status: u16, body: Option<Vec<u8>>) {
        let before = match std::mem::take(&mut self.next) {
            Next::Provisional { body, .. } => body,
            _ => None,
        };
        let body = before.or(body);
        self.next = Next::Provisional { status, body };
    }

    /// Says what becomes of an answer, and keeps it where it waits.
    pub(super) fn answer(&mut self, body: Vec<u8>) -> Answering {
        if matches!(self.next, Next::Answer(_)) {
            return Answering::Already;
        }
        if self.describes() {
            self.next = Next::Answer(body);
            return Answering::Held;
        }
        Answering::Now(Some(body).filter(|_| !self.described))
    }

    /// There is a final response: nothing is repeated, and nothing else follows.
    pub(super) fn end(&mut self) {
        self.next = Next::Nothing;
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.repeat = None;
        }
    }

    /// Takes a PRACK; false if it acknowledges nothing that is out (§3).
    pub(super) fn acknowledge(&mut self, rack: &RAck<'_>) -> bool {
        let matches = |sent: &mut Outstanding| {
            (sent.rseq, sent.cseq) == (rack.rseq, rack.cseq.number)
                && rack.cseq.method == Method::Invite
        };
        let Some(sent) = self.outstanding.take_if(matches) else {
            return false;
        };
        self.described |= sent.describes;
        true
    }

    /// Acts on the clock: the interval doubles each time, without a ceiling, on any transport (§3).
    fn due(&mut self, now: Instant) -> Due {
        let outstanding = self.outstanding.as_mut();
        let Some(repeat) = outstanding.and_then(|sent| sent.repeat.as_mut()) else {
            return Due::Nothing;
        };
        if repeat.give_up_at <= now {
            return Due::GiveUp;
        }
        if repeat.resend_at > now {
            return Due::Nothing;
        }
        repeat.interval *= 2;
        repeat.resend_at = now + repeat.interval;
        Due::Repeat(repeat.response.clone())
    }
}

impl Repeat {
    fn new(now: Instant, timers: &Timers, response: Arc<[u8]>) -> Self {
        Self {
            response,
            resend_at: now + timers.t1,
            interval: timers.t1,
            give_up_at: now + timers.give_up(),
        }
    }
}

impl UserAgent {
    /// Tells the caller that the call rings (180) or shows early media (183): any status from 101
    /// to 199. `body` is the answer to the caller's offer; without an offer it is not sent. A call
    /// that no longer waits for an answer is left alone.
    ///
    /// Where the caller knows reliable provisional responses (RFC 3262), one with a body is
    /// delivered reliably and is the answer: the body of [`Self::answer`] is then not sent. Where it
    /// demands them every one is reliable; one that comes before the last was acknowledged waits
    /// until then, the later in the place of the earlier. A caller that acknowledges none for 64×T1
    /// is refused with 504, and the call ends by that. A caller that demands them and offers nothing
    /// is not told, since our offer would have to be in the first.
    pub fn ring(&mut self, now: Instant, call: CallHandle, status: u16, body: Option<Vec<u8>>) {
        let status = status.clamp(101, 199);
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        if !matches!(kept.phase, Phase::Ringing { .. }) {
            return;
        }
        let provisionals = &mut kept.provisionals;
        let answers = provisionals.offered && !provisionals.described && !provisionals.describes();
        let body = body.filter(|body| answers && !body.is_empty());
        match provisionals.way(body.is_some()) {
            Way::Plainly => self.ring_plainly(now, call, status, body),
            Way::Reliably => self.ring_reliably(now, call, status, body),
            Way::Later => provisionals.put_off(status, body),
            Way::NotAtAll => {}
        }
        self.arm_call(call);
    }

    fn ring_plainly(&mut self, now: Instant, call: CallHandle, status: u16, body: Option<Vec<u8>>) {
        let Some((server, reply)) = self.reply_to_ringing(call, status) else {
            return;
        };
        let body = body.unwrap_or_default();
        self.reply_in(now, server, &reply.with_body(SDP, &body));
        self.has_rung(now, call, None);
    }

    fn ring_reliably(
        &mut self,
        now: Instant,
        call: CallHandle,
        status: u16,
        body: Option<Vec<u8>>,
    ) {
        let first = self.rng.random_range(1..=MAX_FIRST_RSEQ);
        let timers = self.settings.timers;
        let Some((server, reply)) = self.reply_to_ringing(call, status) else {
            return;
        };
        let request = self.servers.get(server).and_then(|s| s.request.as_ref());
        let cseq = request.and_then(|request| Some(request.view().cseq().ok()?.number));
        let (Some(cseq), Some(kept)) = (cseq, self.calls.get_mut(&call)) else {
            return;
        };
        let rseq = match kept.provisionals.rseq {
            0 => first,
            // At the end of the sequence there is none (§3).
            last => match last.checked_add(1) {
                Some(next) => next,
                None => return,
            },
        };
        let reply = reply
            .with("Require", RELIABLE)
            .with("RSeq", rseq.to_string());
        let description = body.as_deref().unwrap_or_default();
        let sent = self.reply_in(now, server, &reply.with_body(SDP, description));
        let (Some(sent), Some(kept)) = (sent, self.calls.get_mut(&call)) else {
            return;
        };
        kept.provisionals.rseq = rseq;
        kept.provisionals.outstanding = Some(Outstanding {
            rseq,
            cseq,
            describes: body.is_some(),
            repeat: Some(Repeat::new(now, &timers, sent.bytes)),
        });
        if let Some(body) = body {
            kept.session.describe(body);
        }
        self.has_rung(now, call, Some(status));
    }

    /// Notes that a provisional response went out; `last` is its status if it was reliable.
    fn has_rung(&mut self, now: Instant, call: CallHandle, last: Option<u16>) {
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        kept.provisionals.last = last;
        if let Phase::Ringing { repeat_at, .. } = &mut kept.phase {
            *repeat_at = now + pace::STILL_RINGING;
        }
    }

    /// Repeats the last provisional response, so that no proxy's Timer C fires (RFC 3261
    /// §13.3.1.1). One that was acknowledged is not sent again (RFC 3262 §3): another like it is.
    pub(super) fn still_ringing(&mut self, now: Instant, call: CallHandle) {
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        let last = kept.provisionals.last;
        let Phase::Ringing { server, repeat_at } = &mut kept.phase else {
            return;
        };
        if *repeat_at > now {
            return;
        }
        *repeat_at = now + pace::STILL_RINGING;
        let server = *server;
        match last {
            Some(status) => self.ring(now, call, status, None),
            None => self.resend_response(server),
        }
    }

    /// Sends the reliable provisional response again whose PRACK is missing, and gives up on it
    /// after 64×T1 (§3).
    pub(super) fn provisional_timeout(&mut self, now: Instant, call: CallHandle) {
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        let Phase::Ringing { server, .. } = kept.phase else {
            return;
        };
        match kept.provisionals.due(now) {
            Due::Nothing => {}
            Due::Repeat(bytes) => {
                if let Some(flow) = self.servers.get(server).map(|server| server.flow) {
                    self.send_again(Transmit { flow, bytes });
                }
            }
            Due::GiveUp => {
                self.stats.no_prack += 1;
                self.reject(now, call, 504, &[]);
            }
        }
    }

    /// Sends what has waited for a PRACK.
    pub(super) fn provisional_acknowledged(&mut self, now: Instant, call: CallHandle) {
        let Some(kept) = self.calls.get_mut(&call) else {
            return;
        };
        match std::mem::take(&mut kept.provisionals.next) {
            Next::Nothing => {}
            Next::Provisional { status, body } => self.ring(now, call, status, body),
            Next::Answer(body) => {
                self.answer(now, call, body);
            }
        }
        self.arm_call(call);
    }
}
