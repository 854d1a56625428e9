//! Master keys, which no output shows.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroize;

use super::Suite;

/// 256 bits of key, 112 bits of salt.
const MAX_BYTES: usize = 46;

/// Holds a master key with its salt, and the suite that it is for. Shown as `***`; wiped when it
/// is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    /// The key, then the salt; zero behind them.
    bytes: [u8; MAX_BYTES],
}

impl MasterKey {
    /// Draws a key.
    #[must_use]
    pub fn draw(suite: Suite, random: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; MAX_BYTES];
        if let Some(used) = bytes.get_mut(..suite.key_bytes() + suite.salt_bytes()) {
            random.fill_bytes(used);
        }
        Self { suite, bytes }
    }

    /// Takes a key and its salt, one behind the other; `None` when their length is not the
    /// suite's.
    #[must_use]
    pub fn from_bytes(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        if key_and_salt.len() != suite.key_bytes() + suite.salt_bytes() {
            return None;
        }
        let mut bytes = [0; MAX_BYTES];
        bytes
            .get_mut(..key_and_salt.len())?
            .copy_from_slice(key_and_salt);
        Some(Self { suite, bytes })
    }

    /// The suite that the key is for.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The key and its salt, one behind the other, for the one place that has to send them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        let used = self.suite.key_bytes() + self.suite.salt_bytes();
        self.bytes.get(..used).unwrap_or_default()
    }

    pub(super) fn key(&self) -> &[u8] {
        self.bytes.get(..self.suite.key_bytes()).unwrap_or_default()
    }

    pub(super) fn salt(&self) -> &[u8] {
        self.expose()
            .get(self.suite.key_bytes()..)
            .unwrap_or_default()
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(***)", self.suite)
    }
}

/// Holds a master key identifier, which stands in each packet of a peer that declared one
/// (RFC 3711 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mki {
    value: u64,
    bytes: usize,
}

impl Mki {
    /// The most bytes that one may have in SDP (RFC 4568 §6.1).
    const MAX_BYTES: usize = 128;

    /// Makes the identifier `value`, `bytes` long; `None` when it does not fit.
    #[must_use]
    pub fn new(value: u64, bytes: usize) -> Option<Self> {
        let fits = bytes >= 8 || value >> (8 * bytes) == 0;
        ((1..=Self::MAX_BYTES).contains(&bytes) && fits).then_some(Self { value, bytes })
    }

    /// The identifier as a number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.value
    }

    /// Bytes that it has in a packet.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.bytes
    }

    pub(super) fn is(self, found: &[u8]) -> bool {
        let value = found
            .iter()
            .try_fold(0u64, |value, byte| match value >> 56 {
                0 => Some(value << 8 | u64::from(*byte)),
                _ => None,
            });
        found.len() == self.bytes && value == Some(self.value)
    }
}

/// Holds what two parties agreed on: the key of each, of one suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrtpKeys {
    /// Protects what we send.
    pub ours: MasterKey,
    /// Protects what the peer sends.
    pub theirs: MasterKey,
    /// The identifier in the peer's packets, if it declared one.
    pub their_mki: Option<Mki>,
}

impl SrtpKeys {
    /// The suite that was agreed on.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.ours.suite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_in_no_output() {
        let key = MasterKey::from_bytes(Suite::AeadAes128Gcm, &[0x41; 28]).unwrap();
        assert_eq!(format!("{key:?}"), "AEAD_AES_128_GCM(***)");
        assert_eq!((key.key().len(), key.salt().len()), (16, 12));
        assert_eq!(
            MasterKey::from_bytes(Suite::AeadAes128Gcm, &[0x41; 30]),
            None
        );
    }

    #[test]
    fn an_identifier_is_a_number_of_a_fixed_length() {
        let mki = Mki::new(0x0102, 4).unwrap();
        assert!(mki.is(&[0, 0, 1, 2]));
        assert!(!mki.is(&[0, 0, 1, 3]) && !mki.is(&[1, 2]) && !mki.is(&[1, 0, 1, 2]));
        assert!(
            Mki::new(7, 128)
                .unwrap()
                .is(&[&[0; 127][..], &[7]].concat())
        );
        assert_eq!(
            (Mki::new(256, 1), Mki::new(1, 0), Mki::new(1, 129)),
            (None, None, None)
        );
    }
}
