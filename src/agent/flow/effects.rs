//! HTTP requests and bookings of a flow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use serde_json::Value;

use super::definition::{Book, HttpNode, Node};
use super::run::{At, FlowRun, Step};
use super::template::{Mode, Scope, percent_encode, render};
use crate::agent::variables::dotted;
use crate::agent::{
    BookRequest, Booking, Context, HttpRequest, HttpResponse, RequestFailure, RequestId, Variables,
};

/// What a request is made of; shared by `http` nodes and an LLM's HTTP tools.
pub(super) struct Recipe<'n> {
    pub(super) node: &'n str,
    pub(super) method: &'n str,
    pub(super) url: &'n str,
    pub(super) headers: &'n BTreeMap<String, String>,
    pub(super) json: Option<&'n Value>,
    pub(super) form: Option<&'n BTreeMap<String, String>>,
    pub(super) timeout_s: f64,
}

impl FlowRun {
    pub(super) fn enter_http(&mut self, cx: &mut Context<'_>, name: &str, n: &HttpNode) -> Step {
        let recipe = Recipe {
            node: name,
            method: &n.method,
            url: &n.url,
            headers: &n.headers,
            json: n.json.as_ref(),
            form: n.form.as_ref(),
            timeout_s: n.timeout_s,
        };
        let request = self.http_request(cx.wall(), &recipe, &self.variables);
        self.say_nth(cx, &n.say, 0);
        let request = cx.http(request);
        self.at = At::Http {
            node: name.to_owned(),
            request,
        };
        Step::Stay
    }

    /// Renders a request from its recipe.
    pub(super) fn http_request(
        &self,
        wall: &Zoned,
        recipe: &Recipe<'_>,
        variables: &Variables,
    ) -> HttpRequest {
        let scope = Scope {
            variables,
            locals: &[],
            wall,
        };
        let mut headers: Vec<(String, String)> = recipe
            .headers
            .iter()
            .map(|(k, v)| (k.clone(), render(v, &scope, Mode::Header)))
            .collect();
        let (kind, body) = match (recipe.json, recipe.form) {
            // A text is a template of the JSON itself.
            (Some(Value::String(text)), _) => (
                Some("application/json"),
                Some(render(text, &scope, Mode::Json)),
            ),
            (Some(value), _) => {
                let filled = fill(variables, wall, value);
                (Some("application/json"), Some(filled.to_string()))
            }
            (None, Some(form)) => {
                let pair = |(k, v): (&String, &String)| {
                    format!(
                        "{}={}",
                        percent_encode(k),
                        render(&form_template(v), &scope, Mode::Url)
                    )
                };
                let body = form.iter().map(pair).collect::<Vec<_>>();
                (
                    Some("application/x-www-form-urlencoded"),
                    Some(body.join("&")),
                )
            }
            (None, None) => (None, None),
        };
        let named = headers
            .iter()
            .any(|(k, _)| k.eq_ignore_ascii_case("content-type"));
        if let Some(kind) = kind.filter(|_| !named) {
            headers.push(("Content-Type".to_owned(), kind.to_owned()));
        }
        let timeout = Duration::try_from_secs_f64(recipe.timeout_s.clamp(0.1, 60.0));
        HttpRequest {
            id: RequestId(0),
            node: recipe.node.to_owned(),
            method: recipe.method.to_uppercase(),
            url: render(recipe.url, &scope, Mode::Url),
            headers,
            body,
            timeout: timeout.unwrap_or(Duration::from_secs(5)),
        }
    }

    pub(super) fn enter_book(&mut self, cx: &mut Context<'_>, name: &str, n: &Book) -> Step {
        let date_time = self.render(cx.wall(), &n.date_time, &[]);
        if date_time.trim().is_empty() {
            return Step::To(n.on_error.as_ref().unwrap_or(&n.next).clone());
        }
        let request = BookRequest {
            id: RequestId(0),
            date_time,
            kind: self.render(cx.wall(), &n.appointment_type, &[]),
            notes: self.render(cx.wall(), &n.notes, &[]),
        };
        self.say_nth(cx, &n.say, 0);
        let request = cx.book(request);
        self.at = At::Book {
            node: name.to_owned(),
            request,
        };
        Step::Stay
    }

