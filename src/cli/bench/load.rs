//! The load of `offhook bench switch`: many RTP streams from one thread on a core of its own, which
//! never sleeps. When a packet came is told by the kernel (`SO_TIMESTAMPNS`), which had it at once: what
//! is measured is the other side's doing, however late this thread reads it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use offhook_media::codec::g711;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::clock;
use crate::net::media::Stamp;

const STEP: Duration = Duration::from_millis(20);
/// How often what came is read: the kernel says when it did.
const READ: Duration = Duration::from_millis(1);
/// Samples, and bytes of µ-law, of one packet.
const SAMPLES: usize = 160;
const HEADER: usize = 12;
/// Payload type of PCMU.
const PCMU: u8 = 0;
/// µ-law of silence.
const SILENCE: u8 = 0xFF;
/// Samples per millisecond.
const PER_MS: f64 = 8.0;

/// A track as the streams send it, in µ-law.
pub(super) fn encode(track: &[i16]) -> Arc<[u8]> {
    let mut encoded = vec![0; track.len()];
    g711::encode_ulaw(track, &mut encoded);
    encoded.into()
}

/// Which packets of a stream say when they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamps {
    /// One in so many: who listens hears it as a soft click.
    OneIn(u16),
    All,
}

/// One stream: sends the track over and over, and watches what comes back.
pub(super) struct Stream {
    socket: UdpSocket,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    /// Where in the track the next packet begins.
    at: usize,
    stamps: Stamps,
    last: Option<Arrival>,
}

struct Arrival {
    /// By the kernel's clock, since 1970.
    at: Duration,
    sequence: u16,
    timestamp: u32,
    silent: bool,
}

/// What the streams measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    /// Packets sent.
    pub(super) sent: u64,
    /// Packets that came.
    pub(super) received: u64,
    /// Packets that were missing among them.
    pub(super) lost: u64,
    /// How far each packet's distance in time from the one before it was from what their timestamps
    /// say, in ms.
    pub(super) jitter_ms: Vec<f64>,
    /// How long after the moment that is written into it each packet came that says one, in ms.
    pub(super) delay_ms: Vec<f64>,
}

impl Stream {
    /// Opens a socket for the stream of this number, which begins at `at` of its track.
    #[allow(clippy::disallowed_methods)] // a socket of the load's, in its own shell
    pub(super) fn open(number: usize, at: usize, stamps: Stamps) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        Ok(Self {
            socket,
            sequence: 1,
            timestamp: 0,
            ssrc: u32::try_from(number)? + 1,
            at,
            stamps,
            last: None,
        })
    }

    /// Where it receives.
    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Sends to `remote`, and takes nothing from anywhere else.
    pub(super) fn connect(&self, remote: SocketAddr) -> anyhow::Result<()> {
        Ok(self.socket.connect(remote)?)
    }

    fn send(&mut self, track: &[u8]) -> bool {
        let mut packet = [0_u8; HEADER + SAMPLES];
        let marker = if self.timestamp == 0 { 0x80 } else { 0 };
        let (header, payload) = packet.split_at_mut(HEADER);
        header.copy_from_slice(
            &[
                &[0x80, marker | PCMU][..],
                &self.sequence.to_be_bytes(),
                &self.timestamp.to_be_bytes(),
                &self.ssrc.to_be_bytes(),
            ]
            .concat(),
        );
        if let Some(sound) = track.get(self.at..self.at + SAMPLES) {
            payload.copy_from_slice(sound);
        }
        let stamped = match self.stamps {
            Stamps::OneIn(packets) => {
                u32::from(self.sequence) % u32::from(packets) == self.ssrc % u32::from(packets)
            }
            Stamps::All => true,
        };
        if let Some(place) = payload.get_mut(..Stamp::LEN).filter(|_| stamped) {
            place.copy_from_slice(&Stamp::bytes(clock::since_1970()));
        }
        self.at += SAMPLES;
        if self.at + SAMPLES > track.len() {
            self.at = 0;
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        self.socket.send(&packet).is_ok()
    }

    fn receive(&mut self, measured: &mut Measured) {
        let mut packet = [0_u8; 2048];
        let Some((length, at)) = read(&self.socket, &mut packet) else {
            return;
        };
        let Some(([_, kind, s0, s1, t0, t1, t2, t3, ..], payload)) = packet
            .get(..length)
            .and_then(<[u8]>::split_first_chunk::<HEADER>)
        else {
            return;
        };
        if kind & 0x7F != PCMU {
            return;
        }
        measured.received += 1;
        if let Some(sent) = Stamp::read(payload) {
            let delay = at.saturating_sub(sent);
            measured.delay_ms.push(delay.as_secs_f64() * 1_000.0);
        }
        let arrival = Arrival {
            at,
            sequence: u16::from_be_bytes([*s0, *s1]),
            timestamp: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
            silent: payload.iter().all(|byte| *byte == SILENCE),
        };
        if let Some(last) = self.last.replace(Arrival { ..arrival }) {
            let missing = arrival.sequence.wrapping_sub(last.sequence).wrapping_sub(1);
            measured.lost += u64::from(missing.min(1_000));
            // An utterance begins at once and ends early by as much: no jitter of the sender's.
            if missing == 0 && last.silent == arrival.silent {
                let apart = arrival.at.saturating_sub(last.at).as_secs_f64() * 1_000.0;
                let meant = f64::from(arrival.timestamp.wrapping_sub(last.timestamp)) / PER_MS;
                measured.jitter_ms.push((apart - meant).abs());
            }
        }
    }
}

