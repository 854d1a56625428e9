//! SIP over WebSocket (RFC 7118) on a connection that a peer has opened: one SIP message in each
//! message, pings, goodbyes, and a deadline for everything that a peer can be slow at.

mod handshake;

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use offhook_sip::Flow;
use offhook_sip::stream::{Frame, StreamError, read_whole};
use rand::Rng as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, error::ProtocolError};

use super::sockets::Inbound;
use super::tcp::{self, Order, Patience, WRITE_QUEUE};
use crate::clock;
pub(super) use handshake::Pages;
use handshake::{Socket, upgrade};

/// What a switch bears. A page is pinged often enough for the NATs on its way, and so that one whose
/// machine was closed is known to be gone soon: browsers answer by themselves. Since only a whole
/// message buys time, one in pieces is as bounded as silence.
pub(super) const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(90),
    silence: (Duration::from_secs(25), Duration::from_secs(35)),
    ..tcp::PATIENCE
};
/// How long a peer may take to read our goodbye.
const PARTING: Duration = Duration::from_secs(2);

/// Serves a connection that a peer has opened, once it has become a WebSocket; the first SIP message
/// must come by `first_by`.
pub(super) async fn serve_accepted<S>(
    stream: S,
    (flow, first_by): (Flow, Option<Instant>),
    patience: Patience,
    pages: &Pages,
    tell: &mpsc::Sender<Inbound>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let remote = flow.remote;
    let upgrading = upgrade(stream, remote, pages);
    let mut socket = match timeout(patience.first_message, upgrading).await {
        Ok(Some(socket)) => socket,
        Ok(None) | Err(_) => {
            tracing::debug!(%remote, "a connection did not become a WebSocket");
            return;
        }
    };
    let (writer, queue) = mpsc::channel(WRITE_QUEUE);
    if tell.send(Inbound::Connected(flow, writer)).await.is_err() {
        return;
    }
    let mut talk = Talk::new(flow, first_by, patience, tell);
    let over = talk.serve(&mut socket, queue).await;
    // Before the goodbye, which may take a while: nothing more goes over it.
    let _ = tell.send(Inbound::Closed(flow)).await;
    tracing::debug!(%remote, why = over.words, "a SIP WebSocket is closed");
    let _ = timeout(PARTING, part(socket, over)).await;
}

/// Why a connection ends, as the peer is told (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Over {
    /// None where the peer has said goodbye itself, or hears nothing.
    code: Option<CloseCode>,
    words: &'static str,
}

impl Over {
    const fn told(code: CloseCode, words: &'static str) -> Self {
        let code = Some(code);
        Self { code, words }
    }

    const fn untold(words: &'static str) -> Self {
        Self { code: None, words }
    }
}

impl From<Error> for Over {
    fn from(error: Error) -> Self {
        match error {
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::untold("the connection broke")
            }
            Error::Protocol(_) => Self::told(CloseCode::Protocol, "not as RFC 6455 has it"),
            Error::Capacity(_) => Self::told(CloseCode::Size, "a message that is too long"),
            Error::Utf8(_) => Self::told(CloseCode::Invalid, "a text that is not UTF-8"),
            _ => Self::untold("the peer has gone"),
        }
    }
}

impl From<StreamError> for Over {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::HeaderTooLong => {
                Self::told(CloseCode::Size, "a header section that is too long")
            }
            StreamError::MessageTooLong => {
                Self::told(CloseCode::Size, "a message that is too long")
            }
            _ => Self::told(
                CloseCode::Policy,
                "each WebSocket message carries one SIP message",
            ),
        }
    }
}

/// Says goodbye, then reads on until the peer has closed: whoever is sent something unread loses what
/// was sent last (RFC 6455 §7.1.1).
async fn part(mut socket: Socket, over: Over) {
    if let Some(code) = over.code {
        let reason = over.words.into();
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code, reason };
        let _ = socket.close(Some(frame)).await;
    }
    let stream = socket.get_mut();
    let _ = stream.shutdown().await;
    let mut unread = vec![0; 4096];
    while let Ok(1..) = stream.read(&mut unread).await {}
}

