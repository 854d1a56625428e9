//! The Ploink client against a server that answers over real HTTP.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they share")]

mod crm_support;

use crm_support::{
    BOOK, CALL_LOG, CONTACTS, appointment, at, begin, bodies, config, delivery, finish, finished,
    open, pending, sinks, stand_in, states,
};
use offhook::config::{Config, Env};
use offhook::crm::ploink::{Ploink, PloinkConfig};
use offhook::crm::stand_in::Fault;
use offhook::crm::{Secret, Sinks};
use offhook::store::outbox::OutboxState;
use serde_json::{Value, json};
use tempfile::tempdir;

fn variables(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_contact_is_looked_up_by_number_and_else_by_search() {
    let crm = stand_in().await;
    let ploink = Ploink::new(config(&crm)).unwrap();
    let ada = json!({"caller_name": "Ada", "caller_email": "ada@example.com",
        "caller_phone": "+12025550123"});
    ploink
        .upsert_contact(&variables(ada), "key-1")
        .await
        .unwrap();
    let before = crm.requests().len();

    let found = ploink
        .look_up("sip:+12025550123@carrier.example")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.email.as_deref(), Some("ada@example.com"));
    assert_eq!(
        crm.requests()[before].path,
        format!("{CONTACTS}?phone=%2B12025550123")
    );
    assert_eq!(crm.requests().len(), before + 1);

    assert!(ploink.look_up("ada@example.com").await.unwrap().is_some());
    assert_eq!(ploink.look_up("+12025550199").await.unwrap(), None);
    let last = crm.requests().pop().unwrap();
    assert_eq!(last.path, format!("{CONTACTS}?search=%2B12025550199"));

    // A server that does not know ?phone= is asked the other way.
    crm.fail_next(CONTACTS, [Fault::Status(400)]);
    assert!(ploink.look_up("+12025550123").await.unwrap().is_some());
    crm.fail_next(CONTACTS, [Fault::Status(503)]);
    assert!(ploink.look_up("+12025550123").await.is_err());
}

#[tokio::test]
async fn a_caller_is_known_before_the_answer_also_when_the_crm_is_slow() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let config = PloinkConfig {
        look_up_timeout_ms: 60_000,
        ..config(&crm)
    };
    let patient = Sinks::new(Some(config.clone())).unwrap();
    let hasty = Sinks::new(Some(PloinkConfig {
        look_up_timeout_ms: 20,
        ..config
    }))
    .unwrap();
    assert_eq!(
        patient.look_up(&store, "+12025550123", at(0)).await,
        variables(json!({}))
    );
    let ada = json!({"first_name": "Ada", "caller_phone": "+12025550123"});
    patient
        .ploink()
        .unwrap()
        .upsert_contact(&variables(ada), "key-1")
        .await
        .unwrap();

    let known = patient.look_up(&store, "+12025550123", at(1)).await;
    let expected = json!({"contact_id": 1, "first_name": "Ada", "caller_name": "Ada",
        "crm_contact": {"first_name": "Ada", "last_name": null}});
    assert_eq!(Value::from(known.clone()), expected);
    crm.fail_next(
        CONTACTS,
        [Fault::Stall, Fault::Status(500), Fault::Status(500)],
    );
    // What is written later is written after what the look-up left to be remembered.
    finish(&store, &Sinks::default(), &finished("+1", "", "", 0)).await;
    assert_eq!(hasty.look_up(&store, "2025550123", at(2)).await, known);
    assert_eq!(patient.look_up(&store, "2025550123", at(3)).await, known);
    assert!(patient.look_up(&store, "anonymous", at(3)).await.is_empty());
    // Somebody whose number ends alike is not taken for her.
    let stranger = patient.look_up(&store, "+13025550123", at(4)).await;
    assert_eq!(stranger, variables(json!({})));
}

#[tokio::test]
async fn every_request_carries_the_configured_headers_and_the_key() {
    let crm = stand_in().await;
    let mut config = config(&crm);
    config.api_key = Some(Secret::new("open-sesame"));
    config
        .headers
        .insert("X-Tenant".into(), Secret::new("acme"));
    let ploink = Ploink::new(config).unwrap();
    ploink.campaigns().await.unwrap();
    let log = json!({"caller_phone": "+12025550123", "duration": 3, "outcome": "completed"});
    ploink
        .call_log(&variables(log), "call-1:log")
        .await
        .unwrap();
    for request in crm.requests() {
        assert_eq!(request.headers["authorization"], "Bearer open-sesame");
        assert_eq!(request.headers["x-tenant"], "acme");
    }
    assert_eq!(crm.requests()[0].path, "/api/mautic/campaigns");
    assert_eq!(crm.requests()[1].headers["idempotency-key"], "call-1:log");
    assert_eq!(crm.requests()[1].status, Some(201));
}

