//! How much of a sound is there over a step: all, none, or a ramp between them.

/// A ramp's length in ms: short against a word, long against a click.
const RAMP_MS: usize = 10;
/// Full scale of a ramp's gains, as a power of two: two sounds at full scale times it fit.
const ONE_BITS: u32 = 14;

/// A sound's share over one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fade {
    None,
    Whole,
    /// It begins with this step.
    In,
    /// It ended with the step before.
    Out,
}

impl Fade {
    /// Leads from how it was to how it is.
    pub(super) fn between(before: bool, now: bool) -> Self {
        match (before, now) {
            (false, false) => Self::None,
            (true, true) => Self::Whole,
            (false, true) => Self::In,
            (true, false) => Self::Out,
        }
    }

    /// Adds the sound's share to a sum, or takes away the very same.
    pub(super) fn add<const TAKE_AWAY: bool>(self, sound: &[i32], sum: &mut [i32]) {
        let sign = if TAKE_AWAY { -1 } else { 1 };
        let ramp = ramp_samples(sum.len());
        match self {
            Self::None => {}
            Self::Whole => {
                for (sum, sample) in sum.iter_mut().zip(sound) {
                    *sum += sign * *sample;
                }
            }
            Self::In | Self::Out => {
                for (n, (sum, sample)) in sum.iter_mut().zip(sound).enumerate() {
                    *sum += sign * self.at(n, ramp, *sample);
                }
            }
        }
    }

    /// Leaves the sound's share of it.
    pub(super) fn apply(self, sound: &mut [i16]) {
        let ramp = ramp_samples(sound.len());
        match self {
            Self::None => sound.fill(0),
            Self::Whole => {}
            Self::In | Self::Out => {
                for (n, sample) in sound.iter_mut().enumerate() {
                    *sample = self.at(n, ramp, i32::from(*sample)) as i16;
                }
            }
        }
    }

    fn at(self, n: usize, ramp: usize, sample: i32) -> i32 {
        let risen = ((n.min(ramp) << ONE_BITS) / ramp) as i32;
        let gain = match self {
            Self::None => 0,
            Self::Whole => 1 << ONE_BITS,
            Self::In => risen,
            Self::Out => (1 << ONE_BITS) - risen,
        };
        (sample * gain) >> ONE_BITS
    }
}

/// Samples of a ramp in a step of 20 ms.
fn ramp_samples(step_samples: usize) -> usize {
    (step_samples * RAMP_MS / 20).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_taken_away_to_the_last_bit() {
        // Two sounds at full scale, and all between.
        let sound: Vec<i32> = (0..160).map(|n| n * 797 % 131_071 - 65_535).collect();
        for fade in [Fade::None, Fade::Whole, Fade::In, Fade::Out] {
            let mut sum = [7; 160];
            fade.add::<false>(&sound, &mut sum);
            fade.add::<true>(&sound, &mut sum);
            assert_eq!(sum, [7; 160], "{fade:?}");
        }
    }

    #[test]
    fn a_ramp_takes_10_ms_from_nothing_to_all() {
        let mut sound = [i16::MIN; 160];
        Fade::In.apply(&mut sound);
        assert_eq!((sound[0], sound[40], sound[80]), (0, -16_384, i16::MIN));
        let mut sound = [i16::MAX; 160];
        Fade::Out.apply(&mut sound);
        assert_eq!((sound[0], sound[80], sound[159]), (i16::MAX, 0, 0));
    }
}
