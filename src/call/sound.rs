//! What a call's record keeps of its sound.

use std::time::Duration;

use offhook_media::Stats;

use super::line::Leg;
use crate::meters;
use crate::store::{JitterBufferSummary, MediaSummary, RemoteSummary};

/// How long a closed leg may take to tell its figures.
const CLOSING: Duration = Duration::from_secs(2);

/// What a call's record keeps of its leg's figures.
pub(crate) fn media_summary(
    codec: Option<String>,
    srtp: Option<String>,
    stats: &Stats,
) -> MediaSummary {
    let ratio = |ratio: f32| (f64::from(ratio) * 1e5).round() / 1e5;
    MediaSummary {
        codec,
        srtp,
        packets: stats.received,
        lost: stats.lost,
        jitter_ms: rounded(stats.jitter_ms),
        mos: stats.mos.map(rounded),
        rtt_ms: stats.rtt_ms.map(rounded),
        burst_ratio: Some(rounded(stats.losses.burst_ratio)),
        speech_dbm0: stats.speech_dbm0.map(rounded),
        noise_dbm0: stats.noise_dbm0.map(rounded),
        remote: (stats.rtcp_received > 0).then(|| RemoteSummary {
            lost: ratio(stats.remote_loss),
            jitter_ms: rounded(stats.remote_jitter_ms),
            mos: stats.remote_mos.map(rounded),
        }),
        trouble: Vec::new(),
        jitter_buffer: Some(JitterBufferSummary {
            target_ms: stats.buffer_target_ms,
            delay_ms: stats.buffer_delay_ms,
            concealed: ratio(stats.concealed_ratio),
            accelerated: ratio(stats.accelerated_ratio),
            expanded: ratio(stats.expanded_ratio),
        }),
    }
}

/// Figures that nobody reads beyond their second place.
fn rounded(figure: f32) -> f64 {
    (f64::from(figure) * 100.0).round() / 100.0
}

/// Waits for the closed leg's figures.
pub(super) async fn summary(leg: &mut Leg, troubles: Vec<String>) -> Option<MediaSummary> {
    let codec = leg.codec.name().to_owned();
    let closed = tokio::time::timeout(CLOSING, leg.closed()).await;
    let stats = closed.ok().flatten()?;
    meters::leg_closed(&stats, leg.codec, leg.rate_hz);
    if stats.unauthenticated > stats.received {
        let packets = stats.unauthenticated;
        tracing::warn!(
            packets,
            "most of a call's packets were not authentic: wrong keys, or none"
        );
    }
    let srtp = leg.srtp().map(|suite| suite.name().to_owned());
    let summary = media_summary(Some(codec), srtp, &stats);
    Some(MediaSummary {
        trouble: troubles,
        ..summary
    })
}
