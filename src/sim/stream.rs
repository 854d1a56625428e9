//! RTP sources on a wire: sequence numbers and timestamps (RFC 3550 §5.1).

use std::collections::BTreeMap;

use offhook_media::Codec;
use offhook_media::rtp::RtpPacket;

use super::invariants::Rule;

#[derive(Debug)]
struct Stream {
    sequence: u16,
    /// Where the sound ends that was sent.
    end: u32,
    /// The telephone-event that is being sent, by its timestamp.
    event: Option<u32>,
}

/// The sources that were seen.
#[derive(Debug, Default)]
pub(super) struct Streams {
    of: BTreeMap<u32, Stream>,
}

impl Streams {
    /// Takes a packet that a source sends, in the order of sending.
    pub(super) fn sent(&mut self, packet: &RtpPacket<'_>) -> Option<(Rule, String)> {
        let header = packet.header;
        let sound = Codec::from_static_payload_type(header.payload_type)
            .map(|codec| codec.payload_samples(packet.payload) as u32);
        let Some(stream) = self.of.get_mut(&header.ssrc) else {
            let stream = Stream {
                sequence: header.sequence,
                end: header.timestamp.wrapping_add(sound.unwrap_or(0)),
                event: sound.is_none().then_some(header.timestamp),
            };
            self.of.insert(header.ssrc, stream);
            return None;
        };
        let expected = stream.sequence.wrapping_add(1);
        stream.sequence = header.sequence;
        if header.sequence != expected {
            let what = format!("sequence {} where {expected} was due", header.sequence);
            return Some((Rule::RtpTime, what));
        }
        let goes_on = sound.is_none() && stream.event == Some(header.timestamp);
        let ahead = header.timestamp.wrapping_sub(stream.end);
        let what = format!("timestamp {} before {}", header.timestamp, stream.end);
        let length = sound.unwrap_or_else(|| event_samples(packet.payload));
        let end = header.timestamp.wrapping_add(length);
        stream.event = sound.is_none().then_some(header.timestamp);
        // An event's packets repeat its timestamp while its end moves on.
        if goes_on || ahead < u32::MAX / 2 {
            if end.wrapping_sub(stream.end) < u32::MAX / 2 {
                stream.end = end;
            }
            return None;
        }
        stream.end = end;
        Some((Rule::RtpTime, what))
    }
}

/// The duration field of a telephone-event (RFC 4733 §2.3.5).
fn event_samples(payload: &[u8]) -> u32 {
    match payload {
        [_, _, high, low, ..] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    }
}
