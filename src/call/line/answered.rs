//! What a leg is told and asked once its call is answered.

use offhook_media::AgentSound;

use super::{Attached, Leg, Line, inband_dtmf};
use crate::config::Keys;
use crate::net::media::{Command, LegId, MediaError};

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

    /// Has an agent hear the leg, as if it had been opened for one.
    ///
    /// # Errors
    /// When the media thread does not take it.
    pub(in crate::call) fn give_to_agent(
        &self,
        line: &Line,
        attached: Attached,
    ) -> Result<(), MediaError> {
        let Some(sink) = attached.sink else {
            return Ok(());
        };
        let agent = Box::new(AgentSound {
            inband_dtmf: inband_dtmf(self.keys),
            echo_gate: line.terms.echo_gate,
            gain_control: attached.gain_control,
            ambience: attached.ambience,
        });
        self.media.send(Command::GiveToAgent(self.id, sink, agent))
    }

    /// Lets the leg live beside another one, so that the two may be of one room. True where it is on
    /// its way there until [`LegEvent::Arrived`](crate::net::media::LegEvent::Arrived) tells that
    /// it has come, or [`LegEvent::Stayed`](crate::net::media::LegEvent::Stayed) that it is where it
    /// was: nothing is to be asked of it before.
    ///
    /// # Errors
    /// When the media thread does not take it.
    pub(in crate::call) fn settle_beside(
        &mut self,
        line: &Line,
        other: LegId,
    ) -> Result<bool, MediaError> {
        if line.are_together(self.id, other) {
            return Ok(false);
        }
        let renamed = line.next_leg_beside(other);
        let to = line.thread_of(renamed).clone();
        self.media.send(Command::Move {
            leg: self.id,
            to: to.clone(),
            renamed,
        })?;
        let media = std::mem::replace(&mut self.media, to);
        self.moved_from = Some((std::mem::replace(&mut self.id, renamed), media));
        Ok(true)
    }

    /// Whether the other side is told of keys by INFO, and not in the sound.
    #[must_use]
    pub fn takes_keys_by_info(&self) -> bool {
        self.keys == Keys::Info
    }

    /// Whether keys that the other side presses come with its sound (RFC 4733).
    #[must_use]
    pub fn tells_keys_with_sound(&self) -> bool {
        let negotiated = self.session.negotiated();
        negotiated.is_some_and(|negotiated| negotiated.dtmf_receive.is_some())
    }
}
