//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential back-off with a ceiling and jitter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) ceiling: Duration,
}

impl Backoff {
    /// Returns the wait after the `attempts`-th failure (from 1): doubled each time up to the
    /// ceiling, of which the last half is jitter. The jitter is drawn from the row's key, so rows
    /// that failed together spread, and the same row always waits the same.
    pub(super) fn delay(&self, attempts: u32, key: &str) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.ceiling);
        let half = full / 2;
        half + half.mul_f64(fraction(key, attempts))
    }
}

/// Draws a number in [0, 1) from a key and a count (FNV-1a, then the finaliser of SplitMix64).
fn fraction(key: &str, count: u32) -> f64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for byte in key.bytes().chain(count.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    hash = (hash ^ hash >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((hash ^ hash >> 31) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_ceiling_and_rows_spread() {
        let backoff = Backoff {
            first: Duration::from_secs(2),
            ceiling: Duration::from_secs(900),
        };
        for attempts in 1..200 {
            let full = 2_f64.powi(attempts as i32).min(900.0);
            for row in 0..50 {
                let delay = backoff.delay(attempts, &format!("row {row}")).as_secs_f64();
                assert!(delay >= full / 2.0 && delay < full, "{attempts}: {delay}");
            }
        }
        let mut delays: Vec<_> = (0..1000)
            .map(|row| backoff.delay(9, &format!("row {row}")).as_secs())
            .collect();
        delays.sort_unstable();
        assert!(
            delays[100] < 285 && delays[900] > 475,
            "{} {}",
            delays[100],
            delays[900]
        );
        assert_eq!(backoff.delay(3, "a"), backoff.delay(3, "a"));
    }
}
