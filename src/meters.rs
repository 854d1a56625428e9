//! Brings what the threads count into `/metrics`, and measures turns and calls as they are
//! written down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use offhook_media::{Codec, Stats};
use offhook_models::workers::{Priority, WorkerStats};

use crate::agent::{TurnRecord, Who};
use crate::call::Services;
use crate::observe::metrics as names;
use crate::observe::metrics::Metrics;
use crate::switch::Way;

/// How often the threads' counters are read.
const PERIOD: Duration = Duration::from_secs(1);

/// Reads the threads' counters for as long as the process lives.
pub async fn run(services: Arc<Services>, recorder: Metrics) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        read(&services).await;
        recorder.upkeep();
    }
}

async fn read(services: &Services) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    gauge!(names::CALLS_ACTIVE).set(services.running() as f64);
    for trunk in &services.config.trunks {
        let calls = services.trunk_loads.calls(&trunk.name);
        gauge!(names::TRUNK_CALLS, "trunk" => trunk.name.clone()).set(f64::from(calls));
    }
    let mut sums = [0_u64; 9];
    for thread in services.line.media() {
        let counters = thread.counters();
        let all = [
            &counters.ticks,
            &counters.late_ticks,
            &counters.received,
            &counters.sent,
            &counters.relayed,
            &counters.events_dropped,
            &counters.early_dropped,
            &counters.send_failed,
            &counters.session_bytes,
        ];
        let late_us = counters.worst_late_us.swap(0, Ordering::Relaxed);
        histogram!(names::MEDIA_TICK_LATE_MS).record(late_us as f64 / 1000.0);
        for (sum, counter) in sums.iter_mut().zip(all) {
            *sum += read(counter);
        }
    }
    let [
        ticks,
        late,
        received,
        sent,
        relayed,
        dropped,
        early,
        unsent,
        session_bytes,
    ] = sums;
    gauge!(names::MEDIA_SESSION_BYTES).set(session_bytes as f64);
    counter!(names::MEDIA_TICKS).absolute(ticks);
    counter!(names::MEDIA_TICKS_LATE).absolute(late);
    counter!(names::RTP_PACKETS, "way" => "in").absolute(received);
    counter!(names::RTP_PACKETS, "way" => "out").absolute(sent);
    counter!(names::RTP_RELAYED).absolute(relayed);
    counter!(names::QUEUE_OVERFLOWS, "queue" => "leg events").absolute(dropped);
    counter!(names::RTP_EARLY).absolute(early);
    counter!(names::RTP_UNSENT).absolute(unsent);
    if let Some(on_box) = services.on_box.get() {
        let hearing = on_box.hearing.counters();
        counter!(names::HEARING_FRAMES).absolute(read(&hearing.frames));
        counter!(names::HEARING_PASSED).absolute(read(&hearing.passed));
        counter!(names::HEARING_WINDOWS).absolute(read(&hearing.windows));
        counter!(names::HEARING_DROPPED).absolute(read(&hearing.dropped));
        models(&on_box.workers.stats());
    }
    if let Some(recorder) = &services.recorder {
        counter!(names::QUEUE_OVERFLOWS, "queue" => "recordings").absolute(recorder.dropped());
        counter!(names::CALLS_UNRECORDED).absolute(recorder.unrecorded());
        counter!(names::RECORDINGS_BROKEN).absolute(recorder.broken());
    }
    if let Ok(sip) = services.line.sip().stats().await {
        counter!(names::SIP_MALFORMED).absolute(sip.malformed);
        counter!(names::SIP_CHALLENGED).absolute(sip.challenged);
        counter!(names::SIP_AUTH_FAILED).absolute(sip.auth_failed);
        let dropped = [
            ("banned", sip.dropped_banned),
            ("flood", sip.dropped_flood),
            ("scanner", sip.dropped_scanner),
            ("amplification", sip.withheld),
        ];
        for (reason, messages) in dropped {
            counter!(names::SIP_DROPPED, "reason" => reason).absolute(messages);
        }
        let bans = [
            ("flood", sip.bans_flood),
            ("wrong credentials", sip.bans_wrong_credentials),
            ("scanner", sip.bans_scanner),
        ];
        for (reason, count) in bans {
            counter!(names::SIP_BANS, "reason" => reason).absolute(count);
        }
        counter!(names::SIP_RETRANSMISSIONS).absolute(sip.retransmissions);
    }
}

