//! Where a host is, by what the name servers have said of late.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long an address is remembered after the answer that last named it: name servers that
/// rotate show a part of a carrier's addresses at a time.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Addresses remembered of one host; those that were named longest ago are forgotten first.
const REMEMBERED_MAX: usize = 64;

/// The addresses of one host. A look-up that fails changes nothing: what was known is known still.
#[derive(Debug, Default)]
pub struct Whereabouts {
    /// The latest answer, best address first.
    latest: Vec<SocketAddr>,
    /// Each address with the moment of the latest answer that named it, newest first.
    remembered: Vec<(IpAddr, Instant)>,
}

impl Whereabouts {
    /// Takes the answer of a look-up that found the host, best address first.
    pub fn found(&mut self, now: Instant, answer: Vec<SocketAddr>) {
        self.remembered.retain(|(ip, at)| {
            now.saturating_duration_since(*at) <= REMEMBERED && !names(&answer, *ip)
        });
        let mut remembered: Vec<(IpAddr, Instant)> = Vec::new();
        for address in &answer {
            if !remembered.iter().any(|(ip, _)| *ip == address.ip()) {
                remembered.push((address.ip(), now));
            }
        }
        remembered.append(&mut self.remembered);
        remembered.truncate(REMEMBERED_MAX);
        self.remembered = remembered;
        self.latest = answer;
    }

    /// The addresses that the host is known by.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.remembered.iter().map(|(ip, _)| *ip)
    }

    /// What the latest look-up that found the host gave, best address first.
    #[must_use]
    pub fn latest(&self) -> &[SocketAddr] {
        &self.latest
    }

    /// Whether anything is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remembered.is_empty()
    }

    /// Where requests go: where they have gone so far, while the host is still known to be there;
    /// else the best address.
    #[must_use]
    pub fn target(&self, so_far: Option<SocketAddr>) -> Option<SocketAddr> {
        let known = |target: &SocketAddr| self.addresses().any(|ip| ip == target.ip());
        so_far.filter(known).or(self.latest.first().copied())
    }

    /// Where requests go after `failed` gave no answer: the next address of the latest answer,
    /// round and round (RFC 3263 §4.3).
    #[must_use]
    pub fn target_after(&self, failed: SocketAddr) -> Option<SocketAddr> {
        let at = self.latest.iter().position(|target| *target == failed);
        let next = at.map_or(0, |at| (at + 1) % self.latest.len());
        self.latest.get(next).copied()
    }
}

fn names(answer: &[SocketAddr], ip: IpAddr) -> bool {
    answer.iter().any(|address| address.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5060))
    }

    fn known(host: &Whereabouts) -> Vec<IpAddr> {
        host.addresses().collect()
    }

    #[test]
    fn a_rotating_answer_adds_up_and_an_address_long_unnamed_is_forgotten() {
        let (mut host, begun) = (Whereabouts::default(), crate::clock::now());
        assert!(host.is_empty() && host.target(None).is_none());
        host.found(begun, vec![at(1), at(2)]);
        host.found(begun + REMEMBERED / 2, vec![at(3), at(1)]);
        assert_eq!(known(&host), [at(3).ip(), at(1).ip(), at(2).ip()]);
        let later = begun + REMEMBERED + Duration::from_secs(1);
        host.found(later, vec![at(3)]);
        assert_eq!(known(&host), [at(3).ip(), at(1).ip()]);
    }

    #[test]
    fn requests_stay_where_they_go_until_the_host_has_left() {
        let (mut host, begun) = (Whereabouts::default(), crate::clock::now());
        host.found(begun, vec![at(1)]);
        assert_eq!(host.target(None), Some(at(1)));
        host.found(begun, vec![at(2)]);
        assert_eq!(host.target(Some(at(1))), Some(at(1)), "it may be rotation");
        host.found(begun + REMEMBERED * 2, vec![at(2)]);
        assert_eq!(host.target(Some(at(1))), Some(at(2)));
    }

    #[test]
    fn a_dead_target_is_followed_by_the_next_and_the_last_by_the_first() {
        let mut host = Whereabouts::default();
        assert_eq!(host.target_after(at(1)), None);
        host.found(crate::clock::now(), vec![at(1), at(2)]);
        assert_eq!(host.target_after(at(1)), Some(at(2)));
        assert_eq!(host.target_after(at(2)), Some(at(1)));
        assert_eq!(host.target_after(at(9)), Some(at(1)), "one that has left");
    }

    #[test]
    fn however_many_addresses_a_zone_names_a_bounded_number_is_kept() {
        let (mut host, begun) = (Whereabouts::default(), crate::clock::now());
        for last in 0..=255 {
            host.found(begun, vec![at(last), at(last)]);
        }
        assert_eq!(host.addresses().count(), REMEMBERED_MAX);
        assert_eq!(host.addresses().next(), Some(at(255).ip()));
    }
}
