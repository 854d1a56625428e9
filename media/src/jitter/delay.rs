//! How long packets must wait so that nearly all of them are in time.

use std::time::Instant;

use crate::reception::micros;

/// Width of a histogram step.
const STEP_MS: u32 = 5;
const STEPS: usize = 48;
/// Share of packets that should be in time.
const QUANTILE: f32 = 0.97;
/// Share that a new packet has in the histogram: the last few seconds count.
const LEARN: f32 = 1.0 / 128.0;
/// The fastest packet of the last one to two windows is the measure of all delays.
const WINDOW_US: u64 = 4_000_000;
/// Delays beyond this are a clock that was set, not a network.
const WILD_US: i64 = 2_000_000;

/// Learns a stream's delays relative to its fastest packets, forgetting old ones.
#[derive(Debug)]
pub(crate) struct DelayEstimator {
    start: Instant,
    clock_rate_hz: u32,
    histogram: [f32; STEPS],
    /// Least transit of the window before and of this one, in microseconds.
    fastest: [i64; 2],
    window_started_us: u64,
    learned: u32,
}

impl DelayEstimator {
    pub(crate) fn new(start: Instant, clock_rate_hz: u32) -> Self {
        Self {
            start,
            clock_rate_hz: clock_rate_hz.max(1),
            histogram: [0.0; STEPS],
            fastest: [i64::MAX; 2],
            window_started_us: 0,
            learned: 0,
        }
    }

    /// Takes a packet's arrival and returns by how much it is later than the fastest ones, in
    /// milliseconds.
    pub(crate) fn observe(&mut self, received: Instant, timestamp: u64) -> u32 {
        let arrival_us = micros(self.start, received);
        let sent_us = (u128::from(timestamp) * 1_000_000 / u128::from(self.clock_rate_hz)) as i64;
        let transit_us = (arrival_us as i64).wrapping_sub(sent_us);
        if arrival_us.saturating_sub(self.window_started_us) > WINDOW_US {
            self.fastest = [self.fastest[1], i64::MAX];
            self.window_started_us = arrival_us;
        }
        let known = self.fastest[0].min(self.fastest[1]);
        if known != i64::MAX && transit_us.wrapping_sub(known).saturating_abs() > WILD_US {
            self.fastest = [i64::MAX; 2];
        }
        self.fastest[1] = self.fastest[1].min(transit_us);
        let delay_us = transit_us - self.fastest[0].min(self.fastest[1]);
        let delay_ms = (delay_us / 1_000).clamp(0, i64::from(u32::MAX)) as u32;
        self.learn(delay_ms);
        delay_ms
    }

    /// The delay that keeps nearly all packets in time, in milliseconds.
    pub(crate) fn target_ms(&self) -> u32 {
        let mut share = 0.0;
        for (step, part) in (0u32..).zip(&self.histogram) {
            share += part;
            if share >= QUANTILE {
                return step * STEP_MS;
            }
        }
        STEPS as u32 * STEP_MS
    }

    fn learn(&mut self, delay_ms: u32) {
        // The first packets count in full, so that the histogram sums to 1 from the start.
        self.learned = self.learned.saturating_add(1);
        let weight = LEARN.max(1.0 / self.learned as f32);
        let step = (delay_ms.div_ceil(STEP_MS) as usize).min(STEPS - 1);
        for part in &mut self.histogram {
            *part *= 1.0 - weight;
        }
        if let Some(part) = self.histogram.get_mut(step) {
            *part += weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::epoch;

    fn feed(estimator: &mut DelayEstimator, packets: std::ops::Range<u64>, late_ms: &[u64]) {
        for n in packets {
            let late = late_ms[n as usize % late_ms.len()];
            let received = epoch() + Duration::from_millis(n * 20 + late);
            estimator.observe(received, n * 160);
        }
    }

    #[test]
    fn a_steady_stream_needs_no_delay_and_a_shaky_one_as_much_as_it_shakes() {
        let mut estimator = DelayEstimator::new(epoch(), 8_000);
        feed(&mut estimator, 0..200, &[0]);
        assert_eq!(estimator.target_ms(), 0);
        feed(&mut estimator, 200..1_200, &[0, 13, 31, 2, 7]);
        assert_eq!(estimator.target_ms(), 35);
        feed(&mut estimator, 1_200..2_200, &[0]);
        assert_eq!(estimator.target_ms(), 0);
    }

    #[test]
    fn a_clock_that_is_set_does_not_count_as_delay() {
        let mut estimator = DelayEstimator::new(epoch(), 8_000);
        feed(&mut estimator, 0..100, &[0]);
        let received = epoch() + Duration::from_millis(100 * 20);
        assert_eq!(estimator.observe(received, 100 * 160 + 1_000_000_000), 0);
    }
}
