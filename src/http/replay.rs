//! Events from their archive first and then live, without a gap and without one twice.
//!
//! The bus remembers the latest events only, and only those of this run. Older ones are read from
//! the archive, page by page, until the bus's memory takes over: it does so in one step with
//! opening the live stream, at the event where the archive left off.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::api::ApiError;
use super::events::{Event, EventBus, EventFilter, EventStream, Place, StreamItem};

/// Events read from the archive at once.
const PAGE: u32 = 256;

/// Where events lie that the bus has forgotten: a database.
///
/// An event that was published is in it already, unless it cannot be written at the moment.
pub trait Archive: Send + Sync + 'static {
    /// Reads up to `limit` events with a number above `after`, of one call or of all, in order.
    fn read(
        &self,
        call: Option<&str>,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Event>, String>> + Send;

    /// Returns the lowest and the highest number that it holds; none when it is empty.
    fn bounds(&self) -> impl Future<Output = Result<Option<(u64, u64)>, String>> + Send;
}

/// Opens a stream of what comes after the event `after`; without `after`, a call's stream begins
/// with its first event, and every other with what happens next.
///
/// # Errors
/// Fails when there are too many streams already.
pub fn replay<A: Archive>(
    bus: &EventBus,
    archive: A,
    filter: EventFilter,
    after: Option<u64>,
) -> Result<EventStream, ApiError> {
    let position = match (after, &filter.call) {
        (Some(after), _) => after,
        (None, Some(_)) => 0,
        (None, None) => return bus.subscribe(filter, None),
    };
    let replay = Replay {
        phase: Phase::Begin(bus.place()?),
        bus: bus.clone(),
        archive,
        filter,
        position,
        resumed: after.is_some(),
        page: VecDeque::new(),
    };
    Ok(Box::pin(stream::unfold(replay, |mut replay| async move {
        let item = replay.next().await?;
        Some((item, replay))
    })))
}

enum Phase {
    Begin(Place),
    Archive(Place),
    Live(EventStream),
    Over,
}

struct Replay<A> {
    bus: EventBus,
    archive: A,
    filter: EventFilter,
    /// The last event that is dealt with.
    position: u64,
    /// Whether the client has seen `position`: then it is told of what is missing after it.
    resumed: bool,
    page: VecDeque<Event>,
    phase: Phase,
}

