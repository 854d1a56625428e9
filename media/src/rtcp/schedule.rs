//! When reports are due, and the round trip that they tell.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Least mean interval; with two parties in a session nothing else is ever larger (§6.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// e − 3/2: timer reconsideration shortens the mean, which this makes up for (§6.3.1).
const COMPENSATION: f64 = 1.218_28;
/// Seconds from 1900, where NTP begins, to 1970.
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// Keeps a session's RTCP timer and clock (RFC 3550 §6.3).
#[derive(Debug)]
pub(crate) struct Schedule {
    start: Instant,
    unix_time: Duration,
    due: Instant,
    random: SmallRng,
    last_sender_report: Option<(u32, Instant)>,
    round_trip: Option<Duration>,
}

impl Schedule {
    pub(crate) fn new(now: Instant, unix_time: Duration, seed: u64) -> Self {
        let mut schedule = Self {
            start: now,
            unix_time,
            due: now,
            random: SmallRng::seed_from_u64(seed),
            last_sender_report: None,
            round_trip: None,
        };
        // §6.2: the first interval is half as long.
        schedule.due = now + schedule.interval() / 2;
        schedule
    }

    /// Tells whether a report is due, and if so sets when the next one is.
    pub(crate) fn fires(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        self.due = now + self.interval();
        true
    }

    /// Time as NTP counts it: seconds since 1900 and their fraction in 32 bits each (§4).
    pub(crate) fn ntp(&self, now: Instant) -> u64 {
        let time = self.unix_time + now.saturating_duration_since(self.start);
        let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
        (time.as_secs().wrapping_add(NTP_OFFSET_S) << 32) | fraction
    }

    /// Remembers a sender report of the peer, to be named in our next block.
    pub(crate) fn heard_sender_report(&mut self, now: Instant, ntp: u64) {
        self.last_sender_report = Some(((ntp >> 16) as u32, now));
    }

    /// LSR and DLSR for our next block; zeros as long as there is none (§6.4.1).
    pub(crate) fn last_sender_report(&self, now: Instant) -> (u32, u32) {
        self.last_sender_report.map_or((0, 0), |(middle, heard)| {
            let since = now.saturating_duration_since(heard).as_micros();
            (
                middle,
                (since * 65_536 / 1_000_000).min(u128::from(u32::MAX)) as u32,
            )
        })
    }

    /// Takes LSR and DLSR of the peer's block about us: the rest of the time since then is the
    /// round trip (§6.4.1).
    pub(crate) fn heard_block(&mut self, now: Instant, last: u32, delay: u32) {
        if last == 0 {
            return;
        }
        let middle = (self.ntp(now) >> 16) as u32;
        let trip = middle.wrapping_sub(last).wrapping_sub(delay);
        // A clock that is a hair off makes it slightly negative; half a minute is no round trip.
        let trip = if trip > u32::MAX / 2 { 0 } else { trip };
        if trip < 30 << 16 {
            self.round_trip = Some(Duration::from_micros((u64::from(trip) * 1_000_000) >> 16));
        }
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    fn interval(&mut self) -> Duration {
        INTERVAL.mul_f64(self.random.random_range(0.5..1.5) / COMPENSATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    #[test]
    fn reports_come_every_2_to_6_seconds_and_about_every_four() {
        let mut schedule = Schedule::new(epoch(), Duration::ZERO, 42);
        let mut fired = Vec::new();
        for ms in 0..1_000_000 {
            if schedule.fires(epoch() + Duration::from_millis(ms)) {
                fired.push(ms);
            }
        }
        assert!((1_026..3_079).contains(&fired[0]), "{}", fired[0]);
        let gaps: Vec<u64> = fired.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (2_052..=6_157).contains(gap)));
        let mean = gaps.iter().sum::<u64>() / gaps.len() as u64;
        assert!((3_900..4_300).contains(&mean), "{mean}");
    }

    #[test]
    fn the_round_trip_is_what_the_peer_did_not_keep() {
        let unix_time = Duration::from_secs(1_700_000_000);
        let mut schedule = Schedule::new(epoch(), unix_time, 1);
        let sent = schedule.ntp(epoch() + Duration::from_secs(10));
        let heard = epoch() + Duration::from_millis(13_080);
        schedule.heard_block(heard, (sent >> 16) as u32, 3 << 16);
        let trip = schedule.round_trip().unwrap().as_micros() as i64;
        assert!((trip - 80_000).abs() < 50, "{trip}");
    }
}
