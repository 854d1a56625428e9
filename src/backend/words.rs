//! Between the API's words and the switch's.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::call::{self, SuperviseError};
use crate::config::cannot_set;
use crate::http::{ApiError, CallCreated, Page, SupervisorMode};
use crate::store::{self, Created, StoreError};
use crate::switch::Target;

pub(super) fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::Internal(error.to_string())
}

pub(super) fn parse_id(what: &'static str, id: &str) -> Result<Uuid, ApiError> {
    id.parse().map_err(|_| ApiError::NotFound {
        what,
        id: id.chars().take(64).collect(),
    })
}

pub(super) fn page<T: serde::Serialize>(page: store::Page<T>) -> Page {
    let items = page
        .items
        .iter()
        .map(|item| serde_json::to_value(item).unwrap_or_default());
    Page {
        items: items.collect(),
        next_cursor: page.next_cursor,
    }
}

pub(super) fn mode(mode: SupervisorMode) -> call::Mode {
    match mode {
        SupervisorMode::Listen => call::Mode::Listen,
        SupervisorMode::Whisper => call::Mode::Whisper,
        SupervisorMode::Barge => call::Mode::Barge,
    }
}

/// Header fields of one call, at most.
const HEADERS_MAX: usize = 20;

/// Accepts header fields that a call may get from outside.
pub(super) fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let invalid = |message| ApiError::Invalid {
        field: "headers".to_owned(),
        message,
    };
    if headers.len() > HEADERS_MAX {
        let message = format!("are more than {HEADERS_MAX}");
        return Err(invalid(message));
    }
    for (name, value) in headers {
        if let Some(wrong) = cannot_set(name, value) {
            return Err(invalid(format!("{name:?} {wrong}")));
        }
    }
    Ok(())
}

pub(super) fn supervise_error(error: SuperviseError) -> ApiError {
    ApiError::Conflict(error.to_string())
}

/// Who is called, as the call's record says it: a number without its punctuation, all else as it is.
pub(super) fn called(to: &str) -> String {
    Target::parse(to).map_or_else(|_| to.trim().to_owned(), |target| target.to_string())
}

pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)))
        .map(str::to_owned)
}

/// The answer to a request whose `Idempotency-Key` came before; none when it made a new call.
pub(super) fn answered_before(created: Created) -> Option<Result<CallCreated, ApiError>> {
    match created {
        Created::New => None,
        Created::Existing(call) => Some(Ok(CallCreated {
            id: call.to_string(),
            replayed: true,
        })),
        Created::Conflict => Some(Err(ApiError::IdempotencyMismatch)),
    }
}

pub(super) fn cursor_error(error: StoreError) -> ApiError {
    match error {
        StoreError::Invalid(_) => ApiError::Invalid {
            field: "cursor".to_owned(),
            message: "is not one that a page before gave as next_cursor".to_owned(),
        },
        other => internal(other),
    }
}
