//! `/v1/calls/{id}/hold`, `/resume`, `/transfer` and `/supervise`: what is done to a running call from
//! outside.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Shared;
use super::api::{Api, ApiError, SetSupervision, Supervise, Transfer};
use super::calls::check_address;
use super::extract::{Id, Json};
use super::problem::Problem;
use crate::agent::flow::MAX_BRIEFING;

fn accepted(id: &str) -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({ "id": id }))).into_response()
}

/// `POST /v1/calls/{id}/hold`
pub(super) async fn hold<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
) -> Result<Response, Problem> {
    shared.api.hold(&id, true).await?;
    Ok(accepted(&id))
}

/// `POST /v1/calls/{id}/resume`
pub(super) async fn resume<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
) -> Result<Response, Problem> {
    shared.api.hold(&id, false).await?;
    Ok(accepted(&id))
}

/// `POST /v1/calls/{id}/transfer`
pub(super) async fn transfer<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
    Json(transfer): Json<Transfer>,
) -> Result<Response, Problem> {
    check_address("to", &transfer.to)?;
    if !(1..=300).contains(&transfer.ring_s) {
        let message = format!("{} is out of range: from 1 to 300", transfer.ring_s);
        let field = "ring_s".to_owned();
        return Err(ApiError::Invalid { field, message }.into());
    }
    let length = transfer.briefing.chars().count();
    if length > MAX_BRIEFING {
        let message = format!("{length} characters are too many: up to {MAX_BRIEFING}");
        let field = "briefing".to_owned();
        return Err(ApiError::Invalid { field, message }.into());
    }
    shared.api.transfer(&id, transfer).await?;
    Ok(accepted(&id))
}

/// `POST /v1/calls/{id}/supervise`
pub(super) async fn begin<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
    Json(supervise): Json<Supervise>,
) -> Result<Response, Problem> {
    check_address("to", &supervise.to)?;
    shared.api.supervise(&id, supervise).await?;
    Ok(accepted(&id))
}

/// `PATCH /v1/calls/{id}/supervise`
pub(super) async fn change<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
    Json(SetSupervision { mode }): Json<SetSupervision>,
) -> Result<Response, Problem> {
    shared.api.set_supervision(&id, mode).await?;
    Ok(accepted(&id))
}

/// `DELETE /v1/calls/{id}/supervise`
pub(super) async fn end<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
) -> Result<Response, Problem> {
    shared.api.end_supervision(&id).await?;
    Ok(accepted(&id))
}
