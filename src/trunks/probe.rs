//! Asks the addresses of a trunk now and then whether they are there (RFC 3261 §11), so that a dead
//! one is known before a call finds out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use offhook_sip::OptionsPing;
use rand::Rng;
use tokio::sync::watch;

use crate::call::line::Reachable;
use crate::call::{TrunkStates, first_hop};
use crate::config::{TrunkConfig, TrunkKind};
use crate::meters;
use crate::net::sip::{Sip, SipError};
use crate::switch::{Hop, Reached, Standing};

/// Addresses of one trunk that are asked at most.
const ASKED_MAX: usize = 8;
/// How soon those are asked again of whom one fell silent, where the trunk's own pace is slower.
const HURRY: Duration = Duration::from_secs(10);

/// Asks one trunk's addresses.
pub(super) struct Probe {
    pub(super) trunk: TrunkConfig,
    /// Who is asked.
    pub(super) uri: String,
    pub(super) every: Duration,
    /// Where the trunk is.
    pub(super) targets: watch::Receiver<Vec<Hop>>,
    pub(super) reach: Arc<Reachable>,
    /// Which route its requests take.
    pub(super) states: Arc<TrunkStates>,
}

impl Probe {
    /// The probe of a trunk; none where it is not to be asked.
    pub(super) fn of(
        trunk: &TrunkConfig,
        targets: watch::Receiver<Vec<Hop>>,
        reach: Arc<Reachable>,
        states: Arc<TrunkStates>,
    ) -> Option<Self> {
        let port = trunk.port.map(|port| format!(":{port}"));
        (trunk.ping_s > 0).then(|| Self {
            trunk: trunk.clone(),
            uri: format!("sip:{}{}", trunk.host, port.unwrap_or_default()),
            every: Duration::from_secs(trunk.ping_s.into()),
            targets,
            reach,
            states,
        })
    }

    /// Asks for as long as the SIP task and the trunk's keeper live.
    pub(super) async fn run(mut self, sip: Sip) {
        loop {
            let mut targets = self.targets.borrow_and_update().clone();
            targets.truncate(ASKED_MAX);
            let asked = targets.iter().map(|target| self.ask(&sip, *target));
            let mut falls_silent = false;
            for asked in join_all(asked).await {
                match asked {
                    Ok(silent) => falls_silent |= silent,
                    Err(SipError::Gone) => return,
                    // We have no listener of its family, or too much to do.
                    Err(error) => {
                        tracing::debug!(trunk = %self.trunk.name, %error, "OPTIONS cannot be sent");
                    }
                }
            }
            self.measure(&targets);
            let pace = match falls_silent {
                true => self.every.min(HURRY),
                false => self.every,
            };
            let pace = pace.mul_f64(rand::rng().random_range(0.9..=1.1));
            let moved = tokio::time::timeout(pace, self.targets.changed()).await;
            if matches!(moved, Ok(Err(_))) {
                return;
            }
        }
    }

    /// Asks one address, and tells whether it is silent that has answered before.
    async fn ask(&self, sip: &Sip, hop: Hop) -> Result<bool, SipError> {
        let ((transport, target), whom) = (hop, first_hop::whom(&self.trunk));
        let service_route = self.states.of(&self.trunk.name).service_route;
        let ping = OptionsPing {
            uri: self.uri.clone(),
            flow: sip.way_to(target, transport, Some(&whom)).await?,
            route: first_hop::route(&self.trunk, &service_route),
        };
        let outcome = match sip.ping(ping).await? {
            Some(503) => Reached::Overloaded(None),
            Some(_) => Reached::Answered,
            None => Reached::Silent,
        };
        let (before, after) = self.reach.note_ping(hop, outcome);
        let trunk = &self.trunk.name;
        match after {
            _ if before == after => {}
            Standing::Down => {
                tracing::warn!(%trunk, %target, ?outcome, "the trunk's address is down: it answers no OPTIONS");
            }
            Standing::Up => tracing::info!(%trunk, %target, "the trunk's address is up"),
            Standing::Unknown => {}
        }
        Ok(outcome != Reached::Answered && before != Standing::Unknown)
    }

    /// A trunk is up while one of its addresses is; one that we register with, while that holds.
    fn measure(&self, targets: &[Hop]) {
        if self.trunk.kind == TrunkKind::Register {
            return;
        }
        let standings = targets.iter().map(|hop| self.reach.standing(*hop));
        let known: Vec<_> = standings.filter(|s| *s != Standing::Unknown).collect();
        if !known.is_empty() {
            meters::trunk_up(&self.trunk.name, known.contains(&Standing::Up));
        }
    }
}
