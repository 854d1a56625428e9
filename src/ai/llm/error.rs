//! Why there is no answer from the language model.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::config::LlmConfig;

/// How much of a server's own words an error carries, in characters.
const MAX_DETAIL: usize = 300;

/// Why an answer never came, or broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// The server refused the key (401, 403).
    #[error("the language model's server refused llm.api_key ({status}): {detail}")]
    Unauthorized {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// The server has no such model or path (404).
    #[error("the server has no model {model:?}, or llm.base_url is wrong (404): {detail}")]
    NotFound {
        /// The model that was asked for.
        model: String,
        /// The server's words.
        detail: String,
    },
    /// The server wants fewer requests (429), and waiting would take too long.
    #[error("the language model's server wants fewer requests (429)")]
    RateLimited {
        /// The wait that it asked for.
        retry_after: Option<Duration>,
    },
    /// Another status, after as many attempts as are allowed.
    #[error("the language model's server answered {status}: {detail}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// No connection came about.
    #[error("the language model's server cannot be reached: {0}")]
    Unreachable(String),
    /// Nothing came for too long.
    #[error("the language model was silent for {after:?} ({})", stage(*.first))]
    Stalled {
        /// Whether not even the first token came.
        first: bool,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke in the middle of the answer.
    #[error("the connection to the language model was cut in the middle of its answer")]
    Cut,
    /// The server reported an error in the middle of the stream.
    #[error("the language model gave up: {0}")]
    Refused(String),
    /// What came is no chat completion.
    #[error("the language model's server sent no chat completion: {0}")]
    Malformed(String),
    /// The client itself cannot be set up.
    #[error("the language model's client cannot be set up: {0}")]
    Setup(String),
}

fn stage(first: bool) -> &'static str {
    if first {
        "before its first token"
    } else {
        "in the middle of its answer"
    }
}

impl LlmError {
    /// Reports whether the same request may well succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Unreachable(_) | Self::Cut => true,
            Self::Status { status, .. } => matches!(status, 408 | 409 | 425 | 500..=599),
            _ => false,
        }
    }

    /// Returns the wait that the server asked for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// A short, bounded word for a metric's label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unauthorized { .. } => "unauthorized",
            Self::NotFound { .. } => "not_found",
            Self::RateLimited { .. } => "rate_limited",
            Self::Status { .. } => "status",
            Self::Unreachable(_) => "unreachable",
            Self::Stalled { .. } => "stalled",
            Self::Cut => "cut",
            Self::Refused(_) => "refused",
            Self::Malformed(_) => "malformed",
            Self::Setup(_) => "setup",
        }
    }

    /// Makes an error of an answer that is no success.
    pub(super) fn of_status(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        config: &LlmConfig,
    ) -> Self {
        let detail = detail(body, config);
        match status.as_u16() {
            status @ (401 | 403) => Self::Unauthorized { status, detail },
            404 => Self::NotFound {
                model: config.model.clone(),
                detail,
            },
            429 => Self::RateLimited {
                retry_after: wait(headers),
            },
            status @ 300..=399 => {
                let detail = "it sends us elsewhere; write that address as llm.base_url".into();
                Self::Status { status, detail }
            }
            status => Self::Status { status, detail },
        }
    }
}

/// Finds the server's own words: `{"error": {"message": …}}`, `{"error": …}` or plain text.
fn detail(body: &[u8], config: &LlmConfig) -> String {
    let text = String::from_utf8_lossy(body);
    let json: Option<Value> = serde_json::from_str(&text).ok();
    let words = json
        .as_ref()
        .and_then(error_words)
        .unwrap_or_else(|| text.trim().to_owned());
    clean(&words, config)
}

/// Returns what an error object says, in whichever of the usual shapes it has.
pub(super) fn error_words(json: &Value) -> Option<String> {
    let error = json
        .get("error")
        .or_else(|| json.get("detail"))
        .unwrap_or(json);
    let words = match error {
        Value::String(words) => words,
        other => other.get("message")?.as_str()?,
    };
    Some(words.to_owned())
}

/// Bounds a server's words, takes control characters out, and any echo of the key or of a header.
pub(super) fn clean(words: &str, config: &LlmConfig) -> String {
    // Before the cut, which might leave half of one.
    let words: String = config
        .redact(words)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_DETAIL)
        .collect();
    if words.is_empty() {
        "it does not say why".to_owned()
    } else {
        words
    }
}

/// Reads how long to wait: `retry-after-ms`, else `Retry-After` in seconds or as a date, which is
/// taken against the answer's own `Date` (RFC 9110 section 10.2.3).
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str| {
        let seconds: f64 = text
            .parse()
            .ok()
            .filter(|s: &f64| s.is_finite() && *s >= 0.0)?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    if let Some(ms) = text("retry-after-ms").and_then(seconds) {
        return Some(ms / 1_000);
    }
    let after = text("retry-after")?;
    seconds(after).or_else(|| {
        let date = |text: &str| {
            jiff::fmt::rfc2822::parse(text)
                .ok()
                .map(|zoned| zoned.timestamp())
        };
        let wait = date(after)?.duration_since(date(text("date")?)?);
        Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn config() -> LlmConfig {
        LlmConfig::new("http://127.0.0.1/v1".parse().unwrap(), "m")
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_wait_is_read_from_the_finest_header_that_there_is() {
        let ms = Duration::from_millis;
        let both = headers(&[("retry-after-ms", "250"), ("retry-after", "9")]);
        assert_eq!(wait(&both), Some(ms(250)));
        assert_eq!(wait(&headers(&[("retry-after", "1.5")])), Some(ms(1_500)));
        let dates = headers(&[
            ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
            ("retry-after", "Wed, 21 Oct 2026 07:28:20 GMT"),
        ]);
        assert_eq!(wait(&dates), Some(ms(20_000)));
        for bad in ["-1", "soon", "NaN", "1e300"] {
            assert_eq!(wait(&headers(&[("retry-after", bad)])), None, "{bad}");
        }
    }

    #[test]
    fn a_server_that_echoes_the_key_does_not_get_it_into_a_log() {
        let body = br#"{"error":{"message":"Incorrect API key provided: sk-abc"}}"#;
        let config = LlmConfig {
            api_key: Some("sk-abc".into()),
            ..config()
        };
        let status = StatusCode::UNAUTHORIZED;
        let error = LlmError::of_status(status, &HeaderMap::new(), body, &config);
        assert!(
            error
                .to_string()
                .contains("Incorrect API key provided: ***"),
            "{error}"
        );
    }

    #[test]
    fn errors_are_understood_in_every_usual_shape() {
        for body in [
            r#"{"error":{"message":"no"}}"#,
            r#"{"error":"no"}"#,
            r#"{"detail":"no"}"#,
            "no",
        ] {
            assert_eq!(detail(body.as_bytes(), &config()), "no", "{body}");
        }
        assert_eq!(detail(b"", &config()), "it does not say why");
        assert!(detail(&[b'x'; 9_000], &config()).len() <= MAX_DETAIL);
    }
}
