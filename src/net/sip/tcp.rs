//! SIP over TCP and TLS: framing by Content-Length (RFC 3261 §18.3), keep-alives (RFC 5626 §4.4.1),
//! bounded queues, and a deadline for everything that a peer can be slow at.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_sip::stream::{Frame, Framer};
use offhook_sip::{Flow, Transport};
use rand::Rng as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::complaints::Complaints;
use super::places::Places;
use super::sockets::Inbound;
use super::tls::Peer;
use super::whom::in_words;
use super::ws::{self, Pages};
use crate::clock;

/// Messages that may wait for one connection's peer to read.
pub(super) const WRITE_QUEUE: usize = 256;
/// How long a peer may take to accept a connection, and to show who it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer that takes nothing more may still say why.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// What a connection is told to do.
#[derive(Debug)]
pub(super) enum Order {
    /// To write a message.
    Write(Vec<u8>),
    /// To end, unless its peer has said something since: a request that was sent then is unanswered.
    Doubt(Instant),
}

/// How long a peer may be slow at what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// At its first message: who connects has something to say.
    pub(super) first_message: Duration,
    /// At the rest of a message that has begun.
    pub(super) message: Duration,
    /// At reading a message of ours.
    pub(super) write: Duration,
    /// At sending anything at all.
    pub(super) idle: Duration,
    /// At answering a ping, once it has answered one: many never do, and are there all the same.
    pub(super) pong: Duration,
    /// How long nothing of ours may go over a connection that we opened before it is pinged, at
    /// least and at most: carriers close one that is idle for two minutes, and with it the way of
    /// their BYE (RFC 5626 §4.4.1).
    pub(super) silence: (Duration, Duration),
}

/// What a switch bears.
pub(super) const PATIENCE: Patience = Patience {
    first_message: Duration::from_secs(10),
    message: Duration::from_secs(10),
    write: Duration::from_secs(10),
    idle: Duration::from_secs(600),
    // RFC 5626 §4.4.1.
    pong: Duration::from_secs(10),
    silence: (Duration::from_secs(95), Duration::from_secs(115)),
};

/// Accepts connections, over TLS with an acceptor, of pages where they are WebSockets, and serves
/// them for as long as the SIP task listens.
pub(super) async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    pages: Option<Arc<Pages>>,
    tell: mpsc::Sender<Inbound>,
    patience: Patience,
) {
    let transport = match (&acceptor, &pages) {
        (None, None) => Transport::Tcp,
        (Some(_), None) => Transport::Tls,
        (None, Some(_)) => Transport::Ws,
        (Some(_), Some(_)) => Transport::Wss,
    };
    let places = Places::new();
    let mut refusals = Complaints::default();
    loop {
        let Some(place) = places.wait().await else {
            return;
        };
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: wait for one instead of spinning.
                tracing::warn!(%error, "a SIP connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = places.give(place, remote.ip()) else {
            if let Some(unwritten) = refusals.note(clock::now(), remote.ip()) {
                tracing::warn!(%remote, unwritten, "too many SIP connections from one address");
            }
            continue;
        };
        let Ok(local) = stream.local_addr() else {
            continue;
        };
        let flow = Flow {
            transport,
            local,
            remote,
        };
        if tell.is_closed() {
            return;
        }
        let (acceptor, pages, tell) = (acceptor.clone(), pages.clone(), tell.clone());
        tokio::spawn(async move {
            let mut incoming = Incoming::new(flow, patience);
            incoming.first_by = Some(clock::now() + patience.first_message);
            match acceptor {
                None => serve_accepted(stream, incoming, pages, &tell).await,
                // Boxed: what a handshake needs is large, and over soon.
                Some(acceptor) => match Box::pin(greet(acceptor, stream, patience)).await {
                    Ok(stream) => serve_accepted(stream, incoming, pages, &tell).await,
                    Err(error) => {
                        tracing::debug!(%error, %remote, "a TLS connection came to nothing");
                    }
                },
            }
            drop(place);
        });
    }
}

/// Takes a peer's half of a TLS handshake.
async fn greet(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    patience: Patience,
) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    timeout(patience.first_message, acceptor.accept(stream)).await?
}

/// Serves a connection that a peer has opened.
async fn serve_accepted<S>(
    stream: S,
    mut incoming: Incoming,
    pages: Option<Arc<Pages>>,
    tell: &mpsc::Sender<Inbound>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (flow, patience) = (incoming.flow, incoming.patience);
    if let Some(pages) = pages {
        let first_by = incoming.first_by;
        // Boxed: most connections are none of these.
        return Box::pin(ws::serve_accepted(
            stream,
            (flow, first_by),
            patience,
            &pages,
            tell,
        ))
        .await;
    }
    let (writer, queue) = mpsc::channel(WRITE_QUEUE);
    if tell.send(Inbound::Connected(flow, writer)).await.is_ok() {
        let _ = serve(stream, &mut incoming, queue, tell).await;
        let _ = tell.send(Inbound::Closed(flow)).await;
    }
}

