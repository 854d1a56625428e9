//! The client: connects, asks, tries again while nothing was heard yet, and hands tokens on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, redirect};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::LlmEvent;
use super::answer::Answer;
use super::error::LlmError;
use super::request::ChatRequest;
use super::sse::SseParser;
use crate::config::LlmConfig;
use crate::observe::metrics::{LLM_REQUESTS, LLM_RETRIES};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an unused connection is kept; callers come minutes apart.
const IDLE: Duration = Duration::from_secs(300);
/// The first wait before another attempt, doubled each time, in ms.
const BACK_OFF_MS: u64 = 100;
/// The longest wait before another attempt that the server did not ask for, in ms.
const MAX_BACK_OFF_MS: u64 = 2_000;
/// The most events that wait to be taken; a full queue slows the reading down.
const QUEUE: usize = 256;
/// The most of a body that is no stream, in bytes.
const MAX_BODY: usize = 512 * 1024;

/// A client for one server and model; clones share its connections.
#[derive(Debug, Clone)]
pub struct LlmClient {
    http: Client,
    config: Arc<LlmConfig>,
}

impl LlmClient {
    /// Sets a client up; nothing is sent yet.
    ///
    /// # Errors
    /// Fails when the key or a header cannot be sent, or TLS cannot be set up.
    pub fn new(config: LlmConfig) -> Result<Self, LlmError> {
        // One TLS stack for the whole process; that it is installed already is no mistake.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .default_headers(headers(&config)?)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            // The key goes where the configuration says, and nowhere else.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")));
        if config.base_url.is_loopback() {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| LlmError::Setup(error.to_string()))?;
        Ok(Self {
            http,
            config: Arc::new(config),
        })
    }

    /// Returns what the client was set up with.
    pub fn config(&self) -> &LlmConfig {
        &self.config
    }

    /// Opens the connection before it is needed, so that the first answer does not wait for
    /// TCP and TLS; what the server says to it does not matter.
    pub async fn warm(&self) {
        let request = self.http.head(format!("{}/models", self.config.base_url));
        match timeout(CONNECT, request.send()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let error = error.without_url();
                tracing::warn!(%error, "the language model's server cannot be reached");
            }
            Err(_) => tracing::warn!("the language model's server does not answer"),
        }
    }

    /// Asks, and streams the answer. Dropping the stream cancels the request and closes its
    /// connection, so that the server stops too. To be called inside a tokio runtime.
    pub fn stream(&self, request: ChatRequest) -> LlmStream {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let asking = Asking {
            client: self.clone(),
            sender,
        };
        let task = tokio::spawn(asking.run(request));
        LlmStream {
            receiver,
            task: task.abort_handle(),
        }
    }
}

