//! Asks the addresses of a trunk now and then whether they are there (RFC 3261 §11), so that a dead
//! one is known before a call finds out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use offhook_sip::{OptionsPing, Transport};
use rand::Rng;
use tokio::sync::watch;

use crate::call::line::Reachable;
use crate::config::{TrunkConfig, TrunkKind};
use crate::meters;
use crate::net::sip::{Sip, SipError};
use crate::switch::{Reached, Standing};

/// Addresses of one trunk that are asked at most.
const ASKED_MAX: usize = 8;
/// How soon those are asked again of whom one fell silent, where the trunk's own pace is slower.
const HURRY: Duration = Duration::from_secs(10);

/// Asks one trunk's addresses.
pub(super) struct Probe {
    pub(super) trunk: String,
    pub(super) kind: TrunkKind,
    /// Who is asked.
    pub(super) uri: String,
    pub(super) transport: Transport,
    /// The name that a certificate must have, and whose word it is.
    pub(super) host: String,
    pub(super) ca: Option<PathBuf>,
    pub(super) every: Duration,
    /// Where the trunk is.
    pub(super) targets: watch::Receiver<Vec<SocketAddr>>,
    pub(super) reach: Arc<Reachable>,
}

impl Probe {
    /// The probe of a trunk whose requests go to a host; none where it is not to be asked.
    pub(super) fn of(
        trunk: &TrunkConfig,
        (host, transport): (&str, Transport),
        targets: watch::Receiver<Vec<SocketAddr>>,
        reach: Arc<Reachable>,
    ) -> Option<Self> {
        let port = trunk.port.map(|port| format!(":{port}"));
        (trunk.ping_s > 0).then(|| Self {
            trunk: trunk.name.clone(),
            kind: trunk.kind,
            uri: format!("sip:{}{}", trunk.host, port.unwrap_or_default()),
            transport,
            host: host.to_owned(),
            ca: trunk.ca.clone(),
            every: Duration::from_secs(trunk.ping_s.into()),
            targets,
            reach,
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
                        tracing::debug!(trunk = %self.trunk, %error, "OPTIONS cannot be sent");
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
    async fn ask(&self, sip: &Sip, target: SocketAddr) -> Result<bool, SipError> {
        if self.transport == Transport::Tls {
            sip.expect(&[target], &self.host, self.ca.as_deref())
                .await?;
        }
        let ping = OptionsPing {
            uri: self.uri.clone(),
            flow: sip.flow_to(target, self.transport)?,
        };
        let outcome = match sip.ping(ping).await? {
            Some(503) => Reached::Overloaded(None),
            Some(_) => Reached::Answered,
            None => Reached::Silent,
        };
        let (before, after) = self.reach.note_ping((self.transport, target), outcome);
        let trunk = &self.trunk;
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
    fn measure(&self, targets: &[SocketAddr]) {
        if self.kind == TrunkKind::Register {
            return;
        }
        let standings = targets.iter().map(|target| {
            let hop = (self.transport, *target);
            self.reach.standing(hop)
        });
        let known: Vec<_> = standings.filter(|s| *s != Standing::Unknown).collect();
        if !known.is_empty() {
            meters::trunk_up(&self.trunk, known.contains(&Standing::Up));
        }
    }
}
