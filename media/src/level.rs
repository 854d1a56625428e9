//! How loud a party is, and what is behind it.

/// Sound is speech when it is louder than what is behind it by so much (12 dB).
const ABOVE_NOISE: f32 = 16.0;
/// The background grows by so much a frame at most (1.5 dB a second), and falls at once.
const NOISE_RISE: f32 = 1.007;
/// Frames that the mean level of speech looks back on: two seconds of it.
const MEMORY: f32 = 100.0;
/// Below one step of 16 bits there is no sound at all.
const LEAST_POWER: f32 = 1.0;
/// 0 dBm0 is 3.14 dB below the sine of full scale, and that 3.01 below its square
/// (ITU-T G.711): this is full scale in dBm0.
const FULL_SCALE_DBM0: f32 = 6.15;

/// Follows the level of a party's speech and of its background.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LevelMeter {
    /// Mean squares; zero before anything was heard.
    speech: f32,
    noise: f32,
}

impl LevelMeter {
    /// Hears a frame of 20 ms or less.
    pub(crate) fn hear(&mut self, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        let squares = samples.iter().map(|s| i64::from(*s) * i64::from(*s));
        let power = squares.sum::<i64>() as f32 / samples.len() as f32;
        // A line that is muted has no background.
        if power < LEAST_POWER {
            return;
        }
        if self.noise == 0.0 {
            self.noise = power;
        }
        self.noise = power.min(self.noise * NOISE_RISE);
        if power > self.noise * ABOVE_NOISE {
            if self.speech == 0.0 {
                self.speech = power;
            }
            self.speech += (power - self.speech) / MEMORY;
        }
    }

    /// The level of speech in dBm0, once there was some.
    pub(crate) fn speech_dbm0(&self) -> Option<f32> {
        dbm0(self.speech)
    }

    /// The level of the background in dBm0, once something was heard.
    pub(crate) fn noise_dbm0(&self) -> Option<f32> {
        dbm0(self.noise)
    }
}

fn dbm0(power: f32) -> Option<f32> {
    let full = f32::from(i16::MAX) * f32::from(i16::MAX);
    (power > 0.0).then(|| 10.0 * (power / full).log10() + FULL_SCALE_DBM0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of a tone of this amplitude.
    fn tone(meter: &mut LevelMeter, amplitude: f32) {
        for frame in 0..50 {
            let samples: Vec<i16> = (0..160)
                .map(|n| {
                    let turn = (frame * 160 + n) as f32 * 440.0 / 8_000.0;
                    (amplitude * (std::f32::consts::TAU * turn).sin()) as i16
                })
                .collect();
            meter.hear(&samples);
        }
    }

    #[test]
    fn the_digital_milliwatt_is_0_dbm0_and_what_is_behind_it_is_told_apart() {
        let mut meter = LevelMeter::default();
        // The sine of full scale is 3.14 dBm0.
        let milliwatt = 32_767.0 * 0.696_6;
        for _ in 0..4 {
            tone(&mut meter, milliwatt / 300.0);
            tone(&mut meter, milliwatt);
        }
        let speech = meter.speech_dbm0().unwrap();
        let noise = meter.noise_dbm0().unwrap();
        assert!((-0.3..=0.3).contains(&speech), "{speech}");
        assert!((-51.0..=-47.0).contains(&noise), "{noise}");
    }

    #[test]
    fn steady_sound_is_background_and_silence_is_no_speech() {
        let mut meter = LevelMeter::default();
        assert_eq!(meter.noise_dbm0(), None);
        (0..10).for_each(|_| tone(&mut meter, 1_000.0));
        assert_eq!(meter.speech_dbm0(), None);
        let noise = meter.noise_dbm0().unwrap();
        assert!((-30.0..-25.0).contains(&noise), "{noise}");
        (0..100).for_each(|_| meter.hear(&[0; 160]));
        assert_eq!(meter.noise_dbm0(), Some(noise), "a mute says nothing");
    }
}
