//! The API: calls, events, health and metrics over HTTP (axum).
//!
//! Handlers know the switch through the [`Api`] trait only. Every error, also of the layers below
//! the handlers, is an RFC 9457 problem document. Without keys only this machine is answered.

mod api;
mod calls;
mod event_data;
pub mod events;
mod extract;
mod guard;
mod kinds;
mod lists;
pub mod openapi;
mod problem;
mod recording;
pub mod replay;
mod routes;
mod serve;
mod sse;
mod status;
mod supervise;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::observe::metrics::Metrics;

pub use api::{
    Api, ApiError, CallCreated, CallQuery, Check, Direction, Idempotency, NewCall, OutboxQuery,
    OutboxState, Page, PageQuery, Readiness, SetSupervision, Supervise, SupervisorMode, Transfer,
};
pub use events::{Event, EventBus, EventFilter, EventStream, StreamItem};
pub use replay::{Archive, replay};
pub use routes::paths;
pub use serve::{HttpError, Server};

/// What every handler has.
struct Shared<A> {
    api: Arc<A>,
    keys: Arc<guard::Keys>,
    metrics: Option<Metrics>,
    shutdown: CancellationToken,
}

impl<A> Clone for Shared<A> {
    fn clone(&self) -> Self {
        Self {
            api: Arc::clone(&self.api),
            keys: Arc::clone(&self.keys),
            metrics: self.metrics.clone(),
            shutdown: self.shutdown.clone(),
        }
    }
}
