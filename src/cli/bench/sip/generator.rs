//! The generator's sockets: one thread on a core of its own, which never sleeps. Calls are placed
//! when their moment has come, whatever came of those before (an open loop). When a response came is
//! told by the kernel, so that what this thread is late by is not the subject's.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::Context;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::calls::{Calls, Side};
use crate::cli::bench::cpu::LOAD_CORE;
use crate::clock;

/// The calling side and the called side: addresses of their own, so that each is a trunk of its own.
const CALLER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const CALLED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// What the kernel may hold while this thread is busy.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
const DATAGRAM_MAX: usize = 65_535;
/// Messages that are read before it is looked whether a call is due.
const BATCH: usize = 8;
/// How long calls may take to be over after the last one was placed, beside the time they last.
const PATIENCE: Duration = Duration::from_secs(12);

/// The two sides' sockets.
pub(super) struct Sockets {
    caller: UdpSocket,
    called: UdpSocket,
    /// Where the calling side and the called side are.
    pub(super) addresses: [SocketAddr; 2],
}

/// When calls are placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Calls a second.
    pub(super) rate: f64,
    /// At even distances rather than by chance (Poisson).
    pub(super) even: bool,
    pub(super) seed: u64,
    /// The first is due after this moment, the last before that one, since 1970.
    pub(super) begin: Duration,
    pub(super) end: Duration,
}

/// The moments at which calls are due.
pub(super) struct Moments {
    plan: Plan,
    random: StdRng,
    next: Duration,
}

impl Moments {
    pub(super) fn new(plan: Plan) -> Self {
        let mut moments = Self {
            random: StdRng::seed_from_u64(plan.seed),
            next: plan.begin,
            plan,
        };
        moments.advance();
        moments
    }

    /// The next call's moment, once it has come.
    pub(super) fn due(&mut self, now: Duration) -> Option<Duration> {
        let due = self.next;
        (due <= now && due < self.plan.end).then(|| {
            self.advance();
            due
        })
    }

    fn advance(&mut self) {
        let mean = 1.0 / self.plan.rate.max(1e-3);
        let gap = if self.plan.even {
            mean
        } else {
            // Between events that know nothing of each other.
            -mean * (1.0 - self.random.random::<f64>()).ln()
        };
        self.next += Duration::from_secs_f64(gap.clamp(0.0, 3_600.0));
    }
}

impl Sockets {
    pub(super) fn open() -> anyhow::Result<Self> {
        let [caller, called] = [open(CALLER)?, open(CALLED)?];
        let addresses = [caller.local_addr()?, called.local_addr()?];
        Ok(Self {
            caller,
            called,
            addresses,
        })
    }

    /// Places calls by a plan towards the subject, until the last of them is over.
    pub(super) fn run(
        &self,
        calls: &mut Calls,
        plan: Plan,
        subject: SocketAddr,
        talks: Duration,
    ) -> anyhow::Result<()> {
        let mut set = rustix::thread::CpuSet::new();
        set.set(LOAD_CORE);
        rustix::thread::sched_setaffinity(None, &set)
            .context("the generator cannot have its core")?;
        let mut moments = Moments::new(plan);
        let mut reader = Reader::default();
        // What came of an earlier measurement while nobody read.
        while reader.read(&self.caller).is_some() {}
        while reader.read(&self.called).is_some() {}
        let give_up = plan.end + talks + PATIENCE;
        loop {
            let now = clock::since_1970();
            if now >= give_up || (now >= plan.end && calls.is_idle()) {
                return Ok(());
            }
            if let Some(due) = moments.due(now) {
                calls.place(now, due);
                self.send(calls, subject);
            }
            calls.step(now);
            for (socket, side) in [(&self.caller, Side::Caller), (&self.called, Side::Called)] {
                for _ in 0..BATCH {
                    let Some((length, at)) = reader.read(socket) else {
                        break;
                    };
                    let bytes = reader.bytes.get(..length).unwrap_or_default();
                    calls.receive(at, side, bytes);
                    self.send(calls, subject);
                }
            }
            self.send(calls, subject);
        }
    }

