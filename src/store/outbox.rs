//! Rows of the outbox: what is still to be told to the outside, and how that went.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::record::names;
use super::rfc3339;

/// A row to be put into the outbox with the record that it tells about.
///
/// `idempotency_key` is the row's identity: to add a key again changes nothing, which makes every
/// replay (after a crash, from the spill file) harmless.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// The call that it tells about.
    pub call_id: Uuid,
    /// What to do, such as `contact` or `call-log`.
    pub kind: String,
    /// Whom to tell, such as `ploink`.
    pub sink: String,
    /// What to tell.
    pub payload: Value,
    /// Identity of the row, sent as `Idempotency-Key`.
    pub idempotency_key: String,
    /// Key of the row that has to come first.
    pub depends_on: Option<String>,
    /// Whether that row must have been delivered (else a dead one will do).
    pub needs_result: bool,
    /// Rows that share this key are delivered one after the other.
    pub phone_key: Option<String>,
    /// Rows that share this key are delivered one after the other.
    pub email_key: Option<String>,
    /// When it may be tried first, UTC.
    #[serde(with = "rfc3339")]
    pub due_at: Timestamp,
}

/// Where an outbox row is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutboxState {
    /// Waits for its time or for the row that it depends on.
    Pending,
    /// Is being sent; after a crash it is taken up again.
    Delivering,
    /// Was accepted by the other side.
    Delivered,
    /// Was given up: a person must look at it.
    Dead,
}

names!(OutboxState {
    Pending => "pending",
    Delivering => "delivering",
    Delivered => "delivered",
    Dead => "dead",
});

/// A row of the outbox, as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Rising number of the row.
    pub id: i64,
    /// The call that it tells about.
    pub call_id: Uuid,
    /// What to do.
    pub kind: String,
    /// Whom to tell.
    pub sink: String,
    /// What to tell.
    pub payload: Value,
    /// Identity, stable over every attempt.
    pub idempotency_key: String,
    /// Key of the row that has to come first.
    pub depends_on: Option<String>,
    /// Normalised phone number of the contact.
    pub phone_key: Option<String>,
    /// Normalised e-mail address of the contact.
    pub email_key: Option<String>,
    /// Where it is in its life.
    pub state: OutboxState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, UTC.
    #[serde(with = "rfc3339")]
    pub next_attempt_at: Timestamp,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// What the other side answered, such as the contact's id.
    pub result: Option<Value>,
    /// When it was made, UTC.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// When it last changed, UTC.
    #[serde(with = "rfc3339")]
    pub updated_at: Timestamp,
}

impl OutboxRow {
    /// Returns the keys that no other row in flight may share.
    pub fn contact_keys(&self) -> impl Iterator<Item = &str> {
        self.phone_key
            .as_deref()
            .into_iter()
            .chain(self.email_key.as_deref())
    }
}

/// A row taken for delivery, with what the row before it brought.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The row, now `delivering`.
    pub row: OutboxRow,
    /// Result of the row that it depends on, when there is one.
    pub dependency: Option<Value>,
}

/// What a claim brought, and when to ask next.
#[derive(Debug, Default)]
pub struct Claims {
    /// Rows to deliver now.
    pub claims: Vec<Claim>,
    /// When the earliest of the other rows is due, UTC.
    pub next_due: Option<Timestamp>,
}

/// How an attempt to deliver ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Delivered {
    /// Accepted; the result is kept for the rows that depend on it.
    Done {
        /// What the other side answered.
        result: Value,
    },
    /// To be tried again.
    Retry {
        /// When, UTC.
        #[serde(with = "rfc3339")]
        at: Timestamp,
        /// Why it failed.
        error: String,
    },
    /// Given up.
    Dead {
        /// Why it failed.
        error: String,
    },
}

/// How many rows of the outbox are in which state; delivered ones are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxDepth {
    /// Rows that wait.
    pub pending: u64,
    /// Rows in flight.
    pub delivering: u64,
    /// Rows given up.
    pub dead: u64,
}
