//! Codecs that a session can carry.

pub mod comfort_noise;
pub mod g711;

/// Names a codec; the state that one needs lives in [`Decoder`] and [`Encoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// G.711 µ-law, payload type 0 (RFC 3551 §4.5.14).
    Pcmu,
    /// G.711 A-law, payload type 8 (RFC 3551 §4.5.14).
    Pcma,
}

impl Codec {
    /// Encoding name as SDP spells it (RFC 3551 table 4).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// Ticks of the RTP timestamp per second, which SDP calls the clock rate.
    #[must_use]
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }

    /// Rate of the decoded sound in samples per second.
    #[must_use]
    pub const fn sample_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }

    /// Payload type that RFC 3551 assigns, when it assigns one.
    #[must_use]
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
        }
    }

    /// Finds the codec that a static payload type means (RFC 3551 §6).
    #[must_use]
    pub const fn from_static_payload_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            _ => None,
        }
    }

    /// Finds the codec that an `a=rtpmap` describes; names compare without case (RFC 8866 §6.6).
    #[must_use]
    pub fn from_rtpmap(name: &str, clock_rate_hz: u32, channels: u32) -> Option<Self> {
        [Self::Pcmu, Self::Pcma].into_iter().find(|codec| {
            codec.name().eq_ignore_ascii_case(name)
                && codec.clock_rate_hz() == clock_rate_hz
                && channels == 1
        })
    }

    /// Bytes that carry `samples` of sound when the size is fixed, as it is for G.711.
    #[must_use]
    pub const fn payload_bytes(self, samples: usize) -> usize {
        match self {
            Self::Pcmu | Self::Pcma => samples,
        }
    }

    /// Samples that a payload of `bytes` decodes to.
    #[must_use]
    pub const fn payload_samples(self, bytes: usize) -> usize {
        match self {
            Self::Pcmu | Self::Pcma => bytes,
        }
    }
}

/// Turns payloads of one codec into sound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder;

impl Decoder {
    /// Decodes as much of `payload` as `out` has room for and returns the samples written.
    pub fn decode(&mut self, codec: Codec, payload: &[u8], out: &mut [i16]) -> usize {
        match codec {
            Codec::Pcmu => g711::decode_ulaw(payload, out),
            Codec::Pcma => g711::decode_alaw(payload, out),
        }
    }
}

/// Turns sound into payloads of one codec.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoder;

impl Encoder {
    /// Encodes as much of `samples` as `out` has room for and returns the bytes written.
    pub fn encode(&mut self, codec: Codec, samples: &[i16], out: &mut [u8]) -> usize {
        match codec {
            Codec::Pcmu => g711::encode_ulaw(samples, out),
            Codec::Pcma => g711::encode_alaw(samples, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtpmap_names_compare_without_case_and_want_the_right_clock() {
        assert_eq!(Codec::from_rtpmap("pcmu", 8000, 1), Some(Codec::Pcmu));
        assert_eq!(Codec::from_rtpmap("PCMA", 8000, 1), Some(Codec::Pcma));
        assert_eq!(Codec::from_rtpmap("PCMU", 16000, 1), None);
        assert_eq!(Codec::from_rtpmap("PCMU", 8000, 2), None);
    }
}
