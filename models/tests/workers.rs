//! The inference threads: who goes first, who is refused, and what ends a job.

// What a test needs and does not get ends the test; the clock is read where time plays no part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use offhook_models::workers::{Abandoned, QueueLimits, Rejected};
use offhook_models::{Cancel, Job, JobState, Priority, WorkerOptions, Workers};

/// What jobs did, in order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A job that keeps a diary, of so many steps.
struct Diarist {
    name: &'static str,
    steps: usize,
    diary: Diary,
    ended: Sender<Option<Abandoned>>,
    panics: bool,
}

impl Job for Diarist {
    fn step(&mut self) -> JobState {
        self.diary.write(self.name);
        assert!(!self.panics, "a test's job panics");
        self.steps -= 1;
        if self.steps > 0 {
            return JobState::Again;
        }
        let _ = self.ended.send(None);
        JobState::Done
    }

    fn abandoned(&mut self, why: Abandoned) {
        self.diary.write(format!("{} {why:?}", self.name));
        let _ = self.ended.send(Some(why));
    }
}

/// One thread that is held until the test lets it go, and the diary of the jobs behind.
struct Bench {
    /// Dropped before the workers, which wait for their threads.
    gate: Sender<()>,
    workers: Workers,
    diary: Diary,
}

impl Bench {
    fn new(limits: QueueLimits) -> Self {
        let mut options = WorkerOptions::new(1, Instant::now);
        options.limits = limits;
        let workers = Workers::start(options).unwrap();
        let (gate, wait) = channel();
        let (began, begun) = channel();
        let plug = Box::new(move || {
            began.send(()).unwrap();
            // An error says that the test is over.
            let _ = wait.recv();
            JobState::Done
        });
        workers.submit(Priority::Turn, plug).unwrap();
        begun.recv().unwrap();
        Self {
            workers,
            diary: Diary::default(),
            gate,
        }
    }

    fn diarist(
        &self,
        name: &'static str,
        steps: usize,
    ) -> (Box<Diarist>, Receiver<Option<Abandoned>>) {
        let (ended, end) = channel();
        let job = Diarist {
            name,
            steps,
            diary: self.diary.clone(),
            ended,
            panics: false,
        };
        (Box::new(job), end)
    }

    fn submit(
        &self,
        priority: Priority,
        name: &'static str,
        steps: usize,
    ) -> Result<(Cancel, Receiver<Option<Abandoned>>), Rejected> {
        let (job, end) = self.diarist(name, steps);
        Ok((self.workers.submit(priority, job)?, end))
    }

    /// Lets the thread go and waits until it has nothing left to do.
    fn run(&self) -> Vec<String> {
        let (_, end) = self.submit(Priority::RestTts, "end", 1).unwrap();
        self.gate.send(()).unwrap();
        end.recv().unwrap();
        let mut diary = self.diary.read();
        assert_eq!(diary.pop().as_deref(), Some("end"));
        diary
    }
}

#[test]
fn the_most_urgent_job_goes_first() {
    let bench = Bench::new(QueueLimits::default());
    for (priority, name) in [
        (Priority::RestTts, "rest of speech"),
        (Priority::PartialStt, "partial transcript"),
        (Priority::FirstTts, "first sound"),
        (Priority::FinalStt, "final transcript"),
        (Priority::Turn, "turn"),
    ] {
        bench.submit(priority, name, 1).unwrap();
    }
    let wanted = [
        "turn",
        "final transcript",
        "first sound",
        "partial transcript",
        "rest of speech",
    ];
    assert_eq!(bench.run(), wanted);
}

#[test]
fn equals_go_in_the_order_of_their_coming_each_to_its_end() {
    let bench = Bench::new(QueueLimits::default());
    for name in ["first", "second", "third"] {
        bench.submit(Priority::FinalStt, name, 2).unwrap();
    }
    let wanted = ["first", "first", "second", "second", "third", "third"];
    assert_eq!(bench.run(), wanted);
}

