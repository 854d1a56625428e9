//! Our ends of connections: the listener's, or a port that nothing listens on.
//!
//! The other side is told of the connection's own port (Contact): whoever looks for a connection to
//! there finds this one, and uses it again.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use super::local_address_towards;
use super::whom::Whom;

/// Peers whose connections' ports are remembered; trunks have a few addresses each.
const PEERS_MAX: usize = 4_096;
/// Ports that are drawn until one is no other connection's to the same address.
const DRAWS: usize = 8;

/// Our ends of connections, by their other ends and whom they must reach.
#[derive(Default)]
pub(super) struct Callers(Mutex<Ends>);

#[derive(Default)]
struct Ends {
    ports: HashMap<(SocketAddr, Option<Whom>), SocketAddr>,
    /// Who was the first to be looked for at an address: they are called from the listener's port.
    first: HashMap<SocketAddr, Whom>,
}

impl Callers {
    /// The address and port that a connection leaves from, the same each time; none where nothing
    /// leads there. Where another peer is looked for at an address, that is another connection, and
    /// leaves from elsewhere: the first was shown a certificate that is not the second's.
    pub(super) fn towards(
        &self,
        remote: SocketAddr,
        whom: Option<&Whom>,
        listener: Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match listener {
            Some(listener) if ends.is_first(remote, whom) => Some(listener),
            _ => ends.port(remote, whom),
        }
    }
}

impl Ends {
    fn is_first(&mut self, remote: SocketAddr, whom: Option<&Whom>) -> bool {
        let Some(whom) = whom else {
            return true;
        };
        let room = self.first.len() < PEERS_MAX;
        match self.first.get(&remote) {
            Some(first) => first == whom,
            // They stay for good: who took a place could be taken for whoever had it before.
            None if room => {
                self.first.insert(remote, whom.clone());
                true
            }
            None => false,
        }
    }

    fn port(&mut self, remote: SocketAddr, whom: Option<&Whom>) -> Option<SocketAddr> {
        let key = (remote, whom.cloned());
        if let Some(local) = self.ports.get(&key) {
            return Some(*local);
        }
        let is_taken = |local: &SocketAddr| {
            let mut ports = self.ports.iter();
            ports.any(|((other, _), taken)| *other == remote && taken == local)
        };
        let local = (0..DRAWS)
            .filter_map(|_| free_port(remote))
            .find(|local| !is_taken(local))?;
        if self.ports.len() >= PEERS_MAX {
            self.ports.clear();
        }
        self.ports.insert(key, local);
        Some(local)
    }
}

/// A port that nothing listens on, of our address that leads there.
#[allow(clippy::disallowed_methods)] // asks the system for a free port, in the sockets' shell
fn free_port(remote: SocketAddr) -> Option<SocketAddr> {
    let any = SocketAddr::new(local_address_towards(remote)?, 0);
    TcpListener::bind(any).ok()?.local_addr().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn whom(host: &str) -> Whom {
        Whom {
            host: host.to_owned(),
            ca: None,
        }
    }

    #[test]
    fn a_peer_is_always_called_from_the_same_port_and_another_from_another() {
        let callers = Callers::default();
        let first = callers.towards(peer(5061), None, None).unwrap();
        assert!(first.ip().is_loopback() && first.port() != 0);
        assert_ne!(callers.towards(peer(5071), None, None), Some(first));
        assert_eq!(callers.towards(peer(5061), None, None), Some(first));
    }

    #[test]
    fn each_name_at_an_address_is_called_from_an_end_of_its_own() {
        let (callers, listener) = (Callers::default(), Some(peer(5061)));
        let (one, two) = (whom("one.test"), whom("two.test"));
        let from = |whom, listener| callers.towards(peer(6000), Some(whom), listener).unwrap();
        assert_eq!(Some(from(&one, listener)), listener);
        let second = from(&two, listener);
        assert_ne!(Some(second), listener);
        assert_eq!(from(&two, listener), second);
        assert_eq!(Some(from(&one, listener)), listener);
        // Nor do they meet where nothing listens, or by another authority's word.
        let ends = [
            from(&one, None),
            second,
            from(
                &Whom {
                    ca: Some("ca.pem".into()),
                    ..one.clone()
                },
                None,
            ),
        ];
        assert!(ends[0] != ends[1] && ends[1] != ends[2] && ends[0] != ends[2]);
    }

    #[test]
    fn however_many_there_are_a_bounded_number_is_remembered() {
        let (callers, listener) = (Callers::default(), Some(peer(5061)));
        for port in 1..=5_000 {
            callers.towards(peer(port), Some(&whom("one.test")), listener);
        }
        let ends = callers.0.lock().unwrap();
        assert!(ends.first.len() <= PEERS_MAX && ends.ports.len() <= PEERS_MAX);
    }
}
