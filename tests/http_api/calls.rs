//! Calls that are placed, listed, read and ended, and what is left of them.

use offhook::http::SupervisorMode;
use serde_json::{Value, json};

use crate::support::{new_call, problem, start};

#[tokio::test]
async fn a_call_is_taken_on_and_can_be_found() {
    let api = start().await;
    let response = api.post("/v1/calls", &new_call()).await;
    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let id = response.json::<Value>().await.unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(location, format!("/v1/calls/{id}"));
    assert_eq!(api.json(&location).await["id"], id.as_str());
}

#[tokio::test]
async fn a_repeated_request_with_one_key_makes_one_call() {
    let api = start().await;
    let send = |body: Value| {
        let request = api
            .client
            .post(api.url("/v1/calls"))
            .header("Idempotency-Key", "k-1");
        async move { request.json(&body).send().await.unwrap() }
    };
    let first = send(new_call()).await;
    assert!(first.headers().get("idempotency-replayed").is_none());
    let first: Value = first.json().await.unwrap();
    let again = send(new_call()).await;
    assert_eq!(
        (
            again.status().as_u16(),
            &again.headers()["idempotency-replayed"] == "true"
        ),
        (202, true)
    );
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    let mut other = new_call();
    other["to"] = json!("+12025550124");
    assert_eq!(
        problem(send(other).await, 422).await["code"],
        "idempotency-mismatch"
    );
    let request = api
        .client
        .post(api.url("/v1/calls"))
        .header("Idempotency-Key", "");
    let response = request.json(&new_call()).send().await.unwrap();
    assert_eq!(problem(response, 400).await["field"], "Idempotency-Key");
}

