//! Delay peaks that repeat: a link that stands still now and then and delivers all at once.
//!
//! A quantile does not see them, since few packets are late by them; each of them would be
//! concealed. While they come often the target is raised to their height (NetEQ's peak mode).

/// A packet that is later than the target by so much is a peak.
const ABOVE_TARGET_MS: u32 = 30;
/// What follows within so long is the same peak.
const ONE_PEAK_US: u64 = 500_000;
/// Peaks that are farther apart are cheaper concealed than waited for: at 20 ms of delay for each
/// per cent of sound (the price that WebRTC's NetEQ reckons with) it pays up to two seconds.
const LONGEST_PERIOD_US: u64 = 2_000_000;
/// Peaks that are remembered.
const REMEMBERED: usize = 4;
/// So many must have come before they are believed in.
const ENOUGH: usize = 3;

/// Remembers the last delay peaks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peaks {
    heights_ms: [u32; REMEMBERED],
    /// Time from the peak before; 0 for the first.
    periods_us: [u64; REMEMBERED],
    count: usize,
    last_us: u64,
}

impl Peaks {
    /// Takes a packet's delay and what nearly all packets need.
    pub(crate) fn observe(&mut self, now_us: u64, delay_ms: u32, quantile_ms: u32) {
        if delay_ms < quantile_ms + ABOVE_TARGET_MS {
            return;
        }
        let period_us = now_us.saturating_sub(self.last_us);
        if self.count > 0 && period_us < ONE_PEAK_US {
            let height = &mut self.heights_ms[0];
            *height = delay_ms.max(*height);
            return;
        }
        if self.count > 0 && period_us > LONGEST_PERIOD_US {
            self.count = 0;
        }
        self.heights_ms.rotate_right(1);
        self.periods_us.rotate_right(1);
        self.heights_ms[0] = delay_ms;
        self.periods_us[0] = if self.count == 0 { 0 } else { period_us };
        self.count = (self.count + 1).min(REMEMBERED);
        self.last_us = now_us;
    }

    /// The height to be ready for, in milliseconds; 0 when no peaks repeat at the moment.
    pub(crate) fn height_ms(&self, now_us: u64) -> u32 {
        let longest = self.periods_us.iter().take(self.count).max();
        let patience_us = longest.copied().unwrap_or(0) * 2;
        if self.count < ENOUGH || now_us.saturating_sub(self.last_us) > patience_us {
            return 0;
        }
        let heights = self.heights_ms.iter().take(self.count);
        heights.copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn peaks_count_when_they_repeat_and_as_long_as_they_do() {
        let mut peaks = Peaks::default();
        for n in 1..=4 {
            assert_eq!(peaks.height_ms(n * SECOND) > 0, n > 3);
            // A peak is a run of packets, each less late than the one before.
            for (packet, late_ms) in [(0, 120 + n as u32), (1, 100), (2, 80)] {
                peaks.observe(n * SECOND + packet * 20_000, late_ms, 10);
            }
        }
        assert_eq!(peaks.height_ms(5 * SECOND), 124);
        assert_eq!(peaks.height_ms(6 * SECOND), 124);
        assert_eq!(peaks.height_ms(7 * SECOND), 0);
    }

    #[test]
    fn what_comes_once_in_a_while_is_no_peak_mode() {
        let mut peaks = Peaks::default();
        for n in 1..=10 {
            peaks.observe(n * 3 * SECOND, 200, 10);
            assert_eq!(peaks.height_ms(n * 3 * SECOND + 1), 0);
        }
    }
}
