//! Event streams as server-sent events (WHATWG HTML section 9.2).

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::api::{Api, ApiError};
use super::events::{Event, EventFilter, EventStream, KINDS, StreamItem};
use super::extract::{Id, Params};
use super::problem::Problem;

/// How often a silent stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it reconnects, in ms.
const RETRY_MS: u32 = 2_000;

/// `GET /v1/events`
pub(super) async fn all<A: Api>(
    State(shared): State<Shared<A>>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = EventFilter {
        kinds: kinds(params)?,
        ..EventFilter::all()
    };
    let after = last_event_id(&headers)?;
    let events = shared.api.subscribe(filter, after).await?;
    Ok(respond(events, shared.shutdown.clone()))
}

/// `GET /v1/calls/{id}/events`
pub(super) async fn of_call<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let kinds = kinds(params)?;
    let after = last_event_id(&headers)?;
    let call = shared.api.call(&id).await?;
    let ended = call.get("ended_at").is_some_and(|at| !at.is_null());
    let filter = EventFilter {
        kinds,
        live: !ended,
        ..EventFilter::call(id)
    };
    let mut events = shared.api.subscribe(filter, after).await?.peekable();
    // 204 tells a browser's EventSource that there is nothing to reconnect for.
    if ended && after.is_some() && std::pin::Pin::new(&mut events).peek().await.is_none() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(respond(Box::pin(events), shared.shutdown.clone()))
}

fn kinds(mut params: Params) -> Result<Vec<String>, Problem> {
    let types = params.take("types")?;
    params.finish(&["types"])?;
    let Some(types) = types else {
        return Ok(Vec::new());
    };
    let kinds: Vec<String> = types
        .split(',')
        .map(|kind| kind.trim().to_owned())
        .filter(|kind| !kind.is_empty())
        .collect();
    // A kind that there is not would be waited for in vain.
    if let Some(unknown) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        let detail = format!(
            "{unknown:.64} is no kind of event: they are {}",
            KINDS.join(", ")
        );
        return Err(Problem::bad_query("types", detail));
    }
    Ok(kinds)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    match value.to_str().map(str::trim) {
        Ok("") => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| bad_last_id()),
        Err(_) => Err(bad_last_id()),
    }
}

fn bad_last_id() -> Problem {
    let error = ApiError::Invalid {
        field: "Last-Event-ID".to_owned(),
        message: "is the id of an event, a whole number".to_owned(),
    };
    Problem {
        status: StatusCode::BAD_REQUEST,
        ..error.into()
    }
}

fn respond(events: EventStream, shutdown: CancellationToken) -> Response {
    let head = stream::iter([Bytes::from(format!("retry: {RETRY_MS}\n\n"))]);
    let next_beat = Instant::now() + HEARTBEAT;
    let frames = stream::unfold((events, next_beat), |(mut events, next_beat)| async move {
        match tokio::time::timeout_at(next_beat, events.next()).await {
            Ok(item) => Some((frame(&item?), (events, next_beat))),
            Err(_) => {
                let beat = Bytes::from_static(b": alive\n\n");
                Some((beat, (events, Instant::now() + HEARTBEAT)))
            }
        }
    });
    let stop = async move { shutdown.cancelled().await };
    let body = head
        .chain(frames)
        .take_until(Box::pin(stop))
        .map(Ok::<_, Infallible>);
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies of the nginx family would hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(body)).into_response()
}

fn frame(item: &StreamItem) -> Bytes {
    match item {
        StreamItem::Event(event) => event_frame(event),
        StreamItem::Gap { oldest } => Bytes::from(format!(
            "event: stream.gap\ndata: {{\"type\":\"stream.gap\",\"oldest\":{oldest}}}\n\n"
        )),
        StreamItem::Overrun => Bytes::from_static(
            b"event: stream.overrun\ndata: {\"type\":\"stream.overrun\",\"detail\":\"the reader \
              was too slow; resume with Last-Event-ID\"}\n\n",
        ),
    }
}

fn event_frame(event: &Event) -> Bytes {
    // JSON escapes line ends, so one data line holds it all.
    let data = serde_json::to_string(event).unwrap_or_else(|_| Value::Null.to_string());
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let kind: String = event.kind.chars().filter(allowed).collect();
    let mut text = String::with_capacity(data.len() + 64);
    let _ = write!(text, "id: {}\nevent: {kind}\ndata: {data}\n\n", event.id);
    Bytes::from(text)
}
