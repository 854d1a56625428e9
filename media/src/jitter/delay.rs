//! How long packets must wait so that nearly all of them are in time.
//!
//! Delays are measured against the fastest packets of the last two seconds, so that neither the
//! sender's clock nor its drift matters. A histogram of them that forgets gives the target as a
//! quantile (as NetEQ does it), and [`Peaks`] raises it while delay peaks repeat.

use std::time::Instant;

use super::peaks::Peaks;
use crate::reception::micros;

/// Width of a histogram's bin; the first one holds what is later by less than a millisecond.
const BIN_MS: u32 = 3;
const BINS: usize = 84;
/// Share of packets that should be in time.
const QUANTILE: f32 = 0.97;
/// Share that a new packet has in the histogram: the last few seconds count.
const LEARN: f32 = 1.0 / 256.0;
/// The fastest packet of so many windows is the measure of all delays.
const WINDOWS: usize = 4;
const WINDOW_US: u64 = 500_000;
/// A delay that grows by less in a window does not grow.
const GROWTH_US: i64 = 2_000;
/// Delays beyond this are a clock that was set, not a network.
const WILD_US: i64 = 2_000_000;

/// Learns a stream's delays relative to its fastest packets, forgetting old ones.
#[derive(Debug)]
pub(crate) struct DelayEstimator {
    start: Instant,
    rate_hz: u32,
    histogram: [f32; BINS],
    /// Least transit of the last windows, the present one last, in microseconds.
    fastest: [i64; WINDOWS],
    window_started_us: u64,
    learned: u32,
    peaks: Peaks,
    quantile_ms: u32,
    target_ms: u32,
}

impl DelayEstimator {
    pub(crate) fn new(start: Instant, rate_hz: u32) -> Self {
        Self {
            start,
            rate_hz: rate_hz.max(1),
            histogram: [0.0; BINS],
            fastest: [i64::MAX; WINDOWS],
            window_started_us: 0,
            learned: 0,
            peaks: Peaks::default(),
            quantile_ms: 0,
            target_ms: 0,
        }
    }

    /// Begins with another source: its timestamps have nothing to do with those before, but it
    /// comes over the same network.
    pub(crate) fn restart(&mut self) {
        self.fastest = [i64::MAX; WINDOWS];
    }

    /// Takes a packet's arrival and returns by how much it is later than the fastest ones, in
    /// milliseconds.
    pub(crate) fn observe(&mut self, received: Instant, timestamp: u64) -> u32 {
        let arrival_us = micros(self.start, received);
        let transit_us = self.transit_us(arrival_us, timestamp);
        let before = self.base_us();
        if before.is_some_and(|base| transit_us.wrapping_sub(base).saturating_abs() > WILD_US) {
            self.restart();
        }
        if arrival_us.saturating_sub(self.window_started_us) > WINDOW_US {
            self.fastest.rotate_left(1);
            self.fastest[WINDOWS - 1] = i64::MAX;
            self.window_started_us = arrival_us;
        }
        let newest = &mut self.fastest[WINDOWS - 1];
        *newest = transit_us.min(*newest);
        let base = self.base_us().unwrap_or(transit_us);
        let risen_us = base.wrapping_sub(before.unwrap_or(base));
        if risen_us > 0 && risen_us < WILD_US {
            self.forget_base(risen_us as u64);
        }
        let late_us = transit_us.wrapping_sub(base);
        let delay_ms = (late_us / 1_000).clamp(0, i64::from(u32::MAX)) as u32;
        self.learn(delay_ms);
        self.peaks.observe(arrival_us, delay_ms, self.quantile_ms);
        let usual_ms = self.quantile_ms + self.growth_ms();
        self.target_ms = usual_ms.max(self.peaks.height_ms(arrival_us));
        delay_ms
    }

    /// The delay that keeps nearly all packets in time, in milliseconds.
    pub(crate) fn target_ms(&self) -> u32 {
        self.target_ms
    }

