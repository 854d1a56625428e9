//! How calls go on: their turns and events, which are many and small.
//!
//! Each kind goes to the database as one statement for all that were gathered, since a statement's
//! way to the database's thread and back costs more than the row.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use crate::store::record::{CallRecord, EventRecord, TurnRecord};

/// Turns and events that are kept together.
#[derive(Default)]
pub(super) struct Progress<'a> {
    turns: Vec<TurnRow<'a>>,
    /// Calls, and when they were alive: milliseconds since 1970.
    alive: Vec<(String, i64)>,
    events: Vec<&'a EventRecord>,
}

/// A turn's columns, in their order.
#[derive(Serialize)]
pub(super) struct TurnRow<'a>(
    String,
    u32,
    &'static str,
    &'a str,
    Option<&'a str>,
    i64,
    String,
    u8,
);

impl<'a> TurnRow<'a> {
    fn new(call_id: Uuid, seq: u32, turn: &'a TurnRecord) -> Self {
        Self(
            call_id.to_string(),
            seq,
            turn.who.as_str(),
            &turn.text,
            turn.heard_text.as_deref(),
            turn.started_at.as_millisecond(),
            json(&turn.latency),
            turn.interrupted.into(),
        )
    }
}

impl<'a> Progress<'a> {
    pub(super) fn add_turn(
        &mut self,
        call_id: Uuid,
        seq: u32,
        turn: &'a TurnRecord,
        at: Timestamp,
    ) {
        self.turns.push(TurnRow::new(call_id, seq, turn));
        self.alive.push((call_id.to_string(), at.as_millisecond()));
    }

    pub(super) fn add_event(&mut self, event: &'a EventRecord) {
        self.events.push(event);
    }

    /// Keeps all that was added; to keep the same again changes nothing.
    pub(super) async fn keep(&mut self, conn: &mut SqliteConnection) -> sqlx::Result<()> {
        put_turns(conn, std::mem::take(&mut self.turns)).await?;
        touch(conn, &std::mem::take(&mut self.alive)).await?;
        insert_events(conn, &std::mem::take(&mut self.events)).await
    }
}

/// The turns of a call's record.
pub(super) fn turns_of(record: &CallRecord) -> Vec<TurnRow<'_>> {
    let turns = (0..).zip(&record.turns);
    turns
        .map(|(seq, turn)| TurnRow::new(record.id, seq, turn))
        .collect()
}

pub(super) async fn put_turns(
    conn: &mut SqliteConnection,
    turns: Vec<TurnRow<'_>>,
) -> sqlx::Result<()> {
    if turns.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO turns (call_id, seq, who, text, heard_text, started_ms, latency, interrupted)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
             value ->> 6, value ->> 7
         FROM json_each(?1) WHERE TRUE
         ON CONFLICT (call_id, seq) DO UPDATE SET
             who = excluded.who, text = excluded.text, heard_text = excluded.heard_text,
             started_ms = excluded.started_ms, latency = excluded.latency,
             interrupted = excluded.interrupted",
    )
    .bind(json(&turns))
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that calls were alive at these times.
pub(super) async fn touch(
    conn: &mut SqliteConnection,
    alive: &[(String, i64)],
) -> sqlx::Result<()> {
    if alive.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE calls SET updated_ms = MAX(updated_ms, alive.at)
         FROM (SELECT value ->> 0 AS id, MAX(value ->> 1) AS at FROM json_each(?1) GROUP BY 1) AS alive
         WHERE calls.id = alive.id AND ended_ms IS NULL",
    )
    .bind(json(&alive))
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn insert_events(
    conn: &mut SqliteConnection,
    events: &[&EventRecord],
) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = events.iter().map(|event| row(event)).collect();
    sqlx::query(
        "INSERT INTO events
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
         FROM json_each(?1) WHERE TRUE
         ON CONFLICT DO NOTHING",
    )
    .bind(json(&rows))
    .execute(conn)
    .await?;
    Ok(())
}

/// An event's columns, in their order.
fn row(event: &EventRecord) -> impl Serialize {
    let call_id = event.call_id.map(|id| id.to_string());
    let (at, data) = (event.at.as_millisecond(), event.data.to_string());
    (event.id, call_id, &event.kind, at, data)
}

/// What is kept as JSON: maps with text keys and plain numbers, in which nothing is that JSON cannot
/// say.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}
