//! Sound without end: music for a party on hold, and ambience under an agent's voice.
//!
//! A loop is made once and shared by all calls; a call keeps only where in it it is. Its end is
//! faded into its start, so that nobody hears where it begins again. What is there without any
//! file is made here: a few gentle chords, and the tone of a quiet room.

use std::sync::Arc;

use crate::lpc::Predictor;
use crate::noise::Noise;
use crate::rate::HalfBand;

/// The end of a loop is faded into its start over so many ms.
const SEAM_MS: usize = 100;
/// The shortest loop, in ms.
const SHORTEST_MS: usize = 1_000;
/// The longest one, in s: it takes 14 MB.
const LONGEST_S: usize = 300;
/// Sound comes and goes over so many ms.
const FADE_MS: u32 = 100;
/// The loudest that a loop is played: what is louder would drown a voice.
const LOUDEST_DBFS: f32 = -12.0;
/// No sample of it gets louder than this.
const PEAK: f32 = 30_000.0;
/// The loops that are made here are made at this rate.
const RATE_HZ: usize = 16_000;

/// Explains why samples make no loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoopError {
    /// Its rate is neither 8,000 nor 16,000.
    #[error("a loop has 8000 or 16000 samples per second, not {0}")]
    Rate(u32),
    /// It is shorter than a second.
    #[error("a loop lasts a second at least")]
    TooShort,
    /// It is longer than five minutes.
    #[error("a loop lasts {LONGEST_S} seconds at most")]
    TooLong,
    /// There is no sound in it.
    #[error("there is no sound in it")]
    Silent,
}

/// A sound that goes on without end, at both rates that a call may have.
#[derive(Clone, Debug)]
pub struct SoundLoop {
    narrow: Part,
    wide: Part,
}

/// The loop at one rate.
#[derive(Clone, Debug)]
struct Part {
    samples: Box<[i16]>,
    /// Root mean square and loudest sample.
    rms: f32,
    peak: f32,
}

impl Part {
    fn new(samples: Vec<i16>) -> Self {
        let energy: f64 = samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
        let peak = samples.iter().map(|sample| sample.unsigned_abs()).max();
        Self {
            rms: (energy / samples.len().max(1) as f64).sqrt() as f32,
            peak: f32::from(peak.unwrap_or(0)),
            samples: samples.into(),
        }
    }
}

impl SoundLoop {
    /// Makes a loop of mono sound of 8,000 or 16,000 samples per second.
    ///
    /// # Errors
    /// Returns [`LoopError`] for sound of another rate, shorter than a second, longer than five
    /// minutes or without any sound.
    pub fn from_samples(rate_hz: u32, samples: &[i16]) -> Result<Self, LoopError> {
        if !matches!(rate_hz, 8_000 | 16_000) {
            return Err(LoopError::Rate(rate_hz));
        }
        let per_ms = rate_hz as usize / 1_000;
        if samples.len() < SHORTEST_MS * per_ms {
            return Err(LoopError::TooShort);
        }
        if samples.len() > LONGEST_S * 1_000 * per_ms {
            return Err(LoopError::TooLong);
        }
        // Two samples of the higher rate are one of the lower.
        let even = samples.len() / 2 * 2;
        let samples = samples.get(..even).unwrap_or_default();
        let joined = join_ends(samples, SEAM_MS * per_ms);
        if joined.iter().all(|sample| *sample == 0) {
            return Err(LoopError::Silent);
        }
        Ok(Self::at_both_rates(rate_hz, joined))
    }

    /// Makes music of sixteen seconds: four soft chords.
    #[must_use]
    pub fn chords() -> Self {
        Self::at_both_rates(RATE_HZ as u32, chords())
    }

    /// Makes the tone of a quiet room: noise that has more of the low than of the high.
    #[must_use]
    pub fn room_tone() -> Self {
        const SECONDS: usize = 11;
        let mut noise = Noise::SILENT;
        noise.set(2_000.0, Predictor::from_reflection([-0.92, 0.45]));
        let mut sound = vec![0.0; SECONDS * RATE_HZ];
        noise.fill(&mut sound);
        let sound: Vec<i16> = sound.iter().map(|sample| *sample as i16).collect();
        let joined = join_ends(&sound, SEAM_MS * RATE_HZ / 1_000);
        Self::at_both_rates(RATE_HZ as u32, joined)
    }

    /// How long it takes to come round, in ms.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        self.narrow.samples.len() as u64 / 8
    }

    /// One round of it, at 16 kHz where more than 8 is asked for, else at 8.
    #[must_use]
    pub fn samples(&self, rate_hz: u32) -> &[i16] {
        &self.part(rate_hz).samples
    }

    fn at_both_rates(rate_hz: u32, samples: Vec<i16>) -> Self {
        if rate_hz == 8_000 {
            let wide = convert_round(&samples, 16_000);
            return Self {
                narrow: Part::new(samples),
                wide: Part::new(wide),
            };
        }
        Self {
            narrow: Part::new(convert_round(&samples, 8_000)),
            wide: Part::new(samples),
        }
    }

    fn part(&self, rate_hz: u32) -> &Part {
        if rate_hz > 8_000 {
            &self.wide
        } else {
            &self.narrow
        }
    }
}

