//! Every metric that Offhook exports, by name, and the recorder that renders them.
//!
//! Names follow Prometheus: counters end in `_total`, times are in ms and say so. Labels are
//! bounded by construction: a trunk's name, a route of the API, a reason from an enum; never a
//! number, an address or an id that a peer chooses.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::ObserveError;

/// Declares each metric once: its constant, kind, name and meaning.
macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal $help:literal)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*
        /// Every metric, in the order of this file.
        pub const ALL: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, help: $help }),*
        ];
        #[cfg(test)]
        const CONSTANTS: &[&str] = &[$(stringify!($constant)),*];
    };
}

/// What a metric counts or measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name in the exposition.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it says, with its labels in braces.
    pub help: &'static str,
}

/// A metric's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts values by size.
    Histogram,
}

metrics! {
    CALLS_ACTIVE Gauge "offhook_calls_active" "Calls right now"
    CALLS Counter "offhook_calls_total" "Calls that ended {direction, outcome}"
    CALLS_REFUSED Counter "offhook_calls_refused_total" "Calls that were refused {reason}"
    CALLS_UNRECORDED Counter "offhook_calls_unrecorded_total"
        "Calls not recorded because the disk did not keep up"
    RECORDINGS_BROKEN Counter "offhook_recordings_broken_total"
        "Recordings that ended early because their files could not be written"
    CALL_SETUP_MS Histogram "offhook_call_setup_ms" "From INVITE to the answer, in ms {direction}"
    SIP_MESSAGES Counter "offhook_sip_messages_total"
        "SIP messages {way, kind: a method or an answer's status}"
    SIP_MALFORMED Counter "offhook_sip_malformed_total" "SIP messages not understood"
    SIP_CHALLENGED Counter "offhook_sip_challenged_total" "Requests answered with a challenge"
    SIP_AUTH_FAILED Counter "offhook_sip_auth_failed_total" "Wrong credentials"
    SIP_DROPPED Counter "offhook_sip_dropped_total"
        "SIP messages of strangers that were not looked at or not answered {reason}"
    SIP_BANS Counter "offhook_sip_bans_total" "Sources that were banned {reason}"
    SIP_RETRANSMISSIONS Counter "offhook_sip_retransmissions_total" "SIP messages sent again"
    TRUNK_UP Gauge "offhook_trunk_up" "1 while a trunk's registration holds, or one of a peer's addresses answers {trunk}"
    TRUNK_CALLS Gauge "offhook_trunk_calls" "Calls that a trunk carries right now {trunk}"
    TRUNK_CALLS_BEGUN Counter "offhook_trunk_calls_total"
        "Calls that a trunk took {trunk, way: in or out}"
    TRUNK_CALLS_REFUSED Counter "offhook_trunk_calls_refused_total"
        "Calls for which a trunk had no room {trunk, way, reason: max_calls or max_cps}"
    TRUNK_ANSWERS Counter "offhook_trunk_answers_total"
        "What a trunk said to calls that we placed {trunk, status: the final one, or none}"
    LEGS Counter "offhook_legs_total" "Legs with media that ended {codec: the last it had}"
    RTP_PACKETS Counter "offhook_rtp_packets_total" "RTP packets {way}"
    RTP_RELAYED Counter "offhook_rtp_relayed_total"
        "RTP packets that passed between two legs as they came: received and sent as well"
    RTP_LOST Counter "offhook_rtp_lost_total" "RTP packets that never came, at a call's end"
    RTP_LATE Counter "offhook_rtp_late_total" "RTP packets that came too late, at a call's end"
    RTP_CONCEALED_MS Counter "offhook_rtp_concealed_ms_total"
        "Sound made up for what was late or lost, in ms, at a call's end"
    RTP_RECOVERED_MS Counter "offhook_rtp_recovered_ms_total"
        "Lost sound that the next packet carried again (Opus), in ms, at a call's end"
    RTP_ACCELERATED_MS Counter "offhook_rtp_accelerated_ms_total"
        "Sound left out to wear off delay, in ms, at a call's end"
    RTP_EXPANDED_MS Counter "offhook_rtp_expanded_ms_total"
        "Sound played twice to build up delay, in ms, at a call's end"
    CALL_MOS Histogram "offhook_call_mos"
        "Mean opinion score of a call, at its end {side: ours as we heard it, theirs as they say}"
    CALL_RTT_MS Histogram "offhook_call_rtt_ms" "Round trip by RTCP at a call's end, in ms"
    ONE_WAY_AUDIO Counter "offhook_one_way_audio_total"
        "Times that one side heard nothing of the other {reason}"
    CALL_JITTER_MS Histogram "offhook_call_jitter_ms"
        "How unevenly packets came at a call's end, in ms {side: ours as they came, theirs as they say}"
    JITTER_DELAY_MS Histogram "offhook_jitter_buffer_delay_ms"
        "Mean delay of the jitter buffer at a call's end, in ms"
    JITTER_TARGET_MS Histogram "offhook_jitter_buffer_target_ms"
        "Delay that it aimed at in the end, in ms"
    RTP_DROPPED Counter "offhook_rtp_dropped_total" "RTP packets refused, at a call's end {reason}"
    RTP_EARLY Counter "offhook_rtp_early_total"
        "Packets dropped since they came before the call's media was set up"
    RTP_UNSENT Counter "offhook_rtp_unsent_total" "Packets that the system did not take"
    MEDIA_TICK_LATE_MS Histogram "offhook_media_tick_late_ms"
        "How late the latest media tick of each second ran, in ms"
    MEDIA_TICKS Counter "offhook_media_ticks_total" "Media ticks served"
    MEDIA_TICKS_LATE Counter "offhook_media_ticks_late_total" "Ticks over 10 ms late"
    MEDIA_SESSION_BYTES Gauge "offhook_media_session_bytes"
        "Memory of the media of all legs right now, in bytes"
    MEDIA_TICKS_SKIPPED Counter "offhook_media_ticks_skipped_total"
        "Steps of 20 ms that were left out, their time long over, at a call's end"
    HEARING_FRAMES Counter "offhook_hearing_frames_total" "Frames that the cheap gate saw"
    HEARING_PASSED Counter "offhook_hearing_passed_total" "Frames that it let through"
    HEARING_WINDOWS Counter "offhook_hearing_windows_total" "Windows of 32 ms that Silero judged"
    HEARING_DROPPED Counter "offhook_hearing_dropped_total" "Frames lost before Silero"
    MODEL_JOBS_WAITING Gauge "offhook_model_jobs_waiting" "Jobs of the models that wait {priority}"
    MODEL_JOBS Counter "offhook_model_jobs_total"
        "Jobs of the models {priority, outcome: done, cancelled, overtaken, refused, panicked}"
    MODEL_SLOW_STEPS Counter "offhook_model_slow_steps_total" "Steps over 60 ms {priority}"
    ENDPOINT_MS Histogram "offhook_turn_endpoint_ms" "Last voiced packet to end of turn, in ms"
    STT_MS Histogram "offhook_turn_stt_ms" "The recogniser's start to its final text, in ms"
    LLM_FIRST_TOKEN_MS Histogram "offhook_turn_llm_first_token_ms"
        "The LLM's request to its first token, in ms"
    TTS_FIRST_AUDIO_MS Histogram "offhook_turn_tts_first_audio_ms" "Clause to first sound, in ms"
    VOICE_TO_VOICE_MS Histogram "offhook_turn_voice_to_voice_ms"
        "Last voiced packet received to first audible packet sent, in ms"
    BARGE_INS Counter "offhook_barge_ins_total" "Interruptions {decision: commit or resume}"
    LLM_REQUESTS Counter "offhook_llm_requests_total" "Requests to the language model {outcome}"
    LLM_RETRIES Counter "offhook_llm_retries_total" "Requests tried again {reason}"
    CRM_LOOK_UP_FAILURES Counter "offhook_crm_look_up_failures_total"
        "Callers whom the CRM did not tell of in time"
    OUTBOX_ROWS Gauge "offhook_outbox_rows" "Deliveries {state: pending, delivering or dead}"
    OUTBOX_DELIVERIES Counter "offhook_outbox_deliveries_total"
        "Attempts {sink, kind, outcome: delivered, retry or dead}"
    STORE_ERRORS Counter "offhook_store_errors_total" "Database operations that failed"
    STORE_SPILLING Gauge "offhook_store_spilling" "1 while records go to the spill file"
    STORE_SPILLED_WAITING Gauge "offhook_store_spill_records" "Records in the spill file"
    STORE_SPILLED Counter "offhook_store_spilled_total" "Records that went to the spill file"
    STORE_LOST Counter "offhook_store_lost_total" "Records that could be kept nowhere"
    QUEUE_OVERFLOWS Counter "offhook_queue_overflows_total" "Things dropped by a full queue {queue}"
    HTTP_REQUESTS Counter "offhook_http_requests_total" "API requests {method, route, status}"
    HTTP_REQUEST_MS Histogram "offhook_http_request_ms" "API requests until the head, in ms {route}"
    HTTP_AUTH_FAILED Counter "offhook_http_auth_failed_total" "API requests without a valid key"
    EVENT_SUBSCRIBERS Gauge "offhook_event_subscribers" "Open event streams"
    EVENT_SUBSCRIBERS_DROPPED Counter "offhook_event_subscribers_dropped_total"
        "Event streams ended because their reader was too slow"
}

