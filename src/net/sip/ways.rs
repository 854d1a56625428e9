//! The ways that requests leave by: our end of each, and whom TLS must find at the other.

use std::net::SocketAddr;

use offhook_sip::{Flow, Transport};
use tokio::sync::oneshot;

use super::whom::Whom;
use super::{Command, Sip, SipError, local_address_towards};

impl Sip {
    /// Finds the flow that a request to `remote` leaves on.
    ///
    /// # Errors
    /// When no listener can reach it.
    pub fn flow_to(&self, remote: SocketAddr, transport: Transport) -> Result<Flow, SipError> {
        self.flow_to_whom(remote, transport, None)
    }

    /// Finds the flow that a request to `remote` leaves on, and says whom it must reach there where
    /// TLS can tell. Each name at an address has a flow, and so a connection, of its own.
    ///
    /// # Errors
    /// When no listener can reach it, there are no such authorities, no certificate can have that
    /// name, or the SIP task has ended.
    pub async fn way_to(
        &self,
        remote: SocketAddr,
        transport: Transport,
        whom: Option<&Whom>,
    ) -> Result<Flow, SipError> {
        let Some(whom) = whom.filter(|_| transport == Transport::Tls) else {
            return self.flow_to(remote, transport);
        };
        let peer = self.tls.peer(whom)?;
        let flow = self.flow_to_whom(remote, transport, Some(whom))?;
        self.send(Command::Expect(flow, peer)).await?;
        Ok(flow)
    }

    /// What requests may leave over, the best first where the other side does not mind.
    #[must_use]
    pub fn transports(&self) -> Vec<Transport> {
        transports(self.listeners.iter().map(|(transport, _)| *transport))
    }

    /// Our end of the TCP connection that takes what is too large for a datagram of this flow
    /// (RFC 3261 §18.1.1): no listener is needed, since the answer comes over the same connection.
    #[must_use]
    pub fn stream_beside(&self, flow: &Flow) -> Option<SocketAddr> {
        if flow.transport != Transport::Udp {
            return None;
        }
        let listening = self.flow_to(flow.remote, Transport::Tcp).ok();
        let listening = listening.map(|stream| stream.local);
        listening.or_else(|| self.callers.towards(flow.remote, None, None))
    }

    /// Ends every connection in good order, and the SIP task with them: what is asked of it afterwards
    /// is in vain.
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.send(Command::Close(closed)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Why the last TLS connection to somebody at an address was not made, in words.
    #[must_use]
    pub fn tls_trouble(&self, remote: SocketAddr, whom: &Whom) -> Option<String> {
        self.tls.trouble(remote, whom)
    }

    fn flow_to_whom(
        &self,
        remote: SocketAddr,
        transport: Transport,
        whom: Option<&Whom>,
    ) -> Result<Flow, SipError> {
        let flow = |local| Flow {
            transport,
            local,
            remote,
        };
        let listener = self.listener_towards(remote, transport);
        // Whoever is called over TLS speaks to us over the same connection: no certificate of ours
        // is needed to listen with.
        let local = match transport {
            Transport::Tls => self.callers.towards(remote, whom, listener),
            _ => listener,
        };
        if let Some(local) = local {
            return Ok(flow(local));
        }
        let scheme = transport.via_name().to_ascii_lowercase();
        let port = transport.default_port();
        let example = format!("{scheme}://{}:{port}", remote.ip());
        Err(SipError::NoListener {
            remote,
            transport,
            example,
        })
    }

    /// The first listener that reaches an address, by the address that leads there.
    fn listener_towards(&self, remote: SocketAddr, transport: Transport) -> Option<SocketAddr> {
        let fits = |address: &SocketAddr| address.is_ipv4() == remote.is_ipv4();
        let mut listeners = self.listeners.iter();
        let (_, listener) = listeners.find(|(t, a)| *t == transport && fits(a))?;
        let ip = if listener.ip().is_unspecified() {
            local_address_towards(remote).unwrap_or(listener.ip())
        } else {
            listener.ip()
        };
        Some(SocketAddr::new(ip, listener.port()))
    }
}

/// What requests may leave over where these are listened on: TLS needs no listener.
#[must_use]
pub fn transports(listening: impl Iterator<Item = Transport>) -> Vec<Transport> {
    let listening: Vec<Transport> = listening.collect();
    let usable = [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter();
    let usable = usable.filter(|t| *t == Transport::Tls || listening.contains(t));
    usable.collect()
}

#[cfg(test)]
#[path = "tests/ways.rs"]
mod tests;
