//! How much a trunk carries, and how much it may: carriers refuse, or bill, what is more. And how
//! many calls may begin in a second.

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
    /// Calls that come in, in a second.
    pub max_cps_in: u32,
}

/// How many calls may begin in any second: neither saved up nor spread.
#[derive(Debug, Default)]
pub struct CallRate {
    max: u32,
    /// When the last ones began, as many as may in a second.
    begun: VecDeque<Instant>,
}

impl CallRate {
    /// Makes a rate of so many calls a second; 0 is no limit.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self {
            max,
            begun: VecDeque::new(),
        }
    }

    /// Whether one more may begin.
    fn has_room(&mut self, now: Instant) -> bool {
        let is_old = |at: &mut Instant| now.saturating_duration_since(*at) >= SECOND;
        while self.begun.pop_front_if(is_old).is_some() {}
        self.max == 0 || self.begun.len() < usize::try_from(self.max).unwrap_or(usize::MAX)
    }

    /// Counts a call, if it may begin.
    ///
    /// # Errors
    /// With how many may, where as many have just begun.
    pub fn begin(&mut self, now: Instant) -> Result<(), u32> {
        if !self.has_room(now) {
            return Err(self.max);
        }
        if self.max > 0 {
            self.begun.push_back(now);
        }
        Ok(())
    }
}

/// Which way a call goes over a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It comes in over it.
    In,
    /// It goes out over it.
    Out,
}

impl Way {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
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
    max_calls: u32,
    calls: u32,
    out: CallRate,
    into: CallRate,
}

impl TrunkLoad {
    /// Makes a trunk without calls.
    #[must_use]
    pub fn new(limits: TrunkLimits) -> Self {
        Self {
            max_calls: limits.max_calls,
            calls: 0,
            out: CallRate::new(limits.max_cps),
            into: CallRate::new(limits.max_cps_in),
        }
    }

    /// Takes on a call, if it may be.
    ///
    /// # Errors
    /// When it carries, or begins, too much.
    pub fn begin(&mut self, now: Instant, way: Way) -> Result<(), TrunkBusy> {
        if self.max_calls > 0 && self.calls >= self.max_calls {
            return Err(TrunkBusy::Full(self.max_calls));
        }
        let rate = match way {
            Way::In => &mut self.into,
            Way::Out => &mut self.out,
        };
        rate.begin(now).map_err(TrunkBusy::Fast)?;
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
        let limits = TrunkLimits {
            max_calls,
            max_cps,
            max_cps_in: 0,
        };
        (TrunkLoad::new(limits), now)
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
    fn of_375_calls_within_a_second_250_are_taken_where_so_many_may_be_and_the_next_second_has_room()
     {
        let (mut rate, now) = (CallRate::new(250), crate::clock::now());
        // One each 2 ms and 2/3: the last comes within the second of the first.
        let at = |call: u64| now + Duration::from_micros(call * 2_666);
        let taken: Vec<bool> = (0..375).map(|call| rate.begin(at(call)).is_ok()).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 250);
        assert!(taken.iter().take(250).all(|taken| *taken), "the first ones");
        assert_eq!(rate.begin(now + Duration::from_millis(999)), Err(250));
        assert_eq!(rate.begin(now + SECOND), Ok(()));
        // Each makes room for one a second after it began.
        assert_eq!(rate.begin(now + SECOND), Err(250));
        assert_eq!(rate.begin(at(1) + SECOND), Ok(()));
    }

    #[test]
    fn what_comes_in_over_a_trunk_and_what_goes_out_are_counted_apart() {
        let now = crate::clock::now();
        let mut load = TrunkLoad::new(TrunkLimits {
            max_calls: 0,
            max_cps: 1,
            max_cps_in: 2,
        });
        let taken = |load: &mut TrunkLoad, way| {
            let calls = (0..5).map(|_| load.begin(now, way));
            calls.filter(Result::is_ok).count()
        };
        assert_eq!(taken(&mut load, Way::In), 2);
        assert_eq!(taken(&mut load, Way::Out), 1);
        assert_eq!(load.begin(now, Way::In), Err(TrunkBusy::Fast(2)));
        assert_eq!(load.calls(), 3, "what is refused takes no place");
    }

    #[test]
    fn a_trunk_without_limits_takes_whatever_comes() {
        let (mut load, now) = load(0, 0);
        assert!((0..1_000).all(|_| load.begin(now, Way::Out).is_ok()));
    }
}
