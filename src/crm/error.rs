//! Why a sink did not take something.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// The longest that another side may make us wait.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest error text that is kept, in bytes.
const MESSAGE_BYTES: usize = 500;

/// A delivery that failed. What the other side says of it may name the caller: it is not part of
/// the error's text, which is logged, but of [`SinkError::full`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// Whether and when to try again.
    pub retry: Retry,
    message: String,
    /// The other side's words, on one line.
    answer: String,
}

/// Whether and when a failed delivery is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not at all: the same would fail again.
    Never,
    /// After a growing while.
    Backoff,
    /// When the other side said (`Retry-After`); until then it is left in peace altogether.
    After(RetryAfter),
}

/// The value of a `Retry-After` header (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After a while.
    Delay(Duration),
    /// At a moment.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads seconds or an HTTP date.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Self::Delay(Duration::from_secs(seconds)));
        }
        let at = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
        Some(Self::At(at))
    }

    /// Returns the moment that it means; no more than a day from now, and not before now.
    pub fn from(self, now: Timestamp) -> Timestamp {
        let latest = now.checked_add(RETRY_AFTER_LIMIT).unwrap_or(Timestamp::MAX);
        let at = match self {
            Self::Delay(delay) => now.checked_add(delay).unwrap_or(Timestamp::MAX),
            Self::At(at) => at,
        };
        at.clamp(now, latest)
    }
}

impl SinkError {
    /// Makes an error; the text is cut to 500 bytes.
    pub fn new(retry: Retry, message: impl Into<String>) -> Self {
        Self {
            retry,
            message: bounded(message.into()),
            answer: String::new(),
        }
    }

    /// Adds what the other side answered, cut to 500 bytes; nothing secret may be in it.
    #[must_use]
    pub fn with_answer(mut self, answer: impl Into<String>) -> Self {
        self.answer = bounded(answer.into());
        self
    }

    /// Returns the text with what the other side answered: for the outbox, which only who holds a
    /// key may read, and for DEBUG.
    pub fn full(&self) -> String {
        match self.answer.as_str() {
            "" => self.message.clone(),
            answer => format!("{}: {answer}", self.message),
        }
    }

    /// Makes an error that no repetition mends.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(Retry::Never, message)
    }

    /// Makes an error that may be gone the next time.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(Retry::Backoff, message)
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_has_a_limit() {
        let now: Timestamp = "2015-10-21T07:00:00Z".parse().unwrap();
        let at = |value: &str| RetryAfter::parse(value).map(|after| after.from(now).to_string());
        assert_eq!(at("120").as_deref(), Some("2015-10-21T07:02:00Z"));
        assert_eq!(
            at("Wed, 21 Oct 2015 07:28:00 GMT").as_deref(),
            Some("2015-10-21T07:28:00Z")
        );
        assert_eq!(at("Fri, 21 Oct 2005 07:28:00 GMT"), Some(now.to_string()));
        assert_eq!(
            at("99999999999999").as_deref(),
            Some("2015-10-22T07:00:00Z")
        );
        assert_eq!(at("soon"), None);
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let error = SinkError::transient("ä".repeat(400));
        assert_eq!(error.to_string().chars().count(), 251);
        let error = SinkError::permanent("HTTP 422").with_answer("ä".repeat(400));
        assert_eq!(error.full().chars().count(), "HTTP 422: ".len() + 251);
    }

    #[test]
    fn what_is_logged_of_an_error_is_not_what_the_other_side_said() {
        let error = SinkError::permanent("HTTP 422").with_answer("ada@example.com is no address");
        assert_eq!(error.to_string(), "HTTP 422");
        assert_eq!(error.full(), "HTTP 422: ada@example.com is no address");
    }
}
