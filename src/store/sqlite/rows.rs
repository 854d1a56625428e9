//! Database rows as records.

use std::str::FromStr;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::unreadable;
use crate::store::outbox::OutboxRow;
use crate::store::record::{Appointment, CachedContact, CallRecord, EventRecord, TurnRecord};

/// Reads the columns of `calls`; the turns are another table.
pub(super) fn call(row: &SqliteRow) -> sqlx::Result<CallRecord> {
    Ok(CallRecord {
        id: name(row, "id")?,
        direction: name(row, "direction")?,
        from: row.try_get("from_number")?,
        to: row.try_get("to_number")?,
        trunk: row.try_get("trunk")?,
        agent: row.try_get("agent")?,
        room: row.try_get("room")?,
        bridge: optional_json(row, "bridge")?,
        state: name(row, "state")?,
        started_at: time(row, "started_ms")?,
        answered_at: optional_time(row, "answered_ms")?,
        ended_at: optional_time(row, "ended_ms")?,
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
        variables: json(row, "variables")?,
        media: optional_json(row, "media")?,
        turns: Vec::new(),
    })
}

pub(super) fn turn(row: &SqliteRow) -> sqlx::Result<TurnRecord> {
    Ok(TurnRecord {
        who: name(row, "who")?,
        text: row.try_get("text")?,
        heard_text: row.try_get("heard_text")?,
        started_at: time(row, "started_ms")?,
        latency: json(row, "latency")?,
        interrupted: row.try_get("interrupted")?,
    })
}

pub(super) fn event(row: &SqliteRow) -> sqlx::Result<EventRecord> {
    Ok(EventRecord {
        id: row.try_get("id")?,
        call_id: optional_name(row, "call_id")?,
        kind: row.try_get("kind")?,
        at: time(row, "at_ms")?,
        data: json(row, "data")?,
    })
}

pub(super) fn appointment(row: &SqliteRow) -> sqlx::Result<Appointment> {
    Ok(Appointment {
        id: name(row, "id")?,
        call_id: name(row, "call_id")?,
        date_time: row.try_get("date_time")?,
        kind: row.try_get("kind")?,
        notes: row.try_get("notes")?,
        created_at: time(row, "created_ms")?,
    })
}

pub(super) fn contact(row: &SqliteRow) -> sqlx::Result<CachedContact> {
    Ok(CachedContact {
        phone_key: row.try_get("phone_key")?,
        contact_id: row.try_get("contact_id")?,
        variables: json(row, "variables")?,
        fetched_at: time(row, "fetched_ms")?,
    })
}

pub(super) fn outbox(row: &SqliteRow) -> sqlx::Result<OutboxRow> {
    Ok(OutboxRow {
        id: row.try_get("id")?,
        call_id: name(row, "call_id")?,
        kind: row.try_get("kind")?,
        sink: row.try_get("sink")?,
        payload: json(row, "payload")?,
        idempotency_key: row.try_get("idempotency_key")?,
        depends_on: row.try_get("depends_on")?,
        phone_key: row.try_get("phone_key")?,
        email_key: row.try_get("email_key")?,
        state: name(row, "state")?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: time(row, "next_attempt_ms")?,
        last_error: row.try_get("last_error")?,
        result: optional_json(row, "result")?,
        created_at: time(row, "created_ms")?,
        updated_at: time(row, "updated_ms")?,
    })
}

pub(super) fn time(row: &SqliteRow, column: &str) -> sqlx::Result<Timestamp> {
    Timestamp::from_millisecond(row.try_get(column)?).map_err(unreadable)
}

pub(super) fn optional_time(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    let ms: Option<i64> = row.try_get(column)?;
    ms.map(|ms| Timestamp::from_millisecond(ms).map_err(unreadable))
        .transpose()
}

pub(super) fn optional_json<T>(row: &SqliteRow, column: &str) -> sqlx::Result<Option<T>>
where
    T: DeserializeOwned,
{
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(text).map_err(unreadable))
        .transpose()
}

pub(super) fn id(row: &SqliteRow, column: &str) -> sqlx::Result<Uuid> {
    name(row, column)
}

fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> sqlx::Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(unreadable)
}

fn name<T>(row: &SqliteRow, column: &str) -> sqlx::Result<T>
where
    T: FromStr<Err: Into<BoxDynError>>,
{
    row.try_get::<&str, _>(column)?.parse().map_err(unreadable)
}

fn optional_name<T>(row: &SqliteRow, column: &str) -> sqlx::Result<Option<T>>
where
    T: FromStr<Err: Into<BoxDynError>>,
{
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(unreadable))
        .transpose()
}
