//! The media threads of a line: one for each core that there is, each with legs of its own.

use std::num::NonZeroUsize;
use std::sync::{Arc, Once};

use rustix::thread::{CpuSet, sched_getaffinity};

use super::{LegId, MediaError, MediaThread, Probe};

/// Media threads, of which there is at least one. A leg lives on one of them: which one is
/// in its number, and it gets another with another thread.
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

/// Pins the thread to `core` and asks for real-time priority; a refusal is said, not fatal.
pub(super) fn prioritise(core: Option<usize>) {
    // A thread without real-time priority is woken 50 µs late unless it asks for less.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    if let Some(core) = core {
        let mut set = rustix::thread::CpuSet::new();
        set.set(core);
        if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
            tracing::warn!(%error, core, "the media thread could not be pinned");
        }
    }
    let policy = thread_priority::ThreadSchedulePolicy::Realtime(
        thread_priority::RealtimeThreadSchedulePolicy::Fifo,
    );
    let asked = thread_priority::ThreadPriorityValue::try_from(10_u8)
        .map_err(|_| "no such priority".to_owned())
        .and_then(|value| {
            thread_priority::set_thread_priority_and_policy(
                thread_priority::thread_native_id(),
                thread_priority::ThreadPriority::Crossplatform(value),
                policy,
            )
            .map_err(|error| format!("{error:?}"))
        });
    // What holds of one thread holds of all: it is the process that is permitted.
    static SAID: Once = Once::new();
    SAID.call_once(|| match asked {
        Ok(()) => tracing::info!("media threads run with real-time priority (SCHED_FIFO)"),
        Err(reason) => tracing::info!(
            %reason,
            "media threads run without real-time priority; allow it with `LimitRTPRIO=10`"
        ),
    });
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
