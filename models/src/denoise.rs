//! Takes noise out of a caller's sound: RNNoise (J.-M. Valin, "A Hybrid DSP/Deep Learning Approach
//! to Real-Time Full-Band Speech Enhancement", 2018), as the crate `nnnoiseless` computes it.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Instant;

use nnnoiseless::{DenoiseState, RnnModel};
use offhook_media::Frame;
use offhook_media::rate::{TAPS, weigh};

/// The rate that RNNoise takes.
const FULL_HZ: u32 = 48_000;
const WIDEBAND_HZ: u32 = 16_000;
const TELEPHONE_HZ: u32 = 8_000;
/// So long the network learns what the noise is.
const LEARNING_MS: u32 = 200;
/// Samples that it takes at once: 10 ms, by which its sound comes later.
const BLOCK: usize = DenoiseState::FRAME_SIZE;

/// The weights, which all calls share.
static MODEL: LazyLock<RnnModel> = LazyLock::new(RnnModel::default);

/// Takes the noise out of one caller's sound, at 8 or 16 kHz.
///
/// Frames go in by [`push`](Self::push) and come out by [`pop`](Self::pop), each of them once, in
/// order and with its own arrival, as soon as enough has come after it: 14 ms at 8 kHz, 12 at
/// 16 kHz. Of frames of 20 ms one is always held back.
pub struct NoiseSuppressor {
    rate_hz: u32,
    network: Box<DenoiseState<'static>>,
    up: Interpolator,
    down: Decimator,
    /// What waits to become a block, at 48 kHz.
    block: Vec<f32>,
    /// Clean sound that is of no frame yet.
    clean: VecDeque<i16>,
    /// How many of the next clean samples lie before the first frame.
    early: usize,
    /// Samples in which the network still learns what the noise is.
    learning_samples: u32,
    held: VecDeque<Held>,
}

/// What is known of a frame beside its sound.
struct Held {
    samples: usize,
    rtp_timestamp: u64,
    received: Instant,
    concealed: bool,
    echo: bool,
    passed: bool,
}

impl std::fmt::Debug for NoiseSuppressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoiseSuppressor")
            .field("rate_hz", &self.rate_hz)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Default for NoiseSuppressor {
    fn default() -> Self {
        Self::new()
    }
}

impl NoiseSuppressor {
    /// Makes one that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::at(TELEPHONE_HZ)
    }

    fn at(rate_hz: u32) -> Self {
        // Any other rate is taken as 8 kHz.
        let factor = match rate_hz {
            WIDEBAND_HZ => FULL_HZ / WIDEBAND_HZ,
            _ => FULL_HZ / TELEPHONE_HZ,
        } as usize;
        Self {
            rate_hz,
            network: DenoiseState::with_model(&MODEL),
            up: Interpolator::new(factor),
            down: Decimator::new(factor),
            block: Vec::with_capacity(BLOCK + factor * Frame::MAX_SAMPLES),
            clean: VecDeque::with_capacity(4 * Frame::MAX_SAMPLES),
            learning_samples: rate_hz * LEARNING_MS / 1_000,
            // Each filter delays by half of its taps.
            early: BLOCK / factor + TAPS,
            held: VecDeque::with_capacity(8),
        }
    }

    /// Takes the next frame; `passed` comes out with it, but for the first of all: what is left of
    /// noise that the network does not know yet resembles speech.
    pub fn push(&mut self, frame: &Frame, passed: bool) {
        if frame.rate_hz != self.rate_hz {
            // A leg's rate never changes, so nothing is lost here.
            *self = Self::at(frame.rate_hz);
        }
        let samples = frame.samples().len();
        let learning = self.learning_samples > 0;
        self.learning_samples = self.learning_samples.saturating_sub(samples as u32);
        self.held.push_back(Held {
            samples,
            rtp_timestamp: frame.rtp_timestamp,
            received: frame.received,
            concealed: frame.concealed,
            echo: frame.echo,
            passed: passed && !learning,
        });
        self.up.convert(frame.samples(), &mut self.block);
        let mut quiet = [0.0; BLOCK];
        let mut blocks = self.block.chunks_exact(BLOCK);
        for block in blocks.by_ref() {
            self.network.process_frame(&mut quiet, block);
            self.down.convert(&quiet, &mut self.clean);
        }
        let left = blocks.remainder().len();
        self.block.drain(..self.block.len() - left);
        let early = self.early.min(self.clean.len());
        self.clean.drain(..early);
        self.early -= early;
    }

    /// Gives the next frame without its noise, and what was said of it, once all of it is there.
    pub fn pop(&mut self) -> Option<(Frame, bool)> {
        let held = self
            .held
            .pop_front_if(|held| held.samples <= self.clean.len())?;
        let mut sound = [0; Frame::MAX_SAMPLES];
        let sound = sound.get_mut(..held.samples)?;
        for (to, from) in sound.iter_mut().zip(self.clean.drain(..held.samples)) {
            *to = from;
        }
        let Held {
            rtp_timestamp,
            received,
            concealed,
            ..
        } = held;
        let mut frame = Frame::new(self.rate_hz, rtp_timestamp, received, concealed, sound);
        frame.echo = held.echo;
        Some((frame, held.passed))
    }
}

