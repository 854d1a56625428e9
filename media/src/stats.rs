//! What a session counted, and how well it must have sounded.

use crate::bursts::Losses;

/// Counts what a session went through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Payload bytes sent.
    pub octets_sent: u64,
    /// RTP packets of the peer that passed all checks.
    pub received: u64,
    /// Packets that the peer must have sent and that never came.
    pub lost: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1), in milliseconds.
    pub jitter_ms: f32,
    /// Packets that came more than once.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came after their place was given up.
    pub late: u64,
    /// Samples made up for what was late or lost.
    pub concealed_samples: u64,
    /// Samples of lost packets that the packets after them carried again (Opus); some of them were
    /// heard when it was too late to play them, and are concealed as well.
    pub recovered_samples: u64,
    /// Sound left out to wear off delay, in milliseconds.
    pub accelerated_ms: u64,
    /// Sound played twice to build up delay, in milliseconds.
    pub expanded_ms: u64,
    /// Share of what was played that was made up for late or lost packets, 0 to 1.
    pub concealed_ratio: f32,
    /// Samples left out to wear off delay, as a share of those played.
    pub accelerated_ratio: f32,
    /// Share of what was played that was played twice to build up delay, 0 to 1.
    pub expanded_ratio: f32,
    /// Datagrams from another address or port than the peer's, dropped by the source rule.
    pub foreign: u64,
    /// Packets from where the peer's come from, but of another synchronisation source while the
    /// peer's own is heard; reports that name another one.
    pub wrong_ssrc: u64,
    /// Packets of our own that came back (RFC 3550 §8.2), dropped.
    pub looped: u64,
    /// Packets of an SRTP session that are forged, damaged, in the clear or of another key.
    pub unauthenticated: u64,
    /// Authentic packets of an SRTP session that came before, or too late to tell.
    pub replayed: u64,
    /// Datagrams that end before their headers say so, or before any header does.
    pub truncated: u64,
    /// Packets that are longer than any that was agreed on.
    pub oversized: u64,
    /// Datagrams of another version than 2: no RTP, such as STUN, DTLS or ZRTP.
    pub wrong_version: u64,
    /// Packets that are broken otherwise: their padding does not fit, or reports without a report.
    pub malformed: u64,
    /// Packets of a payload type that was not agreed on.
    pub unknown_payload: u64,
    /// Steps of the clock that were left out because the session was not ticked in time.
    pub skipped_ticks: u64,
    /// What the session's owner did not take in time: events, sound, packets.
    pub overrun: u64,
    /// RTCP packets sent and received.
    pub rtcp_sent: u64,
    /// RTCP compounds received.
    pub rtcp_received: u64,
    /// Frames of sound that were our own echo, silenced for whoever listens.
    pub echo_frames: u64,
    /// Mean delay in the jitter buffer, in milliseconds.
    pub buffer_delay_ms: u32,
    /// Delay that the jitter buffer aims at, in milliseconds.
    pub buffer_target_ms: u32,
    /// Share of our packets that the peer reports as lost lately, 0 to 1.
    pub remote_loss: f32,
    /// Jitter that the peer reports, in milliseconds.
    pub remote_jitter_ms: f32,
    /// Share of our packets that came to the peer too late, by its extended report, 0 to 1.
    pub remote_discard: f32,
    /// Mean opinion score that the peer gives what it heard of us, by its extended report.
    pub remote_mos: Option<f32>,
    /// How the losses lay.
    pub losses: Losses,
    /// Level of the peer's speech in dBm0, once there was some.
    pub speech_dbm0: Option<f32>,
    /// Level of what is behind it in dBm0, once anything was heard.
    pub noise_dbm0: Option<f32>,
    /// Round trip by RTCP, in milliseconds, once known.
    pub rtt_ms: Option<f32>,
    /// Mean opinion score that the E-model gives what we heard, 1 to 4.5; none before anything
    /// was heard.
    pub mos: Option<f32>,
}
