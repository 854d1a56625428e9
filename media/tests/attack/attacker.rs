//! What attackers send: from elsewhere, from the peer's own address, and of what they overheard.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use offhook_media::codec::g711::linear_to_ulaw;
use offhook_media::srtp::{MasterKey, Outbound};
use rand::Rng;
use rand::rngs::SmallRng;

use super::common::rtp;
use super::peer::{Datagram, Peer, STEP, protect, report};

/// How each sample of an attacker sounds, at least.
pub(crate) const EVIL: i16 = 20_000;

/// What an attacker may know and count on.
pub(crate) struct Scene<'a> {
    pub(crate) peer: &'a Peer,
    /// The peer's sound is known to the session.
    pub(crate) known: bool,
    /// How long the peer has been silent.
    pub(crate) silent_ms: u64,
    /// The telephone-events' payload type.
    pub(crate) keys: u8,
    /// What the session sent last, and its source.
    pub(crate) ours: &'a [u8],
    pub(crate) our_ssrc: u32,
    /// Where the peer was before it moved by a new offer.
    pub(crate) former: Option<SocketAddr>,
}

/// The kinds of attack, to be drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    InjectFromElsewhere,
    GuessFromElsewhere,
    StealFromAnotherPort,
    StealFromTheSamePort,
    PortScan,
    RebindWithAnotherSource,
    RebindOutOfTheWindow,
    KeysFromElsewhere,
    KeysFromAnotherPort,
    ReportFromElsewhere,
    ReportOfAnotherSource,
    LoopBack,
    FormerAddress,
    Forge,
    FlipBits,
    Truncate,
    Replay,
    ReplayOld,
    InTheClear,
}

pub(crate) const ALL: [Attack; 19] = [
    Attack::InjectFromElsewhere,
    Attack::GuessFromElsewhere,
    Attack::StealFromAnotherPort,
    Attack::StealFromTheSamePort,
    Attack::PortScan,
    Attack::RebindWithAnotherSource,
    Attack::RebindOutOfTheWindow,
    Attack::KeysFromElsewhere,
    Attack::KeysFromAnotherPort,
    Attack::ReportFromElsewhere,
    Attack::ReportOfAnotherSource,
    Attack::LoopBack,
    Attack::FormerAddress,
    Attack::Forge,
    Attack::FlipBits,
    Attack::Truncate,
    Attack::Replay,
    Attack::ReplayOld,
    Attack::InTheClear,
];

fn evil_payload(random: &mut SmallRng) -> [u8; STEP] {
    let level = random.random_range(EVIL..i16::MAX);
    let sign = if random.random_bool(0.5) { 1 } else { -1 };
    [linear_to_ulaw(level * sign); STEP]
}

/// An address that is not the peer's; often one that looks like it.
fn elsewhere(peer: SocketAddr, random: &mut SmallRng) -> SocketAddr {
    let foreign = match (random.random_range(0..4), peer.ip()) {
        (0, IpAddr::V4(ip)) => {
            let [a, b, c, d] = ip.octets();
            IpAddr::from([a, b, c, d ^ (1 << random.random_range(0..8))])
        }
        (1, IpAddr::V4(ip)) => IpAddr::V6(Ipv6Addr::from(u128::from(ip.to_bits()) << 32)),
        (2, _) => IpAddr::from(random.random::<u128>().to_be_bytes()),
        _ => IpAddr::from([random.random_range(1..100), random.random(), 7, 9]),
    };
    let port = match random.random_bool(0.5) {
        true => peer.port(),
        false => random.random_range(1_024..=65_535),
    };
    SocketAddr::new(foreign, port)
}

fn other_port(peer: SocketAddr, random: &mut SmallRng) -> SocketAddr {
    let mut port = random.random_range(1_024..65_500);
    if (peer.port()..peer.port() + 10).contains(&port) {
        port += 10;
    }
    SocketAddr::new(peer.ip(), port)
}

fn datagram(from: SocketAddr, rtcp: bool, bytes: Vec<u8>) -> Datagram {
    Datagram { from, rtcp, bytes }
}

