//! What a leg is told and asked once its call is answered.

use super::Leg;
use crate::net::media::{Command, MediaError};

impl Leg {
    /// Takes note of the answer to a call of which something was heard before it: who was silent
    /// until then had no reason to speak, and what was told of that is forgotten.
    ///
    /// # Errors
    /// When the media thread does not take it.
    pub(in crate::call) fn answered(&mut self) -> Result<(), MediaError> {
        while self.events.try_recv().is_ok() {}
        self.media.send(Command::Answered(self.id))
    }

    /// Whether keys that the other side presses come with its sound (RFC 4733).
    #[must_use]
    pub fn tells_keys_with_sound(&self) -> bool {
        let negotiated = self.session.negotiated();
        negotiated.is_some_and(|negotiated| negotiated.dtmf_receive.is_some())
    }
}
