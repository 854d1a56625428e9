//! `kill -9` at any point: what was kept is there at the next start and reaches the CRM, once.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they share")]
#![allow(
    clippy::print_stdout,
    reason = "how the process that is killed tells how far it got"
)]

mod crm_support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crm_support::{
    BOOK, CALL_LOG, CONTACTS, appointment, at, bodies, delivery, finish, finished, incoming, open,
    pending, sinks, stand_in, states, turn,
};
use offhook::call::{Recorder, RecordingSwitch};
use offhook::config::RecordingFormat;
use offhook::crm::Sinks;
use offhook::crm::ploink::PloinkConfig;
use offhook::crm::stand_in::{Fault, Gate, StandIn};
use offhook::store::outbox::OutboxState;
use offhook::store::{CallUpdate, Store, Who};
use offhook_media::RecordFrame;
use offhook_media::wav::named_bytes;
use serde_json::json;
use tempfile::tempdir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What a child process is told to do, and where.
const ROLE: &str = "OFFHOOK_TEST_ROLE";
const FOLDER: &str = "OFFHOOK_TEST_FOLDER";
const CRM: &str = "OFFHOOK_TEST_CRM";

/// Starts this test binary again as a switch that will be killed.
fn start_child(role: &str, folder: &Path, crm: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_switch_that_will_be_killed", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .env(CRM, crm)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

/// Returns the next thing that the child says after a `>`.
fn heard(output: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if let Some((_, said)) = line.trim_end().split_once('>') {
            return Some(said.to_owned());
        }
        line.clear();
    }
    None
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The part of the tests below that dies; on its own it does nothing.
#[tokio::test]
async fn a_switch_that_will_be_killed() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let folder = std::env::var(FOLDER).unwrap();
    if role == "recording" {
        record(folder.as_ref());
        std::future::pending::<()>().await;
    }
    let store = open(folder.as_ref()).await;
    let crm = PloinkConfig {
        base_url: std::env::var(CRM).unwrap(),
        ..PloinkConfig::default()
    };
    let sinks = Sinks::new(Some(crm)).unwrap();
    match role.as_str() {
        "talking" => talk(&store).await,
        "delivering" => {
            finish(&store, &sinks, &finished("+12025550123", "Ada", "", 0)).await;
            delivery(&store, &sinks)
                .run(|| at(100), CancellationToken::new())
                .await;
        }
        _ => {
            store
                .recover(|call, booked| sinks.plan_finished(call, booked))
                .await
                .unwrap();
            let delivery = delivery(&store, &sinks);
            tokio::spawn(delivery.run(|| at(1_000_000), CancellationToken::new()));
            for number in 0.. {
                let mut call = finished(&format!("+1202555{number:04}"), "Ada", "", number);
                call.turns
                    .push(turn(Who::Caller, &"word ".repeat(40), number));
                finish(&store, &sinks, &call).await;
                println!(">{}", call.id);
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Ten and a half seconds of a call that goes on.
fn record(folder: &Path) {
    let recorder = Recorder::start(folder, RecordingFormat::Wav).unwrap();
    let mut sink = recorder
        .record(folder.join("call.wav"), RecordingSwitch::new(true))
        .unwrap();
    for number in 0..525 {
        sink.record(&RecordFrame {
            rate_hz: 8_000,
            position: number * RecordFrame::SAMPLES as u64,
            local: [-7; RecordFrame::SAMPLES],
            remote: [7; RecordFrame::SAMPLES],
        });
    }
    std::mem::forget(sink);
    println!(">recorded");
}

#[test]
fn a_recording_that_was_killed_plays_to_its_last_second() {
    let folder = tempdir().unwrap();
    let (child, mut output) = start_child("recording", folder.path(), "none");
    assert_eq!(heard(&mut output).unwrap(), "recorded");
    let path = folder.path().join("call.wav");
    // The call is silent from here on as far as the recorder knows, and nothing ends it: within the
    // second all of it is named.
    while std::fs::read(&path).map_or(0, |file| named_bytes(&file).unwrap_or(0)) < 336_044 {
        std::thread::yield_now();
    }
    kill(child);
    let wav = hound::WavReader::open(&path).unwrap();
    assert_eq!((wav.spec().channels, wav.duration()), (2, 84_000));
    let sound: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
    assert!(sound.chunks(2).all(|parties| parties == [7, -7]));
}

/// A call up to its third turn.
async fn talk(store: &Store) {
    let mut call = incoming("+12025550123", 0);
    store.insert_call(call.clone()).await.unwrap();
    call.variables.insert("caller_name".into(), json!("Ada"));
    call.variables
        .insert("caller_email".into(), json!("ada@example.com"));
    let update = CallUpdate {
        answered_at: Some(at(1)),
        variables: Some(call.variables.clone()),
        ..CallUpdate::default()
    };
    store.update_call(call.id, update, at(1)).await.unwrap();
    store
        .append_turn(call.id, 0, turn(Who::Agent, "Hello?", 1), at(1))
        .await
        .unwrap();
    store
        .append_turn(call.id, 1, turn(Who::Caller, "I am Ada.", 4), at(4))
        .await
        .unwrap();
    store
        .book_appointment(appointment(&call), Vec::new())
        .await
        .unwrap();
    store
        .append_turn(call.id, 2, turn(Who::Agent, "Booked.", 9), at(11))
        .await
        .unwrap();
    println!(">{}", call.id);
}

#[tokio::test]
async fn a_call_that_was_killed_reaches_the_crm_with_what_was_said_so_far() {
    let folder = tempdir().unwrap();
    let crm = stand_in().await;
    let (child, mut output) = start_child("talking", folder.path(), &crm.base_url());
    let call: Uuid = heard(&mut output).unwrap().parse().unwrap();
    kill(child);

    let store = open(folder.path()).await;
    let sinks = sinks(&crm);
    let ended = store
        .recover(|call, booked| sinks.plan_finished(call, booked))
        .await
        .unwrap();
    assert_eq!(ended.len(), 1);
    delivery(&store, &sinks)
        .deliver_due(at(1_000_000))
        .await
        .unwrap();
    let transcript = "Agent: Hello?\nCaller: I am Ada.\nAgent: Booked.";
    let log = json!({"phone": "+12025550123", "transcript": transcript, "duration": 10,
        "outcome": "switch restarted", "contactId": 1});
    assert_eq!(bodies(&crm, CALL_LOG), [log]);
    assert_eq!(crm.contacts()[0]["email"], "ada@example.com");
    assert_eq!(bodies(&crm, BOOK).len(), 1);
    assert!(
        states(&store, call)
            .await
            .iter()
            .all(|(_, s)| *s == OutboxState::Delivered)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_killed_within_a_delivery_takes_it_up_again_and_doubles_nothing() {
    let folder = tempdir().unwrap();
    let crm = stand_in().await;
    let gate = Gate::closed();
    crm.fail_next(
        CONTACTS,
        [Fault::Pass, Fault::Pass, Fault::Hold(gate.clone())],
    );
    let (child, _output) = start_child("delivering", folder.path(), &crm.base_url());
    crm.arrived(3).await;
    kill(child);
    gate.open();

    let store = open(folder.path()).await;
    let sinks = sinks(&crm);
    delivery(&store, &sinks).deliver_due(at(200)).await.unwrap();
    let keys: Vec<_> = crm
        .requests_to("POST", CONTACTS)
        .into_iter()
        .map(|request| request.headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    assert_eq!(crm.contacts().len(), 1);
    assert_eq!(bodies(&crm, CALL_LOG).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_finished_call_is_lost_or_doubled_over_many_kills() {
    let folder = tempdir().unwrap();
    // Every request is looked at afterwards, so none may be forgotten.
    let any = ([127, 0, 0, 1], 0).into();
    let crm = StandIn::start_remembering(any, usize::MAX).await.unwrap();
    let mut finished_calls = Vec::new();
    // More of them: OFFHOOK_TEST_KILLS=1000 cargo test --test kill
    let kills = std::env::var("OFFHOOK_TEST_KILLS").map_or(12, |kills| kills.parse().unwrap());
    for round in 0..kills {
        let (child, mut output) = start_child("busy", folder.path(), &crm.base_url());
        // Each time at another point: by calls that ended, then by requests that came.
        for _ in 0..round % 5 {
            finished_calls.push(heard(&mut output).unwrap());
        }
        crm.arrived(crm.count() + round % 7).await;
        kill(child);
        while let Some(call) = heard(&mut output) {
            finished_calls.push(call);
        }
    }
    let store = open(folder.path()).await;
    let sinks = sinks(&crm);
    store
        .recover(|call, booked| sinks.plan_finished(call, booked))
        .await
        .unwrap();
    let mut delivery = delivery(&store, &sinks);
    let mut now = at(2_000_000);
    while let Some(next) = delivery.deliver_due(now).await.unwrap() {
        now = next;
    }
    let mut logged: Vec<String> = crm
        .requests_to("POST", CALL_LOG)
        .into_iter()
        .filter(|request| !request.replayed && request.status == Some(201))
        .map(|request| {
            request.headers["idempotency-key"]
                .split(':')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    logged.sort_unstable();
    let distinct = {
        let mut distinct = logged.clone();
        distinct.dedup();
        distinct
    };
    assert_eq!(distinct, logged, "logged twice");
    assert!(finished_calls.len() > 12);
    for call in &finished_calls {
        assert!(
            logged.binary_search(call).is_ok(),
            "{call} was finished but not logged"
        );
    }
    assert_eq!(pending(&store).await, 0);
    let mut numbers: Vec<_> = crm
        .contacts()
        .iter()
        .map(|contact| contact["phone"].to_string())
        .collect();
    numbers.sort_unstable();
    let contacts = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), contacts, "a contact was doubled");
}
