//! The agent's timings.

use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned};

use super::requests::GRACE;

/// Ties the monotonic clock to the calendar, so that "tomorrow at three" has a meaning.
#[derive(Debug, Clone)]
pub struct WallClock {
    at: Instant,
    zoned: Zoned,
}

impl WallClock {
    /// States that `at` was `zoned`, in the time zone the conversation speaks of.
    pub fn new(at: Instant, zoned: Zoned) -> Self {
        Self { at, zoned }
    }

    /// Converts an instant to the calendar.
    pub fn zoned(&self, now: Instant) -> Zoned {
        self.timestamp(now).to_zoned(self.zoned.time_zone().clone())
    }

    /// Converts an instant to a time stamp.
    pub fn timestamp(&self, now: Instant) -> Timestamp {
        let base = self.zoned.timestamp();
        let moved = match now.checked_duration_since(self.at) {
            Some(ahead) => base.checked_add(ahead),
            None => base.checked_sub(self.at.saturating_duration_since(now)),
        };
        moved.unwrap_or(base)
    }
}

/// Holds the timings of turn-taking.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whether a turn model answers `DetectTurn`; without one only silence ends a turn.
    pub turn_model: bool,
    /// The turn model's probability from which a turn counts as complete.
    pub turn_threshold: f32,
    /// Silence before a turn that the model calls complete is committed.
    pub min_silence: Duration,
    /// Silence before an answer that its grammar calls complete is committed.
    pub complete_silence: Duration,
    /// Silence that ends a turn whatever the turn model says.
    pub silence_cap: Duration,
    /// Silence that ends a turn while half a value (seven digits of a phone number) was said.
    pub incomplete_cap: Duration,
    /// Silence that ends a turn when there is no turn model.
    pub no_model_silence: Duration,
    /// Time from a barge-in's first voiced audio to the decision.
    pub barge_in_decision: Duration,
    /// Voiced time that makes a barge-in.
    pub barge_in_voiced: Duration,
    /// Voiced time up to which a sound may still be an "mm-hm": the agent stays silent but can
    /// resume.
    pub backchannel_max: Duration,
    /// Time the recogniser has for a transcript.
    pub recognise_timeout: Duration,
    /// Voiced audio after which a part of a long turn is recognised while the caller goes on.
    pub segment: Duration,
    /// The longest caller's turn.
    pub max_turn: Duration,
    /// Pause between DTMF digits that ends an entry.
    pub digit_timeout: Duration,
    /// Silence while a request is pending after which the dialogue is asked for a filler.
    pub filler_after: Duration,
    /// Time that an LLM has for its first event, beyond the delay it was asked to keep.
    pub llm_first: Duration,
    /// Time that it has for each event after the first.
    pub llm_stall: Duration,
    /// Time without a playout report, beyond the clause's own length, that makes it failed.
    pub playout_stall: Duration,
    /// The longest call.
    pub call_limit: Duration,
    /// Time from the answer to the agent's first word; a caller who speaks first ends it.
    pub greeting_delay: Duration,
    /// Whether the caller may cut the agent off; `false` makes all of its speech firm.
    pub allow_interrupt: bool,
    /// Whether dialogue and synthesis start on a transcript that is not yet committed.
    pub speculate: bool,
}

impl Settings {
    /// Waits for an LLM's first event and for each further one as long as its client does, and
    /// half a second more: the client's own word on what went wrong comes first.
    #[must_use]
    pub fn with_llm_limits(mut self, first: Duration, further: Duration) -> Self {
        (self.llm_first, self.llm_stall) = (first + GRACE, further + GRACE);
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            turn_model: true,
            turn_threshold: 0.5,
            min_silence: ms(200),
            complete_silence: ms(300),
            silence_cap: ms(1_500),
            incomplete_cap: ms(3_000),
            no_model_silence: ms(700),
            barge_in_decision: ms(400),
            barge_in_voiced: ms(300),
            backchannel_max: ms(1_000),
            recognise_timeout: ms(5_000),
            segment: ms(20_000),
            max_turn: ms(60_000),
            digit_timeout: ms(3_000),
            filler_after: ms(2_500),
            llm_first: ms(5_500),
            llm_stall: ms(3_500),
            playout_stall: ms(8_000),
            call_limit: ms(30 * 60 * 1_000),
            greeting_delay: Duration::ZERO,
            allow_interrupt: true,
            speculate: true,
        }
    }
}
