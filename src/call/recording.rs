//! Recordings: one thread writes every call's stereo WAV, the caller left and the agent right, so
//! that no disk ever makes a call wait.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use offhook_media::RecordFrame;
use offhook_media::wav::StereoWriter;
use tokio::sync::oneshot;

use crate::clock;
use crate::net::media::RecordSink;

/// Frames that may wait for the disk: half a second of two hundred calls, half of that of wideband
/// ones.
const QUEUE: usize = 5_000;
/// How often the thread looks for recordings that are over without its having been told.
const SWEEP: Duration = Duration::from_millis(500);

/// The rate that a recording has until its first sound tells another.
const TELEPHONE_HZ: u32 = 8_000;

// A frame lies inline in the queue, so that none costs the media thread an allocation.
#[allow(clippy::large_enum_variant)]
enum Item {
    Open(u64, PathBuf, Arc<Progress>),
    Frame(u64, RecordFrame),
    Close(u64),
}

/// What a tape and the thread both know of a recording, so that its end cannot be lost with the
/// queue's last place.
#[derive(Default)]
struct Progress {
    /// Frames that were put into the queue.
    queued: AtomicU64,
    /// Whether the tape is gone: no frame follows.
    over: AtomicBool,
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

/// A recording was not begun: so many frames wait for the disk that there is no room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the disk does not keep up with the recordings")]
pub struct Unrecorded;

/// Speaks to the recordings' thread. Cloning is cheap.
#[derive(Clone)]
pub struct Recorder {
    items: SyncSender<Item>,
    shared: Arc<Shared>,
}

struct Shared {
    next: AtomicU64,
    dropped: AtomicU64,
    unrecorded: AtomicU64,
    /// Whether the thread is to finish what it has and end.
    ending: AtomicBool,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Shared {
    fn new(ended: Option<oneshot::Receiver<()>>) -> Self {
        Self {
            next: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            ended: Mutex::new(ended),
        }
    }
}

impl Recorder {
    /// Makes the folder and starts the thread.
    ///
    /// # Errors
    /// When either fails.
    pub fn start(folder: &Path) -> Result<Self, RecorderError> {
        Self::start_with(folder, QUEUE, SWEEP, create)
    }

    fn start_with(
        folder: &Path,
        places: usize,
        sweep: Duration,
        create: impl Fn(&Path) -> std::io::Result<Tape> + Send + 'static,
    ) -> Result<Self, RecorderError> {
        std::fs::create_dir_all(folder).map_err(|source| RecorderError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        let (items, queue) = sync_channel(places);
        let (tell, ended) = oneshot::channel();
        let shared = Arc::new(Shared::new(Some(ended)));
        let writer = Writer {
            create,
            open: HashMap::new(),
            shared: Arc::clone(&shared),
        };
        std::thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || {
                writer.run(&queue, sweep);
                // Who waits for the end finds nobody to hand a frame to.
                drop(queue);
                let _ = tell.send(());
            })
            .map_err(RecorderError::Thread)?;
        Ok(Self { items, shared })
    }

    /// Begins a recording, without waiting; it is finished when the sink is dropped.
    ///
    /// # Errors
    /// When the disk is so far behind that there is no room for another: the call goes unrecorded,
    /// and is counted.
    pub fn record(&self, path: PathBuf) -> Result<Box<dyn RecordSink>, Unrecorded> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let progress = Arc::<Progress>::default();
        let open = Item::Open(id, path, Arc::clone(&progress));
        if self.items.try_send(open).is_err() {
            self.shared.unrecorded.fetch_add(1, Ordering::Relaxed);
            return Err(Unrecorded);
        }
        Ok(Box::new(Microphone {
            id,
            items: self.items.clone(),
            shared: Arc::clone(&self.shared),
            progress,
        }))
    }

    /// Finishes every recording and ends the thread, once what waits is written.
    pub async fn finish(&self) {
        self.shared.ending.store(true, Ordering::Release);
        let ended = self
            .shared
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(ended) = ended {
            let _ = ended.await;
        }
    }