#[tokio::test]
async fn calls_are_listed_in_pages_and_filtered() {
    let api = start().await;
    let ids = |page: &Value| -> Vec<String> {
        let calls = page["calls"].as_array().unwrap();
        calls
            .iter()
            .map(|call| call["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = api.json("/v1/calls?limit=2").await;
    assert_eq!(
        (ids(&first), &first["next_cursor"]),
        (vec!["c3".into(), "c2".into()], &json!("c2"))
    );
    let second = api.json("/v1/calls?limit=2&cursor=c2").await;
    assert_eq!(
        (ids(&second), &second["next_cursor"]),
        (vec!["c1".into()], &Value::Null)
    );
    let filtered = api
        .json("/v1/calls?state=completed&direction=inbound")
        .await;
    assert_eq!(ids(&filtered), ["c1"]);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("direction=up", "direction"),
        ("state=alive", "state"),
        ("stat=completed", "stat"),
        ("cursor=%27%20or%201", "cursor"),
        ("limit=1&limit=2", "limit"),
    ] {
        let refused = problem(api.get(&format!("/v1/calls?{query}")).await, 400).await;
        assert_eq!(
            (&refused["code"], &refused["field"]),
            (&json!("bad-query"), &json!(field))
        );
    }
}

#[tokio::test]
async fn a_transcript_is_json_or_text_as_asked() {
    let api = start().await;
    let transcript = api.json("/v1/calls/c1/transcript").await;
    assert_eq!(transcript["turns"][0]["heard_text"], "Hello there,");
    assert!(transcript["turns"][0].get("latency").is_none());
    let accept = |kind: &'static str| {
        let request = api
            .client
            .get(api.url("/v1/calls/c1/transcript"))
            .header("Accept", kind);
        async move { request.send().await.unwrap() }
    };
    let text = accept("text/plain").await.text().await.unwrap();
    assert_eq!(text, "agent: Hello there, —\ncaller: It is Ada.\n");
    assert_eq!(
        problem(accept("image/png").await, 406).await["code"],
        "not-acceptable"
    );
}

#[tokio::test]
async fn hanging_up_is_accepted_once() {
    let api = start().await;
    let delete = |id: &str| {
        let request = api.client.delete(api.url(&format!("/v1/calls/{id}")));
        async move { request.send().await.unwrap() }
    };
    let accepted = delete("c3").await;
    assert_eq!(accepted.status(), 202);
    assert_eq!(
        accepted.json::<Value>().await.unwrap(),
        json!({ "id": "c3" })
    );
    assert_eq!(
        problem(delete("c1").await, 409).await["code"],
        "already-ended"
    );
    problem(delete("none").await, 404).await;
}

#[tokio::test]
async fn a_supervisor_joins_a_call_and_changes_and_goes() {
    let api = start().await;
    let path = "/v1/calls/c3/supervise";
    let send = async |method: reqwest::Method, path: &str, body: Value| {
        let request = api.client.request(method, api.url(path));
        request.json(&body).send().await.unwrap()
    };
    let patch = reqwest::Method::PATCH;
    let refused = send(patch.clone(), path, json!({ "mode": "barge" })).await;
    assert_eq!(problem(refused, 409).await["code"], "conflict");
    let begun = api.post(path, &json!({ "to": "alice" })).await;
    assert_eq!(begun.status(), 202);
    assert_eq!(begun.json::<Value>().await.unwrap(), json!({ "id": "c3" }));
    let how = || api.memory.supervised.lock().unwrap().get("c3").cloned();
    assert_eq!(how(), Some(("alice".to_owned(), SupervisorMode::Listen)));
    let again = api
        .post(path, &json!({ "to": "bob", "mode": "barge" }))
        .await;
    problem(again, 409).await;
    let changed = send(patch, path, json!({ "mode": "barge" })).await;
    assert_eq!(changed.status(), 202);
    assert_eq!(how(), Some(("alice".to_owned(), SupervisorMode::Barge)));
    let ended = api.client.delete(api.url(path)).send().await.unwrap();
    assert_eq!((ended.status().as_u16(), how()), (202, None));
    for (call, body, status) in [
        ("c3", json!({}), 422),
        ("c3", json!({ "to": "alice", "mode": "shout" }), 422),
        ("c3", json!({ "to": "a b", "mode": "listen" }), 422),
        ("c3", json!({ "to": "alice", "who": "me" }), 422),
        ("c1", json!({ "to": "alice" }), 409),
        ("none", json!({ "to": "alice" }), 404),
    ] {
        let path = format!("/v1/calls/{call}/supervise");
        problem(api.post(&path, &body).await, status).await;
    }
}

#[tokio::test]
async fn a_call_is_held_and_resumed_once_it_is_there_and_until_it_is_over() {
    let api = start().await;
    for (path, held) in [("/v1/calls/c3/hold", true), ("/v1/calls/c3/resume", false)] {
        let asked = api.client.post(api.url(path)).send().await.unwrap();
        assert_eq!(asked.status(), 202);
        assert_eq!(asked.json::<Value>().await.unwrap(), json!({ "id": "c3" }));
        assert_eq!(*api.memory.held.lock().unwrap(), held);
    }
    for (path, status) in [("/v1/calls/c1/hold", 409), ("/v1/calls/none/resume", 404)] {
        let refused = api.client.post(api.url(path)).send().await.unwrap();
        problem(refused, status).await;
    }
}

#[tokio::test]
async fn a_dead_letter_is_seen_and_tried_again() {
    let api = start().await;
    let page = api.json("/v1/outbox?state=dead").await;
    assert_eq!(page["deliveries"][0]["state"], "dead");
    let retried = api
        .client
        .post(api.url("/v1/outbox/7/retry"))
        .send()
        .await
        .unwrap();
    assert_eq!(retried.status(), 202);
    assert_eq!(*api.memory.retried.lock().unwrap(), ["7"]);
    let missing = api
        .client
        .post(api.url("/v1/outbox/8/retry"))
        .send()
        .await
        .unwrap();
    problem(missing, 404).await;
}

#[tokio::test]
async fn a_call_is_transferred_to_whom_it_may_go_to_and_rings_for_a_while() {
    let api = start().await;
    for (call, body, status) in [
        ("c3", json!({ "to": "alice" }), 202),
        ("c3", json!({ "to": "+442079460123", "ring_s": 300 }), 202),
        ("c3", json!({}), 422),
        ("c3", json!({ "to": "a b" }), 422),
        ("c3", json!({ "to": "alice", "ring_s": 0 }), 422),
        ("c3", json!({ "to": "alice", "ring_s": 301 }), 422),
        ("c3", json!({ "to": "alice", "mode": "blind" }), 422),
        ("c1", json!({ "to": "alice" }), 409),
        ("none", json!({ "to": "alice" }), 404),
    ] {
        let path = format!("/v1/calls/{call}/transfer");
        let answer = api.post(&path, &body).await;
        assert_eq!(answer.status().as_u16(), status, "{call} {body}");
    }
}
