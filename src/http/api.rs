//! What the HTTP layer asks of the switch: one trait, its requests and its errors.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::events::{EventFilter, EventStream};

/// The switch as the API sees it.
///
/// Records (calls, trunks, …) come as JSON values in the shape that `docs/api.md` gives, so that
/// each has one definition, the one that stores it. Methods may be called from many requests at
/// once and are dropped when a client goes away or the request's time is up.
pub trait Api: Send + Sync + 'static {
    /// Says whether calls can be taken, and what is missing.
    fn ready(&self) -> impl Future<Output = Readiness> + Send;

    /// Stores a call to be placed and starts it; a key that was seen before with the same
    /// fingerprint returns the call that it made then.
    fn create_call(
        &self,
        call: NewCall,
        key: Option<Idempotency>,
    ) -> impl Future<Output = Result<CallCreated, ApiError>> + Send;

    /// Returns one call with its turns.
    fn call(&self, id: &str) -> impl Future<Output = Result<Value, ApiError>> + Send;

    /// Returns a page of calls, the newest first, without their turns.
    fn calls(&self, query: CallQuery) -> impl Future<Output = Result<Page, ApiError>> + Send;

    /// Returns the file of a call's recording.
    fn recording(&self, id: &str) -> impl Future<Output = Result<PathBuf, ApiError>> + Send;

    /// Pauses the recording of a running call, or takes that pause away; says whether it is paused
    /// now.
    fn pause_recording(
        &self,
        id: &str,
        pause: bool,
    ) -> impl Future<Output = Result<bool, ApiError>> + Send;

    /// Begins to end a call.
    fn hang_up(&self, id: &str) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Lets the other side of a running call wait with music, or no longer.
    fn hold(&self, id: &str, hold: bool) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Calls somebody and gives them an agent's running call once they answer.
    fn transfer(
        &self,
        id: &str,
        transfer: Transfer,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Dials a supervisor's phone and joins it to a running call.
    fn supervise(
        &self,
        id: &str,
        supervise: Supervise,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Changes what a call's supervisor does.
    fn set_supervision(
        &self,
        id: &str,
        mode: SupervisorMode,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Begins to end a call's supervision.
    fn end_supervision(&self, id: &str) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Returns the trunks and how they are.
    fn trunks(&self) -> impl Future<Output = Result<Vec<Value>, ApiError>> + Send;

    /// Returns the agents.
    fn agents(&self) -> impl Future<Output = Result<Vec<Value>, ApiError>> + Send;

    /// Returns the flows.
    fn flows(&self) -> impl Future<Output = Result<Vec<Value>, ApiError>> + Send;

    /// Returns a page of appointments, the last booked first.
    fn appointments(&self, page: PageQuery) -> impl Future<Output = Result<Page, ApiError>> + Send;

    /// Returns a page of deliveries to the CRM, the oldest first.
    fn outbox(&self, query: OutboxQuery) -> impl Future<Output = Result<Page, ApiError>> + Send;

    /// Gives a delivery that was given up a fresh set of attempts, from now.
    fn retry(&self, id: &str) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Opens a stream of events that come after the event `after`;
    /// [`replay`](super::replay::replay) has what this needs.
    fn subscribe(
        &self,
        filter: EventFilter,
        after: Option<u64>,
    ) -> impl Future<Output = Result<EventStream, ApiError>> + Send;
}

/// A call to be placed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCall {
    /// The number, or a `sip:` or `tel:` URI.
    pub to: String,
    /// The trunk; the first that can call out when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// The number to call from; the trunk's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The agent that talks.
    pub agent: String,
    /// Variables for the flow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Value>,
    /// Header fields that the INVITE gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// Whom an agent's call is to be given to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Their phone: a `[[user]]` that has registered, a number, or a `sip:` or `tel:` URI.
    pub to: String,
    /// How long it may ring, in s.
    #[serde(default = "ring_s")]
    pub ring_s: u32,
    /// What the agent tells them before they hear the caller: up to
    /// [`MAX_BRIEFING`](crate::agent::flow::MAX_BRIEFING) characters.
    #[serde(default)]
    pub briefing: String,
}

fn ring_s() -> u32 {
    30
}

/// A supervisor who is to be joined to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervise {
    /// Their phone: a `[[user]]` that has registered, a number, or a `sip:` or `tel:` URI.
    pub to: String,
    /// What they do; they listen when it is left out.
    #[serde(default)]
    pub mode: SupervisorMode,
}

