//! How much a trunk carries, and how much it may: carriers refuse, or bill, what is more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// What a trunk may carry; 0 is no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrunkLimits {
    /// Calls at one time, both ways.
    pub max_calls: u32,
    /// Calls that we begin in a second.
    pub max_cps: u32,
}

/// Which way a call goes over a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It comes in over it.
    In,
    /// It goes out over it.
    Out,
}

/// Why a trunk takes no call now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrunkBusy {
    /// As many calls as it may carry are there.
    Full(u32),
    /// As many calls as it may begin in a second were just begun.
    Fast(u32),
}

/// What a trunk carries.
#[derive(Debug)]
pub struct TrunkLoad {
    limits: TrunkLimits,
    calls: u32,
    /// When the last calls began that went out, as many as may in a second.
    begun: VecDeque<Instant>,
}

impl TrunkLoad {
    /// Makes a trunk without calls.
    #[must_use]
    pub fn new(limits: TrunkLimits) -> Self {
        Self {
            limits,
            calls: 0,
            begun: VecDeque::new(),
        }
    }

    /// Takes on a call, if it may be.
    ///
    /// # Errors
    /// When it carries, or begins, too much.
    pub fn begin(&mut self, now: Instant, way: Way) -> Result<(), TrunkBusy> {
        let TrunkLimits { max_calls, max_cps } = self.limits;
        if max_calls > 0 && self.calls >= max_calls {
            return Err(TrunkBusy::Full(max_calls));
        }
        if max_cps > 0 && way == Way::Out {
            let is_old = |at: &mut Instant| now.saturating_duration_since(*at) >= SECOND;
            while self.begun.pop_front_if(is_old).is_some() {}
            if self.begun.len() >= usize::try_from(max_cps).unwrap_or(usize::MAX) {
                return Err(TrunkBusy::Fast(max_cps));
            }
            self.begun.push_back(now);
        }
        self.calls += 1;
        Ok(())
    }

    /// A call is over.
    pub fn end(&mut self) {
        self.calls = self.calls.saturating_sub(1);
    }

    /// How many calls it carries.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(max_calls: u32, max_cps: u32) -> (TrunkLoad, Instant) {
        let now = crate::clock::now();
        (TrunkLoad::new(TrunkLimits { max_calls, max_cps }), now)
    }

    #[test]
    fn a_full_trunk_takes_the_next_call_when_one_is_over() {
        let (mut load, now) = load(2, 0);
        assert_eq!(load.begin(now, Way::In), Ok(()));
        assert_eq!(load.begin(now, Way::Out), Ok(()));
        assert_eq!(load.begin(now, Way::In), Err(TrunkBusy::Full(2)));
        load.end();
        assert_eq!(load.begin(now, Way::Out), Ok(()));
        assert_eq!(load.calls(), 2);
    }

    #[test]
    fn no_more_calls_begin_in_a_second_than_may_and_those_that_come_in_do_not_count() {
        let (mut load, now) = load(0, 5);
        let begun = |load: &mut TrunkLoad, now| {
            (0..100)
                .filter(|_| load.begin(now, Way::Out).is_ok())
                .count()
        };
        assert_eq!(begun(&mut load, now), 5);
        assert_eq!(load.begin(now, Way::In), Ok(()));
        let later = |ms| now + Duration::from_millis(ms);
        assert_eq!(begun(&mut load, later(999)), 0);
        assert_eq!(begun(&mut load, later(1_000)), 5);
        assert_eq!(begun(&mut load, later(1_500)), 0);
        assert_eq!(begun(&mut load, later(60_000)), 5, "nothing is saved up");
    }

    #[test]
    fn a_trunk_without_limits_takes_whatever_comes() {
        let (mut load, now) = load(0, 0);
        assert!((0..1_000).all(|_| load.begin(now, Way::Out).is_ok()));
    }
}