/// Connects to the flow's remote side from a port, 0 for any, over TLS where it must show who it is,
/// then serves the connection. One that ends before anything came over it was none: so ends a
/// handshake of TLS 1.3 in which our certificate is refused.
pub(super) async fn connect(
    flow: Flow,
    port: u16,
    peer: Option<Peer>,
    queue: mpsc::Receiver<Order>,
    tell: mpsc::Sender<Inbound>,
    patience: Patience,
) {
    let remote = flow.remote;
    let mut incoming = Incoming::new(flow, patience);
    incoming.pings = true;
    incoming.spoke();
    let served = async {
        let stream = timeout(CONNECT_TIMEOUT, open(flow.local, port, remote)).await??;
        let Some(peer) = &peer else {
            return serve(stream, &mut incoming, queue, &tell).await;
        };
        // Boxed: what a handshake needs is large, and over soon.
        let stream = Box::pin(show(peer, stream)).await?;
        peer.troubles.note(remote, &peer.whom, None);
        serve(stream, &mut incoming, queue, &tell).await
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, %remote, "a SIP connection was not made, or broke");
        if let Some(peer) = peer.filter(|_| !incoming.heard) {
            let trouble = in_words(&error, &peer.whom);
            if let Some(trouble) = &trouble {
                tracing::warn!(%trouble, %remote, "a TLS connection was not made");
            }
            peer.troubles.note(remote, &peer.whom, trouble);
        }
    }
    let told = match incoming.heard {
        true => Inbound::Closed(flow),
        false => Inbound::Failed(flow),
    };
    let _ = tell.send(told).await;
}

/// Takes our half of a TLS handshake.
async fn show(
    peer: &Peer,
    stream: TcpStream,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let connecting = peer.connector.connect(peer.name.clone(), stream);
    timeout(CONNECT_TIMEOUT, connecting).await?
}

/// Leaves from an address and, where it can be had, a port: the last connection from there may not
/// be forgotten yet.
async fn open(local: SocketAddr, port: u16, remote: SocketAddr) -> std::io::Result<TcpStream> {
    let opened = open_from(SocketAddr::new(local.ip(), port), remote).await;
    match opened {
        Err(error)
            if port != 0
                && matches!(
                    error.kind(),
                    std::io::ErrorKind::AddrInUse | std::io::ErrorKind::AddrNotAvailable
                ) =>
        {
            open_from(SocketAddr::new(local.ip(), 0), remote).await
        }
        opened => opened,
    }
}

async fn open_from(local: SocketAddr, remote: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if remote.is_ipv4() {
        tokio::net::TcpSocket::new_v4()?
    } else {
        tokio::net::TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(local)?;
    socket.set_nodelay(true)?;
    socket.connect(remote).await
}

/// Serves a connection, and takes leave of its peer: over TLS an end without close_notify may be an
/// attacker's (RFC 8446 §6.1).
///
/// # Errors
/// When it broke.
async fn serve<S>(
    stream: S,
    incoming: &mut Incoming,
    queue: mpsc::Receiver<Order>,
    tell: &mpsc::Sender<Inbound>,
) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, mut writer) = tokio::io::split(stream);
    let served = exchange((reader, &mut writer), incoming, queue, tell).await;
    let _ = timeout(incoming.patience.write, writer.shutdown()).await;
    served
}

/// Reads and writes until either side ends, breaks the framing or is too slow.
async fn exchange(
    (mut reader, mut writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    incoming: &mut Incoming,
    mut queue: mpsc::Receiver<Order>,
    tell: &mpsc::Sender<Inbound>,
) -> std::io::Result<()> {
    let mut buffer = vec![0_u8; READ_BYTES];
    let remote = incoming.flow.remote;
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                let bytes = buffer.get(..length).unwrap_or_default();
                if !incoming.deliver(bytes, tell, &mut writer).await {
                    return Ok(());
                }
            }
            order = queue.recv() => match order {
                Some(Order::Write(message)) => {
                    if !incoming.write(&mut writer, &message).await {
                        return last_words(&mut reader).await;
                    }
                }
                Some(Order::Doubt(since)) if incoming.is_quiet_since(since) => {
                    tracing::debug!(%remote, "a SIP connection leads nowhere any more");
                    return Ok(());
                }
                Some(Order::Doubt(_)) => {}
                None => return Ok(()),
            },
            () = clock::sleep_until(incoming.ping_at) => {
                if !incoming.write(&mut writer, PING).await {
                    return Ok(());
                }
            }
            () = clock::sleep_until(Some(incoming.deadline())) => {
                tracing::debug!(%remote, "a SIP connection was too slow or idle");
                return Ok(());
            }
        }
    }
}

