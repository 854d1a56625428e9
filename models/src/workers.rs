//! Inference threads: jobs in steps, by priority, over bounded queues.
//!
//! A run of a graph cannot be pre-empted, so a job does its work in steps of at most
//! [`STEP_LIMIT`]; after each step the most urgent job goes on. One that was begun goes before
//! those of the same priority that wait, so that equals do not delay each other in turns.

mod queue;
mod stats;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use queue::{Priority, QueueLimits};
pub use stats::{PriorityStats, WorkerStats};
use thiserror::Error;

use queue::{Entry, Queues};

/// The longest that one step of a job should take; longer ones are counted as slow.
pub const STEP_LIMIT: Duration = Duration::from_millis(60);

/// What a job says after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// There is more to do.
    Again,
    /// The job has delivered its result and is dropped.
    Done,
}

/// Why a job ends without being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// Its [`Cancel`] was pulled.
    Cancelled,
    /// A newer job took its place in a full queue ([`Priority::PartialStt`] only).
    Overtaken,
    /// A step panicked.
    Panicked,
    /// The workers were stopped.
    Stopped,
}

/// Work in steps; it carries its own way to deliver the result (a channel, a callback).
pub trait Job: Send {
    /// Does the next piece of work, at most [`STEP_LIMIT`] long.
    fn step(&mut self) -> JobState;

    /// Learns that no further step will come.
    fn abandoned(&mut self, _why: Abandoned) {}
}

impl<F: FnMut() -> JobState + Send> Job for F {
    fn step(&mut self) -> JobState {
        self()
    }
}

/// Stops a job before its next step; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the job to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Tells whether the job was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Rejected {
    /// The queue of its priority is full.
    #[error("the {0:?} queue of the inference threads is full")]
    Full(Priority),
    /// The workers were stopped.
    #[error("the inference threads were stopped")]
    Stopped,
}

/// How the workers are set up.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// Number of threads, at least one.
    pub threads: usize,
    /// The clock by which steps are timed.
    pub clock: fn() -> Instant,
    /// Runs first on each thread, given its index: to set its niceness or affinity.
    pub on_start: fn(usize),
    /// Bounds of the queues.
    pub limits: QueueLimits,
}

impl WorkerOptions {
    /// Makes options for a number of threads that read `clock`.
    #[must_use]
    pub fn new(threads: usize, clock: fn() -> Instant) -> Self {
        Self {
            threads,
            clock,
            on_start: |_| (),
            limits: QueueLimits::default(),
        }
    }
}

/// The inference threads; dropping it stops them after their current steps.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts the threads, named `infer-0`, `infer-1`, ….
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(options: WorkerOptions) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queues: Queues::new(options.limits),
                stopped: false,
            }),
            work: Condvar::new(),
            stats: stats::Counters::default(),
            clock: options.clock,
        });
        let mut workers = Self {
            shared,
            threads: Vec::new(),
        };
        for index in 0..options.threads.max(1) {
            let shared = Arc::clone(&workers.shared);
            let thread = std::thread::Builder::new().name(format!("infer-{index}"));
            workers.threads.push(thread.spawn(move || {
                (options.on_start)(index);
                shared.work_until_stopped();
            })?);
        }
        Ok(workers)
    }

    /// Queues a job. On overflow a new job is refused, but at [`Priority::PartialStt`] the
    /// oldest waiting one gives way, since a newer partial transcript makes it worthless.
    ///
    /// # Errors
    /// The queue is full or the workers were stopped.
    pub fn submit(&self, priority: Priority, job: Box<dyn Job>) -> Result<Cancel, Rejected> {
        let cancel = Cancel::default();
        let entry = Entry {
            job,
            cancel: cancel.clone(),
            queued_at: (self.shared.clock)(),
        };
        let pushed = {
            let mut state = self.shared.lock();
            if state.stopped {
                return Err(Rejected::Stopped);
            }
            state.queues.push(priority, entry)
        };
        let counters = self.shared.stats.of(priority);
        match pushed {
            Err(full) => {
                counters.rejected.add(1);
                return Err(full);
            }
            Ok(Some(overtaken)) => {
                counters.overtaken.add(1);
                abandon(overtaken, Abandoned::Overtaken);
            }
            Ok(None) => {}
        }
        counters.submitted.add(1);
        self.shared.work.notify_one();
        Ok(cancel)
    }

    /// Returns the counters so far.
    #[must_use]
    pub fn stats(&self) -> WorkerStats {
        let mut stats = self.shared.stats.read();
        let state = self.shared.lock();
        for priority in Priority::ALL {
            stats.of_mut(priority).waiting = state.queues.waiting(priority);
        }
        stats
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let left = {
            let mut state = self.shared.lock();
            state.stopped = true;
            state.queues.drain()
        };
        self.shared.work.notify_all();
        for entry in left {
            abandon(entry, Abandoned::Stopped);
        }
        for thread in self.threads.drain(..) {
            // A job may own the last handle and drop it on an inference thread.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

struct State {
    queues: Queues,
    stopped: bool,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    stats: stats::Counters,
    clock: fn() -> Instant,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_until_stopped(&self) {
        while let Some((priority, entry)) = self.next() {
            if let Some(entry) = self.step(priority, entry) {
                let mut state = self.lock();
                if !state.stopped {
                    state.queues.put_back(priority, entry);
                    continue;
                }
                drop(state);
                abandon(entry, Abandoned::Stopped);
            }
        }
    }

    /// Takes the most urgent job, waiting for one; `None` once the workers are stopped.
    fn next(&self) -> Option<(Priority, Entry)> {
        let mut state = self.lock();
        while !state.stopped {
            if let Some((priority, entry, begun)) = state.queues.pop() {
                if !begun {
                    let waited = (self.clock)().saturating_duration_since(entry.queued_at);
                    self.stats.of(priority).waited(waited);
                }
                return Some((priority, entry));
            }
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Runs one step; gives the job back if it has more to do.
    fn step(&self, priority: Priority, mut entry: Entry) -> Option<Entry> {
        let counters = self.stats.of(priority);
        if entry.cancel.is_cancelled() {
            counters.cancelled.add(1);
            abandon(entry, Abandoned::Cancelled);
            return None;
        }
        let began = (self.clock)();
        let outcome = catch_unwind(AssertUnwindSafe(|| entry.job.step()));
        counters.stepped((self.clock)().saturating_duration_since(began));
        match outcome {
            Ok(JobState::Again) => return Some(entry),
            Ok(JobState::Done) => counters.done.add(1),
            Err(_) => {
                tracing::error!(?priority, "a job on an inference thread panicked");
                counters.panicked.add(1);
                abandon(entry, Abandoned::Panicked);
            }
        }
        None
    }
}

/// Tells a job that it ends early; a panic in that, too, stays inside the job.
fn abandon(mut entry: Entry, why: Abandoned) {
    let told = catch_unwind(AssertUnwindSafe(move || entry.job.abandoned(why)));
    if told.is_err() {
        tracing::error!(?why, "a job panicked while it was abandoned");
    }
}
