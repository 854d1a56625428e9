//! What the writer does within a transaction.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::progress::{self, Progress, json};
use super::{outbox, rows};
use crate::store::outbox::OutboxItem;
use crate::store::record::{Appointment, CachedContact, CallRecord, CallUpdate};
use crate::store::write::{Ask, Reply, Write};
use crate::store::{Created, IdempotencyKey};

/// Rows removed by one statement while pruning: other writers wait no longer than that takes.
const PRUNE_ROWS: u32 = 2_000;

/// What is done in one transaction, in its order.
///
/// Turns and events are gathered until something else comes, or the end: [`finish`](Self::finish).
pub(in crate::store) struct Batch<'c, 'w> {
    conn: &'c mut SqliteConnection,
    progress: Progress<'w>,
}

impl<'c, 'w> Batch<'c, 'w> {
    pub(in crate::store) fn new(conn: &'c mut SqliteConnection) -> Self {
        let progress = Progress::default();
        Self { conn, progress }
    }

    /// Keeps a record; to keep the same one again changes nothing.
    pub(in crate::store) async fn keep(&mut self, write: &'w Write) -> sqlx::Result<Reply> {
        if !matches!(write, Write::AppendTurn { .. } | Write::AppendEvent { .. }) {
            self.progress.keep(self.conn).await?;
        }
        let conn = &mut *self.conn;
        match write {
            Write::AppendTurn {
                call_id,
                seq,
                turn,
                at,
            } => self.progress.add_turn(*call_id, *seq, turn, *at),
            Write::AppendEvent { event } => {
                self.progress.add_event(event);
                return Ok(Reply::Event(event.id));
            }
            Write::InsertCall { run_id, record } => insert_call(conn, *run_id, record).await?,
            Write::UpdateCall { id, update, at } => update_call(conn, *id, update, *at).await?,
            Write::SetRecording { call_id, path } => {
                sqlx::query("UPDATE calls SET recording = ?2 WHERE id = ?1")
                    .bind(call_id.to_string())
                    .bind(path)
                    .execute(conn)
                    .await?;
            }
            Write::FinishCall {
                run_id,
                record,
                items,
                event,
            } => {
                finish_call(conn, *run_id, record, items).await?;
                if let Some(event) = event {
                    progress::insert_events(conn, &[event]).await?;
                }
            }
            Write::BookAppointment { appointment, items } => {
                insert_appointment(conn, appointment).await?;
                insert_items(conn, items).await?;
                let call = appointment.call_id.to_string();
                progress::touch(conn, &[(call, appointment.created_at.as_millisecond())]).await?;
            }
            Write::RememberContact { contact } => put_contact(conn, contact).await?,
            Write::Settle {
                id,
                attempts,
                outcome,
                at,
            } => outbox::settle(conn, *id, *attempts, outcome, *at).await?,
        }
        Ok(Reply::Done)
    }

    /// Answers a question.
    pub(in crate::store) async fn answer(&mut self, ask: &Ask) -> sqlx::Result<Reply> {
        self.progress.keep(self.conn).await?;
        let conn = &mut *self.conn;
        Ok(match ask {
            Ask::CreateCall {
                run_id,
                record,
                key,
                at,
            } => Reply::Created(create_call(conn, *run_id, record, key.as_ref(), *at).await?),
            Ask::Claim {
                now,
                limit,
                busy,
                paused,
            } => Reply::Claimed(outbox::claim(conn, *now, *limit, busy, paused).await?),
            Ask::RetryDead { id, now } => {
                Reply::Changed(outbox::retry_dead(conn, *id, *now).await?)
            }
            Ask::Prune {
                events_before,
                delivered_before,
                keys_before,
            } => {
                let times = [*events_before, *delivered_before, *keys_before];
                Reply::Changed(prune(conn, times).await?)
            }
        })
    }

    /// Keeps what was gathered.
    pub(in crate::store) async fn finish(mut self) -> sqlx::Result<()> {
        self.progress.keep(self.conn).await
    }
}

