//! Events as they happen.

use crate::support::{Frames, problem, start};

#[tokio::test]
async fn a_call_s_events_are_streamed_from_its_first_to_its_last() {
    let api = start().await;
    api.memory.say("call.created", "c3");
    api.memory.say("call.created", "c9");
    let frames = Frames::new(api.get("/v1/calls/c3/events").await);
    api.memory.say("call.answered", "c3");
    api.memory.say("call.ended", "c3");
    let frames = frames.rest().await;
    assert_eq!(frames.len(), 3);
    assert_eq!(
        frames[0],
        "id: 1\nevent: call.created\ndata: {\"id\":1,\"type\":\"call.created\",\
         \"call_id\":\"c3\",\"at\":\"2026-01-01T10:00:00Z\",\"data\":{\"n\":1}}\n\n"
    );
    assert!(frames[2].starts_with("id: 4\nevent: call.ended\n"));
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_event_that_was_seen() {
    let api = start().await;
    for _ in 0..3 {
        api.memory.say("call.turn", "c1");
    }
    let resume = |path: &str, last: &'static str| {
        let request = api.client.get(api.url(path)).header("Last-Event-ID", last);
        async move { request.send().await.unwrap() }
    };
    let mut frames = Frames::new(resume("/v1/events", "2").await);
    assert!(frames.next().await.unwrap().starts_with("id: 3\n"));
    let mut frames = Frames::new(resume("/v1/events", "77").await);
    assert!(frames.next().await.unwrap().contains("event: stream.gap\n"));
    let ended = Frames::new(resume("/v1/calls/c1/events", "2").await)
        .rest()
        .await;
    assert_eq!(ended.len(), 1);
    let over = resume("/v1/calls/c1/events", "3").await;
    assert_eq!(over.status(), 204);
    assert_eq!(
        problem(resume("/v1/events", "x").await, 400).await["field"],
        "Last-Event-ID"
    );
}

#[tokio::test]
async fn only_the_kinds_that_were_asked_for_are_streamed() {
    let api = start().await;
    let mut frames = Frames::new(api.get("/v1/events?types=call.ended,call.answered").await);
    api.memory.say("call.turn", "c1");
    api.memory.say("call.answered", "c1");
    assert!(frames.next().await.unwrap().starts_with("id: 2\n"));
    problem(api.get("/v1/events?kinds=x").await, 400).await;
    let mistaken = problem(api.get("/v1/events?types=turn.final").await, 400).await;
    let detail = mistaken["detail"].as_str().unwrap();
    assert!(detail.contains("call.turn"), "{detail}");
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told_and_dropped_and_loses_nothing() {
    let api = start().await;
    let slow = Frames::new(api.get("/v1/events").await);
    // No other task runs between these, so the stream's buffer of four must overflow.
    for _ in 0..9 {
        api.memory.say("call.turn", "c1");
    }
    let frames = slow.rest().await;
    assert!(
        frames.last().unwrap().contains("event: stream.overrun\n"),
        "{frames:?}"
    );
    let last = format!("{}", frames.len() - 1);
    let request = api
        .client
        .get(api.url("/v1/events"))
        .header("Last-Event-ID", &last);
    let mut resumed = Frames::new(request.send().await.unwrap());
    let next = format!("id: {}\n", frames.len());
    assert!(resumed.next().await.unwrap().starts_with(&next));
}
