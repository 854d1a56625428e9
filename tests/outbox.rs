//! The outbox, over real HTTP: everything reaches the CRM, once, however the CRM behaves.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they share")]

mod crm_support;

use crm_support::{
    BOOK, CALL_LOG, CONTACTS, SEGMENTS, appointment, at, begin, bodies, config, delivery, finish,
    finished, incoming, open, pending, sinks, stand_in, states,
};
use offhook::crm::ploink::PloinkConfig;
use offhook::crm::stand_in::{Fault, Gate, StandIn};
use offhook::crm::{Delivery, DeliveryOptions, Sinks};
use offhook::store::outbox::OutboxState;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::tempdir;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_call_leaves_a_contact_an_appointment_and_a_log_in_this_order() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let config = PloinkConfig {
        segment: Some("7".into()),
        ..config(&crm)
    };
    let sinks = Sinks::new(Some(config)).unwrap();
    let call = finished(
        "sip:+12025550123@carrier.example",
        "Ada Lovelace",
        "ada@example.com",
        0,
    );
    store.insert_call(incoming("x", 0)).await.unwrap();
    begin(&store, &call).await;
    store
        .book_appointment(appointment(&call), Vec::new())
        .await
        .unwrap();
    finish(&store, &sinks, &call).await;

    assert_eq!(
        delivery(&store, &sinks).deliver_due(at(50)).await.unwrap(),
        None
    );
    let posts: Vec<_> = crm
        .requests()
        .into_iter()
        .filter(|request| request.method == "POST")
        .map(|request| {
            (
                request.path,
                request.body,
                request.headers["idempotency-key"].clone(),
            )
        })
        .collect();
    let transcript = "Agent: Hello, who is there?\nCaller: This is Ada Lovelace.";
    let key = |step: &str| format!("{}:ploink:{step}", call.id);
    let booked = store.call_appointments(call.id).await.unwrap();
    assert_eq!(
        posts,
        [
            (
                CONTACTS.to_owned(),
                json!({"firstname": "Ada", "lastname": "Lovelace", "email": "ada@example.com",
                    "phone": "+12025550123", "notes": transcript}),
                key("contact"),
            ),
            (
                SEGMENTS.to_owned(),
                json!({"contactId": 1, "segmentId": "7"}),
                key("segment"),
            ),
            (
                BOOK.to_owned(),
                json!({"contactId": 1, "dateTime": "2026-03-04T15:00:00-05:00",
                    "type": "discovery-call", "notes": "wants a quote"}),
                key(&format!("appointment:{}", booked[0].id)),
            ),
            (
                CALL_LOG.to_owned(),
                json!({"phone": "+12025550123", "transcript": transcript, "duration": 42,
                    "outcome": "qualified", "contactId": 1}),
                key("call-log"),
            ),
        ]
    );
    let rows = store
        .outbox(Some(OutboxState::Delivered), None, None, 100)
        .await
        .unwrap();
    assert_eq!(rows.items.len(), 4);
    assert_eq!(rows.items[0].result, Some(json!({"contact_id": 1})));
    let remembered = store.contact("025550123").await.unwrap().unwrap();
    assert_eq!(remembered.variables["caller_name"], "Ada Lovelace");
}

#[tokio::test]
async fn an_appointment_is_confirmed_while_the_call_goes_on_and_not_again_after_it() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    let call = finished("+12025550123", "Ada", "ada@example.com", 0);
    begin(&store, &call).await;
    let booked = appointment(&call);
    let items = sinks.plan_booked(&call, &booked);
    store.book_appointment(booked, items).await.unwrap();
    let mut delivery = delivery(&store, &sinks);
    delivery.deliver_due(at(20)).await.unwrap();
    assert_eq!(bodies(&crm, BOOK).len(), 1);
    assert_eq!(bodies(&crm, CALL_LOG).len(), 0);
    finish(&store, &sinks, &call).await;
    delivery.deliver_due(at(50)).await.unwrap();
    assert_eq!(bodies(&crm, BOOK).len(), 1);
    assert_eq!(bodies(&crm, CALL_LOG).len(), 1);
    assert_eq!(crm.contacts().len(), 1);
}

