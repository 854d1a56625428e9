//! Recordings: one thread writes every call's stereo file, the caller left and the agent right, so
//! that no disk ever makes a call wait.
//!
//! What was heard a second ago is the kernel's: a process that dies loses no more. A frame that
//! finds no room in the queue is lost from the file, where silence takes its place, and so it does
//! while a recording is paused: then nothing of either party leaves the media thread.

mod begin;
mod pause;
mod retention;
mod shutter;
mod tape;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use offhook_media::RecordFrame;
use tokio::sync::oneshot;

pub use self::pause::{PausedBy, RecordingSwitch, recording_event};
pub use self::retention::remove_old;
pub(crate) use self::shutter::{FileEnd, Shutter};
use self::tape::Tape;
use self::writer::Writer;
use crate::config::RecordingFormat;
use crate::net::media::RecordSink;
use crate::realtime::Outward;

/// Frames that may wait for the disk: half a second of two hundred calls, half of that of wideband
/// ones.
const QUEUE: usize = 5_000;
/// How often the thread looks for recordings that are over without its having been told, and for
/// what was not handed to the kernel for a while.
const SWEEP: Duration = Duration::from_millis(100);
/// As inference threads have: where there are fewer cores than threads, a packet goes before a
/// file.
const NICENESS: i32 = 5;

// A frame lies inline in the queue, so that none costs the media thread an allocation.
#[allow(clippy::large_enum_variant)]
enum Item {
    Open(u64, PathBuf, Arc<Progress>),
    Frame(u64, RecordFrame),
    /// Nothing, for a frame's time.
    Quiet(u64, Quiet),
    Close(u64),
}

/// A frame of which nothing may be known.
struct Quiet {
    rate_hz: u32,
    position: u64,
}

/// What a tape and the thread both know of a recording, so that its end cannot be lost with the
/// queue's last place.
#[derive(Default)]
struct Progress {
    /// Frames that were put into the queue.
    queued: AtomicU64,
    /// Whether the tape is gone: no frame follows.
    over: AtomicBool,
    /// Where the call's last frame ended, in samples, whether or not it was queued; true once it is
    /// over.
    end: AtomicU64,
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
    items: Arc<Outward<Item>>,
    shared: Arc<Shared>,
}

