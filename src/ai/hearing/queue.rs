//! The frames' way from the media threads to the hearing thread: bounded, without a lock, and
//! without a system call while frames flow.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use offhook_media::Frame;

use crate::net::media::LegId;

/// A frame of one leg, with what the cheap gate said of it.
pub(super) struct Heard {
    pub(super) leg: LegId,
    pub(super) voiced: bool,
    pub(super) frame: Frame,
}

/// Frames that wait for the hearing thread.
pub(super) struct FrameQueue {
    frames: ArrayQueue<Heard>,
    /// The reader waits to be woken, rather than for its next beat.
    sleeping: AtomicBool,
    reader: OnceLock<Thread>,
}

impl FrameQueue {
    /// Makes a queue of so many frames, all allocated now.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            frames: ArrayQueue::new(capacity),
            sleeping: AtomicBool::new(false),
            reader: OnceLock::new(),
        }
    }

    /// Hands a frame over; false when the queue is full and the frame is lost.
    pub(super) fn push(&self, heard: Heard) -> bool {
        let taken = self.frames.push(heard).is_ok();
        // Either the reader sees the frame before it sleeps, or we see here that it does.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) {
            self.wake();
        }
        taken
    }

    /// Takes the frame that has waited longest.
    pub(super) fn pop(&self) -> Option<Heard> {
        self.frames.pop()
    }

    /// How many frames wait.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Ends the reader's rest, or keeps its next one from beginning.
    pub(super) fn wake(&self) {
        if let Some(reader) = self.reader.get() {
            reader.unpark();
        }
    }

    /// Says that the calling thread is the reader.
    pub(super) fn read_here(&self) {
        let _ = self.reader.set(std::thread::current());
    }

    /// Rests the reader until a frame comes, somebody wakes it, or `most` is over.
    pub(super) fn sleep(&self, most: Duration) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.frames.is_empty() {
            std::thread::park_timeout(most);
        }
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Rests the reader for one beat, whatever comes, unless somebody wakes it.
    pub(super) fn pause(&self, beat: Duration) {
        std::thread::park_timeout(beat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Longer than a test takes: a rest that is over sooner was ended.
    const LONG: Duration = Duration::from_secs(3600);

    fn heard(leg: LegId) -> Heard {
        Heard {
            leg,
            voiced: true,
            frame: Frame::new(8_000, 0, clock::now(), false, &[0; 160]),
        }
    }

    #[test]
    fn each_frame_of_a_leg_reaches_a_reader_that_sleeps_between_them_in_order() {
        const FRAMES: u64 = 10_000;
        let queue = FrameQueue::new(64);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                queue.read_here();
                let mut next = 0;
                while next < FRAMES {
                    match queue.pop() {
                        Some(heard) => {
                            assert_eq!(heard.leg, next);
                            next += 1;
                        }
                        None => queue.sleep(LONG),
                    }
                }
            });
            for leg in 0..FRAMES {
                while !queue.push(heard(leg)) {
                    std::thread::yield_now();
                }
            }
        });
    }

    #[test]
    fn a_full_queue_refuses_frames_and_keeps_those_that_it_has() {
        let queue = FrameQueue::new(2);
        assert!(queue.push(heard(1)) && queue.push(heard(2)) && !queue.push(heard(3)));
        assert_eq!(queue.len(), 2);
        let legs = std::iter::from_fn(|| queue.pop()).map(|heard| heard.leg);
        assert_eq!(legs.collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn who_has_something_to_ask_ends_the_readers_rest() {
        let queue = FrameQueue::new(1);
        queue.read_here();
        // A call that comes before the rest keeps it from beginning.
        queue.wake();
        queue.sleep(LONG);
        queue.wake();
        queue.pause(LONG);
    }
}
