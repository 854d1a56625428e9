//! Linear prediction: the envelope of a sound's spectrum in a few numbers.

/// Coefficients of a predictor: enough for the formants of a voice at 8 kHz, and for their
/// coarse shape at 16 kHz.
pub(crate) const ORDER: usize = 16;

/// No filter of given coefficients makes a sound 50 dB stronger than its input.
const LEAST_RESIDUAL: f32 = 1e-5;

/// Lags of an autocorrelation, from 0 on.
pub(crate) type Autocorrelation = [f32; ORDER + 1];

/// The all-pole filter 1 / (1 + Σ aₖ z⁻ᵏ) that gives white noise the envelope of a sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Predictor {
    /// a₁, a₂, …; those that are not used are 0.
    pub(crate) coefficients: [f32; ORDER],
    /// k₁, k₂, …, each between −1 and 1; k₁ is negative for a sound of low pitch.
    pub(crate) reflection: [f32; ORDER],
    /// What the filter's input has of its output's energy, from 0 to 1.
    pub(crate) residual: f32,
}

impl Predictor {
    /// The predictor of white noise.
    pub(crate) const FLAT: Self = Self {
        coefficients: [0.0; ORDER],
        reflection: [0.0; ORDER],
        residual: 1.0,
    };

    /// Solves for the predictor of a sound with this autocorrelation (Levinson and Durbin), up
    /// to `order`; silence has a flat one.
    pub(crate) fn new(autocorrelation: &Autocorrelation, order: usize) -> Self {
        let [energy, lags @ ..] = autocorrelation;
        let mut predictor = Self::FLAT;
        for (n, lag) in lags.iter().enumerate().take(order) {
            let known = predictor.coefficients.iter().take(n);
            let past = lags.iter().take(n).rev();
            let sum: f32 = known.zip(past).map(|(a, r)| a * r).sum();
            let k = -(lag + sum) / (energy * predictor.residual);
            // What is no autocorrelation, by rounding or because it is silence, ends it.
            if k.is_nan() || k.abs() >= 1.0 {
                break;
            }
            predictor.extend(n, k);
        }
        predictor
    }

    /// Makes the predictor of these reflection coefficients, the first [`ORDER`] of them. It ends
    /// before the one with which rounding would decide how the filter sounds, or whether it is
    /// stable: a model may be cut to any order.
    pub(crate) fn from_reflection(reflection: impl IntoIterator<Item = f32>) -> Self {
        let mut predictor = Self::FLAT;
        for (n, k) in reflection.into_iter().enumerate().take(ORDER) {
            let before = predictor;
            predictor.extend(n, k.clamp(-0.999, 0.999));
            if predictor.residual < LEAST_RESIDUAL {
                return before;
            }
        }
        predictor
    }

    /// Adds the reflection coefficient number `n`.
    fn extend(&mut self, n: usize, k: f32) {
        let before = self.coefficients;
        let mirrored = before.iter().take(n).rev();
        for (a, mirrored) in self.coefficients.iter_mut().zip(mirrored) {
            *a += k * mirrored;
        }
        if let (Some(a), Some(reflection)) =
            (self.coefficients.get_mut(n), self.reflection.get_mut(n))
        {
            (*a, *reflection) = (k, k);
        }
        self.residual *= 1.0 - k * k;
    }
}

/// Autocorrelates a sound, which the caller has windowed.
pub(crate) fn autocorrelation(sound: &[f32]) -> Autocorrelation {
    std::array::from_fn(|lag| dot(sound, sound.get(lag..).unwrap_or_default()))
}

/// Sum of the products of two sounds, as long as the shorter one.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let len = a.len().min(b.len());
    let (a, b) = (a.split_at(len).0, b.split_at(len).0);
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    let mut lanes = [0.0; LANES];
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Runs a [`Predictor`] as a filter, sample by sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Synthesis {
    coefficients: [f32; ORDER],
    /// What the past outputs add to each of the next ones.
    ahead: [f32; ORDER],
}

impl Synthesis {
    pub(crate) const SILENT: Self = Self {
        coefficients: [0.0; ORDER],
        ahead: [0.0; ORDER],
    };

    /// Goes on with another filter after the outputs `past`, the newest last; missing ones are 0.
    pub(crate) fn new(predictor: &Predictor, past: &[f32]) -> Self {
        let mut synthesis = Self {
            coefficients: predictor.coefficients,
            ahead: [0.0; ORDER],
        };
        let known = past.len().saturating_sub(ORDER);
        for &output in past.get(known..).unwrap_or_default() {
            synthesis.push(output);
        }
        synthesis
    }

    /// Filters `sound` in place.
    pub(crate) fn filter(&mut self, sound: &mut [f32]) {
        for sample in sound {
            *sample += self.ahead[0];
            self.push(*sample);
        }
    }

    fn push(&mut self, output: f32) {
        for n in 0..ORDER - 1 {
            self.ahead[n] = self.ahead[n + 1] - self.coefficients[n] * output;
        }
        self.ahead[ORDER - 1] = -self.coefficients[ORDER - 1] * output;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resonance(samples: usize) -> Vec<f32> {
        let mut sound = vec![0.0f32; samples];
        let mut noise = 1u32;
        for n in 2..samples {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let white = (noise >> 8) as f32 / 8_388_608.0 - 1.0;
            sound[n] = white * 1_000.0 + 1.5 * sound[n - 1] - 0.8 * sound[n - 2];
        }
        sound
    }

    #[test]
    fn the_predictor_of_a_resonance_is_that_resonance() {
        let found = Predictor::new(&autocorrelation(&resonance(8_000)), 4);
        let wanted = [-1.5, 0.8, 0.0, 0.0];
        for (a, wanted) in found.coefficients.iter().zip(wanted) {
            assert!((a - wanted).abs() < 0.05, "{found:?}");
        }
        assert!(found.residual > 0.0 && found.residual < 0.3);
    }

    #[test]
    fn reflection_coefficients_say_the_same_as_the_others() {
        let found = Predictor::new(&autocorrelation(&resonance(2_000)), ORDER);
        let again = Predictor::from_reflection(found.reflection);
        for (a, b) in found.coefficients.iter().zip(again.coefficients) {
            assert!((a - b).abs() < 1e-4);
        }
        assert!((found.residual - again.residual).abs() < 1e-4);
    }

    #[test]
    fn silence_and_what_is_no_autocorrelation_give_a_stable_filter() {
        assert_eq!(Predictor::new(&[0.0; ORDER + 1], ORDER), Predictor::FLAT);
        let mut wild = [f32::NAN; ORDER + 1];
        assert_eq!(Predictor::new(&wild, ORDER), Predictor::FLAT);
        wild = [1.0; ORDER + 1];
        assert!(Predictor::new(&wild, ORDER).residual > 0.0);
    }

    #[test]
    fn a_filter_that_takes_over_goes_on_as_if_it_had_run_before() {
        let predictor = Predictor::from_reflection([-0.9, 0.6, 0.2]);
        let mut whole = vec![0.0; 100];
        whole[0] = 1_000.0;
        Synthesis::new(&predictor, &[]).filter(&mut whole);
        let mut rest = vec![0.0; 60];
        Synthesis::new(&predictor, &whole[..40]).filter(&mut rest);
        for (a, b) in rest.iter().zip(&whole[40..]) {
            assert!((a - b).abs() < 0.01, "{a} {b}");
        }
    }
}
