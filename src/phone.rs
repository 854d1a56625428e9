//! A phone: Offhook's own user agent without the switch. The command line, the demonstration's
//! caller and the benches call with it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use offhook_sip::uri::{Scheme, Uri};
use offhook_sip::{Access, Advertise, Guard, Reliable, SessionTimer, Settings, Timers, Transport};
use rand::Rng;

use crate::call::dial::Dialling;
use crate::call::line::LegTerms;
use crate::call::{Line, Sip};
use crate::net::media::{MediaError, MediaThread, PortPool};
use crate::net::resolver::{Over, ResolveError, Resolver};
use crate::net::sip::{Listen, ListenError, News, Tls, Whom, local_address_towards};

/// Ports of a phone's media; the switch's own range is another by default.
const PORTS: RangeInclusive<u16> = 30_000..=39_999;
/// What a phone can speak over, the best first where the other side does not mind.
pub(crate) const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];
/// Calls that one phone may have.
const CALLS_MAX: usize = 4096;

/// Explains why a phone could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// No socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No media thread.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// No address for the host.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// It asks for TLS on each hop, which nobody here can promise of the next one's.
    #[error("`{0}` asks for TLS on every hop: `sip:…;transport=tls` has it on the first")]
    Secure(String),
    /// It names a transport that is not there.
    #[error("`{0}` names a transport that this version cannot do: udp, tcp and tls are there")]
    Transport(String),
    /// Not a SIP URI.
    #[error("`{0}` is not a SIP URI: write it like sip:name@host:5060")]
    BadUri(String),
}

/// What a phone has of its own.
#[derive(Debug)]
pub struct Own {
    /// What TLS goes by.
    pub tls: Tls,
    /// Which of its addresses its messages name.
    pub advertise: Advertise,
    /// Where its media is.
    pub ports: RangeInclusive<u16>,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            tls: Tls::default(),
            advertise: Advertise::default(),
            ports: PORTS,
        }
    }
}

/// A phone on one local address.
pub struct Phone {
    /// What places its calls.
    pub line: Arc<Line>,
    /// Keeps the SIP task's news flowing; a phone takes no calls.
    news: tokio::task::JoinHandle<()>,
}

/// Where a URI leads.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The URI as it is dialled.
    pub uri: String,
    /// Its addresses, best first.
    pub targets: Vec<SocketAddr>,
    /// What the URI says (`;transport=tcp`), or else what the host's records prefer.
    pub transport: Transport,
    /// Whether the URI says so.
    pub pinned: bool,
    /// The host, which a certificate must name.
    pub host: String,
}

impl Destination {
    /// Resolves a URI; a bare `name@host` is taken for `sip:name@host`.
    ///
    /// # Errors
    /// When it is not a SIP URI, or its host has no address.
    pub async fn resolve(text: &str) -> Result<Self, PhoneError> {
        let shown = || text.chars().take(80).collect();
        let bad = || PhoneError::BadUri(shown());
        let begins = |scheme: &str| {
            let start = text.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        let uri = if begins("sip:") || begins("sips:") {
            text.to_owned()
        } else {
            format!("sip:{text}")
        };
        let parsed = Uri::parse(&uri).map_err(|_| bad())?;
        let host = parsed.host.to_string();
        if !parsed.is_sip() || host.is_empty() {
            return Err(bad());
        }
        // A call that was to be secret is not placed in the clear (RFC 3261 §26.2.2).
        let named = parsed.transport().map(str::to_ascii_lowercase);
        let pinned = match named.as_deref() {
            _ if parsed.scheme == Scheme::Sips => return Err(PhoneError::Secure(shown())),
            None => None,
            Some("udp") => Some(Transport::Udp),
            Some("tcp") => Some(Transport::Tcp),
            Some("tls") => Some(Transport::Tls),
            Some(_) => return Err(PhoneError::Transport(shown())),
        };
        let resolver = Resolver::from_system();
        let over = Over::of(pinned, &TRANSPORTS);
        let found = resolver.resolve(&host, parsed.port, over).await?;
        Ok(Self {
            uri: uri.clone(),
            targets: found.addresses,
            transport: found.transport,
            pinned: pinned.is_some(),
            host,
        })
    }

    /// Whom a call must reach, where TLS can tell: the host, with a certificate of an authority of
    /// that file, or of the system's.
    #[must_use]
    pub fn whom(&self, ca: Option<&Path>) -> Option<Whom> {
        (self.transport == Transport::Tls).then(|| Whom {
            host: self.host.clone(),
            ca: ca.map(Path::to_owned),
        })
    }

    /// A call there from a URI, in the clear.
    #[must_use]
    pub fn dialling(&self, from: impl Into<String>) -> Dialling {
        let targets = self.targets.clone();
        Dialling {
            pinned: self.pinned,
            whom: self.whom(None),
            ..Dialling::new(&self.uri, from, targets, self.transport)
        }
    }

    /// The local address that faces the destination.
    #[must_use]
    pub fn local_address(&self) -> IpAddr {
        let towards = self
            .targets
            .first()
            .copied()
            .and_then(local_address_towards);
        towards.unwrap_or(IpAddr::from([127, 0, 0, 1]))
    }
}

impl Phone {
    /// Opens a phone on `address`, on ports that the system chooses.
    ///
    /// # Errors
    /// When a socket or a thread cannot be had.
    pub async fn start(address: IpAddr, media_core: Option<usize>) -> Result<Self, PhoneError> {
        Self::start_with(address, media_core, Own::default()).await
    }

