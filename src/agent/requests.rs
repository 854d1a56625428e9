//! Requests that the dialogue waits for, and their deadlines.

use std::time::{Duration, Instant};

use super::command::{
    Booking, Command, HttpResponse, LlmEvent, LlmFailure, LlmRequest, RequestFailure, RequestId,
};
use super::core::{Agent, Unsaid};
use super::dialogue::{Act, Context, Event};
use super::endpoint::millis;

/// Grace beyond a request's own time-out, within which the shell reports by itself.
pub(super) const GRACE: Duration = Duration::from_millis(500);
const BOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a person may be told what it is about, beyond the time that their phone rings.
const HAND_OVER: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PendingKind {
    Http(Duration),
    Llm(Duration),
    Book,
    Transfer(Duration),
}

/// Says whose answer a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The conversation's.
    Dialogue,
    /// A speculative copy's; it may be dropped.
    Fork,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) id: RequestId,
    kind: PendingKind,
    pub(super) owner: Owner,
    issued: Instant,
    pub(super) deadline: Instant,
    pub(super) first_token_ms: Option<u32>,
    pub(super) filled: bool,
}

impl Pending {
    pub(super) fn is_transfer(&self) -> bool {
        matches!(self.kind, PendingKind::Transfer(_))
    }
}

impl Agent {
    /// Takes an HTTP request's answer.
    pub fn handle_http(
        &mut self,
        now: Instant,
        request: RequestId,
        result: Result<HttpResponse, RequestFailure>,
    ) {
        if self.end_request(request) {
            self.deliver(now, Event::Http(request, result));
            self.settle(now);
        }
    }

    /// Takes an LLM request's progress.
    pub fn handle_llm(&mut self, now: Instant, request: RequestId, event: LlmEvent) {
        self.llm_progress(now, request, event);
        self.settle(now);
    }

    /// Takes a booking's answer.
    pub fn handle_booked(
        &mut self,
        now: Instant,
        request: RequestId,
        result: Result<Booking, RequestFailure>,
    ) {
        if self.end_request(request) {
            self.deliver(now, Event::Booked(request, result));
            self.settle(now);
        }
    }

    /// Notes that nobody took the call.
    pub fn handle_not_transferred(
        &mut self,
        now: Instant,
        request: RequestId,
        why: RequestFailure,
    ) {
        if self.end_request(request) {
            self.deliver(now, Event::NotTransferred(request, why));
            self.settle(now);
        }
    }

    pub(super) fn begin(&mut self, now: Instant, id: RequestId, kind: PendingKind) {
        self.begin_owned(now, id, kind, Owner::Dialogue);
    }

    pub(super) fn begin_llm(&mut self, now: Instant, request: LlmRequest, owner: Owner) {
        self.begin_owned(now, request.id, PendingKind::Llm(request.delay), owner);
        self.commands.push_back(Command::Llm(request));
    }

    fn begin_owned(&mut self, now: Instant, id: RequestId, kind: PendingKind, owner: Owner) {
        let allowed = match kind {
            PendingKind::Http(timeout) => timeout + GRACE,
            PendingKind::Llm(delay) => delay + self.settings.llm_first,
            PendingKind::Book => BOOK_TIMEOUT,
            PendingKind::Transfer(ring) => ring + HAND_OVER,
        };
        self.requests.push(Pending {
            id,
            kind,
            owner,
            issued: now,
            deadline: now + allowed,
            first_token_ms: None,
            filled: false,
        });
    }

    /// Forgets a request and says whether it was pending.
    pub(super) fn end_request(&mut self, id: RequestId) -> bool {
        let before = self.requests.len();
        self.requests.retain(|r| r.id != id);
        self.requests.len() != before
    }

    pub(super) fn cancel_request(&mut self, id: RequestId) {
        self.unsaid
            .retain(|unsaid| !matches!(unsaid, Unsaid::Transfer(request) if request.id == id));
        if self.end_request(id) {
            self.commands
                .push_back(Command::CancelRequest { request: id });
        }
    }

    /// Abandons everything that only a speculative answer asked for.
    pub(super) fn drop_fork_requests(&mut self) {
        self.drop_requests_of(Some(Owner::Fork));
    }

    /// Abandons everything.
    pub(super) fn drop_requests(&mut self) {
        self.drop_requests_of(None);
    }

    fn drop_requests_of(&mut self, owner: Option<Owner>) {
        let commands = &mut self.commands;
        self.requests.retain(|r| {
            let keep = owner.is_some_and(|o| o != r.owner);
            if !keep {
                commands.push_back(Command::CancelRequest { request: r.id });
            }
            keep
        });
    }

