//! Keeps complaints about peers from flooding the log: a line for each source in a while, with a
//! count of those that it stands for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a source that was complained of is only counted.
const INTERVAL: Duration = Duration::from_secs(60);
/// Sources that get a line of their own within an interval; all others, whose addresses anyone
/// can forge over UDP, share one.
const SOURCES_MAX: usize = 64;

/// Decides which complaints are written down.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    sources: HashMap<Source, Counted>,
}

/// Whom a line speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    One(IpAddr),
    Others,
}

#[derive(Debug)]
struct Counted {
    since: Instant,
    unwritten: u64,
}

impl Complaints {
    /// Takes note of a complaint about `remote`. When it is to be written down, gives how many
    /// went unwritten since the last line of this source.
    pub(super) fn note(&mut self, now: Instant, remote: IpAddr) -> Option<u64> {
        let source = Source::One(remote.to_canonical());
        let source = if self.sources.contains_key(&source) || self.has_room(now) {
            source
        } else {
            Source::Others
        };
        let over = |counted: &Counted| now.saturating_duration_since(counted.since) >= INTERVAL;
        match self.sources.get_mut(&source) {
            Some(counted) if !over(counted) => {
                counted.unwritten += 1;
                None
            }
            Some(counted) => {
                counted.since = now;
                Some(std::mem::take(&mut counted.unwritten))
            }
            None => {
                let counted = Counted {
                    since: now,
                    unwritten: 0,
                };
                self.sources.insert(source, counted);
                Some(0)
            }
        }
    }

    /// Whether one more source may have a line of its own; those that were quiet for an interval
    /// make room, and what was not written of them is given up.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.sources.len() >= SOURCES_MAX {
            let recent = |since: Instant| now.saturating_duration_since(since) < INTERVAL;
            self.sources.retain(|_, counted| recent(counted.since));
        }
        self.sources.len() < SOURCES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn a_source_gets_one_line_an_interval_and_the_next_says_how_many_it_stands_for() {
        let (mut complaints, begun) = (Complaints::default(), crate::clock::now());
        assert_eq!(complaints.note(begun, ip(1)), Some(0));
        for ms in 1..=100 {
            let now = begun + Duration::from_millis(ms);
            assert_eq!(complaints.note(now, ip(1)), None);
        }
        assert_eq!(complaints.note(begun, ip(2)), Some(0), "another source");
        assert_eq!(complaints.note(begun + INTERVAL, ip(1)), Some(100));
        assert_eq!(complaints.note(begun + INTERVAL, ip(1)), None);
    }

    #[test]
    fn forged_sources_neither_flood_the_log_nor_memory() {
        let (mut complaints, begun) = (Complaints::default(), crate::clock::now());
        let lines = (0..100_000).filter(|n| complaints.note(begun, ip(*n)).is_some());
        assert_eq!(lines.count(), SOURCES_MAX + 1);
        assert!(complaints.sources.len() <= SOURCES_MAX + 1);
        let later = begun + INTERVAL;
        assert_eq!(
            complaints.note(later, ip(7_000)),
            Some(0),
            "there is room again"
        );
        assert!(complaints.sources.len() <= SOURCES_MAX);
    }
}
