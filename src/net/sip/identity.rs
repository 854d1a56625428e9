//! Our own certificate, which is read again when its files change: who comes after that is shown the
//! new one, and no connection ends.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::tls::{Tls, TlsError, TlsFiles, certificates, private_key, unfit};

/// How often the files are looked at.
const LOOKED_AT: Duration = Duration::from_secs(30);

/// Our certificate and its key, as the files had them when they last made sense.
#[derive(Debug)]
pub(super) struct Identity {
    files: TlsFiles,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    /// Tells what the files held, whether that made sense or not.
    seen: u64,
}

/// What became of a look at the files.
#[derive(Debug)]
pub(super) enum Renewal {
    /// They are as they were.
    Same,
    /// There is a new certificate.
    Renewed,
    /// They have changed, and are of no use: the old certificate stays.
    Failed(TlsError),
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, or they are of no use.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        // Before the files are read: what is written meanwhile is seen next time.
        let seen = held(files);
        let key = read(files)?.into();
        Ok(Self {
            files: files.clone(),
            current: Mutex::new(Current { key, seen }),
        })
    }

    pub(super) fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Reads the files again where they have changed.
    pub(super) fn renew(&self) -> Renewal {
        let seen = held(&self.files);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.seen == seen {
            return Renewal::Same;
        }
        current.seen = seen;
        match read(&self.files) {
            Ok(key) => {
                current.key = key.into();
                Renewal::Renewed
            }
            Err(error) => Renewal::Failed(error),
        }
    }

    fn key(&self) -> Arc<CertifiedKey> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.key)
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

impl ResolvesClientCert for Identity {
    /// Shown to whoever asks for one.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = private_key(&files.key)?;
    let unfit = |source| unfit(&files.key, source);
    let Some(provider) = CryptoProvider::get_default() else {
        return Err(unfit(rustls::Error::General("no cryptography".to_owned())));
    };
    CertifiedKey::from_der(chain, key, provider).map_err(unfit)
}

/// A number for what the files hold, or for what keeps them from being read.
fn held(files: &TlsFiles) -> u64 {
    let content = |path: &Path| std::fs::read(path).map_err(|error| error.kind());
    let held: [Result<Vec<u8>, ErrorKind>; 2] = [content(&files.certificate), content(&files.key)];
    let mut hasher = DefaultHasher::new();
    held.hash(&mut hasher);
    hasher.finish()
}

/// Keeps our certificate up to date for as long as there is anybody to show it to.
pub(super) async fn keep_renewed(tls: Weak<Tls>) {
    loop {
        tokio::time::sleep(LOOKED_AT).await;
        let Some(tls) = tls.upgrade() else { return };
        let looked = tokio::task::spawn_blocking(move || tls.renew());
        match looked.await {
            Ok(Renewal::Renewed) => tracing::info!("our TLS certificate has been renewed"),
            Ok(Renewal::Failed(error)) => {
                tracing::error!(%error, "the renewed TLS certificate is of no use: the old one stays");
            }
            Ok(Renewal::Same) => {}
            Err(_) => return,
        }
    }
}
