//! The clocks of a simulated world: they stand still, and they jump.

use std::time::{Duration, Instant};

/// What a side is told the time is. It never runs back, as [`Instant`] does not.
#[derive(Clone, Copy, Default)]
pub(crate) struct Clock {
    /// How far it has jumped ahead of the world's time.
    ahead: Duration,
    /// How long it stood still while the world went on.
    behind: Duration,
    asleep_since: Option<Instant>,
}

impl Clock {
    /// What it shows at a moment of the world.
    pub(crate) fn at(&self, world: Instant) -> Instant {
        self.asleep_since.unwrap_or(world) + self.ahead - self.behind
    }

    /// When it will show a moment of its own; never while its machine is asleep.
    pub(crate) fn when(&self, own: Instant) -> Option<Instant> {
        self.is_awake().then(|| own + self.behind - self.ahead)
    }

    pub(crate) fn is_awake(&self) -> bool {
        self.asleep_since.is_none()
    }

    /// The machine is suspended.
    pub(crate) fn sleep(&mut self, world: Instant) {
        self.asleep_since = Some(world);
    }

    /// The machine goes on: the clock has stood still with it, as Linux' does, or jumps to where the
    /// world is, as others do.
    pub(crate) fn wake(&mut self, world: Instant, stood_still: bool) {
        if let Some(since) = self.asleep_since.take()
            && stood_still
        {
            self.behind += world - since;
        }
    }

    pub(crate) fn leap(&mut self, by: Duration) {
        self.ahead += by;
    }
}

/// The time of day: it is set right now and then, and so it jumps in both directions.
#[derive(Clone, Copy)]
pub(crate) struct Wall {
    ahead_s: i64,
}

/// Some day, in seconds since 1970.
const SOME_DAY_S: u64 = 1_800_000_000;

impl Wall {
    pub(crate) fn new() -> Self {
        Self { ahead_s: 0 }
    }

    /// What it shows so long after the world began, since 1970.
    pub(crate) fn at(&self, elapsed: Duration) -> Duration {
        let whole_s = SOME_DAY_S.saturating_add_signed(self.ahead_s);
        Duration::from_secs(whole_s) + elapsed
    }

    pub(crate) fn leap(&mut self, by_s: i64) {
        self.ahead_s += by_s;
    }
}
