//! How many calls there may be: those that are allowed, and those that there are media ports for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::busy::Busy;
use super::trunk_load::TrunkPlace;
use crate::switch::CallRate;

/// The calls and port pairs that are free.
#[derive(Debug)]
pub struct Places {
    max_calls: usize,
    free: Mutex<Free>,
    changed: Notify,
}

#[derive(Debug)]
struct Free {
    calls: usize,
    /// Pairs of `media.ports`, each of which is a leg's.
    pairs: usize,
    closed: bool,
    /// Media is late for the calls that there are.
    behind: bool,
    /// How many calls come in.
    coming: CallRate,
}

/// A place among the calls that are allowed, with the port pairs of the call's legs. Given back when
/// it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    places: Arc<Places>,
    calls: usize,
    pairs: usize,
    /// Its place on the trunk that it came or goes over.
    trunk: Option<TrunkPlace>,
}

impl Places {
    /// Makes places for so many calls, of which so many may come in within a second (0 is no limit),
    /// and that have so many port pairs in all.
    pub(super) fn new(max_calls: usize, max_cps: u32, pairs: usize) -> Arc<Self> {
        let free = Free {
            calls: max_calls,
            pairs,
            closed: false,
            behind: false,
            coming: CallRate::new(max_cps),
        };
        Arc::new(Self {
            max_calls,
            free: Mutex::new(free),
            changed: Notify::new(),
        })
    }

    /// Counts a call that comes in.
    ///
    /// # Errors
    /// When as many as may have come within a second.
    pub(super) fn count_in(&self, now: Instant) -> Result<(), Busy> {
        self.free().coming.begin(now).map_err(Busy::Fast)
    }

    /// Takes a place for a call with so many legs.
    ///
    /// # Errors
    /// When no call is taken any more, as many as are allowed are there, or too few ports are free.
    pub(super) fn take(self: &Arc<Self>, pairs: usize) -> Result<Permit, Busy> {
        self.claim(1, pairs)
    }

    /// Takes the port pairs of legs that join a call.
    ///
    /// # Errors
    /// When too few ports are free, or no call is taken any more.
    pub(super) fn take_pairs(self: &Arc<Self>, pairs: usize) -> Result<Permit, Busy> {
        self.claim(0, pairs)
    }

    fn claim(self: &Arc<Self>, calls: usize, pairs: usize) -> Result<Permit, Busy> {
        let mut free = self.free();
        if free.closed {
            return Err(Busy::Stopping);
        }
        if free.behind && calls > 0 {
            return Err(Busy::MediaLate);
        }
        let calls_left = free.calls.checked_sub(calls);
        let calls_left = calls_left.ok_or(Busy::Full(self.max_calls))?;
        free.pairs = free.pairs.checked_sub(pairs).ok_or(Busy::NoPorts)?;
        free.calls = calls_left;
        drop(free);
        self.changed.notify_one();
        Ok(Permit {
            places: Arc::clone(self),
            calls,
            pairs,
            trunk: None,
        })
    }

    fn give_back(&self, calls: usize, pairs: usize) {
        let mut free = self.free();
        free.calls += calls;
        free.pairs += pairs;
        drop(free);
        self.changed.notify_one();
    }

    /// Whether a call with one leg would be taken now.
    pub(super) fn has_room(&self) -> bool {
        let free = self.free();
        !free.closed && !free.behind && free.calls > 0 && free.pairs > 0
    }

    /// Takes no call any more.
    pub(super) fn close(&self) {
        self.free().closed = true;
        self.changed.notify_one();
    }

    /// Takes no call while media is late for those that there are.
    pub(super) fn set_behind(&self, behind: bool) {
        self.free().behind = behind;
        self.changed.notify_one();
    }

    /// Whether no call is taken any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.free().closed
    }

    /// Lets who waits for a change look again, since something else has changed.
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Waits until [`Places::has_room`] may say something else; one waits at a time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Holds a place on a trunk as well.
    pub(super) fn over(mut self, trunk: Option<TrunkPlace>) -> Self {
        self.trunk = trunk;
        self
    }

    /// Takes the place on a trunk out of it.
    pub(super) fn take_trunk(&mut self) -> Option<TrunkPlace> {
        self.trunk.take()
    }

    /// Keeps so many port pairs, and gives all else back.
    pub(super) fn into_pairs(mut self, most: usize) -> Self {
        self.keep_pairs(most);
        let calls = std::mem::take(&mut self.calls);
        self.places.give_back(calls, 0);
        self.trunk = None;
        self
    }

    /// Gives the port pairs beyond so many back.
    pub(super) fn keep_pairs(&mut self, most: usize) {
        let spare = self.pairs.saturating_sub(most);
        if spare > 0 {
            self.pairs -= spare;
            self.places.give_back(0, spare);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.places.give_back(self.calls, self.pairs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_a_place_and_a_pair_a_leg_and_gives_both_back() {
        let places = Places::new(3, 0, 3);
        let mut bridge = places.take(3).unwrap();
        assert!(!places.has_room());
        bridge.keep_pairs(2);
        bridge.keep_pairs(2);
        assert!(places.has_room());
        assert_eq!(places.take(2).unwrap_err(), Busy::NoPorts);
        let call = places.take(1).unwrap();
        assert!(!places.has_room());
        assert_eq!(places.take(1).unwrap_err(), Busy::NoPorts);
        drop(bridge);
        assert!(places.has_room());
        let supervisor = places.take_pairs(1).unwrap();
        drop((call, supervisor));
        let three = [places.take(1), places.take(1), places.take(1)];
        assert!(three.iter().all(Result::is_ok));
        assert_eq!(places.take(1).unwrap_err(), Busy::Full(3));
    }

    #[test]
    fn no_call_is_taken_while_media_is_late_but_those_that_there_are_may_grow() {
        let places = Places::new(2, 0, 4);
        let _call = places.take(1).unwrap();
        places.set_behind(true);
        assert!(!places.has_room());
        assert_eq!(places.take(1).unwrap_err(), Busy::MediaLate);
        assert!(places.take_pairs(1).is_ok());
        places.set_behind(false);
        assert!(places.has_room());
    }

    #[test]
    fn calls_that_come_too_fast_take_no_place_of_those_that_there_are() {
        let (places, now) = (Places::new(1_000, 250, 2_000), crate::clock::now());
        let mut calls = Vec::new();
        let mut refused = 0;
        for _ in 0..375 {
            match places.count_in(now).and_then(|()| places.take(1)) {
                Ok(call) => calls.push(call),
                Err(busy) => {
                    assert_eq!((&busy, busy.retry_after_s()), (&Busy::Fast(250), Some(1)));
                    refused += 1;
                }
            }
        }
        assert_eq!((calls.len(), refused), (250, 125));
        assert!(places.has_room(), "who asks by OPTIONS is told so");
        assert!(places.take_pairs(1).is_ok(), "those that there are go on");
        let next_second = now + std::time::Duration::from_secs(1);
        assert_eq!(places.count_in(next_second), Ok(()));
    }

    #[test]
    fn too_few_ports_take_no_place() {
        let places = Places::new(1, 0, 1);
        assert!(places.take(2).is_err());
        let _call = places.take(1).unwrap();
        places.close();
        assert_eq!(places.take(1).unwrap_err(), Busy::Stopping);
    }
}
