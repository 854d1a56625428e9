//! The outbox's deliverer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{counter, gauge};
use serde_json::Value;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::error::{Retry, SinkError};
use super::sinks::{Sinks, learned};
use crate::observe::metrics::{OUTBOX_DELIVERIES, OUTBOX_ROWS};
use crate::store::outbox::{Claim, Delivered};
use crate::store::{Store, StoreError};

/// The longest sleep: also a clock that was set forward is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// The pause after the store could not be asked.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// The shortest wait that another side may ask for: a server that says 0 is not hammered.
const LEAST_RETRY_AFTER: Duration = Duration::from_secs(1);
/// The time between two counts of the outbox.
const DEPTH_EVERY: Duration = Duration::from_secs(1);
/// How long what is in flight may take to end when the switch stops.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// How the outbox is delivered.
#[derive(Debug, Clone)]
pub struct DeliveryOptions {
    /// Rows in flight at once.
    pub concurrency: usize,
    /// Attempts before a row is dead.
    pub max_attempts: u32,
    /// The first wait; each further one is twice as long.
    pub first_retry: Duration,
    /// The longest wait.
    pub retry_ceiling: Duration,
}

impl Default for DeliveryOptions {
    /// Four requests at once; a CRM may be gone for three days before anything is given up.
    fn default() -> Self {
        Self {
            concurrency: 4,
            max_attempts: 400,
            first_retry: Duration::from_secs(2),
            retry_ceiling: Duration::from_secs(15 * 60),
        }
    }
}

/// Takes due rows out of the outbox and has the sinks carry them out.
///
/// A row is claimed in the database before anything is sent and settled there afterwards, so a
/// crash in between leads to a repetition with the same `Idempotency-Key`, never to a loss. Rows of
/// one contact are never in flight together. Time is passed in; [`run`](Self::run) is the shell
/// that reads a clock.
#[derive(Debug)]
pub struct Delivery {
    store: Store,
    sinks: Arc<Sinks>,
    options: DeliveryOptions,
    tasks: JoinSet<Result<Value, SinkError>>,
    in_flight: HashMap<task::Id, Claim>,
    /// Sinks that asked to be left in peace, and until when.
    paused: HashMap<String, Timestamp>,
    depth_at: Timestamp,
}

impl Delivery {
    /// Makes the one deliverer of a store.
    pub fn new(store: Store, sinks: Sinks, options: DeliveryOptions) -> Self {
        Self {
            store,
            sinks: Arc::new(sinks),
            options,
            tasks: JoinSet::new(),
            in_flight: HashMap::new(),
            paused: HashMap::new(),
            depth_at: Timestamp::MIN,
        }
    }

