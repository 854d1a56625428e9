//! How the trunks stand, for whoever asks.

use std::collections::HashMap;

use tokio::sync::watch;

use super::services::Services;
use crate::switch::{Hop, Standing};

/// How each trunk stands, by its name.
#[derive(Debug, Default)]
pub struct TrunkStates {
    states: watch::Sender<HashMap<String, TrunkState>>,
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

impl TrunkStates {
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