    /// Does the same with what it has of its own.
    ///
    /// # Errors
    /// When a socket or a thread cannot be had.
    pub async fn start_with(
        address: IpAddr,
        media_core: Option<usize>,
        own: Own,
    ) -> Result<Self, PhoneError> {
        let local = SocketAddr::new(address, 0);
        let listen = [
            Listen {
                transport: Transport::Udp,
                address: local,
            },
            Listen {
                transport: Transport::Tcp,
                address: local,
            },
        ];
        let settings = Settings {
            product: concat!("Offhook/", env!("CARGO_PKG_VERSION"), " phone").to_owned(),
            timers: Timers::default(),
            session: SessionTimer::default(),
            max_calls: CALLS_MAX,
            max_transactions: CALLS_MAX * 4,
            seed: rand::rng().random(),
            advertise: own.advertise.clone(),
            access: Access::default(),
            guard: Guard::off(),
            transfers: false,
            retry_after_s: 5,
            reliable: Reliable::Supported,
        };
        let (sip, mut news) = Sip::start(&listen, own.tls, settings).await?;
        let media = MediaThread::start(media_core)?;
        let ports = PortPool::new(own.ports, rand::rng().random());
        let line = Line::new(sip.clone(), media, ports, own.advertise);
        // What a phone hears is recorded or measured, its own echo included.
        let line = Arc::new(line.with_terms(LegTerms {
            echo_gate: false,
            ..LegTerms::default()
        }));
        let news = tokio::spawn(async move {
            while let Some(event) = news.recv().await {
                if let News::Incoming(call) = event {
                    // 480: this phone only places calls.
                    let _ = sip.reject(call.call, 480, Vec::new()).await;
                }
            }
        });
        Ok(Self { line, news })
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.news.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_is_to_be_secret_is_not_placed_in_the_clear() {
        for secret in ["sips:alice@127.0.0.1", "SIPS:alice@127.0.0.1:5061"] {
            let refused = Destination::resolve(secret).await;
            assert!(matches!(refused, Err(PhoneError::Secure(_))), "{secret}");
        }
        let unknown = Destination::resolve("sip:alice@127.0.0.1;transport=sctp").await;
        assert!(matches!(unknown, Err(PhoneError::Transport(_))));
        for (open, transport) in [
            ("sip:alice@127.0.0.1", Transport::Udp),
            ("alice@127.0.0.1:5070", Transport::Udp),
            ("sip:alice@127.0.0.1;transport=TCP", Transport::Tcp),
            ("sip:alice@127.0.0.1;transport=tls", Transport::Tls),
        ] {
            let destination = Destination::resolve(open).await.unwrap();
            assert_eq!(destination.transport, transport, "{open}");
        }
    }
}
