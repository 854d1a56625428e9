//! Somebody else's packets upon a call's media: a stranger's, forged ones, old ones once more.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use offhook_media::Frame;
use offhook_media::codec::{Codec, Encoder, OpusWishes};
use offhook_media::rtp::RtpPacket;

use super::clock::{Datagram, Kind};
use super::plan::Intrusion;

/// How loud a stranger is: audible, and softer than anybody else here.
const LEVEL: i16 = 600;
/// G.711 is off by 3 % at most.
const LEVELS: std::ops::RangeInclusive<u16> = 570..=630;
const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 40_000);
/// Bytes of an RTP header without extensions.
const HEADER: usize = 12;

/// Whether a frame is an intruder's.
pub(super) fn is_heard(frame: &Frame) -> bool {
    let theirs = |sample: &&i16| LEVELS.contains(&sample.unsigned_abs());
    let samples = frame.samples();
    !frame.concealed && samples.iter().filter(theirs).count() * 2 > samples.len()
}

/// What an intruder knows: the packet that came last, as it was on the wire.
#[derive(Debug, Default)]
pub(super) struct Overheard {
    last: Option<Datagram>,
    sent: u16,
}

impl Overheard {
    pub(super) fn note(&mut self, datagram: &Datagram) {
        self.last = Some(datagram.clone());
    }

    /// The next packet of an intrusion, if there is anything to intrude upon.
    pub(super) fn intrude(&mut self, intrusion: Intrusion, encrypted: bool) -> Option<Datagram> {
        let last = self.last.as_ref()?;
        self.sent = self.sent.wrapping_add(1);
        let mut datagram = last.clone();
        match intrusion {
            Intrusion::Stranger => {
                datagram.from = STRANGER;
                datagram.bytes = forge(&last.bytes, self.sent)?;
            }
            // In the clear nothing tells these from the caller's own.
            Intrusion::Forged | Intrusion::Replayed | Intrusion::Tampered if !encrypted => {
                return None;
            }
            Intrusion::Forged => datagram.bytes = forge(&last.bytes, self.sent)?,
            Intrusion::Replayed => {}
            Intrusion::Tampered => *datagram.bytes.get_mut(HEADER)? ^= 1,
        }
        datagram.kind = Kind::Rtp;
        Some(datagram)
    }
}

/// Sound in the clear that goes on where the caller's packet ended.
fn forge(last: &[u8], ahead: u16) -> Option<Vec<u8>> {
    let header = RtpPacket::parse(last).ok()?.header;
    let (codec, payload_type) = match header.payload_type {
        8 => (Codec::Pcma, 8),
        _ => (Codec::Pcmu, 0),
    };
    let sequence = header.sequence.wrapping_add(ahead);
    let timestamp = header.timestamp.wrapping_add(160 * u32::from(ahead));
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(header.ssrc.to_be_bytes());
    let sound: Vec<i16> = (0..160)
        .map(|n| if (n / 8) % 2 == 0 { LEVEL } else { -LEVEL })
        .collect();
    let mut payload = [0; 160];
    Encoder::new(codec, 8_000, OpusWishes::default()).encode(&sound, &mut payload);
    packet.extend(payload);
    Some(packet)
}
