//! What each source has cost lately: a bounded table of buckets.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Guard;
use crate::network::Network;

/// How many sources are looked at for the one that is forgotten.
const LOOKED_AT: usize = 8;
/// How many bytes a source may save up for answers.
const CREDIT_MAX: i64 = 65_536;

/// What a source has cost lately.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    source: Network,
    /// When the bucket is full again: the "theoretical arrival time" of a virtual scheduler
    /// (ITU-T I.371), so that no timer fills it.
    full_at: Instant,
    /// What was dropped since the bucket was last full.
    pub(super) excess: u32,
    failures: u32,
    failures_since: Instant,
    /// Bytes that came and were not answered; below zero after the one answer that was longer.
    credit: i64,
    /// Whether it has had that one.
    overdrawn: bool,
    last: Instant,
}

impl Watched {
    fn new(now: Instant, source: Network) -> Self {
        Self {
            source,
            full_at: now,
            excess: 0,
            failures: 0,
            failures_since: now,
            credit: 0,
            overdrawn: false,
            last: now,
        }
    }

    /// Takes one message out of the bucket; false where it is empty.
    pub(super) fn take(&mut self, now: Instant, guard: &Guard) -> bool {
        self.last = now;
        if guard.messages_per_s == 0 {
            return true;
        }
        if self.full_at <= now {
            (self.full_at, self.excess) = (now, 0);
        }
        let interval = Duration::from_secs(1) / guard.messages_per_s;
        if self.full_at - now > interval.saturating_mul(guard.burst) {
            self.excess = self.excess.saturating_add(1);
            return false;
        }
        self.full_at += interval;
        true
    }

    /// Counts wrong credentials, and returns how many there were lately.
    pub(super) fn fail(&mut self, now: Instant, within: Duration) -> u32 {
        if now.saturating_duration_since(self.failures_since) > within {
            (self.failures, self.failures_since) = (0, now);
        }
        self.last = now;
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Begins anew: what was counted has led to a ban.
    pub(super) fn forgive(&mut self) {
        (self.excess, self.failures) = (0, 0);
    }

    /// Notes what a message brought, which is what its answers may take.
    pub(super) fn bring(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(CREDIT_MAX);
        self.credit = self.credit.saturating_add(bytes).min(CREDIT_MAX);
    }

    /// Pays for an answer out of what the source has brought. Once it may be longer, if there is a
    /// loan: a request that is short shall get its challenge, and what comes next makes up for it
    /// first.
    pub(super) fn spend(&mut self, bytes: usize, loans: &mut Loans) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(CREDIT_MAX);
        if self.credit < bytes {
            if self.overdrawn || !loans.take() {
                return false;
            }
            self.overdrawn = true;
        }
        self.credit -= bytes;
        true
    }

    fn suspicion(&self) -> (u32, Instant) {
        (self.excess.saturating_add(self.failures), self.last)
    }
}

/// How many answers may be longer than what asked for them, of all sources together: whoever forges
/// more sources than are watched makes each of them new again. Who is not given a loan gets its
/// answer with its retransmission, which has brought as much again.
#[derive(Clone, Debug)]
pub(super) struct Loans {
    left: u32,
    /// Up to when time has been counted.
    counted: Option<Instant>,
}

impl Loans {
    const BURST: u32 = 256;
    const EVERY: Duration = Duration::from_millis(50);

    pub(super) fn new() -> Self {
        Self {
            left: Self::BURST,
            counted: None,
        }
    }

    /// Lets time pass.
    pub(super) fn refill(&mut self, now: Instant) {
        let counted = self.counted.get_or_insert(now);
        let passed = now.saturating_duration_since(*counted);
        let more = u32::try_from(passed.as_millis() / Self::EVERY.as_millis()).unwrap_or(u32::MAX);
        *counted += Self::EVERY.saturating_mul(more);
        self.left = self.left.saturating_add(more).min(Self::BURST);
    }

    fn take(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// The sources that are watched. It grows to its bound and allocates nothing after that.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    index: HashMap<Network, usize>,
    places: Vec<Watched>,
    limit: usize,
    /// Where the search for the one that goes begins: a forged source that is seen once is
    /// forgotten before it comes round again.
    hand: usize,
}

impl Watch {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            index: HashMap::new(),
            places: Vec::new(),
            limit: limit.max(1),
            hand: 0,
        }
    }

    pub(super) fn find(&mut self, source: Network) -> Option<&mut Watched> {
        let place = *self.index.get(&source)?;
        self.places.get_mut(place)
    }

    /// Returns what is kept of a source, from now on if nothing was.
    pub(super) fn of(&mut self, now: Instant, source: Network) -> Option<&mut Watched> {
        let place = match self.index.get(&source) {
            Some(&place) => place,
            None => self.admit(Watched::new(now, source)),
        };
        self.places.get_mut(place)
    }

    fn admit(&mut self, watched: Watched) -> usize {
        let source = watched.source;
        let place = if self.places.len() < self.limit {
            self.places.push(watched);
            self.places.len() - 1
        } else {
            let place = self.least_suspicious();
            if let Some(kept) = self.places.get_mut(place) {
                self.index.remove(&kept.source);
                *kept = watched;
            }
            place
        };
        self.index.insert(source, place);
        place
    }

    /// Finds the least suspicious of a few, and of those the one that was quiet for longest.
    fn least_suspicious(&mut self) -> usize {
        let count = self.places.len();
        let looked_at = (self.hand..self.hand + LOOKED_AT.min(count)).map(|at| at % count);
        let place = looked_at.min_by_key(|&at| self.places.get(at).map(Watched::suspicion));
        self.hand = (self.hand + LOOKED_AT) % count;
        place.unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.index.len(), self.places.len());
        self.places.len()
    }
}
