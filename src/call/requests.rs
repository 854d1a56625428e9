//! The web requests of one call: HTTP nodes and the LLM's stream, bounded and cancellable.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::conversation::Work;
use crate::agent::{
    HttpRequest, HttpResponse, LlmEvent, LlmFailure, LlmRequest, RequestFailure, RequestId,
};
use crate::ai::llm::LlmClient;
use crate::mailbox;

/// What is read of an answer; a larger one is cut off here and refused.
const BODY_MAX: usize = 256 * 1024;
/// Requests that one call may have under way.
const PENDING_MAX: usize = 8;

/// One call's requests; dropping it abandons them.
pub struct Requests {
    http: reqwest::Client,
    llm: Option<LlmClient>,
    /// Flows may name a path only, which starts here.
    base_url: Option<String>,
    pending: HashMap<RequestId, AbortOnDropHandle<()>>,
}

impl Requests {
    /// Makes the requests of one call over shared connections.
    #[must_use]
    pub fn new(http: reqwest::Client, llm: Option<LlmClient>, base_url: Option<String>) -> Self {
        Self {
            http,
            llm,
            base_url,
            pending: HashMap::new(),
        }
    }

    /// Performs an HTTP request and reports its answer.
    pub fn http(&mut self, request: HttpRequest, work: mailbox::Sender<Work>) {
        let id = request.id;
        let url = match (&self.base_url, request.url.starts_with('/')) {
            (Some(base), true) => format!("{}{}", base.trim_end_matches('/'), request.url),
            _ => request.url.clone(),
        };
        let http = self.http.clone();
        self.spawn(id, async move {
            let answer =
                match tokio::time::timeout(request.timeout, perform(http, url, &request)).await {
                    Ok(answer) => answer,
                    Err(_) => Err(RequestFailure::Timeout),
                };
            let _ = work.send(Work::Http(id, answer)).await;
        });
    }

    /// Streams an LLM's answer and reports each piece.
    pub fn llm(&mut self, request: LlmRequest, work: mailbox::Sender<Work>) {
        let id = request.id;
        let Some(llm) = self.llm.clone() else {
            let reason = "the configuration has no [llm]".to_owned();
            let failed = LlmEvent::Failed(LlmFailure::Bad(reason));
            let _ = work.try_send(Work::Llm(id, failed));
            return;
        };
        self.spawn(id, async move {
            if request.delay > Duration::ZERO {
                tokio::time::sleep(request.delay).await;
            }
            super::llm_stream::stream(&llm, &request, |event| {
                let work = work.clone();
                async move { work.send(Work::Llm(id, event)).await.is_ok() }
            })
            .await;
        });
    }

    /// Abandons a request; its answer is not reported.
    pub fn cancel(&mut self, request: RequestId) {
        self.pending.remove(&request);
    }

    /// Forgets a request that was answered.
    pub fn done(&mut self, request: RequestId) {
        self.pending.remove(&request);
    }

    fn spawn(&mut self, id: RequestId, task: impl Future<Output = ()> + Send + 'static) {
        self.pending.retain(|_, task| !task.is_finished());
        if self.pending.len() >= PENDING_MAX {
            tracing::warn!("a call has too many requests under way: the oldest is abandoned");
            if let Some(oldest) = self.pending.keys().min().copied() {
                self.pending.remove(&oldest);
            }
        }
        self.pending.insert(
            id,
            AbortOnDropHandle::new(tokio::spawn(task.in_current_span())),
        );
    }
}

async fn perform(
    http: reqwest::Client,
    url: String,
    request: &HttpRequest,
) -> Result<HttpResponse, RequestFailure> {
    let method = reqwest::Method::from_bytes(request.method.as_bytes())
        .map_err(|_| RequestFailure::Refused(format!("`{}` is no method", request.method)))?;
    let mut call = http.request(method, url);
    for (name, value) in &request.headers {
        call = call.header(name, value);
    }
    if let Some(body) = &request.body {
        call = call.body(body.clone());
    }
    let failed =
        |error: reqwest::Error| RequestFailure::Connection(error.without_url().to_string());
    let mut answer = call.send().await.map_err(failed)?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > BODY_MAX {
            let reason = format!("the answer is larger than {} KiB", BODY_MAX / 1024);
            return Err(RequestFailure::Refused(reason));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
