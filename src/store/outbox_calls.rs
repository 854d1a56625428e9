//! The outbox as its deliverer and the API use it.

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::calls::{PAGE_LIMIT, page};
use super::outbox::{Claims, Delivered, OutboxDepth, OutboxRow, OutboxState};
use super::write::{Ask, Reply, Write};
use super::writer::Work;
use super::{Page, Store, StoreError, sqlite};

impl Store {
    /// Takes up to `limit` rows that are due: none that shares a contact key with another one or
    /// with `busy`, none for a sink in `paused`, none whose predecessor has not come to its end.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database cannot be written.
    pub async fn claim_outbox(
        &self,
        now: Timestamp,
        limit: usize,
        busy: Vec<String>,
        paused: Vec<String>,
    ) -> Result<Claims, StoreError> {
        match self
            .send(Work::Answer(Ask::Claim {
                now,
                limit,
                busy,
                paused,
            }))
            .await?
        {
            Reply::Claimed(claims) => Ok(claims),
            _ => Ok(Claims::default()),
        }
    }

    /// Keeps how an attempt, the `attempts`-th, ended.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when neither database nor spill file takes it.
    pub async fn settle_outbox(
        &self,
        id: i64,
        attempts: u32,
        outcome: Delivered,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.keep(Write::Settle {
            id,
            attempts,
            outcome,
            at,
        })
        .await
    }

    /// Lists rows of the outbox, oldest first: of one state, of one call, or all of them.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that no page gave, [`StoreError::Database`] when the
    /// database cannot be read.
    pub async fn outbox(
        &self,
        state: Option<OutboxState>,
        call_id: Option<Uuid>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<OutboxRow>, StoreError> {
        let after = cursor
            .map_or(Ok(0), str::parse)
            .map_err(|_| StoreError::Invalid("cursor: pass next_cursor of a page".into()))?;
        let limit = limit.clamp(1, PAGE_LIMIT);
        let items = sqlite::outbox_rows(&self.reads, state, call_id, after, limit + 1).await?;
        Ok(page(items, limit, |row| row.id.to_string()))
    }

    /// Reads one row of the outbox.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn outbox_row(&self, id: i64) -> Result<Option<OutboxRow>, StoreError> {
        let after = id.saturating_sub(1);
        let mut found = sqlite::outbox_rows(&self.reads, None, None, after, 1).await?;
        Ok(found.pop().filter(|row| row.id == id))
    }

    /// Gives a dead row a fresh set of attempts, from now; returns whether it was dead.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database cannot be written.
    pub async fn retry_dead(&self, id: i64, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.retry(Some(id), now).await? > 0)
    }

    /// Gives every dead row a fresh set of attempts, from now; returns how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database cannot be written.
    pub async fn retry_all_dead(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.retry(None, now).await
    }

    async fn retry(&self, id: Option<i64>, now: Timestamp) -> Result<u64, StoreError> {
        match self.send(Work::Answer(Ask::RetryDead { id, now })).await? {
            Reply::Changed(rows) => Ok(rows),
            _ => Ok(0),
        }
    }

    /// Counts the rows that are not delivered yet.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn outbox_depth(&self) -> Result<OutboxDepth, StoreError> {
        Ok(sqlite::depth(&self.reads).await?)
    }

    /// Returns a receiver that is told whenever the outbox may hold something new to do.
    pub fn watch_outbox(&self) -> watch::Receiver<()> {
        self.outbox_changed.clone()
    }
}
