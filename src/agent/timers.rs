//! The agent's timers: one deadline at a time, each with its reason.

use std::time::Instant;

use super::command::HangUpReason;
use super::core::{Agent, Phase};
use super::dialogue::Event;

/// Grace for the playout's report on a cancelled turn.
const CUT_REPORT_MS: u64 = 500;
/// Grace after the longest call for the goodbye.
const GOODBYE_S: u64 = 20;

/// Says what a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The greeting has been held back long enough.
    Greeting,
    /// The caller's turn is over if they say nothing more.
    EndOfTurn,
    /// A barge-in has to be decided.
    BargeIn,
    /// The recogniser has had its time.
    Recognition,
    /// A long turn's audio is recognised in parts.
    Segment,
    /// No further key was pressed.
    Digits,
    /// A request has had its time.
    Request,
    /// A pending request needs a word of patience.
    Filler,
    /// The playout owes a report.
    Playout,
    /// The caller says nothing.
    Reprompt,
    /// The longest call.
    CallLimit,
}

impl Agent {
    /// Returns the next deadline and its reason; `None` only before the answer and after the end.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        let requests = self.requests.iter().map(|r| r.deadline).min();
        match self.phase {
            Phase::Ringing | Phase::Finished => None,
            Phase::Closing(_) => [
                (requests, Reason::Request),
                (self.cut_due(), Reason::Playout),
            ]
            .into_iter()
            .filter_map(|(at, reason)| at.map(|at| (at, reason)))
            .min(),
            Phase::Live => [
                (self.hushed_until, Reason::Greeting),
                (self.endpoint_due(), Reason::EndOfTurn),
                (self.barge_in_due(), Reason::BargeIn),
                (self.recognition_due(), Reason::Recognition),
                (self.segment_due(), Reason::Segment),
                (
                    self.digits.last.map(|at| at + self.settings.digit_timeout),
                    Reason::Digits,
                ),
                (requests, Reason::Request),
                (self.filler_due(), Reason::Filler),
                (self.playout_due(), Reason::Playout),
                (self.reprompt_due(), Reason::Reprompt),
                (self.limit_due(), Reason::CallLimit),
            ]
            .into_iter()
            .filter_map(|(at, reason)| at.map(|at| (at, reason)))
            .min(),
        }
    }

    /// Performs everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..64 {
            match self.poll_timeout() {
                Some((at, reason)) if at <= now => self.fire(now, reason),
                _ => return,
            }
            self.settle(now);
        }
    }

    fn fire(&mut self, now: Instant, reason: Reason) {
        match reason {
            Reason::Greeting => self.hushed_until = None,
            // Decided by `settle`, which looks at the time.
            Reason::EndOfTurn | Reason::BargeIn => {}
            Reason::Recognition => self.recognition_expired(now),
            Reason::Segment => self.segment_full(now),
            Reason::Digits => self.deliver_digits(now),
            Reason::Request => self.request_expired(now),
            Reason::Filler => self.fill(now),
            Reason::Playout => self.playout_expired(now),
            Reason::Reprompt => {
                self.silences += 1;
                self.idle_since = now;
                self.exchange = None;
                self.deliver(now, Event::Silence(self.silences));
            }
            Reason::CallLimit => self.limit(now),
        }
    }

    fn recognition_due(&self) -> Option<Instant> {
        let ear = self.ear.as_ref()?;
        let guess = ear
            .guess
            .as_ref()
            .filter(|g| g.transcript.is_none())
            .map(|g| g.issued);
        let seal = ear.seal.map(|s| s.issued);
        let issued = [guess, seal].into_iter().flatten().min()?;
        Some(issued + self.settings.recognise_timeout)
    }

    fn recognition_expired(&mut self, now: Instant) {
        let patience = self.settings.recognise_timeout;
        let Some(ear) = &mut self.ear else { return };
        if let Some(seal) = ear.seal.filter(|s| s.issued + patience <= now) {
            self.handle_recognition_failed(now, seal.id);
            return;
        }
        let late = ear
            .guess
            .as_ref()
            .filter(|g| g.transcript.is_none())
            .map(|g| g.id);
        if let Some(id) = late {
            self.handle_recognition_failed(now, id);
        }
    }

    fn segment_due(&self) -> Option<Instant> {
        let ear = self
            .ear
            .as_ref()
            .filter(|e| e.voicing && e.seal.is_none())?;
        Some(ear.segment_from + self.settings.segment)
    }

    fn cut_due(&self) -> Option<Instant> {
        let cut = self.cut.as_ref()?;
        Some(cut.since + std::time::Duration::from_millis(CUT_REPORT_MS))
    }

    fn playout_due(&self) -> Option<Instant> {
        if self.cut.is_some() {
            return self.cut_due();
        }
        let air = self
            .air
            .as_ref()
            .filter(|a| !a.quiet() && self.barge.is_none() && self.hold.is_none())?;
        Some(air.touched + self.settings.playout_stall + air.remaining())
    }

    fn playout_expired(&mut self, now: Instant) {
        if self.cut.is_some() {
            self.finish_cut(now, None);
        } else {
            self.playout_stalled();
        }
    }

    fn reprompt_due(&self) -> Option<Instant> {
        let idle = self.hold.is_none()
            && self.air.is_none()
            && self.ear.is_none()
            && self.unsaid.is_empty()
            && self.requests.is_empty()
            && self.digits.last.is_none()
            && self.ending.is_none();
        idle.then(|| self.idle_since + self.dialogue.silence_after())
    }

    fn limit_due(&self) -> Option<Instant> {
        let limit = self.answered_at? + self.settings.call_limit;
        let grace = std::time::Duration::from_secs(GOODBYE_S);
        Some(if self.limit_reached {
            limit + grace
        } else {
            limit
        })
    }

    fn limit(&mut self, now: Instant) {
        if self.limit_reached {
            // The goodbye did not get through: end without it.
            self.silence_everything(now);
            self.ending = Some(HangUpReason::CallLimit);
            return;
        }
        self.limit_reached = true;
        self.barge = None;
        self.forget_listening();
        self.cut_off(now);
        self.finish_cut(now, None);
        self.drop_requests();
        self.unsaid.clear();
        self.deliver(now, Event::CallLimit);
    }
}
