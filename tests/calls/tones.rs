//! Tones, to tell by ear who is heard.

/// Samples that are looked at at once: 20 ms, whole periods of each tone of so many times 50 Hz.
pub(crate) const PIECE: usize = 160;

/// A tone that lasts so long.
pub(crate) fn tone(hz: f64, seconds: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / 8_000.0;
    (0..seconds * 8_000)
        .map(|n| (8_000.0 * (step * n as f64).sin()) as i16)
        .collect()
}

/// How much of a piece of sound is this tone, from 0 to 1, when it is loud enough.
pub(crate) fn share(sound: &[i16], hz: f64) -> f64 {
    let (mut sines, mut cosines) = (0.0, 0.0);
    for (n, sample) in sound.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * hz * n as f64 / 8_000.0).sin_cos();
        let sample = f64::from(*sample);
        sines += sample * sin;
        cosines += sample * cos;
    }
    let tone = (sines * sines + cosines * cosines) * 2.0 / sound.len() as f64;
    match is_audible(sound) {
        true => tone / energy(sound),
        false => 0.0,
    }
}

/// Whether there is anything to hear.
pub(crate) fn is_audible(sound: &[i16]) -> bool {
    energy(sound) >= 1e6
}

fn energy(sound: &[i16]) -> f64 {
    sound.iter().map(|s| f64::from(*s) * f64::from(*s)).sum()
}
