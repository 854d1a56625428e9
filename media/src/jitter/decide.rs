//! What is to be played next, decided apart from how it is done.
//!
//! The playout side takes whole steps on its own clock, so a packet is in time when it is there at
//! the step that touches it first. [`least_level`] says how much must wait for that; it depends
//! on the clock and on the delay that the network asks for, and not on what came or did not come
//! just now, so it needs no filter.

/// What the playing side can do at a step, in NetEQ's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Plays what waits, as it is.
    Normal,
    /// Leaves out a pitch period of at most so many samples; any stretch that fits fairly will do
    /// when it is urgent.
    Accelerate { most_samples: usize, urgent: bool },
    /// Plays a pitch period twice.
    PreemptiveExpand { urgent: bool },
    /// Carries on what was played: what comes next is not there.
    Expand,
    /// Fills the gap before what waits behind it, and blends the one into the other.
    Merge,
    /// The sender said that it is silent: what was played fades into that.
    ComfortNoise,
    /// Nothing is played yet: nothing came, or the delay is being built up.
    Hold,
}

/// Whether sound is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing came yet.
    Empty,
    /// The first sound waits until the delay is built up.
    Filling,
    Playing,
}

/// Holds all that a decision depends on; lengths are in samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    pub(crate) phase: Phase,
    /// Sound that waits, in order.
    pub(crate) level: usize,
    /// What is to be played now.
    pub(crate) step: usize,
    /// Packets wait behind a gap.
    pub(crate) gap: bool,
    /// The last packet in order carried no sound.
    pub(crate) quiet: bool,
    /// A seam is still being blended.
    pub(crate) blending: bool,
    /// Steps since sound was last stretched, or was to be.
    pub(crate) calm_steps: u32,
    /// With less waiting, packets would be late.
    pub(crate) least: usize,
    /// With more waiting, packets wait without need.
    pub(crate) most: usize,
    /// What is worth leaving out: two of the shortest pitch periods.
    pub(crate) shortest: usize,
}

/// Steps between two stretches when nothing is urgent.
const CALM_STEPS: u32 = 3;

/// Decides what to do at a step.
pub(crate) fn decide(now: &Situation) -> Operation {
    match now.phase {
        Phase::Empty if now.gap => return Operation::Merge,
        Phase::Empty => return Operation::Hold,
        Phase::Filling if now.level < now.least => return Operation::Hold,
        Phase::Filling | Phase::Playing => {}
    }
    if now.level < now.step {
        return match (now.gap, now.quiet) {
            (true, _) => Operation::Merge,
            (false, true) => Operation::ComfortNoise,
            (false, false) => Operation::Expand,
        };
    }
    if now.blending {
        return Operation::Normal;
    }
    let calm = now.calm_steps >= CALM_STEPS;
    let missing = now.least.saturating_sub(now.level);
    let urgent = missing >= now.step;
    if missing > 0 && (calm || urgent) {
        return Operation::PreemptiveExpand { urgent };
    }
    // What is played now must be there in any case.
    let spare = now.level.saturating_sub(now.most.max(now.step));
    let urgent = spare >= 2 * now.step;
    if spare >= now.shortest && (calm || urgent) {
        let most_samples = spare;
        return Operation::Accelerate {
            most_samples,
            urgent,
        };
    }
    Operation::Normal
}

/// How much must wait so that a packet which is `ask_us` later than the fastest ones is in time.
///
/// `lead_us` is by how much this step is later than the earliest moment at which the packet that
/// comes next could be there. That packet is touched first by the step in which what waits ends, so
/// what waits counts in whole steps; where packets and steps are of different length it counts in
/// whole `grain`s, their greatest common divisor, and the worst case wants a step less a grain more.
pub(crate) fn least_level(lead_us: i64, ask_us: i64, grain: usize, grain_us: i64) -> usize {
    let missing_us = ask_us.saturating_sub(lead_us).max(0);
    let grain_us = grain_us.max(1);
    let grains = (missing_us.saturating_add(grain_us - 1) / grain_us).min(1_000_000);
    grains as usize * grain
}

/// The greatest length of which both are multiples.
pub(crate) fn common_grain(mut a: usize, mut b: usize) -> usize {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation() -> Situation {
        Situation {
            phase: Phase::Playing,
            level: 320,
            step: 160,
            gap: false,
            quiet: false,
            blending: false,
            calm_steps: 100,
            least: 320,
            most: 320,
            shortest: 40,
        }
    }

    #[test]
    fn what_waits_as_long_as_it_must_is_played_as_it_is() {
        assert_eq!(decide(&situation()), Operation::Normal);
    }

    #[test]
    fn what_is_missing_is_carried_on_concealed_or_held_by_why_it_is_missing() {
        let empty = Situation {
            level: 100,
            ..situation()
        };
        assert_eq!(decide(&empty), Operation::Expand);
        let gap = Situation { gap: true, ..empty };
        assert_eq!(decide(&gap), Operation::Merge);
        let quiet = Situation {
            quiet: true,
            ..empty
        };
        assert_eq!(decide(&quiet), Operation::ComfortNoise);
    }

    #[test]
    fn delay_is_built_up_when_packets_would_be_late_and_worn_off_when_they_wait_too_long() {
        let short = Situation {
            level: 300,
            ..situation()
        };
        let urgent = false;
        assert_eq!(decide(&short), Operation::PreemptiveExpand { urgent });
        let long = Situation {
            level: 400,
            ..situation()
        };
        let accelerate = Operation::Accelerate {
            most_samples: 80,
            urgent: false,
        };
        assert_eq!(decide(&long), accelerate);
        // A few milliseconds are not worth it.
        let hardly = Situation {
            level: 359,
            ..situation()
        };
        assert_eq!(decide(&hardly), Operation::Normal);
    }

    #[test]
    fn stretches_are_set_apart_unless_it_is_urgent() {
        let just_now = Situation {
            calm_steps: 1,
            level: 400,
            ..situation()
        };
        assert_eq!(decide(&just_now), Operation::Normal);
        let urgent = Situation {
            level: 640,
            ..just_now
        };
        assert!(matches!(
            decide(&urgent),
            Operation::Accelerate { urgent: true, .. }
        ));
        let blending = Situation {
            blending: true,
            ..urgent
        };
        assert_eq!(decide(&blending), Operation::Normal);
    }

    #[test]
    fn the_first_sound_waits_until_the_delay_is_there() {
        let filling = Situation {
            phase: Phase::Filling,
            level: 160,
            ..situation()
        };
        assert_eq!(decide(&filling), Operation::Hold);
        let full = Situation {
            level: 320,
            ..filling
        };
        assert_eq!(decide(&full), Operation::Normal);
    }

    #[test]
    fn only_whole_steps_of_waiting_sound_bring_a_packet_in_time() {
        // The next packet can be there at this very step at the earliest.
        let least = |ask_us| least_level(0, ask_us, 160, 20_000);
        assert_eq!((least(0), least(1), least(20_000)), (0, 160, 160));
        assert_eq!(least(20_001), 320);
        // It could have been there for 5 ms.
        assert_eq!(least_level(5_000, 25_000, 160, 20_000), 160);
        assert_eq!(least_level(-5_000, 25_000, 160, 20_000), 320);
    }
}
