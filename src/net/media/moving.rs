//! Legs that change threads, and recordings that change legs, as transfers have it: those who are to
//! hear each other are of one thread.

use std::time::Instant;

use super::engine::Engine;
use super::leg::Leg;
use super::{Command, LegEvent, LegId, MediaThread};

/// A leg on its way from one thread to another.
pub struct Moved(Box<Leg>);

impl Moved {
    pub(super) fn new(leg: Leg) -> Self {
        Self(Box::new(leg))
    }
}

impl Engine {
    /// Gives a leg to another thread. Where that takes none, the leg stays, and out of its room.
    pub(super) fn give_away(&mut self, id: LegId, to: &MediaThread, renamed: LegId, now: Instant) {
        let Some(mut leg) = self.take(id) else {
            return;
        };
        leg.rename(renamed);
        leg.is_off(&self.counters);
        if let Err(Command::Adopt(Moved(mut leg))) = to.hand_over(Command::Adopt(Moved::new(leg))) {
            tracing::error!(
                leg = id,
                "a leg stays: the other media thread is overloaded"
            );
            leg.rename(id);
            leg.tell(LegEvent::Stayed, &self.counters);
            self.put_back(*leg, now);
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
