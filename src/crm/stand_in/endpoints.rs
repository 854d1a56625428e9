//! Ploink's endpoints, as far as they are public.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use reqwest::Url;
use serde_json::{Value, json};

use super::{CONTACTS, Fault, Recorded, Shared};
use crate::crm::identity::{email_key, same_phone};

type Answer = (u16, Value);

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/requests", get(requests))
        .fallback(serve)
        .with_state(shared)
}

async fn requests(Extract(shared): Extract<Arc<Shared>>) -> Json<Vec<Recorded>> {
    Json(shared.state().requests.iter().cloned().collect())
}

async fn serve(
    Extract(shared): Extract<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let number = shared.record(recorded(&method, &uri, &headers, &body));
    let path = uri.path().to_owned();
    let fault = shared.state().next_fault(&path).unwrap_or(Fault::Pass);
    // Looked for now, made later: whoever comes in between finds nothing.
    let known = existing(&shared, &body);
    match &fault {
        Fault::Status(status) | Fault::RetryAfter(status, _) => {
            shared.complete(number, *status, false);
            let mut response = reply(*status, &json!({ "error": "on demand" }));
            if let Fault::RetryAfter(_, after) = &fault
                && let Ok(value) = after.parse()
            {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            return response;
        }
        Fault::Stall => shared.stop.cancelled().await,
        Fault::Hold(gate) => tokio::select! {
            () = gate.pass() => {}
            () = shared.stop.cancelled() => {}
        },
        Fault::CutBefore => return cut(),
        Fault::CutAfter | Fault::Pass => {}
    }
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let key = key.map(|key| (path.clone(), key.to_owned()));
    let earlier = key
        .as_ref()
        .and_then(|key| shared.state().answers.get(key).cloned());
    let replayed = earlier.is_some();
    let answer = earlier.unwrap_or_else(|| answer(&shared, &method, &uri, &body, known));
    if let Some(key) = key
        && answer.0 < 300
    {
        let answers = &mut shared.state().answers;
        if answers.len() >= shared.memory {
            answers.clear();
        }
        answers.insert(key, answer.clone());
    }
    shared.complete(number, answer.0, replayed);
    if matches!(fault, Fault::CutAfter) {
        cut()
    } else {
        reply(answer.0, &answer.1)
    }
}

fn recorded(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Value) -> Recorded {
    let text = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    };
    Recorded {
        method: method.to_string(),
        path: uri.to_string(),
        headers: headers.iter().map(text).collect(),
        body: body.clone(),
        status: None,
        replayed: false,
    }
}

fn reply(status: u16, body: &Value) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(body)).into_response()
}

/// An answer whose body breaks off with the connection.
fn cut() -> Response<Body> {
    let broken = futures_util::stream::once(async {
        Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    Response::new(Body::from_stream(broken))
}

fn answer(
    shared: &Shared,
    method: &Method,
    uri: &Uri,
    body: &Value,
    known: Option<usize>,
) -> Answer {
    match (method.as_str(), uri.path()) {
        ("GET", "/api/mautic/contacts") => (200, json!({ "contacts": search(shared, uri) })),
        ("POST", "/api/mautic/contacts") => put_contact(shared, body, known),
        ("GET", "/api/mautic/campaigns") => (
            200,
            json!({ "campaigns": [{ "id": 1, "name": "Welcome", "isPublished": true }] }),
        ),
        ("POST", "/api/mautic/segments") => checked(shared, body, &["contactId", "segmentId"]),
        ("POST", "/api/voice/call-log") => match body["duration"].is_u64() {
            true => checked(shared, body, &["phone", "outcome"]),
            false => (400, json!({ "error": "duration: whole seconds expected" })),
        },
        ("POST", "/api/appointments/book") => {
            match body["dateTime"].as_str().map(str::parse::<Timestamp>) {
                Some(Ok(_)) => checked(shared, body, &["contactId"]),
                _ => (
                    400,
                    json!({ "error": "dateTime: ISO 8601 with an offset expected" }),
                ),
            }
        }
        _ => (404, json!({ "error": "no such endpoint" })),
    }
}

/// Accepts a body that has these members.
fn checked(shared: &Shared, body: &Value, members: &[&str]) -> Answer {
    match members.iter().find(|name| body[**name].is_null()) {
        Some(name) => (400, json!({ "error": format!("{name} is missing") })),
        None => (
            201,
            json!({ "id": shared.state().next_id(), "success": true }),
        ),
    }
}

/// Returns where the contact with this body's id, e-mail or number is.
fn existing(shared: &Shared, body: &Value) -> Option<usize> {
    let state = shared.state();
    let email = |contact: &Value| contact["email"].as_str().and_then(email_key);
    let wanted = email(body);
    let same_number = |contact: &Value| {
        let phones = (contact["phone"].as_str(), body["phone"].as_str());
        !state.merges_by_email_only && matches!(phones, (Some(a), Some(b)) if same_phone(a, b))
    };
    let id = &body["id"];
    let by_id = |contact: &Value| !id.is_null() && contact["id"] == *id;
    state.contacts.iter().position(by_id).or_else(|| {
        state.contacts.iter().position(|contact| {
            (wanted.is_some() && email(contact) == wanted) || same_number(contact)
        })
    })
}

fn put_contact(shared: &Shared, body: &Value, known: Option<usize>) -> Answer {
    let Value::Object(fields) = body else {
        return (400, json!({ "error": "no contact" }));
    };
    if fields.get("email").is_none() && fields.get("phone").is_none() {
        return (400, json!({ "error": "email or phone expected" }));
    }
    let mut state = shared.state();
    if state.contacts.len() >= CONTACTS && known.is_none() {
        return (507, json!({ "error": "full" }));
    }
    if let Some(contact) = known.and_then(|at| state.contacts.get_mut(at)) {
        if let Value::Object(contact) = contact {
            let own = contact.get("id").cloned();
            contact.extend(fields.clone());
            contact.extend(own.map(|id| ("id".to_owned(), id)));
        }
        return (200, json!({ "contact": contact }));
    }
    let mut contact = fields.clone();
    contact.insert("id".into(), state.next_id().into());
    state.contacts.push(contact.clone().into());
    (201, json!({ "contact": contact }))
}

fn search(shared: &Shared, uri: &Uri) -> Vec<Value> {
    let Ok(url) = Url::parse(&format!("http://stand-in{uri}")) else {
        return Vec::new();
    };
    let found = |contact: &&Value| {
        url.query_pairs().all(|(name, wanted)| {
            let phone = contact["phone"].as_str();
            let same_number = phone.is_some_and(|phone| same_phone(phone, &wanted));
            match name.as_ref() {
                "phone" => same_number,
                "search" => same_number || contact.to_string().contains(&*wanted),
                _ => true,
            }
        })
    };
    shared
        .state()
        .contacts
        .iter()
        .filter(found)
        .cloned()
        .collect()
}
