//! A database that cannot be written: records go to the spill file and come back, once.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they share")]

mod crm_support;

use std::time::Duration;

use crm_support::{
    at, event, finished, incoming, item, keys, lock, open, open_with, options, turn,
};
use offhook::store::{CallRecord, CallState, EventFilter, Health, Options, StoreError, Who};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::tempdir;
use uuid::Uuid;

#[tokio::test]
async fn a_locked_database_spills_and_drains_without_losing_or_doubling() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let before = store.append_event(event(None, "before")).await.unwrap();
    let mut call = incoming("+12025550123", 0);
    store.insert_call(call.clone()).await.unwrap();

    let other = lock(&store).await;
    store
        .append_turn(call.id, 0, turn(Who::Agent, "Hello", 1), at(1))
        .await
        .unwrap();
    assert!(
        matches!(store.health(), Health::Spilling { records: 1, .. }),
        "{:?}",
        store.health()
    );
    let refused = store.create_call(incoming("b", 1), None, at(1)).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    let during = store
        .append_event(event(Some(call.id), "during"))
        .await
        .unwrap();
    assert!(during > before);
    let inbound = finished("+12025550124", "Bob", "", 3);
    store.insert_call(inbound.clone()).await.unwrap();
    call = CallRecord {
        turns: vec![turn(Who::Agent, "Hello", 1)],
        ..call
    };
    (call.state, call.ended_at) = (CallState::Completed, Some(at(5)));
    store
        .finish_call(call.clone(), vec![item(&call, "log")])
        .await
        .unwrap();
    assert!(store.drain().await.is_err());
    assert_eq!(keys(&store, &call).await, Vec::<String>::new());

    other.close().await.unwrap();
    store.drain().await.unwrap();
    assert_eq!(store.health(), Health::Ready);
    assert_eq!(store.call(call.id).await.unwrap().unwrap(), call);
    assert_eq!(store.call(inbound.id).await.unwrap().unwrap(), inbound);
    assert_eq!(keys(&store, &call).await.len(), 1);
    let events = store.events(&EventFilter::default(), 10).await.unwrap();
    assert_eq!(
        events.iter().map(|event| event.id).collect::<Vec<_>>(),
        [before, during]
    );
    assert!(store.append_event(event(None, "after")).await.unwrap() > during);
}

#[tokio::test]
async fn a_spill_file_drains_by_itself_as_soon_as_it_can() {
    let folder = tempdir().unwrap();
    let soon = Options {
        drain_every: Duration::from_millis(5),
        ..options()
    };
    let store = open_with(folder.path(), soon).await;
    let other = lock(&store).await;
    let call = finished("+12025550123", "Ada", "", 0);
    store.finish_call(call.clone(), Vec::new()).await.unwrap();
    assert_ne!(store.health(), Health::Ready);
    other.close().await.unwrap();
    store
        .watch_health()
        .wait_for(|health| *health == Health::Ready)
        .await
        .unwrap();
    assert_eq!(store.call(call.id).await.unwrap().unwrap(), call);
}

#[tokio::test]
async fn a_full_disk_loses_no_finished_call_even_if_the_switch_stops_meanwhile() {
    let folder = tempdir().unwrap();
    let full = Options {
        max_database_bytes: Some(256 << 10),
        ..options()
    };
    let store = open_with(folder.path(), full.clone()).await;
    let mut calls = Vec::new();
    // 256 KiB hold less than two hundred of these.
    for second in 0..400 {
        let mut call = finished("+12025550123", "Ada", "", second);
        call.turns
            .push(turn(Who::Caller, &"word ".repeat(200), second));
        store
            .finish_call(call.clone(), vec![item(&call, "log")])
            .await
            .unwrap();
        calls.push(call);
    }
    let Health::Spilling {
        records, reason, ..
    } = store.health()
    else {
        panic!("the database was not full")
    };
    assert!(
        records > 100 && reason.contains("full"),
        "{records} {reason}"
    );
    store.close().await;

    // Still full: it opens all the same and goes on spilling.
    let store = open_with(folder.path(), full).await;
    assert!(matches!(store.health(), Health::Spilling { .. }));
    let last = finished("+12025550123", "Ada", "", 999);
    store
        .finish_call(last.clone(), vec![item(&last, "log")])
        .await
        .unwrap();
    calls.push(last);
    store.close().await;

    let store = open(folder.path()).await;
    assert_eq!(store.health(), Health::Ready);
    for call in &calls {
        assert_eq!(store.call(call.id).await.unwrap().as_ref(), Some(call));
        assert_eq!(keys(&store, call).await.len(), 1);
    }
}

#[tokio::test]
async fn a_restart_while_the_disk_is_full_leaves_a_finished_call_as_it_ended() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let begun = incoming("+12025550123", 0);
    store.insert_call(begun.clone()).await.unwrap();
    let cut = incoming("+12025550124", 1);
    store.insert_call(cut.clone()).await.unwrap();
    let other = lock(&store).await;
    let ended = CallRecord {
        id: begun.id,
        ..finished("+12025550123", "Ada", "", 0)
    };
    let end = store.finish_call(ended.clone(), vec![item(&ended, "log")]);
    end.await.unwrap();
    store.close().await;

    // Still full: the end lies in the spill file, and the database takes both calls for open.
    let store = open(folder.path()).await;
    assert!(matches!(store.health(), Health::Spilling { .. }));
    let recovering = tokio::spawn({
        let store = store.clone();
        async move { store.recover(|call, _| vec![item(call, "log")]).await }
    });
    let last = store.append_event(event(None, "meanwhile")).await.unwrap();
    other.close().await.unwrap();
    store.drain().await.unwrap();
    let closed = recovering.await.unwrap().unwrap();
    assert_eq!(
        closed.iter().map(|call| call.id).collect::<Vec<_>>(),
        [cut.id]
    );
    assert_eq!(store.call(ended.id).await.unwrap().as_ref(), Some(&ended));
    assert_eq!(keys(&store, &ended).await.len(), 1);
    let told = EventFilter {
        after: last,
        call_id: None,
    };
    let told = store.events(&told, 10).await.unwrap();
    let told: Vec<_> = told.iter().map(|e| (e.call_id, e.kind.as_str())).collect();
    assert_eq!(told, [(Some(cut.id), "call.ended")]);
}

