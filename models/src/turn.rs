//! smart-turn v3.2: has the caller finished, or only paused?

use std::path::Path;
use std::sync::Arc;

use ort::value::TensorRef;

use crate::manifest::Manifest;
use crate::mel::{BANDS, HOP, LogMel, SAMPLE_RATE};
use crate::resample;
use crate::runtime::{Graph, ModelError, Runtime};

/// What the model looks at: the last eight seconds.
pub const SECONDS: usize = 8;
/// Frames of that spectrogram.
const FRAMES: usize = SECONDS * SAMPLE_RATE / HOP;
/// Keeps the variance of silence from being divided by.
const EPSILON: f32 = 1e-7;

/// The spectrogram of the last [`SECONDS`] of a turn, ready to be judged.
#[derive(Clone, Debug)]
pub struct Spectrogram(Vec<f32>);

/// A loaded turn model; cheap to clone, one serves all calls.
#[derive(Clone, Debug)]
pub struct TurnDetector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    graph: Graph,
    mel: LogMel,
}

impl TurnDetector {
    /// Loads the model from the model folder.
    ///
    /// # Errors
    /// The file is missing (the message names the command that fetches it) or unusable.
    pub fn load(runtime: &Runtime, dir: &Path) -> Result<Self, ModelError> {
        let path = Manifest::embedded().file(dir, "smart-turn", ".onnx");
        let graph = runtime.graph_from_file(&path)?;
        Ok(Self(Arc::new(Inner {
            graph,
            mel: LogMel::new(),
        })))
    }

    /// Prepares a judgement of sound at 8 kHz: its spectrogram is taken here, and judged by
    /// [`judge`](Self::judge). The two are steps of their own, so that neither holds an inference
    /// thread for long.
    #[must_use]
    pub fn spectrogram(&self, samples: &[i16]) -> Spectrogram {
        self.spectrogram_16k(&resample::upsample(samples))
    }

    /// The same for sound at 16 kHz, full scale ±1.
    #[must_use]
    pub fn spectrogram_16k(&self, samples: &[f32]) -> Spectrogram {
        let window = SECONDS * SAMPLE_RATE;
        let recent = samples
            .get(samples.len().saturating_sub(window)..)
            .unwrap_or_default();
        let mut padded = vec![0.0; window - recent.len()];
        padded.extend_from_slice(recent);
        normalise(&mut padded);
        Spectrogram(self.0.mel.compute(&padded, FRAMES))
    }

    /// Gives the probability that the turn is complete.
    ///
    /// # Errors
    /// ONNX Runtime fails.
    pub fn judge(&self, spectrogram: &Spectrogram) -> Result<f32, ModelError> {
        let mel = spectrogram.0.as_slice();
        let mel = TensorRef::from_array_view(([1, BANDS, FRAMES], mel))?;
        let mut session = self.0.graph.session();
        let outputs = session.run(ort::inputs!["input_features" => mel])?;
        let missing = || ModelError::malformed("smart-turn", "no probability");
        let (_, probability) = outputs
            .get("logits")
            .ok_or_else(missing)?
            .try_extract_tensor::<f32>()?;
        probability.first().copied().ok_or_else(missing)
    }

    /// Gives the probability that a turn which ends with `samples` (8 kHz) is complete.
    ///
    /// Sound shorter than [`SECONDS`] is taken as preceded by silence; of longer sound the end
    /// counts. The model's output is a probability already: it ends in a sigmoid.
    ///
    /// # Errors
    /// ONNX Runtime fails.
    pub fn probability(&self, samples: &[i16]) -> Result<f32, ModelError> {
        self.probability_16k(&resample::upsample(samples))
    }

    /// The same for sound at 16 kHz, full scale ±1.
    ///
    /// # Errors
    /// ONNX Runtime fails.
    pub fn probability_16k(&self, samples: &[f32]) -> Result<f32, ModelError> {
        self.judge(&self.spectrogram_16k(samples))
    }
}

/// Makes the sound, its padding included, zero-mean and of unit variance.
fn normalise(samples: &mut [f32]) {
    let count = samples.len().max(1) as f32;
    let mean = samples.iter().sum::<f32>() / count;
    let variance = samples
        .iter()
        .map(|sample| (sample - mean).powi(2))
        .sum::<f32>()
        / count;
    let scale = 1.0 / (variance + EPSILON).sqrt();
    for sample in samples {
        *sample = (*sample - mean) * scale;
    }
}
