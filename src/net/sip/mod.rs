//! The SIP shell: one task owns the [`UserAgent`](offhook_sip::UserAgent) and its sockets; calls
//! speak to it over bounded queues, and each call has a mailbox of its own for what the network says.

mod callers;
mod complaints;
mod endpoint;
mod error;
mod held;
mod identity;
mod places;
mod rerouting;
mod signal;
mod sockets;
mod tcp;
mod tls;
mod transfer;
mod ways;
mod whom;
mod ws;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use offhook_sip::{
    CallHandle, Flow, Incoming, Invite, Network, OptionsPing, Refer, Register, RegistrationHandle,
    Settings, Transport,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::mailbox;

use callers::Callers;
pub use endpoint::Request;
pub use error::SipError;
pub use held::Held;
pub use signal::Signal;
pub use sockets::{Listen, ListenError};
pub use tls::{Tls, TlsError, TlsFiles};
pub use transfer::{ReferAsked, ReferReport};
pub use ways::transports;
pub use whom::Whom;

/// Commands that may wait for the SIP task.
const COMMAND_QUEUE: usize = 4096;
/// What one call's mailbox holds; a call that does not read it is hung up.
const SIGNAL_QUEUE: usize = 64;
/// Calls and requests that may wait for the switchboard.
const NEWS_QUEUE: usize = 1024;

/// A call that rings here.
#[derive(Debug)]
pub struct IncomingCall {
    /// Its handle.
    pub call: CallHandle,
    /// What the INVITE says.
    pub invite: Incoming,
    /// The call's mailbox.
    pub signals: mailbox::Receiver<Signal>,
}

/// What the switchboard hears from the SIP task.
#[derive(Debug)]
pub enum News {
    /// A call rings.
    Incoming(Box<IncomingCall>),
    /// A registered phone's request, a REGISTER, wants an answer.
    Request(Box<Request>),
    /// The connection that such a request came over is closed: nobody is reached over it any more.
    Closed(Flow),
}

pub(crate) enum Command {
    Invite(Box<Invite>, oneshot::Sender<Result<PlacedCall, SipError>>),
    Ring(CallHandle, u16, Option<Vec<u8>>),
    Answer(CallHandle, Vec<u8>, oneshot::Sender<bool>),
    Reject(CallHandle, u16, Vec<(String, String)>),
    HangUp(CallHandle, Option<String>),
    Reoffer(CallHandle, Vec<u8>),
    AnswerReoffer(CallHandle, Result<Option<Vec<u8>>, u16>),
    Info(CallHandle, &'static str, Vec<u8>),
    Refer(CallHandle, Box<Refer>),
    TransferTo(CallHandle, oneshot::Sender<Option<Refer>>),
    AnswerRefer(CallHandle, Result<(), u16>),
    NotifyRefer(CallHandle, u16, String),
    Register(
        Box<Register>,
        oneshot::Sender<Result<PlacedRegistration, SipError>>,
    ),
    Ping(
        Box<OptionsPing>,
        oneshot::Sender<Result<Option<u16>, SipError>>,
    ),
    Move(RegistrationHandle, Flow),
    Unregister(RegistrationHandle),
    TrunkNetworks(String, Vec<Network>),
    Expect(Flow, tls::Peer),
    Reroute(Box<rerouting::Hop>, Flow),
    TakesCalls(bool),
    Close(oneshot::Sender<()>),
    Respond(Box<Request>, u16, Vec<(String, String)>),
    Stats(oneshot::Sender<offhook_sip::Stats>),
}

/// A call that was placed: its handle and mailbox.
#[derive(Debug)]
pub struct PlacedCall {
    /// Its handle.
    pub call: CallHandle,
    /// The call's mailbox.
    pub signals: mailbox::Receiver<Signal>,
}

/// A registration that is kept alive: its handle, and how it stands.
#[derive(Debug)]
pub struct PlacedRegistration {
    /// Its handle.
    pub registration: RegistrationHandle,
    /// How it stands; each answer of the registrar counts as a change.
    pub state: watch::Receiver<RegistrationState>,
}

/// How a registration of ours stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// The registrar has not answered yet.
    Asking,
    /// It holds.
    Registered {
        /// For how long.
        expires_s: u32,
        /// The route that requests but REGISTER are to take (RFC 3608).
        service_route: Vec<String>,
    },
    /// It failed; it is tried again by itself.
    Failed {
        /// The status that said so.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// The header that says most of why.
        said: Option<String>,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// Speaks to the SIP task. Cloning is cheap.
#[derive(Clone)]
pub struct Sip {
    commands: mpsc::Sender<Command>,
    listeners: Arc<[(Transport, SocketAddr)]>,
    callers: Arc<Callers>,
    tls: Arc<Tls>,
    tap: Tap,
}

/// Where copies of what comes in go, once somebody wants them.
type Tap = Arc<OnceLock<mpsc::Sender<Box<[u8]>>>>;

impl Sip {
    /// Opens the listeners and starts the task; `tls` is what TLS goes by.
    ///
    /// # Errors
    /// When a listener cannot be opened.
    pub async fn start(
        listen: &[Listen],
        tls: Tls,
        settings: Settings,
    ) -> Result<(Self, mpsc::Receiver<News>), ListenError> {
        Self::start_for_pages(listen, tls, Arc::default(), settings).await
    }

    /// Does the same, and lets pages of these origins (RFC 6454) connect to listeners of WebSockets.
    ///
    /// # Errors
    /// When a listener cannot be opened.
    pub async fn start_for_pages(
        listen: &[Listen],
        tls: Tls,
        origins: Arc<[String]>,
        settings: Settings,
    ) -> Result<(Self, mpsc::Receiver<News>), ListenError> {
        let pages = ws::Pages::of(origins);
        let tls = Arc::new(tls);
        tokio::spawn(identity::keep_renewed(Arc::downgrade(&tls)));
        let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
        let (news, news_queue) = mpsc::channel(NEWS_QUEUE);
        let sockets = sockets::Sockets::open(listen, Arc::clone(&tls), pages).await?;
        let sip = Self {
            commands,
            listeners: sockets.listeners().into(),
            callers: Arc::default(),
            tls,
            tap: Arc::default(),
        };
        let endpoint = endpoint::Endpoint::new(settings, sockets, news, sip.downgrade());
        tokio::spawn(endpoint.run(command_queue));
        Ok((sip, news_queue))
    }

    fn downgrade(&self) -> rerouting::WeakSip {
        rerouting::WeakSip {
            commands: self.commands.downgrade(),
            listeners: Arc::clone(&self.listeners),
            callers: Arc::clone(&self.callers),
            tls: Arc::clone(&self.tls),
            tap: Arc::clone(&self.tap),
        }
    }

    /// Gives a copy of each message that comes in from now on, as long as no more than so many wait; to
    /// the first who asks.
    pub fn tap(&self, most: usize) -> mpsc::Receiver<Box<[u8]>> {
        let (tap, messages) = mpsc::channel(most);
        let _ = self.tap.set(tap);
        messages
    }

    /// The addresses that are really listened on, ports filled in.
    #[must_use]
    pub fn listeners(&self) -> &[(Transport, SocketAddr)] {
        &self.listeners
    }

    /// Places a call.
    ///
    /// # Errors
    /// When the user agent refuses it, or has ended.
    pub async fn invite(&self, invite: Invite) -> Result<PlacedCall, SipError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Invite(Box::new(invite), reply)).await?;
        answer.await.map_err(|_| SipError::Gone)?
    }