/// Hears why a peer does not take what we write: its alert may have come first.
async fn last_words(reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let read = timeout(LAST_WORDS, reader.read(&mut [0; 1])).await;
    read.map_or(Ok(()), |read| read.map(|_| ()))
}

/// Asks whether somebody is there (RFC 5626 §4.4.1).
const PING: &[u8] = b"\r\n\r\n";

/// One side of a connection: what its peer has sent, and until when it must go on.
struct Incoming {
    framer: Framer,
    flow: Flow,
    patience: Patience,
    /// Until when the first message must be whole; `None` once it was.
    first_by: Option<Instant>,
    /// Until when the message that has begun must be whole.
    whole_by: Option<Instant>,
    /// When the last byte came, and whether any did.
    quiet_since: Instant,
    heard: bool,
    /// We opened it and keep it open, and when that wants a ping next.
    pings: bool,
    ping_at: Option<Instant>,
    /// Since when a ping of ours is unanswered, and whether one was answered before.
    pinged_at: Option<Instant>,
    answers_pings: bool,
}

impl Incoming {
    fn new(flow: Flow, patience: Patience) -> Self {
        Self {
            framer: Framer::default(),
            flow,
            patience,
            first_by: None,
            whole_by: None,
            quiet_since: clock::now(),
            heard: false,
            pings: false,
            ping_at: None,
            pinged_at: None,
            answers_pings: false,
        }
    }

    /// Takes note that something of ours went over the connection.
    fn spoke(&mut self) {
        let (least, most) = self.patience.silence;
        // Many connections that were opened at once are not pinged at once.
        let pause = rand::rng().random_range(least..=most);
        self.ping_at = self.pings.then(|| clock::now() + pause);
    }

    fn deadline(&self) -> Instant {
        let idle = self.quiet_since + self.patience.idle;
        let pinged_at = self.pinged_at.filter(|_| self.answers_pings);
        let pong_by = pinged_at.map(|at| at + self.patience.pong);
        let due = clock::earliest(self.first_by, self.whole_by);
        clock::earliest(due, pong_by).map_or(idle, |due| due.min(idle))
    }

    /// Whether nothing has come since then.
    fn is_quiet_since(&self, since: Instant) -> bool {
        !self.heard || self.quiet_since < since
    }

    /// Frames what came and hands whole messages on; false ends the connection.
    async fn deliver(
        &mut self,
        bytes: &[u8],
        tell: &mpsc::Sender<Inbound>,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> bool {
        self.heard = true;
        self.framer.push(bytes);
        let (mut pinged, mut went_on) = (false, false);
        loop {
            match self.framer.next_frame() {
                Ok(Some(Frame::Message(message))) => {
                    self.first_by = None;
                    went_on = true;
                    let message = Inbound::Message(self.flow, message);
                    if tell.send(message).await.is_err() {
                        return false;
                    }
                }
                Ok(Some(Frame::Ping)) => pinged = true,
                Ok(Some(Frame::Pong)) => self.answers_pings |= self.pinged_at.take().is_some(),
                Ok(None) => break,
                Err(error) => {
                    let remote = self.flow.remote;
                    tracing::debug!(%error, %remote, "a SIP connection was closed");
                    return false;
                }
            }
        }
        let now = clock::now();
        self.quiet_since = now;
        if self.answers_pings {
            // Whatever came shows that somebody is there.
            self.pinged_at = None;
        }
        self.whole_by = match self.whole_by.filter(|_| !went_on) {
            _ if !self.framer.is_mid_message() => None,
            Some(begun) => Some(begun),
            None => Some(now + self.patience.message),
        };
        // However many pings one read held, one pong shows that we are here.
        !pinged || self.write(writer, b"\r\n").await
    }

    /// Writes a message whole; false when the connection is gone, or its peer does not read.
    async fn write(&mut self, writer: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> bool {
        self.spoke();
        if message == PING {
            self.framer.expect_pong();
            self.pinged_at.get_or_insert(clock::now());
        }
        let writing = async {
            writer.write_all(message).await?;
            // What is encrypted may wait for more.
            writer.flush().await
        };
        match timeout(self.patience.write, writing).await {
            Ok(written) => written.is_ok(),
            Err(_) => {
                let remote = self.flow.remote;
                tracing::debug!(%remote, "a SIP connection's peer does not read");
                false
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/tcp.rs"]
mod tests;