/// Weighs a sample that lies `x` samples of the lower rate from the one that is sought: a sinc that
/// ends at the lower rate's band, under a Blackman window.
fn tap(x: f64) -> f32 {
    use std::f64::consts::PI;

    let phase = 2.0 * PI * x / TAPS as f64;
    let window = 0.42 + 0.5 * phase.cos() + 0.08 * (2.0 * phase).cos();
    let sinc = if x == 0.0 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    };
    (sinc * window) as f32
}

/// Leads a stream to a rate that is a multiple of its own.
struct Interpolator {
    /// The taps of each sample of the higher rate that comes of one of the lower.
    phases: Vec<[f32; TAPS]>,
    line: Vec<f32>,
}

impl Interpolator {
    fn new(factor: usize) -> Self {
        let phase = |phase: usize| {
            let late = phase as f64 / factor as f64 + (TAPS / 2 - 1) as f64;
            let mut taps = [0.0; TAPS];
            for (index, to) in taps.iter_mut().enumerate() {
                *to = tap(index as f64 - late);
            }
            let gain: f32 = taps.iter().sum();
            taps.map(|tap| tap / gain)
        };
        let mut line = Vec::with_capacity(TAPS + Frame::MAX_SAMPLES);
        line.resize(TAPS - 1, 0.0);
        Self {
            phases: (0..factor).map(phase).collect(),
            line,
        }
    }

    fn convert(&mut self, samples: &[i16], out: &mut Vec<f32>) {
        self.line.extend(samples.iter().map(|s| f32::from(*s)));
        for window in self.line.windows(TAPS) {
            out.extend(self.phases.iter().map(|taps| weigh(window, taps)));
        }
        self.line.drain(..samples.len());
    }
}

/// Leads a stream to a rate of which its own is a multiple.
struct Decimator {
    taps: Vec<[f32; TAPS]>,
    line: Vec<f32>,
}

impl Decimator {
    fn new(factor: usize) -> Self {
        let middle = (factor * TAPS / 2 - 1) as f64;
        let at = |index: usize| tap((index as f64 - middle) / factor as f64);
        let all: Vec<f32> = (0..factor * TAPS).map(at).collect();
        let gain: f32 = all.iter().sum();
        let (parts, _) = all.as_chunks();
        let scaled = parts.iter().map(|part| part.map(|tap| tap / gain));
        let mut line = Vec::with_capacity(factor * TAPS + BLOCK);
        line.resize(factor * TAPS - 1, 0.0);
        Self {
            taps: scaled.collect(),
            line,
        }
    }

    fn convert(&mut self, block: &[f32], out: &mut VecDeque<i16>) {
        let factor = self.taps.len();
        self.line.extend_from_slice(block);
        for window in self.line.windows(factor * TAPS).step_by(factor) {
            let parts = window.chunks_exact(TAPS).zip(&self.taps);
            let sum: f32 = parts.map(|(part, taps)| weigh(part, taps)).sum();
            out.push_back(sum.round_ties_even() as i16);
        }
        self.line.drain(..block.len());
    }
}
