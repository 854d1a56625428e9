//! Where a message came from or goes to.

use std::fmt;
use std::net::SocketAddr;

/// A transport that carries SIP.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
#[non_exhaustive]
pub enum Transport {
    /// Datagrams: messages may be lost, doubled and reordered.
    Udp,
    /// A stream per connection, framed by [`crate::stream::Framer`].
    Tcp,
    /// The same, encrypted (RFC 3261 §26.2.1).
    Tls,
    /// A WebSocket of a browser or application, each of whose messages is one SIP message
    /// (RFC 7118).
    Ws,
    /// The same over TLS.
    Wss,
}

impl Transport {
    /// Returns whether the transport itself delivers or fails, so that transactions do not
    /// retransmit (RFC 3261 §17).
    pub fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Returns whether a peer is only reached over the connection that it opened: the hosts in its
    /// Via and Contact are nobody's (RFC 7118 §5), and once the connection is gone so is the peer.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Returns whether it is encrypted, and we show a certificate.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Returns the name that a Via writes (RFC 3261 §20.42, RFC 7118 §5.1).
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Returns the port that serves it where none is named (RFC 3261 §19.1.2, RFC 7118 §5.5).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Returns the value of a URI's `transport` parameter; none for UDP, the default. An encrypted
    /// WebSocket has the same as one that is not (RFC 7118 §5.2).
    pub fn uri_parameter(self) -> Option<&'static str> {
        match self {
            Self::Udp => None,
            Self::Tcp => Some("tcp"),
            Self::Tls => Some("tls"),
            Self::Ws | Self::Wss => Some("ws"),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.via_name())
    }
}

/// A flow in the sense of RFC 5626 §3.1: a transport between two addresses.
///
/// `local` is the address that packets really leave from: a shell that listens on 0.0.0.0 puts
/// the address here that the route to `remote` chooses.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} > {}", self.transport, self.local, self.remote)
    }
}
