//! SRTP and SRTCP (RFC 3711): packets encrypted and authenticated in place.
//!
//! [`Outbound`] protects what one source sends, [`Inbound`] takes the protection off what a peer's
//! sources send and refuses what is forged or came before. Each belongs to one master key: with
//! SDES (RFC 4568) the two directions have a key each. Key derivation rate is 0, so that session
//! keys are derived once; neither allocates memory afterwards.

mod cipher;
mod inbound;
mod key;
mod outbound;
mod replay;
#[cfg(test)]
mod rfc_vectors;
mod suite;

pub use inbound::Inbound;
pub use key::{MasterKey, Mki, SrtpKeys};
pub use outbound::Outbound;
pub use suite::Suite;
use thiserror::Error;

/// The most bytes by which protection lengthens a packet: a tag of GCM and the SRTCP index.
pub const MAX_OVERHEAD_BYTES: usize = 20;

/// Indices that a key may protect: 2⁴⁸ of RTP (RFC 3711 §9.2).
const RTP_INDICES: u64 = 1 << 48;
/// … and 2³¹ of RTCP.
const RTCP_INDICES: u32 = 1 << 31;
/// The fixed part of an RTCP packet's header, which stays clear (RFC 3711 §3.4).
const RTCP_CLEAR_BYTES: usize = 8;
/// The E flag, before the SRTCP index: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Says why a packet was not protected, or not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SrtpError {
    /// There are fewer bytes than a header and a tag have.
    #[error("the packet is truncated")]
    Truncated,
    /// The tag does not fit the packet: forged, damaged, or of another key.
    #[error("the packet is not authentic")]
    Unauthenticated,
    /// The packet came before, or so late that it cannot be told; on the way out, its index was
    /// used before.
    #[error("the packet was seen before, or is too old to tell")]
    Replayed,
    /// The key has protected all that it may (RFC 3711 §9.2).
    #[error("the key is used up")]
    Exhausted,
    /// There is no room behind the packet for its tag.
    #[error("there is no room for the tag")]
    NoRoom,
}

/// What SRTP needs to know of an RTP header.
struct RtpHead {
    sequence: u16,
    ssrc: u32,
    /// Bytes that stay clear: fixed fields, contributing sources, header extension.
    clear: usize,
}

impl RtpHead {
    fn read(packet: &[u8]) -> Result<Self, SrtpError> {
        let head = packet.first_chunk::<12>().ok_or(SrtpError::Truncated)?;
        let &[first, _, s0, s1, _, _, _, _, r0, r1, r2, r3] = head;
        let mut clear = 12 + 4 * usize::from(first & 0x0F);
        if first & 0x10 != 0 {
            let extension = packet.get(clear..).and_then(|rest| rest.first_chunk::<4>());
            let &[_, _, high, low] = extension.ok_or(SrtpError::Truncated)?;
            clear += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        if clear > packet.len() {
            return Err(SrtpError::Truncated);
        }
        Ok(Self {
            sequence: u16::from_be_bytes([s0, s1]),
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
            clear,
        })
    }
}

/// The source that an RTCP packet is from.
fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    let head = packet.first_chunk::<8>().ok_or(SrtpError::Truncated)?;
    let &[_, _, _, _, r0, r1, r2, r3] = head;
    Ok(u32::from_be_bytes([r0, r1, r2, r3]))
}

/// The index of a sequence number that is nearest to the highest so far (RFC 3711 §3.3.1 and
/// appendix A). Before the first rollover there is nothing below, so the counter is 0.
fn nearest_index(highest: u64, sequence: u16) -> u64 {
    let ahead = sequence.wrapping_sub(highest as u16) as i16;
    highest
        .checked_add_signed(i64::from(ahead))
        .unwrap_or(u64::from(sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rollover_counter_is_guessed_by_the_nearest_index() {
        for (highest, sequence, index) in [
            (0x0_FFFE, 0xFFFF, 0x0_FFFF),
            (0x0_FFFF, 0x0000, 0x1_0000),
            (0x0_FFF0, 0x0010, 0x1_0010),
            (0x1_0003, 0xFFFE, 0x0_FFFE),
            (0x1_8000, 0x0001, 0x1_0001),
            (0x1_8002, 0x0001, 0x2_0001),
            // Nothing is older than the first cycle.
            (0x0_0003, 0xFFFE, 0x0_FFFE),
        ] {
            assert_eq!(
                nearest_index(highest, sequence),
                index,
                "{highest:x} {sequence:x}"
            );
        }
    }

    #[test]
    fn a_header_is_as_long_as_its_sources_and_its_extension_say() {
        let mut packet = vec![0x92, 0, 0x12, 0x34, 0, 0, 0, 0, 1, 2, 3, 4];
        packet.extend([0; 8]);
        packet.extend([0xBE, 0xDE, 0, 1, 9, 9, 9, 9]);
        let head = RtpHead::read(&packet).unwrap();
        assert_eq!(
            (head.clear, head.sequence, head.ssrc),
            (28, 0x1234, 0x0102_0304)
        );
        packet.pop();
        assert!(RtpHead::read(&packet).is_err());
        assert!(RtpHead::read(&packet[..11]).is_err());
    }
}
