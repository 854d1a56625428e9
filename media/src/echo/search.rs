//! The search for an echo's delay, among all that it may have.

use super::{LAGS, QUIET, RATE_HZ};

/// The correlation's window, in samples: 80 ms.
const WINDOW: f32 = RATE_HZ as f32 * 0.08;

/// A float of 16 bits: what is compared by halves of a percent needs no more.
#[derive(Clone, Copy, Debug, Default)]
struct Short(u16);

impl Short {
    /// The nearest one.
    fn of(value: f32) -> Self {
        Self((value.to_bits().saturating_add(1 << 15) >> 16) as u16)
    }

    fn float(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// The running correlation of what is heard with what was sent, for every delay.
#[derive(Debug)]
pub(super) struct Search {
    /// By delay, the longest first: so both run forward in memory.
    correlation: [Short; LAGS],
    sent_energy: [Short; LAGS],
    heard_energy: f32,
}

impl Search {
    pub(super) fn new() -> Self {
        Self {
            correlation: [Short::default(); LAGS],
            sent_energy: [Short::default(); LAGS],
            heard_energy: 0.0,
        }
    }

    pub(super) fn clear(&mut self) {
        if self.heard_energy > 0.0 {
            self.correlation.fill(Short::default());
            self.sent_energy.fill(Short::default());
            self.heard_energy = 0.0;
        }
    }

    /// Adds `heard`, whose counterpart at delay `LAGS − 1 − k` lies at `window[k..]`.
    pub(super) fn step(&mut self, heard: &[f32], window: &[f32]) {
        let fade = (-(heard.len() as f32) / WINDOW).exp();
        let mut correlation = [0.0; LAGS];
        for (sum, kept) in correlation.iter_mut().zip(&self.correlation) {
            *sum = kept.float() * fade;
        }
        for (n, sample) in heard.iter().enumerate() {
            let counterpart = window.get(n..n + LAGS).unwrap_or_default();
            for (sum, sent) in correlation.iter_mut().zip(counterpart) {
                *sum += sample * sent;
            }
        }
        for (kept, sum) in self.correlation.iter_mut().zip(correlation) {
            *kept = Short::of(sum);
        }
        let energy_of = |part: &[f32]| part.iter().map(|s| s * s).sum::<f32>();
        let mut energy = energy_of(window.get(..heard.len()).unwrap_or_default());
        let leaving = window.iter();
        let entering = window.iter().skip(heard.len()).chain([&0.0]);
        for ((sum, out), in_) in self.sent_energy.iter_mut().zip(leaving).zip(entering) {
            *sum = Short::of(sum.float() * fade + energy.max(0.0));
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
            let (c, e) = (c.float(), e.float());
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
        let at = |kept: &[Short]| kept.get(at).map_or(0.0, |value| value.float());
        let (correlation, energy) = (at(&self.correlation), at(&self.sent_energy));
        correlation / (energy + QUIET * WINDOW)
    }
}
