use serde_json::json as value;
use sqlx::Row as _;

use super::super::{Database, migrate};
use super::*;
use crate::store::Options;
use crate::store::record::{CallState, Direction};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn ringing() -> CallRecord {
    let (from, to) = ("+12025550123".to_owned(), "+12025550100".to_owned());
    let state = CallState::Ringing;
    CallRecord::new(Uuid::now_v7(), Direction::Inbound, from, to, state, at(0))
}

fn ended(call: &CallRecord, outcome: &str) -> CallRecord {
    CallRecord {
        state: CallState::Completed,
        ended_at: Some(at(9)),
        outcome: Some(outcome.to_owned()),
        ..call.clone()
    }
}

fn to_tell(call: &CallRecord, key: &str) -> OutboxItem {
    OutboxItem {
        call_id: call.id,
        kind: "call-log".to_owned(),
        sink: "ploink".to_owned(),
        payload: value!({}),
        idempotency_key: key.to_owned(),
        depends_on: None,
        needs_result: false,
        phone_key: None,
        email_key: None,
        due_at: at(9),
    }
}

async fn open(folder: &std::path::Path) -> SqliteConnection {
    let url = format!("sqlite://{}", folder.join("calls.db").display());
    let database = Database::new(&url, &Options::default()).unwrap();
    database.create().unwrap();
    let patience = std::time::Duration::from_secs(1);
    let mut conn = database.writer(patience).await.unwrap();
    migrate(&mut conn).await.unwrap();
    conn
}

async fn texts(conn: &mut SqliteConnection, sql: &'static str) -> Vec<String> {
    let rows = sqlx::query(sql).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_call_that_begins_changes_and_ends_in_one_transaction_is_as_its_first_end_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = open(folder.path()).await;
    let (run, call, other) = (Uuid::now_v7(), ringing(), ringing());
    let answered = CallUpdate {
        state: Some(CallState::InProgress),
        answered_at: Some(at(2)),
        ..CallUpdate::default()
    };
    let (first, second) = (ended(&call, "booked"), ended(&call, "lost"));
    let (told, not_told) = (to_tell(&call, "first"), to_tell(&call, "second"));
    let mut gathered = Gathered::default();
    gathered.begin(run, &call);
    gathered.change(call.id, &answered, at(2));
    gathered.end(run, &first, std::slice::from_ref(&told));
    gathered.begin(run, &other);
    gathered.end(run, &second, std::slice::from_ref(&not_told));
    gathered.change(call.id, &answered, at(10));
    gathered.keep(&mut conn).await.unwrap();

    let kept = "SELECT outcome || ' ' || state FROM calls WHERE ended_ms IS NOT NULL";
    assert_eq!(texts(&mut conn, kept).await, ["booked completed"]);
    let open = "SELECT id FROM calls WHERE ended_ms IS NULL";
    assert_eq!(texts(&mut conn, open).await, [other.id.to_string()]);
    let outbox = "SELECT idempotency_key FROM outbox";
    assert_eq!(texts(&mut conn, outbox).await, ["first"]);
}

#[tokio::test]
async fn changes_of_a_call_are_taken_together_and_the_latest_word_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = open(folder.path()).await;
    let call = ringing();
    let known = |name: &str| CallUpdate {
        variables: value!({ "name": name }).as_object().cloned(),
        ..CallUpdate::default()
    };
    let changes = [
        known("Ada"),
        CallUpdate {
            trunk: Some("twilio".to_owned()),
            ..CallUpdate::default()
        },
        known("Bob"),
    ];
    let mut gathered = Gathered::default();
    gathered.begin(Uuid::now_v7(), &call);
    for change in &changes {
        gathered.change(call.id, change, at(3));
    }
    gathered.keep(&mut conn).await.unwrap();
    let kept = "SELECT trunk || ' ' || variables || ' ' || state FROM calls";
    assert_eq!(
        texts(&mut conn, kept).await,
        [r#"twilio {"name":"Bob"} ringing"#]
    );
}
