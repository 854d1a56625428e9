//! What is kept of a call's sound: how it went each way, and what went wrong.

use serde::{Deserialize, Serialize};

/// What the media session of a call measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaSummary {
    /// Codec in use, by its SDP name, such as `PCMU`.
    pub codec: Option<String>,
    /// Crypto suite in use, by its SDP name; none when media went in the clear.
    #[serde(default)]
    pub srtp: Option<String>,
    /// RTP packets received.
    pub packets: u64,
    /// RTP packets that never came (RFC 3550 §A.3).
    pub lost: u64,
    /// Interarrival jitter in milliseconds (RFC 3550 §A.8).
    pub jitter_ms: f64,
    /// Estimated mean opinion score, 1 to 4.5 (ITU-T G.107), when enough was heard.
    pub mos: Option<f64>,
    /// Round trip by RTCP, in milliseconds, once known.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
    /// How much longer runs of losses were than by chance: 1 by chance or without loss.
    #[serde(default)]
    pub burst_ratio: Option<f64>,
    /// Level of the other party's speech in dBm0, once there was some.
    #[serde(default)]
    pub speech_dbm0: Option<f64>,
    /// Level of what is behind it in dBm0, once anything was heard.
    #[serde(default)]
    pub noise_dbm0: Option<f64>,
    /// What the other side's reports said of our sound; none when none came.
    #[serde(default)]
    pub remote: Option<RemoteSummary>,
    /// What went wrong with the sound, in words and in order.
    #[serde(default)]
    pub trouble: Vec<String>,
    /// What the jitter buffer did; none in records from before it told.
    #[serde(default)]
    pub jitter_buffer: Option<JitterBufferSummary>,
}

/// What the other side's last reports said of our sound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RemoteSummary {
    /// Share of our packets that were lost lately, 0 to 1.
    pub lost: f64,
    /// Their interarrival jitter in milliseconds.
    pub jitter_ms: f64,
    /// Mean opinion score that it gives what it heard, by its extended reports (RFC 3611).
    pub mos: Option<f64>,
}

/// What the jitter buffer of a call's recording and relay did; ratios are of what it played.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct JitterBufferSummary {
    /// Delay that it aimed at in the end, in milliseconds.
    pub target_ms: u32,
    /// Mean delay, in milliseconds.
    pub delay_ms: u32,
    /// Made up for late or lost packets.
    pub concealed: f64,
    /// Left out to wear off delay.
    pub accelerated: f64,
    /// Played twice to build up delay.
    pub expanded: f64,
}
