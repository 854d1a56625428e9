//! What a peer sends: authenticated, told from what came before, decrypted.

use std::fmt;
use std::ops::Range;

use super::cipher::{Cipher, Place, Use};
use super::replay::{Sources, Window};
use super::{ENCRYPTED, RTCP_CLEAR_BYTES, RTP_INDICES};
use super::{MasterKey, Mki, RtpHead, SrtpError, Suite, nearest_index, rtcp_ssrc};

/// Sequence numbers below this may be those of a source whose first packets, before a rollover,
/// were lost: nobody hears 32,768 packets of a call fall silent.
const EARLY: u16 = 1 << 15;

/// Takes the protection off the packets of a peer's sources under one master key. Each source has
/// its own rollover counter and its own memory of what came; it is known from its first authentic
/// packet on (late binding, RFC 4568 §6.4.1).
pub struct Inbound {
    /// `None` cannot be; nothing would be authentic.
    rtp: Option<Cipher>,
    rtcp: Option<Cipher>,
    suite: Suite,
    mki: Option<Mki>,
    rtp_sources: Sources,
    rtcp_sources: Sources,
    /// The source that spoke under the key before, and how far it had come.
    inherited: Option<(u32, u64)>,
}

/// Where a protected packet's parts are.
struct Parts {
    /// What is decrypted in place.
    body: usize,
    tag: Range<usize>,
    mki: Range<usize>,
}

impl Inbound {
    /// Starts under a key; `mki` stands in each packet if the peer declared one.
    #[must_use]
    pub fn new(key: &MasterKey, mki: Option<Mki>) -> Self {
        Self {
            rtp: Cipher::derive(key, Use::Rtp),
            rtcp: Cipher::derive(key, Use::Rtcp),
            suite: key.suite(),
            mki,
            rtp_sources: Sources::default(),
            rtcp_sources: Sources::default(),
            inherited: None,
        }
    }

    /// Starts under the key that comes after another one. Peers differ in whether the rollover
    /// counter goes on (RFC 3711 §3.3.1) or is 0 again (RFC 4568 §7.1.4), so both are tried until
    /// one proves right.
    #[must_use]
    pub fn after(&self, key: &MasterKey, mki: Option<Mki>) -> Self {
        Self {
            inherited: self.rtp_sources.latest().or(self.inherited),
            ..Self::new(key, mki)
        }
    }

    /// Takes the protection off an RTP packet, in place, and returns how many bytes it has then.
    ///
    /// # Errors
    /// Returns [`SrtpError`]; nothing may be done with such a packet. It changed nothing here.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let head = RtpHead::read(packet)?;
        let parts = self.parts(packet.len(), head.clear, self.suite.rtp_tag_bytes(), 0)?;
        let cipher = self.rtp.as_ref().ok_or(SrtpError::Unauthenticated)?;
        let open = |index: u64, packet: &mut [u8]| {
            let place = Place {
                ssrc: head.ssrc,
                index,
                clear: head.clear,
                beside: None,
            };
            open(cipher, &place, packet, &parts, self.mki)
        };
        if let Some(window) = self.rtp_sources.find(head.ssrc) {
            let index = nearest_index(window.highest(), head.sequence);
            admit(window, index)?;
            open(index, packet)?;
            self.rtp_sources.mark(head.ssrc, index);
            return Ok(parts.body);
        }
        let sequence = u64::from(head.sequence);
        let goes_on = self.inherited.filter(|(ssrc, _)| *ssrc == head.ssrc);
        let goes_on = goes_on.map(|(_, highest)| nearest_index(highest, head.sequence));
        let rolled = (head.sequence < EARLY).then_some(sequence + (1 << 16));
        let goes_on = goes_on.filter(|index| *index < RTP_INDICES);
        let mut guesses = [goes_on, Some(sequence), rolled].into_iter().flatten();
        let index = guesses.find(|index| open(*index, packet).is_ok());
        let index = index.ok_or(SrtpError::Unauthenticated)?;
        self.rtp_sources.mark(head.ssrc, index);
        Ok(parts.body)
    }

    /// Takes the protection off an RTCP compound, in place, and returns how many bytes it has
    /// then.
    ///
    /// # Errors
    /// Returns [`SrtpError`]; nothing may be done with such a packet. It changed nothing here.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(packet)?;
        let tag_bytes = self.suite.rtcp_tag_bytes();
        let parts = self.parts(packet.len(), RTCP_CLEAR_BYTES, tag_bytes, 4)?;
        // The word stands behind GCM's tag and before HMAC's.
        let word = match self.suite.is_aead() {
            true => parts.tag.end,
            false => parts.body,
        };
        let word = packet.get(word..).and_then(|rest| rest.first_chunk::<4>());
        let beside = *word.ok_or(SrtpError::Truncated)?;
        let word = u32::from_be_bytes(beside);
        // Nobody agreed on reports in the clear.
        if word & ENCRYPTED == 0 {
            return Err(SrtpError::Unauthenticated);
        }
        let index = u64::from(word & !ENCRYPTED);
        if let Some(window) = self.rtcp_sources.find(ssrc) {
            admit(window, index)?;
        }
        let place = Place {
            ssrc,
            index,
            clear: RTCP_CLEAR_BYTES,
            beside: Some(beside),
        };
        let cipher = self.rtcp.as_ref().ok_or(SrtpError::Unauthenticated)?;
        open(cipher, &place, packet, &parts, self.mki)?;
        self.rtcp_sources.mark(ssrc, index);
        Ok(parts.body)
    }

    /// Finds the parts: the body, `word` bytes, identifier and tag, or with GCM the body, tag,
    /// `word` bytes and identifier (RFC 3711 §3.1, §3.4, RFC 7714 §8.2, §9.2).
    fn parts(
        &self,
        len: usize,
        clear: usize,
        tag_bytes: usize,
        word: usize,
    ) -> Result<Parts, SrtpError> {
        let mki_bytes = self.mki.map_or(0, Mki::bytes);
        let body = len.checked_sub(tag_bytes + word + mki_bytes);
        let body = body
            .filter(|body| *body >= clear)
            .ok_or(SrtpError::Truncated)?;
        let (tag, mki) = if self.suite.is_aead() {
            (body, len - mki_bytes)
        } else {
            (len - tag_bytes, body + word)
        };
        Ok(Parts {
            body,
            tag: tag..tag + tag_bytes,
            mki: mki..mki + mki_bytes,
        })
    }
}

fn admit(window: &Window, index: u64) -> Result<(), SrtpError> {
    if window.admits(index) && index < RTP_INDICES {
        Ok(())
    } else {
        Err(SrtpError::Replayed)
    }
}

fn open(
    cipher: &Cipher,
    place: &Place,
    packet: &mut [u8],
    parts: &Parts,
    mki: Option<Mki>,
) -> Result<(), SrtpError> {
    if let Some(mki) = mki
        && !packet
            .get(parts.mki.clone())
            .is_some_and(|found| mki.is(found))
    {
        return Err(SrtpError::Unauthenticated);
    }
    let (body, behind) = packet
        .split_at_mut_checked(parts.body)
        .ok_or(SrtpError::Truncated)?;
    let tag = parts.tag.start - parts.body..parts.tag.end - parts.body;
    let tag = behind.get(tag).ok_or(SrtpError::Truncated)?;
    cipher
        .decrypt(place, body, tag)
        .ok_or(SrtpError::Unauthenticated)
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("suite", &self.suite)
            .field("mki", &self.mki)
            .finish_non_exhaustive()
    }
}