fn models(stats: &WorkerStats) {
    for priority in Priority::ALL {
        let name = match priority {
            Priority::Turn => "turn",
            Priority::FinalStt => "final stt",
            Priority::FirstTts => "first tts",
            Priority::PartialStt => "partial stt",
            Priority::RestTts => "rest tts",
        };
        let of = stats.of(priority);
        gauge!(names::MODEL_JOBS_WAITING, "priority" => name).set(of.waiting as f64);
        counter!(names::MODEL_SLOW_STEPS, "priority" => name).absolute(of.slow_steps);
        let outcomes = [
            ("done", of.done),
            ("cancelled", of.cancelled),
            ("overtaken", of.overtaken),
            ("refused", of.rejected),
            ("panicked", of.panicked),
        ];
        for (outcome, jobs) in outcomes {
            counter!(names::MODEL_JOBS, "priority" => name, "outcome" => outcome).absolute(jobs);
        }
    }
}

/// Counts a SIP message by its kind: a method or an answer's status.
pub fn sip_message(way: &'static str, message: &[u8]) {
    counter!(names::SIP_MESSAGES, "way" => way, "kind" => sip_kind(message)).increment(1);
}

/// The method of a request or the status of an answer, by the first line; peers choose neither
/// beyond what there is.
fn sip_kind(message: &[u8]) -> std::borrow::Cow<'static, str> {
    const METHODS: [&str; 14] = [
        "ACK",
        "BYE",
        "CANCEL",
        "INFO",
        "INVITE",
        "MESSAGE",
        "NOTIFY",
        "OPTIONS",
        "PRACK",
        "PUBLISH",
        "REFER",
        "REGISTER",
        "SUBSCRIBE",
        "UPDATE",
    ];
    let word = |text: &[u8]| text.split(|byte| *byte == b' ').next().map(<[u8]>::to_vec);
    if let Some(answer) = message.strip_prefix(b"SIP/2.0 ") {
        let status = word(answer).and_then(|status| String::from_utf8(status).ok());
        let known = status.filter(|status| {
            status.len() == 3
                && status
                    .parse()
                    .is_ok_and(|status: u16| (100..700).contains(&status))
        });
        return known.map_or("other".into(), Into::into);
    }
    let method = word(message).unwrap_or_default();
    let known = METHODS.iter().find(|known| known.as_bytes() == method);
    known.copied().unwrap_or("other").into()
}

/// Says whether a trunk's registration holds.
pub fn trunk_up(trunk: &str, up: bool) {
    gauge!(names::TRUNK_UP, "trunk" => trunk.to_owned()).set(if up { 1.0 } else { 0.0 });
}

/// Counts a call that a trunk took.
pub fn trunk_took(trunk: &str, way: Way) {
    let labels = [
        ("trunk", trunk.to_owned()),
        ("way", way.as_str().to_owned()),
    ];
    counter!(names::TRUNK_CALLS_BEGUN, &labels).increment(1);
}

/// Counts a call that a trunk had no room for.
pub fn trunk_refused(trunk: &str, way: Way, limit: &'static str) {
    let labels = [
        ("trunk", trunk.to_owned()),
        ("way", way.as_str().to_owned()),
        ("reason", limit.to_owned()),
    ];
    counter!(names::TRUNK_CALLS_REFUSED, &labels).increment(1);
}

/// Counts what came of a call that was placed over a trunk: its final status, or silence.
pub fn trunk_answered(trunk: &str, status: Option<u16>) {
    let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    let labels = [("trunk", trunk.to_owned()), ("status", status)];
    counter!(names::TRUNK_ANSWERS, &labels).increment(1);
}

