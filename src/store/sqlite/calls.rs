//! Reading calls and what belongs to them.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

use super::rows;
use crate::store::PhoneRecord;
use crate::store::record::{Appointment, CachedContact, CallRecord, EventRecord, TurnRecord};
use crate::store::{CallFilter, EventFilter, Unfinished};

/// Reads up to `limit` calls before `before`, newest first, with their turns.
pub(in crate::store) async fn calls(
    pool: &SqlitePool,
    filter: &CallFilter,
    before: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<CallRecord>> {
    let found = sqlx::query(
        "SELECT * FROM calls
         WHERE (?1 IS NULL OR id < ?1)
           AND (?2 IS NULL OR state = ?2)
           AND (?3 IS NULL OR direction = ?3)
           AND (?4 IS NULL OR agent = ?4)
           AND (?5 IS NULL OR trunk = ?5)
           AND (?6 IS NULL OR from_number = ?6 OR to_number = ?6)
           AND (?7 IS NULL OR started_ms >= ?7)
           AND (?8 IS NULL OR started_ms < ?8)
         ORDER BY id DESC LIMIT ?9",
    )
    .bind(before.map(|id| id.to_string()))
    .bind(filter.state.map(|state| state.as_str()))
    .bind(filter.direction.map(|direction| direction.as_str()))
    .bind(&filter.agent)
    .bind(&filter.trunk)
    .bind(&filter.number)
    .bind(filter.started_from.map(Timestamp::as_millisecond))
    .bind(filter.started_before.map(Timestamp::as_millisecond))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    found.iter().map(rows::call).collect()
}

/// Reads one call with its turns.
pub(in crate::store) async fn call(
    pool: &SqlitePool,
    id: Uuid,
) -> sqlx::Result<Option<CallRecord>> {
    let found = sqlx::query("SELECT * FROM calls WHERE id = ?1")
        .bind(id.to_string())
        .fetch_optional(pool)
        .await?;
    let Some(row) = found else { return Ok(None) };
    let mut calls = [rows::call(&row)?];
    add_turns(pool, &mut calls).await?;
    let [call] = calls;
    Ok(Some(call))
}

/// Reads a call's turns in order.
pub(in crate::store) async fn turns(pool: &SqlitePool, id: Uuid) -> sqlx::Result<Vec<TurnRecord>> {
    let found = sqlx::query("SELECT * FROM turns WHERE call_id = ?1 ORDER BY seq")
        .bind(id.to_string())
        .fetch_all(pool)
        .await?;
    found.iter().map(rows::turn).collect()
}

/// Reads up to `limit` calls after `after` that another run of the switch left open.
pub(in crate::store) async fn unfinished(
    pool: &SqlitePool,
    run_id: Uuid,
    after: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<Unfinished>> {
    let found = sqlx::query(
        "SELECT * FROM calls
         WHERE ended_ms IS NULL AND run_id <> ?1 AND (?2 IS NULL OR id > ?2)
         ORDER BY id LIMIT ?3",
    )
    .bind(run_id.to_string())
    .bind(after.map(|id| id.to_string()))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let mut calls = found
        .iter()
        .map(rows::call)
        .collect::<sqlx::Result<Vec<_>>>()?;
    add_turns(pool, &mut calls).await?;
    calls
        .into_iter()
        .zip(&found)
        .map(|(record, row)| {
            Ok(Unfinished {
                record,
                run_id: rows::id(row, "run_id")?,
                last_seen_at: rows::time(row, "updated_ms")?,
            })
        })
        .collect()
}

async fn add_turns(pool: &SqlitePool, calls: &mut [CallRecord]) -> sqlx::Result<()> {
    let ids: Vec<String> = calls.iter().map(|call| call.id.to_string()).collect();
    let found = sqlx::query(
        "SELECT * FROM turns WHERE call_id IN (SELECT value FROM json_each(?1))
         ORDER BY call_id, seq",
    )
    .bind(serde_json::json!(ids).to_string())
    .fetch_all(pool)
    .await?;
    let mut turns: HashMap<Uuid, Vec<TurnRecord>> = HashMap::new();
    for row in &found {
        turns
            .entry(rows::id(row, "call_id")?)
            .or_default()
            .push(rows::turn(row)?);
    }
    for call in calls {
        call.turns = turns.remove(&call.id).unwrap_or_default();
    }
    Ok(())
}

/// Reads up to `limit` events after `after`, oldest first.
pub(in crate::store) async fn events(
    pool: &SqlitePool,
    filter: &EventFilter,
    limit: u32,
) -> sqlx::Result<Vec<EventRecord>> {
    let call_id = filter.call_id.map(|id| id.to_string());
    // Two statements, because each has an index of its own.
    let found = match &call_id {
        Some(call_id) => {
            sqlx::query("SELECT * FROM events WHERE call_id = ?2 AND id > ?1 ORDER BY id LIMIT ?3")
                .bind(filter.after)
                .bind(call_id)
                .bind(limit)
                .fetch_all(pool)
                .await?
        }
        None => {
            sqlx::query("SELECT * FROM events WHERE id > ?1 ORDER BY id LIMIT ?2")
                .bind(filter.after)
                .bind(limit)
                .fetch_all(pool)
                .await?
        }
    };
    found.iter().map(rows::event).collect()
}

/// Returns the lowest and the highest number of an event; none when there is no event.
pub(in crate::store) async fn event_bounds(pool: &SqlitePool) -> sqlx::Result<Option<(i64, i64)>> {
    let found: (Option<i64>, Option<i64>) = sqlx::query_as("SELECT min(id), max(id) FROM events")
        .fetch_one(pool)
        .await?;
    Ok(found.0.zip(found.1))
}

/// Reads where a call's recording lies.
pub(in crate::store) async fn recording(
    pool: &SqlitePool,
    id: Uuid,
) -> sqlx::Result<Option<String>> {
    let found = sqlx::query("SELECT recording FROM calls WHERE id = ?1")
        .bind(id.to_string())
        .fetch_optional(pool)
        .await?;
    found.map_or(Ok(None), |row| row.try_get("recording"))
}

/// Reads up to `limit` calls after `after` that ended before `before` and still have a recording,
/// and where that lies.
pub(in crate::store) async fn recordings_before(
    pool: &SqlitePool,
    before: Timestamp,
    after: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<(Uuid, String)>> {
    let found = sqlx::query(
        "SELECT id, recording FROM calls
         WHERE ended_ms < ?1 AND recording <> '' AND (?2 IS NULL OR id > ?2)
         ORDER BY id LIMIT ?3",
    )
    .bind(before.as_millisecond())
    .bind(after.map(|id| id.to_string()))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let read = |row| Ok((rows::id(row, "id")?, row.try_get("recording")?));
    found.iter().map(read).collect()
}

/// Reads up to `limit` appointments booked before `before`, the newest first.
pub(in crate::store) async fn appointments(
    pool: &SqlitePool,
    before: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<Appointment>> {
    let found = sqlx::query(
        "SELECT * FROM appointments WHERE (?1 IS NULL OR id < ?1) ORDER BY id DESC LIMIT ?2",
    )
    .bind(before.map(|id| id.to_string()))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    found.iter().map(rows::appointment).collect()
}

/// Reads up to `limit` appointments of a call by their beginning.
pub(in crate::store) async fn call_appointments(
    pool: &SqlitePool,
    call_id: Uuid,
    limit: u32,
) -> sqlx::Result<Vec<Appointment>> {
    let found = sqlx::query(
        "SELECT * FROM appointments WHERE call_id = ?1 ORDER BY starts_ms, id LIMIT ?2",
    )
    .bind(call_id.to_string())
    .bind(limit)
    .fetch_all(pool)
    .await?;
    found.iter().map(rows::appointment).collect()
}

/// Reads a contact by its normalised number.
pub(in crate::store) async fn contact(
    pool: &SqlitePool,
    phone_key: &str,
) -> sqlx::Result<Option<CachedContact>> {
    let found = sqlx::query("SELECT * FROM contacts WHERE phone_key = ?1")
        .bind(phone_key)
        .fetch_optional(pool)
        .await?;
    found.as_ref().map(rows::contact).transpose()
}

/// Reads up to `limit` contacts after the normalised number `after`.
pub(in crate::store) async fn contacts(
    pool: &SqlitePool,
    after: &str,
    limit: u32,
) -> sqlx::Result<Vec<CachedContact>> {
    let found =
        sqlx::query("SELECT * FROM contacts WHERE phone_key > ?1 ORDER BY phone_key LIMIT ?2")
            .bind(after)
            .bind(limit)
            .fetch_all(pool)
            .await?;
    found.iter().map(rows::contact).collect()
}

/// Reads where all users' phones are reached; a list that cannot be read is none.
pub(in crate::store) async fn phones(
    pool: &SqlitePool,
) -> sqlx::Result<Vec<(String, Vec<PhoneRecord>)>> {
    let found: Vec<(String, String)> = sqlx::query_as("SELECT user, bindings FROM phones")
        .fetch_all(pool)
        .await?;
    let read = |(user, bindings): (String, String)| {
        let phones = serde_json::from_str(&bindings).ok()?;
        Some((user, phones))
    };
    Ok(found.into_iter().filter_map(read).collect())
}