/// Keeps a spilled record that the database will not take, for a person to look at.
pub(in crate::store) async fn reject(
    conn: &mut SqliteConnection,
    seq: u64,
    body: &[u8],
    error: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO rejected (seq, body, error) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )
    .bind(i64::try_from(seq).unwrap_or(i64::MAX))
    .bind(String::from_utf8_lossy(body).into_owned())
    .bind(error)
    .execute(conn)
    .await?;
    Ok(())
}

async fn create_call(
    conn: &mut SqliteConnection,
    run_id: Uuid,
    record: &CallRecord,
    key: Option<&IdempotencyKey>,
    at: Timestamp,
) -> sqlx::Result<Created> {
    let Some(key) = key else {
        insert_call(conn, run_id, record).await?;
        return Ok(Created::New);
    };
    if let Some(before) = created_before(conn, key).await? {
        return Ok(before);
    }
    insert_call(conn, run_id, record).await?;
    sqlx::query("INSERT INTO idempotency_keys VALUES (?1, ?2, ?3, ?4)")
        .bind(key.key())
        .bind(key.body_digest())
        .bind(record.id.to_string())
        .bind(at.as_millisecond())
        .execute(conn)
        .await?;
    Ok(Created::New)
}

/// Looks up what an earlier request with the same key made.
pub(in crate::store) async fn created_before(
    conn: &mut SqliteConnection,
    key: &IdempotencyKey,
) -> sqlx::Result<Option<Created>> {
    let known = sqlx::query("SELECT call_id, body_digest FROM idempotency_keys WHERE key = ?1")
        .bind(key.key())
        .fetch_optional(conn)
        .await?;
    let Some(row) = known else { return Ok(None) };
    let digest: &[u8] = row.try_get("body_digest")?;
    Ok(Some(if digest == key.body_digest() {
        Created::Existing(rows::id(&row, "call_id")?)
    } else {
        Created::Conflict
    }))
}

async fn insert_call(
    conn: &mut SqliteConnection,
    run_id: Uuid,
    record: &CallRecord,
) -> sqlx::Result<()> {
    bind_call(
        "INSERT INTO calls (id, run_id, direction, from_number, to_number, trunk, agent, state,
             started_ms, answered_ms, ended_ms, outcome, variables, media, room,
             bridge, reason, updated_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?9)
         ON CONFLICT (id) DO NOTHING",
        run_id,
        record,
    )
    .execute(&mut *conn)
    .await?;
    progress::put_turns(conn, progress::turns_of(record)).await
}

/// Writes a call's final record with what it leaves to be told: one transaction, both or neither.
/// A call has one end: a later one changes nothing.
async fn finish_call(
    conn: &mut SqliteConnection,
    run_id: Uuid,
    record: &CallRecord,
    items: &[OutboxItem],
) -> sqlx::Result<()> {
    let written = bind_call(
        "INSERT INTO calls (id, run_id, direction, from_number, to_number, trunk, agent, state,
             started_ms, answered_ms, ended_ms, outcome, variables, media, room,
             bridge, reason, updated_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
             COALESCE(?11, ?9))
         ON CONFLICT (id) DO UPDATE SET
             direction = excluded.direction, from_number = excluded.from_number,
             to_number = excluded.to_number, trunk = excluded.trunk, agent = excluded.agent,
             state = excluded.state, started_ms = excluded.started_ms,
             answered_ms = excluded.answered_ms, ended_ms = excluded.ended_ms,
             outcome = excluded.outcome, variables = excluded.variables,
             media = excluded.media, room = excluded.room, bridge = excluded.bridge,
             reason = excluded.reason, updated_ms = excluded.updated_ms
         WHERE calls.ended_ms IS NULL",
        run_id,
        record,
    )
    .execute(&mut *conn)
    .await?;
    if written.rows_affected() == 0 {
        return Ok(());
    }
    sqlx::query("DELETE FROM turns WHERE call_id = ?1 AND seq >= ?2")
        .bind(record.id.to_string())
        .bind(i64::try_from(record.turns.len()).unwrap_or(i64::MAX))
        .execute(&mut *conn)
        .await?;
    progress::put_turns(conn, progress::turns_of(record)).await?;
    insert_items(conn, items).await
}

