//! The recordings' thread: takes frames from the queue and writes each call's file.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offhook_media::RecordFrame;

use super::tape::Tape;
use super::{FileEnd, Item, Progress, Quiet, Shared};
use crate::clock;
use crate::realtime::Outward;

/// What was taken from the queue is handed to the kernel when the last time is so long ago: with
/// the sweep's own time less than a second.
const FLUSH: Duration = Duration::from_millis(800);
/// Between two looks at a queue that is empty; two hundred calls fill it in half a second.
const REST: Duration = Duration::from_millis(20);
/// Recordings that began together are flushed in so many different sweeps.
const SPREAD: u64 = 8;

/// A recording on the thread.
struct Reel {
    path: PathBuf,
    tape: Stage,
    /// Frames that were taken from the queue.
    taken: u64,
    /// Where in the call the file ends, and how many samples a second has.
    end: FileEnd,
    rate_hz: u32,
    flushed: Instant,
    progress: Arc<Progress>,
}

/// What there is of a recording's file.
enum Stage {
    /// Nothing: its call has no sound yet, and may never be answered.
    Waiting,
    Running(Tape),
    /// It could not be written.
    Failed,
}

impl Reel {
    /// Whether its last frame was taken: the count is exact once the tape's end is gone.
    fn is_over(&self) -> bool {
        self.progress.over.load(Ordering::Acquire)
            && self.taken == self.progress.queued.load(Ordering::Relaxed)
    }

    /// Writes, up to `position`, silence for what is missing: it was dropped while the disk stood
    /// still, or its time passed while the media thread did.
    fn keep_time(&mut self, position: u64) -> io::Result<()> {
        match &mut self.tape {
            Stage::Running(tape) => tape.silence(self.rate_hz, self.end.missing_to(position)),
            Stage::Waiting | Stage::Failed => Ok(()),
        }
    }

    fn write(&mut self, frame: &RecordFrame) -> io::Result<()> {
        self.rate_hz = frame.rate_hz;
        self.keep_time(frame.position)?;
        if let Stage::Running(tape) = &mut self.tape {
            self.end.wrote(frame);
            tape.write(frame)?;
        }
        Ok(())
    }

    /// Writes silence for a frame's time.
    fn pass(&mut self, quiet: &Quiet) -> io::Result<()> {
        self.rate_hz = quiet.rate_hz;
        self.keep_time(quiet.position + RecordFrame::SAMPLES as u64)
    }

