//! What a client of the API can rely on, over real HTTP.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod http_support;

use http_support::{Frames, Running, config, problem, start, start_with};
use offhook::config::HttpConfig;
use offhook::http::{HttpError, Server};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn new_call() -> Value {
    json!({ "to": "+12025550123", "agent": "lead-qualification", "variables": { "n": 1 } })
}

#[tokio::test]
async fn health_readiness_and_metrics_say_how_the_switch_is() {
    let api = start().await;
    assert_eq!(api.json("/healthz").await, json!({ "status": "ok" }));
    assert_eq!(api.json("/readyz").await["status"], "ready");
    *api.memory.ready.lock().unwrap() = false;
    let response = api.get("/readyz").await;
    assert_eq!(response.status(), 503);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], "not_ready");
    assert_eq!(
        body["checks"][1]["detail"],
        "offhook models pull fetches them"
    );
    let metrics = api.get("/metrics").await;
    assert!(
        metrics.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    let text = metrics.text().await.unwrap();
    assert!(
        text.contains("offhook_http_requests_total{method=\"GET\",route=\"/readyz\""),
        "{text}"
    );
}

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
async fn what_cannot_be_called_is_refused_with_what_to_do() {
    let api = start().await;
    let refuse = |field: &'static str, value: Value| {
        let mut body = new_call();
        body[field] = value;
        let request = api.client.post(api.url("/v1/calls")).json(&body);
        async move { request.send().await.unwrap() }
    };
    let unknown = problem(refuse("agent", json!("sales")).await, 404).await;
    assert!(
        unknown["detail"]
            .as_str()
            .unwrap()
            .contains("nearest is \"lead-qualification\"")
    );
    assert_eq!(
        problem(refuse("to", json!("sip:a@b\r\nX: y")).await, 422).await["field"],
        "to"
    );
    assert_eq!(
        problem(refuse("to", json!(5)).await, 422).await["code"],
        "invalid-value"
    );
    assert!(
        problem(refuse("form", json!("+1")).await, 422).await["detail"]
            .as_str()
            .unwrap()
            .contains("unknown field `form`")
    );
    let busy = refuse("to", json!("+1503")).await;
    assert_eq!(busy.headers()["retry-after"], "7");
    assert_eq!(problem(busy, 503).await["code"], "too-many-calls");
    let broken = problem(refuse("to", json!("+1500")).await, 500).await;
    assert!(!broken.to_string().contains("hunter2"));
}

