//! Who we are at a trunk: our address-of-record, and what its challenges are answered with.

use super::reader::{Reader, Section};
use super::trunk::{TrunkConfig, is_host};

impl TrunkConfig {
    /// The user of our address-of-record there.
    #[must_use]
    pub fn aor_user(&self) -> Option<&str> {
        let username = self.username.as_deref()?;
        Some(split(username).0)
    }

    /// The domain of our address-of-record there: what `username` names, or the host.
    #[must_use]
    pub fn domain(&self) -> &str {
        let username = self.username.as_deref().unwrap_or_default();
        split(username).1.unwrap_or(&self.host)
    }

    /// The user that challenges are answered with.
    #[must_use]
    pub fn digest_user(&self) -> Option<&str> {
        let own = self.auth_username.as_deref();
        own.or(self.username.as_deref())
    }
}

/// A user, and the domain that may be written after it.
fn split(username: &str) -> (&str, Option<&str>) {
    match username.rsplit_once('@') {
        Some((user, domain)) => (user, Some(domain)),
        None => (username, None),
    }
}

pub(super) fn read_username(r: &mut Reader<'_>, s: &mut Section) -> Option<String> {
    let origin = s.origin_of("username");
    let username: String = s.opt(r, "username")?;
    let (user, domain) = split(&username);
    if user.is_empty() || domain.is_some_and(|domain| !is_host(domain)) {
        let message = "is neither a user nor `user@domain`";
        s.wrong(r, "username", &origin, message);
    }
    Some(username)
}

pub(super) fn read_auth_username(
    r: &mut Reader<'_>,
    s: &mut Section,
    has_username: bool,
) -> Option<String> {
    let origin = s.origin_of("auth_username");
    let auth_username: String = s.opt(r, "auth_username")?;
    if !has_username {
        let message = "needs `username`: who are we there?";
        s.wrong(r, "auth_username", &origin, message);
    }
    Some(auth_username)
}
