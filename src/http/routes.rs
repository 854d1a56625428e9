//! Which path and method does what, and what surrounds every request.

use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post};
use tracing::Instrument;

use super::api::Api;
use super::guard::guard;
use super::problem::Problem;
use super::{Shared, calls, lists, recording, sse, status, supervise};
use crate::observe::metrics::{HTTP_REQUEST_MS, HTTP_REQUESTS};

/// How long a request may take until its response begins.
const DEADLINE: Duration = Duration::from_secs(30);

/// The routes, with a list of them that the OpenAPI document is held against.
struct Routes<A> {
    router: Router<Shared<A>>,
    paths: Vec<(&'static str, &'static str)>,
}

impl<A: Api> Routes<A> {
    fn add(
        mut self,
        method: &'static str,
        path: &'static str,
        to: MethodRouter<Shared<A>>,
    ) -> Self {
        self.paths.push((method, path));
        Self {
            router: self.router.route(path, to),
            paths: self.paths,
        }
    }

    fn get<H: Handler<T, Shared<A>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add("get", path, get(handler))
    }

    fn post<H: Handler<T, Shared<A>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add("post", path, post(handler))
    }

    fn delete<H: Handler<T, Shared<A>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add("delete", path, delete(handler))
    }

    fn patch<H: Handler<T, Shared<A>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add("patch", path, patch(handler))
    }

    fn all() -> Self {
        Self {
            router: Router::new(),
            paths: Vec::new(),
        }
        .get("/healthz", status::healthz)
        .get("/readyz", status::readyz::<A>)
        .get("/metrics", status::metrics::<A>)
        .get("/openapi.json", status::description)
        .post("/v1/calls", calls::create::<A>)
        .get("/v1/calls", calls::list::<A>)
        .get("/v1/calls/{id}", calls::one::<A>)
        .delete("/v1/calls/{id}", calls::hang_up::<A>)
        .get("/v1/calls/{id}/transcript", calls::transcript::<A>)
        .get("/v1/calls/{id}/recording", recording::serve_any::<A>)
        .get("/v1/calls/{id}/recording.wav", recording::serve_wav::<A>)
        .post("/v1/calls/{id}/recording/pause", recording::pause::<A>)
        .post("/v1/calls/{id}/recording/resume", recording::resume::<A>)
        .get("/v1/calls/{id}/events", sse::of_call::<A>)
        .post("/v1/calls/{id}/hold", supervise::hold::<A>)
        .post("/v1/calls/{id}/resume", supervise::resume::<A>)
        .post("/v1/calls/{id}/transfer", supervise::transfer::<A>)
        .post("/v1/calls/{id}/supervise", supervise::begin::<A>)
        .patch("/v1/calls/{id}/supervise", supervise::change::<A>)
        .delete("/v1/calls/{id}/supervise", supervise::end::<A>)
        .get("/v1/events", sse::all::<A>)
        .get("/v1/trunks", lists::trunks::<A>)
        .get("/v1/agents", lists::agents::<A>)
        .get("/v1/flows", lists::flows::<A>)
        .get("/v1/appointments", lists::appointments::<A>)
        .get("/v1/outbox", lists::outbox::<A>)
        .post("/v1/outbox/{id}/retry", lists::retry::<A>)
    }
}

/// Returns every method (in lower case) and path that is served.
pub fn paths<A: Api>() -> Vec<(&'static str, &'static str)> {
    Routes::<A>::all().paths
}

/// Builds the router with everything that surrounds it.
pub(super) fn router<A: Api>(shared: Shared<A>) -> Router {
    Routes::all()
        .router
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(deadline))
        .layer(from_fn_with_state(shared.clone(), guard::<A>))
        .layer(from_fn(observe))
        .with_state(shared)
}

async fn no_route(uri: Uri) -> Problem {
    Problem::no_route(uri.path())
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::wrong_method(method.as_str(), uri.path())
}

/// Ends requests that take too long; streams begin before that and go on after it.
async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("nothing came of this within {} s", DEADLINE.as_secs());
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "unavailable", "Not available now", detail)
                .retry_after(5)
                .into_response()
        }
    }
}

/// Gives each request its span and counts it, by route and never by what a client chose.
async fn observe(request: Request, next: Next) -> Response {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "other",
    };
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let started = tokio::time::Instant::now();
    let span = tracing::debug_span!("http", method, route);
    let mut response = next.run(request).instrument(span).await;
    let status = response.status().as_u16().to_string();
    let took_ms = started.elapsed().as_secs_f64() * 1_000.0;
    tracing::debug!(method, route, status, took_ms, "API request");
    metrics::histogram!(HTTP_REQUEST_MS, "route" => route.clone()).record(took_ms);
    metrics::counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => status)
        .increment(1);
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
