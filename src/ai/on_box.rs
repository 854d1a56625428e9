//! The on-box models, loaded once for every call: hearing, turns, words, voice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use offhook_models::manifest::{Manifest, Model};
use offhook_models::turn::TurnDetector;
use offhook_models::vad::Silero;
use offhook_models::voice::{Voice, VoiceError, VoiceOptions};
use offhook_models::whisper::{Size, Whisper};
use offhook_models::workers::{JobState, Priority};
use offhook_models::{ModelError, Runtime, WorkerOptions, Workers};

use super::hearing::Hearing;
use super::{
    Abandon, Audio, Deliver, PiperVoice, Recognised, SmartTurn, SpeechToText, TextToSpeech,
    TurnModel, WhisperRecogniser,
};
use crate::agent::flow::SlotKind;
use crate::clock;
use crate::config::{Config, ModelsConfig};

/// Niceness of the inference threads: against a thread of the usual one they get a third.
const INFERENCE_NICENESS: i32 = 5;

/// Explains why the models could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum OnBoxError {
    /// A model is missing or malformed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The voice is.
    #[error(transparent)]
    Voice(#[from] VoiceError),
    /// The configuration names a size that there is not.
    #[error("`models.whisper = {0:?}` is not known: use \"tiny.en\" or \"base\"")]
    Size(String),
    /// A thread could not be started.
    #[error("cannot start an inference thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The on-box models, loaded.
pub struct OnBox {
    /// Listens to every leg.
    pub hearing: Hearing,
    voices: BTreeMap<String, Arc<dyn TextToSpeech>>,
    default_voice: Arc<dyn TextToSpeech>,
    /// What recognises utterances, whatever becomes of the calls' own.
    pub recogniser: Arc<dyn SpeechToText>,
    /// Whether a turn model judges ends of turns.
    pub judges_turns: bool,
    /// The inference threads.
    pub workers: Arc<Workers>,
}

/// How the voice varies from run to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voicing {
    /// As the voice was trained: no two sentences alike.
    Natural,
    /// The same sound for the same text, for tests and the demonstration.
    Repeatable,
}

/// What becomes of utterances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// They are recognised.
    Recognise,
    /// They are taken from the recogniser's queue, and the same words stand for them: what is
    /// measured then is all but the recogniser.
    Consume,
}

/// Takes utterances from the recogniser's queue and understands the same thing each time.
struct Consumer(Arc<Workers>);

impl SpeechToText for Consumer {
    fn recognise(
        &self,
        audio: Audio,
        _hint: Option<SlotKind>,
        abandon: Abandon,
        deliver: Deliver<Result<Recognised, String>>,
    ) {
        let mut taken = Some((audio, deliver));
        let job = move || {
            if let Some((audio, deliver)) = taken.take().filter(|_| !abandon.is_abandoned()) {
                let text = match audio.samples.is_empty() {
                    true => String::new(),
                    false => "I would like to know more about it.".to_owned(),
                };
                deliver(Ok(Recognised { text, took_ms: 0 }));
            }
            JobState::Done
        };
        if let Err(error) = self.0.submit(Priority::FinalStt, Box::new(job)) {
            tracing::warn!(%error, "an utterance was refused");
        }
    }
}

/// Lets whoever serves packets and calls go first where there are fewer cores than threads: an
/// inference may come a little later, a frame may not.
fn give_way(_index: usize) {
    if let Err(error) = rustix::process::setpriority_process(None, INFERENCE_NICENESS) {
        tracing::debug!(%error, "an inference thread keeps its priority");
    }
}

