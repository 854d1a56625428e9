//! Silero VAD 6: the probability of speech in 32 ms.

use std::path::Path;

use ort::value::{Tensor, TensorRef};

use crate::manifest::Manifest;
use crate::runtime::{Graph, ModelError, Runtime};

/// Samples of one window: 32 ms at 16 kHz.
pub const WINDOW: usize = 512;
/// Samples of the window before that the model must see again; without them it hears nothing.
const CONTEXT: usize = 64;
/// The recurrent state of one call is (2, 1, 128), of several (2, n, 128).
const LAYERS: usize = 2;
const WIDTH: usize = 128;
const STATE: usize = LAYERS * WIDTH;
/// Samples per second.
const RATE_HZ: i64 = 16_000;

/// One loaded Silero, which serves every call.
#[derive(Debug)]
pub struct Silero {
    graph: Graph,
}

/// What Silero remembers of one call.
#[derive(Clone, Debug)]
pub struct SileroState {
    recurrent: Vec<f32>,
    /// The last samples of the window before, then the window.
    input: [f32; CONTEXT + WINDOW],
}

impl Default for SileroState {
    fn default() -> Self {
        Self {
            recurrent: vec![0.0; STATE],
            input: [0.0; CONTEXT + WINDOW],
        }
    }
}

impl SileroState {
    /// Forgets what was heard: after a gap, what came before it says nothing.
    pub fn reset(&mut self) {
        self.recurrent.fill(0.0);
        self.input.fill(0.0);
    }
}

impl Silero {
    /// Loads the model from the model folder.
    ///
    /// # Errors
    /// The file is missing (the message names the command that fetches it) or unusable.
    pub fn load(runtime: &Runtime, dir: &Path) -> Result<Self, ModelError> {
        let path = Manifest::embedded().file(dir, "silero-vad", ".onnx");
        Ok(Self {
            graph: runtime.graph_from_file(&path)?,
        })
    }

    /// Gives the probability that there is speech in `window` (16 kHz, full scale ±1), which
    /// follows the window that `state` saw last.
    ///
    /// # Errors
    /// ONNX Runtime fails.
    pub fn probability(
        &self,
        state: &mut SileroState,
        window: &[f32; WINDOW],
    ) -> Result<f32, ModelError> {
        let mut batch = SileroBatch::default();
        batch.add(state, window);
        self.run(&mut batch)?;
        batch
            .take(0, state)
            .ok_or_else(|| ModelError::malformed("silero", "an output is missing"))
    }

    /// Judges each window of the batch; [`SileroBatch::take`] gives what came of it. Many calls in
    /// one run cost a fraction of what they cost one by one: most of a run's cost is the runtime's.
    ///
    /// # Errors
    /// ONNX Runtime fails; the batch then has no results.
    pub fn run(&self, batch: &mut SileroBatch) -> Result<(), ModelError> {
        let windows = batch.len();
        batch.results.clear();
        if windows == 0 {
            return Ok(());
        }
        batch.sort_by_layer();
        let mut session = self.graph.session();
        let outputs = session.run(ort::inputs![
            "input" => TensorRef::from_array_view(
                ([windows, CONTEXT + WINDOW], batch.inputs.as_slice())
            )?,
            "state" => TensorRef::from_array_view(
                ([LAYERS, windows, WIDTH], batch.layers.as_slice())
            )?,
            "sr" => Tensor::from_array(((), vec![RATE_HZ]))?,
        ])?;
        let missing = || ModelError::malformed("silero", "an output is missing");
        let (_, probabilities) = outputs
            .get("output")
            .ok_or_else(missing)?
            .try_extract_tensor::<f32>()?;
        let (_, layers) = outputs
            .get("stateN")
            .ok_or_else(missing)?
            .try_extract_tensor::<f32>()?;
        if probabilities.len() != windows || layers.len() != windows * STATE {
            return Err(ModelError::malformed(
                "silero",
                "an output is of another size",
            ));
        }
        batch.results.extend_from_slice(probabilities);
        batch.layers.copy_from_slice(layers);
        Ok(())
    }
}

/// Windows of several calls, judged in one run. It is used again and again, and then allocates
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct SileroBatch {
    /// Window after window, each with its context.
    inputs: Vec<f32>,
    /// State after state.
    states: Vec<f32>,
    /// The states as the model takes and gives them: layer after layer.
    layers: Vec<f32>,
    results: Vec<f32>,
}

impl SileroBatch {
    /// Makes room for other windows.
    pub fn clear(&mut self) {
        self.inputs.clear();
        self.states.clear();
        self.results.clear();
    }

    /// How many windows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.states.len() / STATE
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Adds the window (16 kHz, full scale ±1) that follows the one that `state` saw last; a state
    /// takes part once.
    pub fn add(&mut self, state: &mut SileroState, window: &[f32; WINDOW]) {
        state.input.copy_within(WINDOW.., 0);
        if let Some(new) = state.input.get_mut(CONTEXT..) {
            new.copy_from_slice(window);
        }
        self.inputs.extend_from_slice(&state.input);
        self.states.extend_from_slice(&state.recurrent);
    }

    /// Gives the probability of speech in the window that was added `number` windows after the
    /// first, and brings its state up to it; none when the run failed.
    pub fn take(&self, number: usize, state: &mut SileroState) -> Option<f32> {
        let probability = *self.results.get(number)?;
        let windows = self.results.len();
        for (layer, kept) in state.recurrent.chunks_exact_mut(WIDTH).enumerate() {
            let begin = (layer * windows + number) * WIDTH;
            kept.copy_from_slice(self.layers.get(begin..begin + WIDTH)?);
        }
        Some(probability)
    }

    fn sort_by_layer(&mut self) {
        self.layers.clear();
        for layer in 0..LAYERS {
            for state in self.states.chunks_exact(STATE) {
                let part = state.get(layer * WIDTH..(layer + 1) * WIDTH);
                self.layers.extend_from_slice(part.unwrap_or_default());
            }
        }
    }
}
