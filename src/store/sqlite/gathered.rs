//! What calls leave, which is much and small: their records, turns and events.
//!
//! Each kind goes to the database as one statement for all that were gathered, since a statement's
//! way to the database's thread and back costs more than the row.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::outbox;
use crate::store::outbox::OutboxItem;
use crate::store::record::{CallRecord, CallUpdate, EventRecord, TurnRecord};

/// Writes that are kept together. Those of one call come in the order of its life (record, changes,
/// turns, end), whatever lies between them, and so they are kept; nothing else of the database
/// depends on the order.
#[derive(Default)]
pub(super) struct Gathered<'a> {
    begun: Vec<(Uuid, &'a CallRecord)>,
    changed: BTreeMap<Uuid, ChangeRow<'a>>,
    turns: Vec<TurnRow<'a>>,
    /// Calls, and when they were alive: milliseconds since 1970.
    alive: Vec<(String, i64)>,
    ended: Vec<Ended<'a>>,
    events: Vec<&'a EventRecord>,
}

/// A call's end, with what it leaves to be told.
struct Ended<'a> {
    run_id: Uuid,
    record: &'a CallRecord,
    items: &'a [OutboxItem],
}

/// A call's columns, in their order.
#[derive(Serialize)]
struct CallRow<'a>(
    String,
    String,
    &'static str,
    &'a str,
    &'a str,
    Option<&'a str>,
    Option<&'a str>,
    &'static str,
    i64,
    Option<i64>,
    Option<i64>,
    Option<&'a str>,
    String,
    Option<String>,
    Option<&'a str>,
    Option<String>,
    Option<&'a str>,
);

impl<'a> CallRow<'a> {
    fn new(run_id: Uuid, record: &'a CallRecord) -> Self {
        Self(
            record.id.to_string(),
            run_id.to_string(),
            record.direction.as_str(),
            &record.from,
            &record.to,
            record.trunk.as_deref(),
            record.agent.as_deref(),
            record.state.as_str(),
            record.started_at.as_millisecond(),
            record.answered_at.map(Timestamp::as_millisecond),
            record.ended_at.map(Timestamp::as_millisecond),
            record.outcome.as_deref(),
            json(&record.variables),
            record.media.as_ref().map(json),
            record.room.as_deref(),
            record.bridge.as_ref().map(json),
            record.reason.as_deref(),
        )
    }
}

/// What changes of a call; what is none stays.
#[derive(Default, Serialize)]
struct ChangeRow<'a> {
    id: String,
    at: i64,
    state: Option<&'static str>,
    answered: Option<i64>,
    trunk: Option<&'a str>,
    agent: Option<&'a str>,
    variables: Option<String>,
    media: Option<String>,
    bridge: Option<String>,
}

impl<'a> ChangeRow<'a> {
    /// Takes a later change over an earlier one.
    fn take(&mut self, update: &'a CallUpdate, at: Timestamp) {
        fn newer<T>(old: &mut Option<T>, new: Option<T>) {
            if new.is_some() {
                *old = new;
            }
        }
        self.at = self.at.max(at.as_millisecond());
        newer(&mut self.state, update.state.map(|state| state.as_str()));
        let answered = update.answered_at.map(Timestamp::as_millisecond);
        newer(&mut self.answered, answered);
        newer(&mut self.trunk, update.trunk.as_deref());
        newer(&mut self.agent, update.agent.as_deref());
        newer(&mut self.variables, update.variables.as_ref().map(json));
        newer(&mut self.media, update.media.as_ref().map(json));
        newer(&mut self.bridge, update.bridge.as_ref().map(json));
    }
}

/// A turn's columns, in their order.
#[derive(Serialize)]
struct TurnRow<'a>(
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

impl<'a> Gathered<'a> {
    pub(super) fn begin(&mut self, run_id: Uuid, record: &'a CallRecord) {
        self.begun.push((run_id, record));
        self.turns.extend(turns_of(record));
    }

    pub(super) fn change(&mut self, id: Uuid, update: &'a CallUpdate, at: Timestamp) {
        let new = || ChangeRow {
            id: id.to_string(),
            ..ChangeRow::default()
        };
        let row = self.changed.entry(id).or_insert_with(new);
        row.take(update, at);
    }

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

    pub(super) fn end(&mut self, run_id: Uuid, record: &'a CallRecord, items: &'a [OutboxItem]) {
        self.ended.push(Ended {
            run_id,
            record,
            items,
        });
    }

    /// Keeps all that was gathered; to keep the same again changes nothing.
    pub(super) async fn keep(&mut self, conn: &mut SqliteConnection) -> sqlx::Result<()> {
        let Self {
            begun,
            changed,
            turns,
            alive,
            ended,
            events,
        } = std::mem::take(self);
        insert_calls(conn, &begun).await?;
        change_calls(conn, changed.into_values().collect()).await?;
        put_turns(conn, turns).await?;
        touch(conn, &alive).await?;
        finish_calls(conn, &ended).await?;
        insert_events(conn, &events).await
    }
}