impl OnBox {
    /// Loads everything that agents need, with the voices that they name beside
    /// `models.voice`. Takes seconds: call it off the async threads.
    ///
    /// # Errors
    /// When a model is missing or unusable; the message names the command that fetches it.
    pub fn load<'a>(
        config: &'a ModelsConfig,
        voices: impl IntoIterator<Item = &'a str>,
        voicing: Voicing,
        words: Words,
    ) -> Result<Self, OnBoxError> {
        let threads = worker_threads(config.workers);
        let runtime = Runtime::load(&config.dir)?.with_concurrency(threads);
        let size = whisper_size(&config.whisper)?;
        let dir: &Path = &config.dir;
        let default = config.voice.as_str();
        let names: BTreeSet<&str> = voices.into_iter().chain([default]).collect();
        let load = |name| Voice::load(&runtime, dir, name, voice_options(voicing));
        // Side by side: most of loading is one thread folding constants.
        let (whisper, loaded) = std::thread::scope(|scope| {
            let voices = scope.spawn(|| -> Result<Vec<_>, VoiceError> {
                names.iter().map(|name| Ok((*name, load(name)?))).collect()
            });
            let whisper = Whisper::load(&runtime, dir, size);
            (whisper, voices.join())
        });
        let loaded = loaded.map_err(|_| std::io::Error::other("loading a voice panicked"))??;
        let silero = Silero::load(dir)?;
        let detector = TurnDetector::load(&runtime, dir)?;
        let workers = Arc::new(Workers::start(WorkerOptions {
            on_start: give_way,
            ..WorkerOptions::new(threads, clock::now)
        })?);
        let whisper: Arc<dyn SpeechToText> =
            Arc::new(WhisperRecogniser::new(whisper?, Arc::clone(&workers)));
        let smart_turn = SmartTurn::new(detector, Arc::clone(&workers));
        let (recogniser, turns): (Arc<dyn SpeechToText>, Option<Arc<dyn TurnModel>>) = match words {
            Words::Recognise => (Arc::clone(&whisper), Some(Arc::new(smart_turn))),
            Words::Consume => (Arc::new(Consumer(Arc::clone(&workers))), None),
        };
        let judges_turns = turns.is_some();
        let hearing = Hearing::start(silero, recogniser, turns)?;
        let mut voices: BTreeMap<String, Arc<dyn TextToSpeech>> = BTreeMap::new();
        for (name, voice) in loaded {
            let voice = PiperVoice::start(voice, Arc::clone(&workers))?;
            voices.insert(name.to_owned(), Arc::new(voice));
        }
        let default_voice = voices.get(default).map(Arc::clone);
        let default_voice = default_voice.ok_or_else(|| std::io::Error::other("no voice"))?;
        Ok(Self {
            hearing,
            voices,
            default_voice,
            recogniser: whisper,
            judges_turns,
            workers,
        })
    }

    /// The voice of that name, or `models.voice` when none is named.
    #[must_use]
    pub fn voice(&self, name: Option<&str>) -> Arc<dyn TextToSpeech> {
        let named = name.and_then(|name| self.voices.get(name));
        Arc::clone(named.unwrap_or(&self.default_voice))
    }
}

/// Names the models, as the manifest does, that a configuration's agents need; none without an
/// agent. A voice of the operator's own is not among them.
#[must_use]
pub fn needed_models(config: &Config) -> Vec<&'static Model> {
    if config.agents.is_empty() {
        return Vec::new();
    }
    let whisper = config.models.whisper.trim_start_matches("whisper-");
    let whisper = format!("whisper-{whisper}");
    let voices: BTreeSet<String> = config
        .voices()
        .map(|(_, voice)| format!("piper-{voice}"))
        .collect();
    let chosen = |model: &&Model| match model.name.as_str() {
        name if name.starts_with("whisper-") => name == whisper,
        name if name.starts_with("piper-") => voices.contains(name),
        _ => model.default,
    };
    Manifest::embedded().models.iter().filter(chosen).collect()
}

fn voice_options(voicing: Voicing) -> VoiceOptions {
    VoiceOptions {
        deterministic: voicing == Voicing::Repeatable,
        ..VoiceOptions::default()
    }
}

fn whisper_size(name: &str) -> Result<Size, OnBoxError> {
    match name {
        "tiny.en" | "whisper-tiny.en" => Ok(Size::TinyEn),
        "base" | "whisper-base" => Ok(Size::Base),
        other => Err(OnBoxError::Size(other.to_owned())),
    }
}

/// One per processor, less one for media; two at least, since turn and transcript run together.
fn worker_threads(configured: usize) -> usize {
    if configured > 0 {
        return configured;
    }
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    cores.saturating_sub(1).max(2)
}
