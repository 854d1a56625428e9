//! SIP sockets: UDP listeners with a reader each, listeners and connections of TCP and TLS, and
//! those of WebSockets, which others open alone.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_sip::{Flow, Transport};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::rerouting::Expected;
use super::tcp::{self, Order};
use super::tls::{Names, Peer, Tls};
use super::whom::Whom;
use super::ws::{self, Pages};

/// Messages that may wait for the SIP task; beyond it UDP drops and TCP slows its peer down.
const INBOUND_QUEUE: usize = 4096;
/// The largest UDP datagram.
const DATAGRAM_MAX: usize = 65_535;
/// What the kernel may hold while the task is busy: a burst of a thousand INVITEs.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// How long connections may take to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// One `sip.listen` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// UDP, TCP, TLS, or a WebSocket.
    pub transport: Transport,
    /// The address to bind.
    pub address: SocketAddr,
}

/// Explains why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for SIP on {transport:?} {address}: {source}{hint}")]
pub struct ListenError {
    transport: Transport,
    address: SocketAddr,
    source: io::Error,
    hint: &'static str,
}

/// What the sockets tell the SIP task.
#[derive(Debug)]
pub(super) enum Inbound {
    Message(Flow, Vec<u8>),
    Closed(Flow),
    Failed(Flow),
    Connected(Flow, mpsc::Sender<Order>),
}

/// A connection, and whom it was made to where we made it over TLS.
struct Connection {
    writer: mpsc::Sender<Order>,
    whom: Option<Whom>,
}

pub(super) struct Sockets {
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    /// Listeners of TCP, TLS and WebSockets.
    streams: Vec<(Transport, SocketAddr)>,
    /// What hears at each listener; it ends with this, and so its port is free.
    hearing: JoinSet<()>,
    connections: HashMap<Flow, Connection>,
    tls: Arc<Tls>,
    pages: Arc<Pages>,
    names: Names,
    inbound: mpsc::Receiver<Inbound>,
    tell: mpsc::Sender<Inbound>,
}

impl Sockets {
    pub(super) async fn open(
        listen: &[Listen],
        tls: Arc<Tls>,
        pages: Pages,
    ) -> Result<Self, ListenError> {
        let (tell, inbound) = mpsc::channel(INBOUND_QUEUE);
        let mut sockets = Self {
            udp: Vec::new(),
            streams: Vec::new(),
            hearing: JoinSet::new(),
            connections: HashMap::new(),
            tls,
            pages: Arc::new(pages),
            names: Names::default(),
            inbound,
            tell,
        };
        for listen in listen {
            let opened = match listen.transport {
                Transport::Udp => sockets.listen_udp(listen.address).await,
                stream => sockets.listen_to_streams(stream, listen.address).await,
            };
            opened.map_err(|source| ListenError {
                transport: listen.transport,
                address: listen.address,
                hint: hint(source.kind()),
                source,
            })?;
        }
        Ok(sockets)
    }

    #[allow(clippy::disallowed_methods)] // this is the shell that opens sockets
    async fn listen_udp(&mut self, address: SocketAddr) -> io::Result<()> {
        let socket = Arc::new(UdpSocket::bind(address).await?);
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
        let local = socket.local_addr()?;
        self.udp.push((local, Arc::clone(&socket)));
        let reading = read_udp(socket, local, self.tell.clone());
        self.hearing.spawn(reading);
        Ok(())
    }

    async fn listen_to_streams(
        &mut self,
        transport: Transport,
        address: SocketAddr,
    ) -> io::Result<()> {
        let acceptor = match transport {
            Transport::Tls | Transport::Wss => Some(
                self.tls
                    .acceptor()
                    .ok_or(io::Error::other(NO_CERTIFICATE))?,
            ),
            _ => None,
        };
        let (pages, patience) = match transport.is_websocket() {
            true => (Some(Arc::clone(&self.pages)), ws::PATIENCE),
            false => (None, tcp::PATIENCE),
        };
        let listener = TcpListener::bind(address).await?;
        self.streams.push((transport, listener.local_addr()?));
        let tell = self.tell.clone();
        let accepting = tcp::accept(listener, acceptor, pages, tell, patience);
        self.hearing.spawn(accepting);
        Ok(())
    }

