//! Session keys at work: AES in counter mode with HMAC-SHA1 (RFC 3711 §4), AES in Galois/counter
//! mode (RFC 7714).

use aes::cipher::{
    BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipherCore, consts::U16,
};
use aes::{Aes128, Aes256};
use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::{Zeroize, Zeroizing};

use super::{MasterKey, Suite};

/// A tag; the shorter ones have zeros behind them.
pub(super) type Tag = [u8; 16];
/// Bytes of HMAC-SHA1's key (RFC 3711 §5.2).
const AUTH_KEY_BYTES: usize = 20;

/// Which of a master key's two sets of session keys: the first of its three labels (RFC 3711
/// §4.3.1, §4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Rtp = 0,
    Rtcp = 3,
}

/// Where a packet stands in its stream, and what of it is authenticated in which way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) ssrc: u32,
    /// 48 bits: rollover counter and sequence number, or the SRTCP index.
    pub(super) index: u64,
    /// Bytes at the packet's head that stay clear.
    pub(super) clear: usize,
    /// What is authenticated beside the packet: the SRTCP index with its flag. RTP's is the
    /// rollover counter, with HMAC only.
    pub(super) beside: Option<[u8; 4]>,
}

/// The session keys of one master key and one use.
pub(super) enum Cipher {
    Cm128(CounterMode<Aes128>),
    Cm256(CounterMode<Aes256>),
    Gcm128(Gcm<Aes128Gcm>),
    Gcm256(Gcm<Aes256Gcm>),
}

impl Cipher {
    /// Derives the session keys; `None` cannot be, since each length is the suite's own.
    pub(super) fn derive(master: &MasterKey, of: Use) -> Option<Self> {
        let keys = SessionKeys::derive(master, of)?;
        Self::new(master.suite(), of, &keys)
    }

    pub(super) fn new(suite: Suite, of: Use, keys: &SessionKeys) -> Option<Self> {
        let key = keys.key.get(..suite.key_bytes())?;
        let tag_bytes = match of {
            Use::Rtp => suite.rtp_tag_bytes(),
            Use::Rtcp => suite.rtcp_tag_bytes(),
        };
        Some(match suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                Self::Cm128(CounterMode::new(key, keys, tag_bytes)?)
            }
            Suite::Aes256CmHmacSha1_80 | Suite::Aes256CmHmacSha1_32 => {
                Self::Cm256(CounterMode::new(key, keys, tag_bytes)?)
            }
            Suite::AeadAes128Gcm => Self::Gcm128(Gcm::new(key, keys)?),
            Suite::AeadAes256Gcm => Self::Gcm256(Gcm::new(key, keys)?),
        })
    }

    /// Encrypts a packet but for its clear head, and returns its tag.
    pub(super) fn encrypt(&self, place: &Place, packet: &mut [u8]) -> Option<Tag> {
        match self {
            Self::Cm128(cipher) => cipher.encrypt(place, packet),
            Self::Cm256(cipher) => cipher.encrypt(place, packet),
            Self::Gcm128(cipher) => cipher.encrypt(place, packet),
            Self::Gcm256(cipher) => cipher.encrypt(place, packet),
        }
    }

    /// Decrypts a packet if its tag is right, and leaves it as it is otherwise.
    pub(super) fn decrypt(&self, place: &Place, packet: &mut [u8], tag: &[u8]) -> Option<()> {
        match self {
            Self::Cm128(cipher) => cipher.decrypt(place, packet, tag),
            Self::Cm256(cipher) => cipher.decrypt(place, packet, tag),
            Self::Gcm128(cipher) => cipher.decrypt(place, packet, tag),
            Self::Gcm256(cipher) => cipher.decrypt(place, packet, tag),
        }
    }
}

/// AES in counter mode, and HMAC-SHA1 over what it made.
pub(super) struct CounterMode<C> {
    cipher: C,
    auth: Hmac<Sha1>,
    salt: Zeroizing<[u8; 14]>,
    tag_bytes: usize,
}

impl<C> CounterMode<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit,
{
    fn new(key: &[u8], keys: &SessionKeys, tag_bytes: usize) -> Option<Self> {
        Some(Self {
            cipher: C::new_from_slice(key).ok()?,
            auth: KeyInit::new_from_slice(&*keys.auth).ok()?,
            salt: keys.salt.clone(),
            tag_bytes,
        })
    }

    fn encrypt(&self, place: &Place, packet: &mut [u8]) -> Option<Tag> {
        let payload = packet.get_mut(place.clear..)?;
        apply_keystream(&self.cipher, initial_counter(&self.salt, place), payload);
        let mut tag = [0; 16];
        let full = self.authenticate(place, packet).finalize().into_bytes();
        tag.get_mut(..self.tag_bytes)?
            .copy_from_slice(full.get(..self.tag_bytes)?);
        Some(tag)
    }

    fn decrypt(&self, place: &Place, packet: &mut [u8], tag: &[u8]) -> Option<()> {
        // Before its tag is known to be right nothing of a packet is used (RFC 3711 §3.3).
        let tag = tag.get(..self.tag_bytes)?;
        self.authenticate(place, packet)
            .verify_truncated_left(tag)
            .ok()?;
        let payload = packet.get_mut(place.clear..)?;
        apply_keystream(&self.cipher, initial_counter(&self.salt, place), payload);
        Some(())
    }

    fn authenticate(&self, place: &Place, packet: &[u8]) -> Hmac<Sha1> {
        let rollovers = (place.index >> 16) as u32;
        let mut auth = self.auth.clone();
        auth.update(packet);
        auth.update(&place.beside.unwrap_or(rollovers.to_be_bytes()));
        auth
    }
}

