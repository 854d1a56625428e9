//! What the tests of store and CRM share.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part"
)]

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use offhook::crm::ploink::PloinkConfig;
use offhook::crm::stand_in::StandIn;
use offhook::crm::{Delivery, DeliveryOptions, Sinks};
use offhook::store::outbox::{OutboxItem, OutboxState};
use offhook::store::{
    Appointment, CallRecord, CallState, Direction, EventRecord, Options, Store, TurnLatency,
    TurnRecord, Who,
};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use uuid::Uuid;

pub const CONTACTS: &str = "/api/mautic/contacts";
pub const SEGMENTS: &str = "/api/mautic/segments";
pub const CALL_LOG: &str = "/api/voice/call-log";
pub const BOOK: &str = "/api/appointments/book";

/// A moment, so many seconds after the tests' beginning of time.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + seconds).unwrap()
}

/// Options under which only the test decides when a spill file is drained.
pub fn options() -> Options {
    Options {
        busy_timeout: Duration::from_millis(1),
        spill_bytes: 1 << 20,
        drain_every: Duration::from_secs(3600),
        ..Options::default()
    }
}

pub async fn open(folder: &Path) -> Store {
    open_with(folder, options()).await
}

pub async fn open_with(folder: &Path, options: Options) -> Store {
    Store::open(&url(folder), options).await.unwrap()
}

pub fn url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("data/offhook.db").display())
}

pub fn turn(who: Who, text: &str, second: i64) -> TurnRecord {
    TurnRecord {
        who,
        text: text.into(),
        heard_text: None,
        started_at: at(second),
        latency: TurnLatency {
            voice_to_voice_ms: Some(431),
            ..TurnLatency::default()
        },
        interrupted: false,
    }
}

/// A call that has just come in.
pub fn incoming(from: &str, second: i64) -> CallRecord {
    let mut call = CallRecord::new(
        Uuid::now_v7(),
        Direction::Inbound,
        from,
        "+12025550100",
        CallState::Ringing,
        at(second),
    );
    call.agent = Some("lead-qualification".into());
    call
}

/// A call that was talked on and has ended.
pub fn finished(from: &str, name: &str, email: &str, second: i64) -> CallRecord {
    let mut call = incoming(from, second);
    call.state = CallState::Completed;
    call.answered_at = Some(at(second + 1));
    call.ended_at = Some(at(second + 43));
    call.outcome = Some("qualified".into());
    for (key, value) in [("caller_name", name), ("caller_email", email)] {
        if !value.is_empty() {
            call.variables.insert(key.into(), json!(value));
        }
    }
    call.turns = vec![
        turn(Who::Agent, "Hello, who is there?", second + 1),
        turn(Who::Caller, &format!("This is {name}."), second + 5),
    ];
    call
}

/// Stores a call as it was while it went on.
pub async fn begin(store: &Store, call: &CallRecord) {
    let running = CallRecord {
        state: CallState::InProgress,
        ended_at: None,
        outcome: None,
        turns: Vec::new(),
        ..call.clone()
    };
    store.insert_call(running).await.unwrap();
}

pub fn appointment(call: &CallRecord) -> Appointment {
    Appointment {
        id: Uuid::now_v7(),
        call_id: call.id,
        date_time: "2026-03-04T15:00:00-05:00".into(),
        kind: "discovery-call".into(),
        notes: "wants a quote".into(),
        created_at: call.started_at,
    }
}

pub async fn stand_in() -> StandIn {
    StandIn::start(([127, 0, 0, 1], 0).into()).await.unwrap()
}

pub fn config(stand_in: &StandIn) -> PloinkConfig {
    PloinkConfig {
        base_url: stand_in.base_url(),
        ..PloinkConfig::default()
    }
}

pub fn sinks(stand_in: &StandIn) -> Sinks {
    Sinks::new(Some(config(stand_in))).unwrap()
}

pub fn delivery(store: &Store, sinks: &Sinks) -> Delivery {
    Delivery::new(store.clone(), sinks.clone(), DeliveryOptions::default())
}

/// Ends a call and leaves what is to be told of it.
pub async fn finish(store: &Store, sinks: &Sinks, call: &CallRecord) {
    let appointments = store.call_appointments(call.id).await.unwrap();
    let items = sinks.plan_finished(call, &appointments);
    store.finish_call(call.clone(), items).await.unwrap();
}

/// The states of a call's rows by their kind.
pub async fn states(store: &Store, call: Uuid) -> Vec<(String, OutboxState)> {
    let rows = store.outbox(None, Some(call), None, 100).await.unwrap();
    rows.items
        .into_iter()
        .map(|row| (row.kind, row.state))
        .collect()
}

pub async fn pending(store: &Store) -> u64 {
    store.outbox_depth().await.unwrap().pending
}

pub fn bodies(stand_in: &StandIn, path: &str) -> Vec<Value> {
    stand_in
        .requests_to("POST", path)
        .into_iter()
        .map(|request| request.body)
        .collect()
}

pub fn item(call: &CallRecord, step: &str) -> OutboxItem {
    OutboxItem {
        call_id: call.id,
        kind: step.into(),
        sink: "test".into(),
        payload: json!({ "step": step }),
        idempotency_key: format!("{}:{step}", call.id),
        depends_on: None,
        needs_result: false,
        phone_key: None,
        email_key: None,
        due_at: at(0),
    }
}

pub fn event(call: Option<Uuid>, kind: &str) -> EventRecord {
    EventRecord {
        id: 0,
        call_id: call,
        kind: kind.into(),
        at: at(0),
        data: json!({"n": 1}),
    }
}

/// Keeps the database from being written, as another process's long transaction does.
pub async fn lock(store: &Store) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(store.path());
    let mut other = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    other
}

pub async fn keys(store: &Store, call: &CallRecord) -> Vec<String> {
    let rows = store.outbox(None, Some(call.id), None, 100).await.unwrap();
    rows.items
        .into_iter()
        .map(|row| row.idempotency_key)
        .collect()
}