impl<A: Archive> Replay<A> {
    async fn next(&mut self) -> Option<StreamItem> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.position = event.id;
                if self.filter.ends_with(&event) {
                    self.page.clear();
                    self.phase = Phase::Over;
                }
                if self.filter.matches(&event) {
                    return Some(StreamItem::Event(Arc::new(event)));
                }
                continue;
            }
            // Whatever is not put back is over.
            match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Over => return None,
                Phase::Live(mut stream) => {
                    let item = stream.next().await;
                    self.phase = Phase::Live(stream);
                    return item;
                }
                Phase::Begin(place) => {
                    if let Some(gap) = self.go_on(place, true).await {
                        return Some(gap);
                    }
                }
                Phase::Archive(place) => {
                    if let Some(gap) = self.go_on(place, false).await {
                        return Some(gap);
                    }
                }
            }
        }
    }

    /// Goes live when the bus's memory reaches back to where the stream stands, or reads the next
    /// page; tells of a gap that it meets.
    async fn go_on(&mut self, place: Place, first: bool) -> Option<StreamItem> {
        let (place, remembered) = match self.bus.resume(place, &self.filter, self.position) {
            Ok(stream) => {
                self.phase = Phase::Live(stream);
                return None;
            }
            Err(not_yet) => not_yet,
        };
        self.phase = Phase::Archive(place);
        let call = self.filter.call.as_deref();
        let read = async {
            let bounds = self.archive.bounds().await?;
            let page = self.archive.read(call, self.position, PAGE).await?;
            Ok::<_, String>((bounds, page))
        };
        let (bounds, mut page) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "older events cannot be read");
                self.position = remembered - 1;
                return Some(StreamItem::Gap { oldest: remembered });
            }
        };
        page.retain(|event| event.id < remembered);
        let begun_at = self.position;
        if page.is_empty() {
            self.position = remembered - 1;
        }
        self.page = page.into();
        let (lowest, highest) = bounds.unwrap_or((remembered, remembered - 1));
        if first && self.resumed && begun_at.saturating_add(1) < lowest {
            return Some(StreamItem::Gap { oldest: lowest });
        }
        // What the bus has forgotten and the archive has not got yet waits in the spill file.
        let missing = self.position + 1 == remembered && highest + 1 < remembered;
        missing.then_some(StreamItem::Gap { oldest: remembered })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::events::{CALL_ENDED, Data};

    /// Events of call "a", numbered from 1 to the length of the kinds; `from` on are kept.
    #[derive(Clone)]
    struct Kept {
        events: Vec<Event>,
    }

    fn event(id: u64, kind: &str, call: &str) -> Event {
        Event {
            id,
            kind: kind.to_owned(),
            call_id: Some(call.to_owned()),
            at: "2026-01-01T00:00:00.000Z".to_owned(),
            data: Data::new(&json!({})),
        }
    }

    impl Archive for Kept {
        async fn read(
            &self,
            call: Option<&str>,
            after: u64,
            limit: u32,
        ) -> Result<Vec<Event>, String> {
            let of_call = |event: &&Event| call.is_none() || event.call_id.as_deref() == call;
            let later = self.events.iter().filter(|event| event.id > after);
            Ok(later
                .filter(of_call)
                .take(limit as usize)
                .cloned()
                .collect())
        }

        async fn bounds(&self) -> Result<Option<(u64, u64)>, String> {
            let ids = || self.events.iter().map(|event| event.id);
            Ok(ids().min().zip(ids().max()))
        }
    }

    /// A bus that remembers four events, after these numbers were published and archived.
    fn published(ids: std::ops::RangeInclusive<u64>) -> (EventBus, Kept) {
        let bus = EventBus::new(1, 4, 8);
        let events: Vec<Event> = ids.map(|id| event(id, "x", "a")).collect();
        for event in &events {
            bus.publish_numbered(event.clone());
        }
        (bus, Kept { events })
    }

    async fn ids(stream: EventStream, most: usize) -> Vec<String> {
        let word = |item| match item {
            StreamItem::Event(event) => event.id.to_string(),
            StreamItem::Gap { oldest } => format!("gap {oldest}"),
            StreamItem::Overrun => "overrun".to_owned(),
        };
        stream.take(most).map(word).collect().await
    }

    #[tokio::test]
    async fn every_place_to_resume_from_gives_each_later_event_once() {
        for after in 0..=20 {
            let (bus, kept) = published(1..=20);
            let stream = replay(&bus, kept, EventFilter::all(), Some(after)).unwrap();
            bus.publish_numbered(event(21, "x", "a"));
            let expected: Vec<String> = (after + 1..=21).map(|id| id.to_string()).collect();
            assert_eq!(ids(stream, expected.len()).await, expected, "after {after}");
        }
    }

    #[tokio::test]
    async fn events_that_come_while_the_archive_is_read_are_neither_lost_nor_doubled() {
        let (bus, kept) = published(1..=1_000);
        let mut stream = replay(&bus, kept, EventFilter::all(), Some(0)).unwrap();
        let mut seen = Vec::new();
        for id in 1_001..=1_003 {
            // Each time after the stream has read some of the archive.
            for _ in 0..300 {
                if let Some(StreamItem::Event(event)) = stream.next().await {
                    seen.push(event.id);
                }
            }
            bus.publish_numbered(event(id, "x", "a"));
        }
        while seen.last() != Some(&1_003) {
            match stream.next().await {
                Some(StreamItem::Event(event)) => seen.push(event.id),
                other => panic!("{other:?} after {:?}", seen.last()),
            }
        }
        assert_eq!(seen, (1..=1_003).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_was_removed_or_waits_to_be_kept_is_a_gap() {
        let (bus, mut kept) = published(1..=20);
        kept.events.retain(|event| event.id > 7);
        let stream = replay(&bus, kept.clone(), EventFilter::all(), Some(3)).unwrap();
        assert_eq!(ids(stream, 3).await, ["gap 8", "8", "9"]);
        kept.events.retain(|event| event.id < 10);
        let stream = replay(&bus, kept, EventFilter::all(), Some(7)).unwrap();
        assert_eq!(ids(stream, 4).await, ["8", "9", "gap 17", "17"]);
    }

    #[tokio::test]
    async fn an_ended_calls_events_come_from_the_archive_and_end_with_the_call() {
        let (bus, mut kept) = published(1..=20);
        kept.events[1] = event(2, "call.ringing", "b");
        kept.events[4] = event(5, CALL_ENDED, "b");
        let of_b = |after| {
            let filter = EventFilter {
                live: false,
                ..EventFilter::call("b")
            };
            replay(&bus, kept.clone(), filter, after).unwrap()
        };
        assert_eq!(ids(of_b(None), 9).await, ["2", "5"]);
        assert_eq!(ids(of_b(Some(2)), 9).await, ["5"]);
        assert_eq!(ids(of_b(Some(5)), 9).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn after_a_restart_the_archive_goes_on_into_the_new_runs_events() {
        let (_, kept) = published(1..=6);
        let bus = EventBus::new(7, 4, 8);
        let stream = replay(&bus, kept, EventFilter::all(), Some(4)).unwrap();
        bus.publish_numbered(event(7, "x", "a"));
        assert_eq!(ids(stream, 3).await, ["5", "6", "7"]);
    }

    #[tokio::test]
    async fn an_archive_that_cannot_be_read_is_a_gap() {
        struct Broken;
        impl Archive for Broken {
            async fn read(&self, _: Option<&str>, _: u64, _: u32) -> Result<Vec<Event>, String> {
                Err("no".to_owned())
            }
            async fn bounds(&self) -> Result<Option<(u64, u64)>, String> {
                Err("no".to_owned())
            }
        }
        let (bus, _) = published(1..=9);
        let stream = replay(&bus, Broken, EventFilter::all(), Some(2)).unwrap();
        assert_eq!(ids(stream, 3).await, ["gap 6", "6", "7"]);
    }
}