    /// Sends 180 or 183.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn ring(
        &self,
        call: CallHandle,
        status: u16,
        body: Option<Vec<u8>>,
    ) -> Result<(), SipError> {
        self.send(Command::Ring(call, status, body)).await
    }

    /// Answers a ringing call with an SDP answer; false when the caller has given up meanwhile.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn answer(&self, call: CallHandle, body: Vec<u8>) -> Result<bool, SipError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Answer(call, body, reply)).await?;
        answer.await.map_err(|_| SipError::Gone)
    }

    /// Refuses a ringing call.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn reject(
        &self,
        call: CallHandle,
        status: u16,
        headers: Vec<(String, String)>,
    ) -> Result<(), SipError> {
        self.send(Command::Reject(call, status, headers)).await
    }

    /// Ends a call by CANCEL, BYE or a refusal, as its state asks.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn hang_up(&self, call: CallHandle, reason: Option<String>) -> Result<(), SipError> {
        self.send(Command::HangUp(call, reason)).await
    }

    /// Offers the other side of an answered call another session description, by a re-INVITE;
    /// [`Signal::ReofferAnswered`] tells what it said. One offer is on its way at a time.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn reoffer(&self, call: CallHandle, offer: Vec<u8>) -> Result<(), SipError> {
        self.send(Command::Reoffer(call, offer)).await
    }

    /// Answers a re-offer with SDP, or refuses it with a status.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn answer_reoffer(
        &self,
        call: CallHandle,
        answer: Result<Option<Vec<u8>>, u16>,
    ) -> Result<(), SipError> {
        self.send(Command::AnswerReoffer(call, answer)).await
    }

    /// Tells the other side of an answered call something by INFO (RFC 6086).
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn info(
        &self,
        call: CallHandle,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<(), SipError> {
        self.send(Command::Info(call, content_type, body)).await
    }

    /// Registers with a registrar and keeps the binding.
    ///
    /// # Errors
    /// When the user agent refuses it, or has ended.
    pub async fn register(&self, register: Register) -> Result<PlacedRegistration, SipError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Register(Box::new(register), reply))
            .await?;
        answer.await.map_err(|_| SipError::Gone)?
    }

    /// Asks a peer whether it is there (RFC 3261 §11): the status of its answer, none where there
    /// is no answer.
    ///
    /// # Errors
    /// When the user agent refuses to ask, or has ended.
    pub async fn ping(&self, ping: OptionsPing) -> Result<Option<u16>, SipError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Ping(Box::new(ping), reply)).await?;
        answer.await.map_err(|_| SipError::Gone)?
    }

    /// Sends a registration's next requests over another flow.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn reroute(
        &self,
        registration: RegistrationHandle,
        flow: Flow,
    ) -> Result<(), SipError> {
        self.send(Command::Move(registration, flow)).await
    }

    /// Sets the networks that a trunk calls from.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn set_trunk_networks(
        &self,
        trunk: String,
        networks: Vec<Network>,
    ) -> Result<(), SipError> {
        self.send(Command::TrunkNetworks(trunk, networks)).await
    }

    /// Says whether a call that rang now would be taken; those who ask by OPTIONS are told.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn set_takes_calls(&self, takes_calls: bool) -> Result<(), SipError> {
        self.send(Command::TakesCalls(takes_calls)).await
    }

    /// Ends the call when what is returned is dropped, whatever becomes of the task that serves it;
    /// a call that is over by then is left alone.
    #[must_use]
    pub fn hold(&self, call: CallHandle) -> Held {
        Held::new(self.commands.clone(), call)
    }

    /// Gives a binding up.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn unregister(&self, registration: RegistrationHandle) -> Result<(), SipError> {
        self.send(Command::Unregister(registration)).await
    }

    /// Answers a phone's request.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn respond(
        &self,
        request: Box<Request>,
        status: u16,
        headers: Vec<(String, String)>,
    ) -> Result<(), SipError> {
        self.send(Command::Respond(request, status, headers)).await
    }

    /// Reads the user agent's counters.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn stats(&self) -> Result<offhook_sip::Stats, SipError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Stats(reply)).await?;
        answer.await.map_err(|_| SipError::Gone)
    }

    async fn send(&self, command: Command) -> Result<(), SipError> {
        self.commands
            .send(command)
            .await
            .map_err(|_| SipError::Gone)
    }
}

/// Asks the routing table which local address a packet to `remote` would carry; nothing is sent.
#[allow(clippy::disallowed_methods)] // a socket that sends nothing, in the sockets' shell
#[must_use]
pub fn local_address_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() {
        IpAddr::from([0_u8; 4])
    } else {
        IpAddr::from([0_u16; 8])
    };
    let socket = std::net::UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

#[cfg(test)]
#[path = "tests/torture.rs"]
mod torture;