    fn send(&self, calls: &mut Calls, subject: SocketAddr) {
        let [caller, called] = self.addresses;
        while let Some((side, text)) = calls.poll() {
            let (socket, to) = match side {
                Side::Caller => (&self.caller, subject),
                Side::Called if subject == called => (&self.called, caller),
                Side::Called => (&self.called, subject),
            };
            // What the kernel does not take is lost, as on any network: it is said again.
            let _ = socket.send_to(text.as_bytes(), to);
        }
    }
}

#[allow(clippy::disallowed_methods)] // sockets of the generator's, in its own shell
fn open(address: Ipv4Addr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0))
        .with_context(|| format!("the generator cannot have a port of {address}"))?;
    socket.set_nonblocking(true)?;
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    Ok(socket)
}

/// Reads datagrams into one place.
struct Reader {
    bytes: Vec<u8>,
    times: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            bytes: vec![0; DATAGRAM_MAX],
            times: nix::cmsg_space!(TimeSpec),
        }
    }
}

impl Reader {
    /// The next datagram's length, and when the kernel had it.
    fn read(&mut self, socket: &UdpSocket) -> Option<(usize, Duration)> {
        let mut parts = [IoSliceMut::new(&mut self.bytes)];
        let (file, flags) = (socket.as_raw_fd(), MsgFlags::empty());
        let read = recvmsg::<()>(file, &mut parts, Some(&mut self.times), flags).ok()?;
        let at = read.cmsgs().ok()?.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
            _ => None,
        })?;
        Some((read.bytes, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::sip::calls::Manner;
    use crate::cli::bench::sip::messages::Addresses;

    fn plan(even: bool) -> Plan {
        Plan {
            rate: 200.0,
            even,
            seed: 1,
            begin: Duration::from_secs(10),
            end: Duration::from_secs(60),
        }
    }

    fn all(plan: Plan) -> Vec<Duration> {
        let mut moments = Moments::new(plan);
        std::iter::from_fn(|| moments.due(Duration::from_secs(1_000))).collect()
    }

    #[test]
    fn even_calls_are_as_far_apart_as_their_rate_says() {
        let moments = all(plan(true));
        let count = moments.len();
        assert!((9_998..=10_000).contains(&count), "{count}");
        let mut gaps = moments.windows(2).map(|two| two[1] - two[0]);
        assert!(gaps.all(|gap| gap == Duration::from_millis(5)));
    }

    #[test]
    fn calls_by_chance_have_the_rate_and_the_spread_of_a_poisson_process() {
        let moments = all(plan(false));
        let count = moments.len() as f64;
        assert!((9_700.0..10_300.0).contains(&count), "{count}");
        let gaps = moments
            .windows(2)
            .map(|two| (two[1] - two[0]).as_secs_f64());
        let long = gaps.filter(|gap| *gap > 0.005).count() as f64 / count;
        // The share of the gaps that are longer than the mean is 1/e.
        assert!((0.34..0.40).contains(&long), "{long}");
        assert_eq!(all(plan(false)), moments, "the same by the same seed");
    }

    #[test]
    fn nothing_is_due_before_its_moment() {
        let mut moments = Moments::new(plan(true));
        let first = Duration::from_millis(10_005);
        assert_eq!(moments.due(first - Duration::from_nanos(1)), None);
        assert_eq!(moments.due(first), Some(first));
        assert_eq!(moments.due(first), None);
    }

    #[test]
    fn calls_over_the_wire_with_nobody_between_come_to_their_end() {
        let sockets = Sockets::open().unwrap();
        let [caller, called] = sockets.addresses;
        let addresses = Addresses {
            caller,
            called,
            subject: called,
            run: 3,
        };
        let begin = clock::since_1970();
        let end = begin + Duration::from_millis(200);
        let talks = Duration::from_millis(10);
        let manner = Manner {
            rings: talks,
            talks,
            from: begin,
            until: end,
        };
        let plan = Plan {
            rate: 100.0,
            even: true,
            seed: 1,
            begin,
            end,
        };
        let mut calls = Calls::new(addresses, manner);
        let run = std::thread::scope(|scope| {
            let run = scope.spawn(|| sockets.run(&mut calls, plan, called, talks));
            run.join().unwrap()
        });
        run.unwrap();
        let tally = calls.tally;
        assert_eq!((tally.completed, tally.failures()), (tally.placed, 0));
        assert!(tally.placed > 10);
    }
}
