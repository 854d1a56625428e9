//! Brings what the threads count into `/metrics`, and measures turns and calls as they are
//! written down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::agent::{TurnRecord, Who};
use crate::call::Services;
use crate::observe::metrics as names;
use crate::observe::metrics::Metrics;

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
    let mut sums = [0_u64; 5];
    for thread in services.line.media() {
        let counters = thread.counters();
        let all = [
            &counters.ticks,
            &counters.late_ticks,
            &counters.received,
            &counters.sent,
            &counters.events_dropped,
        ];
        for (sum, counter) in sums.iter_mut().zip(all) {
            *sum += read(counter);
        }
    }
    let [ticks, late, received, sent, dropped] = sums;
    counter!(names::MEDIA_TICKS).absolute(ticks);
    counter!(names::MEDIA_TICKS_LATE).absolute(late);
    counter!(names::RTP_PACKETS, "way" => "in").absolute(received);
    counter!(names::RTP_PACKETS, "way" => "out").absolute(sent);
    counter!(names::QUEUE_OVERFLOWS, "queue" => "leg events").absolute(dropped);
    if let Some(on_box) = services.on_box.get() {
        let hearing = on_box.hearing.counters();
        counter!(names::HEARING_FRAMES).absolute(read(&hearing.frames));
        counter!(names::HEARING_PASSED).absolute(read(&hearing.passed));
        counter!(names::HEARING_WINDOWS).absolute(read(&hearing.windows));
        counter!(names::HEARING_DROPPED).absolute(read(&hearing.dropped));
    }
    if let Some(recorder) = &services.recorder {
        counter!(names::QUEUE_OVERFLOWS, "queue" => "recordings").absolute(recorder.dropped());
    }
    if let Ok(sip) = services.line.sip().stats().await {
        counter!(names::SIP_MALFORMED).absolute(sip.malformed);
        counter!(names::SIP_CHALLENGED).absolute(sip.challenged);
        counter!(names::SIP_AUTH_FAILED).absolute(sip.auth_failed);
    }
}

/// Measures an agent's turn.
pub fn turn(turn: &TurnRecord) {
    if turn.who != Who::Agent {
        return;
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
