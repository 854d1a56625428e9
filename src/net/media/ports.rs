//! Media ports: random even/odd pairs from a bound range, kept out of use for a while afterwards.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How long a port rests after a call, so that a late packet of that call meets a closed port.
const QUARANTINE: Duration = Duration::from_secs(5);
/// Ports remembered as resting; the oldest is forgotten first.
const QUARANTINE_MAX: usize = 4096;
/// Pairs tried at random before the range is walked through in order.
const RANDOM_TRIES: usize = 32;
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
    pub rtp: mio::net::UdpSocket,
    /// The odd port's socket.
    pub rtcp: mio::net::UdpSocket,
    /// The RTP socket's address.
    pub local: SocketAddr,
}

/// Hands out pairs of media ports.
#[derive(Debug)]
pub struct PortPool {
    first: u16,
    last: u16,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: StdRng,
    resting: VecDeque<(u16, Instant)>,
}

impl PortPool {
    /// Makes a pool over `range`; an odd first port is rounded up.
    #[must_use]
    pub fn new(range: RangeInclusive<u16>, seed: u64) -> Self {
        let first = range.start().saturating_add(range.start() % 2);
        let state = State {
            random: StdRng::seed_from_u64(seed),
            resting: VecDeque::new(),
        };
        Self {
            first,
            last: *range.end(),
            state: Mutex::new(state),
        }
    }

    /// Opens a free pair on `address`.
    ///
    /// # Errors
    /// When the range is exhausted, or the operating system refuses the address.
    pub fn open(&self, address: IpAddr, now: Instant) -> Result<PortPair, PortError> {
        for port in self.candidates(now) {
            match bind_pair(address, port) {
                Ok(pair) => return Ok(pair),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(source) => return Err(PortError::Os { address, source }),
            }
        }
        Err(PortError::Exhausted {
            address,
            first: self.first,
            last: self.last,
        })
    }

    /// Takes note that the pair at `port` was closed at `now`.
    pub fn closed(&self, port: u16, now: Instant) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        if state.resting.len() == QUARANTINE_MAX {
            state.resting.pop_front();
        }
        state.resting.push_back((port, now));
    }

    fn candidates(&self, now: Instant) -> Vec<u16> {
        let pairs = (self.last.saturating_sub(self.first).saturating_add(1)) / 2;
        if pairs == 0 {
            return Vec::new();
        }
        let Ok(mut state) = self.state.lock() else {
            return Vec::new();
        };
        while state
            .resting
            .front()
            .is_some_and(|(_, at)| now.duration_since(*at) > QUARANTINE)
        {
            state.resting.pop_front();
        }
        let start = state.random.random_range(0..pairs);
        let random: Vec<u16> = (0..RANDOM_TRIES)
            .map(|_| state.random.random_range(0..pairs))
            .collect();
        let walk = (0..pairs).map(|step| (start + step) % pairs);
        let resting: Vec<u16> = state.resting.iter().map(|(port, _)| *port).collect();
        random
            .into_iter()
            .chain(walk)
            .map(|pair| self.first + pair * 2)
            .filter(|port| !resting.contains(port))
            .collect()
    }
}

#[allow(clippy::disallowed_methods)] // media sockets are opened here and nowhere else
fn bind_pair(address: IpAddr, port: u16) -> io::Result<PortPair> {
    let open = |port| -> io::Result<mio::net::UdpSocket> {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(address, port))?;
        socket.set_nonblocking(true)?;
        // The default is enough for most; a refusal is no reason to lose the call.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
        Ok(mio::net::UdpSocket::from_std(socket))
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
        let pool = PortPool::new(41_001..=41_100, 1);
        let pair = pool.open(LOOPBACK, crate::clock::now()).unwrap();
        assert_eq!(pair.local.port() % 2, 0);
        assert_eq!(
            pair.rtcp.local_addr().unwrap().port(),
            pair.local.port() + 1
        );
    }

    #[test]
    fn an_exhausted_range_is_said_in_words_and_a_rested_port_comes_back() {
        let pool = PortPool::new(41_200..=41_203, 2);
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
}
