//! Faults of the switch's own: what they cost, and whom.

use std::sync::Arc;

use offhook::agent::TurnRecord;
use offhook::call::Watcher;
use offhook::store::CallRecord;
use uuid::Uuid;

use crate::caller::Caller;
use crate::rig::Switch;

const FLOW: &str = r#"
name = "fault"
start = "hello"
[nodes.hello]
type = "ask"
say = "Hello. What is your name?"
slot = "caller_name"
grammar = "name"
next = "bye"
[nodes.bye]
type = "end"
say = "Goodbye."
"#;

/// Fails in the task of each call that it watches.
struct Faulty;

impl Watcher for Faulty {
    fn answered(&self, _: &CallRecord) {}

    fn turn(&self, _: Uuid, _: &TurnRecord) {
        panic!("this fault is wanted");
    }

    fn ended(&self, _: &CallRecord) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_task_fails_is_hung_up_and_its_record_closed() {
    let switch = Switch::start_watched(FLOW, Arc::new(Faulty)).await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "failed", "{record:#}");
    assert!(!record["ended_at"].is_null(), "{record:#}");
    assert_eq!(switch.services.running(), 0, "its place is free again");
    switch.stop().await;
}
