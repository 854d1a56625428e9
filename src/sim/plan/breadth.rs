//! What a seed decides beyond a plain inbound call: encryption, keys in a row, calls of ours,
//! offers of ours, supervisors. Drawn apart, so that a seed's basic plan stays what it was.

use offhook_media::SrtpPolicy;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::{Called, CallerPlan, Intrusion, KeyWay, OnOffer, Plan, Ringing, several};

impl Plan {
    /// Draws what a seed decides.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut plan = Self::draw_basic(seed);
        let rng = &mut StdRng::seed_from_u64(seed ^ 0x6272_6561_6474_6800);
        plan.srtp = *[
            SrtpPolicy::Off,
            SrtpPolicy::Off,
            SrtpPolicy::Optional,
            SrtpPolicy::Required,
        ]
        .choose(rng)
        .unwrap_or(&SrtpPolicy::Optional);
        for caller in &mut plan.callers {
            caller.broaden(rng, plan.srtp);
        }
        plan.extend();
        plan
    }
}

impl CallerPlan {
    fn broaden(&mut self, rng: &mut StdRng, switch: SrtpPolicy) {
        self.srtp = Self::policy(rng, switch);
        self.rekeys = rng.random_bool(0.3);
        self.intrusions = several(rng, 0.25, |rng| {
            let all = [
                Intrusion::Stranger,
                Intrusion::Forged,
                Intrusion::Replayed,
                Intrusion::Tampered,
            ];
            let what = *all.choose(rng).unwrap_or(&Intrusion::Stranger);
            (rng.random_range(0..60_000), what)
        });
        if rng.random_bool(0.25) {
            self.keys = Self::dialled(rng);
        }
        if rng.random_bool(0.35) {
            self.called = Some(Called::draw(rng));
            // Most asking for the end comes while it rings, or as the answer crosses it.
            let asked = self.api_hang_up_at_ms.is_some() || rng.random_bool(0.15);
            self.api_hang_up_at_ms = asked.then(|| rng.random_range(0..12_000));
        }
        self.offers = several(rng, 0.25, |rng| rng.random_range(0..60_000));
        self.cross_offers(rng);
        self.on_offer = match rng.random_range(0..20) {
            0 => OnOffer::Refuses(488),
            1 => OnOffer::Refuses(491),
            2 => OnOffer::Ignores,
            _ => OnOffer::Accepts,
        };
        self.strays = rng.random_bool(0.06);
        self.music_on_hold = rng.random_bool(0.5);
        self.asides = several(rng, 0.1, |rng| {
            (rng.random_range(0..60_000), rng.random_range(0..15_000))
        });
    }

    /// Mostly what the switch can agree to: who cannot is refused, and little is learnt of that.
    fn policy(rng: &mut StdRng, switch: SrtpPolicy) -> SrtpPolicy {
        let all = [SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required];
        let fits = |policy: &SrtpPolicy| {
            let both = [*policy, switch];
            !(both.contains(&SrtpPolicy::Off) && both.contains(&SrtpPolicy::Required))
        };
        let any = rng.random_bool(0.05);
        let all: Vec<SrtpPolicy> = all.into_iter().filter(|p| any || fits(p)).collect();
        *all.choose(rng).unwrap_or(&SrtpPolicy::Off)
    }

    /// A number keyed in, one key after another, all of them told of in the same way.
    fn dialled(rng: &mut StdRng) -> Vec<(u64, char, KeyWay)> {
        let all = [KeyWay::Rtp, KeyWay::Info, KeyWay::Both];
        let way = *all.choose(rng).unwrap_or(&KeyWay::Rtp);
        let mut at_ms = rng.random_range(2_000..40_000);
        let keys = (0..rng.random_range(2..=7)).map(|_| {
            at_ms += rng.random_range(180..700);
            // Few keys, so that many are pressed twice in a row.
            (
                at_ms,
                *['5', '5', '9', '#'].choose(rng).unwrap_or(&'5'),
                way,
            )
        });
        keys.collect()
    }

    /// Some offers of ours meet one of the caller's.
    fn cross_offers(&mut self, rng: &mut StdRng) {
        if !rng.random_bool(0.4) {
            return;
        }
        let theirs = self.refreshes.iter().map(|(at, _)| *at);
        let theirs: Vec<u64> = theirs.chain(self.holds.iter().map(|(at, _)| *at)).collect();
        if let Some(at) = theirs.choose(rng) {
            self.offers
                .push((at + rng.random_range(0..400)).saturating_sub(200));
        }
    }
}

impl Called {
    fn draw(rng: &mut StdRng) -> Self {
        let early_ms = rng.random_bool(0.4).then(|| rng.random_range(0..4_000));
        let end_ms = rng.random_range(0..12_000);
        let end = match rng.random_range(0..20) {
            0..=2 => {
                let all = [404, 480, 486, 488, 503, 600, 603];
                Ringing::Refused(end_ms, *all.choose(rng).unwrap_or(&486))
            }
            3 => Ringing::Unanswered,
            _ => Ringing::Answered(end_ms),
        };
        Self {
            challenge: [None, None, Some(401), Some(407)]
                .choose(rng)
                .copied()
                .flatten(),
            trusted: !rng.random_bool(0.1),
            rings_ms: rng.random_bool(0.7).then(|| rng.random_range(0..2_000)),
            early_ms,
            end,
            fork: None,
        }
    }
}
