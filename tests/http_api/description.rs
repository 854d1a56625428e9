//! The OpenAPI document against the server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::conforms::conforms;
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
