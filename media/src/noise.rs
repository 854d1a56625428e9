//! Noise of a given loudness and colour.

use crate::lpc::{ORDER, Predictor, Synthesis};

/// Makes noise without end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    predictor: Predictor,
    rms: f32,
    synthesis: Synthesis,
    random: u32,
}

impl Noise {
    pub(crate) const SILENT: Self = Self {
        predictor: Predictor::FLAT,
        rms: 0.0,
        synthesis: Synthesis::SILENT,
        random: 0x2545_F491,
    };

    /// Sets loudness, as root mean square, and colour. Sound that is under way goes on.
    pub(crate) fn set(&mut self, rms: f32, predictor: Predictor) {
        if predictor != self.predictor {
            // The other colour starts from silence; its first samples are soft.
            self.synthesis = Synthesis::new(&predictor, &[0.0; ORDER]);
        }
        (self.rms, self.predictor) = (rms, predictor);
    }

    /// Makes the next samples.
    pub(crate) fn fill(&mut self, out: &mut [f32]) {
        if self.rms <= 0.0 {
            out.fill(0.0);
            return;
        }
        // White noise between -1 and 1 has a third of the energy of a square wave.
        let level = self.rms * (3.0 * self.predictor.residual).sqrt();
        for sample in out.iter_mut() {
            *sample = white(&mut self.random) * level;
        }
        self.synthesis.filter(out);
    }
}

/// The next number between −1 and 1.
pub(crate) fn white(state: &mut u32) -> f32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 8) as f32 / 8_388_608.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpc::autocorrelation;

    #[test]
    fn noise_has_the_loudness_and_the_colour_that_were_set() {
        let colour = Predictor::from_reflection([-0.7, 0.3]);
        let mut noise = Noise::SILENT;
        noise.set(500.0, colour);
        let mut sound = vec![0.0; 16_000];
        noise.fill(&mut sound);
        let r = autocorrelation(&sound);
        let rms = (r[0] / sound.len() as f32).sqrt();
        assert!((rms - 500.0).abs() < 25.0, "{rms}");
        let found = Predictor::new(&r, 4).reflection;
        for (k, wanted) in found.iter().zip([-0.7, 0.3, 0.0, 0.0]) {
            assert!((k - wanted).abs() < 0.05, "{found:?}");
        }
    }
}
