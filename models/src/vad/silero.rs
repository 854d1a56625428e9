//! Silero VAD 6: the probability of speech in 32 ms.

use std::path::Path;

use ort::value::{Tensor, TensorRef};

use crate::manifest::Manifest;
use crate::runtime::{Graph, ModelError, Runtime};

/// Samples of one window: 32 ms at 16 kHz.
pub const WINDOW: usize = 512;
/// Samples of the window before that the model must see again; without them it hears nothing.
const CONTEXT: usize = 64;
/// Numbers of the recurrent state, (2, 1, 128).
const STATE: usize = 256;
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
        state.input.copy_within(WINDOW.., 0);
        if let Some(new) = state.input.get_mut(CONTEXT..) {
            new.copy_from_slice(window);
        }
        let mut session = self.graph.session();
        let outputs = session.run(ort::inputs![
            "input" => TensorRef::from_array_view(([1, CONTEXT + WINDOW], state.input.as_slice()))?,
            "state" => TensorRef::from_array_view(([2, 1, 128], state.recurrent.as_slice()))?,
            "sr" => Tensor::from_array(((), vec![RATE_HZ]))?,
        ])?;
        let missing = || ModelError::malformed("silero", "an output is missing");
        let (_, probability) = outputs
            .get("output")
            .ok_or_else(missing)?
            .try_extract_tensor::<f32>()?;
        let probability = probability.first().copied().ok_or_else(missing)?;
        let (_, recurrent) = outputs
            .get("stateN")
            .ok_or_else(missing)?
            .try_extract_tensor::<f32>()?;
        if recurrent.len() == STATE {
            state.recurrent.copy_from_slice(recurrent);
        }
        Ok(probability)
    }
}