#[tokio::test]
async fn a_call_has_one_end_and_a_later_one_takes_nothing_from_it() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let ended = finished("+12025550123", "Ada", "", 0);
    let items = vec![item(&ended, "log")];
    store.finish_call(ended.clone(), items).await.unwrap();
    let mut again = ended.clone();
    again.state = CallState::Failed;
    again.outcome = Some("switch restarted".into());
    again.turns.clear();
    let items = vec![item(&again, "another")];
    store.finish_call(again, items).await.unwrap();
    assert_eq!(store.call(ended.id).await.unwrap().as_ref(), Some(&ended));
    assert_eq!(keys(&store, &ended).await.len(), 1);
}

#[tokio::test]
async fn the_spill_files_last_half_is_for_final_records_and_its_end_is_told() {
    let folder = tempdir().unwrap();
    let store = open_with(
        folder.path(),
        Options {
            spill_bytes: 64 << 10,
            ..options()
        },
    )
    .await;
    let call = incoming("+12025550123", 0);
    store.insert_call(call.clone()).await.unwrap();
    let other = lock(&store).await;
    let long = turn(Who::Caller, &"word ".repeat(500), 0);
    let mut turns = 0;
    while store
        .append_turn(call.id, turns, long.clone(), at(0))
        .await
        .is_ok()
    {
        turns += 1;
    }
    assert!(turns > 5);
    let mut kept = Vec::new();
    let refused = loop {
        let call = finished("+12025550123", "Ada", "", 1);
        match store.finish_call(call.clone(), Vec::new()).await {
            Ok(()) => kept.push(call),
            Err(error) => break error,
        }
    };
    assert!(kept.len() > 10);
    assert!(
        matches!(&refused, StoreError::Lost(reason) if reason.contains("full")),
        "{refused}"
    );
    other.close().await.unwrap();
    store.drain().await.unwrap();
    for call in kept {
        assert_eq!(store.call(call.id).await.unwrap(), Some(call));
    }
}

#[tokio::test]
async fn a_spilled_record_that_no_database_takes_is_set_aside_and_holds_nothing_up() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let other = lock(&store).await;
    store
        .append_turn(Uuid::now_v7(), 0, turn(Who::Agent, "to nobody", 0), at(0))
        .await
        .unwrap();
    let call = finished("+12025550123", "Ada", "", 0);
    store.finish_call(call.clone(), Vec::new()).await.unwrap();
    other.close().await.unwrap();
    store.drain().await.unwrap();
    assert_eq!(store.health(), Health::Ready);
    assert_eq!(store.call(call.id).await.unwrap(), Some(call));
    let options = SqliteConnectOptions::new().filename(store.path());
    let mut reader = options.connect().await.unwrap();
    let set_aside: String = sqlx::query_scalar("SELECT body FROM rejected")
        .fetch_one(&mut reader)
        .await
        .unwrap();
    assert!(set_aside.contains("to nobody"));
}

#[tokio::test]
async fn a_database_put_back_from_a_backup_still_takes_what_was_spilled() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(folder.path()).await;
    let other = lock(&store).await;
    store
        .finish_call(finished("+1", "Ada", "", 0), Vec::new())
        .await
        .unwrap();
    other.close().await.unwrap();
    store.drain().await.unwrap();
    let other = lock(&store).await;
    let call = finished("+12025550123", "Bob", "", 1);
    store.finish_call(call.clone(), Vec::new()).await.unwrap();
    store.close().await;
    other.close().await.unwrap();
    // The numbers in the new database have nothing to do with those in the spill file.
    for name in ["offhook.db", "offhook.db-wal", "offhook.db-shm"] {
        std::fs::remove_file(data.join(name)).ok();
    }
    let store = open(folder.path()).await;
    assert_eq!(store.call(call.id).await.unwrap(), Some(call));
}

#[tokio::test]
async fn whoever_asks_is_told_of_events_in_the_order_of_their_numbers() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    assert_eq!(store.first_event(), 1);
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    store.on_event(move |event| told.send((event.id, event.kind.clone())).unwrap());
    let writes = (0..300).map(|n| {
        let (store, kind) = (store.clone(), format!("n{n}"));
        tokio::spawn(async move { store.append_event(event(None, &kind)).await.unwrap() })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
    let other = lock(&store).await;
    let spilled = store.append_event(event(None, "spilled")).await.unwrap();
    for id in 1..=300 {
        assert_eq!(heard.try_recv().unwrap().0, id);
    }
    assert_eq!(heard.try_recv().unwrap(), (spilled, "spilled".to_owned()));
    assert!(heard.try_recv().is_err(), "an event was told of twice");
    sqlx::Connection::close(other).await.unwrap();
    store.close().await;
    let store = open(folder.path()).await;
    assert_eq!(store.first_event(), spilled + 1);
    assert_eq!(store.event_bounds().await.unwrap(), Some((1, spilled)));
}
