//! A media thread with real sockets: what a leg hears, and how it ends.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::sync::mpsc as std_mpsc;

use offhook_media::rtcp::{RtcpPacket, parse};
use offhook_media::sdp::{self, LocalMedia, Negotiated};
use offhook_media::{SessionConfig, SourceRule};

use super::*;
use crate::clock;

mod allocation;
mod moving;
mod relay;
mod rooms;

const LEG: LegId = 1;
/// µ-law of a loud sample and of a soft one.
const LOUD: u8 = 0x80;
const SOFT: u8 = 0xF0;

struct Ear(std_mpsc::Sender<i16>);

impl FrameSink for Ear {
    fn frame(&mut self, frame: &Frame) {
        let loudest = frame.samples().iter().map(|s| s.saturating_abs()).max();
        let _ = self.0.send(loudest.unwrap_or_default());
    }
}

#[allow(clippy::disallowed_methods)] // the other side of a test
fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// The other side of one leg.
struct Peer {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    leg: SocketAddr,
}

impl Peer {
    fn send(&self, sequence: u16, sample: u8) {
        self.send_payload(0, sequence, u32::from(sequence) * 160, &[sample; 160]);
    }

    fn send_payload(&self, kind: u8, sequence: u16, timestamp: u32, payload: &[u8]) {
        let mut packet = vec![0x80, kind];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend(payload);
        self.rtp.send_to(&packet, self.leg).unwrap();
    }

    /// Waits until the leg sends: it is open.
    fn await_sound(&self) {
        self.rtp.recv(&mut [0; 2048]).unwrap();
    }

    /// Waits until the leg's reports say goodbye.
    fn await_goodbye(&self) {
        let mut buffer = [0; 2048];
        loop {
            let length = self.rtcp.recv(&mut buffer).unwrap();
            let mut packets = parse(&buffer[..length]).unwrap();
            if packets.any(|packet| matches!(packet, RtcpPacket::Goodbye(_))) {
                return;
            }
        }
    }
}

/// A leg that is not on a thread yet, its other side, its events and what it hears.
struct Rig {
    open: Box<OpenLeg>,
    peer: Peer,
    events: mpsc::Receiver<LegEvent>,
    heard: std_mpsc::Receiver<i16>,
    negotiated: Negotiated,
}

fn rig(seed: u64) -> Rig {
    rig_of(LEG, seed)
}

fn rig_of(leg: LegId, seed: u64) -> Rig {
    let ports = PortPool::new(42_000..=42_999, seed);
    let ports = ports
        .open(Ipv4Addr::LOCALHOST.into(), clock::now())
        .unwrap();
    let (rtp, rtcp) = (socket(), socket());
    let theirs = sdp::offer(&LocalMedia::new(rtp.local_addr().unwrap(), 1));
    let (_, negotiated) = sdp::answer(&theirs, &LocalMedia::new(ports.local, 2)).unwrap();
    let negotiated = Negotiated {
        rtcp_mux: false,
        remote_rtcp: rtcp.local_addr().unwrap(),
        ..negotiated
    };
    let mut config = SessionConfig::new(negotiated.clone(), 9, Ipv4Addr::LOCALHOST.into());
    config.source_rule = SourceRule::Negotiated;
    let (tell, events) = mpsc::channel(64);
    let (ear, heard) = std_mpsc::channel();
    let peer = Peer {
        rtp,
        rtcp,
        leg: ports.local,
    };
    let open = OpenLeg {
        leg,
        session: Box::new(MediaSession::new(clock::now(), config)),
        ports,
        sink: Some(Box::new(Ear(ear))),
        recorder: None,
        events: tell,
    };
    Rig {
        open: Box::new(open),
        peer,
        events,
        heard,
        negotiated,
    }
}

