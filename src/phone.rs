//! A phone: Offhook's own user agent without the switch. The command line, the demonstration's
//! caller and the benches call with it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use offhook_sip::uri::Uri;
use offhook_sip::{Access, Advertise, Settings, Timers, Transport};
use rand::Rng;

use crate::call::{Line, Sip};
use crate::net::media::{MediaError, MediaThread, PortPool};
use crate::net::resolver::{ResolveError, Resolver};
use crate::net::sip::{Listen, ListenError, News, local_address_towards};

/// Ports of a phone's media; the switch's own range is another by default.
const PORTS: RangeInclusive<u16> = 30_000..=39_999;
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
    /// Not a SIP URI.
    #[error("`{0}` is not a SIP URI: write it like sip:name@host:5060")]
    BadUri(String),
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
    /// `UDP` unless the URI says `;transport=tcp`.
    pub transport: Transport,
}

impl Destination {
    /// Resolves a URI; a bare `name@host` is taken for `sip:name@host`.
    ///
    /// # Errors
    /// When it is not a SIP URI, or its host has no address.
    pub async fn resolve(text: &str) -> Result<Self, PhoneError> {
        let bad = || PhoneError::BadUri(text.chars().take(80).collect());
        let uri = if text.contains(':') && !text.contains("://") && text.starts_with("sip") {
            text.to_owned()
        } else {
            format!("sip:{text}")
        };
        let parsed = Uri::parse(&uri).map_err(|_| bad())?;
        let host = parsed.host.to_string();
        if !parsed.is_sip() || host.is_empty() {
            return Err(bad());
        }
        let transport = match parsed.transport() {
            Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
            _ => Transport::Udp,
        };
        let resolver = Resolver::from_system();
        let targets = resolver.resolve(&host, parsed.port, transport).await?;
        Ok(Self {
            uri: uri.clone(),
            targets,
            transport,
        })
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
            max_calls: CALLS_MAX,
            busy_calls: CALLS_MAX,
            max_transactions: CALLS_MAX * 4,
            seed: rand::rng().random(),
            advertise: Advertise::default(),
            access: Access::default(),
            retry_after_s: 5,
        };
        let (sip, mut news) = Sip::start(&listen, settings).await?;
        let media = MediaThread::start(media_core)?;
        let ports = PortPool::new(PORTS, rand::rng().random());
        let line = Arc::new(Line::new(
            sip.clone(),
            media,
            Vec::new(),
            ports,
            Advertise::default(),
        ));
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
