//! Why a call was not answered.

use std::time::Duration;

use super::super::line::LineError;
use crate::net::sip::SipError;
use crate::switch::Cause;

/// Contact fields of a redirect that are looked at.
const CONTACTS_MAX: usize = 20;

/// Explains why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum DialFailure {
    /// The other side refused.
    #[error("refused with {status} {reason}{explanation}")]
    Refused {
        /// The final status.
        status: u16,
        /// Its reason phrase.
        reason: String,
        /// `Retry-After`, in seconds.
        retry_after_s: Option<u32>,
        /// What the carrier's own headers add, with a leading separator.
        explanation: String,
        /// Nobody said that: no answer came at all.
        unheard: bool,
        /// What it says of why (RFC 3326).
        cause: Option<Cause>,
        /// The Contact fields of a redirect (3xx).
        leads_to: Vec<String>,
    },
    /// Nobody answered in time.
    #[error("nobody answered within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// The call was given up from here.
    #[error("given up before the answer")]
    Cancelled,
    /// Where it goes could not be found out, and why not.
    #[error("{0}")]
    Nowhere(String),
    /// There is no address to send to.
    #[error("there is no address to send the call to")]
    NoTarget,
    /// It was answered, but not with how.
    #[error("it was answered without a session description, and hung up")]
    NoDescription,
    /// The media could not be agreed upon.
    #[error(transparent)]
    Media(#[from] LineError),
    /// The SIP task did not place it.
    #[error(transparent)]
    Sip(#[from] SipError),
}

impl DialFailure {
    /// What a final response says.
    pub(in crate::call) fn rejected(
        status: u16,
        reason: String,
        retry_after_s: Option<u32>,
        headers: &[(String, String)],
    ) -> Self {
        let is_contact = |name: &str| ["contact", "m"].contains(&name.to_lowercase().as_str());
        let contacts = headers.iter().filter(|(name, _)| is_contact(name));
        let contacts = contacts.map(|(_, value)| value.clone());
        let redirects = (300..400).contains(&status);
        Self::Refused {
            status,
            reason,
            retry_after_s,
            explanation: explain(headers),
            cause: Cause::of(headers),
            // Whatever came has a Via.
            unheard: headers.is_empty(),
            leads_to: contacts.filter(|_| redirects).take(CONTACTS_MAX).collect(),
        }
    }

    /// The final status that the other side gave, if it gave one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// An address has not said a word in time. It is as if it never did (RFC 3261 §8.1.3.1).
    pub(in crate::call) fn silent(within: Duration) -> Self {
        Self::Refused {
            status: 408,
            reason: format!("since nothing was heard within {} s", within.as_secs()),
            retry_after_s: None,
            explanation: String::new(),
            cause: None,
            unheard: true,
            leads_to: Vec::new(),
        }
    }

    /// Whether nothing was heard, or nothing more.
    pub(in crate::call) fn is_silence(&self) -> bool {
        matches!(self, Self::Refused { unheard: true, .. })
    }

    /// A refusal that says nothing but its status.
    #[cfg(test)]
    pub(in crate::call) fn refused(status: u16) -> Self {
        Self::Refused {
            status,
            reason: String::new(),
            retry_after_s: None,
            explanation: String::new(),
            cause: None,
            unheard: false,
            leads_to: Vec::new(),
        }
    }

    /// Whether another address of the same carrier may do better: a timeout, a transport error or
    /// an overloaded server (RFC 3263 §4.3); a busy or refusing callee would only refuse again.
    pub(in crate::call) fn worth_another_target(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 408 | 500 | 502 | 503 | 504,
                ..
            }
        )
    }
}

/// What carriers say beside the status line, such as `X-Twilio-Error`.
fn explain(headers: &[(String, String)]) -> String {
    // What a Reason says in words may name people: it is in `cause`, and kept out of logs.
    let wanted = ["x-twilio-error", "warning", "p-error"];
    let found = headers
        .iter()
        .filter(|(name, _)| wanted.contains(&name.to_lowercase().as_str()));
    found
        .map(|(name, value)| format!("; {name}: {value}"))
        .collect()
}
