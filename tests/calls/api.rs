//! The API of the real switch: its answers are what the description says, and a request that was
//! taken on stays so.

use offhook::store::outbox::{Delivered, OutboxItem};
use offhook::store::{Appointment, Options};
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::conforms::conforms;
use crate::crm::FLOW;
use crate::records;
use crate::rig::Switch;

/// A trunk of each kind, none of which is there.
const TRUNKS: &str = r#"
[[trunk]]
name = "carrier"
kind = "peer"
host = "127.0.0.9"
caller_id = "+12025550100"
[[trunk]]
name = "pbx"
kind = "register"
host = "127.0.0.2"
username = "offhook"
password = "secret"
[[trunk]]
name = "in"
kind = "inbound"
networks = ["192.0.2.0/24"]
"#;

/// Gives a call an appointment and a delivery that is not due for ages.
async fn leave_traces(switch: &Switch, id: &str) {
    let call_id = id.parse().unwrap();
    let record = switch.services.store.call(call_id).await.unwrap().unwrap();
    let far = record.started_at + jiff::SignedDuration::from_hours(1);
    let appointment = Appointment {
        id: uuid::Uuid::now_v7(),
        call_id,
        date_time: "2036-03-04T15:00:00-05:00".into(),
        kind: "discovery-call".into(),
        notes: "wants a quote".into(),
        created_at: record.started_at,
    };
    let item = OutboxItem {
        call_id,
        kind: "call-log".into(),
        sink: "ploink".into(),
        payload: json!({}),
        idempotency_key: format!("{id}:log"),
        depends_on: None,
        needs_result: false,
        phone_key: None,
        email_key: None,
        due_at: far,
    };
    let booked = switch
        .services
        .store
        .book_appointment(appointment, vec![item]);
    booked.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_the_switch_is_as_its_description_says() {
    let switch = Switch::start(FLOW, TRUNKS).await;
    let id = records::call(&switch).await;
    leave_traces(&switch, &id).await;
    let document = switch.json("/openapi.json").await;
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let answer = switch.json(&path.replace("{id}", &id)).await;
        if let Err(wrong) = conforms(&document, schema, &answer) {
            panic!("{path}: {wrong} in {answer:#}");
        }
        let lists = answer.as_object().unwrap().values();
        let empty = |list: &Value| list.as_array().is_some_and(Vec::is_empty);
        assert!(
            !lists.into_iter().any(empty),
            "{path} proves nothing: {answer}"
        );
        seen += 1;
    }
    assert!(seen >= 10, "{seen} paths");
    let listed = switch.json("/v1/calls").await;
    assert_eq!(listed["calls"][0]["id"], id.as_str());
    assert!(listed["calls"][0].get("turns").is_none(), "{listed:#}");

    let events = switch.get(&format!("/v1/calls/{id}/events")).await;
    let events = events.text().await.unwrap();
    let events = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let schema = json!({ "$ref": "#/components/schemas/Event" });
    for event in events {
        let event: Value = serde_json::from_str(event).unwrap();
        conforms(&document, &schema, &event).unwrap();
    }
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_delivery_that_was_given_up_is_tried_again() {
    let switch = Switch::start(FLOW, "").await;
    let id = records::call(&switch).await;
    leave_traces(&switch, &id).await;
    let store = &switch.services.store;
    let row = store.outbox(None, None, None, 1).await.unwrap().items[0].clone();
    let retry = async |id: &str| {
        let path = format!("/v1/outbox/{id}/retry");
        let answer = switch.post(&path, &json!({}), None).await;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        (status, body["code"].as_str().map(str::to_owned))
    };
    let number = row.id.to_string();
    assert_eq!(retry("4711").await, (404, Some("not-found".into())));
    assert_eq!(retry(&number).await, (409, Some("conflict".into())));
    let dead = Delivered::Dead {
        error: "refused".into(),
    };
    let settled = store.settle_outbox(row.id, 1, dead, row.created_at);
    settled.await.unwrap();
    assert_eq!(retry(&number).await, (202, None));
    switch.stop().await;
}

/// Answers the INVITE that waits on a socket with 486.
async fn be_busy(phone: &UdpSocket) {
    let mut buffer = [0; 4096];
    let (length, from) = phone.recv_from(&mut buffer).await.unwrap();
    let invite = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let mut answer = "SIP/2.0 486 Busy Here\r\n".to_owned();
    for line in invite.lines() {
        let name = line.split(':').next().unwrap_or_default();
        if ["Via", "From", "Call-ID", "CSeq"].contains(&name) {
            answer += &format!("{line}\r\n");
        } else if name == "To" {
            answer += &format!("{line};tag=phone\r\n");
        }
    }
    answer += "Content-Length: 0\r\n\r\n";
    phone.send_to(answer.as_bytes(), from).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_is_answered_also_when_no_other_call_can_be_taken() {
    let limits = "[limits]\nmax_calls = 1\n";
    let switch = Switch::start_with(FLOW, limits, Options::default()).await;
    let mut events = switch.events();
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = format!("sip:someone@{}", phone.local_addr().unwrap());
    let body = json!({ "to": to, "agent": "test", "from": "+12025550100" });
    let first = switch.post("/v1/calls", &body, Some("order-7")).await;
    assert_eq!(first.status(), 202);
    let first: Value = first.json().await.unwrap();

    let other = switch.post("/v1/calls", &body, Some("order-8")).await;
    assert_eq!(other.status(), 503, "the only place is taken");
    let again = switch.post("/v1/calls", &body, Some("order-7")).await;
    assert_eq!(again.status(), 202);
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    let changed = json!({ "to": to, "agent": "test" });
    let changed = switch.post("/v1/calls", &changed, Some("order-7")).await;
    assert_eq!(changed.status(), 422);

    be_busy(&phone).await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["id"], first["id"]);
    assert_eq!(
        (&record["state"], &record["from"]),
        (&json!("busy"), &json!("+12025550100"))
    );
    switch.stop().await;
}