#[tokio::test]
async fn bodies_are_what_the_templates_say() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let text = format!(
        r#"
        base_url = "{}"
        [templates]
        contact = {{ firstname = "{{{{first_name}}}}", lastname = "{{{{last_name}}}}", phone = "{{{{caller_phone}}}}", company = {{ budget = "{{{{budget}}}}" }} }}
        call_log = '{{ "phone": "{{{{caller_phone}}}}", "duration": "{{{{duration}}}}", "outcome": "{{{{outcome}}}} by {{{{agent | nobody}}}}", "tags": ["call", "{{{{need}}}}"] }}'
        "#,
        crm.base_url()
    );
    let config: PloinkConfig = toml::from_str(&text).unwrap();
    let sinks = Sinks::new(Some(config)).unwrap();
    let mut call = finished("+12025550123", "Ada King", "", 0);
    call.variables.insert("budget".into(), json!(250_000));
    finish(&store, &sinks, &call).await;
    delivery(&store, &sinks).deliver_due(at(50)).await.unwrap();
    assert_eq!(
        crm.requests_to("POST", CONTACTS)[0].body,
        json!({"firstname": "Ada", "lastname": "King", "phone": "+12025550123",
            "company": {"budget": 250_000}})
    );
    assert_eq!(
        crm.requests_to("POST", CALL_LOG)[0].body,
        json!({"phone": "+12025550123", "duration": 42,
            "outcome": "qualified by lead-qualification", "tags": ["call"]})
    );
}

#[tokio::test]
async fn a_known_contact_keeps_its_id_whatever_the_answer_says() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    let mut call = finished("+12025550123", "Ada", "ada@example.com", 0);
    call.variables.insert("contact_id".into(), json!("c-77"));
    begin(&store, &call).await;
    store
        .book_appointment(appointment(&call), Vec::new())
        .await
        .unwrap();
    // It is refused, which leaves the id that was looked up before the answer.
    crm.fail_next(CONTACTS, [Fault::Status(422)]);
    finish(&store, &sinks, &call).await;
    delivery(&store, &sinks).deliver_due(at(50)).await.unwrap();
    assert_eq!(crm.requests_to("GET", CONTACTS), []);
    assert_eq!(
        crm.requests_to("POST", CALL_LOG)[0].body["contactId"],
        "c-77"
    );
    assert_eq!(crm.requests_to("POST", BOOK)[0].body["contactId"], "c-77");
}

#[tokio::test]
async fn the_stand_in_tells_over_http_what_it_was_sent() {
    let crm = stand_in().await;
    let mut completed = crm.subscribe();
    let ploink = Ploink::new(config(&crm)).unwrap();
    let wrong = json!({"caller_phone": "+12025550123", "duration": 1.5, "outcome": "x"});
    let error = ploink.call_log(&variables(wrong), "k").await.unwrap_err();
    assert!(error.full().contains("whole seconds"), "{error}");
    assert!(!error.to_string().contains("whole seconds"), "{error}");
    assert_eq!(completed.recv().await.unwrap().status, Some(400));
    let url = format!("{}/requests", crm.base_url());
    let seen: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(seen[0]["path"], CALL_LOG);
    assert_eq!(seen[0]["body"]["duration"], 1.5);
}

#[tokio::test]
async fn a_crm_that_never_answers_is_left_after_its_time() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let config = PloinkConfig {
        timeout_ms: 20,
        ..config(&crm)
    };
    let sinks = Sinks::new(Some(config)).unwrap();
    crm.fail_next(CALL_LOG, [Fault::Stall]);
    let call = finished("anonymous", "", "", 0);
    finish(&store, &sinks, &call).await;
    assert!(
        delivery(&store, &sinks)
            .deliver_due(at(50))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(states(&store, call.id).await[0].1, OutboxState::Pending);
}