    pub(super) fn listeners(&self) -> Vec<(Transport, SocketAddr)> {
        let udp = self
            .udp
            .iter()
            .map(|(address, _)| (Transport::Udp, *address));
        udp.chain(self.streams.iter().copied()).collect()
    }

    pub(super) async fn next(&mut self) -> Option<Inbound> {
        self.inbound.recv().await
    }

    pub(super) fn try_next(&mut self) -> Option<Inbound> {
        self.inbound.try_recv().ok()
    }

    pub(super) fn connected(&mut self, flow: Flow, writer: mpsc::Sender<Order>) {
        let whom = None;
        self.connections.insert(flow, Connection { writer, whom });
    }

    /// Takes note of whom a TLS connection must reach.
    pub(super) fn expect(&mut self, flow: Flow, peer: Peer) {
        self.names.expect(flow, peer);
    }

    /// Whom connections over a flow must reach, or else whoever has that name or that address.
    pub(super) fn expected(&self, flow: &Flow, host: &str) -> Expected {
        Expected {
            whom: self.names.get(flow).map(|peer| peer.whom.clone()),
            ca: self.names.authority(flow, host),
        }
    }

    /// Closes a connection over which nothing has come since a request that nobody has answered.
    pub(super) fn doubt(&self, flow: Flow, since: Instant) {
        if let Some(connection) = self.connections.get(&flow) {
            // Where its queue is full, its peer does not read: that has a deadline of its own.
            let _ = connection.writer.try_send(Order::Doubt(since));
        }
    }

    pub(super) fn closed(&mut self, flow: Flow) {
        self.connections.remove(&flow);
    }

    /// Lets every connection end in good order, in bounded time, and hears nobody any more.
    pub(super) async fn close(&mut self) {
        self.hearing.shutdown().await;
        self.udp.clear();
        // A connection whose queue is gone writes what it held, takes leave and says so.
        let mut open: HashSet<Flow> = self.connections.drain().map(|(flow, _)| flow).collect();
        let ended = async {
            while !open.is_empty() {
                match self.inbound.recv().await {
                    Some(Inbound::Closed(flow) | Inbound::Failed(flow)) => {
                        open.remove(&flow);
                    }
                    // Who is accepted now loses the queue, and goes too.
                    Some(Inbound::Message(..) | Inbound::Connected(..)) => {}
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, ended).await;
    }

    /// Sends without waiting; false when the flow does not take it.
    pub(super) fn send(&mut self, flow: Flow, bytes: &[u8]) -> bool {
        match flow.transport {
            Transport::Udp => self.send_udp(flow, bytes),
            _ => self.send_over_stream(flow, bytes),
        }
    }

    fn send_udp(&self, flow: Flow, bytes: &[u8]) -> bool {
        let exact = self.udp.iter().find(|(local, _)| *local == flow.local);
        let by_port = || {
            self.udp.iter().find(|(local, _)| {
                local.port() == flow.local.port() && local.is_ipv4() == flow.remote.is_ipv4()
            })
        };
        let Some((_, socket)) = exact.or_else(by_port) else {
            return false;
        };
        match socket.try_send_to(bytes, flow.remote) {
            Ok(_) => true,
            // The kernel's buffer is full: to the transaction this is a lost datagram.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => {
                tracing::debug!(%error, remote = %flow.remote, "a SIP datagram was not sent");
                false
            }
        }
    }

    fn send_over_stream(&mut self, flow: Flow, bytes: &[u8]) -> bool {
        if let Some(connection) = self.connections.get(&flow) {
            let expected = self.names.get(&flow).map(|peer| &peer.whom);
            // What was shown to reach somebody else is never taken for it.
            let fits = expected.is_none_or(|whom| connection.whom.as_ref() == Some(whom));
            return fits
                && connection
                    .writer
                    .try_send(Order::Write(bytes.to_vec()))
                    .is_ok();
        }
        // Who is behind a WebSocket is gone with it.
        if flow.transport.is_websocket() {
            return false;
        }
        let peer = match flow.transport {
            Transport::Tls => match self.peer(flow) {
                Some(peer) => Some(peer),
                None => return false,
            },
            _ => None,
        };
        let (writer, queue) = mpsc::channel(tcp::WRITE_QUEUE);
        let queued = writer.try_send(Order::Write(bytes.to_vec())).is_ok();
        let whom = peer.as_ref().map(|peer| peer.whom.clone());
        self.connections.insert(flow, Connection { writer, whom });
        // Where something listens the connection leaves from any port.
        let port = if self.listens(flow) {
            0
        } else {
            flow.local.port()
        };
        let tell = self.tell.clone();
        tokio::spawn(tcp::connect(flow, port, peer, queue, tell, tcp::PATIENCE));
        queued
    }

    /// Whether something listens at a flow's near end.
    fn listens(&self, flow: Flow) -> bool {
        self.streams.iter().any(|(transport, address)| {
            let here = address.ip() == flow.local.ip() || address.ip().is_unspecified();
            *transport == flow.transport && here && address.port() == flow.local.port()
        })
    }

    /// Whom a TLS connection must reach: who was expected there, or else the address itself.
    fn peer(&self, flow: Flow) -> Option<Peer> {
        if let Some(peer) = self.names.get(&flow) {
            return Some(peer.clone());
        }
        let whom = Whom::by_name(&flow.remote.ip().to_string());
        match self.tls.peer(&whom) {
            Ok(peer) => Some(peer),
            Err(error) => {
                let remote = flow.remote;
                tracing::warn!(%error, %remote, "a TLS connection cannot be made");
                None
            }
        }
    }
}

/// What a TLS listener without a certificate is told.
const NO_CERTIFICATE: &str = "TLS needs `sip.tls.certificate` and `sip.tls.key`";

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "; another program (another Offhook?) has the port: stop it, or change `sip.listen`"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: use one of its own, or 0.0.0.0, in `sip.listen`"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    }
}