#[tokio::test]
async fn bodies_that_are_not_small_json_are_refused() {
    let api = start().await;
    let send = |kind: &'static str, body: String| {
        let request = api
            .client
            .post(api.url("/v1/calls"))
            .header("Content-Type", kind)
            .body(body);
        async move { request.send().await.unwrap() }
    };
    let json = "application/json";
    assert_eq!(
        problem(send(json, "{".into()).await, 400).await["code"],
        "bad-json"
    );
    assert_eq!(
        problem(send("text/plain", "{}".into()).await, 415).await["code"],
        "unsupported-media-type"
    );
    let form = "application/x-www-form-urlencoded";
    problem(send(form, "to=1".into()).await, 415).await;
    let large = format!("{{\"to\": \"{}\"}}", "1".repeat(70_000));
    assert_eq!(
        problem(send(json, large).await, 413).await["code"],
        "body-too-large"
    );
    let endless =
        futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 8_192])));
    let request = api
        .client
        .post(api.url("/v1/calls"))
        .header("Content-Type", json);
    // The answer may come while the body is still being sent.
    if let Ok(response) = request
        .body(reqwest::Body::wrap_stream(endless))
        .send()
        .await
    {
        problem(response, 413).await;
    }
    let deep = format!(
        "{{\"to\":\"1\",\"agent\":\"a\",\"variables\":{{\"x\":{}",
        "[".repeat(9_000)
    );
    problem(send("application/json; charset=utf-8", deep).await, 400).await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems_too() {
    let api = start().await;
    assert_eq!(
        problem(api.get("/v1/nothing").await, 404).await["code"],
        "no-such-path"
    );
    assert_eq!(
        problem(api.get("/v1/calls/none").await, 404).await["code"],
        "not-found"
    );
    assert_eq!(
        problem(api.get("/v1/calls/%00%ff").await, 404).await["code"],
        "no-such-path"
    );
    let put = api
        .client
        .put(api.url("/v1/calls/c1"))
        .send()
        .await
        .unwrap();
    let allow = put.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("DELETE"), "{allow}");
    assert_eq!(problem(put, 405).await["code"], "method-not-allowed");
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
async fn a_recording_is_streamed_whole_or_in_part() {
    let api = start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(file.path(), &bytes).unwrap();
    api.memory
        .recordings
        .lock()
        .unwrap()
        .insert("c1".into(), file.path().to_owned());
    let path = "/v1/calls/c1/recording.wav";
    let whole = api.get(path).await;
    assert_eq!(whole.headers()["content-type"], "audio/wav");
    assert_eq!(whole.headers()["content-length"], "200000");
    let tag = whole.headers()["etag"].clone();
    assert_eq!(whole.bytes().await.unwrap(), bytes);
    let get = |headers: Vec<(&'static str, String)>| {
        let request = api.client.get(api.url(path));
        let request = headers
            .into_iter()
            .fold(request, |request, (k, v)| request.header(k, v));
        async move { request.send().await.unwrap() }
    };
    let tagged = vec![
        ("range", "bytes=100000-100009".into()),
        ("if-range", tag.to_str().unwrap().into()),
    ];
    let part = get(tagged).await;
    assert_eq!(
        (
            part.status().as_u16(),
            part.headers()["content-range"].to_str().unwrap()
        ),
        (206, "bytes 100000-100009/200000")
    );
    assert_eq!(part.bytes().await.unwrap(), bytes[100_000..100_010]);
    let stale = get(vec![
        ("range", "bytes=0-1".into()),
        ("if-range", "\"old\"".into()),
    ])
    .await;
    assert_eq!(stale.status(), 200);
    let beyond = get(vec![("range", "bytes=200000-".into())]).await;
    assert_eq!(beyond.headers()["content-range"], "bytes */200000");
    problem(beyond, 416).await;
    let head = api.client.head(api.url(path)).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "200000");
}

#[tokio::test]
async fn a_recording_that_is_not_there_says_why() {
    let api = start().await;
    let missing = problem(api.get("/v1/calls/c1/recording.wav").await, 404).await;
    assert!(
        missing["detail"]
            .as_str()
            .unwrap()
            .contains("media.recordings is not set")
    );
    let gone = "/nowhere/c2.wav".into();
    api.memory
        .recordings
        .lock()
        .unwrap()
        .insert("c2".into(), gone);
    let missing = problem(api.get("/v1/calls/c2/recording.wav").await, 404).await;
    assert!(
        missing["detail"]
            .as_str()
            .unwrap()
            .contains("its file is gone")
    );
    assert!(!missing.to_string().contains("nowhere"));
}

#[tokio::test]
async fn a_call_s_events_are_streamed_from_its_first_to_its_last() {
    let api = start().await;
    api.memory.say("call.created", "c3");
    api.memory.say("call.created", "c9");
    let frames = Frames::new(api.get("/v1/calls/c3/events").await);
    api.memory.say("call.answered", "c3");
    api.memory.say("call.ended", "c3");
    let frames = frames.rest().await;
    assert_eq!(frames.len(), 3);
    assert_eq!(
        frames[0],
        "id: 1\nevent: call.created\ndata: {\"id\":1,\"type\":\"call.created\",\
         \"call_id\":\"c3\",\"at\":\"2026-01-01T10:00:00Z\",\"data\":{\"n\":1}}\n\n"
    );
    assert!(frames[2].starts_with("id: 4\nevent: call.ended\n"));
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_event_that_was_seen() {
    let api = start().await;
    for _ in 0..3 {
        api.memory.say("turn.final", "c1");
    }
    let resume = |path: &str, last: &'static str| {
        let request = api.client.get(api.url(path)).header("Last-Event-ID", last);
        async move { request.send().await.unwrap() }
    };
    let mut frames = Frames::new(resume("/v1/events", "2").await);
    assert!(frames.next().await.unwrap().starts_with("id: 3\n"));
    let mut frames = Frames::new(resume("/v1/events", "77").await);
    assert!(frames.next().await.unwrap().contains("event: stream.gap\n"));
    let ended = Frames::new(resume("/v1/calls/c1/events", "2").await)
        .rest()
        .await;
    assert_eq!(ended.len(), 1);
    let over = resume("/v1/calls/c1/events", "3").await;
    assert_eq!(over.status(), 204);
    assert_eq!(
        problem(resume("/v1/events", "x").await, 400).await["field"],
        "Last-Event-ID"
    );
}

