//! `/v1/calls`: place, list, read and end calls.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Shared;
use super::api::{Api, CallQuery, Idempotency, NewCall, Page};
use super::extract::{Id, Json, Params};
use super::guard::Client;
use super::problem::Problem;

/// The longest number, URI or name of a request, in characters.
const MAX_TEXT: usize = 255;
/// The most variables of a call.
const MAX_VARIABLES: usize = 64;
/// The states of a call, as its JSON names them.
pub(super) const STATES: [&str; 8] = [
    "queued",
    "ringing",
    "in-progress",
    "completed",
    "failed",
    "busy",
    "no-answer",
    "canceled",
];

/// `POST /v1/calls`
pub(super) async fn create<A: Api>(
    State(shared): State<Shared<A>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    Json(call): Json<NewCall>,
) -> Result<Response, Problem> {
    check(&call)?;
    let key = idempotency(&headers, &client, &call)?;
    let created = shared.api.create_call(call, key).await?;
    let body = axum::Json(json!({ "id": created.id }));
    let mut response = (StatusCode::ACCEPTED, body).into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/calls/{}", created.id)) {
        headers.insert(header::LOCATION, location);
    }
    if created.replayed {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn check(call: &NewCall) -> Result<(), Problem> {
    check_address("to", &call.to)?;
    if let Some(from) = &call.from {
        check_address("from", from)?;
    }
    for (field, name) in [("agent", Some(&call.agent)), ("trunk", call.trunk.as_ref())] {
        if name.is_some_and(|name| name.is_empty() || name.chars().count() > MAX_TEXT) {
            return Err(Problem::invalid(
                field,
                format!("{field} is the name of one; see /v1"),
            ));
        }
    }
    if call.variables.len() > MAX_VARIABLES {
        let detail = format!("a call has at most {MAX_VARIABLES} variables");
        return Err(Problem::invalid("variables", detail));
    }
    Ok(())
}

/// Accepts numbers as people write them and SIP and tel URIs; never what could break out of a
/// header.
pub(super) fn check_address(field: &str, text: &str) -> Result<(), Problem> {
    let wrong = |detail: &str| Err(Problem::invalid(field, format!("{field}: {detail}")));
    if text.is_empty() || text.chars().count() > MAX_TEXT {
        return wrong("write a number such as \"+12025550100\", or a sip: or tel: URI");
    }
    let unsafe_char = |c: char| c.is_control() || c.is_whitespace() || "<>\"\\".contains(c);
    match text.split_once(':') {
        Some((scheme, rest)) => {
            let known = ["sip", "sips", "tel"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known));
            if !known || rest.is_empty() || rest.contains(unsafe_char) {
                return wrong("is not a sip: or tel: URI");
            }
        }
        None => {
            let digits = text.chars().filter(char::is_ascii_digit).count();
            let allowed = |c: char| c.is_ascii_digit() || " +-().*#".contains(c);
            let number = text.chars().all(allowed) && digits > 0;
            let name = text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if !number && !name {
                return wrong("is neither a number such as \"+12025550100\" nor a sip: URI");
            }
        }
    }
    Ok(())
}

fn idempotency(
    headers: &HeaderMap,
    client: &Client,
    call: &NewCall,
) -> Result<Option<Idempotency>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .map(|text| text.trim().trim_matches('"'))
        .unwrap_or_default();
    if key.is_empty() || key.len() > MAX_TEXT || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = "Idempotency-Key has from 1 to 255 visible characters, for instance a UUID";
        let problem = Problem::invalid("Idempotency-Key", detail);
        return Err(Problem {
            status: StatusCode::BAD_REQUEST,
            ..problem
        });
    }
    let request = serde_json::to_vec(call).unwrap_or_default();
    let digest = Sha256::digest(&request);
    let fingerprint = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Idempotency {
        key: format!("{}/{key}", client.0),
        fingerprint,
    }))
}