fn headers(config: &LlmConfig) -> Result<HeaderMap, LlmError> {
    let mut headers = HeaderMap::new();
    let sensitive = |text: &str, what: &str| {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| LlmError::Setup(format!("{what} cannot be sent in a header")))?;
        value.set_sensitive(true);
        Ok(value)
    };
    if let Some(key) = &config.api_key {
        let value = sensitive(&format!("Bearer {}", key.expose()), "llm.api_key")?;
        headers.insert(AUTHORIZATION, value);
    }
    for (name, value) in &config.headers {
        let value = sensitive(value.expose(), "a value of llm.headers")?;
        let name: HeaderName = name
            .parse()
            .map_err(|_| LlmError::Setup(format!("llm.headers: {name:?} is no header")))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// An answer on its way; it ends after [`LlmEvent::Done`] or [`LlmEvent::Failed`].
#[derive(Debug)]
pub struct LlmStream {
    receiver: mpsc::Receiver<LlmEvent>,
    task: AbortHandle,
}

impl LlmStream {
    /// Waits for the next event; `None` after the last.
    pub async fn next(&mut self) -> Option<LlmEvent> {
        self.receiver.recv().await
    }
}

impl Stream for LlmStream {
    type Item = LlmEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LlmEvent>> {
        self.receiver.poll_recv(cx)
    }
}

impl Drop for LlmStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whoever waits for the answer is gone.
struct Gone;

/// How an attempt ended that brought no whole answer.
enum Trouble {
    /// Nothing was heard yet: another attempt may do.
    Before(LlmError),
    /// Part of the answer was handed on.
    During(LlmError),
    Gone,
}

impl From<Gone> for Trouble {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// One question being asked.
struct Asking {
    client: LlmClient,
    sender: mpsc::Sender<LlmEvent>,
}

impl Asking {
    async fn run(self, request: ChatRequest) {
        let body = request.to_wire(&self.client.config).to_string();
        let wait = Duration::from_millis(self.client.config.first_token_timeout_ms.into());
        let deadline = Instant::now() + wait;
        let mut attempt = 0;
        let failed = loop {
            let error = match self.attempt(&body, deadline, wait).await {
                Ok(()) => {
                    metrics::counter!(LLM_REQUESTS, "outcome" => "done").increment(1);
                    return;
                }
                Err(Trouble::Gone) => return,
                Err(Trouble::During(error)) => break error,
                Err(Trouble::Before(error)) => error,
            };
            let pause = error.retry_after().unwrap_or_else(|| back_off(attempt));
            let again = attempt < self.client.config.retries && error.is_transient();
            // A wait that outlasts the caller's patience is not worth beginning.
            if !again || Instant::now() + pause >= deadline {
                break error;
            }
            metrics::counter!(LLM_RETRIES, "reason" => error.label()).increment(1);
            tracing::debug!(%error, ?pause, "asking the language model again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        };
        metrics::counter!(LLM_REQUESTS, "outcome" => failed.label()).increment(1);
        tracing::warn!(error = %failed, "no answer from the language model");
        let _ = self.sender.send(LlmEvent::Failed(failed)).await;
    }

    async fn attempt(&self, body: &str, deadline: Instant, wait: Duration) -> Result<(), Trouble> {
        let stalled = || {
            Trouble::Before(LlmError::Stalled {
                first: true,
                after: wait,
            })
        };
        let config = &self.client.config;
        let request = self
            .client
            .http
            .post(format!("{}/chat/completions", config.base_url))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(body.to_owned());
        let response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| stalled())?;
        let response = response.map_err(|error| Trouble::Before(unreachable(error)))?;
        let status = response.status();
        if !status.is_success() {
            let headers = response.headers().clone();
            let body = timeout_at(deadline, read_all(response))
                .await
                .unwrap_or_default();
            let error = LlmError::of_status(status, &headers, &body, config);
            return Err(Trouble::Before(error));
        }
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        match kind.unwrap_or("text/event-stream") {
            kind if kind.starts_with("text/event-stream") => {
                self.read_stream(response, deadline, wait).await
            }
            kind if kind.starts_with("application/json") => {
                let body = timeout_at(deadline, read_all(response))
                    .await
                    .map_err(|_| stalled())?;
                self.read_whole(&body).await
            }
            kind => {
                let kind: String = config.redact(kind).chars().take(60).collect();
                let words = format!("its content type is {kind}; is llm.base_url right?");
                Err(Trouble::Before(LlmError::Malformed(words)))
            }
        }
    }

    async fn read_stream(
        &self,
        mut response: Response,
        deadline: Instant,
        wait: Duration,
    ) -> Result<(), Trouble> {
        let between = Duration::from_millis(self.client.config.token_timeout_ms.into());
        let (mut parser, mut data) = (SseParser::default(), VecDeque::new());
        let mut answer = Answer::default();
        let mut until = deadline;
        loop {
            let chunk = match timeout_at(until, response.chunk()).await {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(_)) => return Err(self.cut(answer).await),
                Err(_) => {
                    let first = !answer.has_begun();
                    let after = if first { wait } else { between };
                    return Err(trouble(&answer, LlmError::Stalled { first, after }));
                }
            };
            let ended = chunk.is_none();
            let fed = match &chunk {
                Some(bytes) => parser.feed(bytes, &mut data),
                None => parser.finish(&mut data),
            };
            fed.map_err(|error| trouble(&answer, LlmError::Malformed(error.to_string())))?;
            // Comments keep a connection alive, and a server that sends only those is stalled.
            let progress = !data.is_empty();
            while let Some(event) = data.pop_front() {
                match answer.take(&event, &self.client.config) {
                    Ok(Some(text)) => self.send(LlmEvent::Token(text)).await?,
                    Ok(None) => {}
                    Err(error) => return Err(trouble(&answer, error)),
                }
            }
            if ended || answer.is_done() {
                return self.end(answer).await;
            }
            if progress && answer.has_begun() {
                until = Instant::now() + between;
            }
            if answer.take_growth() {
                self.send(LlmEvent::Working).await?;
            }
        }
    }

    /// Reads an answer that a server sent whole, though a stream was asked for.
    async fn read_whole(&self, body: &[u8]) -> Result<(), Trouble> {
        let mut answer = Answer::default();
        let text = String::from_utf8_lossy(body);
        let valid = serde_json::from_str::<Value>(&text).is_ok_and(|v| v.get("choices").is_some());
        if !valid {
            let words = "its JSON holds no choices".to_owned();
            return Err(Trouble::Before(LlmError::Malformed(words)));
        }
        match answer.take(&text, &self.client.config) {
            Ok(Some(token)) => self.send(LlmEvent::Token(token)).await?,
            Ok(None) => {}
            Err(error) => return Err(Trouble::Before(error)),
        }
        self.end(answer).await
    }

    /// Decides what a broken connection means: after the model's last word it means nothing.
    async fn cut(&self, answer: Answer) -> Trouble {
        let begun = answer.has_begun();
        match self.end(answer).await {
            Err(Trouble::During(error)) if !begun => Trouble::Before(error),
            Err(trouble) => trouble,
            // The answer was whole and has been handed on: nobody needs to hear of this.
            Ok(()) => Trouble::Gone,
        }
    }

    async fn end(&self, answer: Answer) -> Result<(), Trouble> {
        let begun = answer.has_begun();
        let events = answer.end().map_err(|error| match begun {
            true => Trouble::During(error),
            false => Trouble::Before(error),
        })?;
        for event in events {
            self.send(event).await?;
        }
        Ok(())
    }

    async fn send(&self, event: LlmEvent) -> Result<(), Gone> {
        self.sender.send(event).await.map_err(|_| Gone)
    }
}

fn trouble(answer: &Answer, error: LlmError) -> Trouble {
    if answer.has_begun() {
        Trouble::During(error)
    } else {
        Trouble::Before(error)
    }
}

fn unreachable(error: reqwest::Error) -> LlmError {
    let error = error.without_url();
    // The outermost words only say that sending failed; the cause is what helps.
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    LlmError::Unreachable(cause.to_string())
}

/// Waits 100 ms, 200 ms, 400 ms … with half of it at random, so that calls do not come in step.
fn back_off(attempt: u32) -> Duration {
    let full = BACK_OFF_MS
        .saturating_mul(1 << attempt.min(16))
        .min(MAX_BACK_OFF_MS);
    Duration::from_millis(full / 2 + rand::random_range(0..=full / 2))
}

async fn read_all(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_BODY.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if room <= chunk.len() {
            break;
        }
    }
    body
}