/// Fades the last samples into the first ones: the loop is shorter by as many.
fn join_ends(samples: &[i16], seam: usize) -> Vec<i16> {
    let len = samples.len().saturating_sub(seam);
    let (body, end) = samples.split_at(len);
    let mut joined = body.to_vec();
    for (n, (sample, last)) in joined.iter_mut().zip(end).enumerate() {
        // The two have nothing to do with each other: their energies add up, not their samples.
        let risen = (n as f32 / seam as f32 * std::f32::consts::FRAC_PI_2).sin_cos();
        *sample = (f32::from(*sample) * risen.0 + f32::from(*last) * risen.1) as i16;
    }
    joined
}

/// Converts a loop to another rate, its start following on its end.
fn convert_round(samples: &[i16], to_hz: u32) -> Vec<i16> {
    let mut filter = HalfBand::to(to_hz);
    let mut out = vec![0; samples.len() * 2];
    let tail = samples.len().saturating_sub(640);
    filter.convert(samples.get(tail..).unwrap_or_default(), &mut out);
    let len = filter.convert(samples, &mut out);
    out.truncate(len);
    out
}

/// Notes by their numbers in MIDI: a bass, then the chord.
const CHORDS: [[u8; 5]; 4] = [
    [48, 60, 64, 67, 71],
    [45, 60, 64, 67, 69],
    [41, 60, 64, 65, 69],
    [43, 62, 67, 71, 74],
];

fn chords() -> Vec<i16> {
    const CHORD: usize = 4 * RATE_HZ;
    let mut sound = vec![0.0; CHORD * CHORDS.len()];
    for (n, chord) in CHORDS.iter().enumerate() {
        let start = n * CHORD;
        for (voice, note) in chord.iter().enumerate() {
            // Rolled from below, as on a harp.
            add_note(&mut sound, start + voice * RATE_HZ / 25, *note, 1.0);
        }
        for (half, voice) in [1, 3, 2, 4, 3, 2, 4].into_iter().enumerate() {
            if let Some(low) = chord.get(voice) {
                add_note(&mut sound, start + (half + 1) * RATE_HZ / 2, low + 12, 0.4);
            }
        }
    }
    let peak = sound.iter().fold(1.0, |peak: f32, s| peak.max(s.abs()));
    sound.iter().map(|s| (s * 20_000.0 / peak) as i16).collect()
}

/// Adds a plucked note, over the loop's end to its start.
fn add_note(sound: &mut [f32], start: usize, note: u8, volume: f32) {
    const LASTS: usize = 5 * RATE_HZ;
    const RISES: usize = RATE_HZ / 20;
    let hz = 440.0 * ((f32::from(note) - 69.0) / 12.0).exp2();
    let decay = (-1.0 / (1.2 * RATE_HZ as f32)).exp();
    for (partial, strength) in [(1.0, 1.0), (2.0, 0.3), (3.0, 0.1)] {
        let step = std::f32::consts::TAU * hz * partial / RATE_HZ as f32;
        // A sine as a recurrence: each sample of the two before.
        let turn = 2.0 * step.cos();
        let (mut before, mut now) = (-step.sin(), 0.0);
        let mut loudness = volume * strength;
        for n in 0..LASTS {
            let rise = (n as f32 / RISES as f32).min(1.0);
            let fall = ((LASTS - n) as f32 / RATE_HZ as f32).min(1.0);
            let at = (start + n) % sound.len();
            if let Some(sample) = sound.get_mut(at) {
                *sample += now * loudness * rise * fall;
            }
            loudness *= decay;
            (before, now) = (now, turn * now - before);
        }
    }
}

/// A loop and how loud it is to be.
#[derive(Clone, Debug)]
pub struct Background {
    /// The sound.
    pub sound: Arc<SoundLoop>,
    /// Its root mean square below that of a square wave at full scale, in dB; at most −12.
    pub level_dbfs: f32,
}

/// Plays a loop to one call.
#[derive(Clone, Debug)]
pub struct LoopPlayer {
    sound: Arc<SoundLoop>,
    rate_hz: u32,
    position: usize,
    gain: f32,
    /// From 0 to 1: how far it has come in, and whether it goes out.
    faded: f32,
    ends: bool,
}

impl LoopPlayer {
    /// Begins at the loop's start, softly, for a call of 8,000 or 16,000 samples per second.
    #[must_use]
    pub fn new(background: &Background, rate_hz: u32) -> Self {
        let part = background.sound.part(rate_hz);
        let level = background.level_dbfs.min(LOUDEST_DBFS);
        let wanted = 32_768.0 * 10_f32.powf(level / 20.0) / part.rms.max(1.0);
        Self {
            gain: wanted.min(PEAK / part.peak.max(1.0)),
            sound: Arc::clone(&background.sound),
            rate_hz,
            position: 0,
            faded: 0.0,
            ends: false,
        }
    }

    /// Fades the sound out.
    pub fn end(&mut self) {
        self.ends = true;
    }

    /// Whether it has faded out.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ends && self.faded <= 0.0
    }

    /// Adds the next samples to what there is already.
    pub fn add_to(&mut self, out: &mut [i16]) {
        let samples = &self.sound.part(self.rate_hz).samples;
        let step = 1_000.0 / (FADE_MS * self.rate_hz.max(1)) as f32;
        let step = if self.ends { -step } else { step };
        for sample in out {
            let sound = samples.get(self.position).copied().unwrap_or_default();
            self.position += 1;
            if self.position >= samples.len() {
                self.position = 0;
            }
            self.faded = (self.faded + step).clamp(0.0, 1.0);
            let sound = (f32::from(sound) * self.gain * self.faded).round_ties_even();
            *sample = sample.saturating_add(sound as i16);
        }
    }
}
