//! The OpenAPI document against the server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Memory, Running, problem, start};

#[tokio::test]
async fn the_description_covers_exactly_the_routes_that_there_are() {
    let api = start().await;
    let document = api.json("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let described: std::collections::BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .keys()
                .map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let served: std::collections::BTreeSet<(String, String)> = offhook::http::paths::<Memory>()
        .into_iter()
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(described, served);
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for (method, path) in &served {
        let line = format!("`{} {path}`", method.to_uppercase());
        assert!(manual.contains(&line), "{line} is not in docs/api.md");
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let response = api
            .client
            .request(method, api.url(&path.replace("{id}", "c3")))
            .send()
            .await;
        assert_ne!(response.unwrap().status(), 405, "{line}");
    }
}

#[tokio::test]
async fn answers_have_the_shape_that_the_description_says() {
    let api = start().await;
    let document = api.json("/openapi.json").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let answer = api.json(&path.replace("{id}", "c1")).await;
        if let Err(wrong) = conforms(&document, schema, &answer) {
            panic!("{path}: {wrong}");
        }
    }
    check_problem(&api, &document).await;
}

async fn check_problem(api: &Running, document: &Value) {
    let problem = problem(api.get("/v1/nothing").await, 404).await;
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    conforms(document, &schema, &problem).unwrap();
}

/// Checks a value against as much of JSON Schema as the document uses.
fn conforms(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return conforms(
            document,
            target.ok_or(format!("{reference} is nowhere"))?,
            value,
        );
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        conforms(document, part, value)?;
    }
    if let Some(options) = schema["oneOf"].as_array() {
        if options
            .iter()
            .filter(|option| conforms(document, option, value).is_ok())
            .count()
            != 1
        {
            return Err(format!("{value} is not one of {options:?}"));
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        if !words.contains(value) {
            return Err(format!("{value} is none of {words:?}"));
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    if !types.is_empty() && !types.iter().any(|name| is(name)) {
        return Err(format!("{value} is not {types:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(member) = value.get(name) {
            conforms(document, inner, member).map_err(|wrong| format!("{name}: {wrong}"))?;
        }
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(document, &schema["items"], item)?;
    }
    Ok(())
}
