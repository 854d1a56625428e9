//! A Piper voice: loaded once, spoken by all calls.

mod config;
mod cut;
mod synthesis;

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::normalise;
use super::phonemes::{PhonemeError, Phonemizer, PhonemizerOptions};
use super::shape::{TARGET_RMS, active_rms};
use crate::onnx::{CutError, Model};
use crate::runtime::read_file;
use crate::{Graph, ModelError, Runtime, Weights};
use config::Config;
use cut::Cut;
pub use synthesis::{Step, Synthesis};

/// The rate of telephone sound, in hertz.
const TELEPHONE_HZ: u32 = 8_000;
/// What is said once at loading to learn how loud the voice is; every phone class is in it.
const CALIBRATION: &str = "The beige hue on the waters of the loch impressed all.";

/// Why a voice cannot be loaded or cannot speak.
#[derive(Debug, Error)]
pub enum VoiceError {
    /// A file is missing or malformed, or ONNX Runtime failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The graph is not that of a Piper voice.
    #[error("the voice's graph cannot be cut for streaming: {0}")]
    Cut(#[from] CutError),
    /// There are no phonemes for a text.
    #[error(transparent)]
    Phonemes(#[from] PhonemeError),
}

impl From<ort::Error> for VoiceError {
    fn from(error: ort::Error) -> Self {
        Self::Model(error.into())
    }
}

/// How a voice is to speak; what is left out is as the voice's makers set it.
#[derive(Clone, Debug, Default)]
pub struct VoiceOptions {
    /// How much the sound varies from one utterance to the next.
    pub noise_scale: Option<f32>,
    /// How much the durations of sounds vary.
    pub noise_w: Option<f32>,
    /// How long sounds last: 1 is the voice's own pace, 1.1 a tenth slower.
    pub length_scale: Option<f32>,
    /// Whether the same text always gives the same sound: both variations are 0 then.
    pub deterministic: bool,
    /// The rate of the samples that are given out, in hertz; 8,000 if left out.
    pub sample_rate_hz: Option<u32>,
    /// Where phonemes come from, to share it between voices; otherwise the voice starts its own.
    pub phonemizer: Option<Phonemizer>,
}

/// A clause in phonemes (IPA, with the clause's marks), ready to be spoken by the voice that gave
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phonemes(String);

/// A loaded voice; cheap to clone, and clones share everything.
#[derive(Clone)]
pub struct Voice {
    inner: Arc<Inner>,
    rate_hz: u32,
}

struct Inner {
    name: String,
    config: Config,
    phonemizer: Phonemizer,
    graphs: Graphs,
    /// Noise of the sound, length, noise of the durations.
    scales: [f32; 3],
    gain: f32,
}

/// The parts of the voice's graph, loaded.
struct Graphs {
    encoder: Graph,
    flow: Graph,
    decoder: Graph,
    cut: Cut,
}

impl Graphs {
    /// Cuts a voice's graph and loads the parts, one at a time: each carries its weights with it,
    /// and two copies of all of them would be 130 MB.
    fn load(runtime: &Runtime, model: &Model) -> Result<Self, VoiceError> {
        let load = |part: Model| {
            let bytes = part.to_bytes();
            drop(part);
            runtime.graph(&bytes, &Weights::default())
        };
        let cut = Cut::find(model)?;
        Ok(Self {
            encoder: load(cut.encoder(model)?)?,
            flow: load(cut.flow(model)?)?,
            decoder: load(cut.decoder(model)?)?,
            cut,
        })
    }
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice")
            .field("name", &self.inner.name)
            .field("rate_hz", &self.rate_hz)
            .finish_non_exhaustive()
    }
}

impl Voice {
    /// Loads the voice `name`, such as `en_US-joe-medium`, from the model folder `dir`.
    ///
    /// The graph is cut in memory at each load; that takes a tenth of the second that ONNX Runtime
    /// needs to load the parts, so nothing is kept on disk that could go stale.
    ///
    /// # Errors
    /// A file is missing or is not a Piper voice, or the phonemes' program cannot be started.
    pub fn load(
        runtime: &Runtime,
        dir: &Path,
        name: &str,
        options: VoiceOptions,
    ) -> Result<Self, VoiceError> {
        let path = dir
            .join(format!("piper-{name}"))
            .join(format!("{name}.onnx"));
        let config_path = path.with_extension("onnx.json");
        let config = Config::parse(&config_path.to_string_lossy(), &read_file(&config_path)?)?;
        let phonemizer = match options.phonemizer.clone() {
            Some(phonemizer) => phonemizer,
            None => Phonemizer::start(&PhonemizerOptions::default().with_models(dir))?,
        };
        let model = Model::parse(&read_file(&path)?)
            .map_err(|error| ModelError::malformed(path.to_string_lossy(), error))?;
        let graphs = Graphs::load(runtime, &model)?;
        drop(model);
        let scales = scales(&config, &options);
        let rate_hz = options.sample_rate_hz.unwrap_or(TELEPHONE_HZ);
        let mut inner = Inner {
            name: name.to_owned(),
            phonemizer,
            graphs,
            scales,
            gain: 1.0,
            config,
        };
        inner.gain = inner.measure_gain()?;
        Ok(Self {
            inner: Arc::new(inner),
            rate_hz,
        })
    }

