//! The trunks' whereabouts: looked up at boot and kept up to date, so that a carrier's calls are
//! known by the addresses that it has now, and its registration goes where the registrar is now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use offhook_sip::{Flow, Network, Register, Transport, TrunkPeer};
use rand::Rng;
use tokio::sync::watch;

use crate::call::line::Line;
use crate::call::{self, TrunkStates};
use crate::clock;
use crate::config::{TrunkConfig, TrunkKind};
use crate::meters;
use crate::net::resolver::Resolver;
use crate::net::sip::{PlacedRegistration, RegistrationState, Sip, SipError};
use crate::switch::Whereabouts;
use probe::Probe;

mod probe;

/// How often a host that was found is looked up again; each look-up asks the name servers anew.
const REFRESH: Duration = Duration::from_secs(60);
/// How soon a look-up that failed is repeated, doubled each time up to [`REFRESH`].
const RETRY: Duration = Duration::from_secs(1);
/// How long the first look-up may hold up the boot.
const FIRST_LOOK_UP: Duration = Duration::from_secs(2);

/// Keeps one trunk: where its calls come from and, where it asks for that, its registration.
pub struct Keeper {
    trunk: TrunkConfig,
    /// Where requests go: the outbound proxy, or the host.
    hop: Place,
    /// Where calls come from besides.
    others: Vec<Place>,
    /// Makes a resolver for each look-up, so that it knows the name servers of the moment.
    resolver: Box<dyn Fn() -> Resolver + Send + Sync>,
    /// What the SIP task was told last.
    told: Vec<Network>,
    /// Rounds in a row in which something was not found.
    failures: u32,
    /// Times in a row that the registration could not even be asked for.
    refusals: u32,
    registration: Option<Registration>,
}

/// A host that is looked up.
struct Place {
    host: String,
    port: Option<u16>,
    transport: Transport,
    known: Whereabouts,
}

struct Registration {
    placed: PlacedRegistration,
    target: SocketAddr,
}

/// Makes a keeper for each trunk that has a host, and looks all of them up once, side
/// by side and in bounded time, so that the first call after a boot finds its trunk known.
pub async fn find(trunks: &[TrunkConfig]) -> Vec<Keeper> {
    let wanted = trunks
        .iter()
        .filter(|trunk| trunk.kind != TrunkKind::Inbound);
    let mut keepers: Vec<Keeper> = wanted
        .map(|trunk| Keeper::new(trunk.clone(), Box::new(Resolver::from_system)))
        .collect();
    let rounds = keepers.iter_mut().map(async |keeper| {
        // What is cut short here is repeated at once by the keeper itself.
        let _ = tokio::time::timeout(FIRST_LOOK_UP, keeper.look_up()).await;
    });
    join_all(rounds).await;
    keepers
}

/// The trunks as the SIP task knows them at its start.
pub fn peers(trunks: &[TrunkConfig], keepers: &mut [Keeper]) -> Vec<TrunkPeer> {
    let peer = |trunk: &TrunkConfig| {
        let keeper = keepers.iter_mut().find(|k| k.trunk.name == trunk.name);
        TrunkPeer {
            name: trunk.name.clone(),
            networks: keeper.map_or_else(
                || listed(trunk),
                |keeper| {
                    keeper.told = keeper.networks();
                    keeper.told.clone()
                },
            ),
        }
    };
    trunks.iter().map(peer).collect()
}

impl Keeper {
    fn new(trunk: TrunkConfig, resolver: Box<dyn Fn() -> Resolver + Send + Sync>) -> Self {
        let host = (trunk.host.clone(), trunk.port);
        let proxy = trunk.outbound_proxy.as_deref().map(call::host_and_port);
        let transport = trunk.transport.map_or(Transport::Udp, Transport::from);
        // A trunk whose transport is left open may call over either, from other machines.
        let other = trunk.transport.is_none().then_some(Transport::Tcp);
        let place = |(host, port): &(String, Option<u16>), transport| Place {
            host: host.clone(),
            port: *port,
            transport,
            known: Whereabouts::default(),
        };
        let hosts: Vec<_> = proxy.into_iter().chain([host]).collect();
        let mut places = hosts.iter().map(|host| place(host, transport));
        let hop = places.next();
        let mut others: Vec<Place> = places.collect();
        if let Some(other) = other {
            others.extend(hosts.iter().map(|host| place(host, other)));
        }
        if !trunk.networks_from_host {
            others.clear();
        }
        Self {
            hop: hop.unwrap_or_else(|| place(&(trunk.host.clone(), trunk.port), transport)),
            others,
            trunk,
            resolver,
            told: Vec::new(),
            failures: 0,
            refusals: 0,
            registration: None,
        }
    }

