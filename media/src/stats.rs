//! What a session counted, and how well it must have sounded.

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
    /// Round trip by RTCP, in milliseconds, once known.
    pub rtt_ms: Option<f32>,
    /// Mean opinion score that the E-model gives what we heard, 1 to 4.5; none before anything
    /// was heard.
    pub mos: Option<f32>,
}

/// Estimates the mean opinion score of G.711 with concealment by the E-model (ITU-T G.107;
/// Bpl 25.1 for G.711 with Appendix I by G.113): `loss` from 0 to 1, `delay_ms` from mouth to ear.
#[must_use]
pub fn mean_opinion_score(loss: f32, delay_ms: f32) -> f32 {
    const UNIMPAIRED: f32 = 93.2;
    const LOSS_ROBUSTNESS: f32 = 25.1;
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    let equipment = 95.0 * percent / (percent + LOSS_ROBUSTNESS);
    // G.107's delay impairment, as Cole and Rosenbluth simplified it.
    let delay = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
    let rating = (UNIMPAIRED - delay - equipment).clamp(0.0, 100.0);
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    score.clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_call_scores_well_and_loss_and_delay_cost() {
        assert!((4.3..4.5).contains(&mean_opinion_score(0.0, 40.0)));
        assert!((3.4..4.0).contains(&mean_opinion_score(0.05, 100.0)));
        assert!(mean_opinion_score(0.2, 40.0) < 2.9);
        assert!(mean_opinion_score(0.0, 500.0) < mean_opinion_score(0.0, 150.0) - 0.5);
        assert!(mean_opinion_score(1.0, 2_000.0) >= 1.0);
    }
}
