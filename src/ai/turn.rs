//! Smart-turn as the judge of turns, before everything else: a step for the spectrogram, a step for
//! the model.

use std::sync::Arc;

use offhook_models::turn::{Spectrogram, TurnDetector};
use offhook_models::workers::{Abandoned, Job, JobState, Priority, Workers};

use super::{Abandon, Audio, Deliver, TurnModel};

/// On-box smart-turn; one loaded model serves every call.
pub struct SmartTurn {
    detector: TurnDetector,
    workers: Arc<Workers>,
}

impl SmartTurn {
    /// Judges on `workers`.
    #[must_use]
    pub fn new(detector: TurnDetector, workers: Arc<Workers>) -> Self {
        Self { detector, workers }
    }
}

impl TurnModel for SmartTurn {
    fn judge(&self, audio: Audio, abandon: Abandon, deliver: Deliver<Result<f32, String>>) {
        let detector = self.detector.clone();
        let job = Judgement {
            detector,
            audio,
            spectrogram: None,
            abandon,
            deliver: Some(deliver),
        };
        if let Err(error) = self.workers.submit(Priority::Turn, Box::new(job)) {
            tracing::warn!(%error, "a turn was not judged");
        }
    }
}

struct Judgement {
    detector: TurnDetector,
    audio: Audio,
    spectrogram: Option<Spectrogram>,
    abandon: Abandon,
    deliver: Option<Deliver<Result<f32, String>>>,
}

impl Job for Judgement {
    fn step(&mut self) -> JobState {
        if self.abandon.is_abandoned() {
            self.deliver = None;
            return JobState::Done;
        }
        let Some(spectrogram) = &self.spectrogram else {
            self.spectrogram = Some(self.detector.spectrogram_16k(&self.audio.for_models()));
            return JobState::Again;
        };
        let judged = self.detector.judge(spectrogram);
        if let Some(deliver) = self.deliver.take() {
            deliver(judged.map_err(|error| error.to_string()));
        }
        JobState::Done
    }

    fn abandoned(&mut self, why: Abandoned) {
        if let Some(deliver) = self.deliver.take() {
            deliver(Err(format!("the judgement was abandoned: {why:?}")));
        }
    }
}

impl Drop for Judgement {
    fn drop(&mut self) {
        if let Some(deliver) = self.deliver.take()
            && !self.abandon.is_abandoned()
        {
            deliver(Err(
                "the inference threads did not take the judgement".to_owned()
            ));
        }
    }
}
