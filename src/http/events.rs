//! Events on their way from the switch to whoever listens, with a bounded memory of the past.
//!
//! Each subscriber has a bounded buffer. One that falls behind is told so and dropped: it comes
//! back with `Last-Event-ID` and gets what it missed; what the memory has forgotten comes from an
//! [`Archive`](super::replay::Archive).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, Stream};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::api::ApiError;
pub use super::event_data::Data;
pub use super::kinds::{CALL_ENDED, KINDS};
use crate::observe::metrics::{EVENT_SUBSCRIBERS, EVENT_SUBSCRIBERS_DROPPED};

/// The most event streams at one time.
const MAX_SUBSCRIBERS: usize = 256;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Its number, higher than every earlier one's.
    pub id: u64,
    /// What happened: one of [`KINDS`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The call that it happened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// When, in RFC 3339.
    pub at: String,
    /// More about it.
    pub data: Data,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those of this call; the stream then ends with the call.
    pub call: Option<String>,
    /// Only these kinds; all when empty.
    pub kinds: Vec<String>,
    /// Whether to go on with what happens from now on; a call that has ended needs no more than
    /// its past.
    pub live: bool,
}

impl EventFilter {
    /// Asks for everything.
    pub fn all() -> Self {
        Self {
            call: None,
            kinds: Vec::new(),
            live: true,
        }
    }

    /// Asks for one call.
    pub fn call(id: impl Into<String>) -> Self {
        Self {
            call: Some(id.into()),
            ..Self::all()
        }
    }

    /// Reports whether an event is asked for.
    pub fn matches(&self, event: &Event) -> bool {
        self.is_about(event) && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
    }

    fn is_about(&self, event: &Event) -> bool {
        self.call.is_none() || self.call == event.call_id
    }

    pub(super) fn ends_with(&self, event: &Event) -> bool {
        self.call.is_some() && event.kind == CALL_ENDED
    }
}

/// What a stream of events carries.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// An event.
    Event(Arc<Event>),
    /// Events after the one that was named are not kept any more.
    Gap {
        /// The first event that there still is, or the next that there will be.
        oldest: u64,
    },
    /// The reader was too slow; the stream ends here and can be resumed.
    Overrun,
}

/// A stream of events; it ends with the call that it is about.
pub type EventStream = Pin<Box<dyn Stream<Item = StreamItem> + Send>>;

/// Sends events to subscribers and remembers the last ones.
///
/// Publishing never waits. It is called from wherever events are made, in their order.
#[derive(Clone)]
pub struct EventBus {
    inner: Arc<Mutex<Inner>>,
    places: Arc<Semaphore>,
}

/// A stream's place among those that there may be.
#[derive(Debug)]
pub struct Place(#[allow(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

struct Inner {
    next_id: u64,
    history: VecDeque<Arc<Event>>,
    capacity: usize,
    buffer: usize,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    filter: EventFilter,
    sender: mpsc::Sender<Arc<Event>>,
    overrun: Arc<AtomicBool>,
}

impl EventBus {
    /// Makes a bus whose first event has the id `first_id`, so that ids can go on rising over
    /// restarts; it remembers `capacity` events and buffers `buffer` for each subscriber.
    pub fn new(first_id: u64, capacity: usize, buffer: usize) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                next_id: first_id.max(1),
                history: VecDeque::new(),
                capacity: capacity.max(1),
                buffer: buffer.max(1),
                subscribers: Vec::new(),
            })),
            places: Arc::new(Semaphore::new(MAX_SUBSCRIBERS)),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing inside panics half-way, so a poisoned lock still guards whole data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes an event and returns its id.
    pub fn publish(
        &self,
        kind: impl Into<String>,
        call_id: Option<String>,
        at: impl Into<String>,
        data: &Value,
    ) -> u64 {
        let (kind, at) = (kind.into(), at.into());
        let mut inner = self.inner();
        let id = inner.next_id;
        inner.send(Event {
            id,
            kind,
            call_id,
            at,
            data: Data::new(data),
        });
        id
    }

    /// Publishes an event that has its id already, as one that the store numbered; ids must
    /// rise, and one that does not is ignored.
    pub fn publish_numbered(&self, event: Event) {
        let mut inner = self.inner();
        if event.id >= inner.next_id {
            inner.send(event);
        }
    }

    /// Opens a stream of what comes after the event `after`; without `after`, a call's stream
    /// begins with what is remembered of the call, and every other with what happens next.
    ///
    /// # Errors
    /// Fails when there are too many streams already.
    pub fn subscribe(
        &self,
        filter: EventFilter,
        after: Option<u64>,
    ) -> Result<EventStream, ApiError> {
        let place = self.place()?;
        Ok(self.inner().open(place, filter, after))
    }

    /// Takes a place for a stream that is opened later.
    ///
    /// # Errors
    /// Fails when there are too many streams already.
    pub(super) fn place(&self) -> Result<Place, ApiError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(Place).map_err(|_| ApiError::Unavailable {
            reason: format!("there are {MAX_SUBSCRIBERS} event streams already"),
            retry_after_s: 5,
        })
    }

    /// Opens a stream after the event `after` when the memory reaches back to it; if not, gives
    /// the place back with the number of the oldest event that it has, or of the next.
    pub(super) fn resume(
        &self,
        place: Place,
        filter: &EventFilter,
        after: u64,
    ) -> Result<EventStream, (Place, u64)> {
        let mut inner = self.inner();
        let oldest = inner.oldest();
        if after.saturating_add(1) < oldest {
            return Err((place, oldest));
        }
        Ok(inner.open(place, filter.clone(), Some(after)))
    }
}

