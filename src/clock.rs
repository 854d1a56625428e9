//! The only reader of time: everything else is told what time it is.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Reads the monotonic clock.
#[allow(clippy::disallowed_methods)] // this module is where time enters
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// One beat: media threads step on beats, so that what many calls do falls together.
pub const BEAT: Duration = Duration::from_millis(1);

/// Gives the beat that `instant` is in: beats are a whole number of [`BEAT`]s apart, for the whole
/// process.
#[must_use]
pub fn beat(instant: Instant) -> Instant {
    let since = since_first(instant).as_nanos() % BEAT.as_nanos();
    instant
        .checked_sub(Duration::from_nanos(u64::try_from(since).unwrap_or(0)))
        .unwrap_or(instant)
}

/// Numbers the beat that `instant` is in; beats are counted for the whole process.
#[must_use]
pub fn beat_number(instant: Instant) -> u64 {
    let beats = since_first(instant).as_nanos() / BEAT.as_nanos();
    u64::try_from(beats).unwrap_or(u64::MAX)
}

/// Time since the beat that all others are counted from.
fn since_first(instant: Instant) -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let first = *FIRST.get_or_init(|| instant);
    instant.saturating_duration_since(first)
}

/// Reads the wall clock as time since 1970, which other processes and the kernel read as well.
#[allow(clippy::disallowed_methods)] // this module is where time enters
#[must_use]
pub fn since_1970() -> Duration {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// Reads the wall clock in the system's time zone.
#[must_use]
pub fn wall() -> jiff::Zoned {
    jiff::Zoned::now()
}

/// Tells what the calendar says at a moment in a zone of an IANA name; without one, or for a name
/// that no zone has, in the system's.
#[must_use]
pub fn zoned(at: jiff::Timestamp, zone: Option<&str>) -> jiff::Zoned {
    let zone = zone.and_then(|name| jiff::tz::TimeZone::get(name).ok());
    at.to_zoned(zone.unwrap_or_else(jiff::tz::TimeZone::system))
}

/// Ties the monotonic clock to the wall clock once, so that records of one call never run back:
/// each call takes its own, since the wall clock may be set while the switch runs.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    instant: Instant,
    wall: jiff::Timestamp,
}

impl Epoch {
    /// Takes both clocks' readings now.
    #[must_use]
    pub fn take() -> Self {
        Self {
            instant: now(),
            wall: jiff::Timestamp::now(),
        }
    }

    /// Tells the wall-clock time of `instant`.
    #[must_use]
    pub fn timestamp(&self, instant: Instant) -> jiff::Timestamp {
        let offset = if instant >= self.instant {
            jiff::SignedDuration::try_from(instant - self.instant)
        } else {
            jiff::SignedDuration::try_from(self.instant - instant).map(|back| -back)
        };
        offset
            .ok()
            .and_then(|offset| self.wall.checked_add(offset).ok())
            .unwrap_or(self.wall)
    }
}

/// Tells the wall-clock time of instants by what both clocks read when it is asked, for what
/// belongs to no call: it follows the wall clock when that is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct FreshEpoch;

impl FreshEpoch {
    /// Tells the wall-clock time of `instant`, as the wall clock is set now.
    #[must_use]
    pub fn timestamp(&self, instant: Instant) -> jiff::Timestamp {
        Epoch::take().timestamp(instant)
    }
}

/// Tells the whole milliseconds from `earlier` to `later`, zero when they are the other way round.
#[must_use]
pub fn ms_between(earlier: Instant, later: Instant) -> u32 {
    let elapsed = later.saturating_duration_since(earlier);
    u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX)
}

/// Sleeps until `deadline`, or for ever when there is none: the timer arm of a `select!`.
pub async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Gives the smaller of two optional deadlines.
#[must_use]
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_whole_milliseconds_apart_and_not_after_what_is_in_them() {
        let first = beat(now());
        assert_eq!(beat(first), first);
        for us in [1, 999, 1_000, 1_001, 123_456] {
            let instant = first + Duration::from_micros(us);
            let expected = first + BEAT * u32::try_from(us / 1_000).unwrap();
            assert_eq!(beat(instant), expected, "{us} µs");
            let number = beat_number(first) + us / 1_000;
            assert_eq!(beat_number(instant), number, "{us} µs");
        }
    }

    #[test]
    fn a_records_times_follow_the_monotonic_clock_both_ways() {
        let epoch = Epoch::take();
        let later = epoch.instant + Duration::from_millis(1500);
        let span = epoch
            .timestamp(later)
            .duration_since(epoch.timestamp(epoch.instant));
        assert_eq!(span.as_millis(), 1500);
        if let Some(before) = epoch.instant.checked_sub(Duration::from_millis(20)) {
            let span = epoch
                .timestamp(epoch.instant)
                .duration_since(epoch.timestamp(before));
            assert_eq!(span.as_millis(), 20);
        }
    }
}
