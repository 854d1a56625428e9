//! The peer of an attacked session: what it says, and the wire's copy of it.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use offhook_media::codec::g711::{encode_ulaw, ulaw_to_linear};
use offhook_media::rtcp::{RtcpPacket, parse};
use offhook_media::srtp::{MasterKey, Outbound, Suite};
use rand::rngs::{SmallRng, StdRng};
use rand::{Rng, SeedableRng};

use super::common::rtp;

pub(crate) const STEP: usize = 160;
/// Sound that follows on a gap is joined to what was made up for it over so many samples at most.
const SEAM: usize = 80;
/// No sample of the peer's is louder.
const PEER_LOUDEST: i16 = 4_000;

/// A datagram that somebody sends to the session.
#[derive(Clone)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    /// To the RTCP port.
    pub(crate) rtcp: bool,
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.rtcp { "RTCP" } else { "RTP" };
        let head = self.bytes.iter().take(28);
        let head: Vec<String> = head.map(|byte| format!("{byte:02x}")).collect();
        let (from, len, head) = (self.from, self.bytes.len(), head.join(""));
        write!(f, "{way} from {from}, {len} bytes: {head}")
    }
}

/// What the peer sends and has sent.
pub(crate) struct Peer {
    pub(crate) at: SocketAddr,
    /// How far the port of its reports lies above that of its sound.
    pub(crate) reports_above: u16,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) key: Option<MasterKey>,
    senders: Vec<(MasterKey, Outbound)>,
    /// Packets of sound so far; each sounds like no other.
    said: u64,
    /// Which packet a piece of sound is.
    sounds: HashMap<Vec<i16>, u64>,
    /// What an eavesdropper has: the clear packets, and all datagrams as they were sent.
    pub(crate) clear: Vec<Vec<u8>>,
    pub(crate) wire: Vec<Datagram>,
}

/// One packet's sound: no other packet's, quiet, and such that µ-law carries it.
fn sound(number: u64) -> Vec<i16> {
    let sample = |n: usize| {
        let place = number * STEP as u64 + n as u64;
        let mixed = place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let code = (mixed >> 56) as u8;
        // The upper segments are the loud ones, and of two zeros µ-law keeps one.
        let code = (code & 0x80) | (0x10 + (code & 0x7F) % 0x6F);
        let sample = ulaw_to_linear(code);
        if sample.abs() > PEER_LOUDEST {
            132
        } else {
            sample
        }
    };
    (0..STEP).map(sample).collect()
}

impl Peer {
    pub(crate) fn new(at: SocketAddr, key: Option<MasterKey>, random: &mut SmallRng) -> Self {
        let mut peer = Self {
            at,
            reports_above: 1,
            ssrc: random.random(),
            sequence: random.random(),
            timestamp: random.random(),
            key: None,
            senders: Vec::new(),
            said: 0,
            sounds: HashMap::new(),
            clear: Vec::new(),
            wire: Vec::new(),
        };
        if key.is_some() {
            // A stream that begins right before the wrap leaves its rollover counter to be guessed.
            peer.sequence &= 0x7FFF;
        }
        peer.take_key(key);
        peer
    }

    /// Goes on under another key; one that was used before goes on where it was.
    pub(crate) fn take_key(&mut self, key: Option<MasterKey>) {
        if let Some(key) = &key
            && !self.senders.iter().any(|(known, _)| known == key)
        {
            self.senders.push((key.clone(), Outbound::new(key)));
        }
        self.key = key;
    }

    pub(crate) fn draw_key(random: &mut SmallRng) -> MasterKey {
        let suite = Suite::ALL[random.random_range(0..Suite::ALL.len())];
        MasterKey::draw(suite, &mut StdRng::seed_from_u64(random.random()))
    }

    /// The key that it began with.
    pub(crate) fn first_key(&self) -> Option<MasterKey> {
        self.senders.first().map(|(key, _)| key.clone())
    }

    /// The number of the packet that sounds like this.
    pub(crate) fn number_of(&self, sound: &[i16]) -> Option<u64> {
        self.sounds.get(sound.get(SEAM..)?).copied()
    }

    pub(crate) fn packets_said(&self) -> u64 {
        self.said
    }

    /// The next packet of sound.
    pub(crate) fn say(&mut self) -> Datagram {
        let sound = sound(self.said);
        let mut payload = [0; STEP];
        encode_ulaw(&sound, &mut payload);
        self.sounds.insert(sound[SEAM..].to_vec(), self.said);
        self.said += 1;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(STEP as u32);
        self.send_rtp(0, self.timestamp, &payload)
    }

    /// The packets of a key that is pressed and let go.
    pub(crate) fn press(&mut self, payload_type: u8, event: u8) -> Vec<Datagram> {
        let began = self.timestamp.wrapping_add(STEP as u32);
        let packets = (1..=6u16).map(|n| {
            let end = if n > 3 { 0x80 } else { 0 };
            let [high, low] = (n.min(4) * 160).to_be_bytes();
            self.sequence = self.sequence.wrapping_add(1);
            self.send_rtp(payload_type, began, &[event, 10 | end, high, low])
        });
        let packets = packets.collect();
        self.timestamp = self.timestamp.wrapping_add(6 * STEP as u32);
        packets
    }

    /// Time passes in which the peer sends nothing.
    pub(crate) fn be_silent(&mut self, packets: u32) {
        self.timestamp = self.timestamp.wrapping_add(packets * STEP as u32);
    }

    fn send_rtp(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) -> Datagram {
        let packet = rtp(payload_type, self.sequence, timestamp, self.ssrc, payload);
        self.clear.push(packet.clone());
        self.send(packet, false)
    }

    /// A report, with a goodbye if wished.
    pub(crate) fn report(&mut self, goodbye: bool) -> Datagram {
        self.send(report(self.ssrc, goodbye.then_some(self.ssrc), None), true)
    }

    fn send(&mut self, packet: Vec<u8>, rtcp: bool) -> Datagram {
        let above = if rtcp { self.reports_above } else { 0 };
        let from = SocketAddr::new(self.at.ip(), self.at.port() + above);
        let mut senders = self.senders.iter_mut();
        let sender = senders.find(|(key, _)| Some(key) == self.key.as_ref());
        let bytes = match sender {
            Some((_, sender)) => protect(sender, packet, rtcp),
            None => packet,
        };
        let datagram = Datagram { from, rtcp, bytes };
        self.wire.push(datagram.clone());
        datagram
    }
}

pub(crate) fn protect(sender: &mut Outbound, mut packet: Vec<u8>, rtcp: bool) -> Vec<u8> {
    let len = packet.len();
    packet.resize(len + 20, 0);
    let len = match rtcp {
        true => sender.protect_rtcp(&mut packet, len),
        false => sender.protect_rtp(&mut packet, len),
    };
    packet.truncate(len.unwrap());
    packet
}

/// A sender report of `ssrc` that says total loss about `about`, and a goodbye of `leaves`.
pub(crate) fn report(ssrc: u32, leaves: Option<u32>, about: Option<u32>) -> Vec<u8> {
    let mut packet = vec![0x80 | u8::from(about.is_some()), 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([1; 20]);
    if let Some(about) = about {
        packet[3] = 12;
        packet.extend(about.to_be_bytes());
        packet.extend([0xFF; 20]);
    }
    if let Some(leaves) = leaves {
        packet.extend([0x81, 203, 0, 1]);
        packet.extend(leaves.to_be_bytes());
    }
    assert!(matches!(
        parse(&packet).unwrap().next(),
        Some(RtcpPacket::SenderReport { .. })
    ));
    packet
}
