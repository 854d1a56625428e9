//! The one task that writes.
//!
//! It has a thread of its own, where waiting for a disk keeps nobody from working. It takes whatever
//! waits in its queue as one transaction, so the price of a commit is shared and the rate of calls
//! is not bound by the disk's. For what nobody waits for, news and the ends of calls, it lets a moment
//! pass between two of them, so that there is more to share it. When the database cannot be written it turns to
//! the spill file, and from then on every record goes there, in order, until the file has been
//! drained into the database again.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{counter, gauge};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use super::spill::{Spill, Spilled};
use super::sqlite::{self, Batch, Database};
use super::write::{Ask, Reply, Write};
use super::{EventRecord, Health, StoreError};
use crate::observe::metrics::{
    STORE_ERRORS, STORE_LOST, STORE_SPILLED, STORE_SPILLED_WAITING, STORE_SPILLING,
};

/// Jobs that may wait; who asks for more waits in turn.
pub(super) const QUEUE_JOBS: usize = 1024;
/// Jobs in one transaction.
const BATCH_JOBS: usize = 256;
/// Between two transactions of nothing but what nobody waits for.
const GATHER: Duration = Duration::from_millis(40);
/// How long an attempt to drain waits for a lock: meanwhile no record is spilled.
const DRAIN_BUSY_TIMEOUT: Duration = Duration::from_millis(50);

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Work {
    Keep(Write),
    Answer(Ask),
    Drain,
    Close,
}

impl Work {
    /// Whether somebody waits until it is done: a caller for its answer, or whoever asked. At a call's
    /// end nobody does.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Keep(write) => !write.is_news() && !matches!(write, Write::FinishCall { .. }),
            _ => true,
        }
    }
}

/// A piece of work and whom to tell how it went.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Result<Reply, StoreError>>,
}

/// Whom to tell of events.
#[derive(Default)]
pub(super) struct Hook(OnceLock<Tell>);

type Tell = Box<dyn Fn(&EventRecord) + Send + Sync>;

impl Hook {
    pub(super) fn set(&self, tell: Tell) {
        self.0.set(tell).ok();
    }

    fn tell(&self, work: &Work) {
        let Work::Keep(write) = work else { return };
        if let (Some(event), Some(tell)) = (write.event(), self.0.get()) {
            tell(event);
        }
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hook")
            .field(&self.0.get().is_some())
            .finish()
    }
}

pub(super) struct Writer {
    database: Database,
    /// The connection; none while spilling.
    conn: Option<SqliteConnection>,
    spill: Spill,
    health: watch::Sender<Health>,
    outbox_changed: watch::Sender<()>,
    busy_timeout: Duration,
    next_event_id: i64,
    hook: Arc<Hook>,
    /// Whether this process has given its predecessor's claims back.
    claims_released: bool,
}

impl Writer {
    /// Opens the database, brings it up to date and drains what an earlier run spilled.
    pub(super) async fn open(
        database: Database,
        spill: Spill,
        health: watch::Sender<Health>,
        outbox_changed: watch::Sender<()>,
        busy_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let mut conn = database.writer(busy_timeout).await?;
        sqlite::migrate(&mut conn).await?;
        let mut next_event_id = sqlite::last_event_id(&mut conn).await? + 1;
        let spilled = spill.read().map_err(|source| StoreError::Open {
            path: spill.path().to_owned(),
            source,
        })?;
        for record in &spilled {
            let write = serde_json::from_slice::<Write>(&record.body).ok();
            if let Some(event) = write.as_ref().and_then(Write::event) {
                next_event_id = next_event_id.max(event.id + 1);
            }
        }
        conn.close().await.ok();
        let mut writer = Self {
            database,
            conn: None,
            spill,
            health,
            outbox_changed,
            busy_timeout,
            next_event_id,
            hook: Arc::default(),
            claims_released: false,
        };
        if let Err(error) = writer.drain().await {
            writer.start_spilling(&error);
        }
        Ok(writer)
    }

    /// Returns the number that the next event gets.
    pub(super) fn next_event_id(&self) -> i64 {
        self.next_event_id
    }

    /// Returns where to say who is told of events.
    pub(super) fn hook(&self) -> Arc<Hook> {
        Arc::clone(&self.hook)
    }

    /// Works until the store is closed.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>, drain_every: Duration) {
        let mut ticks = tokio::time::interval(drain_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut news_at = Instant::now();
        loop {
            let spilling = self.conn.is_none();
            let first = tokio::select! {
                job = jobs.recv() => job,
                _ = ticks.tick(), if spilling => {
                    self.drain().await.ok();
                    continue;
                }
            };
            let Some(first) = first else { break };
            let mut urgent = first.work.is_urgent();
            let mut batch = vec![first];
            while batch.len() < BATCH_JOBS {
                let job = match jobs.try_recv() {
                    Ok(job) => job,
                    Err(_) if urgent => break,
                    Err(_) => match timeout_at(news_at, jobs.recv()).await {
                        Ok(Some(job)) => job,
                        Ok(None) | Err(_) => break,
                    },
                };
                urgent |= job.work.is_urgent();
                batch.push(job);
            }
            news_at = Instant::now() + GATHER;
            let closer = self.serve(batch).await;
            if !spilling && self.conn.is_none() {
                ticks.reset();
            }
            if let Some(closed) = closer {
                // What was sent before the close was served before it; what comes after fails.
                jobs.close();
                while let Ok(job) = jobs.try_recv() {
                    job.reply.send(Err(StoreError::Closed)).ok();
                }
                self.close().await;
                closed.send(Ok(Reply::Done)).ok();
                return;
            }
        }
        self.close().await;
    }

