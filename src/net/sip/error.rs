//! Why the SIP task did not do something.

use std::net::SocketAddr;

use offhook_sip::Transport;

use super::tls::TlsError;

/// Explains why the SIP task did not do something.
#[derive(Debug, thiserror::Error)]
pub enum SipError {
    /// The task has ended.
    #[error("the SIP endpoint has ended")]
    Gone,
    /// The user agent refused.
    #[error("{0}")]
    Refused(String),
    /// TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No listener of the configuration can reach that address over that transport.
    #[error(
        "no SIP listener reaches {remote} over {transport:?}: add one to `sip.listen`, \
         such as \"{example}\""
    )]
    NoListener {
        /// Where the request would have gone.
        remote: SocketAddr,
        /// Over what.
        transport: Transport,
        /// A listener that would do.
        example: String,
    },
}
