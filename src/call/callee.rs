//! Whom a call that goes on may be given to, or joined by.

use super::outbound::Callee;
use super::services::Services;
use crate::switch::{Dial, DialError, Target};
use crate::switchboard::own_host;

/// Explains why somebody cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum CalleeError {
    /// The user has no phone now.
    #[error("no phone of user {0:?} has registered")]
    NoPhone(String),
    /// No trunk leads there, or it is no number and no URI.
    #[error(transparent)]
    Dial(#[from] DialError),
}

impl Services {
    /// Finds whom to call: a user by its name, all others as calls do.
    ///
    /// # Errors
    /// When the user has no phone, or no trunk leads there.
    pub fn callee(&self, to: &str) -> Result<Callee, CalleeError> {
        if self.config.users.iter().any(|user| user.name == to) {
            let phone = self.phones_of(to);
            return phone.ok_or_else(|| CalleeError::NoPhone(to.to_owned()));
        }
        let dial = Dial {
            to: Target::parse(to)?,
            trunk: None,
            from: None,
        };
        Ok(Callee::Dialled(self.trunks.dial(&dial, &own_host(self))?))
    }

    /// Whom we have called, as a name-addr for a phone that takes the call over; none where it is
    /// no number or name.
    #[must_use]
    pub fn shown_to_phone(&self, remote: &str) -> Option<String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+-_.".contains(c);
        let is_user = !remote.is_empty() && remote.chars().all(allowed);
        is_user.then(|| format!("<sip:{remote}@{}>", own_host(self)))
    }
}
