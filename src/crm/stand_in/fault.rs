//! What can go wrong with a request, on demand.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// A fault that one request meets.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is answered with this status and nothing is done.
    Status(u16),
    /// It is answered with this status and a `Retry-After` of this value; nothing is done.
    RetryAfter(u16, String),
    /// It is never answered.
    Stall,
    /// It is looked at, but carried out and answered only when the gate opens.
    Hold(Gate),
    /// Nothing is done and the connection breaks within the answer.
    CutBefore,
    /// It is carried out, and then the connection breaks within the answer: who asked cannot know.
    CutAfter,
    /// None: for a fault further on in the sequence.
    Pass,
}

/// Where requests wait until somebody opens it.
#[derive(Debug, Clone)]
pub struct Gate {
    // A closed semaphore lets everyone through.
    open: Arc<Semaphore>,
    reached: Arc<Semaphore>,
}

impl Gate {
    /// Makes a closed gate.
    pub fn closed() -> Self {
        let shut = || Arc::new(Semaphore::new(0));
        Self {
            open: shut(),
            reached: shut(),
        }
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.open.close();
    }

    /// Waits until somebody stands before the gate, or has passed it.
    pub async fn reached(&self) {
        self.reached.acquire().await.ok();
    }

    pub(super) async fn pass(&self) {
        self.reached.close();
        self.open.acquire().await.ok();
    }
}
