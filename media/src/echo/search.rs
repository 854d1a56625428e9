//! The search for an echo's delay, among all that it may have.

use super::{LAGS, QUIET, RATE_HZ};

/// The correlation's window, in samples: 80 ms.
const WINDOW: f32 = RATE_HZ as f32 * 0.08;

/// The running correlation of what is heard with what was sent, for every delay.
#[derive(Debug)]
pub(super) struct Search {
    /// By delay, the longest first: so both run forward in memory.
    correlation: Vec<f32>,
    sent_energy: Vec<f32>,
    heard_energy: f32,
}

impl Search {
    pub(super) fn new() -> Self {
        Self {
            correlation: vec![0.0; LAGS],
            sent_energy: vec![0.0; LAGS],
            heard_energy: 0.0,
        }
    }

    pub(super) fn clear(&mut self) {
        if self.heard_energy > 0.0 {
            self.correlation.fill(0.0);
            self.sent_energy.fill(0.0);
            self.heard_energy = 0.0;
        }
    }

    /// Adds `heard`, whose counterpart at delay `LAGS − 1 − k` lies at `window[k..]`.
    pub(super) fn step(&mut self, heard: &[f32], window: &[f32]) {
        let fade = (-(heard.len() as f32) / WINDOW).exp();
        self.correlation.iter_mut().for_each(|c| *c *= fade);
        for (n, sample) in heard.iter().enumerate() {
            let counterpart = window.get(n..n + LAGS).unwrap_or_default();
            for (sum, sent) in self.correlation.iter_mut().zip(counterpart) {
                *sum += sample * sent;
            }
        }
        let energy_of = |part: &[f32]| part.iter().map(|s| s * s).sum::<f32>();
        let mut energy = energy_of(window.get(..heard.len()).unwrap_or_default());
        let leaving = window.iter();
        let entering = window.iter().skip(heard.len()).chain([&0.0]);
        for ((sum, out), in_) in self.sent_energy.iter_mut().zip(leaving).zip(entering) {
            *sum = *sum * fade + energy.max(0.0);
            energy += in_ * in_ - out * out;
        }
        self.heard_energy = self.heard_energy * fade + energy_of(heard);
    }

    /// The strongest correlation among the delays in the range, with its delay.
    pub(super) fn peak(&self, shortest: usize, longest: usize) -> (f32, usize) {
        let from = LAGS.saturating_sub(longest + 1);
        let to = LAGS.saturating_sub(shortest);
        let correlation = self.correlation.get(from..to).unwrap_or_default();
        let energy = self.sent_energy.get(from..to).unwrap_or_default();
        let mut best = (0.0, from);
        for (n, (c, e)) in correlation.iter().zip(energy).enumerate() {
            // A reference without sound has no echo.
            let ratio = c * c / (e + QUIET * WINDOW);
            if ratio > best.0 {
                best = (ratio, from + n);
            }
        }
        let strength = (best.0 / self.heard_energy.max(1.0)).sqrt();
        (strength, LAGS - 1 - best.1)
    }

    /// How much of what was sent comes back at a delay.
    pub(super) fn gain(&self, delay: usize) -> f32 {
        let at = LAGS - 1 - delay.min(LAGS - 1);
        let correlation = self.correlation.get(at).copied().unwrap_or_default();
        let energy = self.sent_energy.get(at).copied().unwrap_or_default();
        correlation / (energy + QUIET * WINDOW)
    }
}
