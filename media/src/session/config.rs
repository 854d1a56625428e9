//! What a session is made from.

use std::net::IpAddr;
use std::time::Duration;

use crate::dtmf::InbandDtmf;
use crate::music::Background;
use crate::sdp::Negotiated;
use crate::source::SourceRule;

/// Holds what a [`MediaSession`](crate::MediaSession) is made from.
///
/// Whatever must be unpredictable (`ssrc`, the seeds) is drawn by the caller from a source of
/// real randomness (RFC 3550 §5.1, §8.1); a test passes constants.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// What the offer and its answer agreed on.
    pub negotiated: Negotiated,
    /// Our synchronisation source.
    pub ssrc: u32,
    /// Sequence number of the first packet.
    pub first_sequence: u16,
    /// RTP timestamp of the session's first moment.
    pub first_timestamp: u32,
    /// Seeds what is drawn within the session: the spread of RTCP intervals (RFC 3550 §6.2).
    pub seed: u64,
    /// Who may send us sound.
    pub source_rule: SourceRule,
    /// Where the signalling comes from: the only address that a peer behind NAT may latch on.
    pub signalling_remote: IpAddr,
    /// Our canonical name in RTCP (RFC 7022); at most 64 bytes of it are used.
    pub cname: String,
    /// Time since 1970 at the session's first moment, for RTCP's NTP timestamps.
    pub unix_time: Duration,
    /// Whether silence is sent while nothing is said: carriers end calls without RTP. Where comfort
    /// noise was agreed on, that stands for it in any case, five times a second.
    pub continuous: bool,
    /// Whether each tick yields an [`Event::Recording`](crate::Event::Recording).
    pub recording: bool,
    /// Whether what is heard is compared with what was sent, and our own echo silenced: for a
    /// party to which somebody listens. It holds 14 KB while something is said, 5 while nothing is.
    pub echo_gate: bool,
    /// Whether what is heard is brought to the level that recognisers expect: about −20 dB of full
    /// scale, slowly, from −44 dB on. What is recorded stays as it came.
    pub gain_control: bool,
    /// Whether keys are heard in the peer's sound.
    pub inband_dtmf: InbandDtmf,
    /// Whether keys that are to be pressed are: for a peer that is told of them in another way, none
    /// is.
    pub presses_keys: bool,
    /// What is heard softly behind all that is played, and while nothing is: no utterance, and
    /// never reported as one. The listeners do not hear it.
    pub ambience: Option<Background>,
    /// Sound that the playout holds at most, in milliseconds: 500 ms are 8,000 bytes.
    pub playout_capacity_ms: u32,
    /// The least delay of the jitter buffer, in milliseconds.
    pub jitter_min_ms: u32,
    /// The greatest, in milliseconds; the buffer holds 240 at most.
    pub jitter_max_ms: u32,
    /// How long nothing may come before [`Event::MediaTimeout`](crate::Event::MediaTimeout).
    pub media_timeout: Duration,
}

impl SessionConfig {
    /// Fills in all that has a usual value: silence is sent, nothing is recorded, the playout
    /// holds 500 ms, 30 s without media are reported.
    #[must_use]
    pub fn new(negotiated: Negotiated, ssrc: u32, signalling_remote: IpAddr) -> Self {
        let source_rule = SourceRule::for_peer(negotiated.remote.ip(), signalling_remote);
        Self {
            negotiated,
            ssrc,
            first_sequence: (ssrc >> 17) as u16,
            first_timestamp: ssrc.rotate_left(13) ^ 0x5bd1_e995,
            seed: u64::from(ssrc),
            source_rule,
            signalling_remote,
            cname: format!("{ssrc:08x}@offhook"),
            unix_time: Duration::ZERO,
            continuous: true,
            recording: false,
            echo_gate: false,
            gain_control: false,
            inband_dtmf: InbandDtmf::Auto,
            presses_keys: true,
            ambience: None,
            playout_capacity_ms: 500,
            jitter_min_ms: 0,
            jitter_max_ms: 240,
            media_timeout: Duration::from_secs(30),
        }
    }
}

/// How an agent hears and sounds to a party whose session began without one.
#[derive(Clone, Debug, Default)]
pub struct AgentSound {
    /// Whether keys are heard that come as tones.
    pub inband_dtmf: InbandDtmf,
    /// Whether its own echo is told from the party's voice.
    pub echo_gate: bool,
    /// Whether what is heard is brought to one level.
    pub gain_control: bool,
    /// What is heard softly behind it.
    pub ambience: Option<Background>,
}
