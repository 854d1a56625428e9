//! The media threads of a line: one for each core that there is, each with legs of its own.

use std::num::NonZeroUsize;
use std::sync::Arc;

use rustix::thread::{CpuSet, sched_getaffinity};

use super::{LegId, MediaError, MediaThread, Probe};

/// Media threads, of which there is at least one. A leg lives on one of them for as long as it
/// lives: which one is in its number.
#[derive(Clone)]
pub struct MediaThreads {
    first: MediaThread,
    others: Vec<MediaThread>,
}

impl From<MediaThread> for MediaThreads {
    fn from(first: MediaThread) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl MediaThreads {
    /// Starts `threads` of them, each pinned to a core that the process may use; `None` starts one
    /// for each such core, no more than the processor time that the process may have (a
    /// container's quota).
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(
        threads: Option<NonZeroUsize>,
        probe: Option<&Arc<Probe>>,
    ) -> Result<Self, MediaError> {
        let threads = threads
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, usize::from);
        let cores = allowed_cores();
        // Without a known core a thread runs wherever the system lets it.
        let mut pins = cores.iter().copied().map(Some).cycle().take(threads);
        let start = |core| MediaThread::start(core).map(|thread| thread.probed(probe.cloned()));
        let first = start(pins.next().flatten())?;
        let others = (1..threads).map(|_| start(pins.next().flatten()));
        let others = others.collect::<Result<_, _>>()?;
        tracing::info!(threads, "media runs on {threads} threads");
        Ok(Self { first, others })
    }

    /// The threads, in the order of their cores.
    pub fn iter(&self) -> impl Iterator<Item = &MediaThread> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The thread that a leg lives on: legs are spread by their numbers.
    #[must_use]
    pub fn of(&self, leg: LegId) -> &MediaThread {
        let other = self.index(leg).checked_sub(1);
        other
            .and_then(|other| self.others.get(other))
            .unwrap_or(&self.first)
    }

    /// Whether two legs live on one thread, so that they may be of one room.
    #[must_use]
    pub fn are_together(&self, leg: LegId, other: LegId) -> bool {
        self.index(leg) == self.index(other)
    }

    fn index(&self, leg: LegId) -> usize {
        let threads = self.others.len() as u64 + 1;
        usize::try_from(leg % threads).unwrap_or(0)
    }
}

/// The cores that the process may use, which need not begin at 0: a container may have 4 to 7.
fn allowed_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(count: usize) -> MediaThreads {
        MediaThreads::start(NonZeroUsize::new(count), None).unwrap()
    }

    #[test]
    fn legs_are_spread_evenly_and_stay_where_they_are() {
        let threads = threads(3);
        let at = |leg| std::ptr::from_ref(threads.of(leg));
        let places: Vec<_> = (0..9).map(at).collect();
        let all: Vec<_> = threads.iter().map(std::ptr::from_ref).collect();
        assert_eq!(places, [all.clone(), all.clone(), all].concat());
        assert!(threads.are_together(4, 7) && !threads.are_together(4, 8));
        assert_eq!(at(4), at(7));
    }

    #[test]
    fn there_may_be_more_threads_than_cores() {
        let more = allowed_cores().len() + 2;
        assert_eq!(threads(more).iter().count(), more);
    }

    #[test]
    fn each_core_that_may_be_used_has_a_thread_unless_told_otherwise() {
        let threads = MediaThreads::start(None, None).unwrap();
        let cores = std::thread::available_parallelism().unwrap().get();
        assert_eq!(threads.iter().count(), cores);
        assert!(allowed_cores().len() >= cores);
    }
}
