//! Silero VAD 6: the probability of speech in 32 ms.
//!
//! The network is computed here, with the weights of the model's own file: ONNX Runtime, whose
//! cost is mostly its own for a graph so small, takes many times as long (`cargo bench --bench
//! models -- silero`).

mod layer;
mod network;
#[cfg(test)]
mod oracle;
mod simd;
mod spectrum;
mod weights;

use std::path::Path;

use self::network::{Network, WIDTH, Window};
use self::spectrum::LINE;
use self::weights::Parameters;
use crate::manifest::Manifest;
use crate::runtime::{ModelError, read_file};

pub use simd::Instructions;

/// Samples of one window: 32 ms at 16 kHz.
pub const WINDOW: usize = 512;
/// Samples of the window before that the model must see again; without them it hears nothing.
const CONTEXT: usize = 64;
/// Samples at the end of a window that are seen once more, in reverse.
const MIRRORED: usize = LINE - CONTEXT - WINDOW;

/// Silence of two seconds: more of it changes nothing that is remembered.
const SILENCE_WINDOWS: usize = 64;

/// One loaded Silero, which serves every call.
pub struct Silero {
    network: Box<Network>,
    instructions: Instructions,
    /// What is remembered of a long silence.
    silence: Box<SileroState>,
}

impl std::fmt::Debug for Silero {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut silero = f.debug_struct("Silero");
        silero
            .field("instructions", &self.instructions)
            .finish_non_exhaustive()
    }
}

/// What Silero remembers of one call.
#[derive(Clone, Debug)]
pub struct SileroState {
    output: [f32; WIDTH],
    memory: [f32; WIDTH],
    /// The last samples of the window before.
    context: [f32; CONTEXT],
    /// Nothing was heard yet: the next window finds what silence leaves, which the model knows.
    after_silence: bool,
}

impl Default for SileroState {
    fn default() -> Self {
        Self {
            output: [0.0; WIDTH],
            memory: [0.0; WIDTH],
            context: [0.0; CONTEXT],
            after_silence: false,
        }
    }
}

impl SileroState {
    /// Begins as if silence had been heard for two seconds. From nothing at all, as [`default`]
    /// begins, Silero believes in the first words of a call later.
    ///
    /// [`default`]: Self::default
    #[must_use]
    pub fn after_silence() -> Self {
        Self {
            after_silence: true,
            ..Self::default()
        }
    }
}

impl Silero {
    /// Loads the model from the model folder, for the fastest instructions that there are.
    ///
    /// # Errors
    /// The file is missing (the message names the command that fetches it) or unusable.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        let path = Manifest::embedded().file(dir, "silero-vad", ".onnx");
        Self::from_bytes(&read_file(&path)?, Instructions::best())
    }

    /// Makes it of the bytes of the model's file, to be run with certain instructions.
    ///
    /// # Errors
    /// The bytes are not those of the model.
    pub fn from_bytes(file: &[u8], instructions: Instructions) -> Result<Self, ModelError> {
        let model = Parameters::read(file)?;
        let mut silero = Self {
            network: Box::new(Network::new(instructions.lanes(), &model)),
            instructions,
            silence: Box::default(),
        };
        let mut state = SileroState::default();
        for _ in 0..SILENCE_WINDOWS {
            let _ = silero.probability(&mut state, &[0.0; WINDOW]);
        }
        *silero.silence = state;
        Ok(silero)
    }

    /// Gives the probability that there is speech in `window` (16 kHz, full scale ±1), which
    /// follows the window that `state` saw last.
    #[must_use]
    pub fn probability(&self, state: &mut SileroState, window: &[f32; WINDOW]) -> f32 {
        let mut batch = SileroBatch::default();
        batch.add(state, window);
        self.run(&mut batch);
        batch.take(0, state).unwrap_or_default()
    }

    /// Judges each window of the batch; [`SileroBatch::take`] gives what came of it. Several in one
    /// run cost less than one by one: a weight that is read serves four of them.
    pub fn run(&self, batch: &mut SileroBatch) {
        self.begin(batch);
        let windows = batch.windows.get_mut(..batch.len).unwrap_or_default();
        self.instructions.judge(&self.network, windows);
        batch.judged = batch.len;
    }

    /// Gives the windows of calls that begin what silence leaves in the memory.
    fn begin(&self, batch: &mut SileroBatch) {
        let windows = batch.windows.get_mut(..batch.len).unwrap_or_default();
        for window in windows.iter_mut().filter(|window| window.after_silence) {
            window.output = self.silence.output;
            window.memory = self.silence.memory;
        }
    }
}

/// Windows of several calls, judged in one run. It is used again and again, and then allocates
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct SileroBatch {
    windows: Vec<Window>,
    /// How many of them are in use.
    len: usize,
    /// How many of those were judged.
    judged: usize,
}

impl SileroBatch {
    /// Makes room for other windows.
    pub fn clear(&mut self) {
        self.len = 0;
        self.judged = 0;
    }

    /// How many windows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the window (16 kHz, full scale ±1) that follows the one that `state` saw last; a state
    /// takes part once.
    pub fn add(&mut self, state: &mut SileroState, window: &[f32; WINDOW]) {
        if self.windows.len() == self.len {
            self.windows.push(Window::default());
        }
        let Some(place) = self.windows.get_mut(self.len) else {
            return;
        };
        self.len += 1;
        let (before, line) = place.line.split_at_mut(CONTEXT);
        let (now, mirrored) = line.split_at_mut(WINDOW);
        before.copy_from_slice(&state.context);
        now.copy_from_slice(window);
        // From the last sample but one backwards.
        let reversed = window.iter().rev().skip(1).take(MIRRORED);
        for (to, from) in mirrored.iter_mut().zip(reversed) {
            *to = *from;
        }
        if let Some(last) = window.last_chunk() {
            state.context = *last;
        }
        place.output = state.output;
        place.memory = state.memory;
        place.after_silence = state.after_silence;
    }

    /// Gives the probability of speech in the window that was added `number` windows after the
    /// first, and brings its state up to it; none when it was not judged.
    pub fn take(&self, number: usize, state: &mut SileroState) -> Option<f32> {
        let window = self.windows.get(..self.judged)?.get(number)?;
        state.output = window.output;
        state.memory = window.memory;
        state.after_silence = false;
        Some(window.probability)
    }
}
