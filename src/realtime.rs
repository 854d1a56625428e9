//! Queues between media threads and the others. Neither end waits for a thread that was stopped in
//! the middle of its work.
//!
//! A lock-free queue spins while a slot that it wants is in another thread's hands. A media thread
//! has real-time priority where it may, and one that spins so on the core of the other thread keeps
//! that thread from ever letting go: calls stand still until the kernel's own limit on real-time
//! threads steps in, after 0.95 s. Here what is not there yet is not there, and what has no room
//! yet has none.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;

/// Places that are never filled, so that none is wanted that the reader holds: one for the reader,
/// and one for each thread that has looked for room and not taken it yet.
const SPARE: usize = 64;

/// A bounded queue from media threads to one reader: without a lock, and without a system call
/// while items flow.
pub(crate) struct Outward<T> {
    items: ArrayQueue<T>,
    room: usize,
    /// The reader waits to be woken, rather than for its next beat.
    sleeping: AtomicBool,
    closed: AtomicBool,
    reader: OnceLock<Thread>,
}

impl<T> Outward<T> {
    /// Makes a queue of so many items, all allocated now.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            items: ArrayQueue::new(capacity + SPARE),
            room: capacity,
            sleeping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            reader: OnceLock::new(),
        }
    }

    /// Hands an item over; false when the queue is full or closed, and the item is lost.
    pub(crate) fn push(&self, item: T) -> bool {
        let room = self.items.len() < self.room && !self.closed.load(Ordering::Relaxed);
        let taken = room && self.items.push(item).is_ok();
        // Either the reader sees the item before it sleeps, or we see here that it does.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) {
            self.wake();
        }
        taken
    }

    /// Takes the item that has waited longest.
    pub(crate) fn pop(&self) -> Option<T> {
        self.items.pop()
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes no more items.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Ends the reader's rest, or keeps its next one from beginning.
    pub(crate) fn wake(&self) {
        if let Some(reader) = self.reader.get() {
            reader.unpark();
        }
    }

    /// Says that the calling thread is the reader.
    pub(crate) fn read_here(&self) {
        let _ = self.reader.set(std::thread::current());
    }

    /// Rests the reader until an item comes, somebody wakes it, or `most` is over.
    pub(crate) fn sleep(&self, most: Duration) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.items.is_empty() {
            std::thread::park_timeout(most);
        }
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Rests the reader for one beat, whatever comes, unless somebody wakes it.
    pub(crate) fn pause(&self, beat: Duration) {
        std::thread::park_timeout(beat);
    }
}

/// Makes a bounded queue from any thread to one media thread. Senders wait for each other for as
/// long as an item takes to copy; the reader waits for nobody.
pub(crate) fn inward<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = rtrb::RingBuffer::new(capacity);
    (Sender(Arc::new(Mutex::new(sender))), Receiver(receiver))
}

/// The ends that send to a media thread. Cloning is cheap.
pub(crate) struct Sender<T>(Arc<Mutex<rtrb::Producer<T>>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// An item was not sent: the queue is full, or nobody reads it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    Full,
    Gone,
}

impl<T> Sender<T> {
    /// Sends an item, without waiting for room.
    pub(crate) fn send(&self, item: T) -> Result<(), Unsent> {
        self.offer(item).map_err(|(unsent, _)| unsent)
    }

    /// Sends an item, without waiting for room, or gives it back.
    pub(crate) fn offer(&self, item: T) -> Result<(), (Unsent, T)> {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.is_abandoned() {
            return Err((Unsent::Gone, item));
        }
        sender
            .push(item)
            .map_err(|rtrb::PushError::Full(item)| (Unsent::Full, item))
    }
}

/// A media thread's end.
pub(crate) struct Receiver<T>(rtrb::Consumer<T>);

impl<T> Receiver<T> {
    /// Takes the item that has waited longest, of those that are there.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.pop().ok()
    }

    /// Whether nobody can send any more; what was sent may still wait.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than a test takes: a rest that is over sooner was ended.
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn each_item_reaches_a_reader_that_sleeps_between_them_in_order() {
        const ITEMS: u64 = 10_000;
        let queue = Outward::new(64);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                queue.read_here();
                let mut next = 0;
                while next < ITEMS {
                    match queue.pop() {
                        Some(item) => {
                            assert_eq!(item, next);
                            next += 1;
                        }
                        None => queue.sleep(LONG),
                    }
                }
            });
            for item in 0..ITEMS {
                while !queue.push(item) {
                    std::thread::yield_now();
                }
            }
        });
    }

    #[test]
    fn a_full_queue_refuses_items_and_keeps_those_that_it_has() {
        let queue = Outward::new(2);
        assert!(queue.push(1) && queue.push(2) && !queue.push(3));
        assert_eq!(queue.len(), 2);
        let items = std::iter::from_fn(|| queue.pop());
        assert_eq!(items.collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn who_has_something_to_ask_ends_the_readers_rest() {
        let queue = Outward::<u64>::new(1);
        queue.read_here();
        // A call that comes before the rest keeps it from beginning.
        queue.wake();
        queue.sleep(LONG);
        queue.wake();
        queue.pause(LONG);
    }

    #[test]
    fn a_place_that_the_reader_holds_is_never_wanted() {
        let queue = Outward::new(2);
        for item in 0..1_000 {
            while queue.push(item) {}
            // A place that was just given back lies as many behind the one that is filled next as
            // there are spare ones.
            assert!(queue.items.capacity() - queue.items.len() >= SPARE);
            queue.pop();
        }
    }

    #[test]
    fn senders_learn_that_a_queue_is_full_or_unread_and_the_reader_that_nobody_sends() {
        let (sender, mut receiver) = inward(2);
        let other = sender.clone();
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(other.send(2), Ok(()));
        assert_eq!(other.send(3), Err(Unsent::Full));
        assert_eq!(other.offer(3), Err((Unsent::Full, 3)));
        assert_eq!(receiver.take(), Some(1));
        assert_eq!(sender.send(4), Ok(()));
        drop(sender);
        assert!(!receiver.is_abandoned());
        drop(other);
        assert!(receiver.is_abandoned());
        assert_eq!((receiver.take(), receiver.take()), (Some(2), Some(4)));
        assert_eq!(receiver.take(), None);
        let (sender, receiver) = inward(1);
        drop(receiver);
        assert_eq!(sender.send(1), Err(Unsent::Gone));
    }
}
