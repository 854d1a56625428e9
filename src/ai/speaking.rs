//! Piper as the agents' voice: the first chunk before other work, the rest behind it, and phrases
//! that were said before from memory.

use std::sync::Arc;

use offhook_models::voice::{PhraseCache, Step, Synthesis, Voice};
use offhook_models::workers::{Abandoned, Job, JobState, Priority, Workers};

use super::{Abandon, Sound, TextToSpeech};

/// Memory for phrases: some nine minutes of sound at 8 kHz, half of that at 16.
const PHRASES_BYTES: usize = 8 * 1024 * 1024;

/// An on-box Piper voice; one loaded model serves every call.
pub struct PiperVoice {
    voice: Voice,
    workers: Arc<Workers>,
    phrases: Arc<PhraseCache>,
}

impl PiperVoice {
    /// Speaks on `workers`.
    #[must_use]
    pub fn new(voice: Voice, workers: Arc<Workers>) -> Self {
        let phrases = Arc::new(PhraseCache::new(PHRASES_BYTES));
        Self {
            voice,
            workers,
            phrases,
        }
    }
}

type DeliverSound = Box<dyn FnMut(Sound) -> bool + Send>;

impl TextToSpeech for PiperVoice {
    fn speak(&self, text: &str, rate_hz: u32, abandon: Abandon, mut deliver: DeliverSound) {
        let voice = self.voice.at_rate(rate_hz);
        let key = PhraseCache::key(&format!("{} {rate_hz}", voice.name()), text);
        if let Some(samples) = self.phrases.find(&key) {
            deliver(Sound::Chunk(samples));
            deliver(Sound::End);
            return;
        }
        let job = Speaking {
            text: text.to_owned(),
            key,
            voice,
            workers: Arc::clone(&self.workers),
            phrases: Arc::clone(&self.phrases),
            synthesis: None,
            spoken: Vec::new(),
            urgent: true,
            abandon,
            deliver: Some(deliver),
        };
        if let Err(error) = self.workers.submit(Priority::FirstTts, Box::new(job)) {
            tracing::warn!(%error, "a clause was not taken for synthesis");
        }
    }
}

struct Speaking {
    text: String,
    key: String,
    voice: Voice,
    workers: Arc<Workers>,
    phrases: Arc<PhraseCache>,
    synthesis: Option<Synthesis>,
    /// What was said so far, for the memory of phrases.
    spoken: Vec<i16>,
    /// Nothing has been heard of it yet.
    urgent: bool,
    abandon: Abandon,
    deliver: Option<DeliverSound>,
}

impl Speaking {
    fn end(&mut self, sound: Sound) -> JobState {
        if let Some(mut deliver) = self.deliver.take() {
            deliver(sound);
        }
        JobState::Done
    }

    /// Goes on behind more urgent work, now that the caller hears something.
    fn go_on_behind(&mut self) -> JobState {
        let rest = Self {
            text: std::mem::take(&mut self.text),
            key: std::mem::take(&mut self.key),
            voice: self.voice.clone(),
            workers: Arc::clone(&self.workers),
            phrases: Arc::clone(&self.phrases),
            synthesis: self.synthesis.take(),
            spoken: std::mem::take(&mut self.spoken),
            urgent: false,
            abandon: self.abandon.clone(),
            deliver: self.deliver.take(),
        };
        let workers = Arc::clone(&self.workers);
        if let Err(error) = workers.submit(Priority::RestTts, Box::new(rest)) {
            tracing::warn!(%error, "the rest of a clause was not taken for synthesis");
        }
        JobState::Done
    }
}

impl Job for Speaking {
    fn step(&mut self) -> JobState {
        if self.abandon.is_abandoned() {
            self.deliver = None;
            return JobState::Done;
        }
        let Some(synthesis) = &mut self.synthesis else {
            self.synthesis = Some(self.voice.begin(&self.text));
            return JobState::Again;
        };
        match synthesis.step() {
            Ok(Step::More) => JobState::Again,
            Ok(Step::Sound(samples)) => {
                self.spoken.extend_from_slice(&samples);
                let wanted = self
                    .deliver
                    .as_mut()
                    .is_some_and(|d| d(Sound::Chunk(samples.into())));
                if !wanted {
                    self.deliver = None;
                    return JobState::Done;
                }
                if self.urgent {
                    self.go_on_behind()
                } else {
                    JobState::Again
                }
            }
            Ok(Step::Done) => {
                let spoken = std::mem::take(&mut self.spoken);
                self.phrases.insert(&self.key, spoken.into());
                self.end(Sound::End)
            }
            Err(error) => self.end(Sound::Failed(error.to_string())),
        }
    }

    fn abandoned(&mut self, why: Abandoned) {
        self.end(Sound::Failed(format!(
            "the synthesis was abandoned: {why:?}"
        )));
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        if !self.abandon.is_abandoned() {
            let reason = "the inference threads did not take the clause".to_owned();
            self.end(Sound::Failed(reason));
        }
    }
}