#[tokio::test]
async fn no_secret_is_in_an_error_even_when_the_crm_repeats_it() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    // A server that answers with what it was sent, the key where an error's words are cut.
    let echo = axum::Router::new().fallback(async |headers: axum::http::HeaderMap| {
        let sent = |name: &str| headers[name].to_str().unwrap().to_owned();
        let padding = "x".repeat(470);
        let words = format!("{} {padding} {}", sent("x-tenant"), sent("authorization"));
        (axum::http::StatusCode::FORBIDDEN, words)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, echo).await.unwrap() });
    let mut config = PloinkConfig {
        base_url: format!("http://{address}"),
        ..PloinkConfig::default()
    };
    config.api_key = Some(Secret::new("open-sesame"));
    config
        .headers
        .insert("X-Tenant".into(), Secret::new("tenant-4711"));
    let sinks = Sinks::new(Some(config)).unwrap();
    finish(&store, &sinks, &finished("anonymous", "", "", 0)).await;
    delivery(&store, &sinks).deliver_due(at(50)).await.unwrap();
    let row = &store
        .outbox(Some(OutboxState::Dead), None, None, 1)
        .await
        .unwrap()
        .items[0];
    let error = row.last_error.as_ref().unwrap();
    assert!(error.contains("403") && error.contains("***"), "{error}");
    assert!(
        !error.contains("open") && !error.contains("4711"),
        "{error}"
    );
}

#[test]
fn a_broken_template_is_found_with_the_rest_of_the_configuration() {
    let check = |templates: &str| {
        let text = format!("[crm.ploink]\ntemplates = {templates}");
        Config::parse(&text, None, &Env::default())
    };
    let good = check("{ contact = { phone = \"{{caller_phone}}\" } }").unwrap();
    let ploink = good.crm.ploink.unwrap();
    assert_ne!(ploink.templates, PloinkConfig::default().templates);
    for broken in [
        "{ contact = { phone = \"{{caller_phone\" } }",
        "{ contacts = { } }",
    ] {
        let error = check(broken).unwrap_err().to_string();
        assert!(error.contains("crm.ploink.templates"), "{error}");
    }
}

#[test]
fn how_long_the_look_up_may_take_is_configured() {
    let check = |text: &str| Config::parse(text, None, &Env::default());
    let config = check("[crm.ploink]\nlook_up_timeout_ms = 1500").unwrap();
    assert_eq!(config.crm.ploink.unwrap().look_up_timeout_ms, 1_500);
    let error = check("[crm.ploink]\nlook_up_timeout_ms = 60000").unwrap_err();
    assert!(error.to_string().contains("look_up_timeout_ms"), "{error}");
}

#[tokio::test]
async fn a_caller_without_an_e_mail_who_books_is_one_contact_also_where_numbers_do_not_merge() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    crm.merge_by_email_only();
    let sinks = sinks(&crm);
    let call = finished("+12025550123", "Ada Lovelace", "", 0);
    begin(&store, &call).await;
    let booked = appointment(&call);
    let items = sinks.plan_booked(&call, &booked);
    store.book_appointment(booked, items).await.unwrap();
    finish(&store, &sinks, &call).await;
    delivery(&store, &sinks).deliver_due(at(50)).await.unwrap();
    assert_eq!(bodies(&crm, CONTACTS).len(), 2);
    // The second goes by the id that the first brought, and is not looked for again.
    assert_eq!(crm.requests_to("GET", CONTACTS).len(), 2);
    assert_eq!(crm.contacts().len(), 1, "{:#?}", crm.contacts());
    let contact = &crm.contacts()[0];
    assert_eq!(bodies(&crm, BOOK)[0]["contactId"], contact["id"]);
    assert_eq!(bodies(&crm, CALL_LOG)[0]["contactId"], contact["id"]);
    assert_eq!(pending(&store).await, 0);
}

#[tokio::test]
async fn a_known_caller_keeps_the_names_that_the_crm_has_however_often_they_call() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    crm.merge_by_email_only();
    let sinks = sinks(&crm);
    finish(
        &store,
        &sinks,
        &finished("+12025550123", "Ada Lovelace", "", 0),
    )
    .await;
    let mut delivery = delivery(&store, &sinks);
    delivery.deliver_due(at(50)).await.unwrap();
    for nth in 1..4 {
        let mut call = finished("+12025550123", "", "", nth);
        call.variables = sinks.look_up(&store, "+12025550123", at(50 + nth)).await;
        // As the flow of lead qualification greets who is known.
        call.variables
            .insert("caller_name".into(), json!("Ada Lovelace"));
        finish(&store, &sinks, &call).await;
        delivery.deliver_due(at(100 + nth)).await.unwrap();
    }
    let contacts = crm.contacts();
    assert_eq!(contacts.len(), 1, "{contacts:#?}");
    assert_eq!(
        (&contacts[0]["firstname"], &contacts[0]["lastname"]),
        (&json!("Ada"), &json!("Lovelace"))
    );
    let last = bodies(&crm, CONTACTS).pop().unwrap();
    assert_eq!(
        (last.get("firstname"), &last["id"]),
        (None, &contacts[0]["id"])
    );
}
