//! Loss in bursts.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Loses packets as Gilbert's model does: a good state that loses none, a bad one that loses all.
pub(crate) struct Gilbert {
    random: SmallRng,
    lost: bool,
    enter: f64,
    leave: f64,
}

impl Gilbert {
    /// Loses `share` of the packets, from 0 to 1, in bursts of `mean_burst` on average.
    pub(crate) fn new(seed: u64, share: f64, mean_burst: f64) -> Self {
        let leave = 1.0 / mean_burst.max(1.0);
        Self {
            random: SmallRng::seed_from_u64(seed),
            lost: false,
            enter: (leave * share / (1.0 - share)).min(1.0),
            leave,
        }
    }

    /// Tells whether the next packet is lost.
    pub(crate) fn loses(&mut self) -> bool {
        let change = if self.lost { self.leave } else { self.enter };
        self.lost ^= self.random.random_bool(change);
        self.lost
    }
}
