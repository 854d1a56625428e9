//! Requests that cannot be understood or done.

use serde_json::{Value, json};

use crate::support::{new_call, problem, start};

#[tokio::test]
async fn what_cannot_be_called_is_refused_with_what_to_do() {
    let api = start().await;
    let refuse = |field: &'static str, value: Value| {
        let mut body = new_call();
        body[field] = value;
        let request = api.client.post(api.url("/v1/calls")).json(&body);
        async move { request.send().await.unwrap() }
    };
    let unknown = problem(refuse("agent", json!("sales")).await, 404).await;
    assert!(
        unknown["detail"]
            .as_str()
            .unwrap()
            .contains("nearest is \"lead-qualification\"")
    );
    assert_eq!(
        problem(refuse("to", json!("sip:a@b\r\nX: y")).await, 422).await["field"],
        "to"
    );
    assert_eq!(
        problem(refuse("to", json!(5)).await, 422).await["code"],
        "invalid-value"
    );
    assert!(
        problem(refuse("form", json!("+1")).await, 422).await["detail"]
            .as_str()
            .unwrap()
            .contains("unknown field `form`")
    );
    let busy = refuse("to", json!("+1503")).await;
    assert_eq!(busy.headers()["retry-after"], "7");
    assert_eq!(problem(busy, 503).await["code"], "too-many-calls");
    let broken = problem(refuse("to", json!("+1500")).await, 500).await;
    assert!(!broken.to_string().contains("hunter2"));
}

#[tokio::test]
async fn bodies_that_are_not_small_json_are_refused() {
    let api = start().await;
    let send = |kind: &'static str, body: String| {
        let request = api
            .client
            .post(api.url("/v1/calls"))
            .header("Content-Type", kind)
            .body(body);
        async move { request.send().await.unwrap() }
    };
    let json = "application/json";
    assert_eq!(
        problem(send(json, "{".into()).await, 400).await["code"],
        "bad-json"
    );
    assert_eq!(
        problem(send("text/plain", "{}".into()).await, 415).await["code"],
        "unsupported-media-type"
    );
    let form = "application/x-www-form-urlencoded";
    problem(send(form, "to=1".into()).await, 415).await;
    let large = format!("{{\"to\": \"{}\"}}", "1".repeat(70_000));
    assert_eq!(
        problem(send(json, large).await, 413).await["code"],
        "body-too-large"
    );
    let endless =
        futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 8_192])));
    let request = api
        .client
        .post(api.url("/v1/calls"))
        .header("Content-Type", json);
    // The answer may come while the body is still being sent.
    if let Ok(response) = request
        .body(reqwest::Body::wrap_stream(endless))
        .send()
        .await
    {
        problem(response, 413).await;
    }
    let deep = format!(
        "{{\"to\":\"1\",\"agent\":\"a\",\"variables\":{{\"x\":{}",
        "[".repeat(9_000)
    );
    problem(send("application/json; charset=utf-8", deep).await, 400).await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems_too() {
    let api = start().await;
    assert_eq!(
        problem(api.get("/v1/nothing").await, 404).await["code"],
        "no-such-path"
    );
    assert_eq!(
        problem(api.get("/v1/calls/none").await, 404).await["code"],
        "not-found"
    );
    assert_eq!(
        problem(api.get("/v1/calls/%00%ff").await, 404).await["code"],
        "no-such-path"
    );
    let put = api
        .client
        .put(api.url("/v1/calls/c1"))
        .send()
        .await
        .unwrap();
    let allow = put.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("DELETE"), "{allow}");
    assert_eq!(problem(put, 405).await["code"], "method-not-allowed");
}
