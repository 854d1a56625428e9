//! What is left of a call: its events, also after a restart, and the figures.

use offhook::store::Options;
use tokio::net::UdpSocket;

use crate::caller::Caller;
use crate::crm::FLOW;
use crate::rig::{Switch, voice};

/// What every call leaves in `/metrics`, each above zero.
const AFTER_A_CALL: [&str; 25] = [
    "offhook_calls_total{direction=\"inbound\",outcome=\"completed\"}",
    "offhook_call_setup_ms_count{direction=\"inbound\"}",
    "offhook_sip_messages_total{way=\"in\",kind=\"INVITE\"}",
    "offhook_sip_messages_total{way=\"in\",kind=\"ACK\"}",
    "offhook_sip_messages_total{way=\"in\",kind=\"other\"}",
    "offhook_sip_messages_total{way=\"out\",kind=\"180\"}",
    "offhook_sip_messages_total{way=\"out\",kind=\"200\"}",
    "offhook_sip_messages_total{way=\"out\",kind=\"BYE\"}",
    "offhook_sip_malformed_total",
    "offhook_legs_total{codec=\"PCMU\"}",
    "offhook_rtp_packets_total{way=\"in\"}",
    "offhook_rtp_packets_total{way=\"out\"}",
    "offhook_media_ticks_total",
    "offhook_media_tick_late_ms_count",
    "offhook_hearing_frames_total",
    "offhook_hearing_passed_total",
    "offhook_hearing_windows_total",
    "offhook_model_jobs_total{priority=\"turn\",outcome=\"done\"}",
    "offhook_model_jobs_total{priority=\"final stt\",outcome=\"done\"}",
    "offhook_model_jobs_total{priority=\"first tts\",outcome=\"done\"}",
    "offhook_turn_endpoint_ms_count",
    "offhook_turn_stt_ms_count",
    "offhook_turn_tts_first_audio_ms_count",
    "offhook_turn_voice_to_voice_ms_count",
    "offhook_http_requests_total{method=\"GET\",route=\"/metrics\",status=\"200\"}",
];

/// What is there after a call, be it zero.
const THERE: [&str; 18] = [
    "offhook_calls_active",
    "offhook_rtp_relayed_total",
    "offhook_rtp_lost_total",
    "offhook_rtp_late_total",
    "offhook_rtp_concealed_ms_total",
    "offhook_rtp_recovered_ms_total",
    "offhook_rtp_dropped_total{reason=\"foreign\"}",
    "offhook_media_ticks_late_total",
    "offhook_hearing_dropped_total",
    "offhook_model_jobs_waiting{priority=\"final stt\"}",
    "offhook_model_jobs_total{priority=\"final stt\",outcome=\"refused\"}",
    "offhook_model_slow_steps_total{priority=\"first tts\"}",
    "offhook_outbox_rows{state=\"pending\"}",
    "offhook_outbox_rows{state=\"dead\"}",
    "offhook_store_spilling",
    "offhook_store_spill_records",
    "offhook_queue_overflows_total{queue=\"leg events\"}",
    "offhook_queue_overflows_total{queue=\"recordings\"}",
];

/// Reads one sample of the Prometheus text format.
pub(crate) fn sample(text: &str, name: &str) -> Option<f64> {
    let line = text
        .lines()
        .find(|line| line.rsplit_once(' ').is_some_and(|(n, _)| n == name));
    line?.rsplit_once(' ')?.1.parse().ok()
}

/// The numbers of the events in a stream's text.
fn ids(text: &str) -> Vec<u64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("id: "));
    lines.map(|id| id.parse().unwrap()).collect()
}

/// Calls once and says something.
pub(crate) async fn call(switch: &Switch) -> String {
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("what can I do for you").await;
    caller.say(&voice("weather_question.wav"));
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    record["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_seen_in_the_figures_and_its_events_outlive_a_restart() {
    let switch = Switch::start(FLOW, "").await;
    let (_, sip) = switch.services.line.sip().listeners()[0];
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger
        .send_to(b"this is no SIP message\r\n\r\n", sip)
        .await
        .unwrap();
    let id = call(&switch).await;
    // The threads' counters are read each second.
    let figures = loop {
        let text = switch.get("/metrics").await.text().await.unwrap();
        let seen = |name: &&str| sample(&text, name).is_some_and(|value| value > 0.0);
        if AFTER_A_CALL.iter().all(seen) {
            break text;
        }
    };
    let missing: Vec<_> = THERE
        .iter()
        .filter(|name| sample(&figures, name).is_none())
        .collect();
    assert!(missing.is_empty(), "{missing:?} in\n{figures}");

    let path = format!("/v1/calls/{id}/events");
    let live = switch.get(&path).await.text().await.unwrap();
    for kind in ["call.ringing", "call.answered", "call.turn", "call.ended"] {
        assert!(
            live.contains(&format!("event: {kind}\n")),
            "{kind} in {live}"
        );
    }
    let folder = switch.stop().await;
    let switch = Switch::start_in(folder, FLOW, "", Options::default()).await;
    assert_eq!(
        switch.get(&path).await.text().await.unwrap(),
        live,
        "after the restart"
    );
    let all = ids(&live);
    let rest = switch.resume(&path, all[1]).await.text().await.unwrap();
    assert_eq!(ids(&rest), all[2..]);
    assert_eq!(switch.resume(&path, all[all.len() - 1]).await.status(), 204);

    // A reader who saw the first event goes on into what this run does.
    let mut stream = switch.resume("/v1/events", all[0]).await;
    let second = call(&switch).await;
    let last = format!("\"type\":\"call.ended\",\"call_id\":\"{second}\"");
    let mut text = String::new();
    while !text.contains(&last) {
        let chunk = stream.chunk().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let expected: Vec<u64> = (all[0] + 1..).take(ids(&text).len()).collect();
    assert_eq!(ids(&text), expected);
    assert!(!text.contains("stream.gap"), "{text}");
}
