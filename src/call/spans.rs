//! The spans that a call's log lines stand in: `call` around all of it, `leg` around its media,
//! `turn` around each exchange. They hold no number and no word of what was said.
//!
//! They are of the level ERROR, so that a filter which lets a line through lets its call through.

use tracing::field::{Empty, display};
use tracing::{Span, error_span};
use uuid::Uuid;

use crate::net::media::LegId;

/// Makes the span of a call that has no name yet.
pub(super) fn call(direction: &'static str) -> Span {
    error_span!("call", id = Empty, direction, agent = Empty, room = Empty)
}

/// Gives the call's span, which is the current one, the call's id and its agent.
pub(super) fn name(id: Uuid, agent: &str) {
    let span = Span::current();
    span.record("id", display(id)).record("agent", agent);
}

/// Gives the call's span, which is the current one, the call's id and its room.
pub(super) fn name_room(id: Uuid, room: &str) {
    let span = Span::current();
    span.record("id", display(id)).record("room", room);
}

/// Gives the span of a call that is bridged, which is the current one, the call's id.
pub(super) fn name_bridge(id: Uuid) {
    Span::current().record("id", display(id));
}

/// Makes the span of a leg.
pub(super) fn leg(leg: LegId) -> Span {
    error_span!("leg", id = leg)
}

/// The spans of a conversation's turns, one after the other.
pub(super) struct Turns {
    around: Span,
    number: u32,
    current: Span,
}

impl Turns {
    /// Begins before the first turn, within the current span.
    pub(super) fn begin() -> Self {
        let around = Span::current();
        let current = error_span!(parent: &around, "turn", number = 1);
        Self {
            around,
            number: 1,
            current,
        }
    }

    /// Goes on to the next turn, since one was written down.
    pub(super) fn next(&mut self) {
        self.number += 1;
        self.current = error_span!(parent: &self.around, "turn", number = self.number);
    }

    /// Enters the turn's span until what is returned is dropped.
    pub(super) fn enter(&self) -> tracing::span::EnteredSpan {
        self.current.clone().entered()
    }
}
