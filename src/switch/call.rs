//! The life of one call: from the first INVITE or API request to its outcome.

use std::time::{Duration, Instant};

use offhook_sip::message::reason_phrase;

use super::cause::Cause;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// They called us.
    Inbound,
    /// We called them.
    Outbound,
}

impl Direction {
    /// The word in a call's JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Why a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The agent said goodbye.
    Agent,
    /// The other side hung up.
    Remote,
    /// The party that a call was bridged to hung up.
    Called,
    /// The other party goes on in another call.
    Transferred,
    /// A person or program asked for it over the API.
    Api,
    /// We gave up ringing, or the other side did before the answer.
    Cancelled,
    /// The other side refused with this status.
    Refused(u16),
    /// It lasted as long as the configuration allows.
    TooLong,
    /// The other side's sound and signalling are gone.
    Lost(String),
    /// Something failed here.
    Failed(String),
    /// The switch is being stopped.
    Shutdown,
    /// One of the others, of which the other side has said more (RFC 3326).
    Said(Box<EndReason>, Cause),
}

impl EndReason {
    /// The same, with what the other side has said of it, if anything.
    #[must_use]
    pub fn said(self, cause: Option<Cause>) -> Self {
        match cause {
            Some(cause) => Self::Said(Box::new(self), cause),
            None => self,
        }
    }

    /// The same of the party that a call was bridged to.
    #[must_use]
    pub fn of_called(self) -> Self {
        match self {
            Self::Remote => Self::Called,
            Self::Said(reason, cause) => Self::Said(Box::new(reason.of_called()), cause),
            other => other,
        }
    }

    /// The Reason header field by which the other side of a bridge is told.
    #[must_use]
    pub fn passed_on(&self) -> Option<String> {
        match self {
            Self::Said(_, cause) => cause.passed_on(),
            _ => None,
        }
    }

    /// What it is, whatever was said of it.
    fn plain(&self) -> &Self {
        match self {
            Self::Said(reason, _) => reason.plain(),
            other => other,
        }
    }

    /// The text for logs, without the words of whoever said why: they may name people and numbers.
    #[must_use]
    pub fn logged(&self) -> String {
        match self {
            Self::Said(reason, cause) => {
                let cause = Cause {
                    text: None,
                    ..cause.clone()
                };
                let cause = Some(cause).filter(|cause| *cause != Cause::default());
                reason.plain().clone().said(cause).describe()
            }
            other => other.describe(),
        }
    }

    /// The text for the call's record and its events.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Agent => "the agent ended the call".to_owned(),
            Self::Remote => "the other side hung up".to_owned(),
            Self::Called => "the called party hung up".to_owned(),
            Self::Transferred => "the other party goes on in another call".to_owned(),
            Self::Api => "hung up over the API".to_owned(),
            Self::Cancelled => "given up before the answer".to_owned(),
            Self::Refused(status @ 300..=399) => {
                let phrase = reason_phrase(*status);
                format!("redirected with status {status} ({phrase}) to where it is not followed")
            }
            Self::Refused(status) => format!("refused with status {status}"),
            Self::TooLong => "the longest allowed duration was reached".to_owned(),
            Self::Lost(what) | Self::Failed(what) => what.clone(),
            Self::Shutdown => "the switch was stopped".to_owned(),
            Self::Said(reason, cause) => format!("{}: {}", reason.describe(), cause.describe()),
        }
    }
}

/// Where a call stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallState {
    /// Accepted by the API, no INVITE sent yet.
    Queued,
    /// An INVITE is unanswered.
    Ringing,
    /// Answered.
    InProgress,
    /// Over.
    Ended(Outcome),
}

/// How an ended call is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Completed,
    /// The line was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Given up before the answer.
    Canceled,
    /// It could not be made.
    Failed,
}

impl CallState {
    /// The word in a call's JSON.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Ended(Outcome::Completed) => "completed",
            Self::Ended(Outcome::Busy) => "busy",
            Self::Ended(Outcome::NoAnswer) => "no-answer",
            Self::Ended(Outcome::Canceled) => "canceled",
            Self::Ended(Outcome::Failed) => "failed",
        }
    }
}

/// One call's life: a state and the times of its changes.
#[derive(Debug, Clone)]
pub struct Call {
    direction: Direction,
    state: CallState,
    started: Instant,
    answered: Option<Instant>,
    ended: Option<Instant>,
    reason: Option<EndReason>,
}

