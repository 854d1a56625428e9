//! The RTP header, read and written (RFC 3550 §5.1).

use rtp_rs::{RtpReader, RtpReaderError};
use thiserror::Error;

/// Bytes of a header without contributing sources or extension.
pub const HEADER_BYTES: usize = 12;

/// Says why bytes are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtpError {
    /// There are fewer bytes than the header says, or than any header has.
    #[error("the packet is truncated")]
    Truncated,
    /// The version is not 2.
    #[error("the version is not 2")]
    Version,
    /// The padding is longer than the packet, or empty (RFC 3550 §5.1).
    #[error("the padding does not fit the packet")]
    Padding,
}

/// Holds one RTP packet as received; the payload is borrowed, without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// The header.
    pub header: RtpHeader,
    /// The payload without header extension and padding.
    pub payload: &'a [u8],
}

/// Holds the fixed fields of an RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker: a talk-spurt starts here (RFC 3551 §4.1).
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp of the first sample.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl<'a> RtpPacket<'a> {
    /// Reads a packet; contributing sources and header extension are skipped.
    ///
    /// # Errors
    /// Returns [`RtpError`] when the bytes are no RTP packet.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let reader = RtpReader::new(bytes).map_err(|error| match error {
            RtpReaderError::BufferTooShort(_) | RtpReaderError::HeadersTruncated { .. } => {
                RtpError::Truncated
            }
            RtpReaderError::UnsupportedVersion(_) => RtpError::Version,
            RtpReaderError::PaddingLengthInvalid(_) => RtpError::Padding,
        })?;
        let header = RtpHeader {
            payload_type: reader.payload_type(),
            marker: reader.mark(),
            sequence: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: reader.ssrc(),
        };
        Ok(Self {
            header,
            payload: reader.payload(),
        })
    }
}

impl RtpHeader {
    /// The header as it goes on the wire: version 2, nothing optional.
    #[inline]
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [r0, r1, r2, r3] = self.ssrc.to_be_bytes();
        let kind = (self.payload_type & 0x7F) | if self.marker { 0x80 } else { 0 };
        [0x80, kind, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]
    }
}

/// What a datagram on a media port is, told by its first two bytes (RFC 5761 §4, RFC 7983).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
    /// STUN, DTLS, TURN, or nothing known.
    Other,
}

/// Tells what a datagram on a media port is.
#[inline]
#[must_use]
pub fn classify(bytes: &[u8]) -> Kind {
    match bytes {
        [first, second, ..] if (128..192).contains(first) => {
            if (192..224).contains(second) {
                Kind::Rtcp
            } else {
                Kind::Rtp
            }
        }
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: RtpHeader = RtpHeader {
        payload_type: 101,
        marker: true,
        sequence: 0xFFFE,
        timestamp: 0x0102_0304,
        ssrc: 0xDEAD_BEEF,
    };

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = HEADER.to_bytes().to_vec();
        bytes.extend([1, 2, 3]);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.header, HEADER);
        assert_eq!(packet.payload, [1, 2, 3]);
        assert_eq!(classify(&bytes), Kind::Rtp);
    }

    #[test]
    fn contributing_sources_extension_and_padding_are_not_payload() {
        let mut bytes = HEADER.to_bytes().to_vec();
        bytes[0] = 0x80 | 0x20 | 0x10 | 2;
        bytes.extend([0; 8]); // two contributing sources
        bytes.extend([0xBE, 0xDE, 0, 1, 9, 9, 9, 9]); // extension of one word
        bytes.extend([7, 7, 0, 0, 3]); // payload of two bytes, padding of three
        assert_eq!(RtpPacket::parse(&bytes).unwrap().payload, [7, 7]);
        *bytes.last_mut().unwrap() = 200;
        assert_eq!(RtpPacket::parse(&bytes), Err(RtpError::Padding));
    }
}
