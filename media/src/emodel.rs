//! How well a call must have sounded, by the E-model (ITU-T G.107).
//!
//! All codecs are rated on the scale of G.711, as calls are compared by it and ITU-T G.113 gives
//! no values for Opus: the score tells what the network and the buffer did to the call. A wideband
//! call sounds better than its score.

/// What impairs a call of telephone quality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairments {
    /// Share of the packets that were not there to be played, 0 to 1; what a later packet brought
    /// again (Opus) was there.
    pub loss: f32,
    /// How much longer runs of losses were than by chance: 1 by chance (BurstR).
    pub burst_ratio: f32,
    /// From mouth to ear, in milliseconds.
    pub delay_ms: f32,
}

impl Impairments {
    /// Gives the transmission rating R of G.711 with concealment, 0 to 93.2 (Bpl 25.1 for G.711
    /// with its Appendix I by ITU-T G.113).
    #[must_use]
    pub fn rating(&self) -> f32 {
        const UNIMPAIRED: f32 = 93.2;
        const LOSS_ROBUSTNESS: f32 = 25.1;
        let percent = self.loss.clamp(0.0, 1.0) * 100.0;
        let by_chance = percent / self.burst_ratio.max(1.0);
        let equipment = 95.0 * percent / (by_chance + LOSS_ROBUSTNESS);
        // G.107's delay impairment, as Cole and Rosenbluth simplified it.
        let delay = 0.024 * self.delay_ms + 0.11 * (self.delay_ms - 177.3).max(0.0);
        (UNIMPAIRED - delay - equipment).clamp(0.0, 100.0)
    }
}

/// Gives the mean opinion score, 1 to 4.5, of a transmission rating (ITU-T G.107 annex B).
#[must_use]
pub fn mean_opinion_score(rating: f32) -> f32 {
    let rating = rating.clamp(0.0, 100.0);
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    score.clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(loss: f32, burst_ratio: f32, delay_ms: f32) -> f32 {
        let impairments = Impairments {
            loss,
            burst_ratio,
            delay_ms,
        };
        mean_opinion_score(impairments.rating())
    }

    #[test]
    fn a_clean_call_scores_well_and_loss_and_delay_cost() {
        assert!((4.3..4.5).contains(&score(0.0, 1.0, 40.0)));
        assert!((3.4..4.0).contains(&score(0.05, 1.0, 100.0)));
        assert!(score(0.2, 1.0, 40.0) < 2.9);
        assert!(score(0.0, 1.0, 500.0) < score(0.0, 1.0, 150.0) - 0.5);
        assert!(score(1.0, 1.0, 2_000.0) >= 1.0);
    }

    #[test]
    fn losses_in_bursts_cost_more_than_as_many_by_chance() {
        assert!(score(0.1, 4.0, 40.0) < score(0.1, 1.0, 40.0) - 0.2);
        assert_eq!(score(0.0, 4.0, 40.0), score(0.0, 1.0, 40.0));
    }
}
