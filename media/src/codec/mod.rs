//! Codecs that a session can carry, and what encodes and decodes them.

pub mod comfort_noise;
mod decoder;
mod encoder;
pub mod g711;
mod g722;
mod l16;
mod opus;

pub use decoder::{Decoder, MAX_PACKET_SAMPLES};
pub use encoder::{Encoder, MAX_PAYLOAD_BYTES};
pub use g722::{G722Decoder, G722Encoder};
pub use opus::OpusWishes;
pub(crate) use opus::guarded;

/// Names a codec; the state that one needs lives in [`Decoder`] and [`Encoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// G.711 µ-law, payload type 0 (RFC 3551 §4.5.14).
    Pcmu,
    /// G.711 A-law, payload type 8 (RFC 3551 §4.5.14).
    Pcma,
    /// G.722 at 64 kbit/s, payload type 9 (RFC 3551 §4.5.2).
    G722,
    /// Opus (RFC 6716, RFC 7587), mono.
    Opus,
    /// 16-bit samples at 16 kHz, mono (RFC 3551 §4.5.11).
    L16,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus, Self::L16];

    /// Encoding name as SDP spells it (RFC 3551 table 4, RFC 7587 §7).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
            Self::L16 => "L16",
        }
    }

    /// Ticks of the RTP timestamp per second, which SDP calls the clock rate. G.722 counts 8,000
    /// for 16,000 samples by an error that was kept (RFC 3551 §4.5.2); Opus counts 48,000 whatever
    /// it is decoded to (RFC 7587 §4.1).
    #[must_use]
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Opus => 48_000,
            Self::L16 => 16_000,
        }
    }

    /// Rate of the decoded sound in samples per second.
    #[must_use]
    pub const fn sample_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8_000,
            Self::G722 | Self::Opus | Self::L16 => 16_000,
        }
    }

    /// Whether the codec carries sound beyond 4 kHz.
    #[must_use]
    pub const fn is_wideband(self) -> bool {
        self.sample_rate_hz() > 8_000
    }

    /// What stands behind the number in an `a=rtpmap`: Opus always claims two channels
    /// (RFC 7587 §7).
    #[must_use]
    pub const fn rtpmap(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU/8000",
            Self::Pcma => "PCMA/8000",
            Self::G722 => "G722/8000",
            Self::Opus => "opus/48000/2",
            Self::L16 => "L16/16000",
        }
    }

    /// Payload type that RFC 3551 assigns, when it assigns one.
    #[must_use]
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus | Self::L16 => None,
        }
    }

    /// Finds the codec that a static payload type means (RFC 3551 §6).
    #[must_use]
    pub const fn from_static_payload_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            9 => Some(Self::G722),
            _ => None,
        }
    }

    /// Finds the codec that an `a=rtpmap` describes; names compare without case (RFC 8866 §6.6).
    /// Opus is met with one channel too, though it must say two.
    #[must_use]
    pub fn from_rtpmap(name: &str, clock_rate_hz: u32, channels: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| {
            codec.name().eq_ignore_ascii_case(name)
                && codec.clock_rate_hz() == clock_rate_hz
                && (channels == 1 || *codec == Self::Opus && channels == 2)
        })
    }

    /// The packet time that is sent to a peer which wishes for `wished_ms`: one of 10, 20, 30, 40
    /// and 60 ms, never longer than the wish. No Opus frame lasts 30 ms; L16 would not fit a
    /// packet of the size that is kept for it beyond 20 ms.
    #[must_use]
    pub const fn packet_time_ms(self, wished_ms: u32) -> u32 {
        match (self, wished_ms) {
            (_, 0..20) => 10,
            (Self::L16, _) | (Self::Opus, 20..40) | (_, 20..30) => 20,
            (_, 30..40) => 30,
            (_, 40..60) => 40,
            (_, 60..) => 60,
        }
    }

    /// Samples, at [`Codec::sample_rate_hz`], that a payload decodes to; 0 for what is no payload
    /// of the codec.
    #[must_use]
    pub fn payload_samples(self, payload: &[u8]) -> usize {
        match self {
            Self::Pcmu | Self::Pcma => payload.len(),
            Self::G722 => payload.len() * 2,
            Self::L16 => payload.len() / 2,
            Self::Opus => opus::payload_samples(payload),
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
        assert_eq!(Codec::from_rtpmap("g722", 8000, 1), Some(Codec::G722));
        assert_eq!(Codec::from_rtpmap("G722", 16000, 1), None);
        assert_eq!(Codec::from_rtpmap("OPUS", 48000, 2), Some(Codec::Opus));
        assert_eq!(Codec::from_rtpmap("L16", 16000, 1), Some(Codec::L16));
        assert_eq!(Codec::from_rtpmap("L16", 44100, 2), None);
    }

    #[test]
    fn a_packet_is_never_longer_than_the_peer_wishes() {
        for codec in Codec::ALL {
            for wished in [10, 20, 30, 40, 60, 120] {
                assert!(codec.packet_time_ms(wished) <= wished, "{codec:?} {wished}");
            }
        }
        let sent = |codec: Codec| [10, 20, 30, 40, 60].map(|wished| codec.packet_time_ms(wished));
        assert_eq!(sent(Codec::G722), [10, 20, 30, 40, 60]);
        assert_eq!(sent(Codec::Opus), [10, 20, 20, 40, 60]);
        assert_eq!(sent(Codec::L16), [10, 20, 20, 20, 20]);
    }
}
