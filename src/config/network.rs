//! Networks in CIDR notation: who counts as local, and where a trunk's calls may come from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::value::text_value;

/// An IP network in CIDR notation (RFC 4632, RFC 4291 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Makes the network of `prefix` leading bits of `address`; `None` when there are not so many.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    /// Reports whether `address` lies inside; IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix))
                    .unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix))
                    .unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }

    /// Reports whether the network is so wide that it trusts most of the internet.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

impl From<IpAddr> for Network {
    /// Makes the network of one address.
    fn from(address: IpAddr) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not a network: write for instance 10.0.0.0/8 or 203.0.113.7");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix = prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 });
        match address {
            // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() && (96..=128).contains(&prefix) => {
                Self::new(address.to_canonical(), prefix - 96).ok_or_else(wrong)
            }
            _ => Self::new(address, prefix).ok_or_else(wrong),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

text_value!(Network, "a network such as 10.0.0.0/8");

/// Reports whether an address is one of the private or link-local ranges (RFC 1918, 4193, 3927).
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Returns the networks that count as local when nothing is said: RFC 1918 and RFC 4193.
pub(super) fn default_local() -> Vec<Network> {
    let v4 = |a, b, prefix| Network {
        address: IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)),
        prefix,
    };
    let unique_local = Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0);
    vec![
        v4(127, 0, 8),
        v4(10, 0, 8),
        v4(172, 16, 12),
        v4(192, 168, 16),
        Network {
            address: IpAddr::V6(Ipv6Addr::LOCALHOST),
            prefix: 128,
        },
        Network {
            address: IpAddr::V6(unique_local),
            prefix: 7,
        },
    ]
}

/// Signalling sources of Twilio Elastic SIP Trunking (vendor documentation).
const TWILIO: [&str; 8] = [
    "54.172.60.0/30",
    "54.244.51.0/30",
    "54.171.127.192/30",
    "35.156.191.128/30",
    "54.65.63.192/30",
    "54.169.127.128/30",
    "54.252.254.64/30",
    "177.71.206.192/30",
];

/// Reports whether a trunk's host is one of Twilio's, with or without an edge in its name.
pub(super) fn is_twilio(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.ends_with(".twilio.com") && (host.contains(".pstn.") || host.starts_with("pstn."))
}

/// Returns the networks that a carrier is known to call from, which its host's addresses need not
/// be: Twilio sends calls from addresses that `{trunk}.pstn.twilio.com` does not resolve to.
pub(super) fn preset(host: &str) -> Vec<Network> {
    if !is_twilio(host) {
        return Vec::new();
    }
    twilio().collect()
}

fn twilio() -> impl Iterator<Item = Network> {
    TWILIO.iter().filter_map(|network| network.parse().ok())
}

/// Reports whether what comes from an address over a trunk with this host (empty where it has none)
/// is Twilio's word, so that fields which are Twilio's own can be believed.
pub fn comes_from_twilio(host: &str, address: IpAddr) -> bool {
    let is_named = host.to_ascii_lowercase().ends_with(".twilio.com");
    is_named || twilio().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(network: &str, address: &str) -> bool {
        network
            .parse::<Network>()
            .unwrap()
            .contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_the_addresses_of_its_prefix() {
        assert!(inside("10.0.0.0/8", "10.255.1.2"));
        assert!(!inside("10.0.0.0/8", "11.0.0.0"));
        assert!(inside("203.0.113.7", "203.0.113.7"));
        assert!(!inside("203.0.113.7", "203.0.113.8"));
        assert!(inside("0.0.0.0/0", "8.8.8.8"));
        assert!(inside("2001:db8::/32", "2001:db8:1::1"));
        assert!(!inside("::/0", "8.8.8.8"));
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_self() {
        assert!(inside("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(inside("::ffff:10.0.0.0/104", "10.9.9.9"));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in [
            "",
            "10.0.0.0/33",
            "::1/129",
            "10/8",
            "host/24",
            "10.0.0.0/",
            "1.2.3.4/-1",
        ] {
            assert!(
                text.parse::<Network>()
                    .unwrap_err()
                    .contains("for instance"),
                "{text}"
            );
        }
    }

    #[test]
    fn every_preset_is_a_network() {
        assert_eq!(preset("acme.pstn.twilio.com").len(), TWILIO.len());
        assert_eq!(preset("acme.pstn.dublin.twilio.com").len(), TWILIO.len());
        assert!(preset("twilio.com.evil.example").is_empty());
    }

    #[test]
    fn twilio_is_known_by_its_name_and_by_its_addresses() {
        let comes = |host, address: &str| comes_from_twilio(host, address.parse().unwrap());
        assert!(comes("acme.sip.twilio.com", "192.0.2.1"));
        assert!(comes("ACME.pstn.Twilio.com", "192.0.2.1"));
        assert!(comes("", "54.172.60.2") && comes("", "::ffff:54.172.60.2"));
        assert!(!comes("", "54.172.60.4"));
        assert!(!comes("twilio.com.evil.example", "192.0.2.1"));
    }
}