    /// Gives the same voice with samples of another rate, in hertz.
    #[must_use]
    pub fn at_rate(&self, rate_hz: u32) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            rate_hz,
        }
    }

    /// Gives the phonemes of a clause as people write it. They come from another program, so this
    /// waits: a few milliseconds, or up to the phonemizer's time limit when that program hangs. It
    /// is no work for an inference thread.
    ///
    /// # Errors
    /// The phonemes' program cannot answer.
    pub fn phonemes(&self, clause: &str) -> Result<Phonemes, VoiceError> {
        self.inner.phonemes(clause).map(Phonemes)
    }

    /// Begins to speak a clause; nothing is computed before the first [`Synthesis::step`].
    #[must_use]
    pub fn begin(&self, clause: &Phonemes) -> Synthesis {
        Synthesis::new(self.clone(), clause.clone())
    }

    /// Speaks a whole text at once: for tests, and for phrases that are kept.
    ///
    /// # Errors
    /// As [`phonemes`](Self::phonemes) and [`Synthesis::step`].
    pub fn say(&self, text: &str) -> Result<Vec<i16>, VoiceError> {
        let mut synthesis = self.begin(&self.phonemes(text)?);
        let mut samples = Vec::new();
        loop {
            match synthesis.step()? {
                Step::More => {}
                Step::Sound(sound) => samples.extend(sound),
                Step::Done => return Ok(samples),
            }
        }
    }

    /// Returns the voice's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Returns the rate of the samples given out, in hertz.
    #[must_use]
    pub fn sample_rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Returns where the voice's phonemes come from.
    #[must_use]
    pub fn phonemizer(&self) -> &Phonemizer {
        &self.inner.phonemizer
    }
}

impl Inner {
    /// Gives the phonemes of a text as people write it.
    fn phonemes(&self, text: &str) -> Result<String, VoiceError> {
        let voice = self.config.espeak_voice();
        let words = if voice.starts_with("en") {
            normalise::normalise(text)
        } else {
            normalise::plain(text)
        };
        Ok(self.phonemizer.phonemes(voice, &words)?)
    }

    /// Says a sentence to learn which gain brings the voice to the level of telephone speech.
    fn measure_gain(&self) -> Result<f32, VoiceError> {
        let phonemes = self.phonemes(CALIBRATION)?;
        let ids = self.config.phoneme_ids(&phonemes);
        let [_, length, _] = self.scales;
        let frames = self.graphs.encode(&ids, [0.0, length, 0.0])?;
        let samples = frames.decode_all(&self.graphs)?;
        let rms = active_rms(&samples);
        Ok(if rms > 0.0 {
            (TARGET_RMS / rms).clamp(0.1, 10.0)
        } else {
            1.0
        })
    }
}

fn scales(config: &Config, options: &VoiceOptions) -> [f32; 3] {
    let own = config.inference;
    let length = options
        .length_scale
        .unwrap_or(own.length_scale)
        .clamp(0.25, 4.0);
    if options.deterministic {
        return [0.0, length, 0.0];
    }
    let noise = options
        .noise_scale
        .unwrap_or(own.noise_scale)
        .clamp(0.0, 2.0);
    [
        noise,
        length,
        options.noise_w.unwrap_or(own.noise_w).clamp(0.0, 2.0),
    ]
}

#[cfg(test)]
mod tests {
    use ort::value::Tensor;

    use super::*;
    use crate::manifest::default_dir;

    const NAME: &str = "en_US-joe-medium";

    /// The phoneme ids of "Thanks for calling, how can I help you today?".
    const PHONEMES: &str = "θˈæŋks fɔːɹ kˈɔːlɪŋ, hˌaʊ kæn aɪ hˈɛlp juː tədˈeɪ?";

    #[test]
    fn streamed_chunks_equal_the_whole() {
        let dir = default_dir();
        let runtime = Runtime::load(&dir).unwrap();
        let path = dir
            .join(format!("piper-{NAME}"))
            .join(format!("{NAME}.onnx"));
        let bytes = read_file(&path).unwrap();
        let config = read_file(&path.with_extension("onnx.json")).unwrap();
        let config = Config::parse(NAME, &config).unwrap();
        let ids = config.phoneme_ids(PHONEMES);
        let whole = runtime.graph(&bytes, &Weights::default()).unwrap();
        let mut session = whole.session();
        let outputs = session
            .run(ort::inputs![
                "input" => Tensor::from_array(([1, ids.len()], ids.clone())).unwrap(),
                "input_lengths" => Tensor::from_array(([1], vec![ids.len() as i64])).unwrap(),
                "scales" => Tensor::from_array(([3], vec![0.0_f32, 1.0, 0.0])).unwrap(),
            ])
            .unwrap();
        let (_, whole) = outputs["output"].try_extract_tensor::<f32>().unwrap();

        let graphs = Graphs::load(&runtime, &Model::parse(&bytes).unwrap()).unwrap();
        for sizes in [&[20, 30, 45][..], &[7], &[1_000]] {
            let mut frames = graphs.encode(&ids, [0.0, 1.0, 0.0]).unwrap();
            let mut streamed = Vec::new();
            for size in sizes
                .iter()
                .chain(std::iter::repeat(&sizes[sizes.len() - 1]))
            {
                if frames.is_spent() {
                    break;
                }
                streamed.extend(frames.decode_next(&graphs, *size).unwrap());
            }
            assert_eq!(streamed.len(), whole.len());
            let off = streamed
                .iter()
                .zip(whole)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(off < 5e-5, "chunks of {sizes:?} are off by {off}");
        }
    }
}
