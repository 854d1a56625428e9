//! Places for connections: so many in all, and so many from one address, that no peer alone can
//! keep the others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections accepted at once; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 1024;
/// Connections of one address: an office of phones behind one NAT, a PBX with a connection a
/// call.
pub(super) const PER_ADDRESS_MAX: usize = 64;

/// Hands out places.
#[derive(Clone, Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place among all connections, not yet anyone's.
#[derive(Debug)]
pub(super) struct FreePlace(OwnedSemaphorePermit);

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    source: IpAddr,
    places: Places,
    _among_all: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            taken: Arc::default(),
        }
    }

    /// Waits for a place among all.
    pub(super) async fn wait(&self) -> Option<FreePlace> {
        let place = Arc::clone(&self.all).acquire_owned().await;
        place.ok().map(FreePlace)
    }

    /// Gives a place to a peer, unless it has as many as one may have.
    pub(super) fn give(&self, place: FreePlace, peer: IpAddr) -> Option<Place> {
        let source = source(peer);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(source).or_default();
        if *count >= PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Place {
            source,
            places: self.clone(),
            _among_all: place.0,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &self.places.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

/// Whose a connection counts as: whoever has an IPv6 address has a whole /64 of them
/// (RFC 4291 §2.5.1).
fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_cannot_take_the_places_of_another_and_a_place_comes_back() {
        let places = Places::new();
        let take = async |peer: &str| {
            let place = places.wait().await.unwrap();
            places.give(place, peer.parse().unwrap())
        };
        let mut taken = Vec::new();
        for _ in 0..PER_ADDRESS_MAX {
            taken.push(take("192.0.2.1").await.unwrap());
        }
        assert!(take("192.0.2.1").await.is_none());
        assert!(take("::ffff:192.0.2.1").await.is_none(), "the same, mapped");
        assert!(take("192.0.2.2").await.is_some());
        taken.pop();
        assert!(take("192.0.2.1").await.is_some());
        drop(taken);
        assert!(
            places.taken.lock().unwrap().is_empty(),
            "nothing is kept of who is gone"
        );
    }

    #[test]
    fn a_peer_with_a_network_of_its_own_counts_as_one() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
