//! A call's end: what is written down of it, whoever talked.

use super::journal::{Final, Journal};
use super::services::Services;
use crate::clock::{self, Epoch};
use crate::meters;
use crate::store::{CallState as StoredState, MediaSummary};
use crate::switch::{Call, CallState, EndReason, Outcome};

/// A call that is over.
pub(super) struct Ending {
    /// How it went.
    pub(super) call: Call,
    /// What its media measured.
    pub(super) media: Option<MediaSummary>,
    /// What it measured on the other side of a bridge.
    pub(super) far: Option<MediaSummary>,
    /// What came of it, where that is more than how it ended.
    pub(super) outcome: Option<String>,
    /// Ties its records to the wall clock.
    pub(super) epoch: Epoch,
}

impl Ending {
    /// Writes the end down, and waits until it is kept.
    pub(super) async fn write(self, services: &Services, journal: Journal) {
        let state = self.call.state().clone();
        let reason = self.call.reason();
        let logged = reason.map(EndReason::logged).unwrap_or_default();
        let reason = reason.map(EndReason::describe).unwrap_or_default();
        let ended = self.call.ended().unwrap_or_else(clock::now);
        let end = Final {
            state: stored_state(&state),
            ended_at: self.epoch.timestamp(ended),
            outcome: self.outcome.unwrap_or_else(|| state.as_str().to_owned()),
            reason,
            media: self.media,
            far: self.far,
        };
        meters::call_ended(self.call.direction().as_str(), state.as_str());
        tracing::info!(state = state.as_str(), reason = %logged, "a call ended");
        if let Some(record) = journal.finish(end).await
            && let Some(watcher) = &services.watcher
        {
            watcher.ended(&record);
        }
    }
}

pub(crate) fn stored_state(state: &CallState) -> StoredState {
    match state {
        CallState::Queued => StoredState::Queued,
        CallState::Ringing => StoredState::Ringing,
        CallState::InProgress => StoredState::InProgress,
        CallState::Ended(Outcome::Completed) => StoredState::Completed,
        CallState::Ended(Outcome::Busy) => StoredState::Busy,
        CallState::Ended(Outcome::NoAnswer) => StoredState::NoAnswer,
        CallState::Ended(Outcome::Canceled) => StoredState::Canceled,
        CallState::Ended(Outcome::Failed) => StoredState::Failed,
    }
}
