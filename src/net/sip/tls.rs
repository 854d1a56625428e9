//! What SIP over TLS goes by (RFC 3261 §26.2.1): our own certificate, whose certificates are
//! believed, and the name that each peer must show.
//!
//! A peer is known by the name that the configuration gives it, never by what the DNS made of that:
//! the name is asked for (SNI) and must be in the certificate (RFC 5922 §7.2).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use offhook_sip::Flow;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::identity::{Identity, Renewal};
use super::whom::{Troubles, Whom};

/// Flows whose peers are remembered; trunks have a few each.
const PEERS_MAX: usize = 4_096;

/// The files of `[sip.tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, then those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Whoever connects must show a certificate of these authorities.
    pub client_ca: Option<PathBuf>,
}

/// Explains why TLS cannot be had with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read, or holds something else.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// This machine knows no authorities.
    #[error(
        "this system has no authorities' certificates to believe in: install ca-certificates, or \
         name the trunk's own authority as its `ca`"
    )]
    NoAuthorities,
    /// What a file holds does not go together.
    #[error("{}: {source}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: rustls::Error,
    },
    /// The peer's name is neither a name nor an address.
    #[error("`{0}` cannot be a name in a certificate")]
    Name(String),
}

/// Certificates, ours and those that are believed. By default we have none, and only connect.
#[derive(Default)]
pub struct Tls {
    server: Option<TlsAcceptor>,
    identity: Option<Arc<Identity>>,
    /// By authority; none is the system's.
    clients: Mutex<HashMap<Option<PathBuf>, Arc<ClientConfig>>>,
    troubles: Arc<Troubles>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut tls = f.debug_struct("Tls");
        let identity = self.identity.as_ref().map(|identity| identity.files());
        tls.field("identity", &identity).finish_non_exhaustive()
    }
}

/// Whom a connection must reach, and by whose word.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(super) whom: Whom,
    pub(super) name: ServerName<'static>,
    pub(super) connector: TlsConnector,
    pub(super) troubles: Arc<Troubles>,
}

impl Tls {
    /// Reads our own certificate.
    ///
    /// # Errors
    /// When a file cannot be read or is of no use.
    pub fn new(files: TlsFiles) -> Result<Self, TlsError> {
        crate::tls::install();
        let identity = Arc::new(Identity::read(&files)?);
        let server = server_config(&files, Arc::clone(&identity))?;
        Ok(Self {
            server: Some(TlsAcceptor::from(Arc::new(server))),
            identity: Some(identity),
            clients: Mutex::default(),
            troubles: Arc::default(),
        })
    }

    /// Reads our certificate again where its files have changed.
    pub(super) fn renew(&self) -> Renewal {
        let identity = self.identity.as_ref();
        identity.map_or(Renewal::Same, |identity| identity.renew())
    }

    /// What connections are accepted with, where we have a certificate.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.server.clone()
    }

    /// Makes out what a connection goes by that must reach somebody.
    ///
    /// # Errors
    /// When there are no such authorities, or no certificate can have that name.
    pub(super) fn peer(&self, whom: &Whom) -> Result<Peer, TlsError> {
        let bare = whom.host.trim_start_matches('[').trim_end_matches(']');
        let name =
            ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::Name(whom.host.clone()))?;
        let connector = TlsConnector::from(self.client(whom.ca.as_deref())?);
        Ok(Peer {
            whom: whom.clone(),
            name,
            connector,
            troubles: Arc::clone(&self.troubles),
        })
    }

    /// Why the last connection to somebody was not made, in words.
    pub(super) fn trouble(&self, remote: SocketAddr, whom: &Whom) -> Option<String> {
        self.troubles.of(remote, whom)
    }

    /// Reads an authority's file before anything depends on it.
    ///
    /// # Errors
    /// When it cannot be read or holds no certificate.
    pub fn check(&self, ca: &Path) -> Result<(), TlsError> {
        self.client(Some(ca)).map(|_| ())
    }

    fn client(&self, ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
        let key = ca.map(Path::to_owned);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clients.get(&key) {
            return Ok(Arc::clone(known));
        }
        let roots = match ca {
            Some(ca) => roots_of(ca)?,
            None => system_roots()?,
        };
        crate::tls::install();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match &self.identity {
            Some(identity) => {
                let identity: Arc<Identity> = Arc::clone(identity);
                config.with_client_cert_resolver(identity)
            }
            None => config.with_no_client_auth(),
        };
        let config = Arc::new(config);
        clients.insert(key, Arc::clone(&config));
        Ok(config)
    }
}

/// Whom flows must reach. Where it is full, what is new takes the place of all.
#[derive(Default)]
pub(super) struct Names(HashMap<Flow, Peer>);

impl Names {
    pub(super) fn expect(&mut self, flow: Flow, peer: Peer) {
        if self.0.len() >= PEERS_MAX && !self.0.contains_key(&flow) {
            self.0.clear();
        }
        self.0.insert(flow, peer);
    }

    pub(super) fn get(&self, flow: &Flow) -> Option<&Peer> {
        self.0.get(flow)
    }

    /// The authority by whose word somebody is known: whoever must be reached over a flow, has a
    /// name, or is at the flow's other address. None is those that the system believes in.
    pub(super) fn authority(&self, flow: &Flow, host: &str) -> Option<PathBuf> {
        let by_name = || {
            let mut peers = self.0.values();
            peers.find(|peer| peer.whom.host.eq_ignore_ascii_case(host))
        };
        let by_address = || {
            let mut peers = self.0.iter();
            let found = peers.find(|(other, _)| other.remote.ip() == flow.remote.ip());
            found.map(|(_, peer)| peer)
        };
        let peer = self.get(flow).or_else(by_name).or_else(by_address)?;
        peer.whom.ca.clone()
    }
}

fn server_config(files: &TlsFiles, identity: Arc<Identity>) -> Result<ServerConfig, TlsError> {
    let config = match &files.client_ca {
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots_of(ca)?));
            let verifier = verifier.build().map_err(|error| TlsError::File {
                path: ca.clone(),
                reason: error.to_string(),
            })?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
        None => ServerConfig::builder().with_no_client_auth(),
    };
    Ok(config.with_cert_resolver(identity))
}

pub(super) fn unfit(path: &Path, source: rustls::Error) -> TlsError {
    TlsError::Unfit {
        path: path.to_owned(),
        source,
    }
}

/// A file's certificates, of which there is one at least.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unread(path, &error))?;
    if found.is_empty() {
        return Err(unread(path, &pem::Error::NoItemsFound));
    }
    Ok(found)
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unread(path, &error))
}

fn unread(path: &Path, error: &pem::Error) -> TlsError {
    let reason = match error {
        pem::Error::NoItemsFound => {
            "holds no certificate or key in PEM (\"-----BEGIN …\")".to_owned()
        }
        pem::Error::Io(error) => error.to_string(),
        other => format!("is no PEM: {other}"),
    };
    TlsError::File {
        path: path.to_owned(),
        reason,
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| unfit(path, source))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // One that is odd among a hundred is nobody's fault here.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(TlsError::NoAuthorities);
    }
    Ok(roots)
}

#[cfg(test)]
#[path = "tests/tls.rs"]
mod tests;
