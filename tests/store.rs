//! The store: what was kept is there, once, and can be found again.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they share")]

mod crm_support;

use crm_support::{
    appointment, at, event, finished, incoming, item, keys, open, open_with, options, turn, url,
};
use offhook::store::outbox::{OutboxItem, OutboxState};
use offhook::store::{
    CachedContact, CallFilter, CallRecord, CallState, CallUpdate, Created, Durability, EventFilter,
    EventRecord, Health, IdempotencyKey, MediaSummary, Options, Recording, Retention, Store,
    StoreError, Who,
};
use serde_json::json;
use tempfile::tempdir;
use uuid::Uuid;

#[tokio::test]
async fn a_call_is_kept_as_it_goes_and_as_it_ended() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut call = incoming("+12025550123", 0);
    store.insert_call(call.clone()).await.unwrap();
    assert_eq!(store.call(call.id).await.unwrap().unwrap(), call);

    call.variables.insert("caller_name".into(), json!("Ada"));
    let update = CallUpdate {
        state: Some(CallState::InProgress),
        answered_at: Some(at(2)),
        trunk: Some("twilio".into()),
        variables: Some(call.variables.clone()),
        ..CallUpdate::default()
    };
    store.update_call(call.id, update, at(2)).await.unwrap();
    store
        .append_turn(call.id, 0, turn(Who::Agent, "Hello", 2), at(3))
        .await
        .unwrap();
    let mut cut = turn(Who::Agent, "Hello", 2);
    (cut.heard_text, cut.interrupted) = (Some("Hel".into()), true);
    store
        .append_turn(call.id, 0, cut.clone(), at(4))
        .await
        .unwrap();
    let going = store.call(call.id).await.unwrap().unwrap();
    assert_eq!(
        (going.state, going.answered_at),
        (CallState::InProgress, Some(at(2)))
    );
    assert_eq!(
        (going.trunk.as_deref(), &going.variables),
        (Some("twilio"), &call.variables)
    );
    assert_eq!(going.turns, [cut.clone()]);

    let mut ended = CallRecord {
        turns: vec![cut],
        ..going
    };
    (ended.state, ended.ended_at) = (CallState::Completed, Some(at(9)));
    ended.outcome = Some("booked".into());
    ended.media = Some(MediaSummary {
        codec: Some("PCMU".into()),
        srtp: Some("AEAD_AES_256_GCM".into()),
        packets: 350,
        lost: 2,
        jitter_ms: 1.25,
        mos: Some(4.25),
        ..MediaSummary::default()
    });
    store
        .finish_call(ended.clone(), vec![item(&ended, "log")])
        .await
        .unwrap();
    let late = CallUpdate {
        state: Some(CallState::Ringing),
        ..CallUpdate::default()
    };
    store.update_call(ended.id, late, at(10)).await.unwrap();
    assert_eq!(store.call(ended.id).await.unwrap().unwrap(), ended);
    assert_eq!(store.transcript(ended.id).await.unwrap(), ended.turns);

    store
        .set_recording(ended.id, "data/recordings/1.wav".as_ref())
        .await
        .unwrap();
    let recording = store.recording(ended.id).await.unwrap();
    assert_eq!(
        recording,
        Some(Recording::At("data/recordings/1.wav".into()))
    );
    assert_eq!(store.recording(Uuid::nil()).await.unwrap(), None);
    assert_eq!(store.call(Uuid::nil()).await.unwrap(), None);
}

