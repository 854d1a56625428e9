//! What is seen on the wires, held against their rules as it happens.

use offhook_media::Negotiated;
use offhook_media::dtmf::Way;

use super::world::Cx;
use crate::agent;

impl Cx {
    /// Holds a packet of the switch against the rules of the wire.
    pub(super) fn watch_sent(&mut self, call: usize, bytes: &[u8]) {
        let now = self.clock.now();
        let broken = self.watch.wire(call).map(|wire| wire.sent(now, bytes));
        for (rule, what) in broken.into_iter().flatten() {
            self.violate(rule, call, what);
        }
    }

    /// Holds a report of the switch against the rules of the wire.
    pub(super) fn watch_report(&mut self, call: usize, bytes: &[u8]) {
        let broken = self
            .watch
            .wire(call)
            .map(|wire| wire.keys.open_report(bytes));
        if let Some(Err((rule, what))) = broken {
            self.violate(rule, call, what);
        }
    }

    /// Holds a key that the flow is told of against those that were pressed.
    pub(super) fn watch_digit(&mut self, call: usize, digit: char, way: Way) {
        let now = self.clock.now();
        let wire = self.watch.wire(call);
        let broken = wire.and_then(|wire| wire.presses.heard(now, digit, way));
        if let Some((rule, what)) = broken {
            self.violate(rule, call, what);
        }
    }

    /// Takes note of what holds of the switch's media from now on.
    pub(super) fn watch_agreed(&mut self, call: usize, negotiated: &Negotiated) {
        let broken = self
            .watch
            .wire(call)
            .and_then(|wire| wire.agreed(negotiated));
        if let Some((rule, what)) = broken {
            self.violate(rule, call, what);
        }
    }

    /// Holds a recorded turn against what was sent.
    pub(super) fn watch_recorded(&mut self, call: usize, turn: &agent::TurnRecord) {
        if turn.who != agent::Who::Agent {
            return;
        }
        let broken = self.watch.wire(call).map(|wire| wire.recorded(turn));
        for (rule, what) in broken.into_iter().flatten() {
            self.violate(rule, call, what);
        }
    }
}