/// Counts what a closed leg went through, whose sound had `rate_hz` samples per second and whose
/// last codec this was.
pub fn leg_closed(stats: &Stats, codec: Codec, rate_hz: u32) {
    counter!(names::LEGS, "codec" => codec.name()).increment(1);
    counter!(names::RTP_LOST).increment(stats.lost);
    counter!(names::RTP_LATE).increment(stats.late);
    let ms = |samples: u64| samples / u64::from((rate_hz / 1_000).max(1));
    counter!(names::RTP_CONCEALED_MS).increment(ms(stats.concealed_samples));
    counter!(names::RTP_RECOVERED_MS).increment(ms(stats.recovered_samples));
    counter!(names::RTP_ACCELERATED_MS).increment(stats.accelerated_ms);
    counter!(names::RTP_EXPANDED_MS).increment(stats.expanded_ms);
    histogram!(names::JITTER_DELAY_MS).record(f64::from(stats.buffer_delay_ms));
    histogram!(names::JITTER_TARGET_MS).record(f64::from(stats.buffer_target_ms));
    let scores = [("ours", stats.mos), ("theirs", stats.remote_mos)];
    for (side, mos) in scores {
        if let Some(mos) = mos {
            histogram!(names::CALL_MOS, "side" => side).record(f64::from(mos));
        }
    }
    if let Some(rtt_ms) = stats.rtt_ms {
        histogram!(names::CALL_RTT_MS).record(f64::from(rtt_ms));
        histogram!(names::CALL_JITTER_MS, "side" => "theirs")
            .record(f64::from(stats.remote_jitter_ms));
    }
    if stats.received > 0 {
        histogram!(names::CALL_JITTER_MS, "side" => "ours").record(f64::from(stats.jitter_ms));
    }
    counter!(names::MEDIA_TICKS_SKIPPED).increment(stats.skipped_ticks);
    counter!(names::QUEUE_OVERFLOWS, "queue" => "sessions").increment(stats.overrun);
    let reasons = [
        ("foreign", stats.foreign),
        ("ssrc", stats.wrong_ssrc),
        ("looped", stats.looped),
        ("truncated", stats.truncated),
        ("oversized", stats.oversized),
        ("version", stats.wrong_version),
        ("malformed", stats.malformed),
        ("unauthenticated", stats.unauthenticated),
        ("replayed", stats.replayed),
        ("payload", stats.unknown_payload),
        ("duplicate", stats.duplicates),
    ];
    for (reason, packets) in reasons {
        counter!(names::RTP_DROPPED, "reason" => reason).increment(packets);
    }
}

/// Counts that one side heard nothing of the other.
pub fn one_way_audio(reason: &'static str) {
    counter!(names::ONE_WAY_AUDIO, "reason" => reason).increment(1);
}

/// Counts an interruption that was none: the agent went on.
pub fn resumed() {
    counter!(names::BARGE_INS, "decision" => "resume").increment(1);
}

/// Measures how long an answered call took to set up.
pub fn call_answered(direction: &'static str, set_up: Duration) {
    histogram!(names::CALL_SETUP_MS, "direction" => direction)
        .record(set_up.as_secs_f64() * 1000.0);
}

/// Measures an agent's turn.
pub fn turn(turn: &TurnRecord) {
    if turn.who != Who::Agent {
        return;
    }
    if turn.interrupted {
        counter!(names::BARGE_INS, "decision" => "commit").increment(1);
    }
    let latency = &turn.latency;
    let stages = [
        (names::ENDPOINT_MS, latency.endpoint_ms),
        (names::STT_MS, latency.stt_ms),
        (names::LLM_FIRST_TOKEN_MS, latency.llm_first_token_ms),
        (names::TTS_FIRST_AUDIO_MS, latency.tts_first_audio_ms),
        (names::VOICE_TO_VOICE_MS, latency.voice_to_voice_ms),
    ];
    for (name, ms) in stages {
        if let Some(ms) = ms {
            histogram!(name).record(f64::from(ms));
        }
    }
}

/// Counts a call that has ended.
pub fn call_ended(direction: &'static str, outcome: &'static str) {
    counter!(names::CALLS, "direction" => direction, "outcome" => outcome).increment(1);
}

/// Counts a call that was refused.
pub fn call_refused(status: u16) {
    counter!(names::CALLS_REFUSED, "reason" => status.to_string()).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sip_message_is_counted_by_what_it_is_and_no_peer_can_invent_labels() {
        assert_eq!(sip_kind(b"INVITE sip:a@b SIP/2.0\r\n"), "INVITE");
        assert_eq!(sip_kind(b"SIP/2.0 486 Busy Here\r\n"), "486");
        for odd in [
            &b"SIP/2.0 999 What\r\n"[..],
            b"SIP/2.0 +99 What\r\n",
            b"FROBNICATE sip:a@b SIP/2.0\r\n",
            b"",
            b"\xff\xfe",
        ] {
            assert_eq!(sip_kind(odd), "other");
        }
    }
}
