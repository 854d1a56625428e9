//! The listeners: one for each leg, all on the hearing thread with the one Silero.

use std::collections::HashMap;
use std::sync::Weak;

use offhook_media::Frame;
use offhook_models::vad::{Silero, VadEdge, VadSettings, VoiceDetector};
use tokio::sync::mpsc;

use super::Edge;
use super::history::History;
use crate::net::media::LegId;

struct Listener {
    detector: VoiceDetector,
    history: History,
    edges: mpsc::Sender<Edge>,
    ears: Weak<()>,
}

/// Every leg that is listened to.
pub(super) struct Listeners {
    silero: Silero,
    legs: HashMap<LegId, Listener>,
}

impl Listeners {
    pub(super) fn new(silero: Silero) -> Self {
        Self {
            silero,
            legs: HashMap::new(),
        }
    }

    /// Listens to a leg for as long as its ears are there.
    pub(super) fn open(&mut self, leg: LegId, edges: mpsc::Sender<Edge>, ears: Weak<()>) {
        let detector = VoiceDetector::new(VadSettings::default());
        self.legs.insert(
            leg,
            Listener {
                detector,
                history: History::default(),
                edges,
                ears,
            },
        );
    }

    /// Forgets the legs that nobody listens to any more.
    pub(super) fn sweep(&mut self) {
        self.legs
            .retain(|_, listener| listener.ears.strong_count() > 0);
    }

    pub(super) fn history(&self, leg: LegId) -> Option<&History> {
        self.legs.get(&leg).map(|listener| &listener.history)
    }

    /// Takes a frame and tells its call of the edge that it brought; gives Silero's runs.
    pub(super) fn hear(&mut self, leg: LegId, passed: bool, frame: &Frame) -> u64 {
        let Some(listener) = self.legs.get_mut(&leg) else {
            return 0;
        };
        listener
            .history
            .push(frame, listener.detector.is_speaking());
        let (edge, runs) = match listener.detector.hear(&self.silero, frame, passed) {
            Ok(heard) => heard,
            Err(error) => {
                tracing::error!(%error, "voice detection failed on a frame");
                return 0;
            }
        };
        let edge = edge.map(|edge| match edge {
            VadEdge::SpeechStart { at } => Edge::SpeechStart { at },
            VadEdge::SpeechStop { at } => Edge::SpeechStop { at },
        });
        if let Some(edge) = edge
            && listener.edges.try_send(edge).is_err()
        {
            tracing::warn!("a call does not read its speech edges");
        }
        runs
    }
}
