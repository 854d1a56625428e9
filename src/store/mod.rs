//! The store: calls, turns, events, appointments and the outbox, in one database file.
//!
//! Everything is asynchronous: a write goes to a queue, and the future ends when the record is safe,
//! in the database or, while that cannot be written, in the spill file. Dropping the future does
//! not take the write back. Signalling therefore spawns its writes or awaits them where a few
//! milliseconds do no harm, and asks [`Store::health`], which waits for nothing, before it takes a
//! new call.
//!
//! What is safe: a record that was kept survives `kill -9` in any case, and the loss of power
//! with [`Durability::PowerLoss`] (the default).

mod calls;
mod error;
mod media;
pub mod outbox;
mod outbox_calls;
mod phones;
pub mod record;
pub mod rfc3339;
mod spill;
mod sqlite;
mod write;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqlitePool;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

pub use error::StoreError;
pub use phones::PhoneRecord;
pub use record::{
    Appointment, Bridge, CachedContact, CallRecord, CallState, CallUpdate, Direction, EventRecord,
    JitterBufferSummary, MediaSummary, Recording, RemoteSummary, TurnLatency, TurnRecord, Who,
};

use spill::Spill;
use sqlite::Database;
use write::{Ask, Reply, Write};
use writer::{Hook, Job, QUEUE_JOBS, Work, Writer};

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// What a kept record survives.
    pub durability: Durability,
    /// How long a write waits for another process's lock before it is spilled.
    pub busy_timeout: Duration,
    /// Connections for reading.
    pub readers: u32,
    /// Where the spill file is; none: beside the database, ending in `.spill`.
    pub spill_path: Option<PathBuf>,
    /// Bytes set aside for the spill file.
    pub spill_bytes: u64,
    /// How often it is tried to drain the spill file.
    pub drain_every: Duration,
    /// The most that the database file may grow to, in bytes of 4 KiB pages.
    pub max_database_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::PowerLoss,
            busy_timeout: Duration::from_secs(1),
            readers: 4,
            spill_path: None,
            spill_bytes: 16 << 20,
            drain_every: Duration::from_secs(1),
            max_database_bytes: None,
        }
    }
}

/// What a record that was kept survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power too: every commit waits for the disk (`synchronous=FULL`). Commits are
    /// shared by all that waits, so this costs a few milliseconds a record, not calls per second.
    PowerLoss,
    /// The death of the process, `kill -9` included, since what it wrote is then the kernel's
    /// (`synchronous=NORMAL`); the loss of power may take the last seconds, but corrupts nothing.
    Crash,
}

/// Whether the database takes records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Health {
    /// It does.
    Ready,
    /// It does not: records go to the spill file, and new calls are to be refused with 503.
    Spilling {
        /// Records in the spill file.
        records: u64,
        /// Bytes that they take.
        used_bytes: u64,
        /// What the database said.
        reason: String,
    },
}

/// What became of [`Store::create_call`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The call is new.
    New,
    /// The same request came before and made this call.
    Existing(Uuid),
    /// The same key came before with another body (HTTP 422).
    Conflict,
}

/// An `Idempotency-Key` with a digest of the body that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: String,
    body_digest: Vec<u8>,
}

impl IdempotencyKey {
    /// Makes one from the header's value (which the caller may prefix with whose key it is) and the
    /// body of the request.
    pub fn new(key: impl Into<String>, body: &[u8]) -> Self {
        Self {
            key: key.into(),
            body_digest: Sha256::digest(body).to_vec(),
        }
    }

    fn key(&self) -> &str {
        &self.key
    }

    fn body_digest(&self) -> &[u8] {
        &self.body_digest
    }
}

/// Which calls [`Store::calls`] lists; what is none is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// In this state.
    pub state: Option<CallState>,
    /// In this direction.
    pub direction: Option<Direction>,
    /// With this agent.
    pub agent: Option<String>,
    /// Over this trunk.
    pub trunk: Option<String>,
    /// From or to exactly this number.
    pub number: Option<String>,
    /// Started then or later, UTC.
    pub started_from: Option<Timestamp>,
    /// Started before then, UTC.
    pub started_before: Option<Timestamp>,
}

/// Which events [`Store::events`] reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those with a higher number, such as `Last-Event-ID` of an SSE client.
    pub after: i64,
    /// Only those of this call.
    pub call_id: Option<Uuid>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// To be passed back for the next one; none on the last.
    pub next_cursor: Option<String>,
}

/// How long what is not a call's record is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events, for replay.
    pub events: Duration,
    /// Delivered rows of the outbox.
    pub delivered: Duration,
    /// Idempotency keys of requests.
    pub idempotency_keys: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            events: 7 * DAY,
            delivered: 30 * DAY,
            idempotency_keys: DAY,
        }
    }
}

