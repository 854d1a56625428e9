//! Comfort noise (RFC 3389): silence told by its loudness and its colour.

use crate::lpc::{self, Predictor};

/// The payload type of comfort noise at 8 kHz (RFC 3551 table 4).
pub const PAYLOAD_TYPE: u8 = 13;
/// Reflection coefficients that are kept; a model may be cut to any order (RFC 3389 §3).
const MAX_ORDER: usize = 12;
/// The most bytes that a payload of ours has.
pub const MAX_PAYLOAD_BYTES: usize = 1 + MAX_ORDER;
/// Level of what has no sound in it.
const SILENT_DBOV: u8 = 127;
/// The colour is told by so many coefficients (ITU-T G.711 Appendix II has 10).
const SENT_ORDER: usize = 10;
/// 0 dBov: a square wave that touches full scale (RFC 3389 §3.1).
const OVERLOAD: f32 = 32_768.0;

/// Tells how the silence of a party sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComfortNoise {
    level_dbov: u8,
    /// Reflection coefficients as they are sent: 127 is 0.
    reflection: [u8; MAX_ORDER],
    order: u8,
}

impl ComfortNoise {
    /// No sound at all.
    pub const SILENT: Self = Self {
        level_dbov: SILENT_DBOV,
        reflection: [127; MAX_ORDER],
        order: 0,
    };