#[tokio::test]
async fn a_dead_crm_is_tried_again_later_and_later_until_it_is_back() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let crm = stand_in().await;
    let address = crm.address();
    let sinks = sinks(&crm);
    crm.stop();
    drop(crm);
    let call = finished("+12025550123", "Ada", "ada@example.com", 0);
    finish(&store, &sinks, &call).await;
    let mut delivery = delivery(&store, &sinks);
    let mut now = at(50);
    let mut waits = Vec::new();
    for _ in 0..14 {
        let next = delivery.deliver_due(now).await.unwrap().unwrap();
        waits.push(next.duration_since(now).as_secs());
        now = next;
    }
    assert!(waits[0] <= 2 && waits[3] >= 8, "{waits:?}");
    assert!(waits[13] >= 450 && waits[13] <= 900, "{waits:?}");
    let row = &store.outbox(None, None, None, 1).await.unwrap().items[0];
    assert_eq!((row.attempts, row.state), (14, OutboxState::Pending));
    assert!(
        !row.last_error.as_ref().unwrap().contains("5550123"),
        "{:?}",
        row.last_error
    );

    let crm = loop {
        // The port is free as soon as the old listener's task has seen that it is to stop.
        match StandIn::start(address).await {
            Ok(crm) => break crm,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(delivery.deliver_due(now).await.unwrap(), None);
    assert_eq!(
        (bodies(&crm, CONTACTS).len(), bodies(&crm, CALL_LOG).len()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_crm_that_asks_for_time_gets_it_for_all_its_rows() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    crm.fail_next(CONTACTS, [Fault::RetryAfter(429, "120".into())]);
    finish(&store, &sinks, &finished("+12025550123", "Ada", "", 0)).await;
    let mut delivery = delivery(&store, &sinks);
    let next = delivery.deliver_due(at(50)).await.unwrap();
    assert_eq!(next, Some(at(170)));
    let so_far = crm.requests().len();

    finish(&store, &sinks, &finished("+12025550124", "Bob", "", 60)).await;
    assert_eq!(delivery.deliver_due(at(169)).await.unwrap(), Some(at(170)));
    assert_eq!(crm.requests().len(), so_far);
    assert_eq!(delivery.deliver_due(at(170)).await.unwrap(), None);
    assert_eq!(bodies(&crm, CALL_LOG).len(), 2);

    // A server that says "at once" for ever is not hammered.
    crm.fail_next("/", [Fault::RetryAfter(503, "0".into())]);
    finish(&store, &sinks, &finished("+12025550125", "Eve", "", 180)).await;
    assert_eq!(delivery.deliver_due(at(300)).await.unwrap(), Some(at(301)));
}

#[tokio::test]
async fn a_refused_row_is_a_dead_letter_that_can_be_seen_and_retried() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    // Found by nobody, then refused: not the caller's fault but the key's.
    crm.fail_next(
        CONTACTS,
        [Fault::Pass, Fault::Pass, Fault::Pass, Fault::Status(401)],
    );
    let call = finished("+12025550123", "Ada", "ada@example.com", 0);
    begin(&store, &call).await;
    store
        .book_appointment(appointment(&call), Vec::new())
        .await
        .unwrap();
    finish(&store, &sinks, &call).await;
    let mut delivery = delivery(&store, &sinks);
    assert_eq!(delivery.deliver_due(at(50)).await.unwrap(), None);
    let expected = [
        ("contact", OutboxState::Dead),
        // It needs the contact's id and is given up with it; the log does without.
        ("appointment", OutboxState::Dead),
        ("call-log", OutboxState::Delivered),
    ];
    assert_eq!(
        states(&store, call.id).await,
        expected.map(|(k, s)| (k.to_owned(), s))
    );
    assert_eq!(bodies(&crm, CALL_LOG)[0].get("contactId"), None);
    let dead = store
        .outbox(Some(OutboxState::Dead), None, None, 10)
        .await
        .unwrap()
        .items;
    assert!(
        dead[0].last_error.as_ref().unwrap().contains("401"),
        "{dead:?}"
    );
    assert_eq!(
        (dead.len(), store.outbox_depth().await.unwrap().dead),
        (2, 2)
    );
    let why = dead[1].last_error.as_ref().unwrap();
    assert!(
        why.contains("given up") && dead[1].attempts == 0,
        "{dead:?}"
    );

    // Another booking of the same call finds the contact dead already.
    let late = sinks.plan_finished(&call, &[appointment(&call)]);
    let late: Vec<_> = late
        .into_iter()
        .filter(|item| item.kind == "appointment")
        .collect();
    store
        .book_appointment(appointment(&call), late)
        .await
        .unwrap();
    assert_eq!(store.outbox_depth().await.unwrap().dead, 3);

    // Whichever of them is tried again takes along what it needs.
    assert!(store.retry_dead(dead[1].id, at(60)).await.unwrap());
    assert!(!store.retry_dead(dead[0].id, at(60)).await.unwrap());
    assert_eq!(store.outbox_depth().await.unwrap().dead, 0);
    assert_eq!(delivery.deliver_due(at(60)).await.unwrap(), None);
    assert!(
        states(&store, call.id)
            .await
            .iter()
            .all(|(_, s)| *s == OutboxState::Delivered)
    );
    assert_eq!(bodies(&crm, BOOK)[0]["contactId"], crm.contacts()[0]["id"]);
    assert_eq!(store.retry_all_dead(at(70)).await.unwrap(), 0);
}

#[tokio::test]
async fn attempts_have_an_end() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    crm.fail_next(CALL_LOG, (0..3).map(|_| Fault::Status(500)));
    let call = finished("anonymous", "", "", 0);
    finish(&store, &sinks, &call).await;
    let options = DeliveryOptions {
        max_attempts: 3,
        ..DeliveryOptions::default()
    };
    let mut delivery = Delivery::new(store.clone(), sinks, options);
    let mut now = at(50);
    while let Some(next) = delivery.deliver_due(now).await.unwrap() {
        now = next;
    }
    assert_eq!(
        states(&store, call.id).await,
        [("call-log".to_owned(), OutboxState::Dead)]
    );
    assert_eq!(crm.requests().len(), 3);
}

#[tokio::test]
async fn which_answers_are_tried_again() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    let mut delivery = delivery(&store, &sinks);
    let cases = [
        (
            OutboxState::Pending,
            vec![408, 409, 425, 429, 500, 502, 503, 504],
        ),
        (
            OutboxState::Dead,
            vec![301, 307, 400, 401, 403, 404, 410, 413, 422],
        ),
    ];
    for (expected, statuses) in cases {
        for status in statuses {
            crm.fail_next(CALL_LOG, [Fault::Status(status)]);
            let call = finished("anonymous", "", "", 0);
            finish(&store, &sinks, &call).await;
            delivery.deliver_due(at(50)).await.unwrap();
            assert_eq!(states(&store, call.id).await[0].1, expected, "{status}");
        }
    }
}