#[tokio::test]
async fn only_the_kinds_that_were_asked_for_are_streamed() {
    let api = start().await;
    let mut frames = Frames::new(api.get("/v1/events?types=call.ended,call.answered").await);
    api.memory.say("turn.final", "c1");
    api.memory.say("call.answered", "c1");
    assert!(frames.next().await.unwrap().starts_with("id: 2\n"));
    problem(api.get("/v1/events?kinds=x").await, 400).await;
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told_and_dropped_and_loses_nothing() {
    let api = start().await;
    let slow = Frames::new(api.get("/v1/events").await);
    // No other task runs between these, so the stream's buffer of four must overflow.
    for _ in 0..9 {
        api.memory.say("turn.final", "c1");
    }
    let frames = slow.rest().await;
    assert!(
        frames.last().unwrap().contains("event: stream.overrun\n"),
        "{frames:?}"
    );
    let last = format!("{}", frames.len() - 1);
    let request = api
        .client
        .get(api.url("/v1/events"))
        .header("Last-Event-ID", &last);
    let mut resumed = Frames::new(request.send().await.unwrap());
    let next = format!("id: {}\n", frames.len());
    assert!(resumed.next().await.unwrap().starts_with(&next));
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
async fn with_keys_every_request_needs_one_but_for_probes() {
    let api = start_with(&[("ops", "key-one-0123456789"), ("crm", "key-two-0123456789")]).await;
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(api.get(open).await.status(), 200, "{open}");
    }
    for closed in ["/metrics", "/v1/calls", "/v1/events", "/v1/nothing"] {
        let refused = api.get(closed).await;
        assert_eq!(
            refused.headers()["www-authenticate"],
            "Bearer realm=\"offhook\""
        );
        assert_eq!(problem(refused, 401).await["code"], "unauthorized");
    }
    let with = |value: &'static str| {
        let request = api
            .client
            .get(api.url("/v1/calls"))
            .header("Authorization", value);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(with("Bearer key-one-0123456789").await.status(), 200);
    assert_eq!(with("bearer key-two-0123456789").await.status(), 200);
    for wrong in [
        "Bearer key-one-012345678",
        "Bearer ",
        "Basic a2V5",
        "key-one-0123456789",
        "Bearerkey",
    ] {
        let refused = with(wrong).await;
        assert!(
            refused.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .contains("invalid_token")
        );
        problem(refused, 401).await;
    }
}

#[tokio::test]
async fn clients_cannot_take_each_other_s_idempotency_keys() {
    let api = start_with(&[("a", "key-one-0123456789"), ("b", "key-two-0123456789")]).await;
    let send = |key: &'static str| {
        let request = api.client.post(api.url("/v1/calls")).bearer_auth(key);
        let request = request.header("Idempotency-Key", "same").json(&new_call());
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    assert_ne!(
        send("key-one-0123456789").await,
        send("key-two-0123456789").await
    );
}

#[tokio::test]
async fn without_keys_only_this_machine_is_answered() {
    let api = start().await;
    let with = |name: &'static str, value: &'static str| {
        let request = api.client.get(api.url("/v1/calls")).header(name, value);
        async move { request.send().await.unwrap() }
    };
    for host in ["evil.example", "127.0.0.1.evil.example:8080", "192.168.1.2"] {
        assert_eq!(
            problem(with("Host", host).await, 403).await["code"],
            "forbidden"
        );
    }
    problem(with("Origin", "https://evil.example").await, 403).await;
    problem(with("Origin", "null").await, 403).await;
    problem(with("X-Forwarded-For", "203.0.113.7").await, 403).await;
    assert_eq!(with("Host", "localhost:9").await.status(), 200);
    assert_eq!(with("Origin", "http://localhost:3000").await.status(), 200);
}

#[tokio::test]
async fn the_server_refuses_to_be_open_without_a_key_and_names_a_taken_port() {
    let open = HttpConfig {
        listen: "0.0.0.0:0".parse().unwrap(),
        keys: Vec::new(),
    };
    assert!(matches!(Server::bind(&open).await, Err(HttpError::Open(_))));
    let api = start().await;
    let taken = HttpConfig {
        listen: api.address,
        ..config(&[])
    };
    let error = Server::bind(&taken).await.err().unwrap().to_string();
    assert!(error.contains("another program listens there"), "{error}");
}

#[tokio::test]
async fn stopping_ends_streams_and_returns() {
    let api = start().await;
    let frames = Frames::new(api.get("/v1/events").await);
    api.shutdown.cancel();
    assert_eq!(frames.rest().await, Vec::<String>::new());
    api.task.await.unwrap();
}

#[tokio::test]
async fn garbage_on_the_wire_is_refused_and_does_not_stop_the_server() {
    let api = start().await;
    for garbage in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(99_000)),
    ] {
        let mut socket = tokio::net::TcpStream::connect(api.address).await.unwrap();
        let _ = socket.write_all(garbage.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    assert_eq!(api.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn the_description_covers_exactly_the_routes_that_there_are() {
    let api = start().await;
    let document = api.json("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let described: std::collections::BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .keys()
                .map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let served: std::collections::BTreeSet<(String, String)> =
        offhook::http::paths::<http_support::Memory>()
            .into_iter()
            .map(|(method, path)| (method.to_owned(), path.to_owned()))
            .collect();
    assert_eq!(described, served);
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for (method, path) in &served {
        let line = format!("`{} {path}`", method.to_uppercase());
        assert!(manual.contains(&line), "{line} is not in docs/api.md");
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let response = api
            .client
            .request(method, api.url(&path.replace("{id}", "c3")))
            .send()
            .await;
        assert_ne!(response.unwrap().status(), 405, "{line}");
    }
}

#[tokio::test]
async fn answers_have_the_shape_that_the_description_says() {
    let api = start().await;
    let document = api.json("/openapi.json").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let answer = api.json(&path.replace("{id}", "c1")).await;
        if let Err(wrong) = conforms(&document, schema, &answer) {
            panic!("{path}: {wrong}");
        }
    }
    check_problem(&api, &document).await;
}

async fn check_problem(api: &Running, document: &Value) {
    let problem = problem(api.get("/v1/nothing").await, 404).await;
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    conforms(document, &schema, &problem).unwrap();
}

/// Checks a value against as much of JSON Schema as the document uses.
fn conforms(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return conforms(
            document,
            target.ok_or(format!("{reference} is nowhere"))?,
            value,
        );
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        conforms(document, part, value)?;
    }
    if let Some(options) = schema["oneOf"].as_array() {
        if options
            .iter()
            .filter(|option| conforms(document, option, value).is_ok())
            .count()
            != 1
        {
            return Err(format!("{value} is not one of {options:?}"));
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        if !words.contains(value) {
            return Err(format!("{value} is none of {words:?}"));
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    if !types.is_empty() && !types.iter().any(|name| is(name)) {
        return Err(format!("{value} is not {types:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(member) = value.get(name) {
            conforms(document, inner, member).map_err(|wrong| format!("{name}: {wrong}"))?;
        }
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(document, &schema["items"], item)?;
    }
    Ok(())
}
