//! The listeners: one for each leg, all on the hearing thread with the one Silero.

use std::collections::HashMap;
use std::sync::Weak;

use offhook_media::Frame;
use offhook_models::denoise::NoiseSuppressor;
use offhook_models::vad::{Silero, SileroBatch, VadEdge, VadSettings, VoiceDetector};

use super::history::History;
use super::{Edge, Heard};
use crate::mailbox;
use crate::net::media::LegId;

/// Windows judged in one run: more would hold up the first of them for nothing.
const BATCH_MAX: usize = 16;

struct Listener {
    /// What stands between the frames and everything else, where the leg's noise is unwanted.
    suppressor: Option<Box<NoiseSuppressor>>,
    detector: VoiceDetector,
    history: History,
    edges: mailbox::Sender<Edge>,
    /// Edges that its call was told of.
    told: u32,
    ears: Weak<()>,
}

/// Every leg that is listened to.
pub(super) struct Listeners {
    silero: Silero,
    /// Boxed: a table is half empty after it has grown.
    legs: HashMap<LegId, Box<Listener>>,
    /// Whose next window waits for Silero.
    due: Vec<LegId>,
    batch: SileroBatch,
    /// Windows judged since they were last asked for.
    windows: u64,
}

impl Listeners {
    pub(super) fn new(silero: Silero) -> Self {
        Self {
            silero,
            legs: HashMap::new(),
            due: Vec::with_capacity(BATCH_MAX),
            batch: SileroBatch::default(),
            windows: 0,
        }
    }

    /// Listens to a leg for as long as its ears are there.
    pub(super) fn open(
        &mut self,
        leg: LegId,
        edges: mailbox::Sender<Edge>,
        ears: Weak<()>,
        suppress_noise: bool,
    ) {
        let detector = VoiceDetector::new(VadSettings::default());
        let listener = Listener {
            suppressor: suppress_noise.then(Box::default),
            detector,
            history: History::default(),
            edges,
            told: 0,
            ears,
        };
        self.legs.insert(leg, Box::new(listener));
    }

    /// Forgets the legs that nobody listens to any more.
    pub(super) fn sweep(&mut self) {
        self.legs
            .retain(|_, listener| listener.ears.strong_count() > 0);
    }

    pub(super) fn history(&self, leg: LegId) -> Option<&History> {
        self.legs.get(&leg).map(|listener| &listener.history)
    }

    /// Ends the caller's turn as its call knows it, after so many edges: if there were more since,
    /// the next turn has begun, or goes on.
    pub(super) fn end_turn(&mut self, leg: LegId, edges: u32) {
        if let Some(listener) = self.legs.get_mut(&leg)
            && listener.told == edges
            && !listener.detector.is_speaking()
        {
            listener.history.end_turn();
        }
    }

    /// How many legs are listened to.
    pub(super) fn count(&self) -> usize {
        self.legs.len()
    }

    /// Takes a frame; its call is told of the edge that it brought by [`finish_round`] at the
    /// latest.
    ///
    /// [`finish_round`]: Self::finish_round
    pub(super) fn hear(&mut self, heard: &Heard) {
        match self.suppressor(heard.leg) {
            Some(suppressor) => suppressor.push(&heard.frame, heard.voiced),
            None => return self.take(heard.leg, &heard.frame, heard.voiced),
        }
        while let Some((frame, voiced)) = self.suppressor(heard.leg).and_then(|s| s.pop()) {
            self.take(heard.leg, &frame, voiced);
        }
    }

    fn suppressor(&mut self, leg: LegId) -> Option<&mut NoiseSuppressor> {
        self.legs.get_mut(&leg)?.suppressor.as_deref_mut()
    }

    fn take(&mut self, leg: LegId, frame: &Frame, voiced: bool) {
        while let Some(listener) = self.legs.get_mut(&leg) {
            // What a window means depends on what came of the one before it.
            if listener.detector.is_due() {
                self.judge();
                continue;
            }
            let speaking = listener.detector.is_speaking();
            listener.history.push(frame, speaking);
            listener.detector.push(frame, voiced);
            if listener.detector.is_due() {
                self.due.push(leg);
            }
            break;
        }
        if self.due.len() >= BATCH_MAX {
            self.judge();
        }
    }

    /// Judges what is due; gives Silero's windows since this was last called.
    pub(super) fn finish_round(&mut self) -> u64 {
        while !self.due.is_empty() {
            self.judge();
        }
        std::mem::take(&mut self.windows)
    }

    /// Has Silero judge one window of each leg that waits, all in one run.
    fn judge(&mut self) {
        self.batch.clear();
        let legs = &mut self.legs;
        self.due.retain(|leg| legs.contains_key(leg));
        for leg in &self.due {
            if let Some(listener) = legs.get_mut(leg) {
                listener.detector.add_to(&mut self.batch);
            }
        }
        self.windows += self.due.len() as u64;
        self.silero.run(&mut self.batch);
        for (number, leg) in self.due.iter().enumerate() {
            if let Some(listener) = legs.get_mut(leg) {
                listener.judged(&self.batch, number);
            }
        }
        self.due
            .retain(|leg| legs.get(leg).is_some_and(|l| l.detector.is_due()));
    }
}

impl Listener {
    /// Takes what came of its window and tells its call of the edge that it brought.
    fn judged(&mut self, batch: &SileroBatch, number: usize) {
        let Some(edge) = self.detector.judge(batch, number) else {
            return;
        };
        let edge = match edge {
            VadEdge::SpeechStart { at } => Edge::SpeechStart { at },
            VadEdge::SpeechStop { at } => Edge::SpeechStop { at },
        };
        match self.edges.try_send(edge) {
            Ok(()) => self.told = self.told.wrapping_add(1),
            Err(_) => tracing::warn!("a call does not read its speech edges"),
        }
    }
}

#[cfg(test)]
mod tests;
