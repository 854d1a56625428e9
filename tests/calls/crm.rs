//! A call while the CRM is dead.

use std::net::SocketAddr;

use offhook::crm::stand_in::{Fault, Gate, StandIn};
use offhook::store::outbox::OutboxState;
use offhook::store::{Options, Store};
use serde_json::json;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::caller::Caller;
use crate::rig::{Switch, heard_words, voice};

pub(crate) const FLOW: &str = r#"
name = "reception"
start = "ask"

[nodes.ask]
type = "ask"
say = "Hello, what can I do for you?"
slot = "need"
grammar = "text"
next = "done"

[nodes.done]
type = "end"
say = "Thank you, I have noted that."
outcome = "noted"
"#;

/// A CRM that takes connections and closes them, and counts how often that happened.
struct DeadCrm {
    address: SocketAddr,
    tried: watch::Receiver<u32>,
    task: JoinHandle<()>,
}

impl DeadCrm {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, tried) = watch::channel(0);
        let task = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.send_modify(|count| *count += 1);
            }
        });
        Self {
            address,
            tried,
            task,
        }
    }

    async fn tried_again(&mut self, times: u32) {
        let before = *self.tried.borrow();
        let reached = self.tried.wait_for(|tried| *tried >= before + times);
        reached.await.unwrap();
    }

    /// Comes back to life on the same port.
    async fn revive(self) -> StandIn {
        self.task.abort();
        // Its listener is gone once the task is.
        assert!(self.task.await.unwrap_err().is_cancelled());
        StandIn::start(self.address).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_crm_holds_no_call_up_and_hears_of_it_once_when_it_is_back() {
    let mut crm = DeadCrm::start().await;
    let config = format!("[crm.ploink]\nbase_url = \"http://{}\"\n", crm.address);
    let switch = Switch::start(FLOW, &config).await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("what can I do for you").await;
    caller.say(&voice("weather_question.wav"));
    let heard = heard_words(&caller.until_over().await);
    assert!(heard.contains("thank you i have noted that"), "{heard}");
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "noted", "{record:#}");

    // The first connection is the first attempt, the second comes after a pause.
    crm.tried_again(2).await;
    let outbox = switch.json("/v1/outbox").await;
    let rows = outbox["deliveries"].as_array().unwrap();
    assert!(rows.len() >= 2, "{outbox:#}");
    assert!(
        rows.iter()
            .all(|row| row["state"] != "dead" && row["state"] != "delivered")
    );
    let tried = rows.iter().find(|row| row["attempts"] != 0).unwrap();
    assert!(tried["last_error"].is_string(), "{tried:#}");
    let (next, updated) = (&tried["next_attempt_at"], &tried["created_at"]);
    assert!(next.as_str() > updated.as_str(), "{tried:#}");

    let crm = crm.revive().await;
    let mut answered = crm.subscribe();
    while crm.requests_to("POST", "/api/voice/call-log").is_empty() {
        answered.recv().await.unwrap();
    }
    let id = record["id"].as_str().unwrap().parse().unwrap();
    let folder = switch.stop().await;
    let logs = crm.requests_to("POST", "/api/voice/call-log");
    assert_eq!(logs.len(), 1, "{logs:#?}");
    assert_eq!(logs[0].body["outcome"], "noted");
    let transcript = logs[0].body["transcript"].as_str().unwrap();
    assert!(
        transcript.to_lowercase().contains("weather"),
        "{transcript}"
    );
    assert_eq!(crm.contacts().len(), 1);
    let url = format!(
        "sqlite://{}",
        folder.path().join("data/offhook.db").display()
    );
    let store = Store::open(&url, Options::default()).await.unwrap();
    let rows = store.outbox(None, Some(id), None, 100).await.unwrap().items;
    let done = |row: &offhook::store::outbox::OutboxRow| row.state == OutboxState::Delivered;
    assert!(rows.iter().all(done), "{rows:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_in_flight_when_the_switch_stops_is_settled_before_the_store_closes() {
    let crm = StandIn::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let gate = Gate::closed();
    crm.fail_next("/api/voice/call-log", [Fault::Hold(gate.clone())]);
    // Longer than the switch waits for what is under way before it stops.
    let config = format!(
        "[crm.ploink]\nbase_url = \"{}\"\ntimeout_ms = 60000\n",
        crm.base_url()
    );
    let switch = Switch::start(FLOW, &config).await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    gate.reached().await;
    // The CRM answers only once the switch has told the outbox to stop.
    let stop = switch.stop.clone();
    let opener = tokio::spawn(async move {
        stop.cancelled().await;
        gate.open();
    });
    let folder = switch.stop().await;
    opener.await.unwrap();
    let url = format!(
        "sqlite://{}",
        folder.path().join("data/offhook.db").display()
    );
    let database = sqlx::sqlite::SqliteConnectOptions::new().filename(&url["sqlite://".len()..]);
    let mut database = sqlx::ConnectOptions::connect(&database).await.unwrap();
    // Read as it lies: another `Store` would take up again what it finds in flight.
    let states: Vec<(String, String)> =
        sqlx::query_as("SELECT kind, state FROM outbox WHERE call_id = ?1")
            .bind(record["id"].as_str().unwrap())
            .fetch_all(&mut database)
            .await
            .unwrap();
    let settled = ("call-log".to_owned(), "delivered".to_owned());
    assert!(states.contains(&settled), "{states:?}");
}

const CONTACTS: &str = "/api/mautic/contacts";

/// Greets who is known, and notes what its clock says.
const GREETER: &str = r#"
name = "greeter"
start = "clock"
time_zone = "Asia/Kathmandu"

[nodes.clock]
type = "say"
say = ""
set = { here = "{{current_time}}", there = "{{current_time_Asia/Kathmandu}}" }
next = "greet"

[nodes.greet]
type = "end"
say = "Hello {{first_name | stranger}}, nice to hear from you."
outcome = "greeted"
"#;

/// A CRM that knows the caller.
async fn crm_that_knows_the_caller() -> StandIn {
    offhook::tls::install();
    let crm = StandIn::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let ada = json!({ "firstname": "Ada", "lastname": "Lovelace", "phone": "+12025550143" });
    let url = format!("{}{CONTACTS}", crm.base_url());
    let made = reqwest::Client::new().post(url).json(&ada).send().await;
    assert_eq!(made.unwrap().status(), 201);
    crm
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_looked_up_before_the_answer_and_greeted_by_the_crms_name() {
    let crm = crm_that_knows_the_caller().await;
    let config = format!(
        "[crm.ploink]\nbase_url = \"{}\"\nlook_up_timeout_ms = 2000\n",
        crm.base_url()
    );
    let switch = Switch::start(GREETER, &config).await;
    let mut events = switch.events();
    let gate = Gate::closed();
    crm.fail_next(CONTACTS, [Fault::Hold(gate.clone())]);
    let uri = switch.uri.clone();
    let dialling = tokio::spawn(async move { Caller::dial(&uri).await });
    let ringing = events.until("call.ringing", |_| true).await;
    crm.arrived(2).await;
    let id = ringing.call_id.clone().unwrap();
    let record = switch.json(&format!("/v1/calls/{id}")).await;
    assert_eq!(record["state"], "ringing", "the answer waits for the CRM");
    gate.open();
    let caller = dialling.await.unwrap().unwrap();
    let heard = heard_words(&caller.until_over().await);
    assert!(heard.contains("nice to hear from you"), "{heard}");
    let record = switch.record(&mut events).await;
    assert_eq!(
        record["turns"][0]["text"],
        "Hello Ada, nice to hear from you."
    );
    let variables = &record["variables"];
    assert_eq!(variables["contact_id"], 1, "{variables:#}");
    assert_eq!(
        variables["here"], variables["there"],
        "the flow's own time zone"
    );

    // A CRM that has become slow: what it said the last time counts.
    let mut answered = crm.subscribe();
    while crm.requests_to("POST", "/api/voice/call-log").is_empty() {
        answered.recv().await.unwrap();
    }
    crm.fail_next(CONTACTS, [Fault::Stall]);
    let caller = Caller::dial(&switch.uri).await.unwrap();
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(
        record["turns"][0]["text"],
        "Hello Ada, nice to hear from you."
    );
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_ended_while_the_crm_is_asked_never_rings() {
    let crm = StandIn::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let config = format!(
        "[crm.ploink]\nbase_url = \"{}\"\nlook_up_timeout_ms = 10000\n",
        crm.base_url()
    );
    let switch = Switch::start(GREETER, &config).await;
    let mut events = switch.events();
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = format!("sip:+12025550177@{}", phone.local_addr().unwrap());
    let post = async || {
        crm.fail_next(CONTACTS, [Fault::Stall]);
        let created: serde_json::Value = switch.post_call(&to).await.json().await.unwrap();
        created["id"].as_str().unwrap().to_owned()
    };
    let id = post().await;
    assert_eq!(switch.delete_call(&id).await, 202);
    let record = switch.record(&mut events).await;
    assert_eq!(
        (record["id"].as_str(), &record["state"]),
        (Some(&*id), &json!("canceled"))
    );

    let id = post().await;
    let folder = switch.stop().await;
    let url = format!(
        "sqlite://{}",
        folder.path().join("data/offhook.db").display()
    );
    let store = Store::open(&url, Options::default()).await.unwrap();
    let call = store.call(id.parse().unwrap()).await.unwrap().unwrap();
    assert!(call.ended_at.is_some(), "{call:?}");
    let mut packet = [0; 2048];
    assert!(phone.try_recv(&mut packet).is_err(), "it rang");
}
