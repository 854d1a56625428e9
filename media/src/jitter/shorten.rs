//! Wearing delay off: a pitch period is left out where more waits than the network asks for.

use std::time::Instant;

use super::{EXCESS_MS, JitterBuffer, MAX_LEVEL_MS, SHORTEN_EVERY, STEP_MS};
use crate::conceal::pitch;
use crate::frame::Frame;

impl JitterBuffer {
    /// Averages how long sound waits from the arrival of the fastest packets to its playing.
    pub(super) fn measure(&mut self, received: Instant, late_ms: u32) {
        let Some(next_pull) = self.next_pull else {
            return;
        };
        let until_pull = next_pull.saturating_duration_since(received).as_secs_f32() * 1_000.0;
        let level_ms = self.timeline.level() as f32 * 1_000.0 / self.rate_hz as f32;
        let delay_ms = level_ms + until_pull.min(STEP_MS as f32) + late_ms as f32;
        self.mean_delay_ms += (delay_ms - self.mean_delay_ms) / 16.0;
    }

    pub(super) fn should_shorten(&self) -> bool {
        let wanted = (self.target_ms() + EXCESS_MS) as f32;
        self.mean_delay_ms > wanted && self.steps_since_shortened >= SHORTEN_EVERY
    }

    /// Plays a step in which one pitch period is left out, the ends blended into each other.
    pub(super) fn shorten(&mut self, out: &mut [i16]) -> bool {
        let (shortest, longest) = (self.samples(5) / 2, self.samples(15));
        let mut sound = [0; 2 * Frame::MAX_SAMPLES];
        let wanted = out.len() + longest;
        let Some(sound) = sound.get_mut(..wanted) else {
            return false;
        };
        if self.timeline.level() < wanted {
            return false;
        }
        self.timeline.peek(sound);
        let window = out.len().saturating_sub(longest).max(shortest);
        let lag = pitch(
            sound.get(..window + longest).unwrap_or_default(),
            shortest,
            longest,
            window,
        );
        let later = sound.get(lag..).unwrap_or_default();
        let len = out.len() as i32;
        for (n, (to, (now, later))) in (0..).zip(out.iter_mut().zip(sound.iter().zip(later))) {
            *to = ((i32::from(*now) * (len - n) + i32::from(*later) * n) / len) as i16;
        }
        self.timeline.skip(out.len() + lag);
        self.shortened += lag as u64;
        self.mean_delay_ms -= lag as f32 * 1_000.0 / self.rate_hz as f32;
        self.steps_since_shortened = 0;
        true
    }

    pub(super) fn bound_level(&mut self) {
        let excess = self
            .timeline
            .level()
            .saturating_sub(self.samples(MAX_LEVEL_MS));
        self.timeline.skip(excess);
        self.shortened += excess as u64;
    }
}