    /// Hands what was written to the kernel, if that is due.
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        if now.saturating_duration_since(self.flushed) < FLUSH {
            return Ok(());
        }
        self.flushed = now;
        match &mut self.tape {
            Stage::Running(tape) => tape.flush(),
            Stage::Waiting | Stage::Failed => Ok(()),
        }
    }

    /// Ends the recording if it cannot be written.
    fn heed(&mut self, written: io::Result<()>, shared: &Shared) {
        if let Err(error) = written {
            let path = self.path.display();
            tracing::error!(%error, %path, "a recording ends here: it cannot be written");
            shared.broken.fetch_add(1, Ordering::Relaxed);
            self.tape = Stage::Failed;
        }
    }

    fn finish(mut self, shared: &Shared) {
        // What was dropped last is missing too.
        let kept = match self.progress.over.load(Ordering::Acquire) {
            true => self.keep_time(self.progress.end.load(Ordering::Relaxed)),
            false => Ok(()),
        };
        if let Stage::Running(tape) = self.tape
            && let Err(error) = kept.and_then(|()| tape.finish())
        {
            let path = self.path.display();
            tracing::error!(%error, %path, "a recording could not be finished");
            shared.broken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(super) struct Writer<C> {
    create: C,
    open: HashMap<u64, Reel>,
    shared: Arc<Shared>,
}

impl<C: Fn(&Path) -> io::Result<Tape>> Writer<C> {
    pub(super) fn new(create: C, shared: Arc<Shared>) -> Self {
        Self {
            create,
            open: HashMap::new(),
            shared,
        }
    }

    pub(super) fn run(mut self, queue: &Arc<Outward<Item>>, sweep: Duration) {
        queue.read_here();
        let mut swept = clock::now();
        loop {
            let item = self.next(queue, sweep);
            let now = clock::now();
            if let Some(item) = item {
                self.take(now, item);
            }
            // Under load the queue is never empty, and the sweep must come all the same.
            if now.saturating_duration_since(swept) >= sweep {
                swept = now;
                self.sweep(now);
                let nobody_records = Arc::strong_count(queue) == 1;
                if nobody_records || self.shared.ending.load(Ordering::Acquire) {
                    break;
                }
            }
        }
        // Who waits for the end finds nobody to hand a frame to.
        queue.close();
        while let Some(item) = queue.pop() {
            self.take(clock::now(), item);
        }
        let shared = &self.shared;
        self.open.into_values().for_each(|reel| reel.finish(shared));
    }

    /// Takes the next item. Where there is none it is looked for a little later, so that no media
    /// thread has to wake this one; only while nothing is recorded is the first one waited for.
    fn next(&self, queue: &Outward<Item>, sweep: Duration) -> Option<Item> {
        let item = queue.pop();
        match (&item, self.open.is_empty()) {
            (Some(_), _) => {}
            (None, true) => queue.sleep(sweep),
            (None, false) => queue.pause(REST),
        }
        item
    }

    /// Finishes the recordings that are over, whether or not that could be said, and flushes those
    /// that are due.
    fn sweep(&mut self, now: Instant) {
        let over = self.open.extract_if(|_, reel| reel.is_over());
        over.for_each(|(_, reel)| reel.finish(&self.shared));
        for reel in self.open.values_mut() {
            let flushed = reel.flush(now);
            reel.heed(flushed, &self.shared);
        }
    }

    fn write(&mut self, id: u64, piece: impl FnOnce(&mut Reel) -> io::Result<()>) {
        if let Some(reel) = self.open.get_mut(&id) {
            reel.taken += 1;
            begin(reel, &self.create, &self.shared);
            let written = piece(reel);
            reel.heed(written, &self.shared);
        }
    }

    fn take(&mut self, now: Instant, item: Item) {
        match item {
            Item::Open(id, path, progress) => {
                let early = FLUSH.mul_f64((id % SPREAD) as f64 / SPREAD as f64);
                let reel = Reel {
                    path,
                    tape: Stage::Waiting,
                    taken: 0,
                    end: FileEnd::default(),
                    rate_hz: 0,
                    flushed: now.checked_sub(early).unwrap_or(now),
                    progress,
                };
                self.open.insert(id, reel);
            }
            Item::Frame(id, frame) => self.write(id, |reel| reel.write(&frame)),
            Item::Quiet(id, quiet) => self.write(id, |reel| reel.pass(&quiet)),
            Item::Close(id) => {
                if let Some(reel) = self.open.remove(&id) {
                    reel.finish(&self.shared);
                }
            }
        }
    }
}

/// Makes a recording's file with its first frame: a call that is never answered has none.
fn begin(reel: &mut Reel, create: &impl Fn(&Path) -> io::Result<Tape>, shared: &Shared) {
    let Stage::Waiting = reel.tape else {
        return;
    };
    match create(&reel.path) {
        Ok(tape) => reel.tape = Stage::Running(tape),
        Err(error) => reel.heed(Err(error), shared),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{frame, sound_of};
    use super::*;
    use crate::call::recording::{PausedBy, Recorder, RecordingSwitch};
    use crate::config::RecordingFormat;
    use crate::net::media::RecordSink;

    /// A recorder whose thread is the test.
    struct Bench {
        recorder: Recorder,
        queue: Arc<Outward<Item>>,
        writer: Writer<fn(&Path) -> io::Result<Tape>>,
        folder: tempfile::TempDir,
        now: Instant,
    }

    impl Bench {
        fn new(places: usize) -> Self {
            Self::writing(places, |path| Tape::create(path, RecordingFormat::Wav))
        }

        fn writing(places: usize, create: fn(&Path) -> io::Result<Tape>) -> Self {
            let queue = Arc::new(Outward::new(places));
            let shared = Arc::new(Shared::new(None));
            Self {
                recorder: Recorder {
                    items: Arc::clone(&queue),
                    shared: Arc::clone(&shared),
                },
                queue,
                writer: Writer::new(create, shared),
                folder: tempfile::tempdir().unwrap(),
                now: clock::now(),
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("call.wav")
        }

        fn record(&self) -> Box<dyn RecordSink> {
            self.record_by(&RecordingSwitch::new(true))
        }

        fn record_by(&self, switch: &RecordingSwitch) -> Box<dyn RecordSink> {
            self.recorder.record(self.path(), switch.clone()).unwrap()
        }

        /// Lets so much time pass, and the thread take what waits.
        fn pass(&mut self, time: Duration) {
            self.now += time;
            while let Some(item) = self.queue.pop() {
                self.writer.take(self.now, item);
            }
            self.writer.sweep(self.now);
        }

        /// Records so many frames of a call, the thread at its sweep every 100 ms, and ends as a
        /// process that is killed: nothing that is in its memory is written any more.
        fn die_after(mut self, frames: u64) -> tempfile::TempDir {
            let mut sink = self.record();
            for n in 0..frames {
                sink.record(&frame(n));
                if n % 5 == 4 {
                    self.pass(Duration::from_millis(100));
                }
            }
            std::mem::forget(self.writer);
            self.folder
        }
    }

    #[test]
    fn a_recording_whose_end_found_no_room_in_the_queue_is_finished_all_the_same() {
        let mut bench = Bench::new(3);
        let mut sink = bench.record();
        sink.record(&frame(0));
        sink.record(&frame(1));
        drop(sink);
        for _ in 0..2 {
            let item = bench.queue.pop().unwrap();
            bench.writer.take(bench.now, item);
        }
        bench.writer.sweep(bench.now);
        assert_eq!(bench.writer.open.len(), 1, "a frame of it is on its way");
        let item = bench.queue.pop().unwrap();
        bench.writer.take(bench.now, item);
        assert!(bench.queue.pop().is_none(), "the end was lost");
        bench.writer.sweep(bench.now);
        assert!(bench.writer.open.is_empty());
        assert_eq!(sound_of(&bench.path()), [100; 2]);
    }

    #[test]
    fn a_process_that_dies_leaves_all_but_the_last_second() {
        let bench = Bench::new(10);
        let path = bench.path();
        let _folder = bench.die_after(525);
        let there = sound_of(&path);
        assert!(there.len() > 525 - 50, "{} frames", there.len());
        assert!(there.iter().all(|sample| *sample == 100));
    }

    #[test]
    fn an_opus_recording_of_a_process_that_dies_lacks_its_last_second() {
        let bench = Bench::writing(10, |path| Tape::create(path, RecordingFormat::Opus));
        let path = bench.path();
        let _folder = bench.die_after(525);
        let file = std::fs::read(&path).unwrap();
        // The last page's granule position: how much is there, at 48 kHz.
        let last = file.windows(4).rposition(|at| at == b"OggS").unwrap();
        let granule = u64::from_le_bytes(file[last + 6..last + 14].try_into().unwrap());
        assert!(granule > (525 - 50) * 960, "{} packets", granule / 960);
    }

    #[test]
    fn what_was_dropped_is_silence_so_that_later_sound_keeps_its_time() {
        let mut bench = Bench::new(3);
        let mut sink = bench.record();
        // The disk stands still from the third frame to the ninth, and again at the end.
        (0..9).for_each(|n| sink.record(&frame(n)));
        bench.pass(Duration::ZERO);
        (9..14).for_each(|n| sink.record(&frame(n)));
        drop(sink);
        bench.pass(Duration::ZERO);
        assert_eq!(bench.recorder.dropped(), 9);
        let mut expected = [0; 14];
        for n in [0, 1, 9, 10, 11] {
            expected[n] = 100;
        }
        assert_eq!(sound_of(&bench.path()), expected);
    }

    #[test]
    fn nothing_of_either_party_is_on_the_file_while_it_is_paused() {
        let mut bench = Bench::new(100);
        let switch = RecordingSwitch::new(true);
        switch.pause(PausedBy::Api);
        let mut sink = bench.record_by(&switch);
        let mut number = 0..;
        let mut speak = |frames| {
            let numbers = number.by_ref().take(frames);
            numbers.for_each(|n| sink.record(&frame(n)));
        };
        // Paused before it begins, then by the flow, which goes on for longer than the API.
        speak(10);
        switch.resume(PausedBy::Api);
        speak(20);
        switch.pause(PausedBy::Flow);
        switch.pause(PausedBy::Api);
        speak(5);
        switch.resume(PausedBy::Api);
        speak(5);
        switch.resume(PausedBy::Flow);
        speak(20);
        drop(sink);
        bench.pass(Duration::ZERO);
        // What came within a pause may be played until 260 ms after it.
        let late = [vec![0; 13], vec![100; 7]].concat();
        let expected = [vec![0; 10], late.clone(), vec![0; 10], late].concat();
        assert_eq!(sound_of(&bench.path()), expected);
        let file = std::fs::read(bench.path()).unwrap();
        let quiet = file[44..].chunks(4).filter(|pair| *pair == [0; 4]).count();
        let spoken = file[44..]
            .chunks(4)
            .filter(|pair| *pair == [100, 0, 156, 255]);
        assert_eq!((quiet, spoken.count()), (46 * 160, 14 * 160));
    }

    #[test]
    fn a_recording_whose_disk_is_full_is_counted_once_and_another_is_written() {
        let full = |path: &Path| match path.file_name().is_some_and(|name| name == "call.wav") {
            true => Tape::open(std::fs::File::create("/dev/full")?, RecordingFormat::Wav),
            false => Tape::create(path, RecordingFormat::Wav),
        };
        let mut bench = Bench::writing(10_000, full);
        let other = bench.folder.path().join("other.wav");
        let switch = RecordingSwitch::new(true);
        let mut lost = bench.record();
        let mut kept = bench.recorder.record(other.clone(), switch).unwrap();
        for n in 0..200 {
            lost.record(&frame(n));
            kept.record(&frame(n));
        }
        drop((lost, kept));
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.recorder.broken(), 1);
        assert_eq!(sound_of(&other).len(), 200);
    }

    #[test]
    fn a_call_that_is_never_answered_leaves_no_file() {
        let mut bench = Bench::new(3);
        drop(bench.record());
        bench.pass(Duration::ZERO);
        assert!(bench.writer.open.is_empty());
        assert!(!bench.path().exists());
    }
}