/// `GET /v1/calls`
pub(super) async fn list<A: Api>(
    State(shared): State<Shared<A>>,
    mut params: Params,
) -> Result<Response, Problem> {
    let page = params.page()?;
    let direction = params.word("direction", "inbound, outbound")?;
    let state = params.take("state")?;
    params.finish(&["limit", "cursor", "state", "direction"])?;
    if state
        .as_deref()
        .is_some_and(|state| !STATES.contains(&state))
    {
        let detail = format!("state is one of {}", STATES.join(", "));
        return Err(Problem::bad_query("state", detail));
    }
    let calls = shared
        .api
        .calls(CallQuery {
            page,
            state,
            direction,
        })
        .await?;
    Ok(page_of("calls", calls))
}

/// Answers with a page, its items under `name`.
pub(super) fn page_of(name: &str, page: Page) -> Response {
    axum::Json(json!({ name: page.items, "next_cursor": page.next_cursor })).into_response()
}

/// `GET /v1/calls/{id}`
pub(super) async fn one<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
) -> Result<axum::Json<Value>, Problem> {
    Ok(axum::Json(shared.api.call(&id).await?))
}

/// `DELETE /v1/calls/{id}`
pub(super) async fn hang_up<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
) -> Result<Response, Problem> {
    shared.api.hang_up(&id).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(json!({ "id": id }))).into_response())
}

/// `GET /v1/calls/{id}/transcript`
pub(super) async fn transcript<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let text = wants_text(&headers)?;
    let call = shared.api.call(&id).await?;
    let turns = call
        .get("turns")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let vary = (header::VARY, "accept");
    if text {
        let plain: String = turns.iter().map(plain_turn).collect();
        let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
        return Ok(([vary, kind], plain).into_response());
    }
    let turns: Vec<Value> = turns.iter().map(transcript_turn).collect();
    Ok(([vary], axum::Json(json!({ "id": id, "turns": turns }))).into_response())
}

fn transcript_turn(turn: &Value) -> Value {
    let keep = ["who", "text", "heard_text", "started_at", "interrupted"];
    let members = keep
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), turn.get(key)?.clone())));
    Value::Object(members.collect())
}

/// Writes one turn as `who: text`; what the caller never heard of an answer is left out.
fn plain_turn(turn: &Value) -> String {
    let text = |key: &str| {
        turn.get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let said = text("heard_text")
        .or_else(|| text("text"))
        .unwrap_or_default();
    let cut = turn
        .get("interrupted")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let mark = if cut { " —" } else { "" };
    format!(
        "{}: {}{mark}\n",
        text("who").unwrap_or("?"),
        said.replace(['\r', '\n'], " ")
    )
}

/// Chooses by Accept (RFC 9110 section 12.5.1) between JSON, which is the default, and text.
fn wants_text(headers: &HeaderMap) -> Result<bool, Problem> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("*/*");
    let (mut json_q, mut text_q) = (0.0_f32, 0.0_f32);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let q = parts
            .find_map(|part| part.strip_prefix("q=")?.parse().ok())
            .unwrap_or(1.0);
        match kind.as_str() {
            // A wildcard takes what is best for us, a little below what is named.
            "*/*" => json_q = json_q.max(q * 0.99),
            "application/json" | "application/*" => json_q = json_q.max(q),
            "text/plain" | "text/*" => text_q = text_q.max(q),
            _ => {}
        }
    }
    if json_q <= 0.0 && text_q <= 0.0 {
        let detail = "a transcript is application/json or text/plain";
        let (status, title) = (StatusCode::NOT_ACCEPTABLE, "No such representation");
        return Err(Problem::new(status, "not-acceptable", title, detail));
    }
    Ok(text_q > json_q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_uris_are_accepted_and_header_breaks_are_not() {
        for good in [
            "+12025550100",
            "030 123-45",
            "sip:a@b:5060;transport=tcp",
            "tel:+1",
            "alice",
        ] {
            assert!(check_address("to", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "+",
            "http://x",
            "sip:",
            "sip:a@b\r\nX: y",
            "a b",
            "sip:<a@b>",
            "+1\n2",
        ] {
            assert!(check_address("to", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn accept_chooses_the_transcript_s_form() {
        let wants = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            wants_text(&headers).ok()
        };
        assert_eq!(wants("text/plain"), Some(true));
        assert_eq!(wants("*/*"), Some(false));
        assert_eq!(wants("text/plain;q=0.5, application/json"), Some(false));
        assert_eq!(wants("text/plain, */*;q=0.1"), Some(true));
        assert_eq!(wants("image/png"), None);
    }
}
