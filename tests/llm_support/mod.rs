//! A language model's server over real HTTP that streams as OpenAI's does, by a script.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test binary uses its own part"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use offhook::ai::llm::{LlmClient, LlmConfig};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

/// What the server does with one request.
pub enum Script {
    /// Streams these chunks as they are, then ends cleanly.
    Stream(Vec<Vec<u8>>),
    /// Streams these chunks, then cuts the connection when told to.
    Cut(Vec<Vec<u8>>, oneshot::Receiver<()>),
    /// Streams these chunks, then says nothing more; tells when the client goes away.
    Stall(Vec<Vec<u8>>, Option<oneshot::Sender<()>>),
    /// Answers with a status, headers and a body.
    Answer(u16, Vec<(&'static str, &'static str)>, String),
}

#[derive(Default)]
pub struct Seen {
    scripts: Mutex<VecDeque<Script>>,
    pub requests: Mutex<Vec<(String, HeaderMap, Value, SocketAddr)>>,
    lines: watch::Sender<Vec<String>>,
}

pub struct Server {
    pub seen: Arc<Seen>,
    pub address: SocketAddr,
}

impl Server {
    pub async fn start(scripts: Vec<Script>) -> Self {
        let seen = Arc::new(Seen {
            scripts: Mutex::new(scripts.into()),
            ..Seen::default()
        });
        let router = axum::Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&seen));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { seen, address }
    }

    pub fn config(&self) -> LlmConfig {
        LlmConfig::new(
            format!("http://{}/v1/", self.address).parse().unwrap(),
            "test-model",
        )
    }

    pub fn client(&self) -> LlmClient {
        LlmClient::new(self.config()).unwrap()
    }

    /// Waits for so many requests whose line holds these words.
    pub async fn asked(&self, words: &str, times: usize) {
        let mut lines = self.seen.lines.subscribe();
        let of = |lines: &Vec<String>| lines.iter().filter(|line| line.contains(words)).count();
        lines.wait_for(|lines| of(lines) >= times).await.unwrap();
    }

    /// The messages of each question so far.
    pub fn conversations(&self) -> Vec<Vec<Value>> {
        let requests = self.seen.requests.lock().unwrap();
        let messages = requests
            .iter()
            .filter_map(|(_, _, body, _)| body["messages"].as_array().cloned());
        messages.collect()
    }

    pub fn requests(&self) -> usize {
        self.seen.requests.lock().unwrap().len()
    }
}

async fn serve(
    State(seen): State<Arc<Seen>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let line = format!("{} {}", parts.method, parts.uri);
    let told = line.clone();
    seen.requests
        .lock()
        .unwrap()
        .push((line, parts.headers, body, peer));
    seen.lines.send_modify(|lines| lines.push(told));
    if parts.method == "HEAD" {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let script = seen.scripts.lock().unwrap().pop_front();
    match script.expect("more requests than scripts") {
        Script::Answer(status, headers, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Script::Stream(chunks) => events(Body::from_stream(in_pieces(chunks))),
        Script::Cut(chunks, told) => {
            let cut = stream::once(async {
                let _ = told.await;
                Err(std::io::Error::other("cut"))
            });
            events(Body::from_stream(in_pieces(chunks).chain(cut)))
        }
        Script::Stall(chunks, gone) => {
            let forever = stream::unfold(Told(gone), |told| async move {
                std::future::pending::<()>().await;
                Some((Ok(Bytes::new()), told))
            });
            events(Body::from_stream(in_pieces(chunks).chain(forever)))
        }
    }
}

/// Tells when it is dropped, which is when the client's connection is gone.
struct Told(Option<oneshot::Sender<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(());
        }
    }
}

/// Sends each chunk on its own: between them the server's writer runs.
fn in_pieces(chunks: Vec<Vec<u8>>) -> impl stream::Stream<Item = std::io::Result<Bytes>> + Send {
    stream::iter(chunks).then(|chunk| async move {
        breathe().await;
        Ok(Bytes::from(chunk))
    })
}

async fn breathe() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

fn events(body: Body) -> Response {
    ([("content-type", "text/event-stream; charset=utf-8")], body).into_response()
}

pub fn event(data: &Value) -> Vec<u8> {
    format!("data: {data}\n\n").into_bytes()
}

pub fn token(text: &str) -> Vec<u8> {
    event(&json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
}

pub fn call(piece: &Value) -> Vec<u8> {
    event(&json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [piece] } }] }))
}

pub fn finish(reason: &str) -> Vec<u8> {
    event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }))
}

pub fn done() -> Vec<u8> {
    b"data: [DONE]\n\n".to_vec()
}
