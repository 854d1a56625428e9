//! The on-box models, loaded once for every call: hearing, turns, words, voice.

use std::path::Path;
use std::sync::Arc;

use offhook_models::turn::TurnDetector;
use offhook_models::vad::Silero;
use offhook_models::voice::{Voice, VoiceError, VoiceOptions};
use offhook_models::whisper::{Size, Whisper};
use offhook_models::{ModelError, Runtime, WorkerOptions, Workers};

use super::hearing::Hearing;
use super::{
    Abandon, Deliver, PiperVoice, Recognised, SmartTurn, SpeechToText, TextToSpeech, TurnModel,
    WhisperRecogniser,
};
use crate::agent::flow::SlotKind;
use crate::clock;
use crate::config::ModelsConfig;

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
    /// Speaks.
    pub voice: Arc<dyn TextToSpeech>,
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
    /// They are taken from the queue and dropped: what is measured then is all the rest.
    Drop,
}

/// Takes utterances and recognises nothing.
struct Consume;

impl SpeechToText for Consume {
    fn recognise(
        &self,
        _audio: Vec<i16>,
        _hint: Option<SlotKind>,
        _abandon: Abandon,
        deliver: Deliver<Result<Recognised, String>>,
    ) {
        deliver(Ok(Recognised::default()));
    }
}

impl OnBox {
    /// Loads everything that an agent needs. Takes seconds: call it off the async threads.
    ///
    /// # Errors
    /// When a model is missing or unusable; the message names the command that fetches it.
    pub fn load(config: &ModelsConfig, voicing: Voicing, words: Words) -> Result<Self, OnBoxError> {
        let threads = worker_threads(config.workers);
        let runtime = Runtime::load(&config.dir)?.with_concurrency(threads);
        let size = whisper_size(&config.whisper)?;
        let dir: &Path = &config.dir;
        // Side by side: most of loading is one thread folding constants.
        let (whisper, voice) = std::thread::scope(|scope| {
            let voice =
                scope.spawn(|| Voice::load(&runtime, dir, &config.voice, voice_options(voicing)));
            let whisper = Whisper::load(&runtime, dir, size);
            (whisper, voice.join())
        });
        let voice = voice.map_err(|_| std::io::Error::other("loading the voice panicked"))??;
        let silero = Silero::load(&runtime, dir)?;
        let detector = TurnDetector::load(&runtime, dir)?;
        let workers = Arc::new(Workers::start(WorkerOptions::new(threads, clock::now))?);
        let whisper = WhisperRecogniser::new(whisper?, Arc::clone(&workers));
        let smart_turn = SmartTurn::new(detector, Arc::clone(&workers));
        let (recogniser, turns): (Arc<dyn SpeechToText>, Option<Arc<dyn TurnModel>>) = match words {
            Words::Recognise => (Arc::new(whisper), Some(Arc::new(smart_turn))),
            Words::Drop => (Arc::new(Consume), None),
        };
        let judges_turns = turns.is_some();
        let hearing = Hearing::start(silero, recogniser, turns)?;
        let voice: Arc<dyn TextToSpeech> = Arc::new(PiperVoice::new(voice, Arc::clone(&workers)));
        Ok(Self {
            hearing,
            voice,
            judges_turns,
            workers,
        })
    }
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
