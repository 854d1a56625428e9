//! Media ports: random even/odd pairs from a bound range, kept out of use for a while afterwards.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How long a port rests after a call, so that a late packet of that call meets a closed port.
const QUARANTINE: Duration = Duration::from_secs(5);
/// What the kernel may hold for one leg before the media thread reads it.
const RECEIVE_BUFFER_BYTES: usize = 256 * 1024;

/// Explains why no pair of media ports could be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Every pair of the range is in use or resting.
    #[error(
        "no free RTP port pair in {first}-{last} on {address}: widen `media.ports`, \
         or lower `limits.max_calls`"
    )]
    Exhausted {
        /// The address that the ports were wanted on.
        address: IpAddr,
        /// The first port of the range.
        first: u16,
        /// The last port of the range.
        last: u16,
    },
    /// The operating system refused for another reason than the port being taken.
    #[error("cannot open a media port on {address}: {source}")]
    Os {
        /// The address that the ports were wanted on.
        address: IpAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// An RTP socket and the RTCP socket on the next port (RFC 3550 §11), both non-blocking.
#[derive(Debug)]
pub struct PortPair {
    /// The even port's socket.
    pub rtp: UdpSocket,
    /// The odd port's socket.
    pub rtcp: UdpSocket,
    /// The RTP socket's address.
    pub local: SocketAddr,
}

impl PortPair {
    /// One of the two.
    pub(super) fn socket(&self, rtcp: bool) -> &UdpSocket {
        if rtcp { &self.rtcp } else { &self.rtp }
    }
}

/// Hands out pairs of media ports: each at random among those that are free, which costs the same
/// however wide the range is and however much of it is in use.
#[derive(Debug)]
pub struct PortPool {
    first: u16,
    last: u16,
    state: Mutex<State>,
}

/// Where each pair of the range is: free, in a call, or resting. A pair is named by its place in
/// the range.
#[derive(Debug)]
struct State {
    random: StdRng,
    /// In no order.
    free: Vec<u16>,
    /// In the order in which they were closed.
    resting: VecDeque<(u16, Instant)>,
    in_call: Vec<bool>,
}

impl State {
    /// Takes a free pair at random.
    fn take(&mut self, now: Instant) -> Option<u16> {
        while let Some(&(pair, closed)) = self.resting.front()
            && now.saturating_duration_since(closed) > QUARANTINE
        {
            self.resting.pop_front();
            self.free.push(pair);
        }
        if self.free.is_empty() {
            return None;
        }
        let at = self.random.random_range(0..self.free.len());
        let pair = self.free.swap_remove(at);
        if let Some(in_call) = self.in_call.get_mut(usize::from(pair)) {
            *in_call = true;
        }
        Some(pair)
    }

    /// Takes a pair back; one that is in no call is back already.
    fn give_back(&mut self, pair: u16) -> bool {
        let in_call = self.in_call.get_mut(usize::from(pair));
        in_call.is_some_and(std::mem::take)
    }
}

impl PortPool {
    /// Makes a pool over `range`; an odd first port is rounded up.
    #[must_use]
    pub fn new(range: RangeInclusive<u16>, seed: u64) -> Self {
        let (first, last) = (u32::from(*range.start()), u32::from(*range.end()));
        let first = first + first % 2;
        let pairs = (last + 1).saturating_sub(first) / 2;
        let free: Vec<u16> = (0..pairs).filter_map(|pair| pair.try_into().ok()).collect();
        let state = State {
            random: StdRng::seed_from_u64(seed),
            in_call: vec![false; free.len()],
            resting: VecDeque::with_capacity(free.len()),
            free,
        };
        Self {
            first: u16::try_from(first).unwrap_or(u16::MAX),
            last: *range.end(),
            state: Mutex::new(state),
        }
    }

    /// Opens a free pair on `address`. Whoever closes it says so by [`closed`](Self::closed).
    ///
    /// # Errors
    /// When the range is exhausted, or the operating system refuses the address.
    pub fn open(&self, address: IpAddr, now: Instant) -> Result<PortPair, PortError> {
        loop {
            let Some(pair) = self.state().take(now) else {
                return Err(PortError::Exhausted {
                    address,
                    first: self.first,
                    last: self.last,
                });
            };
            let port = self.first + pair * 2;
            match bind_pair(address, port) {
                Ok(pair) => return Ok(pair),
                // Another program has it: it rests, so that the next calls need not find that out.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => self.closed(port, now),
                Err(source) => {
                    let mut state = self.state();
                    if state.give_back(pair) {
                        state.free.push(pair);
                    }
                    return Err(PortError::Os { address, source });
                }
            }
        }
    }

    /// Takes note that the pair at `port` was closed at `now`.
    pub fn closed(&self, port: u16, now: Instant) {
        let Some(pair) = port.checked_sub(self.first).map(|offset| offset / 2) else {
            return;
        };
        let mut state = self.state();
        if state.give_back(pair) {
            state.resting.push_back((pair, now));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::disallowed_methods)] // media sockets are opened here and nowhere else
fn bind_pair(address: IpAddr, port: u16) -> io::Result<PortPair> {
    let open = |port| -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(SocketAddr::new(address, port))?;
        socket.set_nonblocking(true)?;
        // The default is enough for most; a refusal is no reason to lose the call.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
        Ok(socket)
    };
    let rtp = open(port)?;
    let rtcp = open(port + 1)?;
    Ok(PortPair {
        rtp,
        rtcp,
        local: SocketAddr::new(address, port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_pair_is_an_even_port_and_the_next_one() {
        let pool = PortPool::new(23_001..=23_100, 1);
        let pair = pool.open(LOOPBACK, crate::clock::now()).unwrap();
        assert_eq!(pair.local.port() % 2, 0);
        assert_eq!(
            pair.rtcp.local_addr().unwrap().port(),
            pair.local.port() + 1
        );
    }

    #[test]
    fn an_exhausted_range_is_said_in_words_and_a_rested_port_comes_back() {
        let pool = PortPool::new(23_200..=23_203, 2);
        let now = crate::clock::now();
        let first = pool.open(LOOPBACK, now).unwrap();
        let _second = pool.open(LOOPBACK, now).unwrap();
        let error = pool.open(LOOPBACK, now).unwrap_err().to_string();
        assert!(error.contains("media.ports"), "{error}");
        let port = first.local.port();
        drop(first);
        pool.closed(port, now);
        assert!(
            pool.open(LOOPBACK, now).is_err(),
            "the port is still resting"
        );
        let later = now + QUARANTINE + Duration::from_millis(1);
        assert_eq!(pool.open(LOOPBACK, later).unwrap().local.port(), port);
    }

    #[test]
    fn no_pair_is_handed_out_twice_and_the_whole_range_serves() {
        let pool = PortPool::new(23_301..=23_401, 3);
        let now = crate::clock::now();
        let mut pairs = Vec::new();
        while let Ok(pair) = pool.open(LOOPBACK, now) {
            pairs.push(pair);
        }
        let mut ports: Vec<u16> = pairs.iter().map(|pair| pair.local.port()).collect();
        assert_ne!(
            ports[..3],
            [23_302, 23_304, 23_306],
            "they are not foreseeable"
        );
        ports.sort_unstable();
        let all: Vec<u16> = (23_302..=23_400).step_by(2).collect();
        assert_eq!(ports, all);
    }

    #[test]
    fn a_pair_given_back_twice_is_there_once() {
        let pool = PortPool::new(23_410..=23_411, 4);
        let now = crate::clock::now();
        let pair = pool.open(LOOPBACK, now).unwrap();
        let port = pair.local.port();
        drop(pair);
        for odd in [port, port, port + 2, 1, u16::MAX] {
            pool.closed(odd, now);
        }
        let later = now + QUARANTINE + Duration::from_millis(1);
        let _pair = pool.open(LOOPBACK, later).unwrap();
        assert!(pool.open(LOOPBACK, later).is_err());
    }

    #[test]
    fn what_another_program_holds_is_passed_over_and_tried_again_later() {
        let pool = PortPool::new(23_420..=23_423, 5);
        let now = crate::clock::now();
        let held = bind_pair(LOOPBACK, 23_420).unwrap();
        let ours = pool.open(LOOPBACK, now).unwrap();
        assert_eq!(ours.local.port(), 23_422);
        assert!(pool.open(LOOPBACK, now).is_err());
        drop(held);
        let later = now + QUARANTINE + Duration::from_millis(1);
        assert_eq!(pool.open(LOOPBACK, later).unwrap().local.port(), 23_420);
    }

    #[test]
    fn a_range_to_the_very_last_port_has_pairs_and_a_single_port_has_none() {
        for (range, pairs) in [(65_534..=65_535, 1), (65_535..=65_535, 0), (7..=8, 0)] {
            let pool = PortPool::new(range.clone(), 6);
            assert_eq!(pool.state().free.len(), pairs, "{range:?}");
        }
    }
}