impl Inner {
    fn send(&mut self, event: Event) {
        self.next_id = event.id.saturating_add(1);
        let event = Arc::new(event);
        if self.history.len() >= self.capacity {
            self.history.pop_front();
        }
        self.history.push_back(Arc::clone(&event));
        self.subscribers
            .retain(|subscriber| subscriber.offer(&event));
    }

    fn oldest(&self) -> u64 {
        self.history.front().map_or(self.next_id, |event| event.id)
    }

    fn open(&mut self, place: Place, filter: EventFilter, after: Option<u64>) -> EventStream {
        self.subscribers
            .retain(|subscriber| !subscriber.sender.is_closed());
        let past = self.past(&filter, after);
        let over = past.iter().any(|item| match item {
            StreamItem::Event(event) => filter.ends_with(event),
            _ => false,
        });
        let live = (filter.live && !over).then(|| self.add(&filter));
        stream_of(Reading {
            past,
            live,
            filter,
            _place: place,
        })
    }

    fn past(&self, filter: &EventFilter, after: Option<u64>) -> VecDeque<StreamItem> {
        let oldest = self.oldest();
        let from = match (after, &filter.call) {
            (Some(after), _) => after.saturating_add(1),
            (None, Some(_)) => 0,
            (None, None) => self.next_id,
        };
        let mut items = VecDeque::new();
        // An id from the future is one of another life of the switch: its events are gone too.
        let unknown = after.is_some() && from > self.next_id;
        if unknown || (after.is_some() && from < oldest) {
            items.push_back(StreamItem::Gap { oldest });
        }
        let from = if unknown { 0 } else { from };
        let later = self
            .history
            .iter()
            .filter(|event| event.id >= from && filter.is_about(event));
        items.extend(later.map(|event| StreamItem::Event(Arc::clone(event))));
        items
    }

    fn add(&mut self, filter: &EventFilter) -> Live {
        let (sender, receiver) = mpsc::channel(self.buffer);
        let overrun = Arc::new(AtomicBool::new(false));
        let (filter, flag) = (filter.clone(), Arc::clone(&overrun));
        self.subscribers.push(Subscriber {
            filter,
            sender,
            overrun: flag,
        });
        metrics::gauge!(EVENT_SUBSCRIBERS).increment(1.0);
        Live { receiver, overrun }
    }
}

impl Subscriber {
    /// Hands an event over; `false` ends the subscription.
    fn offer(&self, event: &Arc<Event>) -> bool {
        if !self.filter.is_about(event) {
            return !self.sender.is_closed();
        }
        match self.sender.try_send(Arc::clone(event)) {
            Ok(()) => !self.filter.ends_with(event),
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.overrun.store(true, Ordering::Release);
                metrics::counter!(EVENT_SUBSCRIBERS_DROPPED).increment(1);
                false
            }
        }
    }
}

struct Live {
    receiver: mpsc::Receiver<Arc<Event>>,
    overrun: Arc<AtomicBool>,
}

impl Drop for Live {
    fn drop(&mut self) {
        metrics::gauge!(EVENT_SUBSCRIBERS).decrement(1.0);
    }
}

struct Reading {
    past: VecDeque<StreamItem>,
    live: Option<Live>,
    filter: EventFilter,
    _place: Place,
}

fn stream_of(reading: Reading) -> EventStream {
    Box::pin(stream::unfold(reading, |mut reading| async move {
        let item = reading.next().await?;
        Some((item, reading))
    }))
}

