//! The absolute 20 ms grid on which a session steps, and the RTP time that goes with it.
//!
//! RTP time follows real time for the whole session, in silence and on hold as well. When an
//! utterance starts on a silent session, the step that is due next is taken at once, so sound runs
//! ahead of RTP time by up to one step; the steps keep that lead while the utterance lasts, and
//! fall back to RTP time with the first silent one. Timestamps therefore never overlap, never run
//! back and never drift.
//!
//! A session that takes part in a conversation of several steps together with the others, at a beat
//! that is theirs: as in an utterance, sound is ahead of RTP time by less than a step, all the while.

use std::time::{Duration, Instant};

/// One step.
pub(super) const STEP: Duration = Duration::from_millis(20);
/// A session that was not ticked for so long skips what it missed.
const MAX_LATE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Grid {
    origin: Instant,
    rate_hz: u32,
    /// Samples from the origin to the next step.
    position: u64,
    next: Instant,
    skipped: u64,
    /// Its steps are those of others.
    together: bool,
}

impl Grid {
    pub(super) fn new(now: Instant, rate_hz: u32) -> Self {
        Self {
            origin: now,
            rate_hz,
            position: 0,
            next: now,
            skipped: 0,
            together: false,
        }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(super) fn step_samples(&self) -> usize {
        self.rate_hz as usize / 50
    }

    /// RTP time at a moment, in samples from the origin.
    pub(super) fn position_at(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.origin);
        (elapsed.as_micros() * u128::from(self.rate_hz) / 1_000_000) as u64
    }

    /// When the next step is due by RTP time; sound may have it taken up to a step sooner.
    pub(super) fn by_rtp_time(&self) -> Instant {
        self.nominal()
    }

    /// Takes all steps from now on later by so much, and RTP time with them.
    pub(super) fn delay(&mut self, by: Duration) {
        self.origin += by;
        self.next += by;
    }

    /// Takes the next step at once, at most one step ahead of RTP time.
    pub(super) fn rephase(&mut self, now: Instant) {
        if self.together {
            return;
        }
        let earliest = self.nominal().checked_sub(STEP).unwrap_or(self.origin);
        self.next = self.next.min(now.max(earliest));
    }

    /// Leaves out the steps of a long stall; their time passed all the same.
    pub(super) fn catch_up(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.next);
        if late > MAX_LATE {
            let steps = (late.as_micros() / STEP.as_micros()) as u32;
            self.position += u64::from(steps) * self.step_samples() as u64;
            self.next += STEP * steps;
            self.skipped += u64::from(steps);
        }
    }

    /// Goes on to the next step, ahead of RTP time only while sound follows on sound.
    pub(super) fn advance(&mut self, speaking: bool) {
        self.position += self.step_samples() as u64;
        let nominal = self.nominal();
        self.next = if speaking || self.together {
            nominal.min(self.next + STEP)
        } else {
            nominal
        };
    }

    /// Whether the next step is due before a beat of others.
    pub(super) fn is_behind(&self, beat: Instant) -> bool {
        self.nominal() < beat
    }

    /// Takes the next step at a beat of others and stays with them; false when RTP time is not
    /// as far yet as to have a step for this beat.
    pub(super) fn join(&mut self, beat: Instant) -> bool {
        let nominal = self.nominal();
        if nominal < beat || nominal >= beat + STEP {
            return false;
        }
        self.together = true;
        self.next = beat;
        true
    }

    /// Lets the steps before a beat of others go by.
    pub(super) fn pass_to(&mut self, beat: Instant) {
        while self.is_behind(beat) {
            self.position += self.step_samples() as u64;
        }
    }

    /// Whether its steps are those of others.
    pub(super) fn is_together(&self) -> bool {
        self.together
    }

    /// Steps alone again.
    pub(super) fn part(&mut self) {
        self.together = false;
    }

    fn nominal(&self) -> Instant {
        self.origin + Duration::from_micros(self.position * 1_000_000 / u64::from(self.rate_hz))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn at(ms: u64) -> Instant {
        epoch() + Duration::from_millis(ms)
    }

    #[test]
    fn steps_with_others_keep_their_beat_and_go_back_to_rtp_time_after_it() {
        let mut grid = Grid::new(at(0), 8_000);
        (0..5).for_each(|_| grid.advance(false));
        // Due at 100 by RTP time, an utterance took it ahead to 85: beats are at 70, 90, …
        grid.rephase(at(85));
        assert!(!grid.join(at(70)));
        assert!(grid.join(at(90)));
        for step in 0..1_000 {
            assert_eq!(grid.next(), at(90 + 20 * step));
            assert_eq!(grid.position(), (5 + step) * 160);
            grid.rephase(at(80 + 20 * step));
            grid.advance(false);
        }
        grid.part();
        grid.advance(false);
        assert_eq!(grid.next(), at(100 + 20 * 1_001));
        // One that fell behind has a step to catch up on first.
        assert!(grid.is_behind(at(20_130)) && !grid.is_behind(at(20_120)));
        assert!(!grid.join(at(20_130)));
    }

    #[test]
    fn speech_runs_ahead_by_a_step_at_most_and_silence_falls_back() {
        let mut grid = Grid::new(at(0), 8_000);
        (0..5).for_each(|_| grid.advance(false));
        assert_eq!(grid.next(), at(100));
        grid.rephase(at(83));
        assert_eq!((grid.next(), grid.position()), (at(83), 800));
        (0..10).for_each(|_| grid.advance(true));
        assert_eq!(grid.next(), at(283));
        grid.advance(false);
        assert_eq!((grid.next(), grid.position()), (at(320), 2_560));
        for ms in 284..300 {
            grid.rephase(at(ms));
        }
        assert_eq!(grid.next(), at(300));
    }

    #[test]
    fn a_grid_that_is_delayed_keeps_its_numbers_and_its_lead() {
        let mut grid = Grid::new(at(0), 8_000);
        (0..5).for_each(|_| grid.advance(false));
        grid.rephase(at(83));
        grid.delay(Duration::from_millis(7));
        assert_eq!((grid.next(), grid.by_rtp_time()), (at(90), at(107)));
        assert_eq!((grid.position(), grid.position_at(at(107))), (800, 800));
        grid.advance(true);
        assert_eq!((grid.next(), grid.position()), (at(110), 960));
        grid.advance(false);
        assert_eq!(grid.next(), at(147));
    }

    #[test]
    fn a_long_stall_is_skipped_and_a_short_one_made_up() {
        let mut grid = Grid::new(at(0), 8_000);
        grid.catch_up(at(90));
        assert_eq!((grid.next(), grid.skipped()), (at(0), 0));
        grid.catch_up(at(1_010));
        assert_eq!(
            (grid.next(), grid.position(), grid.skipped()),
            (at(1_000), 8_000, 50)
        );
    }
}