#[tokio::test]
async fn what_people_said_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    store.insert_call(incoming("a", 0)).await.unwrap();
    for name in ["offhook.db", "offhook.db-wal", "offhook.spill"] {
        let mode = std::fs::metadata(folder.path().join("data").join(name))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_finished_call_and_its_outbox_rows_are_there_together_and_once() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let call = finished("+12025550123", "Ada", "", 0);
    for _ in 0..3 {
        let items = vec![item(&call, "contact"), item(&call, "log")];
        store.finish_call(call.clone(), items).await.unwrap();
    }
    assert_eq!(keys(&store, &call).await.len(), 2);
    assert_eq!(store.call(call.id).await.unwrap().unwrap(), call);

    // Rows of a call that the database refuses leave nothing of the call behind.
    let other = finished("+12025550124", "Bob", "", 0);
    let stray = OutboxItem {
        call_id: Uuid::now_v7(),
        ..item(&other, "log")
    };
    let refused = store.finish_call(other.clone(), vec![stray]).await;
    assert!(
        matches!(refused, Err(StoreError::Database(_))),
        "{refused:?}"
    );
    assert_eq!(store.call(other.id).await.unwrap(), None);

    let open_end = incoming("+1", 0);
    let refused = store.finish_call(open_end, Vec::new()).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn one_bad_record_harms_none_of_those_written_with_it() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let call = incoming("a", 0);
    let (first, bad, last) = tokio::join!(
        store.insert_call(call.clone()),
        store.append_turn(Uuid::now_v7(), 0, turn(Who::Agent, "to nobody", 0), at(0)),
        store.append_turn(call.id, 0, turn(Who::Agent, "to you", 0), at(0)),
    );
    first.unwrap();
    last.unwrap();
    assert!(matches!(bad, Err(StoreError::Database(_))));
    assert_eq!(store.transcript(call.id).await.unwrap().len(), 1);
    assert_eq!(store.health(), Health::Ready);
}

#[tokio::test]
async fn a_repeated_request_makes_one_call() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let call = incoming("a", 0);
    let key = |body: &str| Some(IdempotencyKey::new("ops:order-7", body.as_bytes()));
    let create = |call: &CallRecord, body| store.create_call(call.clone(), key(body), at(0));
    let before = async |body| store.created_before(&key(body).unwrap()).await.unwrap();
    assert_eq!(before("{}").await, None);
    assert_eq!(create(&call, "{}").await.unwrap(), Created::New);
    assert_eq!(before("{}").await, Some(Created::Existing(call.id)));
    assert_eq!(before("{ }").await, Some(Created::Conflict));
    let second = incoming("a", 1);
    assert_eq!(
        create(&second, "{}").await.unwrap(),
        Created::Existing(call.id)
    );
    assert_eq!(create(&second, "{ }").await.unwrap(), Created::Conflict);
    assert_eq!(store.call(second.id).await.unwrap(), None);
    assert_eq!(
        store
            .create_call(second.clone(), None, at(1))
            .await
            .unwrap(),
        Created::New
    );
    assert!(store.call(second.id).await.unwrap().is_some());

    // A day later the key is free again.
    assert_eq!(
        store
            .prune(at(2 * 86_400), &Retention::default())
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        create(&incoming("a", 2), "{ }").await.unwrap(),
        Created::New
    );
}

