//! Who is answered.

use serde_json::Value;

use crate::support::{new_call, problem, start, start_with};

#[tokio::test]
async fn with_keys_every_request_needs_one_but_for_probes() {
    let api = start_with(&[("ops", "key-one-0123456789"), ("crm", "key-two-0123456789")]).await;
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(api.get(open).await.status(), 200, "{open}");
    }
    for closed in ["/metrics", "/v1/calls", "/v1/events", "/v1/nothing"] {
        let refused = api.get(closed).await;
        assert_eq!(
            refused.headers()["www-authenticate"],
            "Bearer realm=\"offhook\""
        );
        assert_eq!(problem(refused, 401).await["code"], "unauthorized");
    }
    let with = |value: &'static str| {
        let request = api
            .client
            .get(api.url("/v1/calls"))
            .header("Authorization", value);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(with("Bearer key-one-0123456789").await.status(), 200);
    assert_eq!(with("bearer key-two-0123456789").await.status(), 200);
    for wrong in [
        "Bearer key-one-012345678",
        "Bearer ",
        "Basic a2V5",
        "key-one-0123456789",
        "Bearerkey",
    ] {
        let refused = with(wrong).await;
        assert!(
            refused.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .contains("invalid_token")
        );
        problem(refused, 401).await;
    }
}

#[tokio::test]
async fn clients_cannot_take_each_other_s_idempotency_keys() {
    let api = start_with(&[("a", "key-one-0123456789"), ("b", "key-two-0123456789")]).await;
    let send = |key: &'static str| {
        let request = api.client.post(api.url("/v1/calls")).bearer_auth(key);
        let request = request.header("Idempotency-Key", "same").json(&new_call());
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    assert_ne!(
        send("key-one-0123456789").await,
        send("key-two-0123456789").await
    );
}

#[tokio::test]
async fn without_keys_only_this_machine_is_answered() {
    let api = start().await;
    let with = |name: &'static str, value: &'static str| {
        let request = api.client.get(api.url("/v1/calls")).header(name, value);
        async move { request.send().await.unwrap() }
    };
    for host in ["evil.example", "127.0.0.1.evil.example:8080", "192.168.1.2"] {
        assert_eq!(
            problem(with("Host", host).await, 403).await["code"],
            "forbidden"
        );
    }
    problem(with("Origin", "https://evil.example").await, 403).await;
    problem(with("Origin", "null").await, 403).await;
    problem(with("X-Forwarded-For", "203.0.113.7").await, 403).await;
    assert_eq!(with("Host", "localhost:9").await.status(), 200);
    assert_eq!(with("Origin", "http://localhost:3000").await.status(), 200);
}
