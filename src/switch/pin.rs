//! How often a PIN may be guessed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Wrong PINs that are taken within [`WINDOW`], over all calls …
const WRONG_MAX: usize = 12;
/// … and for how long each counts: whoever calls again and again tries 288 of a PIN's 10,000 or more
/// a day.
const WINDOW: Duration = Duration::from_secs(3600);

/// The wrong PINs of late.
#[derive(Debug, Default)]
pub struct WrongPins(VecDeque<Instant>);

/// What comes of a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinVerdict {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// Too many were wrong lately: none is taken, right or wrong.
    Locked,
}

impl WrongPins {
    /// Whether no PIN is taken at `now`.
    pub fn is_locked(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.0.len() >= WRONG_MAX
    }

    /// Takes a PIN that is right or not.
    pub fn judge(&mut self, now: Instant, right: bool) -> PinVerdict {
        if self.is_locked(now) {
            return PinVerdict::Locked;
        }
        if right {
            return PinVerdict::Right;
        }
        self.0.push_back(now);
        PinVerdict::Wrong
    }

    fn forget(&mut self, now: Instant) {
        let counts = |at: &Instant| now.saturating_duration_since(*at) < WINDOW;
        while self.0.front().is_some_and(|at| !counts(at)) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_is_locked_out_and_with_it_who_knows_until_guesses_are_an_hour_old() {
        let (mut pins, start) = (WrongPins::default(), crate::clock::now());
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        assert_eq!(pins.judge(at(0), true), PinVerdict::Right);
        for n in 0..12 {
            assert!(!pins.is_locked(at(n)));
            assert_eq!(pins.judge(at(n), false), PinVerdict::Wrong);
        }
        assert!(pins.is_locked(at(12)));
        for right in [true, false] {
            assert_eq!(pins.judge(at(59), right), PinVerdict::Locked);
        }
        // The first is an hour old: one more may be tried.
        assert_eq!(pins.judge(at(60), false), PinVerdict::Wrong);
        assert_eq!(pins.judge(at(60), true), PinVerdict::Locked);
        assert_eq!(pins.judge(at(61), true), PinVerdict::Right);
    }

    #[test]
    fn a_day_of_guesses_is_a_bounded_number_and_takes_bounded_room() {
        let (mut pins, start) = (WrongPins::default(), crate::clock::now());
        let tried = |n: u64| pins.judge(start + Duration::from_secs(n), false);
        let wrong = (0..86_400).map(tried).filter(|v| *v == PinVerdict::Wrong);
        assert_eq!(wrong.count(), 288);
        assert!(pins.0.len() <= WRONG_MAX);
    }
}
