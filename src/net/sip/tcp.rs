//! SIP over TCP: framing by Content-Length (RFC 3261 §18.3), keep-alives (RFC 5626 §4.4.1),
//! bounded queues and idle connections closed.

use std::net::SocketAddr;
use std::time::Duration;

use offhook_sip::stream::{Frame, Framer};
use offhook_sip::{Flow, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::sockets::Inbound;

/// Messages that may wait for one connection's peer to read.
pub(super) const WRITE_QUEUE: usize = 256;
/// Connections accepted at once; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 1024;
/// How long a peer may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without a byte for this long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

pub(super) async fn accept(listener: TcpListener, tell: mpsc::Sender<Inbound>) {
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else {
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
            serve(stream, flow, queue, &tell).await;
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
            serve(stream, flow, queue, &tell).await;
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

async fn serve(
    stream: TcpStream,
    flow: Flow,
    mut queue: mpsc::Receiver<Vec<u8>>,
    tell: &mpsc::Sender<Inbound>,
) {
    let (mut reader, mut writer) = stream.into_split();
    let mut framer = Framer::default();
    let mut buffer = vec![0_u8; READ_BYTES];
    loop {
        tokio::select! {
            read = timeout(IDLE_TIMEOUT, reader.read(&mut buffer)) => {
                let Ok(Ok(length)) = read else { return };
                if length == 0 {
                    return;
                }
                let bytes = buffer.get(..length).unwrap_or_default();
                if !deliver(&mut framer, bytes, flow, tell, &mut writer).await {
                    return;
                }
            }
            message = queue.recv() => {
                let Some(message) = message else { return };
                if writer.write_all(&message).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Frames what came and hands whole messages on; false ends the connection.
async fn deliver(
    framer: &mut Framer,
    bytes: &[u8],
    flow: Flow,
    tell: &mpsc::Sender<Inbound>,
    writer: &mut tokio::net::tcp::OwnedWriteHalf,
) -> bool {
    framer.push(bytes);
    loop {
        let going_on = match framer.next_frame() {
            Ok(Some(Frame::Message(message))) => {
                tell.send(Inbound::Message(flow, message)).await.is_ok()
            }
            Ok(Some(Frame::Ping)) => writer.write_all(b"\r\n").await.is_ok(),
            Ok(Some(Frame::Pong)) => true,
            Ok(None) => return true,
            Err(error) => {
                tracing::debug!(%error, remote = %flow.remote, "a SIP connection was closed");
                false
            }
        };
        if !going_on {
            return false;
        }
    }
}
