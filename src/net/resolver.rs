//! Finds where a SIP URI's requests go: literal addresses, NAPTR, SRV and A/AAAA look-ups
//! (RFC 3263 §4).

mod records;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};
use offhook_sip::Transport;
use rand::Rng as _;

use records::{Naptr, Srv};

/// Addresses tried for one host; a zone cannot make the list longer.
const TARGETS_MAX: usize = 16;
/// Records read of one answer.
const RECORDS_MAX: usize = 64;
/// How long a name server may take before it is asked again …
const TRY_TIMEOUT: Duration = Duration::from_secs(1);
/// … and all that a domain says of its services, whatever it says.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(10);
/// Services of a domain that are looked at.
const SERVICES_MAX: usize = 4;
/// How long one look-up may take before the next way is tried.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the system's name servers are asked as they were configured then, and what they said is
/// remembered at most.
const SHARED_FOR: Duration = Duration::from_secs(60);

/// Explains why a host has no address that a request could go to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The name has neither SRV nor address records, or the name servers did not answer.
    #[error("cannot find an address for `{host}`: {reason}")]
    NotFound {
        /// The host name asked for.
        host: String,
        /// What the last look-up said.
        reason: String,
    },
}

/// What requests to a host may go over.
#[derive(Clone, Copy, Debug)]
pub enum Over<'a> {
    /// This, whatever the host's records prefer.
    Pinned(Transport),
    /// Whichever of these the host's records prefer; the first where they say nothing.
    Open(&'a [Transport]),
}

impl<'a> Over<'a> {
    /// What is pinned, or else any of these.
    #[must_use]
    pub fn of(pinned: Option<Transport>, open: &'a [Transport]) -> Self {
        pinned.map_or(Self::Open(open), Self::Pinned)
    }

    /// What it is where nobody says.
    fn first(self) -> Transport {
        match self {
            Self::Pinned(transport) => transport,
            Self::Open(transports) => transports.first().copied().unwrap_or(Transport::Udp),
        }
    }

    fn all(&self) -> &[Transport] {
        match self {
            Self::Pinned(transport) => std::slice::from_ref(transport),
            Self::Open(transports) => transports,
        }
    }
}

/// Where a host's requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Over what.
    pub transport: Transport,
    /// Its addresses, best first; none is there twice.
    pub addresses: Vec<SocketAddr>,
}

/// Looks hosts up in the system's name servers and hosts file.
pub struct Resolver {
    /// Made for the first name: a literal address asks nobody.
    dns: OnceLock<Option<TokioResolver>>,
}

/// A resolver for many look-ups, which remembers what name servers said for as long as they allow, and
/// is made anew each minute, so that it knows the name servers of the moment.
#[derive(Default)]
pub struct SharedResolver(Mutex<Option<(Instant, Arc<Resolver>)>>);

impl SharedResolver {
    /// The resolver of the moment.
    pub fn get(&self, now: Instant) -> Arc<Resolver> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = made.as_ref().filter(|(at, _)| now < *at + SHARED_FOR);
        if let Some((_, resolver)) = recent {
            return Arc::clone(resolver);
        }
        let resolver = Arc::new(Resolver::from_system());
        *made = Some((now, Arc::clone(&resolver)));
        resolver
    }
}

/// Asks the system's name servers.
fn system_dns() -> Option<TokioResolver> {
    let mut builder = TokioResolver::builder_tokio().ok()?;
    // A datagram that is lost is asked for again within the time of a look-up.
    builder.options_mut().timeout = TRY_TIMEOUT;
    builder.build().ok()
}

impl Resolver {
    /// Asks as the system is configured once there is a name to ask for; without a configuration only
    /// literal addresses and `localhost` are found.
    #[must_use]
    pub fn from_system() -> Self {
        Self {
            dns: OnceLock::new(),
        }
    }

    fn dns(&self) -> Option<&TokioResolver> {
        self.dns.get_or_init(system_dns).as_ref()
    }

    /// Asks one name server only.
    #[cfg(test)]
    pub(crate) fn asking(server: SocketAddr) -> Self {
        use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let builder = TokioResolver::builder_with_config(config, Default::default());
        Self {
            dns: OnceLock::from(builder.build().ok()),
        }
    }

