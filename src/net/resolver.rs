//! Finds where a SIP URI's requests go: literal addresses, SRV and A/AAAA look-ups (RFC 3263 §4).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use offhook_sip::Transport;

/// Addresses tried for one host; a zone cannot make the list longer.
const TARGETS_MAX: usize = 16;
/// How long one look-up may take before the next way is tried.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

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

/// Looks hosts up in the system's name servers and hosts file.
pub struct Resolver {
    dns: Option<TokioResolver>,
}

impl Resolver {
    /// Reads the system's resolver configuration; without one only literal addresses and
    /// `localhost` are found.
    #[must_use]
    pub fn from_system() -> Self {
        let dns = TokioResolver::builder_tokio()
            .ok()
            .and_then(|builder| builder.build().ok());
        Self { dns }
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
            dns: builder.build().ok(),
        }
    }

    /// Finds the addresses of `host`, best first: an explicit `port` rules SRV out
    /// (RFC 3263 §4.2), the transport's default port serves where nothing says another.
    ///
    /// # Errors
    /// When no address is found.
    pub async fn resolve(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Transport,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let given = port.unwrap_or(transport.default_port());
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, given)]);
        }
        if bare.eq_ignore_ascii_case("localhost") {
            return Ok(vec![SocketAddr::from(([127, 0, 0, 1], given))]);
        }
        if port.is_none() {
            let found = self.service(bare, transport).await;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        self.addresses(bare, given).await
    }

    /// SRV records in the order of RFC 2782: lowest priority first, then highest weight.
    async fn service(&self, host: &str, transport: Transport) -> Vec<SocketAddr> {
        let Some(dns) = &self.dns else {
            return Vec::new();
        };
        let protocol = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tls => "_sips._tcp",
            _ => "_sip._tcp",
        };
        let query = dns.srv_lookup(format!("{protocol}.{host}."));
        let Ok(Ok(answer)) = tokio::time::timeout(LOOKUP_TIMEOUT, query).await else {
            return Vec::new();
        };
        let mut records: Vec<(u16, u16, String, u16)> = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                hickory_resolver::proto::rr::RData::SRV(srv) => {
                    Some((srv.priority, srv.weight, srv.target.to_string(), srv.port))
                }
                _ => None,
            })
            .take(TARGETS_MAX)
            .collect();
        records.sort_by_key(|(priority, weight, ..)| (*priority, u16::MAX - weight));
        let mut found = Vec::new();
        for (_, _, target, port) in records {
            if let Ok(addresses) = self.addresses(target.trim_end_matches('.'), port).await {
                found.extend(addresses);
            }
            if found.len() >= TARGETS_MAX {
                break;
            }
        }
        found.truncate(TARGETS_MAX);
        found
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let not_found = |reason: String| ResolveError::NotFound {
            host: host.to_owned(),
            reason,
        };
        let Some(dns) = &self.dns else {
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
        // Carriers' IPv6 records are often unreachable from where they resolve.
        found.sort_by_key(SocketAddr::is_ipv6);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_literal_address_needs_no_name_server() {
        let resolver = Resolver { dns: None };
        let found = resolver
            .resolve("192.0.2.7", None, Transport::Udp)
            .await
            .unwrap();
        assert_eq!(found, ["192.0.2.7:5060".parse().unwrap()]);
        let found = resolver
            .resolve("[2001:db8::1]", Some(5080), Transport::Udp)
            .await
            .unwrap();
        assert_eq!(found, ["[2001:db8::1]:5080".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_without_a_name_server_is_an_error_that_names_it() {
        let resolver = Resolver { dns: None };
        let error = resolver
            .resolve("trunk.invalid", None, Transport::Udp)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("trunk.invalid"));
    }
}