/// One connection: what its peer has sent, and until when it must go on.
struct Talk<'a> {
    flow: Flow,
    patience: Patience,
    tell: &'a mpsc::Sender<Inbound>,
    /// Until when the first SIP message must be there; `None` once it was.
    first_by: Option<Instant>,
    /// When the last message came, pings and pongs included.
    quiet_since: Instant,
    ping_at: Instant,
}

impl<'a> Talk<'a> {
    fn new(
        flow: Flow,
        first_by: Option<Instant>,
        patience: Patience,
        tell: &'a mpsc::Sender<Inbound>,
    ) -> Self {
        let now = clock::now();
        let mut talk = Self {
            flow,
            patience,
            tell,
            first_by,
            quiet_since: now,
            ping_at: now,
        };
        talk.spoke();
        talk
    }

    /// Takes note that something of ours went over the connection.
    fn spoke(&mut self) {
        let (least, most) = self.patience.silence;
        // Pages that were opened at once are not pinged at once.
        self.ping_at = clock::now() + rand::rng().random_range(least..=most);
    }

    fn deadline(&self) -> Instant {
        let idle = self.quiet_since + self.patience.idle;
        self.first_by.map_or(idle, |first_by| first_by.min(idle))
    }

    /// Reads and writes until either side ends, breaks the rules or is too slow.
    async fn serve(&mut self, socket: &mut Socket, mut queue: mpsc::Receiver<Order>) -> Over {
        loop {
            let done = tokio::select! {
                read = socket.next() => match read {
                    Some(Ok(message)) => self.hear(socket, message).await,
                    Some(Err(error)) => Err(error.into()),
                    None => Err(Over::untold("the peer has gone")),
                },
                order = queue.recv() => match order {
                    Some(Order::Write(message)) => self.write(socket, in_frame(message)).await,
                    // Its pings tell soon enough.
                    Some(Order::Doubt(_)) => Ok(()),
                    None => Err(Over::told(CloseCode::Away, "the switch stops")),
                },
                () = clock::sleep_until(Some(self.ping_at)) => {
                    self.write(socket, Message::Ping(Bytes::new())).await
                }
                () = clock::sleep_until(Some(self.deadline())) => {
                    Err(Over::told(CloseCode::Policy, "too slow or idle"))
                }
            };
            if let Err(over) = done {
                return over;
            }
        }
    }

    /// Takes what came: text and binary are the same to SIP (RFC 7118 §5). Pings and a goodbye have
    /// their answers by the next read.
    async fn hear(&mut self, socket: &mut Socket, message: Message) -> Result<(), Over> {
        self.quiet_since = clock::now();
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                return Ok(());
            }
        };
        match read_whole(&bytes)? {
            Frame::Message(message) => {
                self.first_by = None;
                let message = Inbound::Message(self.flow, message);
                let told = self.tell.send(message).await;
                told.map_err(|_| Over::told(CloseCode::Away, "the switch stops"))
            }
            // RFC 7118 §6, RFC 5626 §4.4.1.
            Frame::Ping => self.write(socket, Message::text("\r\n")).await,
            Frame::Pong => Ok(()),
        }
    }

    /// Writes a message whole, unless the connection is gone or its peer does not read.
    async fn write(&mut self, socket: &mut Socket, message: Message) -> Result<(), Over> {
        self.spoke();
        match timeout(self.patience.write, socket.send(message)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Over::untold("the peer does not read")),
        }
    }
}

/// Puts a SIP message into a frame: text where it is that, as browsers' scripts expect it.
fn in_frame(message: Vec<u8>) -> Message {
    match String::from_utf8(message) {
        Ok(text) => Message::text(text),
        Err(other) => Message::binary(other.into_bytes()),
    }
}

#[cfg(test)]
#[path = "tests/ws.rs"]
mod tests;