    /// Delivers until it is told to stop; then what is in flight gets five seconds to end, and
    /// what has not is taken up again at the next start.
    pub async fn run(mut self, now: impl Fn() -> Timestamp, stop: CancellationToken) {
        let mut outbox = self.store.watch_outbox();
        while !stop.is_cancelled() {
            outbox.mark_unchanged();
            let sleep = match self.start_due(now()).await {
                Ok(next) => next.map_or(LONGEST_SLEEP, |next| wait(now(), next)),
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::debug!(%error, "the outbox waits");
                    STORE_PAUSE
                }
            };
            self.show_depth(now()).await;
            tokio::select! {
                Some(done) = self.tasks.join_next_with_id() => {
                    self.settle(done, now()).await.ok();
                }
                changed = outbox.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(sleep) => {}
                () = stop.cancelled() => {}
            }
        }
        let end = async {
            while let Some(done) = self.tasks.join_next_with_id().await {
                self.settle(done, now()).await.ok();
            }
        };
        tokio::time::timeout(STOP_GRACE, end).await.ok();
    }

    /// Delivers everything that is due at `now`, and what becomes due by it; returns when the next
    /// row is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database cannot be written.
    pub async fn deliver_due(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        loop {
            let next = self.start_due(now).await?;
            match self.tasks.join_next_with_id().await {
                Some(done) => self.settle(done, now).await?,
                None => return Ok(next),
            }
        }
    }

    /// Starts what is due and finds room; returns when to look again.
    async fn start_due(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.paused.retain(|_, until| *until > now);
        let room = self
            .options
            .concurrency
            .saturating_sub(self.in_flight.len());
        if room == 0 {
            return Ok(None);
        }
        let busy = self
            .in_flight
            .values()
            .flat_map(|claim| claim.row.contact_keys());
        let busy = busy.map(str::to_owned).collect();
        let paused = self.paused.keys().cloned().collect();
        let claims = self.store.claim_outbox(now, room, busy, paused).await?;
        for claim in claims.claims {
            let sinks = Arc::clone(&self.sinks);
            let work = claim.clone();
            let task = self.tasks.spawn(async move { sinks.deliver(&work).await });
            self.in_flight.insert(task.id(), claim);
        }
        Ok(claims
            .next_due
            .into_iter()
            .chain(self.paused.values().copied())
            .min())
    }

    /// Keeps how an attempt ended.
    async fn settle(
        &mut self,
        done: Result<(task::Id, Result<Value, SinkError>), task::JoinError>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (id, result) = match done {
            Ok((id, result)) => (id, result),
            Err(error) => (
                error.id(),
                Err(SinkError::transient("the delivery broke off")),
            ),
        };
        let Some(claim) = self.in_flight.remove(&id) else {
            return Ok(());
        };
        let row = &claim.row;
        let attempts = row.attempts.saturating_add(1);
        let (word, outcome) = match result {
            Ok(result) => {
                if let Some(contact) = learned(row, &result, now) {
                    self.store.remember_contact(contact);
                }
                ("delivered", Delivered::Done { result })
            }
            Err(error) => self.failed(&claim, attempts, &error, now),
        };
        let (sink, kind) = (row.sink.clone(), row.kind.clone());
        counter!(OUTBOX_DELIVERIES, "sink" => sink, "kind" => kind, "outcome" => word).increment(1);
        self.store
            .settle_outbox(row.id, attempts, outcome, now)
            .await
    }

    /// Decides what becomes of a row that failed; the word is the metric's.
    fn failed(
        &mut self,
        claim: &Claim,
        attempts: u32,
        error: &SinkError,
        now: Timestamp,
    ) -> (&'static str, Delivered) {
        let row = &claim.row;
        // The other side's words may name the caller: they are not logged above DEBUG.
        tracing::debug!(call = %row.call_id, kind = row.kind, error = error.full(), "refused");
        let words = error.full();
        match self.next_attempt(claim, attempts, error, now) {
            Some(at) => {
                tracing::info!(call = %row.call_id, kind = row.kind, attempts, %at, %error,
                    "to be delivered again");
                ("retry", Delivered::Retry { at, error: words })
            }
            None => {
                tracing::error!(call = %row.call_id, kind = row.kind, attempts, %error,
                    "given up: a dead letter");
                ("dead", Delivered::Dead { error: words })
            }
        }
    }

    /// Returns when a failed row is tried again; none when it is dead.
    fn next_attempt(
        &mut self,
        claim: &Claim,
        attempts: u32,
        error: &SinkError,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if attempts >= self.options.max_attempts {
            return None;
        }
        match error.retry {
            Retry::Never => None,
            Retry::Backoff => {
                let backoff = Backoff {
                    first: self.options.first_retry,
                    ceiling: self.options.retry_ceiling,
                };
                let delay = backoff.delay(attempts, &claim.row.idempotency_key);
                Some(now.checked_add(delay).unwrap_or(Timestamp::MAX))
            }
            Retry::After(after) => {
                let least = now.checked_add(LEAST_RETRY_AFTER).unwrap_or(Timestamp::MAX);
                let at = after.from(now).max(least);
                self.paused.insert(claim.row.sink.clone(), at);
                Some(at)
            }
        }
    }

    async fn show_depth(&mut self, now: Timestamp) {
        if now < self.depth_at {
            return;
        }
        self.depth_at = now.checked_add(DEPTH_EVERY).unwrap_or(Timestamp::MAX);
        if let Ok(depth) = self.store.outbox_depth().await {
            gauge!(OUTBOX_ROWS, "state" => "pending").set(depth.pending as f64);
            gauge!(OUTBOX_ROWS, "state" => "delivering").set(depth.delivering as f64);
            gauge!(OUTBOX_ROWS, "state" => "dead").set(depth.dead as f64);
        }
    }
}

/// Returns how long to sleep from `now` to `next`.
fn wait(now: Timestamp, next: Timestamp) -> Duration {
    let ms = next.as_millisecond().saturating_sub(now.as_millisecond());
    // One more, because what is left of a millisecond was cut off.
    Duration::from_millis(u64::try_from(ms).unwrap_or(0) + 1).min(LONGEST_SLEEP)
}
