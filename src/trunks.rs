//! The trunks' whereabouts: looked up at boot and kept up to date, so that a carrier's calls are
//! known by the addresses that it has now, and its registration goes where the registrar is now.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use offhook_sip::{Flow, Network, Register, Transport, TrunkPeer};
use rand::Rng;
use tokio::sync::watch;

use crate::call::line::Line;
use crate::call::{self, FirstHop, TrunkStates, first_hop};
use crate::clock;
use crate::config::{Config, TrunkConfig, TrunkKind};
use crate::meters;
use crate::net::resolver::{Over, Resolver};
use crate::net::sip::{PlacedRegistration, RegistrationState, Sip, SipError, transports};
use crate::switch::{Hop, Whereabouts, contact_user, own_hosts, own_numbers};
use probe::Probe;

pub(crate) mod mends;
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
    /// Where registrations go, and other requests too unless the registrar says otherwise: the
    /// outbound proxy, or the host.
    hop: Place,
    /// Where the registrar's Service-Route leads, where that is elsewhere (RFC 3608).
    beyond: Option<Place>,
    /// What requests may go over where the trunk does not pin it.
    open: Vec<Transport>,
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
    at: FirstHop,
    /// What its records prefer, where it is not pinned.
    transport: Transport,
    known: Whereabouts,
}

impl Place {
    fn new(at: FirstHop, open: &[Transport]) -> Self {
        let first = open.first().copied();
        Self {
            transport: at.pinned.or(first).unwrap_or(Transport::Udp),
            at,
            known: Whereabouts::default(),
        }
    }

    /// Where requests go, the best first.
    fn hops(&self) -> Vec<Hop> {
        let latest = self.known.latest().iter();
        latest.map(|target| (self.transport, *target)).collect()
    }
}

struct Registration {
    placed: PlacedRegistration,
    hop: Hop,
}

