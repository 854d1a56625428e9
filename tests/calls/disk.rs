//! A disk that is full in the middle of a call, and one that is slow at its beginning.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offhook::call::dial::DialFailure;
use offhook::crm::stand_in::StandIn;
use offhook::store::{EventFilter, Health, Options};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::caller::Caller;
use crate::desk::Desk;
use crate::doors::until_options_says;
use crate::peer::LISTENER;
use crate::rig::{Switch, heard_words, voice};

/// The flow notes something long after the first answer: more than a full database has room for.
fn flow() -> String {
    format!(
        r#"
name = "reception"
start = "ask"

[nodes.ask]
type = "ask"
say = "Hello, what can I do for you?"
slot = "need"
grammar = "text"
next = "note"

[nodes.note]
type = "say"
say = "Let me write that down."
set = {{ note = "{}" }}
next = "more"

[nodes.more]
type = "ask"
say = "What else can I do?"
slot = "more"
grammar = "text"
next = "done"

[nodes.done]
type = "end"
say = "Thank you, we will call you back tomorrow."
outcome = "noted"
"#,
        "word ".repeat(6_000)
    )
}

const DATABASE_BYTES: u64 = 512 << 10;

/// What else lies on the disk, and how full it makes it.
struct OtherFiles(SqliteConnection);

impl OtherFiles {
    /// Fills the disk.
    async fn fill(switch: &Switch) -> Self {
        let options = SqliteConnectOptions::new().filename(switch.services.store.path());
        let mut database = options.connect().await.unwrap();
        let fill = "CREATE TABLE other_files AS SELECT zeroblob(524288)";
        sqlx::query(fill).execute(&mut database).await.unwrap();
        Self(database)
    }

    /// Makes room.
    async fn remove(mut self) {
        let drop = sqlx::query("DROP TABLE other_files");
        drop.execute(&mut self.0).await.unwrap();
        self.0.close().await.unwrap();
    }
}

/// Another call is refused over SIP and over the API, and both say when to come again.
async fn assert_refuses_new_calls(switch: &Switch) {
    let refused = Caller::dial(&switch.uri).await.map(|_| ()).unwrap_err();
    let DialFailure::Refused {
        status: 503,
        retry_after_s: Some(1..),
        ..
    } = refused
    else {
        panic!("{refused:?}")
    };
    until_options_says(switch, "503").await;
    let refused = switch.post_call("sip:someone@127.0.0.1").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let body = serde_json::Value::Null;
    let refused = switch.post("/v1/outbox/1/retry", &body, None).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let readiness = switch.get("/readyz").await;
    assert_eq!(readiness.status(), 503);
    let said = readiness.text().await.unwrap();
    assert!(said.contains("full"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_in_a_call_costs_new_calls_and_no_record() {
    let crm = StandIn::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let config = format!("[crm.ploink]\nbase_url = \"{}\"\n", crm.base_url());
    let options = Options {
        max_database_bytes: Some(DATABASE_BYTES),
        ..Options::default()
    };
    let switch = Switch::start_with(&flow(), &config, options).await;
    let mut health = switch.services.store.watch_health();
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("what can I do for you").await;
    let other_files = OtherFiles::fill(&switch).await;
    caller.say(&voice("weather_question.wav"));
    let spilling = |health: &Health| matches!(health, Health::Spilling { .. });
    health.wait_for(spilling).await.unwrap();
    assert_refuses_new_calls(&switch).await;

    events.agent_said("What else can I do").await;
    caller.say(&voice("weather_question.wav"));
    let heard = heard_words(&caller.until_over().await);
    assert!(heard.contains("we will call you back tomorrow"), "{heard}");
    let ended = events.until("call.ended", |_| true).await;
    assert!(spilling(&switch.services.store.health()));
    assert_eq!(crm.requests_to("POST", "/api/voice/call-log").len(), 0);

    other_files.remove().await;
    health
        .wait_for(|health| *health == Health::Ready)
        .await
        .unwrap();
    until_options_says(&switch, "200").await;
    let id = ended.call_id.clone().unwrap();
    let record = switch.json(&format!("/v1/calls/{id}")).await;
    assert_eq!(record["state"], "completed", "{record:#}");
    assert_eq!(record["outcome"], "noted", "{record:#}");
    let who = |turn: &serde_json::Value| turn["who"].as_str().unwrap().to_owned();
    let turns: Vec<String> = record["turns"]
        .as_array()
        .unwrap()
        .iter()
        .map(who)
        .collect();
    assert_eq!(turns, ["agent", "caller", "agent", "caller", "agent"]);
    let kept = EventFilter {
        call_id: id.parse().ok(),
        after: 0,
    };
    let events = switch.services.store.events(&kept, 100).await.unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "call.turn").count(), 5);
    assert_eq!(kinds.last(), Some(&"call.ended"));
    let mut answered = crm.subscribe();
    while crm.requests_to("POST", "/api/voice/call-log").is_empty() {
        answered.recv().await.unwrap();
    }
    assert!(
        Caller::dial(&switch.uri).await.is_ok(),
        "calls are taken again"
    );
    switch.stop().await;
    assert_eq!(crm.requests_to("POST", "/api/appointments/book").len(), 0);
    let of_call = |request: &offhook::crm::stand_in::Recorded| {
        request.headers["idempotency-key"].starts_with(&id)
    };
    let mut logs = crm.requests_to("POST", "/api/voice/call-log");
    logs.retain(of_call);
    assert_eq!(logs.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridged_call_rings_while_its_record_is_being_kept_and_is_answered_once_it_is() {
    let mut desk = Desk::open_at([127, 0, 0, 2].into()).await;
    let port = desk.line.sip().listeners()[0].1.port();
    let more = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {port}\n\
         networks = [\"127.0.0.2/32\"]\ncaller_id = \"+12025550100\"\n\
         [[route]]\nto = \"+44*\"\ntrunk = \"carrier\"\n"
    );
    let options = Options {
        busy_timeout: Duration::from_secs(3_600),
        ..Options::default()
    };
    let switch = Switch::start_with(LISTENER, &more, options).await;
    let mut events = switch.events();
    let database = SqliteConnectOptions::new().filename(switch.services.store.path());
    let mut writes = database.connect().await.unwrap();
    let begin = sqlx::query("BEGIN IMMEDIATE");
    begin.execute(&mut writes).await.unwrap();
    let busy = AtomicBool::new(true);
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let (caller, _called) = tokio::join!(
        async {
            let caller = Caller::dial(&uri).await.unwrap();
            assert!(!busy.load(Ordering::SeqCst), "it was answered too early");
            caller
        },
        async {
            let incoming = desk.ring().await;
            let called = desk.pick_up(*incoming).await;
            busy.store(false, Ordering::SeqCst);
            writes.close().await.unwrap();
            called
        }
    );
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "completed", "{record:#}");
    switch.stop().await;
}
