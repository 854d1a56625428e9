//! Recordings: one thread writes every call's stereo WAV, the caller left and the agent right, so
//! that no disk ever makes a call wait.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use offhook_media::RecordFrame;
use offhook_media::wav::StereoWriter;

use crate::net::media::RecordSink;

/// Frames that may wait for the disk: half a second of two hundred calls, half of that of wideband
/// ones.
const QUEUE: usize = 5_000;

/// The rate that a recording has until its first sound tells another.
const TELEPHONE_HZ: u32 = 8_000;

// A frame lies inline in the queue, so that none costs the media thread an allocation.
#[allow(clippy::large_enum_variant)]
enum Item {
    Open(u64, PathBuf),
    Frame(u64, RecordFrame),
    Close(u64),
}

/// Explains why recordings cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The folder cannot be made.
    #[error("cannot make the recordings' folder {path}: {source}", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The thread cannot be started.
    #[error("cannot start the recordings' thread: {0}")]
    Thread(std::io::Error),
}

/// Speaks to the recordings' thread. Cloning is cheap.
#[derive(Clone)]
pub struct Recorder {
    items: SyncSender<Item>,
    next: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// Makes the folder and starts the thread.
    ///
    /// # Errors
    /// When either fails.
    pub fn start(folder: &std::path::Path) -> Result<Self, RecorderError> {
        std::fs::create_dir_all(folder).map_err(|source| RecorderError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        let (items, queue) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || write(&queue))
            .map_err(RecorderError::Thread)?;
        Ok(Self {
            items,
            next: Arc::default(),
            dropped: Arc::default(),
        })
    }

    /// Begins a recording; it is finished when the sink is dropped.
    #[must_use]
    pub fn record(&self, path: PathBuf) -> Box<dyn RecordSink> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let _ = self.items.send(Item::Open(id, path));
        Box::new(Tape {
            id,
            items: self.items.clone(),
            dropped: Arc::clone(&self.dropped),
        })
    }

    /// Frames lost because the disk did not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

struct Tape {
    id: u64,
    items: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

impl RecordSink for Tape {
    fn record(&mut self, frame: &RecordFrame) {
        if self
            .items
            .try_send(Item::Frame(self.id, frame.clone()))
            .is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        // Dropped on the media thread, which must not wait: a lost close is made good when the
        // recorder ends, and the header on disk is never more than a second behind.
        let _ = self.items.try_send(Item::Close(self.id));
    }
}

fn write(queue: &Receiver<Item>) {
    let mut open: HashMap<u64, StereoWriter<BufWriter<File>>> = HashMap::new();
    while let Ok(item) = queue.recv() {
        match item {
            Item::Open(id, path) => match create(&path) {
                Ok(writer) => {
                    open.insert(id, writer);
                }
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "a recording cannot be made");
                }
            },
            Item::Frame(id, frame) => {
                if let Some(writer) = open.get_mut(&id)
                    && let Err(error) = writer.write(frame.rate_hz, &frame.remote, &frame.local)
                {
                    tracing::error!(%error, "a recording ends here: it cannot be written");
                    open.remove(&id);
                }
            }
            Item::Close(id) => {
                if let Some(writer) = open.remove(&id)
                    && let Err(error) = writer.finish()
                {
                    tracing::error!(%error, "a recording could not be finished");
                }
            }
        }
    }
}

fn create(path: &std::path::Path) -> std::io::Result<StereoWriter<BufWriter<File>>> {
    StereoWriter::new(BufWriter::new(File::create(path)?), TELEPHONE_HZ)
}
