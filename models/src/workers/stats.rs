//! What the inference threads did, by priority.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Priority, STEP_LIMIT};

/// A snapshot of the workers' counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerStats([PriorityStats; 5]);

/// Counters of one priority; all but `waiting` only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriorityStats {
    /// Jobs that wait now.
    pub waiting: usize,
    /// Jobs taken into the queue.
    pub submitted: u64,
    /// Jobs that delivered their result.
    pub done: u64,
    /// Jobs refused because the queue was full.
    pub rejected: u64,
    /// Jobs that gave way to a newer one.
    pub overtaken: u64,
    /// Jobs cancelled before they were done.
    pub cancelled: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Steps run.
    pub steps: u64,
    /// Steps that took longer than [`STEP_LIMIT`].
    pub slow_steps: u64,
    /// The longest step.
    pub longest_step: Duration,
    /// Time spent in steps.
    pub busy: Duration,
    /// Time that jobs waited before their first step, summed.
    pub waited: Duration,
    /// The longest wait before a first step.
    pub longest_wait: Duration,
}

impl WorkerStats {
    /// Returns the counters of one priority.
    #[must_use]
    pub fn of(&self, priority: Priority) -> &PriorityStats {
        let [turn, final_stt, first_tts, partial_stt, rest_tts] = &self.0;
        match priority {
            Priority::Turn => turn,
            Priority::FinalStt => final_stt,
            Priority::FirstTts => first_tts,
            Priority::PartialStt => partial_stt,
            Priority::RestTts => rest_tts,
        }
    }

    pub(super) fn of_mut(&mut self, priority: Priority) -> &mut PriorityStats {
        let [turn, final_stt, first_tts, partial_stt, rest_tts] = &mut self.0;
        match priority {
            Priority::Turn => turn,
            Priority::FinalStt => final_stt,
            Priority::FirstTts => first_tts,
            Priority::PartialStt => partial_stt,
            Priority::RestTts => rest_tts,
        }
    }
}

/// A counter that threads share.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn raise_to(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct PriorityCounters {
    pub(super) submitted: Counter,
    pub(super) done: Counter,
    pub(super) rejected: Counter,
    pub(super) overtaken: Counter,
    pub(super) cancelled: Counter,
    pub(super) panicked: Counter,
    steps: Counter,
    slow_steps: Counter,
    longest_step_us: Counter,
    busy_us: Counter,
    waited_us: Counter,
    longest_wait_us: Counter,
}

impl PriorityCounters {
    pub(super) fn stepped(&self, took: Duration) {
        self.steps.add(1);
        self.slow_steps.add(u64::from(took > STEP_LIMIT));
        self.longest_step_us.raise_to(micros(took));
        self.busy_us.add(micros(took));
    }

    pub(super) fn waited(&self, waited: Duration) {
        self.waited_us.add(micros(waited));
        self.longest_wait_us.raise_to(micros(waited));
    }

    fn snapshot(&self) -> PriorityStats {
        PriorityStats {
            waiting: 0,
            submitted: self.submitted.read(),
            done: self.done.read(),
            rejected: self.rejected.read(),
            overtaken: self.overtaken.read(),
            cancelled: self.cancelled.read(),
            panicked: self.panicked.read(),
            steps: self.steps.read(),
            slow_steps: self.slow_steps.read(),
            longest_step: Duration::from_micros(self.longest_step_us.read()),
            busy: Duration::from_micros(self.busy_us.read()),
            waited: Duration::from_micros(self.waited_us.read()),
            longest_wait: Duration::from_micros(self.longest_wait_us.read()),
        }
    }
}

/// The counters of all priorities.
#[derive(Debug, Default)]
pub(super) struct Counters([PriorityCounters; 5]);

impl Counters {
    pub(super) fn of(&self, priority: Priority) -> &PriorityCounters {
        let [turn, final_stt, first_tts, partial_stt, rest_tts] = &self.0;
        match priority {
            Priority::Turn => turn,
            Priority::FinalStt => final_stt,
            Priority::FirstTts => first_tts,
            Priority::PartialStt => partial_stt,
            Priority::RestTts => rest_tts,
        }
    }

    pub(super) fn read(&self) -> WorkerStats {
        WorkerStats(Priority::ALL.map(|priority| self.of(priority).snapshot()))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
