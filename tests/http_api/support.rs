//! A switch in memory behind the real HTTP server, and a client that speaks to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use offhook::config::{HttpConfig, HttpKey, Secret};
use offhook::http::{
    Api, ApiError, CallCreated, CallQuery, Check, EventBus, EventFilter, EventStream, Idempotency,
    NewCall, OutboxQuery, Page, PageQuery, Readiness, Server, Supervise, SupervisorMode, Transfer,
};
use offhook::observe::metrics::Metrics;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) struct Memory {
    pub(crate) calls: Mutex<Vec<Value>>,
    pub(crate) keys: Mutex<HashMap<String, (String, String)>>,
    pub(crate) recordings: Mutex<HashMap<String, PathBuf>>,
    pub(crate) retried: Mutex<Vec<String>>,
    /// Calls that are supervised, by whom, and how.
    pub(crate) supervised: Mutex<HashMap<String, (String, SupervisorMode)>>,
    /// Whether a call was held last, or resumed.
    pub(crate) held: Mutex<bool>,
    pub(crate) ready: Mutex<bool>,
    pub(crate) bus: EventBus,
}

pub(crate) fn call(id: &str, direction: &str, state: &str) -> Value {
    let ended = matches!(state, "completed" | "failed");
    json!({
        "id": id, "direction": direction, "from": "+12025550100", "to": "+12025550123",
        "trunk": "twilio", "agent": "lead-qualification", "room": null, "bridge": null, "state": state,
        "started_at": "2026-01-01T10:00:00.000Z", "answered_at": "2026-01-01T10:00:02.000Z",
        "ended_at": if ended { json!("2026-01-01T10:01:00.000Z") } else { Value::Null },
        "outcome": null, "reason": null, "variables": { "caller_name": "Ada" },
        "media": { "codec": "PCMU", "srtp": null, "packets": 10, "lost": 0, "jitter_ms": 0.5, "mos": 4.3,
            "rtt_ms": 60.0, "burst_ratio": 1.0, "speech_dbm0": -20.0, "noise_dbm0": -60.0,
            "remote": { "lost": 0.0, "jitter_ms": 1.0, "mos": null }, "trouble": [],
            "jitter_buffer": null },
        "turns": [
            { "who": "agent", "text": "Hello there, who is calling?", "heard_text": "Hello there,",
              "started_at": "2026-01-01T10:00:02.100Z", "interrupted": true,
              "latency": { "endpoint_ms": null, "stt_ms": null, "llm_first_token_ms": null,
                           "tts_first_audio_ms": 40, "voice_to_voice_ms": null } },
            { "who": "caller", "text": "It is Ada.", "heard_text": null,
              "started_at": "2026-01-01T10:00:03.000Z", "interrupted": false,
              "latency": { "endpoint_ms": 200, "stt_ms": 60, "llm_first_token_ms": null,
                           "tts_first_audio_ms": null, "voice_to_voice_ms": 380 } },
        ],
    })
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            calls: Mutex::new(vec![
                call("c3", "inbound", "in-progress"),
                call("c2", "outbound", "completed"),
                call("c1", "inbound", "completed"),
            ]),
            keys: Mutex::default(),
            recordings: Mutex::default(),
            retried: Mutex::default(),
            supervised: Mutex::default(),
            held: Mutex::default(),
            ready: Mutex::new(true),
            bus: EventBus::new(1, 64, 4),
        }
    }

    pub(crate) fn say(&self, kind: &str, call: &str) -> u64 {
        self.bus.publish(
            kind,
            Some(call.to_owned()),
            "2026-01-01T10:00:00Z",
            &json!({ "n": 1 }),
        )
    }

    fn position(&self, id: &str) -> Result<usize, ApiError> {
        let calls = self.calls.lock().unwrap();
        let found = calls.iter().position(|call| call["id"] == id);
        found.ok_or_else(|| ApiError::NotFound {
            what: "call",
            id: id.to_owned(),
        })
    }
}

impl Api for Memory {
    async fn ready(&self) -> Readiness {
        let ok = *self.ready.lock().unwrap();
        let detail = if ok {
            "loaded"
        } else {
            "offhook models pull fetches them"
        };
        let check = |name: &str, ok, detail: &str| Check {
            name: name.into(),
            ok,
            detail: detail.into(),
        };
        Readiness {
            checks: vec![check("store", true, "sqlite"), check("models", ok, detail)],
        }
    }

