//! What is made up is never louder than what came before.

use crate::lpc::dot;

/// The loudest piece and the highest sample of the newest sound, as a bound for pieces to come.
#[derive(Debug)]
pub(super) struct Limit {
    energy: f32,
    peak: f32,
    /// The factor with which the piece before ended.
    gain: f32,
}

impl Limit {
    pub(super) const SILENT: Self = Self {
        energy: 0.0,
        peak: 0.0,
        gain: 1.0,
    };

    /// Measures `past` in pieces of `piece` samples.
    pub(super) fn new(past: &[f32], piece: usize) -> Self {
        let step = (piece / 4).max(1);
        let energies = past.windows(piece.max(1)).rev().step_by(step);
        Self {
            energy: energies.map(|piece| dot(piece, piece)).fold(0.0, f32::max),
            peak: highest(past),
            gain: 1.0,
        }
    }

    /// Makes a piece softer if it is too loud; the pieces join without a step.
    pub(super) fn apply(&mut self, piece: &mut [f32]) {
        let bound = (self.energy / dot(piece, piece).max(1.0)).sqrt();
        let gain = bound.min(self.peak / highest(piece).max(1.0)).min(1.0);
        if gain < 1.0 || self.gain < 1.0 {
            let slope = (gain - self.gain) / piece.len().max(1) as f32;
            for (n, sample) in piece.iter_mut().enumerate() {
                *sample *= self.gain + slope * (n as f32 + 0.5);
                // What the slope has not reached yet.
                *sample = sample.clamp(-self.peak, self.peak);
            }
        }
        self.gain = gain;
    }
}

fn highest(sound: &[f32]) -> f32 {
    sound
        .iter()
        .fold(0.0, |highest, sample| sample.abs().max(highest))
}
