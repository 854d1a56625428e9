//! How the trunks stand, for whoever asks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use super::services::Services;
use crate::config::WeightedTrunk;
use crate::net::resolver::Found;
use crate::switch::{Hop, Standing, trunk_order};

/// How each trunk stands, by its name.
#[derive(Debug)]
pub struct TrunkStates {
    states: watch::Sender<HashMap<String, TrunkState>>,
    /// What trunks with weights are drawn by.
    draws: Mutex<StdRng>,
}

impl Default for TrunkStates {
    fn default() -> Self {
        Self {
            states: watch::Sender::default(),
            draws: Mutex::new(StdRng::from_rng(&mut rand::rng())),
        }
    }
}

/// How a trunk stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrunkState {
    /// Its registration, in words; none while none was tried.
    pub registration: Option<String>,
    /// Where its requests go, the best first.
    pub hops: Vec<Hop>,
    /// The route that its registrar wants its requests to take (RFC 3608).
    pub service_route: Vec<String>,
}

impl TrunkState {
    /// Where its requests went when that was last found out.
    pub(super) fn found(&self) -> Option<Found> {
        let (transport, _) = *self.hops.first()?;
        let addresses = self.hops.iter().map(|(_, address)| *address).collect();
        Some(Found {
            transport,
            addresses,
        })
    }
}

impl TrunkStates {
    /// Draws from this seed from now on, so that what is drawn is known.
    pub fn seed_draws(&self, seed: u64) {
        *self.draws.lock().unwrap_or_else(PoisonError::into_inner) = StdRng::seed_from_u64(seed);
    }

    /// The order in which trunks are tried for one call, drawn where they have weights.
    pub(super) fn order_of<'t>(&self, trunks: &'t [WeightedTrunk]) -> Vec<&'t str> {
        let mut draws = self.draws.lock().unwrap_or_else(PoisonError::into_inner);
        trunk_order(trunks, |below| draws.random_range(0..below))
    }

    /// Notes how a trunk's registration stands.
    pub fn note_registration(&self, trunk: &str, state: String) {
        self.change(trunk, |of| of.registration = Some(state));
    }

    /// Notes where a trunk's requests go.
    pub fn note_hops(&self, trunk: &str, hops: Vec<Hop>) {
        self.change(trunk, |of| of.hops = hops);
    }

    /// Notes which route a trunk's registrar wants.
    pub fn note_service_route(&self, trunk: &str, route: Vec<String>) {
        self.change(trunk, |of| of.service_route = route);
    }

    /// How a trunk stands.
    #[must_use]
    pub fn of(&self, trunk: &str) -> TrunkState {
        self.states.borrow().get(trunk).cloned().unwrap_or_default()
    }

    /// Hears of each change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<HashMap<String, TrunkState>> {
        self.states.subscribe()
    }

    fn change(&self, trunk: &str, change: impl FnOnce(&mut TrunkState)) {
        self.states
            .send_modify(|states| change(states.entry(trunk.to_owned()).or_default()));
    }
}

impl Services {
    /// Whether none of a trunk's addresses can be reached, as far as is known.
    #[must_use]
    pub fn trunk_is_down(&self, trunk: &str) -> bool {
        let (hops, reach) = (self.trunk_states.of(trunk).hops, self.line.reach());
        let mut known = hops
            .iter()
            .map(|hop| reach.standing(*hop))
            .filter(|standing| *standing != Standing::Unknown)
            .peekable();
        known.peek().is_some() && known.all(|standing| standing == Standing::Down)
    }
}