#[tokio::test]
async fn parallel_calls_of_one_caller_make_one_contact_and_hold_up_nobody_else() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    let gate = Gate::closed();
    // The first contact is looked for and found missing, and made only when the gate opens.
    let looked_for = (0..3).map(|_| Fault::Pass);
    crm.fail_next(CONTACTS, looked_for.chain([Fault::Hold(gate.clone())]));
    let first = finished("+12025550123", "Ada", "ada@example.com", 0);
    finish(&store, &sinks, &first).await;
    let options = DeliveryOptions {
        concurrency: 16,
        ..DeliveryOptions::default()
    };
    let delivery = Delivery::new(store.clone(), sinks.clone(), options);
    let stop = CancellationToken::new();
    let running = tokio::spawn(delivery.run(|| at(100), stop.clone()));
    crm.arrived(4).await;

    // The same number as people and trunks spell it, and the same address from another number.
    for from in [
        "2025550123",
        "tel:+1-202-555-0123",
        "0012025550123",
        "+12025550123",
    ] {
        finish(&store, &sinks, &finished(from, "Ada", "ada@example.com", 1)).await;
    }
    finish(
        &store,
        &sinks,
        &finished("+12025550177", "Ada at work", "ADA@example.com", 1),
    )
    .await;
    finish(&store, &sinks, &finished("+12025550199", "Bob", "", 2)).await;
    let mut seen = crm.requests().len() as u64;
    while !bodies(&crm, CALL_LOG)
        .iter()
        .any(|body| body["phone"] == "+12025550199")
    {
        seen += 1;
        crm.arrived(seen).await;
    }
    let of_ada = |body: &Value| body["phone"] != "+12025550199";
    assert_eq!(
        bodies(&crm, CONTACTS)
            .iter()
            .filter(|body| of_ada(body))
            .count(),
        1
    );
    gate.open();
    while bodies(&crm, CALL_LOG).len() < 7 {
        seen += 1;
        crm.arrived(seen).await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(crm.contacts().len(), 2, "{:?}", crm.contacts());
    let contacts = crm.contacts();
    let ada = &contacts.iter().find(|contact| of_ada(contact)).unwrap()["id"];
    let logs = bodies(&crm, CALL_LOG);
    assert!(
        logs.iter()
            .filter(|log| of_ada(log))
            .all(|log| log["contactId"] == *ada)
    );
    assert_eq!(pending(&store).await, 0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_doubles_nothing() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    crm.fail_next(
        CONTACTS,
        [Fault::CutBefore, Fault::Pass, Fault::Pass, Fault::CutAfter],
    );
    crm.fail_next(CALL_LOG, [Fault::CutAfter]);
    finish(&store, &sinks, &finished("+12025550123", "Ada", "", 0)).await;
    let mut delivery = delivery(&store, &sinks);
    let mut now = at(50);
    while let Some(next) = delivery.deliver_due(now).await.unwrap() {
        now = next;
    }
    assert_eq!(crm.contacts().len(), 1);
    let logs = crm.requests_to("POST", CALL_LOG);
    assert_eq!(
        logs.iter().map(|log| log.replayed).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(
        logs[0].headers["idempotency-key"],
        logs[1].headers["idempotency-key"]
    );
    assert_eq!(pending(&store).await, 0);
}

#[tokio::test]
async fn rows_of_a_sink_that_is_gone_from_the_configuration_are_kept_as_dead_letters() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    finish(&store, &sinks(&crm), &finished("anonymous", "", "", 0)).await;
    delivery(&store, &Sinks::default())
        .deliver_due(at(50))
        .await
        .unwrap();
    let row = &store
        .outbox(Some(OutboxState::Dead), None, None, 1)
        .await
        .unwrap()
        .items[0];
    assert!(row.last_error.as_ref().unwrap().contains("not configured"));
    assert_eq!(
        Sinks::default().plan_finished(&finished("a", "", "", 0), &[]),
        []
    );
}

#[tokio::test]
async fn what_is_delivered_while_the_database_is_locked_is_not_delivered_again() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    let gate = Gate::closed();
    crm.fail_next(CALL_LOG, [Fault::Hold(gate.clone())]);
    finish(&store, &sinks, &finished("anonymous", "", "", 0)).await;
    let mut delivery = delivery(&store, &sinks);
    let delivering = tokio::spawn(async move {
        let result = delivery.deliver_due(at(50)).await;
        (delivery, result)
    });
    crm.arrived(1).await;
    let other_options = SqliteConnectOptions::new().filename(store.path());
    let mut other = other_options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    gate.open();
    let (mut delivery, result) = delivering.await.unwrap();
    assert!(result.is_err(), "{result:?}");
    other.close().await.unwrap();
    store.drain().await.unwrap();
    assert_eq!(delivery.deliver_due(at(60)).await.unwrap(), None);
    assert_eq!(crm.requests().len(), 1);
    assert_eq!(pending(&store).await, 0);
}

#[tokio::test]
async fn the_deliverer_wakes_for_new_rows_and_stops_when_told() {
    let folder = tempdir().unwrap();
    let (store, crm) = (open(folder.path()).await, stand_in().await);
    let sinks = sinks(&crm);
    let stop = CancellationToken::new();
    let running = tokio::spawn(delivery(&store, &sinks).run(|| at(100), stop.clone()));
    for number in 1..=3 {
        finish(&store, &sinks, &finished("anonymous", "", "", number)).await;
        crm.arrived(number as u64).await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(bodies(&crm, CALL_LOG).len(), 3);
    let depth = store.outbox_depth().await.unwrap();
    assert_eq!((depth.pending, depth.delivering), (0, 0));
}
