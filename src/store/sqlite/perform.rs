//! What the writer does within a transaction.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::gathered::{self, Gathered, json};
use super::{outbox, rows};
use crate::store::outbox::OutboxItem;
use crate::store::record::{Appointment, CachedContact, CallRecord};
use crate::store::write::{Ask, Reply, Write};
use crate::store::{Created, IdempotencyKey, PhoneRecord};

/// Rows removed by one statement while pruning: other writers wait no longer than that takes.
const PRUNE_ROWS: u32 = 2_000;

/// What is done in one transaction, in its order.
///
/// What calls leave is gathered until something else comes, or the end: [`finish`](Self::finish).
pub(in crate::store) struct Batch<'c, 'w> {
    conn: &'c mut SqliteConnection,
    gathered: Gathered<'w>,
}

impl<'c, 'w> Batch<'c, 'w> {
    pub(in crate::store) fn new(conn: &'c mut SqliteConnection) -> Self {
        let gathered = Gathered::default();
        Self { conn, gathered }
    }

    /// Keeps a record; to keep the same one again changes nothing.
    pub(in crate::store) async fn keep(&mut self, write: &'w Write) -> sqlx::Result<Reply> {
        match write {
            Write::InsertCall { run_id, record } => self.gathered.begin(*run_id, record),
            Write::UpdateCall { id, update, at } => self.gathered.change(*id, update, *at),
            Write::AppendTurn {
                call_id,
                seq,
                turn,
                at,
            } => self.gathered.add_turn(*call_id, *seq, turn, *at),
            Write::AppendEvent { event } => {
                self.gathered.add_event(event);
                return Ok(Reply::Event(event.id));
            }
            Write::FinishCall {
                run_id,
                record,
                items,
                event,
            } => {
                self.gathered.end(*run_id, record, items);
                if let Some(event) = event {
                    self.gathered.add_event(event);
                }
            }
            Write::SetRecording { call_id, path } => {
                set_recording(self.up_to_date().await?, *call_id, path).await?;
            }
            Write::BookAppointment { appointment, items } => {
                book(self.up_to_date().await?, appointment, items).await?;
            }
            Write::RememberContact { contact } => {
                put_contact(self.up_to_date().await?, contact).await?;
            }
            Write::RememberPhones { user, phones } => {
                put_phones(self.up_to_date().await?, user, phones).await?;
            }
            Write::Settle {
                id,
                attempts,
                outcome,
                at,
            } => {
                let conn = self.up_to_date().await?;
                outbox::settle(conn, *id, *attempts, outcome, *at).await?;
            }
        }
        Ok(Reply::Done)
    }

    /// Answers a question.
    pub(in crate::store) async fn answer(&mut self, ask: &Ask) -> sqlx::Result<Reply> {
        let conn = self.up_to_date().await?;
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

    /// Keeps what was gathered, for what depends on it.
    async fn up_to_date(&mut self) -> sqlx::Result<&mut SqliteConnection> {
        self.gathered.keep(self.conn).await?;
        Ok(self.conn)
    }

    /// Keeps what was gathered.
    pub(in crate::store) async fn finish(mut self) -> sqlx::Result<()> {
        self.gathered.keep(self.conn).await
    }
}

async fn set_recording(conn: &mut SqliteConnection, call_id: Uuid, path: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE calls SET recording = ?2 WHERE id = ?1")
        .bind(call_id.to_string())
        .bind(path)
        .execute(conn)
        .await?;
    Ok(())
}

async fn book(
    conn: &mut SqliteConnection,
    appointment: &Appointment,
    items: &[OutboxItem],
) -> sqlx::Result<()> {
    insert_appointment(conn, appointment).await?;
    for item in items {
        outbox::insert(conn, item).await?;
    }
    let call = appointment.call_id.to_string();
    gathered::touch(conn, &[(call, appointment.created_at.as_millisecond())]).await
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

/// Keeps a call's record by itself.
async fn insert_call(
    conn: &mut SqliteConnection,
    run_id: Uuid,
    record: &CallRecord,
) -> sqlx::Result<()> {
    let mut alone = Gathered::default();
    alone.begin(run_id, record);
    alone.keep(conn).await
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

async fn put_phones(
    conn: &mut SqliteConnection,
    user: &str,
    phones: &[PhoneRecord],
) -> sqlx::Result<()> {
    let statement = match phones.is_empty() {
        true => "DELETE FROM phones WHERE user = ?1",
        false => {
            "INSERT INTO phones VALUES (?1, ?2)
             ON CONFLICT (user) DO UPDATE SET bindings = excluded.bindings"
        }
    };
    let query = sqlx::query(statement).bind(user);
    let query = match phones.is_empty() {
        true => query,
        false => query.bind(json(&phones)),
    };
    query.execute(conn).await?;
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