#[test]
fn a_more_urgent_job_goes_between_the_steps_of_another() {
    let bench = Bench::new(QueueLimits::default());
    let (first_step, stepped) = channel();
    let (go_on, wait) = channel();
    let diary = bench.diary.clone();
    let mut steps = 0;
    let long = move || {
        diary.write("long");
        steps += 1;
        if steps == 1 {
            first_step.send(()).unwrap();
            wait.recv().unwrap();
        }
        if steps < 3 {
            JobState::Again
        } else {
            JobState::Done
        }
    };
    bench
        .workers
        .submit(Priority::RestTts, Box::new(long))
        .unwrap();
    bench.gate.send(()).unwrap();
    stepped.recv().unwrap();
    bench.submit(Priority::RestTts, "equal", 1).unwrap();
    let (_, last) = bench.submit(Priority::RestTts, "last", 1).unwrap();
    bench.submit(Priority::Turn, "urgent", 1).unwrap();
    go_on.send(()).unwrap();
    last.recv().unwrap();
    let wanted = ["long", "urgent", "long", "long", "equal", "last"];
    assert_eq!(bench.diary.read(), wanted);
}

#[test]
fn a_full_queue_refuses_by_name_and_the_others_still_take() {
    let bench = Bench::new(QueueLimits {
        final_stt: 2,
        ..QueueLimits::default()
    });
    for name in ["first", "second"] {
        bench.submit(Priority::FinalStt, name, 1).unwrap();
    }
    let refused = bench.submit(Priority::FinalStt, "third", 1).unwrap_err();
    assert_eq!(refused, Rejected::Full(Priority::FinalStt));
    let message = refused.to_string();
    assert!(
        message.contains("FinalStt") && message.contains("full"),
        "{message}"
    );
    bench.submit(Priority::FirstTts, "sound", 1).unwrap();
    let stats = bench.workers.stats();
    let of = stats.of(Priority::FinalStt);
    assert_eq!((of.submitted, of.waiting, of.rejected), (2, 2, 1));
    assert_eq!(bench.run(), ["first", "second", "sound"]);
    bench
        .submit(Priority::FinalStt, "there is room again", 1)
        .unwrap();
}

#[test]
fn a_newer_partial_transcript_takes_the_place_of_the_oldest() {
    let bench = Bench::new(QueueLimits {
        partial_stt: 2,
        ..QueueLimits::default()
    });
    for name in ["first", "second", "third"] {
        bench.submit(Priority::PartialStt, name, 1).unwrap();
    }
    assert_eq!(bench.run(), ["first Overtaken", "second", "third"]);
    let stats = bench.workers.stats();
    let of = stats.of(Priority::PartialStt);
    assert_eq!((of.overtaken, of.rejected, of.done), (1, 0, 2));
}

#[test]
fn a_queue_without_room_refuses_even_a_partial_transcript() {
    let bench = Bench::new(QueueLimits {
        partial_stt: 0,
        ..QueueLimits::default()
    });
    let refused = bench.submit(Priority::PartialStt, "any", 1).unwrap_err();
    assert_eq!(refused, Rejected::Full(Priority::PartialStt));
}

#[test]
fn a_cancelled_job_is_not_run() {
    let bench = Bench::new(QueueLimits::default());
    let (cancel, end) = bench.submit(Priority::FinalStt, "cancelled", 3).unwrap();
    bench.submit(Priority::FinalStt, "other", 1).unwrap();
    cancel.cancel();
    assert!(cancel.is_cancelled());
    assert_eq!(bench.run(), ["cancelled Cancelled", "other"]);
    assert_eq!(end.recv().unwrap(), Some(Abandoned::Cancelled));
    assert_eq!(bench.workers.stats().of(Priority::FinalStt).cancelled, 1);
}

#[test]
fn a_job_that_is_cancelled_in_a_step_gets_no_other() {
    let bench = Bench::new(QueueLimits::default());
    let own: Arc<OnceLock<Cancel>> = Arc::default();
    let (diary, of_job) = (bench.diary.clone(), Arc::clone(&own));
    let suicidal = move || {
        diary.write("step");
        of_job.get().unwrap().cancel();
        JobState::Again
    };
    let cancel = bench.workers.submit(Priority::Turn, Box::new(suicidal));
    own.set(cancel.unwrap()).unwrap();
    assert_eq!(bench.run(), ["step"]);
}

