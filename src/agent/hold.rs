//! Hold: nobody listens to the agent, and what comes from the other side is music at best.

use std::time::Instant;

use super::core::{Agent, Phase};

/// The other side holds the call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    /// Whether something sounds at the other side.
    pub(super) voicing: bool,
}

impl Agent {
    /// Notes that the other side holds the call (RFC 3264 §8.4). What the caller said so far is a
    /// turn of theirs; what sounds from now on is not listened to. Speech waits, silence asks no
    /// question, and only the longest call still ends it.
    pub fn handle_held(&mut self, now: Instant) {
        let over = matches!(self.phase, Phase::Closing(_) | Phase::Finished);
        if over || self.hold.is_some() {
            return;
        }
        let speaking = self.ear.as_mut().filter(|ear| ear.voicing);
        let voicing = speaking.map(|ear| ear.stop(now)).is_some();
        self.hold = Some(Hold { voicing });
        if voicing {
            self.look(now);
        }
        self.settle(now);
    }

    /// Notes that the call is taken off hold: the agent goes on where it was.
    pub fn handle_resumed(&mut self, now: Instant) {
        let Some(hold) = self.hold.take().filter(|_| self.phase == Phase::Live) else {
            return;
        };
        self.idle_since = now;
        // An answer to what was said before the hold is not taken back, nor was it slow.
        self.close_retraction();
        self.exchange = None;
        if let Some(air) = &mut self.air {
            air.touched = now;
        }
        if hold.voicing {
            self.handle_speech_start(now, now);
        }
        self.settle(now);
    }
}
