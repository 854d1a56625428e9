//! How long a period of a voice is.

use std::ops::RangeInclusive;

use crate::lpc::dot;

/// Energy below which nothing resembles anything.
const LEAST_ENERGY: f32 = 250.0;

/// A longer lag is taken only if it resembles the past by so much more: of a period and its
/// multiples, the one that is nearest to now.
const LONGER_BY: f32 = 0.02;

/// The lag at which the last `window` samples resemble the past most, and how much: 1 for the
/// same, whatever the loudness (normalised cross-correlation, ITU-T G.711 Appendix I §2.1). A
/// longer lag must resemble it clearly more.
pub(super) fn best_lag(
    sound: &[f32],
    lags: RangeInclusive<usize>,
    window: usize,
) -> Option<(usize, f32)> {
    let start = sound.len().checked_sub(window)?;
    let recent = sound.get(start..)?;
    let loudness = dot(recent, recent);
    let mut best: Option<(usize, f32)> = None;
    let mut past_energy = None;
    for lag in lags {
        let Some(past) = start.checked_sub(lag).and_then(|from| sound.get(from..)) else {
            break;
        };
        // With each lag one sample comes in at the front and one goes at the end.
        let energy = match (past_energy, past.first(), past.get(window)) {
            (Some(energy), Some(new), Some(gone)) => energy + new * new - gone * gone,
            _ => dot(past.get(..window)?, past),
        };
        past_energy = Some(energy);
        let resemblance = normalised(dot(recent, past), loudness * energy);
        let better = |(known, most): (usize, f32)| {
            // The next lag is still on the same peak.
            let by = if lag == known + 1 { 0.0 } else { LONGER_BY };
            resemblance > most + by
        };
        if best.is_none_or(better) {
            best = Some((lag, resemblance));
        }
    }
    best
}

/// How much the last `window` samples resemble those `lag` before.
pub(super) fn resemblance(sound: &[f32], lag: usize, window: usize) -> Option<f32> {
    let start = sound.len().checked_sub(window)?;
    let recent = sound.get(start..)?;
    let past = sound.get(start.checked_sub(lag)?..)?.get(..window)?;
    let energies = dot(recent, recent) * dot(past, past);
    Some(normalised(dot(recent, past), energies))
}

fn normalised(product: f32, energies: f32) -> f32 {
    product / energies.max(LEAST_ENERGY * LEAST_ENERGY).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sound: &[f32]) -> Option<(usize, f32)> {
        best_lag(sound, 40..=120, 160)
    }

    #[test]
    fn the_pitch_of_a_vowel_is_found() {
        for period in [44.0, 57.0, 80.0, 113.0] {
            let vowel: Vec<f32> = (0..390)
                .map(|n| {
                    let phase = n as f32 / period * std::f32::consts::TAU;
                    6_000.0 * phase.sin() + 3_000.0 * (2.0 * phase).sin()
                })
                .collect();
            let (lag, resemblance) = found(&vowel).unwrap();
            let octave = (lag as f32 / period).round().max(1.0);
            assert!(
                (lag as f32 - octave * period).abs() <= 1.0,
                "{lag} for {period}"
            );
            assert!(resemblance > 0.95, "{resemblance}");
        }
    }

    #[test]
    fn silence_resembles_nothing_and_a_short_sound_has_no_pitch() {
        assert_eq!(found(&[0.0; 390]).unwrap().1, 0.0);
        assert!(found(&[-32_768.0; 390]).unwrap().1 > 0.99);
        assert_eq!(found(&[1.0; 20]), None);
    }
}