/// A call that an earlier run of the switch left open.
#[derive(Debug, Clone)]
struct Unfinished {
    record: CallRecord,
    run_id: Uuid,
    last_seen_at: Timestamp,
}

/// The store; a clone is another handle on the same one.
#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    reads: SqlitePool,
    run_id: Uuid,
    health: watch::Receiver<Health>,
    outbox_changed: watch::Receiver<()>,
    path: Arc<PathBuf>,
    first_event: i64,
    hook: Arc<Hook>,
}

impl Store {
    /// Opens `sqlite://path`, making folders and file where they are missing, brings the schema up
    /// to date and takes in what an earlier run spilled.
    ///
    /// A database that can be read but not written opens too; then the store is spilling.
    ///
    /// # Errors
    /// [`StoreError::Url`] for another kind of URL, [`StoreError::Open`] when a file or the room
    /// for the spill file cannot be had, [`StoreError::InUse`] when another process has it open,
    /// [`StoreError::Migration`] and [`StoreError::Database`] when the database cannot be used.
    pub async fn open(url: &str, options: Options) -> Result<Self, StoreError> {
        let database = Database::new(url, &options)?;
        database.create()?;
        let path = database.path().to_owned();
        let spill_path = options
            .spill_path
            .clone()
            .unwrap_or_else(|| path.with_extension("spill"));
        let run_id = Uuid::now_v7();
        let (spill_id, _) = run_id.as_u64_pair();
        let spill = Spill::open(&spill_path, options.spill_bytes, spill_id)?;
        let reads = database.readers();
        let (health_sender, health) = watch::channel(Health::Ready);
        let (outbox_sender, outbox_changed) = watch::channel(());
        let writer = Writer::open(
            database,
            spill,
            health_sender,
            outbox_sender,
            options.busy_timeout,
        )
        .await?;
        let (first_event, hook) = (writer.next_event_id(), writer.hook());
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let failed = |source| StoreError::Open {
            path: path.clone(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failed)?;
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || runtime.block_on(writer.run(queue, options.drain_every)))
            .map_err(failed)?;
        Ok(Self {
            jobs,
            reads,
            run_id,
            health,
            outbox_changed,
            path: Arc::new(path),
            first_event,
            hook,
        })
    }

    /// Returns where the database file is.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Returns the number that the first event after the opening has: all lower ones are of
    /// earlier runs.
    pub fn first_event(&self) -> i64 {
        self.first_event
    }

    /// Has `tell` called with each event once it is kept, in the order of their numbers; the first
    /// one to ask is told. It runs on the writer's thread and must return at once.
    pub fn on_event(&self, tell: impl Fn(&EventRecord) + Send + Sync + 'static) {
        self.hook.set(Box::new(tell));
    }

    /// Returns whether the database takes records.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Returns a receiver that is told whenever [`health`](Self::health) changes.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Tries at once to bring what was spilled into the database, instead of waiting for the next
    /// of the writer's own attempts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database cannot be written.
    pub async fn drain(&self) -> Result<(), StoreError> {
        self.send(Work::Drain).await.map(|_| ())
    }

    /// Removes what is older than `retention` says; returns how many rows.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database cannot be written.
    pub async fn prune(&self, now: Timestamp, retention: &Retention) -> Result<u64, StoreError> {
        let before = |age: Duration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let mut removed = 0;
        loop {
            let ask = Ask::Prune {
                events_before: before(retention.events),
                delivered_before: before(retention.delivered),
                keys_before: before(retention.idempotency_keys),
            };
            match self.send(Work::Answer(ask)).await? {
                Reply::Changed(rows) if rows > 0 => removed += rows,
                _ => return Ok(removed),
            }
        }
    }

    /// Writes what is queued, closes the database and gives up its lock; later calls of any handle
    /// fail with [`StoreError::Closed`].
    pub async fn close(&self) {
        self.send(Work::Close).await.ok();
        self.reads.close().await;
    }

    /// Queues work and waits for the reply.
    async fn send(&self, work: Work) -> Result<Reply, StoreError> {
        let (reply, done) = oneshot::channel();
        self.jobs
            .send(Job { work, reply })
            .await
            .map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)?
    }

    async fn keep(&self, write: Write) -> Result<(), StoreError> {
        self.send(Work::Keep(write)).await.map(|_| ())
    }

    /// Queues a record that may get lost, without waiting at all.
    fn keep_if_there_is_room(&self, write: Write) {
        let (reply, _) = oneshot::channel();
        self.jobs
            .try_send(Job {
                work: Work::Keep(write),
                reply,
            })
            .ok();
    }
}
