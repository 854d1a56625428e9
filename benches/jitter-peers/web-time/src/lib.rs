//! What `web_time` offers natively, on a clock that stands still until it is set.

use std::cell::Cell;
use std::ops::{Add, AddAssign, Sub};
pub use std::time::Duration;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Sets this thread's clock.
pub fn set(since_start: Duration) {
    NOW.set(since_start);
}

/// A moment of the clock that the bench sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// What the clock was set to last.
    #[must_use]
    pub fn now() -> Self {
        Self(NOW.get())
    }

    /// Time from an earlier moment; none when it is later.
    #[must_use]
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Time since this moment.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Self::now().duration_since(*self)
    }

    /// A later moment.
    #[must_use]
    pub fn checked_add(&self, more: Duration) -> Option<Self> {
        self.0.checked_add(more).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, more: Duration) -> Self {
        Self(self.0 + more)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, more: Duration) {
        self.0 += more;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}