    pub(super) fn http_answered(
        &mut self,
        cx: &mut Context<'_>,
        id: RequestId,
        result: Result<HttpResponse, RequestFailure>,
    ) {
        if matches!(self.at, At::Llm(_)) {
            return self.tool_answered(cx, id, &tool_text(&result));
        }
        let node = match &self.at {
            At::Http { node, request } if *request == id => node.clone(),
            _ => return,
        };
        let flow = Arc::clone(&self.flow);
        let Some(Node::Http(n)) = flow.nodes.get(&node) else {
            return self.broken(cx);
        };
        let good = match &result {
            Ok(response) => (200..300).contains(&response.status),
            Err(_) => false,
        };
        if let Ok(response) = &result {
            self.save(&n.save, response);
        }
        if good {
            self.go(cx, &n.next);
        } else {
            tracing::warn!(node = %node, "the request failed");
            self.go(cx, n.on_error.as_ref().unwrap_or(&n.next));
        }
    }

    fn save(&mut self, save: &BTreeMap<String, String>, response: &HttpResponse) {
        let json: Value = serde_json::from_str(&response.body).unwrap_or(Value::Null);
        for (name, path) in save {
            let value = match path.as_str() {
                "status" => Some(response.status.into()),
                "body" => Some(Value::String(response.body.clone())),
                pointer if pointer.starts_with('/') => json.pointer(pointer).cloned(),
                path => dotted(&json, path).cloned(),
            };
            if let Some(value) = value {
                self.variables.insert(name.clone(), value);
            }
        }
    }

    pub(super) fn booked(
        &mut self,
        cx: &mut Context<'_>,
        id: RequestId,
        result: Result<Booking, RequestFailure>,
    ) {
        if let Ok(Booking {
            id: Some(appointment),
        }) = &result
        {
            self.variables.insert("appointment_id", appointment.clone());
        }
        if matches!(self.at, At::Llm(_)) {
            let text = match &result {
                Ok(_) => "booked".to_owned(),
                Err(error) => format!("error: {error}"),
            };
            return self.tool_answered(cx, id, &text);
        }
        let At::Book { node, request } = &self.at else {
            return;
        };
        if *request != id {
            return;
        }
        let flow = Arc::clone(&self.flow);
        let Some(Node::Book(n)) = flow.nodes.get(node) else {
            return self.broken(cx);
        };
        match result {
            Ok(_) => self.go(cx, &n.next),
            Err(_) => self.go(cx, n.on_error.as_ref().unwrap_or(&n.next)),
        }
    }
}

/// Encodes a template's literal parts; its values are encoded when they are put in.
fn form_template(template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((head, tail)) = rest.split_once("{{") {
        out.push_str(&percent_encode(head));
        let Some((inner, after)) = tail.split_once("}}") else {
            rest = tail;
            break;
        };
        out.push_str(&format!("{{{{{inner}}}}}"));
        rest = after;
    }
    out.push_str(&percent_encode(rest));
    out
}

fn tool_text(result: &Result<HttpResponse, RequestFailure>) -> String {
    match result {
        Ok(response) => {
            let body: String = response.body.chars().take(4_000).collect();
            format!("HTTP {}: {body}", response.status)
        }
        Err(error) => format!("error: {error}"),
    }
}

/// Fills a JSON template: texts are rendered, a lone `{{x}}` keeps the value's type.
pub(super) fn fill(variables: &Variables, wall: &Zoned, value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let whole = super::template::sole_path(text).and_then(|p| variables.path(p));
            match whole {
                Some(kept) if !kept.is_null() => kept.clone(),
                _ => render(
                    text,
                    &Scope {
                        variables,
                        locals: &[],
                        wall,
                    },
                    Mode::Plain,
                )
                .into(),
            }
        }
        Value::Array(items) => items.iter().map(|v| fill(variables, wall, v)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(k, v)| (k.clone(), fill(variables, wall, v)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}
