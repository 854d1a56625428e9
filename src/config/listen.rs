//! Where the switch listens for SIP, and which pages may connect there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::value::text_value;

/// A transport for SIP messages (RFC 3261 section 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream, encrypted.
    Tls,
    /// A WebSocket (RFC 7118).
    Ws,
    /// A WebSocket, encrypted.
    Wss,
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            "tls" => Ok(Self::Tls),
            "ws" => Ok(Self::Ws),
            "wss" => Ok(Self::Wss),
            _ => Err(format!(
                "{text:?} is not a transport: use \"udp\", \"tcp\", \"tls\", \"ws\" or \"wss\""
            )),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        })
    }
}

impl From<Transport> for offhook_sip::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tcp => Self::Tcp,
            Transport::Tls => Self::Tls,
            Transport::Ws => Self::Ws,
            Transport::Wss => Self::Wss,
        }
    }
}

text_value!(Transport, "\"udp\", \"tcp\", \"tls\", \"ws\" or \"wss\"");

/// Where the switch listens for SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SipListen {
    /// The transport.
    pub transport: Transport,
    /// The address and port; port 0 lets the system choose.
    pub address: SocketAddr,
}

impl FromStr for SipListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write for instance \"udp://127.0.0.1:5060\"";
        let (scheme, address) = text
            .split_once("://")
            .ok_or_else(|| format!("{text:?} has no transport: {example}"))?;
        let transport: Transport = scheme.parse()?;
        let default_port = offhook_sip::Transport::from(transport).default_port();
        let address = parse_address(address, default_port)
            .ok_or_else(|| format!("{address:?} is not an address and port: {example}"))?;
        Ok(Self { transport, address })
    }
}

impl fmt::Display for SipListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport, self.address)
    }
}

text_value!(SipListen, "an address such as \"udp://127.0.0.1:5060\"");

/// Parses `address:port`, or an address alone with `default_port`.
pub(super) fn parse_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let address: IpAddr = bare.parse().ok()?;
    Some(SocketAddr::new(address, default_port))
}

pub(super) fn default_listen() -> Vec<SipListen> {
    let address = SocketAddr::from(([127, 0, 0, 1], 5060));
    vec![SipListen {
        transport: Transport::Udp,
        address,
    }]
}

/// The origin of pages that may connect, as browsers write it (RFC 6454 §6.2): scheme, host, and the
/// port where it is not the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOrigin(String);

impl FromStr for PageOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not the origin of a page: write scheme, host and perhaps a port, \
                 such as \"https://phone.example.com\""
            )
        };
        let lower = text.to_ascii_lowercase();
        let (scheme, host) = lower.split_once("://").ok_or_else(wrong)?;
        let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        let goes_on = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let named = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        let own_port = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => "",
        };
        let host = host.strip_suffix(own_port).unwrap_or(host);
        let fits = scheme.chars().all(goes_on) && host.chars().all(named);
        if !begins || !fits || host.is_empty() {
            return Err(wrong());
        }
        Ok(Self(format!("{scheme}://{host}")))
    }
}

impl fmt::Display for PageOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(
    PageOrigin,
    "an origin such as \"https://phone.example.com\""
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_with_and_without_a_port() {
        let listen: SipListen = "udp://127.0.0.1".parse().unwrap();
        assert_eq!(listen.to_string(), "udp://127.0.0.1:5060");
        assert_eq!(
            "tcp://[::1]:5070"
                .parse::<SipListen>()
                .unwrap()
                .address
                .port(),
            5070
        );
        let page: SipListen = "ws://0.0.0.0".parse().unwrap();
        assert_eq!((page.transport, page.address.port()), (Transport::Ws, 80));
        let page: SipListen = "wss://[::1]".parse().unwrap();
        assert_eq!(page.to_string(), "wss://[::1]:443");
        assert!("127.0.0.1:5060".parse::<SipListen>().is_err());
    }

    #[test]
    fn an_origin_is_kept_as_browsers_write_it() {
        for (text, kept) in [
            ("https://Phone.Example.com", "https://phone.example.com"),
            ("https://phone.example.com:443", "https://phone.example.com"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:80", "http://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(text.parse::<PageOrigin>().unwrap().to_string(), kept);
        }
        for text in [
            "",
            "*",
            "null",
            "phone.example.com",
            "https://",
            "https://phone.example.com/",
            "https://*.example.com",
            "://x",
            "https://:443",
        ] {
            assert!(text.parse::<PageOrigin>().is_err(), "{text}");
        }
    }
}