#[test]
fn a_job_that_panics_ends_alone() {
    let bench = Bench::new(QueueLimits::default());
    let (mut job, end) = bench.diarist("panics", 1);
    job.panics = true;
    bench.workers.submit(Priority::Turn, job).unwrap();
    bench.submit(Priority::Turn, "next", 2).unwrap();
    assert_eq!(bench.run(), ["panics", "panics Panicked", "next", "next"]);
    assert_eq!(end.recv().unwrap(), Some(Abandoned::Panicked));
    let stats = bench.workers.stats();
    let of = stats.of(Priority::Turn);
    // The job that held the thread is one of the two that were done.
    assert_eq!((of.panicked, of.done), (1, 2));
}

/// Panics in its step, and again when it is told so.
struct Hopeless;

impl Job for Hopeless {
    fn step(&mut self) -> JobState {
        panic!("a test's job panics")
    }

    fn abandoned(&mut self, _why: Abandoned) {
        panic!("a test's job panics once more")
    }
}

#[test]
fn a_job_that_panics_even_when_abandoned_ends_alone() {
    let bench = Bench::new(QueueLimits::default());
    bench
        .workers
        .submit(Priority::Turn, Box::new(Hopeless))
        .unwrap();
    bench.submit(Priority::Turn, "next", 1).unwrap();
    assert_eq!(bench.run(), ["next"]);
}

#[test]
fn whoever_waits_is_told_that_the_workers_stop() {
    let bench = Bench::new(QueueLimits::default());
    let (_, waiting) = bench.submit(Priority::RestTts, "waiting", 1).unwrap();
    let Bench {
        workers,
        diary,
        gate,
    } = bench;
    let told = std::thread::scope(|scope| {
        let dropping = scope.spawn(move || drop(workers));
        let told = waiting.recv().unwrap();
        drop(gate);
        dropping.join().unwrap();
        told
    });
    assert_eq!(told, Some(Abandoned::Stopped));
    assert_eq!(diary.read(), ["waiting Stopped"]);
}

#[test]
fn nobody_starves_among_many_jobs_on_several_threads() {
    let workers = Workers::start(WorkerOptions::new(3, Instant::now)).unwrap();
    let diary = Diary::default();
    let (ended, end) = channel();
    for round in 0..50 {
        for priority in Priority::ALL {
            let job = Diarist {
                name: "step",
                steps: 1 + round % 4,
                diary: diary.clone(),
                ended: ended.clone(),
                panics: false,
            };
            workers.submit(priority, Box::new(job)).unwrap();
        }
    }
    let ends: Vec<_> = end.iter().take(250).collect();
    assert!(ends.iter().all(Option::is_none));
    let steps: usize = (0..50).map(|round| (1 + round % 4) * 5).sum();
    assert_eq!(diary.read().len(), steps);
}

/// Milliseconds that the clock of the test below has advanced.
static ADVANCED_MS: AtomicU64 = AtomicU64::new(0);

fn test_clock() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now) + Duration::from_millis(ADVANCED_MS.load(Ordering::SeqCst))
}

#[test]
fn waits_and_slow_steps_are_counted() {
    let workers = Workers::start(WorkerOptions::new(1, test_clock)).unwrap();
    let (done, end) = channel();
    let mut steps = [61, 60].into_iter();
    let slow = move || {
        ADVANCED_MS.fetch_add(steps.next().unwrap(), Ordering::SeqCst);
        if steps.len() > 0 {
            JobState::Again
        } else {
            JobState::Done
        }
    };
    workers.submit(Priority::FinalStt, Box::new(slow)).unwrap();
    let last = move || {
        done.send(()).unwrap();
        JobState::Done
    };
    workers.submit(Priority::RestTts, Box::new(last)).unwrap();
    end.recv().unwrap();
    let stats = workers.stats();
    let of = stats.of(Priority::FinalStt);
    assert_eq!((of.steps, of.slow_steps, of.done), (2, 1, 1));
    assert_eq!(of.longest_step, Duration::from_millis(61));
    assert_eq!(of.busy, Duration::from_millis(121));
    assert_eq!(of.waited, Duration::ZERO);
}
