//! Keeps a sum of voices within what 16 bits hold, by turning it down instead of clipping it.
//!
//! A step is looked at whole before it is sent, so the gain is down before the loud part comes and
//! nothing is delayed for that; only a peak at a step's very beginning is bent by the knee's curve,
//! for 2.5 ms at most. After a peak the gain is held for longer than a deep voice's period, so that
//! it does not follow the waveform, and then rises slowly.

/// Parts of a step, each with a gain of its own at its end: 2.5 ms.
const BLOCKS: usize = 8;
/// Up to here a sum stays as it is: 4.3 dB below full scale.
const KNEE: f32 = 20_000.0;
/// What a sum never exceeds.
const CEILING: f32 = 32_000.0;
/// Blocks for which the gain stays down: 40 ms, a period of 25 Hz.
const HOLD_BLOCKS: u32 = 16;
/// How much the gain rises in a block: 6 dB in 300 ms.
const RELEASE: f32 = 1.0058;

/// The gain of one party's sum.
#[derive(Clone, Debug)]
pub(crate) struct Limiter {
    gain: f32,
    hold: u32,
}

impl Limiter {
    pub(crate) fn new() -> Self {
        Self { gain: 1.0, hold: 0 }
    }

    /// Turns a step of sums into samples; `lone` when one voice makes the sum, with
    /// silence beside it at most: it fits.
    pub(crate) fn limit(&mut self, sum: &[i32], lone: bool, out: &mut [i16]) {
        if self.gain >= 1.0 && (lone || loudest(sum) <= KNEE) {
            for (to, from) in out.iter_mut().zip(sum) {
                *to = (*from).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            }
            return;
        }
        let len = (sum.len() / BLOCKS).max(1);
        let mut wanted = [1.0; BLOCKS];
        if !lone {
            for (wanted, block) in wanted.iter_mut().zip(sum.chunks(len)) {
                *wanted = gain_for(loudest(block));
            }
        }
        let next = wanted.iter().skip(1).chain(wanted.last());
        let blocks = sum.chunks(len).zip(out.chunks_mut(len));
        for ((here, next), (sum, out)) in wanted.iter().zip(next).zip(blocks) {
            let from = self.gain;
            self.follow(here.min(*next));
            let step = (self.gain - from) / len as f32;
            // Only where a step begins may the gain come too late.
            let late = from > *here;
            let mut gain = from;
            for (to, sample) in out.iter_mut().zip(sum) {
                gain += step;
                let sample = *sample as f32;
                let now = match late {
                    true => gain.min(gain_for(sample.abs())),
                    false => gain,
                };
                *to = (sample * now).round_ties_even() as i16;
            }
        }
    }

    /// Lets a step of silence pass.
    pub(crate) fn rest(&mut self) {
        (0..BLOCKS).for_each(|_| self.follow(1.0));
    }

    fn follow(&mut self, wanted: f32) {
        if wanted <= self.gain {
            self.hold = if wanted < 1.0 { HOLD_BLOCKS } else { 0 };
            self.gain = wanted;
        } else if self.hold > 0 {
            self.hold -= 1;
        } else {
            self.gain = (self.gain * RELEASE).min(wanted);
        }
    }
}

fn loudest(sum: &[i32]) -> f32 {
    sum.iter().fold(0, |most, sample| most.max(sample.abs())) as f32
}

/// The gain that bends a peak into what there is room for: none below the knee, and a curve
/// that leaves it without a corner and never reaches the ceiling.
fn gain_for(peak: f32) -> f32 {
    if peak <= KNEE {
        return 1.0;
    }
    let (over, room) = (peak - KNEE, CEILING - KNEE);
    (KNEE + over * room / (over + room)) / peak
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_leaves_the_knee_without_a_corner_and_stays_below_the_ceiling() {
        assert_eq!(gain_for(KNEE), 1.0);
        let slope = gain_for(KNEE + 10.0) * (KNEE + 10.0) - KNEE;
        assert!((slope - 10.0).abs() < 0.1, "{slope}");
        let mut last = KNEE;
        for peak in (21..2_000).map(|thousands| thousands as f32 * 1_000.0) {
            let bent = gain_for(peak) * peak;
            assert!(bent > last && bent < CEILING, "{peak}: {bent}");
            last = bent;
        }
    }

    #[test]
    fn a_peak_at_the_very_start_of_a_step_is_bent_and_not_clipped() {
        let mut limiter = Limiter::new();
        let mut out = [0; 160];
        limiter.limit(&[60_000; 160], false, &mut out);
        assert!(out.iter().all(|sample| (29_000..32_000).contains(sample)));
        let steps = out.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
        assert!(steps.max() < Some(100));
    }

    #[test]
    fn the_gain_comes_back_within_a_second() {
        let mut limiter = Limiter::new();
        let mut out = [0; 160];
        limiter.limit(&[60_000; 160], false, &mut out);
        let mut last = 0;
        for step in 0..50 {
            limiter.limit(&[10_000; 160], false, &mut out);
            assert!(out[0] >= last, "step {step}");
            last = out[159];
        }
        assert_eq!(out, [10_000; 160]);
    }
}