/// Keeps a call's record; one that is there already stays.
async fn insert_calls(
    conn: &mut SqliteConnection,
    begun: &[(Uuid, &CallRecord)],
) -> sqlx::Result<()> {
    if begun.is_empty() {
        return Ok(());
    }
    let rows = begun
        .iter()
        .map(|(run_id, record)| CallRow::new(*run_id, record));
    sqlx::query(
        "INSERT INTO calls (id, run_id, direction, from_number, to_number, trunk, agent, state,
             started_ms, answered_ms, ended_ms, outcome, variables, media, room, bridge, reason,
             updated_ms)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
             value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
             value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16, value ->> 8
         FROM json_each(?1) WHERE TRUE
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(json(&rows.collect::<Vec<_>>()))
    .execute(conn)
    .await?;
    Ok(())
}

/// Changes calls that go on; one that has ended stays as its final record says.
async fn change_calls(
    conn: &mut SqliteConnection,
    changed: Vec<ChangeRow<'_>>,
) -> sqlx::Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE calls SET state = COALESCE(new.row ->> 'state', state),
             answered_ms = COALESCE(new.row ->> 'answered', answered_ms),
             trunk = COALESCE(new.row ->> 'trunk', trunk),
             agent = COALESCE(new.row ->> 'agent', agent),
             variables = COALESCE(new.row ->> 'variables', variables),
             media = COALESCE(new.row ->> 'media', media),
             bridge = COALESCE(new.row ->> 'bridge', bridge),
             updated_ms = MAX(updated_ms, new.row ->> 'at')
         FROM (SELECT value AS row FROM json_each(?1)) AS new
         WHERE calls.id = new.row ->> 'id' AND ended_ms IS NULL",
    )
    .bind(json(&changed))
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes calls' final records with what they leave to be told: one transaction, both or neither.
/// A call has one end: a later one changes nothing.
async fn finish_calls(conn: &mut SqliteConnection, ended: &[Ended<'_>]) -> sqlx::Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let rows = ended
        .iter()
        .map(|ended| CallRow::new(ended.run_id, ended.record));
    let written: Vec<String> = sqlx::query_scalar(
        "INSERT INTO calls (id, run_id, direction, from_number, to_number, trunk, agent, state,
             started_ms, answered_ms, ended_ms, outcome, variables, media, room, bridge, reason,
             updated_ms)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
             value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
             value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16,
             COALESCE(value ->> 10, value ->> 8)
         FROM json_each(?1) WHERE TRUE
         ON CONFLICT (id) DO UPDATE SET
             direction = excluded.direction, from_number = excluded.from_number,
             to_number = excluded.to_number, trunk = excluded.trunk, agent = excluded.agent,
             state = excluded.state, started_ms = excluded.started_ms,
             answered_ms = excluded.answered_ms, ended_ms = excluded.ended_ms,
             outcome = excluded.outcome, variables = excluded.variables,
             media = excluded.media, room = excluded.room, bridge = excluded.bridge,
             reason = excluded.reason, updated_ms = excluded.updated_ms
         WHERE calls.ended_ms IS NULL
         RETURNING id",
    )
    .bind(json(&rows.collect::<Vec<_>>()))
    .fetch_all(&mut *conn)
    .await?;
    let mut written: HashSet<String> = written.into_iter().collect();
    let first = |ended: &&Ended<'_>| written.remove(&ended.record.id.to_string());
    let written: Vec<&Ended<'_>> = ended.iter().filter(first).collect();
    keep_turns(conn, written.iter().map(|ended| ended.record).collect()).await?;
    for item in written.iter().flat_map(|ended| ended.items) {
        outbox::insert(conn, item).await?;
    }
    Ok(())
}

/// Keeps the turns that these records have, and no others.
async fn keep_turns(conn: &mut SqliteConnection, records: Vec<&CallRecord>) -> sqlx::Result<()> {
    // Only agents' calls have any.
    let had: Vec<(String, usize)> = records
        .iter()
        .filter(|record| record.agent.is_some())
        .map(|record| (record.id.to_string(), record.turns.len()))
        .collect();
    if !had.is_empty() {
        sqlx::query(
            "DELETE FROM turns WHERE (call_id, seq) IN
                 (SELECT turns.call_id, turns.seq FROM json_each(?1) AS kept
                  JOIN turns ON turns.call_id = kept.value ->> 0
                      AND turns.seq >= kept.value ->> 1)",
        )
        .bind(json(&had))
        .execute(&mut *conn)
        .await?;
    }
    put_turns(conn, records.into_iter().flat_map(turns_of).collect()).await
}

/// The turns of a call's record.
fn turns_of(record: &CallRecord) -> impl Iterator<Item = TurnRow<'_>> {
    let turns = (0..).zip(&record.turns);
    turns.map(|(seq, turn)| TurnRow::new(record.id, seq, turn))
}

async fn put_turns(conn: &mut SqliteConnection, turns: Vec<TurnRow<'_>>) -> sqlx::Result<()> {
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

async fn insert_events(conn: &mut SqliteConnection, events: &[&EventRecord]) -> sqlx::Result<()> {
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

#[cfg(test)]
mod tests;
