//! A mailbox: a bounded queue for one reader, whose room is taken as it fills. A channel of tokio's
//! holds room for 32 values from the start and for 64 soon after; of the mailboxes of a call most
//! are empty nearly always.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

/// Makes a mailbox in which so many values may wait.
#[must_use]
pub fn mailbox<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        letters: Mutex::new(Letters {
            waiting: VecDeque::new(),
            senders: 1,
            is_read: true,
            reader: None,
        }),
        room: Notify::new(),
        capacity: capacity.max(1),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// A value was not taken: nobody reads the mailbox any more, or it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Nobody reads it any more.
    #[error("nobody reads the mailbox any more")]
    Gone,
    /// It is full.
    #[error("the mailbox is full")]
    Full,
}

struct Shared<T> {
    letters: Mutex<Letters<T>>,
    /// Tells senders that wait of room.
    room: Notify,
    capacity: usize,
}

struct Letters<T> {
    waiting: VecDeque<T>,
    senders: usize,
    is_read: bool,
    reader: Option<Waker>,
}

impl<T> Shared<T> {
    fn letters(&self) -> MutexGuard<'_, Letters<T>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a value in, or gives it back.
    fn put(&self, value: T) -> Result<(), (Undelivered, T)> {
        let mut letters = self.letters();
        if !letters.is_read {
            return Err((Undelivered::Gone, value));
        }
        if letters.waiting.len() >= self.capacity {
            return Err((Undelivered::Full, value));
        }
        letters.waiting.push_back(value);
        let reader = letters.reader.take();
        drop(letters);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }
}

/// Puts values into a mailbox.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Puts a value in without waiting.
    ///
    /// # Errors
    /// When the mailbox is full, or nobody reads it any more; the value is dropped.
    pub fn try_send(&self, value: T) -> Result<(), Undelivered> {
        self.0.put(value).map_err(|(why, _)| why)
    }

    /// Puts a value in, and waits for room.
    ///
    /// # Errors
    /// When nobody reads the mailbox any more; the value is dropped.
    pub async fn send(&self, value: T) -> Result<(), Undelivered> {
        let mut value = value;
        loop {
            // Asked for before it is known that there is none: room that comes meanwhile counts.
            let room = self.0.room.notified();
            match self.0.put(value) {
                Ok(()) => return Ok(()),
                Err((Undelivered::Gone, _)) => return Err(Undelivered::Gone),
                Err((Undelivered::Full, back)) => value = back,
            }
            room.await;
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.letters().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut letters = self.0.letters();
        letters.senders -= 1;
        let reader = match letters.senders {
            0 => letters.reader.take(),
            _ => None,
        };
        drop(letters);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mailbox::Sender")
    }
}

/// Takes values out of a mailbox.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// Takes the value that has waited longest, or waits for one; none once all senders are gone
    /// and everything was taken. Nothing is lost when the wait is given up.
    pub async fn recv(&mut self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Takes the value that has waited longest, if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        let taken = self.0.letters().waiting.pop_front();
        if taken.is_some() {
            self.0.room.notify_one();
        }
        taken
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut letters = self.0.letters();
        match letters.waiting.pop_front() {
            Some(value) => {
                drop(letters);
                self.0.room.notify_one();
                Poll::Ready(Some(value))
            }
            None if letters.senders == 0 => Poll::Ready(None),
            None => {
                letters.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut letters = self.0.letters();
        letters.is_read = false;
        letters.reader = None;
        let unread = std::mem::take(&mut letters.waiting);
        drop(letters);
        self.0.room.notify_waiters();
        drop(unread);
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mailbox::Receiver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_come_in_order_and_the_end_after_the_last() {
        let (sender, mut receiver) = mailbox(4);
        let other = sender.clone();
        sender.try_send(1).unwrap();
        other.send(2).await.unwrap();
        drop((sender, other));
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.try_recv(), Some(2));
        assert_eq!((receiver.try_recv(), receiver.recv().await), (None, None));
    }

    #[tokio::test]
    async fn a_full_mailbox_refuses_what_does_not_wait_and_takes_what_does_once_there_is_room() {
        let (sender, mut receiver) = mailbox(1);
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(Undelivered::Full));
        let waiting: Vec<_> = (2..5)
            .map(|n| {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(n).await })
            })
            .collect();
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.extend(receiver.recv().await);
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3, 4]);
        for sent in waiting {
            assert_eq!(sent.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test]
    async fn who_waits_for_room_or_for_a_value_hears_that_the_other_side_is_gone() {
        let (sender, receiver) = mailbox(1);
        sender.try_send(1).unwrap();
        let sending = tokio::spawn(async move { sender.send(2).await });
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(sending.await.unwrap(), Err(Undelivered::Gone));
        let (sender, mut receiver) = mailbox::<u8>(1);
        let receiving = tokio::spawn(async move { receiver.recv().await });
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(receiving.await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_sender_that_goes_does_not_leave_the_reader_asleep() {
        let (sender, mut receiver) = mailbox(1);
        let other = sender.clone();
        let receiving = tokio::spawn(async move { receiver.recv().await });
        tokio::task::yield_now().await;
        drop(other);
        sender.try_send(7).unwrap();
        assert_eq!(receiving.await.unwrap(), Some(7));
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_loses_nothing() {
        let (sender, mut receiver) = mailbox(2);
        for n in 0..50 {
            tokio::select! {
                biased;
                _ = receiver.recv() => unreachable!("nothing was sent"),
                () = tokio::task::yield_now() => {}
            }
            sender.try_send(n).unwrap();
            assert_eq!(receiver.recv().await, Some(n));
        }
    }
}