    /// Frames lost because the disk did not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Calls that were not recorded because the disk did not keep up.
    #[must_use]
    pub fn unrecorded(&self) -> u64 {
        self.shared.unrecorded.load(Ordering::Relaxed)
    }
}

/// A call's end of its recording, which its leg holds on the media thread: nothing here waits.
struct Microphone {
    id: u64,
    items: SyncSender<Item>,
    shared: Arc<Shared>,
    progress: Arc<Progress>,
}

impl RecordSink for Microphone {
    fn record(&mut self, frame: &RecordFrame) {
        let item = Item::Frame(self.id, frame.clone());
        if self.items.try_send(item).is_ok() {
            self.progress.queued.fetch_add(1, Ordering::Relaxed);
        } else {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Microphone {
    fn drop(&mut self) {
        // The flag is what counts: the item only spares a short recording the wait for a sweep.
        self.progress.over.store(true, Ordering::Release);
        let _ = self.items.try_send(Item::Close(self.id));
    }
}

type Tape = StereoWriter<BufWriter<File>>;

/// A recording on the thread.
struct Reel {
    /// None once it could not be written.
    tape: Option<Tape>,
    /// Frames that were taken from the queue.
    taken: u64,
    progress: Arc<Progress>,
}

impl Reel {
    /// Whether its last frame was taken: the count is exact once the tape's end is gone.
    fn is_over(&self) -> bool {
        self.progress.over.load(Ordering::Acquire)
            && self.taken == self.progress.queued.load(Ordering::Relaxed)
    }

    fn finish(self) {
        if let Some(Err(error)) = self.tape.map(StereoWriter::finish) {
            tracing::error!(%error, "a recording could not be finished");
        }
    }
}

struct Writer<C> {
    create: C,
    open: HashMap<u64, Reel>,
    shared: Arc<Shared>,
}

impl<C: Fn(&Path) -> std::io::Result<Tape>> Writer<C> {
    fn run(mut self, queue: &Receiver<Item>, sweep: Duration) {
        let mut swept = clock::now();
        loop {
            match queue.recv_timeout(sweep) {
                Ok(item) => self.take(item),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            // Under load the queue is never empty, and the sweep must come all the same.
            if clock::now().saturating_duration_since(swept) >= sweep {
                swept = clock::now();
                self.sweep();
                if self.shared.ending.load(Ordering::Acquire) {
                    break;
                }
            }
        }
        while let Ok(item) = queue.try_recv() {
            self.take(item);
        }
        self.open.into_values().for_each(Reel::finish);
    }

    /// Finishes the recordings that are over, whether or not that could be said.
    fn sweep(&mut self) {
        let over = self.open.extract_if(|_, reel| reel.is_over());
        over.for_each(|(_, reel)| reel.finish());
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Open(id, path, progress) => {
                let tape = (self.create)(&path).inspect_err(|error| {
                    tracing::error!(%error, path = %path.display(), "a recording cannot be made");
                });
                let reel = Reel {
                    tape: tape.ok(),
                    taken: 0,
                    progress,
                };
                self.open.insert(id, reel);
            }
            Item::Frame(id, frame) => {
                let Some(reel) = self.open.get_mut(&id) else {
                    return;
                };
                reel.taken += 1;
                if let Some(tape) = &mut reel.tape
                    && let Err(error) = tape.write(frame.rate_hz, &frame.remote, &frame.local)
                {
                    tracing::error!(%error, "a recording ends here: it cannot be written");
                    reel.tape = None;
                }
            }
            Item::Close(id) => {
                if let Some(reel) = self.open.remove(&id) {
                    reel.finish();
                }
            }
        }
    }
}

fn create(path: &Path) -> std::io::Result<Tape> {
    StereoWriter::new(BufWriter::new(File::create(path)?), TELEPHONE_HZ)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn frame() -> RecordFrame {
        RecordFrame {
            rate_hz: TELEPHONE_HZ,
            local: [-100; RecordFrame::SAMPLES],
            remote: [100; RecordFrame::SAMPLES],
        }
    }

    /// Frames of sound that a file's header names.
    fn frames_in(path: &Path) -> u32 {
        let file = std::fs::read(path).unwrap();
        u32::from_le_bytes(file[40..44].try_into().unwrap()) / (4 * 160)
    }

    #[tokio::test]
    async fn a_disk_that_stands_still_refuses_a_recording_and_holds_up_no_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (begun, goes_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let disk = (Arc::clone(&begun), Arc::clone(&goes_on));
        let slow = move |path: &Path| {
            if path.ends_with("first.wav") {
                disk.0.wait();
                disk.1.wait();
            }
            create(path)
        };
        let recorder = Recorder::start_with(folder.path(), 1, SWEEP, slow).unwrap();
        let mut first = recorder.record(path("first.wav")).unwrap();
        begun.wait();
        first.record(&frame());
        assert!(recorder.record(path("second.wav")).is_err());
        first.record(&frame());
        assert_eq!((recorder.unrecorded(), recorder.dropped()), (1, 1));
        drop(first);
        goes_on.wait();
        recorder.finish().await;
        assert_eq!(frames_in(&path("first.wav")), 1);
    }

    #[test]
    fn a_recording_whose_end_found_no_room_in_the_queue_is_finished_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let (items, queue) = sync_channel(3);
        let shared = Arc::new(Shared::new(None));
        let recorder = Recorder {
            items,
            shared: Arc::clone(&shared),
        };
        let mut sink = recorder.record(path.clone()).unwrap();
        sink.record(&frame());
        sink.record(&frame());
        drop(sink);
        let mut writer = Writer {
            create,
            open: HashMap::new(),
            shared,
        };
        writer.take(queue.recv().unwrap());
        writer.take(queue.recv().unwrap());
        writer.sweep();
        assert_eq!(writer.open.len(), 1, "a frame of it is still on its way");
        writer.take(queue.recv().unwrap());
        assert!(queue.try_recv().is_err(), "the end was lost");
        writer.sweep();
        assert!(writer.open.is_empty());
        assert_eq!(frames_in(&path), 2);
    }

    #[tokio::test]
    async fn what_is_open_when_the_recorder_ends_gets_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let recorder = Recorder::start(folder.path()).unwrap();
        let mut sink = recorder.record(path.clone()).unwrap();
        sink.record(&frame());
        recorder.finish().await;
        assert_eq!(frames_in(&path), 1);
        sink.record(&frame());
        assert_eq!(recorder.dropped(), 1, "nobody writes any more");
    }
}