struct Shared {
    next: AtomicU64,
    dropped: AtomicU64,
    unrecorded: AtomicU64,
    broken: AtomicU64,
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
            broken: AtomicU64::new(0),
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
    pub fn start(folder: &Path, format: RecordingFormat) -> Result<Self, RecorderError> {
        Self::start_with(folder, QUEUE, SWEEP, move |path| Tape::create(path, format))
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
        let items = Arc::new(Outward::new(places));
        let queue = Arc::clone(&items);
        let (tell, ended) = oneshot::channel();
        let shared = Arc::new(Shared::new(Some(ended)));
        let writer = Writer::new(create, Arc::clone(&shared));
        std::thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || {
                if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                    tracing::debug!(%error, "the recordings' thread keeps its niceness");
                }
                writer.run(&queue, sweep);
                let _ = tell.send(());
            })
            .map_err(RecorderError::Thread)?;
        Ok(Self { items, shared })
    }

    /// Begins a recording, without waiting; it is finished when the sink is dropped, and `switch`
    /// pauses it.
    ///
    /// # Errors
    /// When the disk is so far behind that there is no room for another: the call goes unrecorded,
    /// and is counted.
    pub fn record(
        &self,
        path: PathBuf,
        switch: RecordingSwitch,
    ) -> Result<Box<dyn RecordSink>, Unrecorded> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let progress = Arc::<Progress>::default();
        let open = Item::Open(id, path, Arc::clone(&progress));
        if !self.items.push(open) {
            self.shared.unrecorded.fetch_add(1, Ordering::Relaxed);
            return Err(Unrecorded);
        }
        Ok(Box::new(Microphone {
            id,
            items: Arc::clone(&self.items),
            shared: Arc::clone(&self.shared),
            progress,
            shutter: Shutter::new(switch),
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

    /// Recordings that ended before their calls, or never began, because their files could not be
    /// written.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(Ordering::Relaxed)
    }
}

/// A call's end of its recording, which its leg holds on the media thread: nothing here waits.
struct Microphone {
    id: u64,
    items: Arc<Outward<Item>>,
    shared: Arc<Shared>,
    progress: Arc<Progress>,
    shutter: Shutter,
}

impl RecordSink for Microphone {
    fn record(&mut self, frame: &RecordFrame) {
        let item = if self.shutter.is_open_for(frame) {
            Item::Frame(self.id, frame.clone())
        } else {
            let (rate_hz, position) = (frame.rate_hz, frame.position);
            Item::Quiet(self.id, Quiet { rate_hz, position })
        };
        if self.items.push(item) {
            self.progress.queued.fetch_add(1, Ordering::Relaxed);
        } else {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Microphone {
    fn drop(&mut self) {
        // The flag is what counts: the item only spares a short recording the wait for a sweep.
        let end = self.shutter.position();
        self.progress.end.store(end, Ordering::Relaxed);
        self.progress.over.store(true, Ordering::Release);
        let _ = self.items.push(Item::Close(self.id));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn switch() -> RecordingSwitch {
        RecordingSwitch::new(true)
    }

    /// The call's frame of this number, at a telephone's rate.
    pub(super) fn frame(number: u64) -> RecordFrame {
        RecordFrame {
            rate_hz: 8_000,
            position: number * RecordFrame::SAMPLES as u64,
            local: [-100; RecordFrame::SAMPLES],
            remote: [100; RecordFrame::SAMPLES],
        }
    }

    /// What the caller said, by a sample of each frame that the file's header names.
    pub(super) fn sound_of(path: &Path) -> Vec<i16> {
        let file = std::fs::read(path).unwrap();
        let named = offhook_media::wav::named_bytes(&file).unwrap() as usize;
        let frames = file[44..named].chunks(4 * RecordFrame::SAMPLES);
        frames
            .map(|frame| i16::from_le_bytes([frame[0], frame[1]]))
            .collect()
    }

    #[tokio::test]
    async fn a_disk_that_stands_still_refuses_a_recording_and_holds_up_no_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (begun, goes_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let disk = (Arc::clone(&begun), Arc::clone(&goes_on));
        let slow = move |path: &Path| {
            disk.0.wait();
            disk.1.wait();
            Tape::create(path, RecordingFormat::Wav)
        };
        let recorder = Recorder::start_with(folder.path(), 1, SWEEP, slow).unwrap();
        let mut first = recorder.record(path("first.wav"), switch()).unwrap();
        let mut numbers = 0..;
        let mut record = || first.record(&frame(numbers.next().unwrap()));
        // Until the recording itself was taken there is no room for its first frame.
        let lost = loop {
            let before = recorder.dropped();
            record();
            if recorder.dropped() == before {
                break before;
            }
        };
        begun.wait();
        record();
        assert!(recorder.record(path("second.wav"), switch()).is_err());
        record();
        assert_eq!((recorder.unrecorded(), recorder.dropped()), (1, lost + 1));
        drop(first);
        goes_on.wait();
        recorder.finish().await;
        let mut expected = vec![0; lost as usize];
        expected.extend([100, 100, 0]);
        assert_eq!(sound_of(&path("first.wav")), expected);
    }

    #[tokio::test]
    async fn what_is_open_when_the_recorder_ends_gets_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let recorder = Recorder::start(folder.path(), RecordingFormat::Wav).unwrap();
        let mut sink = recorder.record(path.clone(), switch()).unwrap();
        sink.record(&frame(0));
        recorder.finish().await;
        assert_eq!(sound_of(&path), [100]);
        sink.record(&frame(1));
        assert_eq!(recorder.dropped(), 1, "nobody writes any more");
    }
}
