//! Whisper: speech to text, in steps short enough to share a thread with other calls.
//!
//! ```no_run
//! use offhook_models::whisper::{Options, Size, Step, Whisper};
//! use offhook_models::{Runtime, manifest};
//!
//! # fn main() -> Result<(), offhook_models::ModelError> {
//! let dir = manifest::default_dir();
//! let whisper = Whisper::load(&Runtime::load(&dir)?, &dir, Size::TinyEn)?;
//! let second_of_silence = vec![0_i16; 8_000];
//! let mut transcription = whisper.begin_8k(&second_of_silence, &Options::default());
//! let transcript = loop {
//!     if let Step::Done(transcript) = transcription.step()? {
//!         break transcript;
//!     }
//! };
//! println!("{}", transcript.text);
//! # Ok(())
//! # }
//! ```

mod decoder;
mod encoder;
mod graph;
mod guard;
mod model_bin;
mod tokens;
mod transcription;
mod weights;
mod window;

use std::path::Path;
use std::sync::{Arc, OnceLock};

pub use transcription::{Options, Step, Transcript, Transcription};
pub use weights::Precision;

use crate::manifest::Manifest;
use crate::mel::LogMel;
use crate::resample;
use crate::runtime::{Graph, ModelError, Runtime, read_file};
use graph::Shape;
use model_bin::ModelBin;
use tokens::Tokens;

/// The Whisper models that the manifest lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// 39 million weights, English only.
    #[default]
    TinyEn,
    /// 74 million weights, 99 languages.
    Base,
}

impl Size {
    /// Returns the name of the model in the manifest.
    #[must_use]
    pub fn model(self) -> &'static str {
        match self {
            Self::TinyEn => "whisper-tiny.en",
            Self::Base => "whisper-base",
        }
    }
}

/// A loaded Whisper model; cheap to clone, one serves all calls.
#[derive(Clone, Debug)]
pub struct Whisper(Arc<Model>);

/// What all transcriptions share.
#[derive(Debug)]
struct Model {
    shape: Shape,
    mel: LogMel,
    tokens: Tokens,
    /// Token embeddings (vocabulary, width) in half precision.
    embeddings: Vec<u16>,
    /// Position embeddings (context, width).
    positions: Vec<f32>,
    convolutions: Graph,
    encoder: Vec<Graph>,
    cross: Graph,
    decoder: Graph,
    names: decoder::Names,
    /// Keys and values of a window of silence, by layer.
    silence: OnceLock<Vec<Vec<f32>>>,
}

impl Whisper {
    /// Loads a model from the model folder, in 8-bit integers.
    ///
    /// # Errors
    /// A file is missing (the message names the command that fetches it) or malformed.
    pub fn load(runtime: &Runtime, dir: &Path, size: Size) -> Result<Self, ModelError> {
        Self::load_with(runtime, dir, size, Precision::Int8)
    }

    /// Loads a model that computes in the given precision.
    ///
    /// # Errors
    /// A file is missing (the message names the command that fetches it) or malformed.
    pub fn load_with(
        runtime: &Runtime,
        dir: &Path,
        size: Size,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        let manifest = Manifest::embedded();
        let bytes = read_file(&manifest.file(dir, size.model(), "model.bin"))?;
        let model = ModelBin::parse(bytes)?;
        let shape = Shape::of(&model)?;
        let tokenizer = manifest.file(dir, size.model(), "tokenizer.json");
        let tokens = Tokens::load(&tokenizer, shape.vocabulary, size == Size::Base)?;
        let load = |(bytes, weights): graph::Written| runtime.graph(&bytes, &weights);
        let layer = |layer| load(graph::encoder_layer(&model, shape, precision, layer)?);
        let whisper = Self(Arc::new(Model {
            silence: OnceLock::new(),
            shape,
            mel: LogMel::new(),
            tokens,
            embeddings: model.view("decoder/embeddings/weight")?.halves()?,
            positions: model
                .view("decoder/position_encodings/encodings")?
                .floats()?,
            convolutions: load(graph::convolutions(&model, shape)?)?,
            encoder: (0..shape.encoder_layers)
                .map(layer)
                .collect::<Result<_, _>>()?,
            cross: load(graph::cross(&model, shape, precision)?)?,
            decoder: load(graph::decoder(&model, shape, precision)?)?,
            names: decoder::Names::new(shape.decoder_layers),
        }));
        let silence = encoder::Encoding::silence(&whisper.0)?;
        // Set once: nobody else has the model yet.
        let _ = whisper.0.silence.set(silence);
        Ok(whisper)
    }

    /// Begins to transcribe sound at 16 kHz, full scale ±1.
    #[must_use]
    pub fn begin(&self, samples: &[f32], options: &Options) -> Transcription {
        Transcription::new(self.0.clone(), samples.to_vec(), options)
    }

    /// Begins to transcribe telephone sound at 8 kHz.
    #[must_use]
    pub fn begin_8k(&self, samples: &[i16], options: &Options) -> Transcription {
        Transcription::new(self.0.clone(), resample::upsample(samples), options)
    }
}