/// The first counter block: (salt · 2¹⁶) ⊕ (SSRC · 2⁶⁴) ⊕ (index · 2¹⁶) (RFC 3711 §4.1.1).
pub(super) fn initial_counter(salt: &[u8; 14], place: &Place) -> [u8; 16] {
    let mut padded = [0; 16];
    padded
        .iter_mut()
        .zip(salt)
        .for_each(|(to, from)| *to = *from);
    let place = u128::from(place.ssrc) << 64 | u128::from(place.index) << 16;
    (u128::from_be_bytes(padded) ^ place).to_be_bytes()
}

pub(super) fn apply_keystream<C>(cipher: &C, counter: [u8; 16], data: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let stream = CtrCore::<&C, Ctr128BE>::inner_iv_init(cipher, &counter.into());
    stream.apply_keystream_partial(data.into());
}

/// AES in Galois/counter mode.
pub(super) struct Gcm<C> {
    cipher: C,
    salt: Zeroizing<[u8; 12]>,
}

impl<C> Gcm<C>
where
    C: AeadInOut<NonceSize = aes_gcm::aead::consts::U12, TagSize = U16> + KeyInit,
{
    fn new(key: &[u8], keys: &SessionKeys) -> Option<Self> {
        Some(Self {
            cipher: C::new_from_slice(key).ok()?,
            salt: Zeroizing::new(*keys.salt.first_chunk()?),
        })
    }

    fn encrypt(&self, place: &Place, packet: &mut [u8]) -> Option<Tag> {
        let (head, payload) = packet.split_at_mut_checked(place.clear)?;
        let mut beside = [0; 12];
        let associated = associated(place, head, &mut beside)?;
        let nonce = self.nonce(place).into();
        let cipher = &self.cipher;
        let tag = cipher.encrypt_inout_detached(&nonce, associated, payload.into());
        tag.ok().map(Into::into)
    }

    fn decrypt(&self, place: &Place, packet: &mut [u8], tag: &[u8]) -> Option<()> {
        let (head, payload) = packet.split_at_mut_checked(place.clear)?;
        let mut beside = [0; 12];
        let associated = associated(place, head, &mut beside)?;
        let nonce = self.nonce(place).into();
        let tag = tag.first_chunk::<16>()?;
        let cipher = &self.cipher;
        cipher
            .decrypt_inout_detached(&nonce, associated, payload.into(), &(*tag).into())
            .ok()
    }

    /// 16 zero bits, SSRC, 48 bits of index, ⊕ salt (RFC 7714 §8.1, §9.1).
    fn nonce(&self, place: &Place) -> [u8; 12] {
        let mut nonce = *self.salt;
        let place = u128::from(place.ssrc) << 48 | u128::from(place.index);
        let place = place.to_be_bytes();
        let place = place.last_chunk::<12>().unwrap_or(&[0; 12]);
        nonce
            .iter_mut()
            .zip(place)
            .for_each(|(to, from)| *to ^= *from);
        nonce
    }
}

/// What GCM authenticates without encrypting it: RTP's head, or RTCP's head and the word behind
/// the packet (RFC 7714 §8.2, §9.2).
fn associated<'a>(place: &Place, head: &'a [u8], room: &'a mut [u8; 12]) -> Option<&'a [u8]> {
    let Some(word) = place.beside else {
        return Some(head);
    };
    let (to_head, to_word) = room.split_at_mut_checked(head.len())?;
    to_head.copy_from_slice(head);
    to_word.get_mut(..4)?.copy_from_slice(&word);
    Some(room)
}

/// The session keys of one use.
pub(super) struct SessionKeys {
    pub(super) key: Zeroizing<[u8; 32]>,
    pub(super) auth: Zeroizing<[u8; AUTH_KEY_BYTES]>,
    /// 12 bytes of it with GCM.
    pub(super) salt: Zeroizing<[u8; 14]>,
}

impl SessionKeys {
    /// RFC 3711 §4.3.1, with a key derivation rate of 0; GCM derives the same way (RFC 7714 §11).
    pub(super) fn derive(master: &MasterKey, of: Use) -> Option<Self> {
        let mut keys = Self {
            key: Zeroizing::default(),
            auth: Zeroizing::default(),
            salt: Zeroizing::default(),
        };
        let label = of as u8;
        let key = keys.key.get_mut(..master.suite().key_bytes())?;
        pseudorandom(master, label, key)?;
        pseudorandom(master, label + 1, &mut *keys.auth)?;
        pseudorandom(master, label + 2, &mut *keys.salt)?;
        Some(keys)
    }
}

/// Fills `out`, which is zero, with AES-CM's keystream at (label · 2⁴⁸ ⊕ salt) · 2¹⁶; a salt of 96
/// bits counts as if zeros followed it (RFC 3711 §4.3.3, RFC 6188 §3, RFC 7714 §11).
fn pseudorandom(master: &MasterKey, label: u8, out: &mut [u8]) -> Option<()> {
    let mut counter = [0; 16];
    counter
        .iter_mut()
        .zip(master.salt())
        .for_each(|(to, from)| *to = *from);
    *counter.get_mut(7)? ^= label;
    match master.key().len() {
        32 => apply_keystream(&Aes256::new_from_slice(master.key()).ok()?, counter, out),
        _ => apply_keystream(&Aes128::new_from_slice(master.key()).ok()?, counter, out),
    }
    counter.zeroize();
    Some(())
}