/// Which numbers a forged stream has.
struct Numbers {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Scene<'_> {
    /// The datagrams of one attack; none when it cannot be made now, or is one that nobody could
    /// tell from the peer.
    pub(crate) fn strike(&self, attack: Attack, random: &mut SmallRng) -> Vec<Datagram> {
        let peer = self.peer;
        let secure = peer.key.is_some();
        let next = Numbers {
            ssrc: peer.ssrc,
            sequence: peer.sequence.wrapping_add(1),
            timestamp: peer.timestamp.wrapping_add(STEP as u32),
        };
        let another = |random: &mut SmallRng| Numbers {
            ssrc: peer.ssrc ^ random.random_range(1..=u32::MAX),
            sequence: random.random(),
            ..next
        };
        let port = other_port(peer.at, random);
        let foreign = elsewhere(peer.at, random);
        match attack {
            Attack::InjectFromElsewhere => self.sound(foreign, 3, next, random),
            Attack::GuessFromElsewhere => {
                let guess = another(random);
                self.sound(foreign, 2, guess, random)
            }
            // Once the old port has been silent, this is what a NAT does.
            Attack::StealFromAnotherPort if self.silent_ms < 400 && self.known => {
                self.sound(port, 3, next, random)
            }
            // Once the old source has been silent, this is what music on hold does.
            Attack::StealFromTheSamePort if self.silent_ms < 100 && self.known => {
                let another = another(random);
                self.sound(peer.at, 3, another, random)
            }
            Attack::PortScan => self.scan(random),
            Attack::RebindWithAnotherSource if self.known => {
                let another = another(random);
                self.sound(port, 3, another, random)
            }
            Attack::RebindOutOfTheWindow if self.known => {
                let ahead = random.random_range(600..60_000);
                let sequence = peer.sequence.wrapping_add(ahead);
                self.sound(port, 3, Numbers { sequence, ..next }, random)
            }
            Attack::KeysFromElsewhere => self.press(foreign, next, random),
            Attack::KeysFromAnotherPort if self.known => {
                let another = another(random);
                self.press(port, another, random)
            }
            Attack::ReportFromElsewhere => {
                let bytes = report(peer.ssrc, Some(peer.ssrc), Some(self.our_ssrc));
                vec![datagram(foreign, random.random_bool(0.5), bytes)]
            }
            Attack::ReportOfAnotherSource if self.known => {
                let rtcp = random.random_bool(0.5);
                let described = SocketAddr::new(peer.at.ip(), peer.at.port() + u16::from(rtcp));
                let from = [described, port][random.random_range(0..2)];
                let stranger = another(random).ssrc;
                let bytes = report(stranger, Some(peer.ssrc), Some(self.our_ssrc));
                vec![datagram(from, rtcp, bytes)]
            }
            Attack::LoopBack if !self.ours.is_empty() => {
                let from = [peer.at, port, foreign][random.random_range(0..3)];
                vec![datagram(from, false, self.ours.to_vec())]
            }
            Attack::FormerAddress => match self.former {
                Some(former) if self.known && self.silent_ms < 400 => {
                    self.sound(former, 3, next, random)
                }
                _ => Vec::new(),
            },
            Attack::Forge if secure => self.forged(next, random),
            Attack::FlipBits | Attack::Truncate if secure => self.damaged(attack, random),
            Attack::Replay if self.known => self.replayed(40, random),
            Attack::ReplayOld if secure => self.replayed(usize::MAX, random),
            Attack::InTheClear if secure => {
                let goodbye = report(peer.ssrc, Some(peer.ssrc), None);
                let mut sent = self.sound(peer.at, 2, next, random);
                sent.push(datagram(peer.at, random.random_bool(0.5), goodbye));
                sent
            }
            _ => Vec::new(),
        }
    }