    async fn create_call(
        &self,
        new: NewCall,
        key: Option<Idempotency>,
    ) -> Result<CallCreated, ApiError> {
        if new.agent != "lead-qualification" {
            let nearest = Some("lead-qualification".to_owned());
            return Err(ApiError::UnknownAgent {
                name: new.agent,
                nearest,
            });
        }
        match new.to.as_str() {
            "+1503" => {
                return Err(ApiError::TooManyCalls {
                    max_calls: 9,
                    retry_after_s: 7,
                });
            }
            "+1500" => return Err(ApiError::Internal("password=hunter2".to_owned())),
            _ => {}
        }
        let mut calls = self.calls.lock().unwrap();
        let id = format!("new-{}", calls.len());
        if let Some(key) = key {
            let mut keys = self.keys.lock().unwrap();
            if let Some((fingerprint, id)) = keys.get(&key.key) {
                if *fingerprint != key.fingerprint {
                    return Err(ApiError::IdempotencyMismatch);
                }
                return Ok(CallCreated {
                    id: id.clone(),
                    replayed: true,
                });
            }
            keys.insert(key.key, (key.fingerprint, id.clone()));
        }
        calls.insert(0, call(&id, "outbound", "queued"));
        Ok(CallCreated {
            id,
            replayed: false,
        })
    }

    async fn call(&self, id: &str) -> Result<Value, ApiError> {
        let index = self.position(id)?;
        Ok(self.calls.lock().unwrap()[index].clone())
    }

    async fn calls(&self, query: CallQuery) -> Result<Page, ApiError> {
        let calls = self.calls.lock().unwrap();
        let direction = query
            .direction
            .map(|direction| serde_json::to_value(direction).unwrap());
        let mut items: Vec<Value> = calls
            .iter()
            .filter(|call| {
                query
                    .state
                    .as_ref()
                    .is_none_or(|state| call["state"] == **state)
            })
            .filter(|call| {
                direction
                    .as_ref()
                    .is_none_or(|way| call["direction"] == *way)
            })
            .skip_while(|call| {
                query
                    .page
                    .cursor
                    .as_ref()
                    .is_some_and(|c| call["id"] != **c)
            })
            .skip(usize::from(query.page.cursor.is_some()))
            .cloned()
            .collect();
        let limit = query.page.limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items
            .last()
            .and_then(|call| call["id"].as_str())
            .map(str::to_owned);
        Ok(Page {
            items,
            next_cursor: last.filter(|_| more),
        })
    }

