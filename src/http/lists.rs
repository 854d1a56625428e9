//! What else the switch can be asked for: trunks, agents, flows, appointments, the outbox.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use super::api::{Api, OutboxQuery};
use super::calls::page_of;
use super::extract::{Id, Params};
use super::problem::Problem;

/// `GET /v1/trunks`
pub(super) async fn trunks<A: Api>(
    State(shared): State<Shared<A>>,
    params: Params,
) -> Result<axum::Json<Value>, Problem> {
    params.finish(&[])?;
    Ok(axum::Json(json!({ "trunks": shared.api.trunks().await? })))
}

/// `GET /v1/agents`
pub(super) async fn agents<A: Api>(
    State(shared): State<Shared<A>>,
    params: Params,
) -> Result<axum::Json<Value>, Problem> {
    params.finish(&[])?;
    Ok(axum::Json(json!({ "agents": shared.api.agents().await? })))
}

/// `GET /v1/flows`
pub(super) async fn flows<A: Api>(
    State(shared): State<Shared<A>>,
    params: Params,
) -> Result<axum::Json<Value>, Problem> {
    params.finish(&[])?;
    Ok(axum::Json(json!({ "flows": shared.api.flows().await? })))
}

/// `GET /v1/appointments`
pub(super) async fn appointments<A: Api>(
    State(shared): State<Shared<A>>,
    mut params: Params,
) -> Result<Response, Problem> {
    let page = params.page()?;
    params.finish(&["limit", "cursor"])?;
    Ok(page_of(
        "appointments",
        shared.api.appointments(page).await?,
    ))
}

/// `GET /v1/outbox`
pub(super) async fn outbox<A: Api>(
    State(shared): State<Shared<A>>,
    mut params: Params,
) -> Result<Response, Problem> {
    let page = params.page()?;
    let state = params.word("state", "pending, delivering, delivered, dead")?;
    params.finish(&["limit", "cursor", "state"])?;
    Ok(page_of(
        "deliveries",
        shared.api.outbox(OutboxQuery { page, state }).await?,
    ))
}

/// `POST /v1/outbox/{id}/retry`
pub(super) async fn retry<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
) -> Result<Response, Problem> {
    shared.api.retry(&id).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(json!({ "id": id }))).into_response())
}
