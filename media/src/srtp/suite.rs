//! The crypto suites, by their names in SDP.

use std::fmt;

/// Names a crypto suite: how packets are encrypted and authenticated (RFC 4568 §6.2, RFC 6188 §4,
/// RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)]
pub enum Suite {
    /// AES in Galois/counter mode, 256-bit key, 128-bit tag.
    AeadAes256Gcm,
    /// AES in Galois/counter mode, 128-bit key, 128-bit tag.
    AeadAes128Gcm,
    /// AES in counter mode, 256-bit key, 80-bit tag of HMAC-SHA1.
    Aes256CmHmacSha1_80,
    /// AES in counter mode, 128-bit key, 80-bit tag: what all of the field has.
    AesCm128HmacSha1_80,
    /// AES in counter mode, 256-bit key, 32-bit tag on RTP, 80-bit on RTCP.
    Aes256CmHmacSha1_32,
    /// AES in counter mode, 128-bit key, 32-bit tag on RTP, 80-bit on RTCP.
    AesCm128HmacSha1_32,
}

impl Suite {
    /// Every suite, the strongest first.
    pub const ALL: [Self; 6] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes256CmHmacSha1_80,
        Self::AesCm128HmacSha1_80,
        Self::Aes256CmHmacSha1_32,
        Self::AesCm128HmacSha1_32,
    ];

    /// The suite's name in `a=crypto`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes256CmHmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes256CmHmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// Finds a suite by its name in `a=crypto`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of the master key, and of the session keys for encryption.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::Aes256CmHmacSha1_80 | Self::Aes256CmHmacSha1_32 => 32,
            Self::AeadAes128Gcm | Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 16,
        }
    }

    /// Bytes of the master salt, and of the session salts.
    #[must_use]
    pub const fn salt_bytes(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Bytes of the tag of an RTP packet.
    #[must_use]
    pub const fn rtp_tag_bytes(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16,
            Self::Aes256CmHmacSha1_80 | Self::AesCm128HmacSha1_80 => 10,
            Self::Aes256CmHmacSha1_32 | Self::AesCm128HmacSha1_32 => 4,
        }
    }

    /// Bytes of the tag of an RTCP packet: never the short one (RFC 4568 §6.2.2, RFC 6188 §4).
    #[must_use]
    pub const fn rtcp_tag_bytes(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// Whether encryption and authentication are one.
    pub(super) const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes256Gcm | Self::AeadAes128Gcm)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
