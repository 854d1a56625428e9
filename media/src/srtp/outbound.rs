//! What one source sends, protected.

use std::fmt;

use super::cipher::{Cipher, Place, Use};
use super::replay::Window;
use super::{ENCRYPTED, RTCP_CLEAR_BYTES, RTCP_INDICES, RTP_INDICES};
use super::{MasterKey, RtpHead, SrtpError, nearest_index, rtcp_ssrc};

/// Protects the packets of one source under one master key.
///
/// ```
/// use offhook_media::srtp::{Inbound, MasterKey, Outbound, Suite};
///
/// let key = MasterKey::draw(Suite::AesCm128HmacSha1_80, &mut rand::rng());
/// let (mut sender, mut receiver) = (Outbound::new(&key), Inbound::new(&key, None));
/// let mut room = [0; 64];
/// let packet = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, b'h', b'i'];
/// room[..packet.len()].copy_from_slice(&packet);
/// let sent = sender.protect_rtp(&mut room, packet.len())?;
/// assert_eq!(sent, packet.len() + 10);
/// let heard = receiver.unprotect_rtp(&mut room[..sent])?;
/// assert_eq!(room[..heard], packet);
/// # Ok::<(), offhook_media::srtp::SrtpError>(())
/// ```
pub struct Outbound {
    /// `None` cannot be; nothing would be sent.
    rtp: Option<Cipher>,
    rtcp: Option<Cipher>,
    key: MasterKey,
    /// The indices in use, once there is one.
    used: Option<Window>,
    next_rtcp: u32,
}

impl Outbound {
    /// Starts under a key that nothing else is protected with: the rollover counter is 0, and so
    /// is the first SRTCP index (RFC 3711 §3.3.1, §3.4).
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self {
            rtp: Cipher::derive(key, Use::Rtp),
            rtcp: Cipher::derive(key, Use::Rtcp),
            key: key.clone(),
            used: None,
            next_rtcp: 0,
        }
    }

    /// Protects the RTP packet in the first `len` bytes of `room`, and returns how many it has
    /// then.
    ///
    /// # Errors
    /// Returns [`SrtpError`]; such a packet must not be sent. A sequence number that was used is
    /// refused, since two packets under one index betray each other, and so is one from before
    /// the first or from longer ago than is remembered.
    pub fn protect_rtp(&mut self, room: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let packet = room.get_mut(..len).ok_or(SrtpError::Truncated)?;
        let head = RtpHead::read(packet)?;
        let index = match &self.used {
            Some(used) => nearest_index(used.highest(), head.sequence),
            None => u64::from(head.sequence),
        };
        let used = self.used.get_or_insert(Window::before(index));
        if !used.admits(index) {
            return Err(SrtpError::Replayed);
        }
        if index >= RTP_INDICES {
            return Err(SrtpError::Exhausted);
        }
        let tag_bytes = self.key.suite().rtp_tag_bytes();
        let end = len + tag_bytes;
        if room.len() < end {
            return Err(SrtpError::NoRoom);
        }
        used.mark(index);
        let place = Place {
            ssrc: head.ssrc,
            index,
            clear: head.clear,
            beside: None,
        };
        let (packet, behind) = room.split_at_mut(len);
        let cipher = self.rtp.as_ref().ok_or(SrtpError::Exhausted)?;
        let tag = cipher.encrypt(&place, packet);
        append(behind, &[tag.ok_or(SrtpError::Truncated)?.get(..tag_bytes)])?;
        Ok(end)
    }

    /// Protects the RTCP compound in the first `len` bytes of `room`, and returns how many it has
    /// then.
    ///
    /// # Errors
    /// Returns [`SrtpError`]; such a packet must not be sent.
    pub fn protect_rtcp(&mut self, room: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let packet = room.get_mut(..len).ok_or(SrtpError::Truncated)?;
        let ssrc = rtcp_ssrc(packet)?;
        let index = self.next_rtcp;
        if index >= RTCP_INDICES {
            return Err(SrtpError::Exhausted);
        }
        let tag_bytes = self.key.suite().rtcp_tag_bytes();
        let end = len + 4 + tag_bytes;
        if room.len() < end {
            return Err(SrtpError::NoRoom);
        }
        self.next_rtcp += 1;
        let word = (index | ENCRYPTED).to_be_bytes();
        let place = Place {
            ssrc,
            index: u64::from(index),
            clear: RTCP_CLEAR_BYTES,
            beside: Some(word),
        };
        let (packet, behind) = room.split_at_mut(len);
        let cipher = self.rtcp.as_ref().ok_or(SrtpError::Exhausted)?;
        let tag = cipher.encrypt(&place, packet);
        let tag = tag.ok_or(SrtpError::Truncated)?;
        let tag = tag.get(..tag_bytes);
        // GCM's tag belongs to the ciphertext, HMAC's covers the word (RFC 7714 §9.2, RFC 3711
        // §3.4).
        if self.key.suite().is_aead() {
            append(behind, &[tag, Some(&word)])?;
        } else {
            append(behind, &[Some(&word), tag])?;
        }
        Ok(end)
    }
}

fn append(behind: &mut [u8], parts: &[Option<&[u8]>]) -> Result<(), SrtpError> {
    let mut rest = behind;
    for part in parts {
        let part = part.ok_or(SrtpError::NoRoom)?;
        let (room, after) = rest
            .split_at_mut_checked(part.len())
            .ok_or(SrtpError::NoRoom)?;
        room.copy_from_slice(part);
        rest = after;
    }
    Ok(())
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("key", &self.key)
            .field("highest", &self.used.map(|used| used.highest()))
            .finish_non_exhaustive()
    }
}
