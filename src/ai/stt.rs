//! Whisper as a recogniser of calls: jobs in steps on the inference threads.

use std::sync::Arc;
use std::time::Instant;

use crate::agent::flow::SlotKind;
use offhook_models::whisper::{Options, Step, Transcription, Whisper};
use offhook_models::workers::{Abandoned, Job, JobState, Priority, Workers};

use super::{Abandon, Audio, Deliver, Recognised, SpeechToText};
use crate::clock;

/// Below this mean log-probability, together with a high probability of no speech, there were no
/// words: Whisper hallucinates on breath and line noise.
const DOUBTFUL: f32 = -1.0;
/// Above this the model itself says that nobody spoke.
const NO_SPEECH: f32 = 0.8;

/// Silence put before and after an utterance, in samples at 16 kHz: cut close, Whisper repeats it.
const LEAD_IN: usize = 3_200;
const LEAD_OUT: usize = 6_400;

/// On-box Whisper; one loaded model serves every call.
pub struct WhisperRecogniser {
    whisper: Whisper,
    workers: Arc<Workers>,
}

impl WhisperRecogniser {
    /// Recognises on `workers`.
    #[must_use]
    pub fn new(whisper: Whisper, workers: Arc<Workers>) -> Self {
        Self { whisper, workers }
    }
}

impl SpeechToText for WhisperRecogniser {
    fn recognise(
        &self,
        audio: Audio,
        hint: Option<SlotKind>,
        abandon: Abandon,
        deliver: Deliver<Result<Recognised, String>>,
    ) {
        let job = Recognition {
            whisper: self.whisper.clone(),
            work: Work::Waiting(audio, options(hint)),
            asked: clock::now(),
            abandon,
            deliver: Some(deliver),
        };
        // A refused job tells its caller when it is dropped.
        if let Err(error) = self.workers.submit(Priority::FinalStt, Box::new(job)) {
            tracing::warn!(%error, "a recognition was refused");
        }
    }
}

/// What Whisper is told to expect, which helps it to spell.
fn options(hint: Option<SlotKind>) -> Options {
    let prompt = match hint {
        Some(SlotKind::Email) => "My e-mail is jane.doe@example.com.",
        Some(SlotKind::Phone) => "My number is 202-555-0143.",
        _ => return Options::default(),
    };
    Options {
        prompt: Some(prompt.to_owned()),
        ..Options::default()
    }
}

enum Work {
    Waiting(Audio, Options),
    Running(Box<Transcription>),
    Over,
}

struct Recognition {
    whisper: Whisper,
    work: Work,
    asked: Instant,
    abandon: Abandon,
    deliver: Option<Deliver<Result<Recognised, String>>>,
}

impl Recognition {
    fn end(&mut self, result: Result<Recognised, String>) -> JobState {
        self.work = Work::Over;
        if let Some(deliver) = self.deliver.take() {
            deliver(result);
        }
        JobState::Done
    }
}

impl Job for Recognition {
    fn step(&mut self) -> JobState {
        if self.abandon.is_abandoned() {
            self.deliver = None;
            return JobState::Done;
        }
        if let Work::Waiting(audio, options) = &self.work {
            let mut padded = vec![0.0; LEAD_IN];
            padded.extend(audio.for_models());
            padded.resize(padded.len() + LEAD_OUT, 0.0);
            let transcription = self.whisper.begin(&padded, options);
            self.work = Work::Running(Box::new(transcription));
            return JobState::Again;
        }
        let Work::Running(transcription) = &mut self.work else {
            return JobState::Done;
        };
        match transcription.step() {
            Ok(Step::More) => JobState::Again,
            Ok(Step::Done(transcript)) => {
                let nobody = transcript.no_speech > NO_SPEECH && transcript.mean_logprob < DOUBTFUL;
                let text = if nobody {
                    String::new()
                } else {
                    transcript.text
                };
                let took_ms = clock::ms_between(self.asked, clock::now());
                self.end(Ok(Recognised { text, took_ms }))
            }
            Err(error) => self.end(Err(error.to_string())),
        }
    }

    fn abandoned(&mut self, why: Abandoned) {
        self.end(Err(format!("the recognition was abandoned: {why:?}")));
    }
}

impl Drop for Recognition {
    fn drop(&mut self) {
        if let Some(deliver) = self.deliver.take() {
            deliver(Err(
                "the inference threads did not take the recognition".to_owned()
            ));
        }
    }
}