impl Call {
    /// Begins a call that rings here.
    #[must_use]
    pub fn inbound(now: Instant) -> Self {
        Self::new(Direction::Inbound, CallState::Ringing, now)
    }

    /// Begins a call that we are asked to place.
    #[must_use]
    pub fn outbound(now: Instant) -> Self {
        Self::new(Direction::Outbound, CallState::Queued, now)
    }

    fn new(direction: Direction, state: CallState, now: Instant) -> Self {
        Self {
            direction,
            state,
            started: now,
            answered: None,
            ended: None,
            reason: None,
        }
    }

    /// Takes note that the INVITE left or was heard of. A 183 with SDP is no answer either.
    pub fn handle_progress(&mut self) {
        if self.state == CallState::Queued {
            self.state = CallState::Ringing;
        }
    }

    /// Takes note of the answer.
    pub fn handle_answer(&mut self, now: Instant) {
        if matches!(self.state, CallState::Queued | CallState::Ringing) {
            self.state = CallState::InProgress;
            self.answered = Some(now);
        }
    }

    /// Takes note of the end; the first reason stays.
    pub fn handle_end(&mut self, now: Instant, reason: EndReason) {
        if matches!(self.state, CallState::Ended(_)) {
            return;
        }
        let outcome = match (&self.state, reason.plain()) {
            (CallState::InProgress, _) => Outcome::Completed,
            (_, EndReason::Refused(486 | 600)) => Outcome::Busy,
            (_, EndReason::Refused(408 | 480)) => Outcome::NoAnswer,
            (_, EndReason::Refused(487) | EndReason::Cancelled | EndReason::Api) => {
                Outcome::Canceled
            }
            (_, EndReason::Remote) if self.direction == Direction::Inbound => Outcome::Canceled,
            _ => Outcome::Failed,
        };
        self.state = CallState::Ended(outcome);
        self.ended = Some(now);
        self.reason = Some(reason);
    }

    /// Who called whom.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> &CallState {
        &self.state
    }

    /// When it began.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When it was answered.
    #[must_use]
    pub fn answered(&self) -> Option<Instant> {
        self.answered
    }

    /// When it ended.
    #[must_use]
    pub fn ended(&self) -> Option<Instant> {
        self.ended
    }

    /// Why it ended.
    #[must_use]
    pub fn reason(&self) -> Option<&EndReason> {
        self.reason.as_ref()
    }

    /// How long the two sides have talked.
    #[must_use]
    pub fn talk_time(&self, now: Instant) -> Duration {
        let until = self.ended.unwrap_or(now);
        self.answered
            .map(|at| until.saturating_duration_since(at))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_183_is_not_an_answer() {
        let now = crate::clock::now();
        let mut call = Call::outbound(now);
        call.handle_progress();
        call.handle_progress();
        assert_eq!(call.state().as_str(), "ringing");
        assert_eq!(call.answered(), None);
    }

    #[test]
    fn the_outcome_follows_from_state_and_reason() {
        let now = crate::clock::now();
        let outcome = |reason| {
            let mut call = Call::outbound(now);
            call.handle_progress();
            call.handle_end(now, reason);
            call.state().as_str()
        };
        assert_eq!(outcome(EndReason::Refused(486)), "busy");
        assert_eq!(outcome(EndReason::Refused(480)), "no-answer");
        assert_eq!(outcome(EndReason::Refused(603)), "failed");
        assert_eq!(outcome(EndReason::Api), "canceled");
        let said = EndReason::Refused(486).said(Cause::parse("Q.850;cause=17"));
        assert_eq!(
            said.describe(),
            "refused with status 486: busy (Q.850 cause 17)"
        );
        assert_eq!(outcome(said), "busy");
        let said = |field| EndReason::Remote.said(Cause::parse(field));
        let named = said("Q.850;cause=16;text=\"Ada, +12025550143\"");
        let logged = "the other side hung up: a normal end (Q.850 cause 16)";
        assert_eq!(named.logged(), logged);
        assert!(named.describe().contains("Ada"));
        assert_eq!(said("SIP;text=\"Ada\"").logged(), "the other side hung up");
        let mut answered = Call::inbound(now);
        answered.handle_answer(now);
        answered.handle_end(now + Duration::from_secs(9), EndReason::Remote);
        answered.handle_end(now + Duration::from_secs(10), EndReason::Api);
        assert_eq!(answered.state().as_str(), "completed");
        assert_eq!(answered.reason(), Some(&EndReason::Remote));
        assert_eq!(
            answered.talk_time(now + Duration::from_secs(60)).as_secs(),
            9
        );
    }
}