    /// By how much a moment is later than the earliest at which a packet of this timestamp could
    /// come, in microseconds; none before the first packet.
    pub(crate) fn lead_us(&self, now: Instant, timestamp: u64) -> Option<i64> {
        let transit_us = self.transit_us(micros(self.start, now), timestamp);
        self.base_us().map(|base| transit_us.wrapping_sub(base))
    }

    fn transit_us(&self, arrival_us: u64, timestamp: u64) -> i64 {
        let rate_hz = u64::from(self.rate_hz);
        let (seconds, ticks) = (timestamp / rate_hz, timestamp % rate_hz);
        let part_us = ticks * 1_000_000 / rate_hz;
        let sent_us = seconds.wrapping_mul(1_000_000).wrapping_add(part_us);
        arrival_us.wrapping_sub(sent_us) as i64
    }

    fn base_us(&self) -> Option<i64> {
        let fastest = self.fastest.iter().copied().min()?;
        (fastest != i64::MAX).then_some(fastest)
    }

    /// By how much the delay grows from window to window: a queue fills, and the newest packets are
    /// the latest of all. 0 when it does not grow steadily.
    fn growth_ms(&self) -> u32 {
        let mut least_us = i64::MAX;
        for pair in self.fastest.windows(2) {
            let [before, after] = pair else { continue };
            least_us = least_us.min(after.saturating_sub(*before));
        }
        let settled = self.fastest.iter().all(|us| *us != i64::MAX);
        if settled && least_us >= GROWTH_US {
            (least_us / 1_000).min(i64::from(BIN_MS) * BINS as i64) as u32
        } else {
            0
        }
    }

    fn learn(&mut self, delay_ms: u32) {
        // The first packets count in full, so that the histogram sums to 1 from the start.
        self.learned = self.learned.saturating_add(1);
        let weight = LEARN.max(1.0 / self.learned as f32);
        for part in &mut self.histogram {
            *part *= 1.0 - weight;
        }
        let bin = (delay_ms.div_ceil(BIN_MS) as usize).min(BINS - 1);
        if let Some(part) = self.histogram.get_mut(bin) {
            *part += weight;
        }
        let mut late = 1.0;
        let in_time = |part: &f32| {
            late -= part;
            late <= 1.0 - QUANTILE
        };
        let bin = self.histogram.iter().position(in_time);
        self.quantile_ms = bin.unwrap_or(BINS - 1) as u32 * BIN_MS;
    }

    /// The fastest packets have got slower: what is remembered was late by that much less.
    fn forget_base(&mut self, risen_us: u64) {
        let bins = (risen_us / 1_000 / u64::from(BIN_MS)).min(BINS as u64 - 1) as usize;
        if bins == 0 {
            return;
        }
        let (first, rest) = self.histogram.split_at_mut(bins);
        let in_time: f32 = first.iter().sum();
        first.fill(0.0);
        if let Some(next) = rest.first_mut() {
            *next += in_time;
        }
        self.histogram.rotate_left(bins);
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
        assert_eq!(estimator.target_ms(), 33);
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

    #[test]
    fn a_path_that_got_longer_for_good_is_soon_no_delay_any_more() {
        let mut estimator = DelayEstimator::new(epoch(), 8_000);
        feed(&mut estimator, 0..500, &[0, 1]);
        feed(&mut estimator, 500..700, &[150, 151]);
        // Two seconds and a half later the fastest of them are the measure, and what is
        // remembered as late was not.
        assert!(estimator.target_ms() <= 3, "{}", estimator.target_ms());
    }

    #[test]
    fn clocks_that_drift_apart_are_no_delay() {
        for ppm in [-100i64, 100] {
            let mut estimator = DelayEstimator::new(epoch(), 8_000);
            for n in 0..20_000i64 {
                let received = (1_000_000 + n * (20_000 + 20_000 * ppm / 1_000_000)) as u64;
                estimator.observe(epoch() + Duration::from_micros(received), n as u64 * 160);
            }
            assert_eq!(estimator.target_ms(), 0, "{ppm} ppm");
        }
    }
}