#[test]
fn what_came_before_a_leg_was_open_is_not_heard() {
    let Rig {
        open,
        peer,
        heard,
        events: _events,
        ..
    } = rig(1);
    // An announcement while it rang.
    for sequence in 0..100 {
        peer.send(sequence, LOUD);
    }
    let media = MediaThread::start(None).unwrap();
    media.send(Command::Open(open)).unwrap();
    peer.await_sound();
    for sequence in 100..103 {
        peer.send(sequence, SOFT);
    }
    let loudest = heard.recv().unwrap();
    assert!(loudest > 0 && loudest < 1_000, "{loudest}");
    assert_eq!(media.counters().early_dropped.load(Ordering::Relaxed), 100);
}

#[test]
fn a_thread_without_legs_ends_when_its_last_handle_is_gone() {
    let media = MediaThread::start(None).unwrap();
    let counters = Arc::downgrade(&media.counters);
    let other = media.clone();
    drop(media);
    drop(other);
    // They go with the thread.
    while counters.strong_count() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn what_has_piled_up_at_a_socket_is_all_read_though_nothing_follows() {
    let media = MediaThread::start(None).unwrap();
    // Enough of them that packets wait for a beat.
    let others: Vec<_> = (100..120).map(|leg| rig_of(leg, leg)).collect();
    let (opens, kept): (Vec<_>, Vec<_>) = others
        .into_iter()
        .map(|rig| (rig.open, (rig.peer, rig.events, rig.heard)))
        .unzip();
    for open in opens {
        media.send(Command::Open(open)).unwrap();
    }
    let Rig {
        open,
        peer,
        heard,
        events: _events,
        ..
    } = rig(4);
    media.send(Command::Open(open)).unwrap();
    peer.await_sound();
    for sequence in 0..50 {
        peer.send(sequence, LOUD);
    }
    for number in 0..50 {
        assert!(heard.recv().is_ok(), "packet {number}");
    }
    drop(kept);
}

#[test]
fn a_closed_leg_says_goodbye_and_then_what_it_counted() {
    let Rig {
        open,
        peer,
        mut events,
        ..
    } = rig(2);
    let media = MediaThread::start(None).unwrap();
    media.send(Command::Open(open)).unwrap();
    peer.await_sound();
    let held = || media.counters().session_bytes.load(Ordering::Relaxed);
    assert!((10_000..100_000).contains(&held()), "{}", held());
    media.send(Command::Close(LEG)).unwrap();
    peer.await_goodbye();
    let told = std::iter::from_fn(|| events.blocking_recv());
    let closed = told.last();
    assert!(matches!(closed, Some(LegEvent::Closed { stats }) if stats.packets_sent > 0));
    // The channel ends with the leg, which is counted no more by then.
    assert_eq!(media.counters().legs.load(Ordering::Relaxed), 0);
    assert_eq!(held(), 0);
}

#[test]
fn a_leg_of_which_nobody_hears_any_more_ends_by_itself() {
    let Rig {
        open, peer, events, ..
    } = rig(3);
    let media = MediaThread::start(None).unwrap();
    media.send(Command::Open(open)).unwrap();
    peer.await_sound();
    drop(events);
    peer.await_goodbye();
}

#[test]
fn many_legs_are_served_once_a_beat_and_each_hears_its_own_peer() {
    let media = MediaThread::start(None).unwrap();
    let mut rigs: Vec<_> = (1..=40).map(|leg| rig_of(leg, 100 + leg)).collect();
    let mut parts = Vec::new();
    for rig in rigs.drain(..) {
        media.send(Command::Open(rig.open)).unwrap();
        parts.push((rig.peer, rig.heard, rig.events));
    }
    for (peer, _, _) in &parts {
        peer.await_sound();
    }
    for sequence in 0..10 {
        for (number, (peer, _, _)) in parts.iter().enumerate() {
            peer.send(sequence, if number % 2 == 0 { LOUD } else { SOFT });
        }
    }
    for (number, (_, heard, _)) in parts.iter().enumerate() {
        for _ in 0..10 {
            let loudest = heard.recv().unwrap();
            assert_eq!(loudest > 1_000, number % 2 == 0, "leg {number}: {loudest}");
        }
    }
    for leg in 1..=40 {
        media.send(Command::Close(leg)).unwrap();
    }
    for (peer, _, _) in &parts {
        peer.await_goodbye();
    }
}
