//! Piper as the agents' voice: the first chunk before other work, the rest behind it, and phrases
//! that were said before from memory.
//!
//! Phonemes come from another program, which may hang. They are asked for on a thread of the
//! voice's own: an inference thread waits for nobody.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use offhook_models::voice::{PhraseCache, Step, Synthesis, Voice};
use offhook_models::workers::{Abandoned, Job, JobState, Priority, Workers};

use super::{Abandon, Sound, TextToSpeech};

/// Memory for phrases: some nine minutes of sound at 8 kHz, half of that at 16.
const PHRASES_BYTES: usize = 8 * 1024 * 1024;

/// Clauses that may wait for their phonemes; more are refused, and their owners told.
const CLAUSES: usize = 256;

/// An on-box Piper voice; one loaded model serves every call.
pub struct PiperVoice {
    voice: Voice,
    workers: Arc<Workers>,
    phrases: Arc<PhraseCache>,
    clauses: SyncSender<Speaking>,
}

impl PiperVoice {
    /// Speaks on `workers`; a thread of its own asks for the phonemes.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(voice: Voice, workers: Arc<Workers>) -> std::io::Result<Self> {
        let phrases = Arc::new(PhraseCache::new(PHRASES_BYTES));
        let (clauses, queue) = sync_channel(CLAUSES);
        std::thread::Builder::new()
            .name("clauses".into())
            .spawn(move || ask_for_phonemes(&queue))?;
        Ok(Self {
            voice,
            workers,
            phrases,
            clauses,
        })
    }
}

/// Gives clauses their phonemes, and then to the inference threads, until the voice is dropped.
fn ask_for_phonemes(queue: &Receiver<Speaking>) {
    while let Ok(mut clause) = queue.recv() {
        if clause.abandon.is_abandoned() {
            continue;
        }
        match clause.voice.phonemes(&clause.text) {
            Ok(phonemes) => {
                clause.synthesis = Some(clause.voice.begin(&phonemes));
                let workers = Arc::clone(&clause.workers);
                if let Err(error) = workers.submit(Priority::FirstTts, Box::new(clause)) {
                    tracing::warn!(%error, "a clause was not taken for synthesis");
                }
            }
            Err(error) => {
                clause.end(Sound::Failed(error.to_string()));
            }
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
        let clause = Speaking {
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
        // A clause that is dropped tells its owner that it failed.
        if self.clauses.try_send(clause).is_err() {
            tracing::warn!("too many clauses wait for their phonemes: one is not spoken");
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
            return self.end(Sound::Failed("the clause has no phonemes".to_owned()));
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
            let reason = "the clause was not taken for synthesis".to_owned();
            self.end(Sound::Failed(reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use offhook_models::manifest::default_dir;
    use offhook_models::voice::{Phonemizer, PhonemizerOptions, VoiceOptions};
    use offhook_models::{Runtime, WorkerOptions};
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::clock;

    fn signal(process: u32, signal: Signal) {
        let process = Pid::from_raw(process.try_into().unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }

    #[test]
    fn a_phonemes_program_that_hangs_holds_up_no_inference_thread() {
        let dir = default_dir();
        let patience = PhonemizerOptions {
            timeout: Duration::from_secs(600),
            ..PhonemizerOptions::default()
        };
        let phonemizer = Phonemizer::start(&patience.with_models(&dir)).unwrap();
        let options = VoiceOptions {
            phonemizer: Some(phonemizer.clone()),
            ..VoiceOptions::default()
        };
        let runtime = Runtime::load(&dir).unwrap();
        let voice = Voice::load(&runtime, &dir, "en_US-joe-medium", options).unwrap();
        let workers = Arc::new(Workers::start(WorkerOptions::new(1, clock::now)).unwrap());
        let voice = PiperVoice::start(voice, Arc::clone(&workers)).unwrap();
        let program = phonemizer.process_id().unwrap();
        signal(program, Signal::STOP);
        let (tell, said) = channel();
        let deliver = Box::new(move |sound| tell.send(sound).is_ok());
        voice.speak("Never heard before.", 8_000, Abandon::default(), deliver);
        // The only thread goes on with other work, each time again.
        for _ in 0..100 {
            let (done, turn) = channel();
            let job = move || {
                done.send(()).unwrap();
                JobState::Done
            };
            workers.submit(Priority::RestTts, Box::new(job)).unwrap();
            turn.recv().unwrap();
        }
        assert!(said.try_recv().is_err(), "the program does not hang");
        signal(program, Signal::CONT);
        assert!(matches!(said.recv().unwrap(), Sound::Chunk(_)));
    }
}
