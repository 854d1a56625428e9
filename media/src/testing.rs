//! What the unit tests share.

use std::sync::OnceLock;
use std::time::Instant;

/// The moment at which the tests' virtual time begins, the same for all of them.
#[allow(clippy::disallowed_methods)]
pub(crate) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}
