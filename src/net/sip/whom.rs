//! Whom connections over TLS must reach, and what stood between.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustls::{AlertDescription, CertificateError, Error};

use crate::clock;

/// Addresses of which it is remembered why TLS failed; trunks have a few each.
const TROUBLES_MAX: usize = 1_024;

/// Whom a connection over TLS must reach: the host that the certificate is for, and by whose word.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Whom {
    /// The name, or the address, that the configuration has for it.
    pub host: String,
    /// The authority's file; without one it is those that the system believes in.
    pub ca: Option<PathBuf>,
}

impl Whom {
    /// Whoever has a certificate for a name of an authority that the system believes in.
    #[must_use]
    pub fn by_name(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            ca: None,
        }
    }
}

/// Why the last connection to a peer was not made, in words.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<HashMap<(SocketAddr, Whom), String>>);

impl Troubles {
    /// Takes note of how a handshake went.
    pub(super) fn note(&self, remote: SocketAddr, whom: &Whom, trouble: Option<String>) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (remote, whom.clone());
        let Some(trouble) = trouble else {
            troubles.remove(&key);
            return;
        };
        if troubles.len() >= TROUBLES_MAX && !troubles.contains_key(&key) {
            troubles.clear();
        }
        troubles.insert(key, trouble);
    }

    pub(super) fn of(&self, remote: SocketAddr, whom: &Whom) -> Option<String> {
        let troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.get(&(remote, whom.clone())).cloned()
    }
}

/// Says what was wrong in a handshake, or on a connection that ended before anything came over it;
/// nothing where TLS has no part in it.
pub(super) fn in_words(error: &std::io::Error, whom: &Whom) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    let host = &whom.host;
    Some(match inner {
        Error::InvalidCertificate(certificate) => of_certificate(certificate, whom),
        Error::NoCertificatesPresented => "the other side shows no certificate".to_owned(),
        Error::AlertReceived(alert) => of_alert(*alert, host),
        Error::PeerIncompatible(why) => {
            format!("the other side has no version of TLS or no cipher that we have: {why:?}")
        }
        Error::InvalidMessage(_) => "what answers there does not speak TLS".to_owned(),
        other => format!("TLS with {host} failed: {other}"),
    })
}

fn of_certificate(error: &CertificateError, whom: &Whom) -> String {
    let host = &whom.host;
    match error {
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = match presented.is_empty() {
                true => "no name".to_owned(),
                false => listed(presented),
            };
            format!("the certificate is for {names}, the configuration says {host}")
        }
        CertificateError::NotValidForName => {
            format!("the certificate is not for {host}, which the configuration says")
        }
        CertificateError::Expired => format!("the certificate of {host} has expired"),
        CertificateError::ExpiredContext { not_after, .. } => {
            let ago_s = clock::since_1970()
                .as_secs()
                .saturating_sub(not_after.as_secs());
            let days = ago_s / 86_400;
            match days {
                0 => format!("the certificate of {host} has expired, less than a day ago"),
                _ => format!("the certificate of {host} has expired, {days} days ago"),
            }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet: is this machine's clock right?")
        }
        // An authority of the same name with another key is another one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match &whom.ca {
            Some(ca) => format!(
                "the certificate of {host} is not from the authority in {}",
                ca.display()
            ),
            None => format!(
                "the certificate of {host} is from an authority that this system does not know: name it as the trunk's `ca`"
            ),
        },
        CertificateError::Revoked => format!("the certificate of {host} has been revoked"),
        other => format!("the certificate of {host} is of no use: {other}"),
    }
}

/// Names as certificates have them, without the kind that each is of.
fn listed(presented: &[String]) -> String {
    /// Names that are told; a certificate may have a hundred.
    const TOLD: usize = 4;
    let bare = |name: &String| {
        let inner = name
            .split_once('(')
            .map(|(_, rest)| rest.trim_end_matches(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    let told: Vec<String> = presented.iter().take(TOLD).map(bare).collect();
    let more = match presented.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", told.join(", "))
}

fn of_alert(alert: AlertDescription, host: &str) -> String {
    match alert {
        AlertDescription::CertificateRequired
        | AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::AccessDenied => {
            format!(
                "{host} wants a certificate of ours, and does not take what `sip.tls` has: {alert:?}"
            )
        }
        AlertDescription::UnrecognisedName => format!("nothing at that address goes by {host}"),
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            format!("{host} has no version of TLS or no cipher that we have")
        }
        other => format!("{host} breaks TLS off: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_troubles_is_bounded_and_ends_with_them() {
        let (troubles, whom) = (Troubles::default(), whom());
        let peer = |n: u16| SocketAddr::from(([192, 0, 2, 1], n));
        for n in 0..5_000 {
            troubles.note(peer(n), &whom, Some("expired".to_owned()));
        }
        assert!(troubles.0.lock().unwrap().len() <= TROUBLES_MAX);
        assert_eq!(troubles.of(peer(4_999), &whom).as_deref(), Some("expired"));
        troubles.note(peer(4_999), &whom, None);
        assert_eq!(troubles.of(peer(4_999), &whom), None);
    }

    fn whom() -> Whom {
        Whom {
            host: "b.example".to_owned(),
            ca: None,
        }
    }

    #[test]
    fn a_connection_that_failed_without_tls_is_no_matter_of_certificates() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(in_words(&refused, &whom()), None);
    }
}
