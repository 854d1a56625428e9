//! A small stand-in for Ploink, over real HTTP on loopback.
//!
//! `--demo` starts it so that a call has somewhere to leave its lead, and the tests start it to see
//! what a CRM sees. It keeps contacts, remembers idempotency keys, checks what it is sent, records
//! every request (`GET /requests` shows them) and fails on demand. Like a real CRM it looks for a
//! contact first and makes one afterwards: who posts one contact twice at the same time gets two.

mod endpoints;
mod fault;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

pub use fault::{Fault, Gate};

/// Requests that are remembered unless it is said otherwise; older ones are forgotten.
const REQUESTS: usize = 10_000;
/// Contacts that are kept.
const CONTACTS: usize = 10_000;
/// Requests that a listener may be behind.
const LISTENER_LAG: usize = 256;

/// A request as it came, with the answer that it got.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recorded {
    /// `GET` or `POST`.
    pub method: String,
    /// Path, with the query where there is one.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// Body; null when it is empty or no JSON.
    pub body: Value,
    /// Status of the answer; none while there is none.
    pub status: Option<u16>,
    /// Whether the answer is that of an earlier request with the same `Idempotency-Key`.
    pub replayed: bool,
}

/// A running stand-in; it stops when it is dropped.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl StandIn {
    /// Starts one on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        Self::start_remembering(address, REQUESTS).await
    }

    /// Starts one that remembers so many requests, in place of ten thousand.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_remembering(address: SocketAddr, requests: usize) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let (completed, _) = broadcast::channel(LISTENER_LAG);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            memory: requests.max(1),
            arrived: watch::Sender::new(0),
            completed,
            stop: stop.clone(),
        });
        let router: Router = endpoints::router(Arc::clone(&shared));
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            let server = axum::serve(listener, router).with_graceful_shutdown(stopped);
            if let Err(error) = server.await {
                tracing::warn!(%error, "the stand-in CRM stopped");
            }
        });
        Ok(Self {
            address,
            shared,
            stop,
        })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for `crm.ploink.base_url`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what it was sent so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().requests.iter().cloned().collect()
    }

    /// Returns the requests of one method and path (without the query), oldest first.
    pub fn requests_to(&self, method: &str, path: &str) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|request| {
            let own_path = request.path.split('?').next().unwrap_or_default();
            request.method == method && own_path == path
        });
        requests
    }

    /// Returns the contacts that it keeps, oldest first.
    pub fn contacts(&self) -> Vec<Value> {
        self.shared.state().contacts.clone()
    }

    /// Returns how many requests have come in all, also those that were forgotten since.
    pub fn count(&self) -> u64 {
        *self.shared.arrived.borrow()
    }

    /// Waits until `count` requests have come in all.
    pub async fn arrived(&self, count: u64) {
        // The sender lives as long as this does.
        self.shared
            .arrived
            .subscribe()
            .wait_for(|arrived| *arrived >= count)
            .await
            .ok();
    }

    /// Listens to requests as they are answered.
    pub fn subscribe(&self) -> broadcast::Receiver<Recorded> {
        self.shared.completed.subscribe()
    }

    /// Lets the next requests to paths that begin with `path` meet these faults, one each.
    pub fn fail_next(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.shared.state();
        state
            .faults
            .entry(path.to_owned())
            .or_default()
            .extend(faults);
    }

    /// Merges contacts as Mautic does from now on: by their e-mail address or an id in the body;
    /// who is posted with the same number and neither is made anew.
    pub fn merge_by_email_only(&self) {
        self.shared.state().merges_by_email_only = true;
    }

    /// Stops: connections are closed, the port is free again.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the requests share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Requests that are remembered.
    memory: usize,
    arrived: watch::Sender<u64>,
    completed: broadcast::Sender<Recorded>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<Recorded>,
    /// How many requests were forgotten.
    forgotten: u64,
    contacts: Vec<Value>,
    merges_by_email_only: bool,
    last_id: u64,
    /// Answers by path and idempotency key.
    answers: HashMap<(String, String), (u16, Value)>,
    faults: HashMap<String, VecDeque<Fault>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and returns its number.
    fn record(&self, request: Recorded) -> u64 {
        let mut state = self.state();
        if state.requests.len() == self.memory {
            state.requests.pop_front();
            state.forgotten += 1;
        }
        state.requests.push_back(request);
        let number = state.forgotten + state.requests.len() as u64;
        drop(state);
        self.arrived.send_replace(number);
        number
    }

    /// Records how the request of a number was answered.
    fn complete(&self, number: u64, status: u16, replayed: bool) {
        let mut state = self.state();
        // One that was forgotten meanwhile has no place any more.
        let place = number.checked_sub(state.forgotten + 1);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let Some(request) = place.and_then(|place| state.requests.get_mut(place)) else {
            return;
        };
        request.status = Some(status);
        request.replayed = replayed;
        let request = request.clone();
        drop(state);
        self.completed.send(request).ok();
    }
}

impl State {
    fn next_fault(&mut self, path: &str) -> Option<Fault> {
        let queue = self
            .faults
            .iter_mut()
            .filter(|(prefix, queue)| path.starts_with(prefix.as_str()) && !queue.is_empty())
            .max_by_key(|(prefix, _)| prefix.len())?;
        queue.1.pop_front()
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
