//! How long a period of a voice is.

use std::ops::RangeInclusive;

use crate::lpc::dot;

/// Windows that are searched are shorter than this: 20 ms and twice 15 ms, at 16 kHz.
const MAX_SAMPLES: usize = 800;
/// Energy below which nothing resembles anything.
const LEAST_ENERGY: f32 = 250.0;

/// Finds the lag at which the end of `history` resembles itself most, by the cross-correlation
/// over `window` samples, normalised (ITU-T G.711 Appendix I §2.1).
pub(crate) fn pitch(history: &[i16], shortest: usize, longest: usize, window: usize) -> usize {
    let wanted = (window + longest).min(MAX_SAMPLES);
    let Some(start) = history.len().checked_sub(wanted) else {
        return shortest;
    };
    let mut sound = [0.0; MAX_SAMPLES];
    let sound = sound.get_mut(..wanted).unwrap_or_default();
    for (to, from) in sound.iter_mut().zip(history.iter().skip(start)) {
        *to = f32::from(*from);
    }
    best_lag(sound, shortest..=longest, window).map_or(shortest, |best| best.0)
}

/// The lag at which the last `window` samples resemble the past most, and how much: 1 for the
/// same, whatever the loudness.
pub(super) fn best_lag(
    sound: &[f32],
    lags: RangeInclusive<usize>,
    window: usize,
) -> Option<(usize, f32)> {
    let start = sound.len().checked_sub(window)?;
    let recent = sound.get(start..)?;
    let loudness = dot(recent, recent);
    let mut best = None;
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
        if best.is_none_or(|(_, known)| resemblance > known) {
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

    #[test]
    fn the_pitch_of_a_vowel_is_found() {
        for period in [44.0, 57.0, 80.0, 113.0] {
            let vowel: Vec<i16> = (0..390)
                .map(|n| {
                    let phase = n as f32 / period * std::f32::consts::TAU;
                    (6_000.0 * phase.sin() + 3_000.0 * (2.0 * phase).sin()) as i16
                })
                .collect();
            let found = pitch(&vowel, 40, 120, 160) as f32;
            let octave = (found / period).round().max(1.0);
            assert!(
                (found - octave * period).abs() <= 1.0,
                "{found} for {period}"
            );
        }
    }

    #[test]
    fn silence_and_short_sounds_have_some_pitch_within_the_bounds() {
        assert!((40..=120).contains(&pitch(&[0; 390], 40, 120, 160)));
        assert!((40..=120).contains(&pitch(&[i16::MIN; 390], 40, 120, 160)));
        assert_eq!(pitch(&[1; 20], 40, 120, 160), 40);
    }
}