/// Bounds of the histograms of times, in ms: fine where the goals of latency lie.
const BUCKETS_MS: [f64; 20] = [
    0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0, 700.0,
    1_000.0, 1_500.0, 2_500.0, 5_000.0, 10_000.0,
];

/// Bounds of the histograms of mean opinion scores.
const BUCKETS_MOS: [f64; 9] = [1.5, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.4];

/// How often [`Metrics::upkeep`] has to run, so that histograms do not grow.
pub const UPKEEP: Duration = Duration::from_secs(5);

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder for the whole process; a second call returns the same one.
    ///
    /// # Errors
    /// Fails when another recorder is installed already.
    pub fn install() -> Result<Self, ObserveError> {
        static INSTALLED: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
        let handle = INSTALLED.get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), &BUCKETS_MS)
                .ok()?
                .set_buckets_for_metric(Matcher::Suffix("_mos".to_owned()), &BUCKETS_MOS)
                .ok()?
                .build_recorder();
            let handle = recorder.handle();
            metrics::set_global_recorder(recorder).ok()?;
            describe();
            Some(handle)
        });
        handle
            .clone()
            .map(Self)
            .ok_or(ObserveError::Taken("metrics"))
    }

    /// Renders the metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what was measured since the last time; runs every [`UPKEEP`].
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are() {
        for metric in ALL {
            assert!(metric.name.starts_with("offhook_"), "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter
            );
            let has_unit = metric.name.ends_with("_ms") || metric.name.ends_with("_mos");
            assert_eq!(has_unit, metric.kind == Kind::Histogram);
        }
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    fn sources(folder: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if !path.ends_with("observe/metrics.rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_metric_is_measured_somewhere_and_none_goes_by_another_name() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut text = String::new();
        sources(&folder, &mut text);
        for constant in CONSTANTS {
            let used = text.match_indices(constant).any(|(at, _)| {
                let behind = text[at + constant.len()..].chars().next();
                let before = text[..at].chars().next_back();
                behind.is_some_and(|c| c == ')' || c == ',')
                    && before.is_some_and(|c| c == ':' || c == '(' || c == ' ')
            });
            assert!(used, "{constant} is never measured");
        }
        for kind in ["counter", "gauge", "histogram"] {
            let literal = format!("{kind}!(\"");
            assert!(
                !text.contains(&literal),
                "{literal} names a metric by itself"
            );
        }
    }

    #[test]
    fn what_is_measured_is_rendered_with_its_help_and_buckets() {
        let metrics = Metrics::install().unwrap();
        metrics::histogram!(VOICE_TO_VOICE_MS).record(260.0);
        metrics::counter!(BARGE_INS, "decision" => "commit").increment(1);
        metrics.upkeep();
        let text = metrics.render();
        assert!(
            text.contains("# HELP offhook_turn_voice_to_voice_ms Last voiced"),
            "{text}"
        );
        assert!(
            text.contains("offhook_turn_voice_to_voice_ms_bucket{le=\"300\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("offhook_barge_ins_total{decision=\"commit\"} 1"),
            "{text}"
        );
        assert!(Metrics::install().is_ok());
    }
}