    /// Packets of sound in a row, now and then of a payload type that nobody agreed on.
    fn sound(
        &self,
        from: SocketAddr,
        packets: u16,
        numbers: Numbers,
        random: &mut SmallRng,
    ) -> Vec<Datagram> {
        let kind = match random.random_range(0..8) {
            0 => random.random_range(0..64),
            _ => 0,
        };
        let payload = evil_payload(random);
        let packet = |n: u16| {
            let sequence = numbers.sequence.wrapping_add(n);
            let timestamp = numbers.timestamp.wrapping_add(u32::from(n) * STEP as u32);
            rtp(kind, sequence, timestamp, numbers.ssrc, &payload)
        };
        (0..packets)
            .map(|n| datagram(from, false, packet(n)))
            .collect()
    }

    fn scan(&self, random: &mut SmallRng) -> Vec<Datagram> {
        // A port that is not known must prove itself by a second packet, for which a few wait.
        let ports = if self.known { 50 } else { 1 };
        let first = random.random_range(10_000..60_000);
        let payload = evil_payload(random);
        let ports = (first..first + ports).filter(|port| *port != self.peer.at.port());
        let packet = |port| {
            let from = SocketAddr::new(self.peer.at.ip(), port);
            let bytes = rtp(
                0,
                random.random(),
                random.random(),
                random.random(),
                &payload,
            );
            datagram(from, false, bytes)
        };
        ports.map(packet).collect()
    }

    fn press(&self, from: SocketAddr, numbers: Numbers, random: &mut SmallRng) -> Vec<Datagram> {
        let digit = random.random_range(0..12);
        let packet = |n: u16| {
            let payload = [digit, 0x8A, 3, 32];
            let sequence = numbers.sequence.wrapping_add(n);
            rtp(
                self.keys,
                sequence,
                numbers.timestamp,
                numbers.ssrc,
                &payload,
            )
        };
        (0..3).map(|n| datagram(from, false, packet(n))).collect()
    }

    /// Sound and a goodbye under a key that is not the peer's.
    fn forged(&self, next: Numbers, random: &mut SmallRng) -> Vec<Datagram> {
        let key: MasterKey = Peer::draw_key(random);
        let mut sender = Outbound::new(&key);
        let mut sent = self.sound(self.peer.at, 2, next, random);
        let goodbye = report(self.peer.ssrc, Some(self.peer.ssrc), None);
        sent.push(datagram(self.peer.at, true, goodbye));
        for packet in &mut sent {
            packet.bytes = protect(&mut sender, packet.bytes.clone(), packet.rtcp);
        }
        sent
    }

    /// What was overheard, with bits turned over or its end cut off.
    fn damaged(&self, attack: Attack, random: &mut SmallRng) -> Vec<Datagram> {
        let mut packets = self.overheard(40, 1, random);
        for packet in &mut packets {
            let len = packet.bytes.len();
            if attack == Attack::Truncate {
                packet.bytes.truncate(random.random_range(0..len));
                continue;
            }
            for _ in 0..random.random_range(1..4) {
                // The version and the kind decide which way a packet goes, not whether it is good.
                let bit = random.random_range(16..len * 8);
                packet.bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        packets
    }

    /// What was overheard among the last `lately` datagrams, once more: some in a row.
    fn replayed(&self, lately: usize, random: &mut SmallRng) -> Vec<Datagram> {
        let mut packets = self.overheard(lately, random.random_range(1..5), random);
        // In the clear a copy from the peer's own place is what a network makes of a packet.
        let port = other_port(self.peer.at, random);
        let elsewhere = elsewhere(self.peer.at, random);
        let from = [None, Some(port), Some(elsewhere)][random.random_range(0..3)];
        for packet in &mut packets {
            packet.from = from.unwrap_or(packet.from);
        }
        packets
    }

    fn overheard(&self, lately: usize, packets: usize, random: &mut SmallRng) -> Vec<Datagram> {
        let wire = &self.peer.wire;
        let lately = &wire[wire.len().saturating_sub(lately)..];
        let first = random.random_range(0..=lately.len());
        lately[first..].iter().take(packets).cloned().collect()
    }
}
