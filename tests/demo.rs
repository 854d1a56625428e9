//! The whole path on real parts: `offhook run --demo` as a person would start it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use serde_json::Value;

#[allow(clippy::disallowed_methods)] // asks for a free port
fn free_ports() -> (u16, u16) {
    let udp = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let tcp = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    (udp, tcp)
}

fn demonstration() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let (sip, api) = free_ports();
    let output = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["run", "--demo", "--json"])
        .current_dir(folder.path())
        .env("OFFHOOK__SIP__LISTEN", format!("udp://127.0.0.1:{sip}"))
        .env("OFFHOOK__HTTP__LISTEN", format!("127.0.0.1:{api}"))
        .env("OFFHOOK__LOG__LEVEL", "warn")
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{errors}");
    assert!(errors.contains("agent   ▸"), "the transcript: {errors}");
    // Standard output is the record and nothing else.
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}\n{errors}"))
}

#[test]
fn a_caller_rings_the_agent_answers_and_the_lead_reaches_the_crm() {
    let shown = demonstration();
    let call = &shown["call"];
    assert_eq!(call["state"], "completed", "{call:#}");
    assert_eq!(call["outcome"], "booked", "{call:#}");
    let name = call["variables"]["caller_name"].as_str().unwrap();
    let email = call["variables"]["caller_email"].as_str().unwrap();
    assert!(
        name.starts_with("Jane") && email.contains('@'),
        "{name} {email}"
    );
    assert_eq!(call["media"]["lost"], 0);
    assert_eq!(call["media"]["codec"], "PCMU");

    let turns = call["turns"].as_array().unwrap();
    let answers = turns
        .iter()
        .filter(|turn| !turn["latency"]["voice_to_voice_ms"].is_null());
    let mut answered = 0;
    for turn in answers {
        assert_eq!(turn["who"], "agent");
        for field in ["endpoint_ms", "stt_ms", "tts_first_audio_ms"] {
            assert!(turn["latency"][field].is_u64(), "{field} in {turn:#}");
        }
        answered += 1;
    }
    assert!(answered >= 5, "{turns:#?}");

    let crm = shown["crm"].as_array().unwrap();
    let to = |path: &str| -> Vec<&Value> {
        crm.iter()
            .filter(|r| r["path"] == path && r["method"] == "POST")
            .collect()
    };
    let contacts = to("/api/mautic/contacts");
    let contact = contacts.last().unwrap();
    let (first, last) = name.split_once(' ').unwrap_or((name, ""));
    assert_eq!(contact["body"]["firstname"], first);
    assert_eq!(contact["body"]["lastname"].as_str().unwrap_or(""), last);
    assert_eq!(contact["body"]["email"], email);
    let logs = to("/api/voice/call-log");
    let log = logs.first().unwrap();
    let transcript = log["body"]["transcript"].as_str().unwrap();
    assert!(transcript.contains("thanks for calling"), "{transcript}");
    assert_eq!(log["body"]["outcome"], "booked");
    assert_eq!(logs.len(), 1, "the call is logged once");
    assert_eq!(
        to("/api/appointments/book").len(),
        1,
        "one appointment is booked"
    );
}
