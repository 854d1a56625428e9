//! Whether the media threads keep their deadlines: where they do not, no call is taken until they do,
//! so that those who talk already are heard in time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::services::Services;

/// How often the threads are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Ticks of a period below which nothing follows from their lateness: a moment's hiccup of a machine
/// that does little is no load.
const TICKS_MIN: u64 = 500;
/// Of a thousand ticks, so many may be late by half a frame before no call is taken …
const BEHIND_PER_MILLE: u64 = 20;
/// … and so many while calls are taken again after it …
const RECOVERED_PER_MILLE: u64 = 5;
/// … once that has held for so many periods.
const RECOVERED_PERIODS: u32 = 3;

/// What was counted so far, and what follows from it.
#[derive(Debug, Default)]
struct Deadlines {
    ticks: u64,
    late: u64,
    behind: bool,
    /// Periods in a row in which the deadlines were kept.
    kept: u32,
}

impl Deadlines {
    /// Takes what the threads have counted in all, each period; says whether they are behind.
    fn look(&mut self, ticks: u64, late: u64) -> bool {
        let new_ticks = ticks.saturating_sub(std::mem::replace(&mut self.ticks, ticks));
        let new_late = late.saturating_sub(std::mem::replace(&mut self.late, late));
        let beyond = |per_mille: u64| new_late.saturating_mul(1_000) > new_ticks * per_mille;
        if new_ticks >= TICKS_MIN && beyond(BEHIND_PER_MILLE) {
            (self.behind, self.kept) = (true, 0);
        } else if new_ticks >= TICKS_MIN && beyond(RECOVERED_PER_MILLE) {
            self.kept = 0;
        } else {
            self.kept = self.kept.saturating_add(1);
        }
        self.behind &= self.kept < RECOVERED_PERIODS;
        self.behind
    }
}

impl Services {
    /// Refuses calls for as long as the media threads are behind, until the process ends.
    pub async fn watch_deadlines(self: Arc<Self>) {
        let mut deadlines = Deadlines::default();
        let mut periods = tokio::time::interval(PERIOD);
        let mut told = false;
        loop {
            periods.tick().await;
            let (mut ticks, mut late) = (0, 0);
            for thread in self.line.media() {
                ticks += thread.counters().ticks.load(Ordering::Relaxed);
                late += thread.counters().late_ticks.load(Ordering::Relaxed);
            }
            let behind = deadlines.look(ticks, late);
            if std::mem::replace(&mut told, behind) != behind {
                match behind {
                    true => tracing::warn!(
                        "media is late: no call is taken until it is not; `limits.max_calls` is \
                         more than this machine carries, or something else takes its processors"
                    ),
                    false => tracing::info!("media is in time again: calls are taken"),
                }
                self.places.set_behind(behind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at periods of a thousand ticks, of which so many are late.
    fn look(deadlines: &mut Deadlines, late: &[u64]) -> Vec<bool> {
        let each = |late: &u64| deadlines.look(deadlines.ticks + 1_000, deadlines.late + late);
        late.iter().map(each).collect()
    }

    #[test]
    fn threads_that_miss_two_ticks_in_a_hundred_are_behind_until_they_kept_them_for_three_periods()
    {
        let mut deadlines = Deadlines::default();
        assert_eq!(look(&mut deadlines, &[0, 20, 21]), [false, false, true]);
        assert_eq!(look(&mut deadlines, &[0, 5, 6]), [true, true, true]);
        assert_eq!(look(&mut deadlines, &[5, 0, 0]), [true, true, false]);
    }

    #[test]
    fn a_machine_that_does_little_is_not_behind_for_a_hiccup() {
        let mut deadlines = Deadlines::default();
        assert!(!deadlines.look(499, 400));
        assert!(deadlines.look(1_000, 450));
    }
}