/// What a call's supervisor is to do from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSupervision {
    /// What they do.
    pub mode: SupervisorMode,
}

/// What a supervisor does on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SupervisorMode {
    /// Hears both, and is heard by nobody.
    #[default]
    Listen,
    /// Is heard by the called person of a bridged call alone; an agent is no person.
    Whisper,
    /// Talks to the caller while the agent waits, or to both who are bridged.
    Barge,
}

/// An `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// The client's key, prefixed with the name of its API key so that clients cannot collide.
    pub key: String,
    /// SHA-256 of the request in hexadecimal: the same key with another one is a mistake.
    pub fingerprint: String,
}

/// A call that was taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCreated {
    /// Its id.
    pub id: String,
    /// Whether an earlier request with the same key made it.
    pub replayed: bool,
}

/// Which way a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To us.
    Inbound,
    /// From us.
    Outbound,
}

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// At most so many items, from 1 to 200.
    pub limit: u32,
    /// Where the page before ended, as that page's `next_cursor` said.
    pub cursor: Option<String>,
}

/// Which calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallQuery {
    /// Which page.
    pub page: PageQuery,
    /// Only calls in this state, as in a call's JSON.
    pub state: Option<String>,
    /// Only calls that go this way.
    pub direction: Option<Direction>,
}

/// Which deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxQuery {
    /// Which page.
    pub page: PageQuery,
    /// Only deliveries in this state; all when left out.
    pub state: Option<OutboxState>,
}

/// How a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutboxState {
    /// It waits for its time.
    Pending,
    /// It is being sent.
    Delivering,
    /// It was accepted.
    Delivered,
    /// It was given up: a dead letter.
    Dead,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The items.
    pub items: Vec<Value>,
    /// Where the next page begins; `None` on the last.
    pub next_cursor: Option<String>,
}

/// Whether calls can be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Each thing that is needed.
    pub checks: Vec<Check>,
}

impl Readiness {
    /// Reports whether everything that is needed is there.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// One thing that is needed to take calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is: `sip`, `store`, `models`, …
    pub name: String,
    /// Whether it is there.
    pub ok: bool,
    /// Why not, or what it is; shown to anyone who asks, so it holds no secret.
    pub detail: String,
}

/// Why a request was not done; each becomes an RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What it would be: `call`, `delivery`.
        what: &'static str,
        /// Its id as asked for.
        id: String,
    },
    /// No agent has this name.
    #[error("no agent is named {name:?}{}", nearest_words(nearest))]
    UnknownAgent {
        /// The name as asked for.
        name: String,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
    /// No trunk has this name.
    #[error("no trunk is named {name:?}{}", nearest_words(nearest))]
    UnknownTrunk {
        /// The name as asked for.
        name: String,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
    /// A value cannot be used.
    #[error("{field}: {message}")]
    Invalid {
        /// The field of the request.
        field: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// The same `Idempotency-Key` came with another request.
    #[error("this Idempotency-Key was used for another request; take a new key")]
    IdempotencyMismatch,
    /// The call has ended already.
    #[error("call {id} has ended already")]
    AlreadyEnded {
        /// The call's id.
        id: String,
    },
    /// The thing is not in a state in which this can be done.
    #[error("{0}")]
    Conflict(String),
    /// The call was not recorded, or its recording is not finished.
    #[error("call {id} has no recording{}", reason_words(reason))]
    NoRecording {
        /// The call's id.
        id: String,
        /// Why not.
        reason: String,
    },
    /// The call's recording was removed because it was old.
    #[error("the recording of call {id} was removed: media.recordings_keep_days had passed")]
    RecordingRemoved {
        /// The call's id.
        id: String,
    },
    /// There are as many calls as are allowed.
    #[error("all {max_calls} calls are taken; try again in {retry_after_s} s")]
    TooManyCalls {
        /// `limits.max_calls`.
        max_calls: usize,
        /// `limits.retry_after_s`.
        retry_after_s: u32,
    },
    /// The switch cannot do this now.
    #[error("{reason}")]
    Unavailable {
        /// What is missing.
        reason: String,
        /// When to try again, in s.
        retry_after_s: u32,
    },
    /// Something went wrong inside; the text goes to the log, not to the client.
    #[error("internal error")]
    Internal(String),
}

fn nearest_words(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; the nearest is {name:?}"),
        None => "; none is configured".to_owned(),
    }
}

fn reason_words(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}
