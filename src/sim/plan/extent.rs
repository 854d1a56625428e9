//! What a seed decides of how calls are recorded, and how they are set up beyond the plain ways:
//! without an offer, or by several phones. Drawn apart, so that what a seed decided before stays.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::{Called, CallerPlan, Fork, Plan, Ringing, several};

impl Plan {
    pub(super) fn extend(&mut self) {
        let rng = &mut StdRng::seed_from_u64(self.seed ^ 0x6578_7465_6E74_0000);
        for caller in &mut self.callers {
            caller.extend(rng);
        }
    }
}

impl CallerPlan {
    fn extend(&mut self, rng: &mut StdRng) {
        self.recorded = rng.random_bool(0.5);
        self.recording_pauses = several(rng, 0.5, |rng| {
            let most = *[300, 4_000, 20_000].choose(rng).unwrap_or(&300);
            (rng.random_range(0..60_000), rng.random_range(0..most))
        });
        self.recording_drops = *[0, 0, 0, 1, 30].choose(rng).unwrap_or(&0);
        self.late_offer = rng.random_bool(0.15);
        self.bare_refreshes = several(rng, 0.15, |rng| rng.random_range(0..60_000));
        let forks = rng.random_bool(0.4);
        if let Some(called) = &mut self.called {
            called.fork = Fork::draw(rng, called).filter(|_| forks);
        }
    }
}

impl Fork {
    /// Another phone that rings as well, and mostly is answered at about the same time.
    fn draw(rng: &mut StdRng, called: &Called) -> Option<Self> {
        let at =
            |rng: &mut StdRng, most: u64| rng.random_bool(0.6).then(|| rng.random_range(0..most));
        let (rings_ms, early_ms) = (at(rng, 2_000), at(rng, 4_000));
        let first_ms = match called.end {
            Ringing::Answered(at) | Ringing::Refused(at, _) => at,
            Ringing::Unanswered => 12_000,
        };
        let most = *[40, 400, 4_000].choose(rng).unwrap_or(&400);
        let end_ms = (first_ms + rng.random_range(0..most)).saturating_sub(most / 2);
        let end = match rng.random_range(0..10) {
            0 => Ringing::Refused(end_ms, 486),
            1 => Ringing::Unanswered,
            _ => Ringing::Answered(end_ms),
        };
        // A challenge comes before a call is forked.
        called.challenge.is_none().then_some(Self {
            rings_ms,
            early_ms,
            end,
            cancels_ms: rng.random_bool(0.7).then(|| rng.random_range(0..600)),
        })
    }
}
