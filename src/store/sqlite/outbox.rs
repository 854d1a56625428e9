//! Statements on the outbox.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::rows;
use crate::store::outbox::{
    Claim, Claims, Delivered, OutboxDepth, OutboxItem, OutboxRow, OutboxState,
};

/// The error of a row that was given up untried.
const UNTRIED: &str = "not tried: the delivery that it needs was given up";

/// Adds a row unless its key is there. What needs the result of a row that was given up is given up
/// at once.
pub(super) async fn insert(conn: &mut SqliteConnection, item: &OutboxItem) -> sqlx::Result<()> {
    let due_ms = item.due_at.as_millisecond();
    sqlx::query(
        "INSERT INTO outbox (call_id, kind, sink, payload, idempotency_key, depends_on,
             needs_result, phone_key, email_key, state, last_error, attempts, next_attempt_ms,
             created_ms, updated_ms)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
             iif(d.id IS NULL, 'pending', 'dead'), iif(d.id IS NULL, NULL, ?11),
             0, ?10, ?10, ?10
         FROM (SELECT 1) LEFT JOIN outbox d
             ON d.idempotency_key = ?6 AND d.state = 'dead' AND ?7 WHERE true
         ON CONFLICT (idempotency_key) DO NOTHING",
    )
    .bind(item.call_id.to_string())
    .bind(&item.kind)
    .bind(&item.sink)
    .bind(item.payload.to_string())
    .bind(&item.idempotency_key)
    .bind(&item.depends_on)
    .bind(item.needs_result)
    .bind(&item.phone_key)
    .bind(&item.email_key)
    .bind(due_ms)
    .bind(UNTRIED)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes up to `limit` rows that are due, no two of one contact and none of a busy one.
pub(super) async fn claim(
    conn: &mut SqliteConnection,
    now: Timestamp,
    limit: usize,
    busy: &[String],
    paused: &[String],
) -> sqlx::Result<Claims> {
    let found = sqlx::query(
        "SELECT o.*, d.result AS dependency FROM outbox o
         LEFT JOIN outbox d ON d.idempotency_key = o.depends_on
         WHERE o.state = 'pending' AND o.next_attempt_ms <= ?1
           AND (d.id IS NULL OR d.state = 'delivered'
                OR (d.state = 'dead' AND o.needs_result = 0))
           AND NOT EXISTS (SELECT 1 FROM json_each(?2) AS busy
                           WHERE busy.value IN (o.phone_key, o.email_key))
           AND o.sink NOT IN (SELECT value FROM json_each(?3))
         ORDER BY o.next_attempt_ms, o.id LIMIT ?4",
    )
    .bind(now.as_millisecond())
    .bind(serde_json::json!(busy).to_string())
    .bind(serde_json::json!(paused).to_string())
    // Some of what is found may be of one contact.
    .bind(i64::try_from(limit.saturating_mul(4)).unwrap_or(i64::MAX))
    .fetch_all(&mut *conn)
    .await?;

    let mut claims = Claims::default();
    let mut taken: HashSet<String> = HashSet::new();
    for row in &found {
        if claims.claims.len() == limit {
            break;
        }
        let mut claimed = rows::outbox(row)?;
        if claimed.contact_keys().any(|key| taken.contains(key)) {
            continue;
        }
        taken.extend(claimed.contact_keys().map(str::to_owned));
        sqlx::query("UPDATE outbox SET state = 'delivering', updated_ms = ?2 WHERE id = ?1")
            .bind(claimed.id)
            .bind(now.as_millisecond())
            .execute(&mut *conn)
            .await?;
        claimed.state = OutboxState::Delivering;
        let dependency = rows::optional_json(row, "dependency")?;
        claims.claims.push(Claim {
            row: claimed,
            dependency,
        });
    }
    let next = sqlx::query(
        "SELECT MIN(next_attempt_ms) AS next_ms FROM outbox
         WHERE state = 'pending' AND next_attempt_ms > ?1",
    )
    .bind(now.as_millisecond())
    .fetch_one(conn)
    .await?;
    claims.next_due = rows::optional_time(&next, "next_ms")?;
    Ok(claims)
}