#[tokio::test]
async fn pages_hold_every_call_once_newest_first_also_while_new_ones_come() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut calls = Vec::new();
    for second in 0..25 {
        let mut call = incoming(if second % 5 == 0 { "+5" } else { "+1" }, second);
        call.turns
            .push(turn(Who::Agent, &format!("turn of {second}"), second));
        store.insert_call(call.clone()).await.unwrap();
        calls.insert(0, call);
    }
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store
            .calls(&CallFilter::default(), cursor.as_deref(), 10)
            .await
            .unwrap();
        seen.extend(page.items);
        store.insert_call(incoming("late", 100)).await.unwrap();
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    // A list is light: what was said is read call by call.
    calls.iter_mut().for_each(|call| call.turns.clear());
    assert_eq!(seen, calls);

    let of = |filter: CallFilter| {
        let store = store.clone();
        async move { store.calls(&filter, None, 200).await.unwrap().items.len() }
    };
    assert_eq!(
        of(CallFilter {
            number: Some("+5".into()),
            ..CallFilter::default()
        })
        .await,
        5
    );
    let window = CallFilter {
        started_from: Some(at(3)),
        started_before: Some(at(7)),
        state: Some(CallState::Ringing),
        ..CallFilter::default()
    };
    assert_eq!(of(window).await, 4);
    let none = CallFilter {
        agent: Some("nobody".into()),
        ..CallFilter::default()
    };
    assert_eq!(of(none).await, 0);
    let wrong = store
        .calls(&CallFilter::default(), Some("' OR 1=1"), 10)
        .await;
    assert!(matches!(wrong, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn events_replay_from_any_point_and_a_number_is_never_given_twice() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let call = Uuid::now_v7();
    let first = store
        .append_event(event(None, "call.created"))
        .await
        .unwrap();
    let second = store
        .append_event(event(Some(call), "call.answered"))
        .await
        .unwrap();
    assert!(second > first);
    let after = |after, call_id| EventFilter { after, call_id };
    let replay = store.events(&after(first, None), 10).await.unwrap();
    assert_eq!(
        replay,
        [EventRecord {
            id: second,
            ..event(Some(call), "call.answered")
        }]
    );
    assert_eq!(
        store.events(&after(0, Some(call)), 10).await.unwrap().len(),
        1
    );

    store
        .prune(at(90 * 86_400), &Retention::default())
        .await
        .unwrap();
    assert_eq!(store.events(&after(0, None), 10).await.unwrap(), []);
    store.close().await;
    let store = open(folder.path()).await;
    assert!(
        store
            .append_event(event(None, "switch.started"))
            .await
            .unwrap()
            > second
    );
}

#[tokio::test]
async fn an_appointment_needs_an_offset_and_is_listed() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let call = incoming("+12025550123", 0);
    store.insert_call(call.clone()).await.unwrap();
    let booked = appointment(&call);
    let mut local = appointment(&call);
    local.date_time = "2026-03-04T15:00:00".into();
    let refused = store.book_appointment(local, Vec::new()).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))));
    let items = vec![item(&call, "appointment")];
    store.book_appointment(booked.clone(), items).await.unwrap();
    assert_eq!(
        store.appointments(None, 10).await.unwrap().items,
        std::slice::from_ref(&booked)
    );
    assert_eq!(store.call_appointments(call.id).await.unwrap(), [booked]);
    assert_eq!(keys(&store, &call).await.len(), 1);
}

#[tokio::test]
async fn calls_left_open_by_another_run_end_when_they_were_last_seen() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let call = incoming("+12025550123", 0);
    store.insert_call(call.clone()).await.unwrap();
    let answered = CallUpdate {
        state: Some(CallState::InProgress),
        answered_at: Some(at(2)),
        ..CallUpdate::default()
    };
    store.update_call(call.id, answered, at(2)).await.unwrap();
    store
        .append_turn(call.id, 0, turn(Who::Agent, "Hello", 2), at(8))
        .await
        .unwrap();
    let queued = incoming("+12025550124", 1);
    store.insert_call(queued.clone()).await.unwrap();
    let done = finished("+12025550125", "Ada", "", 0);
    store.finish_call(done.clone(), Vec::new()).await.unwrap();
    store.close().await;

    let store = open(folder.path()).await;
    let own = incoming("+12025550126", 100);
    store.insert_call(own.clone()).await.unwrap();
    let plan = |call: &CallRecord, _: &[_]| vec![item(call, "log")];
    let ended = store.recover(plan).await.unwrap();
    assert_eq!(
        ended.iter().map(|call| call.id).collect::<Vec<_>>(),
        [call.id, queued.id]
    );
    let cut = store.call(call.id).await.unwrap().unwrap();
    assert_eq!(
        (cut.state, cut.outcome.as_deref()),
        (CallState::Failed, Some("switch restarted"))
    );
    assert_eq!(
        (cut.ended_at, cut.duration_s(), cut.turns.len()),
        (Some(at(8)), 6, 1)
    );
    assert_eq!(keys(&store, &cut).await.len(), 1);
    let told = EventFilter {
        after: 0,
        call_id: Some(cut.id),
    };
    let told = store.events(&told, 10).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind.as_str(), told[0].at), ("call.ended", at(8)));
    assert_eq!(told[0].data["outcome"], "switch restarted");
    assert_eq!(store.call(own.id).await.unwrap().unwrap(), own);
    assert_eq!(store.call(done.id).await.unwrap().unwrap(), done);
    assert_eq!(store.recover(plan).await.unwrap(), []);
}

