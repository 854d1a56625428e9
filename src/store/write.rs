//! What the writer is asked to do.
//!
//! A [`Write`] is a record that must not be lost: it can be spilled and replayed, so each one is
//! idempotent and carries all that it needs. An [`Ask`] wants an answer from the database itself
//! and fails while the database cannot be written.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::outbox::{Claims, Delivered, OutboxItem};
use super::record::{Appointment, CachedContact, CallRecord, CallUpdate, EventRecord, TurnRecord};
use super::{Created, IdempotencyKey, PhoneRecord, rfc3339};

/// A record to be kept, whatever happens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "write", rename_all = "kebab-case")]
pub(super) enum Write {
    InsertCall {
        run_id: Uuid,
        record: Box<CallRecord>,
    },
    UpdateCall {
        id: Uuid,
        update: Box<CallUpdate>,
        #[serde(with = "rfc3339")]
        at: Timestamp,
    },
    AppendTurn {
        call_id: Uuid,
        seq: u32,
        turn: TurnRecord,
        #[serde(with = "rfc3339")]
        at: Timestamp,
    },
    AppendEvent {
        event: EventRecord,
    },
    SetRecording {
        call_id: Uuid,
        path: String,
    },
    FinishCall {
        run_id: Uuid,
        record: Box<CallRecord>,
        items: Vec<OutboxItem>,
        /// The event that tells of it; none when nobody is told.
        #[serde(default)]
        event: Option<EventRecord>,
    },
    BookAppointment {
        appointment: Appointment,
        items: Vec<OutboxItem>,
    },
    RememberContact {
        contact: CachedContact,
    },
    RememberPhones {
        user: String,
        phones: Vec<PhoneRecord>,
    },
    Settle {
        id: i64,
        attempts: u32,
        outcome: Delivered,
        #[serde(with = "rfc3339")]
        at: Timestamp,
    },
}

impl Write {
    /// Returns whether it may use the last half of the spill file. What a call's final record
    /// holds anyway may not, so that final records always find room.
    pub(super) fn is_essential(&self) -> bool {
        !self.is_news()
    }

    /// Returns whether nothing waits for it: it tells how a call goes on, for whoever watches, or is
    /// told again by itself.
    pub(super) fn is_news(&self) -> bool {
        matches!(
            self,
            Self::AppendTurn { .. }
                | Self::AppendEvent { .. }
                | Self::UpdateCall { .. }
                | Self::RememberContact { .. }
                | Self::RememberPhones { .. }
        )
    }

    /// Returns the event that is kept with it, to be numbered or told of.
    pub(super) fn event(&self) -> Option<&EventRecord> {
        match self {
            Self::AppendEvent { event } => Some(event),
            Self::FinishCall { event, .. } => event.as_ref(),
            _ => None,
        }
    }

    /// As [`event`](Self::event), to give it its number.
    pub(super) fn event_mut(&mut self) -> Option<&mut EventRecord> {
        match self {
            Self::AppendEvent { event } => Some(event),
            Self::FinishCall { event, .. } => event.as_mut(),
            _ => None,
        }
    }

    /// Returns whether the outbox may have something new to deliver.
    pub(super) fn touches_outbox(&self) -> bool {
        match self {
            Self::FinishCall { items, .. } | Self::BookAppointment { items, .. } => {
                !items.is_empty()
            }
            Self::Settle { .. } => true,
            _ => false,
        }
    }
}

/// A question that changes the database.
#[derive(Debug)]
pub(super) enum Ask {
    CreateCall {
        run_id: Uuid,
        record: Box<CallRecord>,
        key: Option<IdempotencyKey>,
        at: Timestamp,
    },
    Claim {
        now: Timestamp,
        limit: usize,
        busy: Vec<String>,
        paused: Vec<String>,
    },
    RetryDead {
        id: Option<i64>,
        now: Timestamp,
    },
    Prune {
        events_before: Timestamp,
        delivered_before: Timestamp,
        keys_before: Timestamp,
    },
}

/// What the writer answers.
#[derive(Debug)]
pub(super) enum Reply {
    Done,
    Event(i64),
    Created(Created),
    Claimed(Claims),
    Changed(u64),
}