    /// Closes the database and gives up the lock on the spill file.
    async fn close(self) {
        if let Some(conn) = self.conn {
            conn.close().await.ok();
        }
    }

    /// Does a batch; returns whom to tell when it held the order to close.
    async fn serve(&mut self, batch: Vec<Job>) -> Option<Closer> {
        let mut jobs = Vec::with_capacity(batch.len());
        let mut closer = None;
        for mut job in batch {
            match &mut job.work {
                Work::Close => closer = Some(job.reply),
                Work::Drain => {
                    let drained = if self.conn.is_some() {
                        Ok(())
                    } else {
                        self.drain().await
                    };
                    job.reply.send(drained.map(|()| Reply::Done)).ok();
                }
                Work::Keep(write) => {
                    if let Some(event) = write.event_mut() {
                        event.id = self.next_event_id;
                        self.next_event_id += 1;
                    }
                    jobs.push(job);
                }
                Work::Answer(_) => jobs.push(job),
            }
        }
        if !jobs.is_empty() {
            self.serve_jobs(jobs).await;
        }
        closer
    }

    async fn serve_jobs(&mut self, jobs: Vec<Job>) {
        if self.conn.is_none() {
            return self.spill_jobs(jobs).await;
        }
        match self.transact(&jobs).await {
            Ok(replies) => self.tell(jobs, replies),
            Err(error) if sqlite::is_unavailable(&error) => {
                self.start_spilling(&error);
                self.spill_jobs(jobs).await;
            }
            // One of them is at fault: alone, it harms no other.
            Err(_) if jobs.len() > 1 => {
                for job in jobs {
                    Box::pin(self.serve_jobs(vec![job])).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the database refused a record");
                counter!(STORE_ERRORS).increment(1);
                if let Some(job) = jobs.into_iter().next() {
                    job.reply.send(Err(error.into())).ok();
                }
            }
        }
    }

    /// Does the jobs in one transaction.
    async fn transact(&mut self, jobs: &[Job]) -> sqlx::Result<Vec<Reply>> {
        let Some(conn) = &mut self.conn else {
            return Err(sqlx::Error::WorkerCrashed);
        };
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
        let mut batch = Batch::new(&mut transaction);
        let mut replies = Vec::with_capacity(jobs.len());
        for job in jobs {
            replies.push(match &job.work {
                Work::Keep(write) => batch.keep(write).await?,
                Work::Answer(ask) => batch.answer(ask).await?,
                Work::Drain | Work::Close => Reply::Done,
            });
        }
        batch.finish().await?;
        transaction.commit().await?;
        Ok(replies)
    }

    fn tell(&self, jobs: Vec<Job>, replies: Vec<Reply>) {
        let mut outbox_changed = false;
        for (job, reply) in jobs.into_iter().zip(replies) {
            outbox_changed |= match &job.work {
                Work::Keep(write) => write.touches_outbox(),
                Work::Answer(ask) => matches!(ask, Ask::RetryDead { .. }),
                Work::Drain | Work::Close => false,
            };
            self.hook.tell(&job.work);
            // Who asked may have gone; what was asked is done all the same.
            job.reply.send(Ok(reply)).ok();
        }
        if outbox_changed {
            self.outbox_changed.send_replace(());
        }
    }

    /// Turns from the database to the spill file.
    fn start_spilling(&mut self, error: &dyn std::error::Error) {
        self.conn = None;
        counter!(STORE_ERRORS).increment(1);
        let reason = error.to_string();
        tracing::error!(reason, spill = %self.spill.path().display(),
            "the database cannot be written: records go to the spill file, new calls get 503");
        self.publish(Some(reason));
    }

    /// Puts records into the spill file; questions are refused.
    async fn spill_jobs(&mut self, jobs: Vec<Job>) {
        let reason = match &*self.health.borrow() {
            Health::Spilling { reason, .. } => reason.clone(),
            Health::Ready => String::new(),
        };
        let mut spilled = Vec::with_capacity(jobs.len());
        for job in jobs {
            let Work::Keep(write) = &job.work else {
                job.reply
                    .send(Err(StoreError::Unavailable(reason.clone())))
                    .ok();
                continue;
            };
            let reply = match write {
                Write::AppendEvent { event } => Reply::Event(event.id),
                _ => Reply::Done,
            };
            let result = spill_one(&mut self.spill, write).map(|()| reply);
            spilled.push((job, result));
        }
        let synced = self.spill.sync();
        // First, so that whoever is told of a record also sees where it went.
        self.publish(Some(reason));
        for (job, result) in spilled {
            let result = match (&synced, result) {
                (Err(error), Ok(_)) => Err(StoreError::Lost(error.to_string())),
                (_, result) => result,
            };
            match &result {
                Ok(_) => counter!(STORE_SPILLED).increment(1),
                Err(error) => {
                    counter!(STORE_LOST).increment(1);
                    tracing::error!(%error, "a record could not be kept");
                }
            }
            // Who watches hears of it even when it could be kept nowhere.
            self.hook.tell(&job.work);
            job.reply.send(result).ok();
        }
    }

    /// Moves what was spilled into the database and, when all of it is there, goes back to it.
    async fn drain(&mut self) -> Result<(), StoreError> {
        let result = self.try_drain().await;
        match result {
            Ok(conn) => {
                self.conn = Some(conn);
                self.publish(None);
                self.outbox_changed.send_replace(());
                Ok(())
            }
            Err(error) => {
                self.publish(Some(error.to_string()));
                Err(StoreError::Unavailable(error.to_string()))
            }
        }
    }

    async fn try_drain(&mut self) -> Result<SqliteConnection, StoreError> {
        let mut conn = self.database.writer(DRAIN_BUSY_TIMEOUT).await?;
        let done = sqlite::probe(&mut conn, self.spill.id()).await?;
        let unread = |source| StoreError::Open {
            path: self.spill.path().to_owned(),
            source,
        };
        let mut records = self.spill.read().map_err(unread)?;
        records.retain(|record| record.seq > done);
        for batch in records.chunks(BATCH_JOBS) {
            drain_batch(&mut conn, self.spill.id(), batch).await?;
        }
        if self.spill.records() > 0
            && let Err(error) = self.spill.reset()
        {
            // The database knows how far it has got, so nothing comes twice.
            tracing::warn!(%error, "the spill file could not be emptied");
        }
        if !self.claims_released {
            sqlite::release_claims(&mut conn).await?;
            self.claims_released = true;
        }
        sqlite::set_busy_timeout(&mut conn, self.busy_timeout).await?;
        if !records.is_empty() {
            tracing::info!(records = records.len(), "the spill file was drained");
        }
        Ok(conn)
    }

    /// Tells how the store is; `reason` is none when the database can be written.
    fn publish(&self, reason: Option<String>) {
        let health = match reason {
            None => Health::Ready,
            Some(reason) => Health::Spilling {
                records: self.spill.records(),
                used_bytes: self.spill.used_bytes(),
                reason,
            },
        };
        gauge!(STORE_SPILLING).set(if health == Health::Ready { 0.0 } else { 1.0 });
        gauge!(STORE_SPILLED_WAITING).set(self.spill.records() as f64);
        self.health.send_if_modified(|current| {
            let changed = *current != health;
            *current = health;
            changed
        });
    }
}

type Closer = oneshot::Sender<Result<Reply, StoreError>>;

fn spill_one(spill: &mut Spill, write: &Write) -> Result<(), StoreError> {
    let body = serde_json::to_vec(write).map_err(|error| StoreError::Lost(error.to_string()))?;
    spill
        .append(&body, write.is_essential())
        .map_err(|error| StoreError::Lost(format!("{}: {error}", spill.path().display())))
}

/// Replays a batch in one transaction; one that the database refuses is set aside, not lost.
async fn drain_batch(
    conn: &mut SqliteConnection,
    spill_id: u64,
    batch: &[Spilled],
) -> sqlx::Result<()> {
    match replay(conn, spill_id, batch).await {
        Err(error) if !sqlite::is_unavailable(&error) => {
            for record in batch {
                let alone = std::slice::from_ref(record);
                let Err(error) = replay(conn, spill_id, alone).await else {
                    continue;
                };
                if sqlite::is_unavailable(&error) {
                    return Err(error);
                }
                tracing::error!(%error, seq = record.seq, "a spilled record was set aside");
                let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
                let reason = error.to_string();
                sqlite::reject(&mut transaction, record.seq, &record.body, &reason).await?;
                sqlite::set_spill_seq(&mut transaction, spill_id, record.seq).await?;
                transaction.commit().await?;
            }
            Ok(())
        }
        result => result,
    }
}

async fn replay(
    conn: &mut SqliteConnection,
    spill_id: u64,
    records: &[Spilled],
) -> sqlx::Result<()> {
    let read = |record: &Spilled| serde_json::from_slice(&record.body);
    let writes: Result<Vec<Write>, _> = records.iter().map(read).collect();
    let writes = writes.map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let mut batch = Batch::new(&mut transaction);
    for write in &writes {
        batch.keep(write).await?;
    }
    batch.finish().await?;
    if let Some(last) = records.last() {
        sqlite::set_spill_seq(&mut transaction, spill_id, last.seq).await?;
    }
    transaction.commit().await
}