    pub(super) fn llm_progress(&mut self, now: Instant, id: RequestId, event: LlmEvent) {
        let stall = self.settings.llm_stall;
        let Some(pending) = self.requests.iter_mut().find(|r| r.id == id) else {
            return;
        };
        let owner = pending.owner;
        pending.deadline = now + stall;
        let ends = matches!(event, LlmEvent::Done | LlmEvent::Failed(_));
        let first = pending.first_token_ms.is_none() && !ends;
        if first {
            let (issued, ms) = (pending.issued, millis(pending.issued, now));
            pending.first_token_ms = Some(ms);
            self.note_first_token(owner, issued, ms);
        }
        if ends {
            self.end_request(id);
        }
        match owner {
            Owner::Dialogue => self.deliver(now, Event::Llm(id, event)),
            Owner::Fork => self.deliver_to_fork(now, Event::Llm(id, event)),
        }
    }

    fn note_first_token(&mut self, owner: Owner, issued: Instant, ms: u32) {
        let slots = match owner {
            Owner::Dialogue => self.exchange.as_mut().map(|e| {
                let latency = &mut e.latency;
                let begins = &mut latency.begins.llm_ms;
                (e.last_voiced, &mut latency.llm_first_token_ms, begins)
            }),
            Owner::Fork => self.ear.as_mut().and_then(|ear| {
                let fork = ear.guess.as_mut()?.fork.as_mut()?;
                let begins = &mut fork.llm_begins_ms;
                Some((ear.last_voiced, &mut fork.llm_first_token_ms, begins))
            }),
        };
        if let Some((last_voiced, first_token, begins)) = slots {
            first_token.get_or_insert(ms);
            begins.get_or_insert(millis(last_voiced, issued));
        }
    }

    /// Lets the speculative copy react; what it wants waits for the turn to be committed.
    fn deliver_to_fork(&mut self, now: Instant, event: Event<'_>) {
        let wall = self.wall.zoned(now);
        let guess = self.ear.as_mut().and_then(|e| e.guess.as_mut());
        let Some(fork) = guess.and_then(|g| g.fork.as_mut()) else {
            return;
        };
        let quiet = !fork.acts.iter().any(|a| matches!(a, Act::Say { .. }));
        let mut cx = Context::new(wall, &mut self.ids.request);
        fork.dialogue.handle(&mut cx, event);
        let mut more = cx.into_acts();
        let mut llm = Vec::new();
        for act in &more {
            match act {
                Act::Say { text, .. } if quiet && llm.is_empty() => {
                    self.commands
                        .push_back(Command::Prepare { text: text.clone() });
                }
                Act::Llm(request) => llm.push(request.clone()),
                _ => {}
            }
        }
        fork.acts.append(&mut more);
        for request in llm {
            self.begin_llm(now, request, Owner::Fork);
        }
    }

    /// Fails a request whose answer did not come.
    pub(super) fn request_expired(&mut self, now: Instant) {
        let Some(pending) = self.requests.iter().find(|r| r.deadline <= now).copied() else {
            return;
        };
        self.cancel_request(pending.id);
        let failure = RequestFailure::Timeout;
        let event = match pending.kind {
            PendingKind::Http(_) => Event::Http(pending.id, Err(failure)),
            PendingKind::Book => Event::Booked(pending.id, Err(failure)),
            PendingKind::Transfer(_) => Event::NotTransferred(pending.id, failure),
            PendingKind::Llm(_) => Event::Llm(pending.id, LlmEvent::Failed(LlmFailure::Stalled)),
        };
        match pending.owner {
            Owner::Dialogue => self.deliver(now, event),
            Owner::Fork => self.deliver_to_fork(now, event),
        }
    }

    /// Returns when the caller has waited long enough for a word of patience.
    pub(super) fn filler_due(&self) -> Option<Instant> {
        let quiet = self.hold.is_none() && self.air.as_ref().is_none_or(|a| a.quiet());
        if !quiet || self.ear.is_some() || !self.unsaid.is_empty() || self.ending.is_some() {
            return None;
        }
        let waiting = self
            .requests
            .iter()
            .filter(|r| r.owner == Owner::Dialogue && !r.filled && !r.is_transfer());
        let since = waiting.map(|r| r.issued).min()?;
        let last_sound = self.air.as_ref().map_or(self.idle_since, |a| a.touched);
        Some(since.max(last_sound) + self.settings.filler_after)
    }

    pub(super) fn fill(&mut self, now: Instant) {
        for pending in &mut self.requests {
            pending.filled = true;
        }
        self.deliver(now, Event::StillWaiting);
    }
}
