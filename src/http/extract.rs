//! Reads requests: ids, queries and JSON bodies, each refused with a problem document.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::api::PageQuery;
use super::problem::Problem;

/// The largest body of a request, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// The longest id or cursor, in characters.
const MAX_ID: usize = 128;
/// The most items of a page.
const MAX_LIMIT: u32 = 200;
/// The items of a page when nothing is said.
const DEFAULT_LIMIT: u32 = 50;

/// The id in a path; one that cannot be an id is not found.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::no_route(parts.uri.path()))?;
        if is_token(&id) {
            Ok(Self(id))
        } else {
            Err(Problem::no_route(parts.uri.path()))
        }
    }
}

fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= MAX_ID && text.bytes().all(allowed)
}

/// The query's parameters, each to be taken by name; what is left over is an error.
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = query.map_err(|error| Problem::bad_query("", error.body_text()))?;
        Ok(Self(pairs))
    }
}

impl Params {
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let Some(index) = self.0.iter().position(|(key, _)| key == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.remove(index);
        if self.0.iter().any(|(key, _)| key == name) {
            return Err(Problem::bad_query(name, format!("{name} is given twice")));
        }
        Ok(Some(value))
    }

    /// Takes one of the words of an enum that serde knows.
    pub(super) fn word<T: DeserializeOwned>(
        &mut self,
        name: &str,
        words: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name)? else {
            return Ok(None);
        };
        let value = serde_json::from_value(serde_json::Value::String(text));
        value
            .map(Some)
            .map_err(|_| Problem::bad_query(name, format!("{name} is one of {words}")))
    }

    pub(super) fn page(&mut self) -> Result<PageQuery, Problem> {
        let limit = match self.take("limit")? {
            None => DEFAULT_LIMIT,
            Some(text) => match text.parse() {
                Ok(limit @ 1..=MAX_LIMIT) => limit,
                _ => {
                    let detail = format!("limit is a number from 1 to {MAX_LIMIT}");
                    return Err(Problem::bad_query("limit", detail));
                }
            },
        };
        let cursor = self.take("cursor")?;
        if cursor.as_deref().is_some_and(|cursor| !is_token(cursor)) {
            let detail = "cursor is what next_cursor of the page before said, unchanged";
            return Err(Problem::bad_query("cursor", detail));
        }
        Ok(PageQuery { limit, cursor })
    }

    pub(super) fn finish(self, known: &[&str]) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(64).collect();
                let detail = match known {
                    [] => format!("{name:?} is unknown; nothing is asked of this path"),
                    known => format!("{name:?} is unknown; known are {}", known.join(", ")),
                };
                Err(Problem::bad_query(&name, detail))
            }
        }
    }
}

/// A JSON body of at most [`MAX_BODY`] bytes.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let bytes = read_body(&parts.headers, body).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let detail = error.to_string();
            match error.classify() {
                serde_json::error::Category::Data => {
                    let status = StatusCode::UNPROCESSABLE_ENTITY;
                    Problem::new(status, "invalid-value", "A value cannot be used", detail)
                }
                _ => Problem::new(StatusCode::BAD_REQUEST, "bad-json", "Not JSON", detail),
            }
        })
    }
}

/// Insists on JSON, which also keeps simple cross-site form posts out.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let detail = "send JSON, with \"Content-Type: application/json\"";
    Err(Problem::new(
        status,
        "unsupported-media-type",
        "JSON is needed",
        detail,
    ))
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<axum::body::Bytes, Problem> {
    let too_large = || {
        let detail = format!("a request has at most {MAX_BODY} bytes");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Problem::new(status, "body-too-large", "The request is too large", detail)
    };
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if length
        .and_then(|text| text.parse().ok())
        .is_some_and(|length: usize| length > MAX_BODY)
    {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIME, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => Err(too_large()),
        Ok(Err(_)) => {
            let detail = "the body ended before it was complete";
            Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "bad-body",
                "The body broke off",
                detail,
            ))
        }
        Err(_) => {
            let status = StatusCode::REQUEST_TIMEOUT;
            let detail = format!("the body took longer than {} s", BODY_TIME.as_secs());
            Err(Problem::new(
                status,
                "request-timeout",
                "The request took too long",
                detail,
            ))
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
