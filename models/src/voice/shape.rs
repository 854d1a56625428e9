//! What happens to a voice's sound on its way to the telephone: steady component removed, silence
//! at both ends cut, level set, peaks held.

use crate::resample::RateStream;

/// The level of active speech after [`Level`], as root mean square of full scale (−20 dBFS).
pub(super) const TARGET_RMS: f32 = 0.1;
/// Below this share of full scale, measured before the gain, a sample is silence (−46 dBFS).
const SILENCE: f32 = 0.005;
/// How much of the silence before the first sound is kept, in seconds.
const LEAD_S: f32 = 0.008;
/// Speech may start with at most this much silence before all of it is taken for sound, in seconds.
const LONGEST_LEAD_S: f32 = 0.5;
/// The fade over the cut edges, in seconds.
const FADE_S: f32 = 0.003;
/// Above this, peaks are bent instead of cut.
const KNEE: f32 = 0.7;
/// No sample exceeds this.
const CEILING: f32 = 0.98;

/// Removes the steady component: a high-pass of first order at 30 Hz.
#[derive(Debug)]
struct SteadyRemover {
    keep: f32,
    last_in: f32,
    last_out: f32,
}

impl SteadyRemover {
    fn new(rate_hz: u32) -> Self {
        let keep = (-2.0 * std::f32::consts::PI * 30.0 / rate_hz as f32).exp();
        Self {
            keep,
            last_in: 0.0,
            last_out: 0.0,
        }
    }

    fn next(&mut self, sample: f32) -> f32 {
        self.last_out = sample - self.last_in + self.keep * self.last_out;
        self.last_in = sample;
        self.last_out
    }
}

/// Cuts the near-silence that a decoder puts before and after speech.
#[derive(Debug)]
struct Trim {
    rate_hz: f32,
    started: bool,
    /// Silence held back: before the start it may be dropped, later it may be the end.
    held: Vec<f32>,
    /// How much of the silence at the end stays, in samples.
    tail: usize,
}

impl Trim {
    fn new(rate_hz: u32, pause_s: f32) -> Self {
        let rate_hz = rate_hz as f32;
        let tail = (pause_s * rate_hz) as usize;
        Self {
            rate_hz,
            started: false,
            held: Vec::new(),
            tail,
        }
    }

    fn samples(&self, seconds: f32) -> usize {
        (seconds * self.rate_hz) as usize
    }

    fn push(&mut self, sample: f32, out: &mut Vec<f32>) {
        let silent = sample.abs() < SILENCE;
        self.held.push(sample);
        if silent && (self.started || self.held.len() < self.samples(LONGEST_LEAD_S)) {
            return;
        }
        if !self.started {
            self.started = true;
            let lead = self.samples(LEAD_S);
            let surplus = self.held.len().saturating_sub(lead + 1);
            self.held.drain(..surplus);
            let fade_in = self.samples(FADE_S);
            fade(&mut self.held, fade_in, true);
        }
        out.append(&mut self.held);
    }

    fn finish(&mut self, out: &mut Vec<f32>) {
        if self.started {
            self.held.truncate(self.tail);
            let fade_out = self.samples(FADE_S);
            fade(&mut self.held, fade_out, false);
            out.append(&mut self.held);
        }
        self.held.clear();
    }
}

fn fade(samples: &mut [f32], length: usize, up: bool) {
    let length = length.min(samples.len());
    let edge: &mut dyn Iterator<Item = &mut f32> = if up {
        &mut samples.iter_mut()
    } else {
        &mut samples.iter_mut().rev()
    };
    for (index, sample) in edge.take(length).enumerate() {
        *sample *= (index + 1) as f32 / (length + 1) as f32;
    }
}

/// Measures the level of speech, its pauses left out.
pub(super) fn active_rms(samples: &[f32]) -> f32 {
    let loud: Vec<f32> = samples
        .chunks(512)
        .map(|part| part.iter().map(|s| s * s).sum::<f32>() / part.len().max(1) as f32)
        .filter(|power| *power > 0.01 * 0.01)
        .collect();
    if loud.is_empty() {
        0.0
    } else {
        (loud.iter().sum::<f32>() / loud.len() as f32).sqrt()
    }
}

/// Bends what exceeds [`KNEE`] so that nothing exceeds [`CEILING`].
fn limited(sample: f32) -> f32 {
    let size = sample.abs();
    if size <= KNEE {
        return sample;
    }
    let room = CEILING - KNEE;
    (KNEE + room * ((size - KNEE) / room).tanh()).copysign(sample)
}

/// The whole way of one utterance from the decoder's samples to those of the telephone.
#[derive(Debug)]
pub(super) struct Shaper {
    steady: SteadyRemover,
    trim: Trim,
    gain: f32,
    rate: RateStream,
    trimmed: Vec<f32>,
    resampled: Vec<f32>,
}

