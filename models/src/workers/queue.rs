//! One bounded queue per priority.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Cancel, Job, Rejected};

/// How urgent a job is, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Is the caller's turn over?
    Turn,
    /// The transcript on which the answer hangs.
    FinalStt,
    /// The first sound of an answer.
    FirstTts,
    /// A transcript while the caller still speaks.
    PartialStt,
    /// Sound that follows sound already playing.
    RestTts,
}

impl Priority {
    /// All priorities, most urgent first.
    pub const ALL: [Self; 5] = [
        Self::Turn,
        Self::FinalStt,
        Self::FirstTts,
        Self::PartialStt,
        Self::RestTts,
    ];
}

/// How many jobs may wait at each priority.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Bound at [`Priority::Turn`].
    pub turn: usize,
    /// Bound at [`Priority::FinalStt`].
    pub final_stt: usize,
    /// Bound at [`Priority::FirstTts`].
    pub first_tts: usize,
    /// Bound at [`Priority::PartialStt`]; the oldest gives way.
    pub partial_stt: usize,
    /// Bound at [`Priority::RestTts`].
    pub rest_tts: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            turn: 256,
            final_stt: 256,
            first_tts: 256,
            partial_stt: 64,
            rest_tts: 1024,
        }
    }
}

/// A job in a queue.
pub(super) struct Entry {
    pub(super) job: Box<dyn Job>,
    pub(super) cancel: Cancel,
    pub(super) queued_at: Instant,
}

#[derive(Default)]
struct Queue {
    begun: Vec<Entry>,
    waiting: VecDeque<Entry>,
    limit: usize,
}

/// The queues of all priorities.
pub(super) struct Queues([Queue; 5]);

impl Queues {
    pub(super) fn new(limits: QueueLimits) -> Self {
        let QueueLimits {
            turn,
            final_stt,
            first_tts,
            partial_stt,
            rest_tts,
        } = limits;
        let queue = |limit| Queue {
            limit,
            ..Queue::default()
        };
        Self([turn, final_stt, first_tts, partial_stt, rest_tts].map(queue))
    }

    /// Adds a new job; returns the one that gave way to it, if any.
    pub(super) fn push(
        &mut self,
        priority: Priority,
        entry: Entry,
    ) -> Result<Option<Entry>, Rejected> {
        let queue = self.of(priority);
        let mut gave_way = None;
        if queue.waiting.len() >= queue.limit {
            if priority != Priority::PartialStt || queue.limit == 0 {
                return Err(Rejected::Full(priority));
            }
            gave_way = queue.waiting.pop_front();
        }
        queue.waiting.push_back(entry);
        Ok(gave_way)
    }

    /// Puts a job back that has more to do; there are at most as many as threads.
    pub(super) fn put_back(&mut self, priority: Priority, entry: Entry) {
        self.of(priority).begun.push(entry);
    }

    /// Takes the most urgent job and tells whether it had begun before.
    pub(super) fn pop(&mut self) -> Option<(Priority, Entry, bool)> {
        Priority::ALL
            .into_iter()
            .zip(&mut self.0)
            .find_map(|(priority, queue)| {
                let begun = queue.begun.pop().map(|entry| (priority, entry, true));
                begun.or_else(|| {
                    queue
                        .waiting
                        .pop_front()
                        .map(|entry| (priority, entry, false))
                })
            })
    }

    pub(super) fn waiting(&self, priority: Priority) -> usize {
        self.0
            .get(priority as usize)
            .map_or(0, |queue| queue.waiting.len() + queue.begun.len())
    }

    /// Takes all jobs out.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        let queues = self.0.iter_mut();
        queues
            .flat_map(|queue| queue.begun.drain(..).chain(queue.waiting.drain(..)))
            .collect()
    }

    fn of(&mut self, priority: Priority) -> &mut Queue {
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