/// Makes a keeper for each trunk that has a host, and looks all of them up once, side
/// by side and in bounded time, so that the first call after a boot finds its trunk known.
pub async fn find(config: &Config) -> Vec<Keeper> {
    let listening = config.sip.listen.iter();
    let open = transports(listening.map(|listen| listen.transport.into()));
    let trunks = config.trunks.iter();
    let wanted = trunks.filter(|trunk| trunk.kind != TrunkKind::Inbound);
    let mut keepers: Vec<Keeper> = wanted
        .map(|trunk| Keeper::new(trunk.clone(), &open, Box::new(Resolver::from_system)))
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
            contact_user: contact_user(trunk),
            hosts: own_hosts(trunk),
            numbers: own_numbers(trunk),
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
    fn new(
        trunk: TrunkConfig,
        open: &[Transport],
        resolver: Box<dyn Fn() -> Resolver + Send + Sync>,
    ) -> Self {
        let hop = FirstHop::configured(&trunk);
        let host = FirstHop {
            host: trunk.host.clone(),
            port: trunk.port,
            pinned: hop.pinned,
        };
        let mut others = Vec::new();
        if trunk.outbound_proxy.is_some() {
            others.push(host.clone());
        }
        // A trunk whose transport is left open may call over either, from other machines.
        if hop.pinned.is_none() {
            for transport in [Transport::Udp, Transport::Tcp] {
                let pinned = Some(transport);
                let proxy = trunk.outbound_proxy.is_some().then(|| hop.clone());
                let hosts = proxy.into_iter().chain([host.clone()]);
                others.extend(hosts.map(|host| FirstHop { pinned, ..host }));
            }
        }
        if !trunk.networks_from_host {
            others.clear();
        }
        Self {
            hop: Place::new(hop, open),
            beyond: None,
            open: open.to_vec(),
            others: others.into_iter().map(|at| Place::new(at, open)).collect(),
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
        let (targets, known) = watch::channel(Vec::new());
        let (reach, standings) = (Arc::clone(line.reach()), Arc::clone(&states));
        if let Some(probe) = Probe::of(&self.trunk, known, reach, standings) {
            tokio::spawn(probe.run(sip.clone()));
        }
        loop {
            self.look_up().await;
            self.show(&targets, &states);
            if !self.tell(&sip).await || !self.steer(&sip, &states).await {
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
                Ok(true) => self.hear(&sip, &states).await,
                Ok(false) => return,
                Err(_) => {}
            }
        }
    }

    /// Looks every place up, side by side; what is not found keeps the addresses that it had.
    async fn look_up(&mut self) {
        let resolver = (self.resolver)();
        let (open, hop) = (&self.open, std::iter::once(&mut self.hop));
        let places = hop.chain(&mut self.beyond).chain(&mut self.others);
        let rounds = places.map(async |place| {
            let over = Over::of(place.at.pinned, open);
            let found = resolver.resolve(&place.at.host, place.at.port, over);
            match found.await {
                Ok(found) => {
                    place.transport = found.transport;
                    place.known.found(clock::now(), found.addresses);
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

    /// Shows where the trunk's requests go now. The order of servers is drawn anew each time, and is
    /// no news.
    fn show(&self, targets: &watch::Sender<Vec<Hop>>, states: &TrunkStates) {
        let beyond = self.beyond.as_ref();
        let beyond = beyond.map(Place::hops).filter(|hops| !hops.is_empty());
        let latest = beyond.unwrap_or_else(|| self.hop.hops());
        let moved = targets.send_if_modified(|targets| {
            let is_same =
                latest.len() == targets.len() && targets.iter().all(|t| latest.contains(t));
            if !is_same {
                targets.clone_from(&latest);
            }
            !is_same
        });
        if moved {
            states.note_hops(&self.trunk.name, latest);
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
    async fn steer(&mut self, sip: &Sip, states: &TrunkStates) -> bool {
        if self.trunk.kind != TrunkKind::Register {
            return true;
        }
        let so_far = self.registration.as_ref().map(|r| r.hop);
        // Another transport has another port.
        let so_far = so_far.filter(|(transport, _)| *transport == self.hop.transport);
        let so_far = so_far.map(|(_, target)| target);
        let Some(target) = self.hop.known.target(so_far) else {
            return true;
        };
        let hop = (self.hop.transport, target);
        if self.registration.is_some() {
            return self.move_to(sip, hop).await;
        }
        let flow = match self.flow_to(sip, hop).await {
            Ok(flow) => flow,
            Err(SipError::Gone) => return false,
            Err(error) => {
                self.put_off(&error, states);
                return true;
            }
        };
        let mut register = register(&self.trunk, flow);
        register.stream = match self.trunk.transport {
            Some(_) => None,
            None => sip.stream_beside(&flow),
        };
        match sip.register(register).await {
            Ok(placed) => {
                self.registration = Some(Registration { placed, hop });
                self.refusals = 0;
            }
            Err(SipError::Gone) => return false,
            Err(error) => self.put_off(&error, states),
        }
        true
    }

    /// A trunk that cannot register now may still call us, and is tried again.
    fn put_off(&mut self, error: &dyn std::error::Error, states: &TrunkStates) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals.is_power_of_two() {
            tracing::error!(trunk = %self.trunk.name, %error, "the trunk cannot be registered");
        }
        states.note_registration(&self.trunk.name, format!("cannot register: {error}"));
    }

    /// The flow to the registrar at an address, which must be it where TLS can tell.
    async fn flow_to(&self, sip: &Sip, (transport, target): Hop) -> Result<Flow, SipError> {
        let whom = first_hop::whom(&self.trunk);
        sip.way_to(target, transport, Some(&whom)).await
    }

    async fn move_to(&mut self, sip: &Sip, hop: Hop) -> bool {
        if self.registration.as_ref().is_none_or(|r| r.hop == hop) {
            return true;
        }
        let Ok(flow) = self.flow_to(sip, hop).await else {
            return true;
        };
        let Some(registration) = &mut self.registration else {
            return true;
        };
        let target = hop.1;
        tracing::info!(trunk = %self.trunk.name, %target, "the registration goes elsewhere");
        registration.hop = hop;
        sip.reroute(registration.placed.registration, flow)
            .await
            .is_ok()
    }

    /// Notes how the registration stands; after an attempt that reached nobody the next one goes
    /// to the next address.
    async fn hear(&mut self, sip: &Sip, states: &TrunkStates) {
        let Some(registration) = &mut self.registration else {
            return;
        };
        let (transport, target) = registration.hop;
        let state = registration.placed.state.borrow_and_update().clone();
        let trunk = &self.trunk.name;
        match state {
            RegistrationState::Asking => {}
            RegistrationState::Registered {
                expires_s,
                service_route,
            } => {
                tracing::info!(%trunk, expires_s, "registered");
                meters::trunk_up(trunk, true);
                states.note_registration(trunk, format!("registered for {expires_s} s"));
                self.follow(service_route, states);
            }
            RegistrationState::Failed {
                status,
                reason,
                said,
                retry_in,
            } => {
                meters::trunk_up(trunk, false);
                let trouble = sip.tls_trouble(target, &first_hop::whom(&self.trunk));
                let trouble = trouble.filter(|_| transport == Transport::Tls);
                let why: Vec<String> = said.into_iter().chain(trouble).collect();
                let text = mends::failed_registration((status, &reason), &why, retry_in);
                tracing::warn!(%trunk, status, "the registration {text}");
                states.note_registration(trunk, text);
                let reached = !matches!(status, 408 | 500 | 502 | 503 | 504);
                if let Some(next) = self.hop.known.target_after(target).filter(|_| !reached) {
                    self.move_to(sip, (self.hop.transport, next)).await;
                }
            }
        }
    }

    /// Takes the route that the registrar wants requests to take from now on (RFC 3608).
    fn follow(&mut self, service_route: Vec<String>, states: &TrunkStates) {
        let trunk = &self.trunk.name;
        if states.of(trunk).service_route == service_route {
            return;
        }
        let beyond = FirstHop::of_service_route(&self.trunk, &service_route);
        self.beyond = beyond.map(|hop| Place::new(hop, &self.open));
        states.note_service_route(trunk, service_route);
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
    let user = trunk.aor_user().unwrap_or_default();
    let port = trunk
        .port
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    Register {
        // No user part: some registrars drop one silently (RFC 3261 §10.2).
        registrar_uri: format!("sip:{}{port}", trunk.host),
        aor: format!("sip:{user}@{}", trunk.domain()),
        contact_user: contact_user(trunk).unwrap_or_else(|| user.to_owned()),
        flow,
        stream: None,
        route: first_hop::route(trunk, &[]),
        credentials: call::credentials(trunk),
        expires_s: trunk.expires_s,
    }
}

#[cfg(test)]
mod tests;