/// Writes how an attempt ended; a row that is at its end already stays as it is. What needs the
/// result of a row that is given up is given up with it.
pub(super) async fn settle(
    conn: &mut SqliteConnection,
    id: i64,
    attempts: u32,
    outcome: &Delivered,
    at: Timestamp,
) -> sqlx::Result<()> {
    let (state, next, error, result) = match outcome {
        Delivered::Done { result } => (OutboxState::Delivered, at, None, Some(result.to_string())),
        Delivered::Retry { at, error } => (OutboxState::Pending, *at, Some(error), None),
        Delivered::Dead { error } => (OutboxState::Dead, at, Some(error), None),
    };
    sqlx::query(
        "UPDATE outbox SET state = ?2, attempts = ?3, next_attempt_ms = ?4, last_error = ?5,
             result = ?6, updated_ms = ?7
         WHERE id = ?1 AND state IN ('pending', 'delivering')",
    )
    .bind(id)
    .bind(state.as_str())
    .bind(attempts)
    .bind(next.as_millisecond())
    .bind(error)
    .bind(result)
    .bind(at.as_millisecond())
    .execute(&mut *conn)
    .await?;
    if state == OutboxState::Dead {
        sqlx::query(
            "UPDATE outbox SET state = 'dead', updated_ms = ?2, last_error = ?3
             WHERE state = 'pending' AND needs_result = 1
               AND call_id = (SELECT call_id FROM outbox WHERE id = ?1)
               AND depends_on =
                 (SELECT idempotency_key FROM outbox WHERE id = ?1 AND state = 'dead')",
        )
        .bind(id)
        .bind(at.as_millisecond())
        .bind(UNTRIED)
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Gives a dead row, or all of them, a fresh set of attempts; returns how many. With one row goes
/// the dead one whose result it needs, and with either what was given up untried for want of its
/// result.
pub(super) async fn retry_dead(
    conn: &mut SqliteConnection,
    id: Option<i64>,
    now: Timestamp,
) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "UPDATE outbox SET state = 'pending', attempts = 0, next_attempt_ms = ?2, updated_ms = ?2
         WHERE state = 'dead' AND (?1 IS NULL OR id IN (
             WITH asked AS (SELECT * FROM outbox WHERE id = ?1 AND state = 'dead'),
                  first AS (SELECT idempotency_key FROM asked UNION
                            SELECT depends_on FROM asked WHERE needs_result = 1)
             SELECT id FROM outbox WHERE idempotency_key IN first
             UNION SELECT id FROM outbox
                   WHERE state = 'dead' AND needs_result = 1 AND attempts = 0
                     AND depends_on IN first))",
    )
    .bind(id)
    .bind(now.as_millisecond())
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Reads up to `limit` rows above `after`, oldest first.
pub(in crate::store) async fn list(
    pool: &SqlitePool,
    state: Option<OutboxState>,
    call_id: Option<uuid::Uuid>,
    after: i64,
    limit: u32,
) -> sqlx::Result<Vec<OutboxRow>> {
    let found = sqlx::query(
        "SELECT * FROM outbox
         WHERE id > ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR call_id = ?3)
         ORDER BY id LIMIT ?4",
    )
    .bind(after)
    .bind(state.map(OutboxState::as_str))
    .bind(call_id.map(|id| id.to_string()))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    found.iter().map(rows::outbox).collect()
}

/// Counts the rows that are not delivered.
pub(in crate::store) async fn depth(pool: &SqlitePool) -> sqlx::Result<OutboxDepth> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM outbox WHERE state = 'pending') AS pending,
                (SELECT COUNT(*) FROM outbox WHERE state = 'delivering') AS delivering,
                (SELECT COUNT(*) FROM outbox WHERE state = 'dead') AS dead",
    )
    .fetch_one(pool)
    .await?;
    let count = |column| {
        row.try_get::<i64, _>(column)
            .map(|n| u64::try_from(n).unwrap_or(0))
    };
    Ok(OutboxDepth {
        pending: count("pending")?,
        delivering: count("delivering")?,
        dead: count("dead")?,
    })
}