    /// Reads a payload; an empty one is none.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (level, colour) = payload.split_first()?;
        let order = colour.len().min(MAX_ORDER);
        let mut reflection = [127; MAX_ORDER];
        for (to, from) in reflection.iter_mut().zip(colour) {
            *to = *from;
        }
        Some(Self {
            level_dbov: level & 0x7F,
            reflection,
            order: order as u8,
        })
    }

    /// Describes sound, some 20 ms of it, as noise.
    #[must_use]
    pub fn describe(sound: &[i16]) -> Self {
        let mut samples = [0.0; 320];
        let len = sound.len().min(samples.len());
        let samples = samples.get_mut(..len).unwrap_or_default();
        for (to, from) in samples.iter_mut().zip(sound) {
            *to = f32::from(*from);
        }
        let mean_square = lpc::dot(samples, samples) / len.max(1) as f32;
        let level = -10.0 * (mean_square / (OVERLOAD * OVERLOAD)).log10();
        // Half a unit of the samples is −96 dBov: below it there is nothing.
        if level >= 96.0 {
            return Self::SILENT;
        }
        for (n, sample) in samples.iter_mut().enumerate() {
            // Hann's window.
            let angle = std::f32::consts::TAU * (n as f32 + 0.5) / len as f32;
            *sample *= 0.5 - 0.5 * angle.cos();
        }
        let mut lags = lpc::autocorrelation(samples);
        lags[0] *= 1.0 + 1e-3;
        let predictor = Predictor::new(&lags, SENT_ORDER);
        let mut reflection = [127; MAX_ORDER];
        for (to, k) in reflection.iter_mut().zip(predictor.reflection) {
            *to = (127.0 + k * 127.0).round() as u8;
        }
        Self {
            level_dbov: level.round().max(0.0) as u8,
            reflection,
            order: SENT_ORDER as u8,
        }
    }

    /// Writes the payload, of [`MAX_PAYLOAD_BYTES`] at most, and returns its length.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let colour = self.reflection.iter().take(usize::from(self.order));
        let bytes = std::iter::once(&self.level_dbov).chain(colour);
        let mut len = 0;
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = *from;
            len += 1;
        }
        len
    }

    /// Loudness in −dBov, from 0 to 127.
    #[must_use]
    pub const fn level_dbov(&self) -> u8 {
        self.level_dbov
    }

    /// Loudness as root mean square of 16-bit samples.
    pub(crate) fn rms(&self) -> f32 {
        match self.level_dbov {
            SILENT_DBOV => 0.0,
            level => OVERLOAD * 10f32.powf(-f32::from(level) / 20.0),
        }
    }

    /// The colour.
    pub(crate) fn predictor(&self) -> Predictor {
        let known = self.reflection.iter().take(usize::from(self.order));
        // 258 (N − 127) / 32,768 (RFC 3389 §3.2).
        Predictor::from_reflection(known.map(|n| (f32::from(*n) - 127.0) * 258.0 / 32_768.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn noise(rms: f32, reflection: &[f32], samples: usize) -> Vec<i16> {
        let mut noise = Noise::SILENT;
        noise.set(rms, Predictor::from_reflection(reflection.iter().copied()));
        let mut sound = vec![0.0; samples];
        noise.fill(&mut sound);
        sound.iter().map(|sample| *sample as i16).collect()
    }

    #[test]
    fn noise_that_is_described_and_made_again_is_as_loud_and_of_the_same_colour() {
        let colour = [-0.6, 0.4];
        let described = ComfortNoise::describe(&noise(400.0, &colour, 8_000)[7_000..7_320]);
        let mut payload = [0; MAX_PAYLOAD_BYTES];
        let len = described.write(&mut payload);
        let read = ComfortNoise::parse(&payload[..len]).unwrap();
        assert_eq!(read, described);
        assert!(
            (read.rms() / 400.0).log10().abs() * 20.0 < 2.0,
            "{}",
            read.rms()
        );
        for (k, wanted) in read.predictor().reflection.iter().zip(colour) {
            assert!((k - wanted).abs() < 0.15, "{read:?}");
        }
    }

    #[test]
    fn a_bare_level_is_white_noise_and_127_is_silence() {
        let bare = ComfortNoise::parse(&[0x80 | 60]).unwrap();
        assert_eq!(bare.level_dbov(), 60);
        assert_eq!(bare.predictor(), Predictor::FLAT);
        assert!((bare.rms() - 32.768).abs() < 0.01);
        assert_eq!(ComfortNoise::parse(&[127]).unwrap().rms(), 0.0);
        assert_eq!(ComfortNoise::describe(&[0; 160]), ComfortNoise::SILENT);
        assert_eq!(ComfortNoise::parse(&[]), None);
    }

    #[test]
    fn the_sign_of_a_coefficient_is_that_of_other_implementations() {
        // FFmpeg's encoder, of noise whose neighbouring samples correlate by 0.8, at −38.3 dBov.
        let payload = [39, 24, 144, 126, 123, 141, 136, 130, 129, 122, 132];
        let told = ComfortNoise::parse(&payload).unwrap();
        let mut noise = Noise::SILENT;
        noise.set(told.rms(), told.predictor());
        let mut sound = vec![0.0; 16_000];
        noise.fill(&mut sound);
        let lags = lpc::autocorrelation(&sound);
        assert!(
            (lags[1] / lags[0] - 0.8).abs() < 0.05,
            "{}",
            lags[1] / lags[0]
        );
        let level = 10.0 * (lags[0] / sound.len() as f32 / OVERLOAD.powi(2)).log10();
        assert!((level + 39.0).abs() < 1.0, "{level}");
        // Ours of that noise says the same.
        let sound: Vec<i16> = sound.iter().map(|sample| *sample as i16).collect();
        let mut ours = [0; MAX_PAYLOAD_BYTES];
        ComfortNoise::describe(&sound[8_000..8_320]).write(&mut ours);
        assert!(
            ours[0].abs_diff(39) <= 2 && ours[1] < 60 && ours[2] > 110,
            "{ours:?}"
        );
    }

    #[test]
    fn any_payload_gives_a_stable_filter() {
        for byte in [0, 1, 127, 254, 255] {
            let payload = [byte; 40];
            let predictor = ComfortNoise::parse(&payload).unwrap().predictor();
            let mut noise = Noise::SILENT;
            noise.set(1_000.0, predictor);
            let mut sound = [0.0; 16_000];
            noise.fill(&mut sound);
            assert!(sound.iter().all(|sample| sample.abs() < 1e6), "{byte}");
        }
    }
}
