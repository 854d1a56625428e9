//! SIP over TCP: framing by Content-Length (RFC 3261 §18.3), keep-alives (RFC 5626 §4.4.1),
//! bounded queues, and a deadline for everything that a peer can be slow at.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_sip::stream::{Frame, Framer};
use offhook_sip::{Flow, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::complaints::Complaints;
use super::places::Places;
use super::sockets::Inbound;
use crate::clock;

/// Messages that may wait for one connection's peer to read.
pub(super) const WRITE_QUEUE: usize = 256;
/// How long a peer may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

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
}

/// What a switch bears.
pub(super) const PATIENCE: Patience = Patience {
    first_message: Duration::from_secs(10),
    message: Duration::from_secs(10),
    write: Duration::from_secs(10),
    idle: Duration::from_secs(600),
};

/// Accepts connections and serves them for as long as the SIP task listens.
pub(super) async fn accept(listener: TcpListener, tell: mpsc::Sender<Inbound>, patience: Patience) {
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
            transport: Transport::Tcp,
            local,
            remote,
        };
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        if tell.send(Inbound::Connected(flow, writer)).await.is_err() {
            return;
        }
        let tell = tell.clone();
        tokio::spawn(async move {
            let mut incoming = Incoming::new(flow, patience);
            incoming.first_by = Some(clock::now() + patience.first_message);
            serve(stream, incoming, queue, &tell).await;
            let _ = tell.send(Inbound::Closed(flow)).await;
            drop(place);
        });
    }
}

/// Connects to the flow's remote side, then serves the connection.
pub(super) async fn connect(
    flow: Flow,
    queue: mpsc::Receiver<Vec<u8>>,
    tell: mpsc::Sender<Inbound>,
) {
    let connected = timeout(CONNECT_TIMEOUT, open(flow.local, flow.remote)).await;
    match connected {
        Ok(Ok(stream)) => {
            serve(stream, Incoming::new(flow, PATIENCE), queue, &tell).await;
            let _ = tell.send(Inbound::Closed(flow)).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, remote = %flow.remote, "a SIP connection was refused");
            let _ = tell.send(Inbound::Failed(flow)).await;
        }
        Err(_) => {
            let _ = tell.send(Inbound::Failed(flow)).await;
        }
    }
}

/// Leaves from the listener's address, from a port that the system chooses.
async fn open(local: SocketAddr, remote: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if remote.is_ipv4() {
        tokio::net::TcpSocket::new_v4()?
    } else {
        tokio::net::TcpSocket::new_v6()?
    };
    socket.bind(SocketAddr::new(local.ip(), 0))?;
    socket.set_nodelay(true)?;
    socket.connect(remote).await
}

/// Reads and writes until either side ends, breaks the framing or is too slow.
async fn serve(
    stream: TcpStream,
    mut incoming: Incoming,
    mut queue: mpsc::Receiver<Vec<u8>>,
    tell: &mpsc::Sender<Inbound>,
) {
    let (mut reader, mut writer) = stream.into_split();
    let mut buffer = vec![0_u8; READ_BYTES];
    let remote = incoming.flow.remote;
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => {
                let Ok(length) = read else { return };
                if length == 0 {
                    return;
                }
                let bytes = buffer.get(..length).unwrap_or_default();
                if !incoming.deliver(bytes, tell, &mut writer).await {
                    return;
                }
            }
            message = queue.recv() => {
                let Some(message) = message else { return };
                if !incoming.write(&mut writer, &message).await {
                    return;
                }
            }
            () = clock::sleep_until(Some(incoming.deadline())) => {
                tracing::debug!(%remote, "a SIP connection was too slow or idle");
                return;
            }
        }
    }
}

/// One side of a connection: what its peer has sent, and until when it must go on.
struct Incoming {
    framer: Framer,
    flow: Flow,
    patience: Patience,
    /// Until when the first message must be whole; `None` once it was.
    first_by: Option<Instant>,
    /// Until when the message that has begun must be whole.
    whole_by: Option<Instant>,
    /// When the last byte came.
    quiet_since: Instant,
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
        }
    }

    fn deadline(&self) -> Instant {
        let idle = self.quiet_since + self.patience.idle;
        let due = clock::earliest(self.first_by, self.whole_by);
        due.map_or(idle, |due| due.min(idle))
    }

    /// Frames what came and hands whole messages on; false ends the connection.
    async fn deliver(
        &mut self,
        bytes: &[u8],
        tell: &mpsc::Sender<Inbound>,
        writer: &mut OwnedWriteHalf,
    ) -> bool {
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
                Ok(Some(Frame::Pong)) => {}
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
        self.whole_by = match self.whole_by.filter(|_| !went_on) {
            _ if !self.framer.is_mid_message() => None,
            Some(begun) => Some(begun),
            None => Some(now + self.patience.message),
        };
        // However many pings one read held, one pong shows that we are here.
        !pinged || self.write(writer, b"\r\n").await
    }

    /// Writes a message whole; false when the connection is gone, or its peer does not read.
    async fn write(&self, writer: &mut OwnedWriteHalf, message: &[u8]) -> bool {
        match timeout(self.patience.write, writer.write_all(message)).await {
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
