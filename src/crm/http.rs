//! HTTP as the sinks use it: bounded, without surprises, and silent about secrets.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, header, redirect};
use serde_json::Value;

use super::error::{Retry, RetryAfter, SinkError};

/// The longest answer that is read.
const ANSWER_BYTES: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the client that a sink keeps for all its requests.
///
/// # Errors
/// A permanent error when TLS cannot be set up.
pub(super) fn client() -> Result<Client, SinkError> {
    // Whoever comes first installs it for the process; the same one a second time is no fault.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    Client::builder()
        // A POST that is redirected would come out as a GET: an error is better.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("Offhook/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| SinkError::permanent(format!("HTTP client: {error}")))
}

/// Sends a request and reads the JSON that comes back; an empty or foreign body is null. `redact`
/// takes what is secret out of a refusal's words.
///
/// # Errors
/// A transient error when nothing whole came back and for 5xx, 408, 409, 425 and 429, with the
/// other side's `Retry-After` where it gives one; a permanent one for anything else but 2xx.
pub(super) async fn exchange(
    request: RequestBuilder,
    redact: impl Fn(&str) -> String,
) -> Result<Value, SinkError> {
    // The URL holds the caller's number and stays out of every error.
    let failed = |error: reqwest::Error| SinkError::transient(describe(&error.without_url()));
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    let retry_after = retry_after(&response);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(serde_json::from_slice(&body).unwrap_or(Value::Null));
    }
    let retry = match status.as_u16() {
        408 | 409 | 425 | 429 | 500..=599 => retry_after.map_or(Retry::Backoff, Retry::After),
        _ => Retry::Never,
    };
    // Before the words are cut, which might leave half a secret.
    let answer = redact(&one_line(&body));
    Err(SinkError::new(retry, format!("HTTP {status}")).with_answer(answer))
}

fn retry_after(response: &Response) -> Option<RetryAfter> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    RetryAfter::parse(value.to_str().ok()?)
}

fn one_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Says what went wrong with its causes, which is where the reason is.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
