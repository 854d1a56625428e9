//! The beats of the 20 ms grid and how many legs step on each. Calls that begin in one burst would
//! all step at once, and the last of them late.

use std::time::{Duration, Instant};

use crate::clock;

/// Beats of a millisecond in one step.
const BEATS: usize = 20;

/// Counts a thread's legs by the beat on which they step in RTP time: an utterance has its leg step
/// on another one for as long as it lasts, and a room has its legs step together, which are not
/// counted.
#[derive(Debug, Default)]
pub(super) struct Beats {
    legs: [u32; BEATS],
}

/// A beat that is counted as a leg's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beat(usize);

impl Beats {
    /// Gives a leg whose next step is due at `next` the beat on which the fewest legs step, of these
    /// the one that comes first, and tells how much later its steps are to be for that.
    pub(super) fn take(&mut self, next: Instant) -> (Beat, Duration) {
        let mut first = clock::beat(next);
        if first < next {
            first += clock::BEAT;
        }
        let number = clock::beat_number(first) % BEATS as u64;
        let number = usize::try_from(number).unwrap_or(0);
        let from_first = self.legs.iter().cycle().skip(number).take(BEATS);
        let fewest = from_first.zip(0_u32..).min_by_key(|(legs, _)| **legs);
        let later = fewest.map_or(0, |(_, later)| later);
        let beat = Beat((number + later as usize) % BEATS);
        self.count(beat);
        (beat, first - next + clock::BEAT * later)
    }

    /// Counts one more leg on a beat.
    pub(super) fn count(&mut self, Beat(beat): Beat) {
        if let Some(legs) = self.legs.get_mut(beat) {
            *legs += 1;
        }
    }

    /// Takes back the beat of a leg that is gone.
    pub(super) fn give_back(&mut self, Beat(beat): Beat) {
        if let Some(legs) = self.legs.get_mut(beat) {
            *legs = legs.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_spread_evenly_and_who_is_alone_waits_for_nothing() {
        let mut beats = Beats::default();
        let now = clock::beat(clock::now()) + Duration::from_micros(300);
        let (alone, later) = beats.take(now);
        assert_eq!(later, Duration::from_micros(700));
        let mut taken: Vec<_> = (1..40).map(|_| beats.take(now).0).collect();
        taken.push(alone);
        for beat in 0..BEATS {
            let legs = taken.iter().filter(|taken| taken.0 == beat).count();
            assert_eq!(legs, 2, "{beat}");
        }
        // Whose place is free has it taken, as much later as it lies behind.
        let free = Beat((alone.0 + 7) % BEATS);
        beats.give_back(free);
        let expected = (free, Duration::from_micros(7_700));
        assert_eq!(beats.take(now), expected);
    }
}
