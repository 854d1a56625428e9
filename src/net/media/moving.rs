//! Legs that change threads, and recordings that change legs, as transfers have it: those who are to
//! hear each other are of one thread.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::engine::Engine;
use super::leg::Leg;
use super::{Command, LegEvent, LegId, MediaThread};

/// A leg on its way from one thread to another.
pub struct Moved(Box<Leg>);

impl Engine {
    /// Gives a leg to another thread. Where that takes none, the leg is gone, which its task hears
    /// of by the end of its events.
    pub(super) fn give_away(&mut self, leg: LegId, to: &MediaThread, renamed: LegId) {
        let Some(mut leg) = self.take(leg) else {
            return;
        };
        leg.rename(renamed);
        self.counters.legs.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = to.send(Command::Adopt(Moved(Box::new(leg)))) {
            tracing::error!(%error, "a leg was lost on its way to another thread");
        }
    }

    /// Takes a leg over; what has come to its sockets meanwhile is read as what comes now.
    pub(super) fn adopt(&mut self, Moved(leg): Moved, now: Instant) {
        leg.tell(LegEvent::Arrived, &self.counters);
        self.put(*leg, now);
    }

    /// Records a leg where another one was recorded.
    pub(super) fn pass_recorder(&mut self, from: LegId, to: LegId) {
        let mut recorder = None;
        self.with(from, |leg| {
            recorder = leg.recorder.take();
            leg.session.set_recording(false);
        });
        let Some(recorder) = recorder else {
            return;
        };
        let slot = self.with(to, |leg| {
            leg.session.set_recording(true);
            leg.recorder = Some(recorder.passed_on());
        });
        // What passes as it came is not heard by who records.
        if let Some(slot) = slot {
            self.review_relay_of(slot);
        }
    }
}