    /// Finds the addresses of `host`, best first, and what its requests go over: an explicit `port`
    /// rules NAPTR and SRV out (RFC 3263 §4.1, §4.2), the transport's default port serves where
    /// nothing says another. Servers of one priority are drawn by their weights (RFC 2782).
    ///
    /// # Errors
    /// When no address is found.
    pub async fn resolve(
        &self,
        host: &str,
        port: Option<u16>,
        over: Over<'_>,
    ) -> Result<Found, ResolveError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let transport = over.first();
        let given = port.unwrap_or(transport.default_port());
        let literal = match bare.parse::<IpAddr>() {
            Ok(address) => Some(address),
            Err(_) if bare.eq_ignore_ascii_case("localhost") => Some([127, 0, 0, 1].into()),
            Err(_) => None,
        };
        if let Some(address) = literal {
            return Ok(Found {
                transport,
                addresses: vec![SocketAddr::new(address, given)],
            });
        }
        if port.is_none() {
            let service = tokio::time::timeout(SERVICE_TIMEOUT, self.service(bare, over));
            if let Ok(Some(found)) = service.await {
                return Ok(found);
            }
        }
        let addresses = self.addresses(bare, given).await?;
        Ok(Found {
            transport,
            addresses,
        })
    }

    /// The servers that a domain's NAPTR records name for the first service that we have, or else
    /// those of its SRV records, the most wanted transport first (RFC 3263 §4.1).
    async fn service(&self, host: &str, over: Over<'_>) -> Option<Found> {
        let usual: Vec<(Transport, String)> = over
            .all()
            .iter()
            .map(|transport| (*transport, records::service_name(*transport, host)))
            .collect();
        // Side by side: most domains have no NAPTR, and a call waits.
        let asked = usual.iter().map(|(_, name)| self.servers(name));
        let (naptr, usual_servers) = tokio::join!(self.naptr(host), join_all(asked));
        let services = records::services(naptr, over.all());
        for (transport, name) in services.into_iter().take(SERVICES_MAX) {
            let servers = match usual.iter().position(|(_, usual)| *usual == name) {
                Some(known) => usual_servers.get(known).cloned().unwrap_or_default(),
                None => self.servers(&name).await,
            };
            if let Some(found) = self.find_servers(transport, servers).await {
                return Some(found);
            }
        }
        for ((transport, _), servers) in usual.into_iter().zip(usual_servers) {
            if let Some(found) = self.find_servers(transport, servers).await {
                return Some(found);
            }
        }
        None
    }

    /// The addresses of servers, in the order in which they are tried.
    async fn find_servers(&self, transport: Transport, servers: Vec<Srv>) -> Option<Found> {
        let mut servers = records::in_order(servers, |most| rand::rng().random_range(0..=most));
        servers.truncate(TARGETS_MAX);
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for server in servers {
            let found = self.addresses(&server.target, server.port).await;
            for address in found.unwrap_or_default() {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.len() >= TARGETS_MAX {
                break;
            }
        }
        addresses.truncate(TARGETS_MAX);
        let is_found = !addresses.is_empty();
        is_found.then_some(Found {
            transport,
            addresses,
        })
    }

    async fn naptr(&self, host: &str) -> Vec<Naptr> {
        let records = self.records(&format!("{host}."), RecordType::NAPTR).await;
        let read = |record| match record {
            RData::NAPTR(record) => Naptr::read(&record),
            _ => None,
        };
        records.into_iter().filter_map(read).collect()
    }

    async fn servers(&self, name: &str) -> Vec<Srv> {
        let records = self.records(name, RecordType::SRV).await;
        let read = |record| match record {
            RData::SRV(record) => Srv::read(&record),
            _ => None,
        };
        records.into_iter().filter_map(read).collect()
    }

    /// The records of a name; none where nobody says.
    async fn records(&self, name: &str, kind: RecordType) -> Vec<RData> {
        let Some(dns) = self.dns() else {
            return Vec::new();
        };
        let query = dns.lookup(name, kind);
        let Ok(Ok(answer)) = tokio::time::timeout(LOOKUP_TIMEOUT, query).await else {
            return Vec::new();
        };
        let records = answer.answers().iter().take(RECORDS_MAX);
        records.map(|record| record.data.clone()).collect()
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let not_found = |reason: String| ResolveError::NotFound {
            host: host.to_owned(),
            reason,
        };
        let Some(dns) = self.dns() else {
            return Err(not_found(
                "this system has no name server configured".to_owned(),
            ));
        };
        let answer = tokio::time::timeout(LOOKUP_TIMEOUT, dns.lookup_ip(host))
            .await
            .map_err(|_| not_found("the name servers did not answer".to_owned()))?
            .map_err(|error| not_found(error.to_string()))?;
        let mut found: Vec<SocketAddr> = answer
            .iter()
            .take(TARGETS_MAX)
            .map(|ip| SocketAddr::new(ip, port))
            .collect();
        let mut seen = Vec::new();
        found.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        // Carriers' IPv6 records are often unreachable from where they resolve.
        found.sort_by_key(SocketAddr::is_ipv6);
        Ok(found)
    }
}

#[cfg(test)]
#[path = "resolver/tests.rs"]
mod tests;