impl Reading {
    async fn next(&mut self) -> Option<StreamItem> {
        loop {
            let item = match self.past.pop_front() {
                Some(item) => item,
                None => self.next_live().await?,
            };
            match &item {
                StreamItem::Event(event) => {
                    if self.filter.ends_with(event) {
                        self.past.clear();
                        self.live = None;
                    }
                    if self.filter.matches(event) {
                        return Some(item);
                    }
                }
                StreamItem::Gap { .. } | StreamItem::Overrun => return Some(item),
            }
        }
    }

    async fn next_live(&mut self) -> Option<StreamItem> {
        let live = self.live.as_mut()?;
        match live.receiver.recv().await {
            Some(event) => Some(StreamItem::Event(event)),
            None => {
                let overrun = live.overrun.load(Ordering::Acquire);
                self.live = None;
                overrun.then_some(StreamItem::Overrun)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use serde_json::json;

    fn bus() -> EventBus {
        EventBus::new(1, 4, 2)
    }

    fn say(bus: &EventBus, kind: &str, call: &str) -> u64 {
        bus.publish(
            kind,
            Some(call.to_owned()),
            "2026-01-01T00:00:00Z",
            &json!({}),
        )
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
    async fn a_call_s_stream_begins_with_its_past_and_ends_with_the_call() {
        let bus = bus();
        say(&bus, "call.created", "a");
        say(&bus, "call.created", "b");
        let stream = bus.subscribe(EventFilter::call("a"), None).unwrap();
        say(&bus, "call.answered", "b");
        say(&bus, CALL_ENDED, "a");
        assert_eq!(ids(stream, 9).await, ["1", "4"]);
    }

    #[tokio::test]
    async fn a_stream_goes_on_after_the_last_event_that_was_seen() {
        let bus = bus();
        for _ in 0..3 {
            say(&bus, "x", "a");
        }
        let stream = bus.subscribe(EventFilter::all(), Some(1)).unwrap();
        assert_eq!(ids(stream, 2).await, ["2", "3"]);
    }

    #[tokio::test]
    async fn what_is_not_kept_any_more_is_a_gap_and_so_is_another_life_s_id() {
        let bus = bus();
        for _ in 0..6 {
            say(&bus, "x", "a");
        }
        let stream = bus.subscribe(EventFilter::all(), Some(1)).unwrap();
        assert_eq!(ids(stream, 3).await, ["gap 3", "3", "4"]);
        let stream = bus.subscribe(EventFilter::all(), Some(900)).unwrap();
        assert_eq!(ids(stream, 2).await, ["gap 3", "3"]);
        let stream = bus.subscribe(EventFilter::all(), Some(2)).unwrap();
        assert_eq!(ids(stream, 1).await, ["3"]);
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_and_dropped() {
        let bus = bus();
        let slow = bus.subscribe(EventFilter::all(), None).unwrap();
        for _ in 0..5 {
            say(&bus, "x", "a");
        }
        assert_eq!(bus.inner().subscribers.len(), 0);
        assert_eq!(ids(slow, 9).await, ["1", "2", "overrun"]);
    }

    #[tokio::test]
    async fn a_finished_call_s_stream_is_its_past() {
        let bus = bus();
        say(&bus, "x", "a");
        let filter = EventFilter {
            live: false,
            ..EventFilter::call("a")
        };
        assert_eq!(ids(bus.subscribe(filter, None).unwrap(), 9).await, ["1"]);
    }

    #[tokio::test]
    async fn kinds_are_filtered_and_the_call_s_end_still_ends_the_stream() {
        let bus = bus();
        let filter = EventFilter {
            kinds: vec!["y".into()],
            ..EventFilter::call("a")
        };
        let stream = bus.subscribe(filter, None).unwrap();
        say(&bus, "x", "a");
        say(&bus, "y", "a");
        let rest = ids(stream, 1).await;
        assert_eq!(rest, ["2"]);
        let filter = EventFilter {
            kinds: vec!["y".into()],
            ..EventFilter::call("a")
        };
        let stream = bus.subscribe(filter, None).unwrap();
        say(&bus, CALL_ENDED, "a");
        assert_eq!(ids(stream, 9).await, ["2"]);
    }

    #[test]
    fn the_number_of_streams_is_bounded() {
        let bus = bus();
        let open = || bus.subscribe(EventFilter::all(), None);
        let streams: Vec<_> = (0..MAX_SUBSCRIBERS).map(|_| open().unwrap()).collect();
        assert!(matches!(open(), Err(ApiError::Unavailable { .. })));
        drop(streams);
        assert!(open().is_ok());
    }
}
