//! Listens, and serves each connection within limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::api::Api;
use super::guard::{Keys, Peer};
use super::routes::router;
use super::{Shared, guard};
use crate::config::HttpConfig;
use crate::observe::metrics::Metrics;

/// The most connections at one time; further ones wait in the system's backlog.
const MAX_CONNECTIONS: usize = 1_024;
/// How long a client may take to send its request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// A connection whose client takes nothing for so long is given up, in ms.
const STALLED_MS: u32 = 60_000;
/// How long open requests may go on when the switch stops.
const DRAIN: Duration = Duration::from_secs(5);
/// The pause after the system refuses a connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error("http.listen {address} cannot be used: {source}{}", hint(source))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address is open to other machines, and there is no key.
    #[error("http.listen {0} is reachable from other machines: add an [[http.key]]")]
    Open(SocketAddr),
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another program listens there, or this one runs twice",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need permission",
        std::io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    }
}

/// The API, listening.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    keys: Keys,
}

impl Server {
    /// Listens where the configuration says.
    ///
    /// # Errors
    /// Fails when the address cannot be used, or is open to others without a key.
    pub async fn bind(config: &HttpConfig) -> Result<Self, HttpError> {
        let address = config.listen;
        if config.keys.is_empty() && !address.ip().is_loopback() {
            return Err(HttpError::Open(address));
        }
        let failed = |source| HttpError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            keys: guard::Keys::new(&config.keys),
        })
    }

    /// Returns the address that is listened on, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is cancelled, then lets open requests end.
    pub async fn run<A: Api>(
        self,
        api: Arc<A>,
        metrics: Option<Metrics>,
        shutdown: CancellationToken,
    ) {
        let keys = Arc::new(self.keys);
        let shared = Shared {
            api,
            keys,
            metrics,
            shutdown: shutdown.clone(),
        };
        let router = router(shared);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &places) => accepted,
                () = shutdown.cancelled() => break,
            };
            let Some((stream, peer, place)) = accepted else {
                continue;
            };
            let (router, shutdown) = (router.clone(), shutdown.clone());
            connections.spawn(async move {
                connection(stream, peer, router, shutdown).await;
                drop(place);
            });
        }
        connections.close();
        let drained = tokio::time::timeout(DRAIN, connections.wait()).await;
        if drained.is_err() {
            tracing::warn!(open = connections.len(), "API connections cut at shutdown");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(%error, "API connection not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    shutdown: CancellationToken,
) {
    // Small answers leave at once, and a client that stopped reading is found out.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, STALLED_MS);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let mut router = router.clone();
        async move { router.call(request).await }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "API connection ended");
    }
}
