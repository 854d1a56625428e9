//! How well the peer is heard: what was counted, the E-model's score, and what a report says of it.

use super::MediaSession;
use crate::bursts::Losses;
use crate::emodel::{Impairments, mean_opinion_score};
use crate::jitter::JitterStats;
use crate::reception::Reception;
use crate::rtcp::VoipMetrics;
use crate::stats::Stats;

/// What lies between a telephone's microphone and its packets, in milliseconds.
const PACKETISATION_MS: f32 = 20.0;

impl MediaSession {
    /// Tells what was counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let jitter = self.jitter.stats();
        let (lost, _) = self.peer.losses();
        let per_ms = u64::from(self.rate_hz() / 1_000).max(1);
        let losses = self.losses();
        let impairments = self.impairments(&jitter, &losses);
        Stats {
            packets_sent: self.stream.packets(),
            octets_sent: self.stream.octets(),
            lost,
            jitter_ms: self.peer.jitter_ms(),
            late: jitter.late_packets,
            concealed_samples: jitter.concealed,
            recovered_samples: jitter.recovered,
            accelerated_ms: (jitter.accelerated + jitter.discarded) / per_ms,
            expanded_ms: jitter.expanded / per_ms,
            concealed_ratio: jitter.concealed_ratio(),
            accelerated_ratio: jitter.accelerated_ratio(),
            expanded_ratio: jitter.expanded_ratio(),
            skipped_ticks: self.grid.skipped(),
            overrun: self.lost_events
                + self.outbox.overrun()
                + jitter.unheard / u64::from(self.rate_hz / 50),
            echo_frames: self.echo.as_ref().map_or(0, |echo| echo.echoes()),
            buffer_delay_ms: jitter.delay_ms,
            buffer_target_ms: jitter.target_ms,
            rtt_ms: self.round_trip_ms(),
            losses,
            speech_dbm0: self.level.speech_dbm0(),
            noise_dbm0: self.level.noise_dbm0(),
            mos: self
                .was_heard()
                .then(|| mean_opinion_score(impairments.rating())),
            ..self.stats
        }
    }

    /// What our next report says of the peer's voice (RFC 3611 §4.7).
    pub(super) fn voip_metrics(&self) -> Option<VoipMetrics> {
        let ssrc = self.guard.ssrc()?;
        let jitter = self.jitter.stats();
        let (lost, expected) = self.peer.losses();
        let losses = self.losses();
        let impairments = self.impairments(&jitter, &losses);
        let listening = Impairments {
            delay_ms: 0.0,
            ..impairments
        };
        let packet_ms = self.jitter.packet_ms();
        let level = |level: Option<f32>| level.map(|dbm0| dbm0.clamp(-126.0, 3.0) as i8);
        let heard = self.was_heard();
        Some(VoipMetrics {
            ssrc,
            loss: lost as f32 / expected.max(1) as f32,
            discard: losses.discarded,
            burst_density: losses.burst_density,
            gap_density: losses.gap_density,
            burst_ms: (losses.burst_packets * packet_ms) as u16,
            gap_ms: (losses.gap_packets * packet_ms) as u16,
            round_trip_ms: self.round_trip_ms().unwrap_or(0.0) as u16,
            end_system_ms: (jitter.delay_ms as f32 + PACKETISATION_MS) as u16,
            signal_dbm0: level(self.level.speech_dbm0()),
            noise_dbm0: level(self.level.noise_dbm0()),
            rating: heard.then(|| impairments.rating() as u8),
            mos_listening: heard.then(|| mean_opinion_score(listening.rating())),
            mos_conversational: heard.then(|| mean_opinion_score(impairments.rating())),
            buffer_nominal_ms: jitter.target_ms as u16,
            buffer_maximum_ms: jitter.target_ms.max(jitter.delay_ms) as u16,
            buffer_limit_ms: self.jitter.limit_ms() as u16,
        })
    }

    /// Takes what the peer says of our voice.
    pub(super) fn heard_of_our_voice(&mut self, metrics: &VoipMetrics) {
        if metrics.ssrc != self.stream.ssrc() {
            return;
        }
        self.stats.remote_mos = metrics.mos_conversational.or(metrics.mos_listening);
        self.stats.remote_discard = metrics.discard;
    }

    fn was_heard(&self) -> bool {
        self.stats.received > 0
    }

    fn losses(&self) -> Losses {
        let none = Losses {
            burst_ratio: 1.0,
            ..Losses::default()
        };
        let reception = self.peer.reception.as_ref();
        reception.map_or(none, Reception::bursts)
    }

    fn round_trip_ms(&self) -> Option<f32> {
        let trip = self.schedule.round_trip()?;
        Some(trip.as_secs_f32() * 1_000.0)
    }

    fn impairments(&self, jitter: &JitterStats, losses: &Losses) -> Impairments {
        let (lost, expected) = self.peer.losses();
        let way_ms = self.round_trip_ms().unwrap_or(0.0) / 2.0;
        let packet_samples = self.jitter.packet_ms() * self.rate_hz() as f32 / 1_000.0;
        let packet = (packet_samples as u64).max(1);
        // What came again in time was not made up; what came again too late was.
        let absent = lost + jitter.late_packets;
        let missed = match jitter.recovered {
            0 => absent,
            _ => absent.min(jitter.concealed.div_ceil(packet)),
        };
        Impairments {
            loss: missed as f32 / expected.max(1) as f32,
            burst_ratio: losses.burst_ratio,
            delay_ms: way_ms + jitter.delay_ms as f32 + PACKETISATION_MS,
        }
    }
}