    async fn recording(&self, id: &str) -> Result<PathBuf, ApiError> {
        self.position(id)?;
        let path = self.recordings.lock().unwrap().get(id).cloned();
        if path
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            return Err(ApiError::RecordingRemoved { id: id.to_owned() });
        }
        let reason = "media.recordings is not set".to_owned();
        path.ok_or(ApiError::NoRecording {
            id: id.to_owned(),
            reason,
        })
    }

    async fn pause_recording(&self, id: &str, pause: bool) -> Result<bool, ApiError> {
        self.hang_up(id).await?;
        if !self.recordings.lock().unwrap().contains_key(id) {
            let message = format!("call {id} is not recorded");
            return Err(ApiError::Conflict(message));
        }
        Ok(pause)
    }

    async fn hang_up(&self, id: &str) -> Result<(), ApiError> {
        let index = self.position(id)?;
        let ended = !self.calls.lock().unwrap()[index]["ended_at"].is_null();
        if ended {
            Err(ApiError::AlreadyEnded { id: id.to_owned() })
        } else {
            Ok(())
        }
    }

    async fn hold(&self, id: &str, hold: bool) -> Result<(), ApiError> {
        self.hang_up(id).await?;
        *self.held.lock().unwrap() = hold;
        Ok(())
    }

    async fn transfer(&self, id: &str, _transfer: Transfer) -> Result<(), ApiError> {
        self.hang_up(id).await
    }

    async fn supervise(&self, id: &str, supervise: Supervise) -> Result<(), ApiError> {
        self.hang_up(id).await?;
        let mut supervised = self.supervised.lock().unwrap();
        if supervised.contains_key(id) {
            return Err(ApiError::Conflict("it has a supervisor".to_owned()));
        }
        supervised.insert(id.to_owned(), (supervise.to, supervise.mode));
        Ok(())
    }

    async fn set_supervision(&self, id: &str, mode: SupervisorMode) -> Result<(), ApiError> {
        self.position(id)?;
        let mut supervised = self.supervised.lock().unwrap();
        let none = || ApiError::Conflict("it has no supervisor".to_owned());
        supervised.get_mut(id).ok_or_else(none)?.1 = mode;
        Ok(())
    }

    async fn end_supervision(&self, id: &str) -> Result<(), ApiError> {
        self.position(id)?;
        let ended = self.supervised.lock().unwrap().remove(id);
        let none = || ApiError::Conflict("it has no supervisor".to_owned());
        ended.map(drop).ok_or_else(none)
    }

    async fn trunks(&self) -> Result<Vec<Value>, ApiError> {
        Ok(vec![
            json!({ "name": "twilio", "kind": "peer", "host": "example.com", "caller_id": null,
                    "registration": null, "calls": 2,
                    "addresses": [{ "address": "192.0.2.1:5060", "transport": "udp", "state": "up", "trouble": null }] }),
        ])
    }

    async fn agents(&self) -> Result<Vec<Value>, ApiError> {
        Ok(vec![
            json!({ "name": "lead-qualification", "flow": "builtin", "voice": "joe" }),
        ])
    }

    async fn flows(&self) -> Result<Vec<Value>, ApiError> {
        Ok(vec![
            json!({ "name": "lead-qualification", "description": "", "source": "builtin",
                    "agent": "lead-qualification" }),
        ])
    }

    async fn appointments(&self, _page: PageQuery) -> Result<Page, ApiError> {
        let item = json!({
            "id": "a1", "call_id": "c1", "date_time": "2026-01-02T15:00:00-05:00",
            "type": "call", "notes": "", "created_at": "2026-01-01T10:00:30Z",
        });
        Ok(Page {
            items: vec![item],
            next_cursor: None,
        })
    }

    async fn outbox(&self, query: OutboxQuery) -> Result<Page, ApiError> {
        let state = query.state.map_or(json!("pending"), |state| json!(state));
        let item = json!({ "id": 7, "call_id": "c1", "kind": "contact", "sink": "ploink",
                           "state": state, "attempts": 9 });
        Ok(Page {
            items: vec![item],
            next_cursor: None,
        })
    }

    async fn retry(&self, id: &str) -> Result<(), ApiError> {
        if id != "7" {
            return Err(ApiError::NotFound {
                what: "delivery",
                id: id.to_owned(),
            });
        }
        self.retried.lock().unwrap().push(id.to_owned());
        Ok(())
    }

    async fn subscribe(
        &self,
        filter: EventFilter,
        after: Option<u64>,
    ) -> Result<EventStream, ApiError> {
        self.bus.subscribe(filter, after)
    }
}

/// The server under test.
pub(crate) struct Running {
    pub(crate) memory: Arc<Memory>,
    pub(crate) client: reqwest::Client,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

pub(crate) fn config(keys: &[(&str, &str)]) -> HttpConfig {
    let key = |(name, key): &(&str, &str)| HttpKey {
        name: (*name).into(),
        key: Secret::new(*key),
    };
    HttpConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        keys: keys.iter().map(key).collect(),
    }
}

pub(crate) async fn start_with(keys: &[(&str, &str)]) -> Running {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::bind(&config(keys)).await.unwrap();
    let (memory, shutdown) = (Arc::new(Memory::new()), CancellationToken::new());
    let address = server.address();
    let metrics = Metrics::install().unwrap();
    let task = tokio::spawn(server.run(Arc::clone(&memory), Some(metrics), shutdown.clone()));
    Running {
        memory,
        client: reqwest::Client::new(),
        address,
        shutdown,
        task,
    }
}

pub(crate) async fn start() -> Running {
    start_with(&[]).await
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        self.client
            .post(self.url(path))
            .json(body)
            .send()
            .await
            .unwrap()
    }
}

/// Checks that a response is a problem document and returns its code.
pub(crate) async fn problem(response: reqwest::Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(kind, "application/problem+json");
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["status"], status);
    for member in ["type", "title", "detail", "code"] {
        assert!(
            document[member]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{document}"
        );
    }
    document
}

/// A server-sent events stream, read frame by frame.
pub(crate) struct Frames {
    response: reqwest::Response,
    buffer: String,
}

impl Frames {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            buffer: String::new(),
        }
    }

    /// Returns the next frame that is an event, or `None` at the stream's end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let frame: String = self.buffer.drain(..end + 2).collect();
                if frame.contains("event: ") {
                    return Some(frame);
                }
                continue;
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    pub(crate) async fn rest(mut self) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

/// A request that is taken.
pub(crate) fn new_call() -> Value {
    json!({ "to": "+12025550123", "agent": "lead-qualification", "variables": { "n": 1 } })
}