    /// Keeps the trunk for as long as the SIP task lives; `note` hears how its registration stands.
    pub async fn run(mut self, line: Arc<Line>, states: Arc<TrunkStates>) {
        let sip = line.sip().clone();
        let note = |trunk: &str, state| states.note_registration(trunk, state);
        let (targets, known) = watch::channel(Vec::new());
        let hop = (self.hop.host.as_str(), self.hop.transport);
        if let Some(probe) = Probe::of(&self.trunk, hop, known, Arc::clone(line.reach())) {
            tokio::spawn(probe.run(sip.clone()));
        }
        loop {
            self.look_up().await;
            self.show(&targets, &states);
            if !self.tell(&sip).await || !self.steer(&sip, &note).await {
                return;
            }
            let pause = pause(self.failures.max(self.refusals), rand::rng().random());
            let news = async {
                match &mut self.registration {
                    Some(registration) => registration.placed.state.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            // A fresh look-up follows each answer of the registrar, so that the next REGISTER
            // goes where the registrar is by then.
            let heard = tokio::time::timeout(pause, news).await;
            match heard {
                Ok(true) => self.hear(&sip, &note).await,
                Ok(false) => return,
                Err(_) => {}
            }
        }
    }

    /// Looks every place up, side by side; what is not found keeps the addresses that it had.
    async fn look_up(&mut self) {
        let resolver = (self.resolver)();
        let places = std::iter::once(&mut self.hop).chain(&mut self.others);
        let rounds = places.map(async |place| {
            let found = resolver.resolve(&place.host, place.port, place.transport);
            match found.await {
                Ok(answer) => {
                    place.known.found(clock::now(), answer);
                    Ok(())
                }
                Err(error) => Err((error, !place.known.is_empty())),
            }
        });
        let failed = join_all(rounds).await.into_iter().find_map(Result::err);
        let Some((error, known)) = failed else {
            self.failures = 0;
            return;
        };
        self.failures = self.failures.saturating_add(1);
        // Once it is known that a name server is down, a line for each doubling is enough.
        if self.failures.is_power_of_two() {
            let (trunk, failures) = (&self.trunk.name, self.failures);
            if known {
                tracing::warn!(%trunk, %error, failures, "the trunk keeps the addresses it had");
            } else {
                tracing::warn!(%trunk, %error, failures, "the trunk has no address yet");
            }
        }
    }

    /// Shows where the trunk's requests go now.
    fn show(&self, targets: &watch::Sender<Vec<SocketAddr>>, states: &TrunkStates) {
        let latest = self.hop.known.latest().to_vec();
        let moved = targets.send_if_modified(|targets| {
            let moved = *targets != latest;
            targets.clone_from(&latest);
            moved
        });
        if moved {
            let hops = latest.iter().map(|target| (self.hop.transport, *target));
            states.note_hops(&self.trunk.name, hops.collect());
        }
    }

    /// Tells the SIP task where calls of this trunk come from, where that has changed.
    async fn tell(&mut self, sip: &Sip) -> bool {
        let networks = self.networks();
        if networks == self.told {
            return true;
        }
        let (trunk, addresses) = (&self.trunk.name, networks.len());
        tracing::info!(%trunk, addresses, "the trunk's addresses have changed");
        self.told.clone_from(&networks);
        sip.set_trunk_networks(self.trunk.name.clone(), networks)
            .await
            .is_ok()
    }

    /// The networks of the configuration and those that were found, in an order of their own.
    fn networks(&self) -> Vec<Network> {
        let mut networks = listed(&self.trunk);
        if self.trunk.networks_from_host {
            let places = std::iter::once(&self.hop).chain(&self.others);
            let mut found: Vec<_> = places.flat_map(|place| place.known.addresses()).collect();
            found.sort_unstable();
            found.dedup();
            networks.extend(found.into_iter().map(Network::from));
        }
        networks
    }

    /// Registers once there is an address, and moves the registration when the registrar has
    /// left; false when the SIP task has ended.
    async fn steer(&mut self, sip: &Sip, note: &impl Fn(&str, String)) -> bool {
        if self.trunk.kind != TrunkKind::Register {
            return true;
        }
        let so_far = self.registration.as_ref().map(|r| r.target);
        let Some(target) = self.hop.known.target(so_far) else {
            return true;
        };
        if self.registration.is_some() {
            return self.move_to(sip, target).await;
        }
        let flow = match self.flow_to(sip, target).await {
            Ok(flow) => flow,
            Err(SipError::Gone) => return false,
            Err(error) => {
                self.put_off(&error, note);
                return true;
            }
        };
        match sip.register(register(&self.trunk, flow)).await {
            Ok(placed) => {
                self.registration = Some(Registration { placed, target });
                self.refusals = 0;
            }
            Err(SipError::Gone) => return false,
            Err(error) => self.put_off(&error, note),
        }
        true
    }

    /// A trunk that cannot register now may still call us, and is tried again.
    fn put_off(&mut self, error: &dyn std::error::Error, note: &impl Fn(&str, String)) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals.is_power_of_two() {
            tracing::error!(trunk = %self.trunk.name, %error, "the trunk cannot be registered");
        }
        note(&self.trunk.name, format!("cannot register: {error}"));
    }

    /// The flow to the registrar at an address, which must be it where TLS can tell.
    async fn flow_to(&self, sip: &Sip, target: SocketAddr) -> Result<Flow, SipError> {
        if self.hop.transport == Transport::Tls {
            let ca = self.trunk.ca.as_deref();
            sip.expect(&[target], &self.hop.host, ca).await?;
        }
        sip.flow_to(target, self.hop.transport)
    }

    async fn move_to(&mut self, sip: &Sip, target: SocketAddr) -> bool {
        if self
            .registration
            .as_ref()
            .is_none_or(|r| r.target == target)
        {
            return true;
        }
        let Ok(flow) = self.flow_to(sip, target).await else {
            return true;
        };
        let Some(registration) = &mut self.registration else {
            return true;
        };
        tracing::info!(trunk = %self.trunk.name, %target, "the registration goes elsewhere");
        registration.target = target;
        sip.reroute(registration.placed.registration, flow)
            .await
            .is_ok()
    }

    /// Notes how the registration stands; after an attempt that reached nobody the next one goes
    /// to the next address.
    async fn hear(&mut self, sip: &Sip, note: &impl Fn(&str, String)) {
        let Some(registration) = &mut self.registration else {
            return;
        };
        let target = registration.target;
        let state = registration.placed.state.borrow_and_update().clone();
        let trunk = &self.trunk.name;
        match state {
            RegistrationState::Asking => {}
            RegistrationState::Registered { expires_s } => {
                tracing::info!(%trunk, expires_s, "registered");
                meters::trunk_up(trunk, true);
                note(trunk, format!("registered for {expires_s} s"));
            }
            RegistrationState::Failed {
                status,
                reason,
                retry_in,
            } => {
                meters::trunk_up(trunk, false);
                let retry_s = retry_in.as_secs();
                tracing::warn!(%trunk, status, %reason, retry_s, "the registration failed");
                let text = format!("failed with {status} {reason}; tried again in {retry_s} s");
                note(trunk, text);
                let reached = !matches!(status, 408 | 500 | 502 | 503 | 504);
                if let Some(next) = self.hop.known.target_after(target).filter(|_| !reached) {
                    self.move_to(sip, next).await;
                }
            }
        }
    }
}

/// How long to wait for the next look-up, `jitter` being between 0 and 1, so that a hundred
/// trunks do not ask at once.
fn pause(failures: u32, jitter: f64) -> Duration {
    let doubled = RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
    let longest = if failures == 0 {
        REFRESH
    } else {
        doubled.min(REFRESH)
    };
    longest.mul_f64(0.75 + 0.25 * jitter)
}

fn listed(trunk: &TrunkConfig) -> Vec<Network> {
    let networks = trunk.networks.iter();
    networks
        .filter_map(|n| n.to_string().parse().ok())
        .collect()
}

/// What a trunk is asked for when we register with it.
pub(crate) fn register(trunk: &TrunkConfig, flow: Flow) -> Register {
    let user = trunk.username.clone().unwrap_or_default();
    let port = trunk
        .port
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let route = trunk.outbound_proxy.iter();
    Register {
        // No user part: some registrars drop one silently (RFC 3261 §10.2).
        registrar_uri: format!("sip:{}{port}", trunk.host),
        aor: format!("sip:{user}@{}", trunk.host),
        contact_user: user,
        flow,
        route: route.map(|proxy| format!("<sip:{proxy};lr>")).collect(),
        credentials: call::credentials(trunk),
        expires_s: trunk.expires_s,
    }
}

#[cfg(test)]
mod tests;
