//! Whether there is room for a call: places, models, ports and trunks.

use std::sync::Arc;

use super::busy::Busy;
use super::line::next_leg;
use super::places::Permit;
use super::services::{Place, Services};
use super::trunk_load::TrunkPlace;
use crate::ai::OnBox;
use crate::clock;
use crate::config::AgentConfig;
use crate::store::Health;
use crate::switch::Way;

impl Services {
    /// Takes note of a call that comes in, whatever becomes of it.
    ///
    /// # Errors
    /// When as many as may have come within a second.
    pub(super) fn count_in(&self) -> Result<(), Busy> {
        self.places.count_in(clock::now())
    }

    /// Takes a place for a call of this agent's, with the models that it needs; `legs` are the places
    /// that ring at once where we call, or 1.
    ///
    /// # Errors
    /// When the switch is full, not ready, behind, cannot keep records, or is stopping.
    pub fn take_place(
        &self,
        agent: &AgentConfig,
        legs: usize,
        over: Option<(&str, Way)>,
    ) -> Result<(Place, Arc<OnBox>), Busy> {
        let on_box = self.ready()?;
        let permit = self.places.take(legs)?.over(self.take_trunk(over)?);
        let leg = next_leg();
        let listening = on_box.hearing.listen(leg, agent.noise_suppression)?;
        let place = Place {
            permit,
            leg,
            listening,
        };
        Ok((place, Arc::clone(on_box)))
    }

    /// Takes a place for a call of so many legs that needs no models.
    ///
    /// # Errors
    /// When the switch or the trunk is full, records cannot be kept, or the switch is stopping.
    pub(super) fn take_plain_place(
        &self,
        legs: usize,
        over: Option<(&str, Way)>,
    ) -> Result<Permit, Busy> {
        self.keeps_records()?;
        Ok(self.places.take(legs)?.over(self.take_trunk(over)?))
    }

    fn take_trunk(&self, over: Option<(&str, Way)>) -> Result<Option<TrunkPlace>, Busy> {
        over.map(|(trunk, way)| self.trunk_loads.take(trunk, way))
            .transpose()
    }

    fn keeps_records(&self) -> Result<(), Busy> {
        if self.places.is_closed() {
            return Err(Busy::Stopping);
        }
        match self.store.health() {
            Health::Spilling { reason, .. } => Err(Busy::Store(reason)),
            _ => Ok(()),
        }
    }

    /// Returns the models with which a call would be taken now, if there is a place.
    fn ready(&self) -> Result<&Arc<OnBox>, Busy> {
        self.keeps_records()?;
        self.on_box.get().ok_or(Busy::NoModels)
    }

    /// Whether a call would be taken now; without agents nothing waits for models.
    fn takes_calls(&self) -> bool {
        let ready = match self.agents.is_empty() {
            true => self.keeps_records().is_ok(),
            false => self.ready().is_ok(),
        };
        ready && self.places.has_room()
    }

    /// Tells those who watch the switch by OPTIONS whether a call would be taken, until the SIP task
    /// ends.
    pub async fn tell_watchers(self: Arc<Self>) {
        let mut health = self.store.watch_health();
        let sip = self.line.sip();
        let mut told = None;
        loop {
            let takes = self.takes_calls();
            if told.replace(takes) != Some(takes) && sip.set_takes_calls(takes).await.is_err() {
                return;
            }
            tokio::select! {
                () = self.places.changed() => {}
                changed = health.changed() => if changed.is_err() { return },
            }
        }
    }
}