/// Errors in a row of one listener.
#[derive(Default)]
struct Trouble(u32);

impl Trouble {
    /// Takes another error, and gives the pause before the next try: doubled each time, from 10 ms
    /// up to 5 s.
    fn another(&mut self) -> Duration {
        self.0 = self.0.saturating_add(1);
        let doubled_ms = 10_u64 << self.0.min(10).saturating_sub(1);
        Duration::from_millis(doubled_ms.min(5_000))
    }
}

async fn read_udp(socket: Arc<UdpSocket>, local: SocketAddr, tell: mpsc::Sender<Inbound>) {
    let mut buffer = vec![0_u8; DATAGRAM_MAX];
    let mut trouble = Trouble::default();
    loop {
        let (length, remote) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An ICMP error of an earlier send; the socket lives on.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            // Whatever it is (no memory, an interface that is gone), it may pass: a listener that
            // ends would leave the switch deaf until someone starts it again.
            Err(error) => {
                let pause = trouble.another();
                tracing::error!(%error, %local, ?pause, "a SIP listener cannot read");
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        trouble = Trouble::default();
        let ip = if local.ip().is_unspecified() {
            super::local_address_towards(remote).unwrap_or(local.ip())
        } else {
            local.ip()
        };
        let local = SocketAddr::new(ip, local.port());
        let flow = Flow {
            transport: Transport::Udp,
            local,
            remote,
        };
        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
        if tell.send(Inbound::Message(flow, bytes)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_in_trouble_tries_ever_less_often_and_never_gives_up() {
        let mut trouble = Trouble::default();
        let pauses: Vec<u64> = (0..12)
            .map(|_| trouble.another().as_millis().try_into().unwrap())
            .collect();
        assert_eq!(pauses[..4], [10, 20, 40, 80]);
        assert_eq!(pauses[10..], [5_000, 5_000]);
        trouble.0 = u32::MAX;
        assert_eq!(trouble.another().as_millis(), 5_000);
    }
}
