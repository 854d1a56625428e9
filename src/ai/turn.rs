//! Smart-turn as the judge of turns: one job of one step, before everything else.

use std::sync::Arc;

use offhook_models::turn::TurnDetector;
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
    abandon: Abandon,
    deliver: Option<Deliver<Result<f32, String>>>,
}

impl Job for Judgement {
    fn step(&mut self) -> JobState {
        let Some(deliver) = self.deliver.take() else {
            return JobState::Done;
        };
        if !self.abandon.is_abandoned() {
            let judged = self.detector.probability_16k(&self.audio.for_models());
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
