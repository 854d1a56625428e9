//! Where connections leave from that nobody could open to us, since nothing listens.
//!
//! The other side is told of the connection's own port (Contact): whoever looks for a connection to
//! there finds this one, and uses it again.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use super::local_address_towards;

/// Peers whose connections' ports are remembered; trunks have a few addresses each.
const PEERS_MAX: usize = 4_096;

/// Our ends of connections, by their other ends.
#[derive(Default)]
pub(super) struct Callers(Mutex<HashMap<SocketAddr, SocketAddr>>);

impl Callers {
    /// The address and port that a connection to a peer leaves from, the same each time; none where
    /// nothing leads there.
    #[allow(clippy::disallowed_methods)] // asks the system for a free port, in the sockets' shell
    pub(super) fn towards(&self, remote: SocketAddr) -> Option<SocketAddr> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(local) = known.get(&remote) {
            return Some(*local);
        }
        let any = SocketAddr::new(local_address_towards(remote)?, 0);
        let local = TcpListener::bind(any).ok()?.local_addr().ok()?;
        if known.len() >= PEERS_MAX {
            known.clear();
        }
        known.insert(remote, local);
        Some(local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_always_called_from_the_same_port_and_another_from_another() {
        let callers = Callers::default();
        let peer = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let first = callers.towards(peer(5061)).unwrap();
        assert!(first.ip().is_loopback() && first.port() != 0);
        assert_ne!(callers.towards(peer(5071)), Some(first));
        assert_eq!(callers.towards(peer(5061)), Some(first));
    }
}