#[tokio::test]
async fn a_contact_is_remembered_by_its_number_and_the_newest_word_counts() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let contact = |name: &str, second| CachedContact {
        phone_key: "025550123".into(),
        contact_id: "42".into(),
        variables: json!({ "caller_name": name }).as_object().unwrap().clone(),
        fetched_at: at(second),
    };
    store.remember_contact(contact("Ada", 5));
    store.remember_contact(contact("stale", 1));
    // Whatever is written later is written after them.
    store.append_event(event(None, "later")).await.unwrap();
    assert_eq!(
        store.contact("025550123").await.unwrap(),
        Some(contact("Ada", 5))
    );
    assert_eq!(
        store.contacts(None, 10).await.unwrap().items,
        [contact("Ada", 5)]
    );
}

#[tokio::test]
async fn one_store_is_open_once_and_a_closed_one_says_so() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let second = Store::open(&url(folder.path()), options()).await;
    assert!(matches!(second, Err(StoreError::InUse(_))), "{second:?}");
    let call = incoming("a", 0);
    let (written, ()) = tokio::join!(store.insert_call(call.clone()), store.close());
    written.unwrap();
    assert!(matches!(
        store.insert_call(incoming("b", 0)).await,
        Err(StoreError::Closed)
    ));
    let store = open(folder.path()).await;
    assert!(store.call(call.id).await.unwrap().is_some());
}

#[tokio::test]
async fn an_impossible_place_or_database_is_told_with_its_path() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file, not a folder").unwrap();
    let error = Store::open(&url(folder.path()), options())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("data"), "{error}");
    let error = Store::open("postgres://u:hush@h/d", options())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("sqlite://") && !error.contains("hush"),
        "{error}"
    );
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing() {
    let folder = tempdir().unwrap();
    let store = open_with(
        folder.path(),
        Options {
            durability: Durability::Crash,
            ..options()
        },
    )
    .await;
    let mut writers = tokio::task::JoinSet::new();
    for second in 0..500 {
        let store = store.clone();
        writers.spawn(async move {
            let call = finished("+12025550123", "Ada", "", second);
            let items = vec![item(&call, "log")];
            store.finish_call(call, items).await.unwrap();
        });
    }
    writers.join_all().await;
    assert_eq!(store.outbox_depth().await.unwrap().pending, 500);
    let page = store
        .outbox(Some(OutboxState::Pending), None, None, 200)
        .await
        .unwrap();
    assert_eq!(page.items.len(), 200);
    assert!(page.next_cursor.is_some());
}

#[tokio::test]
async fn appointments_come_in_pages_the_last_booked_first() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let call = incoming("+12025550123", 0);
    store.insert_call(call.clone()).await.unwrap();
    let mut booked = Vec::new();
    for _ in 0..5 {
        let one = appointment(&call);
        store
            .book_appointment(one.clone(), Vec::new())
            .await
            .unwrap();
        booked.insert(0, one);
    }
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    let mut pages = 0;
    loop {
        let page = store.appointments(cursor.as_deref(), 2).await.unwrap();
        seen.extend(page.items);
        pages += 1;
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), (booked, 3));
    let wrong = store.appointments(Some("tomorrow"), 2).await;
    assert!(matches!(wrong, Err(StoreError::Invalid(_))), "{wrong:?}");
}