/// Reads a packet, and when the kernel had it: what this thread is late by is left out.
fn read(socket: &UdpSocket, packet: &mut [u8]) -> Option<(usize, Duration)> {
    let mut times = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(packet)];
    let flags = MsgFlags::empty();
    let read = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut times), flags).ok()?;
    let at = read.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
        _ => None,
    })?;
    Some((read.bytes, at))
}

/// Runs the streams until `end`, on this core; what comes before `begin` is not measured.
pub(super) fn run(
    streams: &mut [Stream],
    track: &Arc<[u8]>,
    core: usize,
    begin: Instant,
    end: Instant,
) -> anyhow::Result<Measured> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).context("the load cannot have its core")?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let start = clock::now();
    let mut due = BinaryHeap::new();
    let count = streams.len().max(1) as u32;
    for (number, stream) in streams.iter_mut().enumerate() {
        // What came while nobody read is no measure of anything.
        stream.last = None;
        let data = EventData::new_u64(number as u64);
        epoll::add(&epoll, &stream.socket, data, EventFlags::IN)?;
        due.push(Reverse((start + STEP * number as u32 / count, number)));
    }
    let none = epoll::Event {
        flags: EventFlags::empty(),
        data: EventData::new_u64(0),
    };
    let mut events = vec![none; 256];
    let at_once = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut measured = Measured::default();
    let mut measures = false;
    let mut read_at = start;
    loop {
        let now = clock::now();
        if now >= end {
            return Ok(measured);
        }
        if !measures && now >= begin {
            measures = true;
            measured = Measured::default();
        }
        if let Some(&Reverse((at, number))) = due.peek()
            && at <= now
        {
            due.pop();
            due.push(Reverse((at + STEP, number)));
            if let Some(stream) = streams.get_mut(number) {
                measured.sent += u64::from(stream.send(track));
            }
        }
        if now < read_at {
            continue;
        }
        read_at = now + READ;
        let found = epoll::wait(&epoll, &mut events, Some(&at_once))?;
        for event in events.iter().take(found) {
            let data = event.data;
            if let Some(stream) = streams.get_mut(data.u64() as usize) {
                stream.receive(&mut measured);
            }
        }
    }
}
