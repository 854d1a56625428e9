//! Networks written as `address/prefix`, and the address that is written into messages.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use crate::flow::Flow;

/// An IP network, parsed from `10.0.0.0/8`, `2001:db8::/32` or a single address.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Clone, Eq, PartialEq, Debug, Error)]
#[error("`{0}` is not a network such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct NetworkError(String);

impl Network {
    /// Returns the address that it was written with.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the network that whoever sends from `address` has as its own: the IPv4 address, or
    /// the /64 that a link gets (RFC 4291 §2.5.4).
    pub(crate) fn of_sender(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let prefix = u128::from(v6) & !u128::from(u64::MAX);
                Self {
                    address: IpAddr::V6(prefix.into()),
                    prefix: 64,
                }
            }
            v4 => v4.into(),
        }
    }

    /// Returns whether `address` lies in the network; IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix))
                    .unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix))
                    .unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    /// Makes the network of a single address.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.trim().parse().map_err(|_| error())?,
            None => longest,
        };
        if prefix > longest {
            Err(error())
        } else {
            Ok(Self { address, prefix })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Which of our addresses a message names in Via and Contact.
#[derive(Clone, Default, Debug)]
pub struct Advertise {
    /// The address that the world reaches us by, where that is not our own (1:1 NAT).
    pub public: Option<IpAddr>,
    /// The networks that reach us by our own address all the same.
    pub local_networks: Vec<Network>,
}

impl Advertise {
    /// Returns the address and port that messages on `flow` write: the public address, but our
    /// own towards this machine and the local networks.
    pub fn address(&self, flow: &Flow) -> SocketAddr {
        let remote = flow.remote.ip().to_canonical();
        let own = remote.is_loopback() || self.local_networks.iter().any(|n| n.contains(remote));
        match self.public {
            Some(public) if !own => SocketAddr::new(public, flow.local.port()),
            _ => flow.local,
        }
    }
}

/// Returns whether an address means something only inside its own network, so that a peer that
/// writes it, but is heard from elsewhere, is behind NAT (RFC 1918, RFC 6598, RFC 4193).
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            shared
                || v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;

    #[test]
    fn networks_hold_what_their_prefix_says() {
        let contains = |network: &str, address: &str| {
            network
                .parse::<Network>()
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.255.1.2"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("54.172.60.0/30", "54.172.60.3"));
        assert!(!contains("54.172.60.0/30", "54.172.60.4"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(contains("192.0.2.1", "192.0.2.1"));
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.77"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        assert!(!contains("2001:db8::/32", "192.0.2.1"));
    }

    #[test]
    fn what_is_no_network_is_named_in_the_error() {
        for bad in [
            "",
            "10.0.0.0/33",
            "x/8",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/-1",
        ] {
            let error = bad.parse::<Network>().unwrap_err();
            assert!(error.to_string().contains(bad), "{bad}");
        }
    }

    #[test]
    fn the_public_address_is_for_all_but_local_networks() {
        let advertise = Advertise {
            public: Some("203.0.113.7".parse().unwrap()),
            local_networks: vec!["10.0.0.0/8".parse().unwrap()],
        };
        let address = |remote: &str| {
            advertise
                .address(&Flow {
                    transport: Transport::Udp,
                    local: "10.1.2.3:5060".parse().unwrap(),
                    remote: remote.parse().unwrap(),
                })
                .to_string()
        };
        assert_eq!(address("54.172.60.1:5060"), "203.0.113.7:5060");
        assert_eq!(address("10.9.9.9:5060"), "10.1.2.3:5060");
        assert_eq!(address("127.0.0.1:5062"), "10.1.2.3:5060");
    }
}