impl Shaper {
    /// Begins an utterance of a voice of `rate_hz`, which is given out at `to_hz` and ends with a
    /// pause of `pause_s` seconds.
    pub(super) fn new(rate_hz: u32, to_hz: u32, gain: f32, pause_s: f32) -> Self {
        Self {
            steady: SteadyRemover::new(rate_hz),
            trim: Trim::new(rate_hz, pause_s),
            gain,
            rate: RateStream::new(rate_hz, to_hz),
            trimmed: Vec::new(),
            resampled: Vec::new(),
        }
    }

    /// Takes the decoder's samples and gives what is ready to be sent.
    pub(super) fn push(&mut self, samples: &[f32]) -> Vec<i16> {
        for sample in samples {
            let sample = self.steady.next(*sample);
            self.trim.push(sample, &mut self.trimmed);
        }
        self.rate.push(&self.trimmed, &mut self.resampled);
        self.trimmed.clear();
        self.take()
    }

    /// Ends the utterance and gives the rest of it.
    pub(super) fn finish(&mut self) -> Vec<i16> {
        self.trim.finish(&mut self.trimmed);
        self.rate.push(&self.trimmed, &mut self.resampled);
        self.rate.finish(&mut self.resampled);
        self.trimmed.clear();
        self.take()
    }

    fn take(&mut self) -> Vec<i16> {
        let gain = self.gain;
        let full = f32::from(i16::MAX);
        self.resampled
            .drain(..)
            .map(|s| (limited(s * gain) * full).round() as i16)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 22_050;

    fn shaped(samples: &[f32], gain: f32, chunk: usize) -> Vec<i16> {
        let mut shaper = Shaper::new(RATE, 8_000, gain, 0.1);
        let mut out = Vec::new();
        for part in samples.chunks(chunk) {
            out.extend(shaper.push(part));
        }
        out.extend(shaper.finish());
        out
    }

    /// Near-silence, a tone, near-silence.
    fn utterance(lead: usize, tone: usize, tail: usize) -> Vec<f32> {
        let step = 2.0 * std::f32::consts::PI * 300.0 / RATE as f32;
        let mut samples = vec![0.001; lead];
        samples.extend((0..tone).map(|n| 0.3 * (step * n as f32).sin()));
        samples.extend(vec![-0.001; tail]);
        samples
    }

    #[test]
    fn silence_before_speech_is_cut_and_a_pause_stays_behind_it() {
        let out = shaped(&utterance(1_500, 22_050, 11_025), 1.0, 5_120);
        let first = out.iter().position(|s| s.abs() > 1_000).unwrap();
        assert!(first <= 100, "sound starts after {first} samples");
        let last = out.iter().rposition(|s| s.abs() > 1_000).unwrap();
        let tail_ms = (out.len() - last) as f32 / 8.0;
        assert!((80.0..=125.0).contains(&tail_ms), "{tail_ms} ms of pause");
    }

    #[test]
    fn silence_within_speech_stays() {
        let mut samples = utterance(1_000, 8_000, 6_000);
        samples.extend(utterance(0, 8_000, 2_000));
        let out = shaped(&samples, 1.0, 700);
        let expected = (8_000.0 + 6_000.0 + 8_000.0) / 22_050.0 * 8_000.0;
        let last = out.iter().rposition(|s| s.abs() > 1_000).unwrap() as f32;
        assert!((last - expected).abs() < 100.0, "{last} and not {expected}");
    }

    #[test]
    fn loud_sound_is_bent_and_never_clipped() {
        let out = shaped(&utterance(0, 22_050, 0), 20.0, 512);
        let ceiling = (CEILING * f32::from(i16::MAX)).round() as i16;
        assert!(out.iter().all(|s| s.abs() <= ceiling));
        assert!(out.iter().any(|s| s.abs() > ceiling - 300));
    }

    #[test]
    fn a_steady_component_is_removed() {
        let samples: Vec<f32> = utterance(0, 44_100, 0).iter().map(|s| s + 0.1).collect();
        let out = shaped(&samples, 1.0, 512);
        let late = out.get(4_000..12_000).unwrap();
        let mean = late.iter().map(|s| f64::from(*s)).sum::<f64>() / late.len() as f64;
        assert!(mean.abs() < 30.0, "a mean of {mean}");
    }

    #[test]
    fn chunks_make_no_difference() {
        let samples = utterance(1_200, 9_000, 3_000);
        assert_eq!(shaped(&samples, 1.5, 64), shaped(&samples, 1.5, usize::MAX));
    }

    #[test]
    fn silence_alone_gives_nothing_to_say() {
        assert!(shaped(&vec![0.001; 5_000], 1.0, 512).is_empty());
    }
}
