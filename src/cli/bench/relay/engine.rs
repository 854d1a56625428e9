//! `offhook bench relay-subject`: the media engine alone as a relay, a process under test. It reads
//! a line for each call, the addresses of its two sides, and answers where each is to send.

use std::io::{BufRead, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Context;
use offhook_media::sdp::{self, LocalMedia};
use offhook_media::{Codec, MediaSession, SessionConfig};
use rand::Rng;
use tokio::sync::mpsc;

use crate::call::line::next_leg;
use crate::clock;
use crate::net::media::{Command, LegEvent, MediaThread, OpenLeg, Part, PortPool, RoomId};

/// Ports of the legs: outside of the load's and of the other relays'.
const PORTS: std::ops::RangeInclusive<u16> = 20_000..=29_999;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Events of a leg that may wait; nobody reads them.
const EVENTS: usize = 4;

/// Relays until standard input ends, then says how many packets passed as they came.
pub(in crate::cli::bench) fn run() -> anyhow::Result<ExitCode> {
    let media = MediaThread::start(None)?;
    let ports = PortPool::new(PORTS, rand::rng().random());
    let mut kept = Vec::new();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (a, b) = line.split_once(' ').context("a line is two addresses")?;
        let room = RoomId::next();
        let mut addresses = Vec::new();
        for side in [a, b] {
            let (address, events) = open(&media, &ports, side.parse()?, room)?;
            kept.push(events);
            addresses.push(address.to_string());
        }
        writeln!(out, "{}", addresses.join(" "))?;
        out.flush()?;
    }
    let relayed = media.counters().relayed.load(Ordering::Relaxed);
    writeln!(out, "{relayed}")?;
    Ok(ExitCode::SUCCESS)
}

/// Opens a leg in a room, and tells where its side is to send.
fn open(
    media: &MediaThread,
    ports: &PortPool,
    side: SocketAddr,
    room: RoomId,
) -> anyhow::Result<(SocketAddr, mpsc::Receiver<LegEvent>)> {
    let now = clock::now();
    let ports = ports.open(HERE, now)?;
    let local = ports.local;
    let described = |address, id| LocalMedia {
        codecs: vec![Codec::Pcmu],
        ..LocalMedia::new(address, id)
    };
    let offer = sdp::offer(&described(side, 1));
    let (_, negotiated) = sdp::answer(&offer, &described(local, 2))?;
    let config = SessionConfig {
        unix_time: clock::since_1970(),
        ..SessionConfig::new(negotiated, rand::rng().random(), side.ip())
    };
    let (tell, events) = mpsc::channel(EVENTS);
    let leg = next_leg();
    let session = Box::new(MediaSession::new(clock::beat(now), config));
    media.send(Command::Open(Box::new(OpenLeg {
        leg,
        session,
        ports,
        sink: None,
        recorder: None,
        events: tell,
    })))?;
    media.send(Command::Join {
        leg,
        room,
        part: Part::Talks,
        shares_playout: false,
    })?;
    Ok((local, events))
}
