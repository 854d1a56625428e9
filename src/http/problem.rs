//! Errors as problem documents (RFC 9457): what happened, and what to do about it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api::ApiError;

/// Where each problem is explained; its code is the anchor.
const DOCS: &str = "https://github.com/offhook/offhook/blob/main/docs/api.md#";

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) detail: String,
    pub(super) field: Option<String>,
    pub(super) retry_after_s: Option<u32>,
    /// One more header, such as `WWW-Authenticate`.
    pub(super) header: Option<Box<(header::HeaderName, HeaderValue)>>,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self {
            status,
            code,
            title,
            detail,
            field: None,
            retry_after_s: None,
            header: None,
        }
    }

    pub(super) fn field(self, field: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..self
        }
    }

    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    pub(super) fn with_header(self, name: header::HeaderName, value: HeaderValue) -> Self {
        Self {
            header: Some(Box::new((name, value))),
            ..self
        }
    }

    pub(super) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "invalid-value", "A value cannot be used", detail).field(field)
    }

    pub(super) fn bad_query(field: &str, detail: impl Into<String>) -> Self {
        let title = "The query cannot be understood";
        Self::new(StatusCode::BAD_REQUEST, "bad-query", title, detail).field(field)
    }

    pub(super) fn no_route(path: &str) -> Self {
        // The path is the client's own, but a log or a page need not take all of it.
        let path: String = path.chars().take(200).collect();
        let detail = format!("nothing is at {path}; GET /openapi.json lists what there is");
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            "No such path",
            detail,
        )
    }

    pub(super) fn wrong_method(method: &str, path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        let detail = format!("{method} cannot be used on {path}; the Allow header says what can");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "method-not-allowed", "Method not allowed", detail)
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        use StatusCode as S;
        let detail = error.to_string();
        match error {
            ApiError::NotFound { .. } => Self::new(S::NOT_FOUND, "not-found", "Not found", detail),
            ApiError::UnknownAgent { .. } => {
                Self::new(S::NOT_FOUND, "unknown-agent", "Unknown agent", detail).field("agent")
            }
            ApiError::UnknownTrunk { .. } => {
                Self::new(S::NOT_FOUND, "unknown-trunk", "Unknown trunk", detail).field("trunk")
            }
            ApiError::Invalid { field, message } => Self::invalid(field, message),
            ApiError::IdempotencyMismatch => {
                let title = "Idempotency-Key used twice";
                Self::new(
                    S::UNPROCESSABLE_ENTITY,
                    "idempotency-mismatch",
                    title,
                    detail,
                )
            }
            ApiError::AlreadyEnded { .. } => {
                Self::new(S::CONFLICT, "already-ended", "The call has ended", detail)
            }
            ApiError::Conflict(_) => {
                Self::new(S::CONFLICT, "conflict", "Not in its present state", detail)
            }
            ApiError::NoRecording { .. } => {
                Self::new(S::NOT_FOUND, "no-recording", "No recording", detail)
            }
            ApiError::RecordingRemoved { .. } => {
                Self::new(S::GONE, "recording-removed", "Recording removed", detail)
            }
            ApiError::TooManyCalls { retry_after_s, .. } => Self::new(
                S::SERVICE_UNAVAILABLE,
                "too-many-calls",
                "Too many calls",
                detail,
            )
            .retry_after(retry_after_s),
            ApiError::Unavailable { retry_after_s, .. } => Self::new(
                S::SERVICE_UNAVAILABLE,
                "unavailable",
                "Not available now",
                detail,
            )
            .retry_after(retry_after_s),
            ApiError::Internal(reason) => {
                tracing::error!(reason, "API request failed");
                let detail = "something went wrong inside; the log says what";
                Self::new(
                    S::INTERNAL_SERVER_ERROR,
                    "internal",
                    "Internal error",
                    detail,
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = json!({
            "type": format!("{DOCS}{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let (Some(field), Some(members)) = (self.field, document.as_object_mut()) {
            members.insert("field".to_owned(), field.into());
        }
        let mut response = (self.status, document.to_string()).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(header) = self.header {
            headers.insert(header.0, header.1);
        }
        response
    }
}
