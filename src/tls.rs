//! One TLS stack for everything: rustls on ring.

use std::sync::Once;

static INSTALLED: Once = Once::new();

/// Installs the process's crypto provider; a second call does nothing.
pub fn install() {
    INSTALLED.call_once(|| {
        // An error only says that another provider was installed first.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
