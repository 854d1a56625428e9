//! How the switch is, and how its server begins, stands garbage and ends.

use offhook::config::HttpConfig;
use offhook::http::{HttpError, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Frames, config, start};

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
