//! Whether the switch lives, whether it can take calls, what it measures, what its API is.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use super::api::Api;
use super::openapi;
use super::problem::Problem;

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> axum::Json<Value> {
    axum::Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: calls can be taken, or what is missing.
pub(super) async fn readyz<A: Api>(State(shared): State<Shared<A>>) -> Response {
    let readiness = shared.api.ready().await;
    let (status, word) = match readiness.is_ready() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    let body = json!({ "status": word, "checks": readiness.checks });
    let mut response = (status, axum::Json(body)).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /metrics`: the Prometheus text format.
pub(super) async fn metrics<A: Api>(State(shared): State<Shared<A>>) -> Result<Response, Problem> {
    let Some(metrics) = &shared.metrics else {
        let detail = "this process measures nothing";
        let status = StatusCode::NOT_FOUND;
        return Err(Problem::new(status, "not-found", "No metrics", detail));
    };
    let kind = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    Ok(([kind], metrics.render()).into_response())
}

/// `GET /openapi.json`: the OpenAPI 3.1 description of everything here.
pub(super) async fn description() -> Response {
    let kind = (header::CONTENT_TYPE, "application/json");
    ([kind], openapi::text()).into_response()
}