fn bind_call<'q>(
    sql: &'static str,
    run_id: Uuid,
    record: &'q CallRecord,
) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    sqlx::query(sql)
        .bind(record.id.to_string())
        .bind(run_id.to_string())
        .bind(record.direction.as_str())
        .bind(&record.from)
        .bind(&record.to)
        .bind(&record.trunk)
        .bind(&record.agent)
        .bind(record.state.as_str())
        .bind(record.started_at.as_millisecond())
        .bind(record.answered_at.map(Timestamp::as_millisecond))
        .bind(record.ended_at.map(Timestamp::as_millisecond))
        .bind(&record.outcome)
        .bind(json(&record.variables))
        .bind(record.media.as_ref().map(json))
        .bind(&record.room)
        .bind(record.bridge.as_ref().map(json))
        .bind(&record.reason)
}

/// Changes a call that goes on; one that has ended stays as its final record says.
async fn update_call(
    conn: &mut SqliteConnection,
    id: Uuid,
    update: &CallUpdate,
    at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE calls SET state = COALESCE(?2, state), answered_ms = COALESCE(?3, answered_ms),
             trunk = COALESCE(?4, trunk), agent = COALESCE(?5, agent),
             variables = COALESCE(?6, variables), media = COALESCE(?7, media),
             bridge = COALESCE(?9, bridge), updated_ms = MAX(updated_ms, ?8)
         WHERE id = ?1 AND ended_ms IS NULL",
    )
    .bind(id.to_string())
    .bind(update.state.map(|state| state.as_str()))
    .bind(update.answered_at.map(Timestamp::as_millisecond))
    .bind(&update.trunk)
    .bind(&update.agent)
    .bind(update.variables.as_ref().map(json))
    .bind(update.media.as_ref().map(json))
    .bind(at.as_millisecond())
    .bind(update.bridge.as_ref().map(json))
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_appointment(
    conn: &mut SqliteConnection,
    appointment: &Appointment,
) -> sqlx::Result<()> {
    let starts_ms = appointment.starts_at().map_or(0, Timestamp::as_millisecond);
    sqlx::query(
        "INSERT INTO appointments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
    )
    .bind(appointment.id.to_string())
    .bind(appointment.call_id.to_string())
    .bind(&appointment.date_time)
    .bind(starts_ms)
    .bind(&appointment.kind)
    .bind(&appointment.notes)
    .bind(appointment.created_at.as_millisecond())
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_items(conn: &mut SqliteConnection, items: &[OutboxItem]) -> sqlx::Result<()> {
    for item in items {
        outbox::insert(conn, item).await?;
    }
    Ok(())
}

async fn put_contact(conn: &mut SqliteConnection, contact: &CachedContact) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO contacts VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (phone_key) DO UPDATE SET contact_id = excluded.contact_id,
             variables = excluded.variables, fetched_ms = excluded.fetched_ms
         WHERE excluded.fetched_ms >= fetched_ms",
    )
    .bind(&contact.phone_key)
    .bind(&contact.contact_id)
    .bind(json(&contact.variables))
    .bind(contact.fetched_at.as_millisecond())
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes some of what is older than events, delivered outbox rows and idempotency keys are kept.
async fn prune(conn: &mut SqliteConnection, before: [Timestamp; 3]) -> sqlx::Result<u64> {
    let statements = [
        "DELETE FROM events WHERE id IN
             (SELECT id FROM events WHERE at_ms < ?1 ORDER BY id LIMIT ?2)",
        // A row that another one still waits for stays.
        "DELETE FROM outbox WHERE id IN
             (SELECT o.id FROM outbox o WHERE o.state = 'delivered' AND o.updated_ms < ?1
              AND NOT EXISTS (SELECT 1 FROM outbox w
                              WHERE w.call_id = o.call_id AND w.state <> 'delivered')
              ORDER BY o.id LIMIT ?2)",
        "DELETE FROM idempotency_keys WHERE key IN
             (SELECT key FROM idempotency_keys WHERE created_ms < ?1 LIMIT ?2)",
    ];
    let mut removed = 0;
    for (statement, before) in statements.into_iter().zip(before) {
        let done = sqlx::query(statement)
            .bind(before.as_millisecond())
            .bind(PRUNE_ROWS)
            .execute(&mut *conn)
            .await?;
        removed += done.rows_affected();
    }
    Ok(removed)
}
