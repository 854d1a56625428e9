//! A voice for benches that need the shape of speech and no words: vowels with a moving pitch,
//! hisses between them, pauses with a little noise.

use super::link::Dice;
use super::trace::PER_MS;

/// The peak of a vowel: 10 dB below full scale, as speech on the telephone.
const LOUDEST: f64 = 10_000.0;
/// How long it speaks before it repeats itself.
const SECONDS: usize = 20;

/// Makes the same 20 s of sound each time: 16-bit, mono, 8 kHz.
pub(super) fn voice() -> Vec<i16> {
    let mut dice = Dice::new(77);
    let mut sound = Vec::with_capacity(SECONDS * 8_000);
    while sound.len() < SECONDS * 8_000 {
        for _ in 0..dice.between(2.0, 6.0) as usize {
            hiss(&mut sound, &mut dice, 40.0, 900.0);
            vowel(&mut sound, &mut dice);
        }
        let pause_ms = dice.between(100.0, 500.0);
        hiss(&mut sound, &mut dice, pause_ms, 25.0);
    }
    sound.truncate(SECONDS * 8_000);
    sound
}

/// A pulse train through two resonances, as a throat and a mouth make it.
fn vowel(sound: &mut Vec<i16>, dice: &mut Dice) {
    let samples = (dice.between(120.0, 260.0) * PER_MS as f64) as usize;
    let (from_hz, to_hz) = (dice.between(95.0, 200.0), dice.between(85.0, 190.0));
    let mut mouth = [
        Resonance::new(dice.between(300.0, 750.0), 80.0),
        Resonance::new(dice.between(900.0, 2_300.0), 120.0),
    ];
    let (mut phase, mut spoken) = (0.0, Vec::with_capacity(samples));
    for n in 0..samples {
        let along = n as f64 / samples as f64;
        phase += (from_hz + (to_hz - from_hz) * along) / 8_000.0;
        let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
        phase -= pulse;
        let swell = (along * std::f64::consts::PI).sin().powf(0.4);
        let throat = mouth[0].filter(pulse * swell);
        spoken.push(throat + 0.4 * mouth[1].filter(throat));
    }
    // Each vowel is as loud as the others, whatever its resonances make of the pulses.
    let peak = spoken
        .iter()
        .fold(f64::MIN_POSITIVE, |peak, out: &f64| peak.max(out.abs()));
    sound.extend(spoken.iter().map(|out| (out / peak * LOUDEST) as i16));
}

fn hiss(sound: &mut Vec<i16>, dice: &mut Dice, ms: f64, loudness: f64) {
    let samples = (ms * PER_MS as f64) as usize;
    sound.extend((0..samples).map(|_| (dice.between(-loudness, loudness)) as i16));
}

/// A resonance of two poles.
struct Resonance {
    near: f64,
    far: f64,
    past: [f64; 2],
}

impl Resonance {
    fn new(centre_hz: f64, width_hz: f64) -> Self {
        let radius = (-std::f64::consts::PI * width_hz / 8_000.0).exp();
        let angle = std::f64::consts::TAU * centre_hz / 8_000.0;
        Self {
            near: 2.0 * radius * angle.cos(),
            far: -radius * radius,
            past: [0.0; 2],
        }
    }

    fn filter(&mut self, sample: f64) -> f64 {
        let out = (1.0 + self.far) * sample + self.near * self.past[0] + self.far * self.past[1];
        self.past = [out, self.past[0]];
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_voice_is_as_loud_as_speech_and_pauses() {
        let sound = voice();
        assert_eq!(sound.len(), SECONDS * 8_000);
        let loudest = |step: &[i16]| step.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
        let steps = || sound.chunks(160).map(loudest);
        let (loud, quiet) = (
            steps().filter(|peak| *peak > 2_000).count(),
            steps().filter(|peak| *peak < 100).count(),
        );
        assert!(loud > 400 && quiet > 100, "{loud} loud, {quiet} quiet");
    }
}
