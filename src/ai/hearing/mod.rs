//! Hearing: one thread listens to every agent's leg. The cheap gate has seen each frame on the
//! media thread already; what passes goes through Silero here, becomes edges of speech, and is
//! kept for the recogniser and the turn model for as long as they may ask for it.

mod history;
mod listener;
mod tape;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use offhook_media::Frame;
use offhook_models::vad::{Gate, Silero};

use super::{Abandon, Deliver, Recognised, SpeechToText, TurnModel};
use crate::agent::flow::SlotKind;
use crate::clock;
use crate::mailbox::{self, mailbox};
use crate::net::media::{FrameSink, LegId, Probe};
use crate::realtime::Outward;

/// Frames that may wait for the hearing thread: over a second of sound of two hundred calls.
const QUEUE: usize = 10_000;
/// What else may wait for it.
const ASKED: usize = 4_096;
/// Up to so many legs each frame wakes the thread; with more of them it looks once a beat, so that
/// the media threads have nobody to wake.
const PROMPT_LEGS: usize = 16;
const BEAT: Duration = Duration::from_millis(2);
/// How often the thread looks for legs that nobody listens to any more.
const SWEEP: Duration = Duration::from_millis(500);
/// Edges that may wait for one call.
const EDGE_QUEUE: usize = 64;

/// Where the caller's speech begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The caller speaks.
    SpeechStart {
        /// The first voiced sound's arrival.
        at: Instant,
    },
    /// The caller has stopped, for now.
    SpeechStop {
        /// The last voiced sound's arrival.
        at: Instant,
    },
}

impl Edge {
    /// The edge in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SpeechStart { .. } => "starts",
            Self::SpeechStop { .. } => "stops",
        }
    }

    /// How long ago the sound came that it lies at.
    #[must_use]
    pub fn age(self, now: Instant) -> Duration {
        let (Self::SpeechStart { at } | Self::SpeechStop { at }) = self;
        now.saturating_duration_since(at)
    }
}

/// Counts what hearing did.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames that the media thread wanted heard.
    pub frames: AtomicU64,
    /// Frames that the cheap gate let through.
    pub passed: AtomicU64,
    /// Frames lost because this thread did not keep up.
    pub dropped: AtomicU64,
    /// Silero's runs.
    pub windows: AtomicU64,
}

/// A frame of one leg, with what the cheap gate said of it.
struct Heard {
    leg: LegId,
    voiced: bool,
    frame: Frame,
}

/// What is asked of the hearing thread beside frames.
enum Input {
    Open {
        leg: LegId,
        edges: mailbox::Sender<Edge>,
        /// Gone as soon as nobody listens any more.
        ears: Weak<()>,
        suppress_noise: bool,
    },
    Recognise(Box<RecogniseRequest>),
    Judge {
        leg: LegId,
        abandon: Abandon,
        deliver: Deliver<Result<f32, String>>,
    },
    EndTurn {
        leg: LegId,
        /// Edges that its call had taken by then.
        edges: u32,
    },
}

/// The ways to the hearing thread.
#[derive(Clone)]
struct Inputs {
    asked: SyncSender<Input>,
    frames: Arc<Outward<Heard>>,
}

impl Inputs {
    fn ask(&self, input: Input) -> Result<(), Input> {
        let taken = self.asked.try_send(input);
        self.frames.wake();
        taken.map_err(refused)
    }
}

struct RecogniseRequest {
    leg: LegId,
    from: Instant,
    until: Instant,
    hint: Option<SlotKind>,
    abandon: Abandon,
    deliver: Deliver<Result<Recognised, String>>,
}

/// Speaks to the hearing thread. Cloning is cheap.
#[derive(Clone)]
pub struct Hearing {
    inputs: Inputs,
    counters: Arc<Counters>,
    probe: Arc<OnceLock<Arc<Probe>>>,
}

/// One leg's ears, which its conversation holds; dropping them ends the listening.
pub struct Ears {
    leg: LegId,
    inputs: Inputs,
    _held: Arc<()>,
}

/// What listening to a leg begins with: its ears, its edges, and the sink that its media thread
/// feeds.
pub type Listening = (Ears, mailbox::Receiver<Edge>, Box<dyn FrameSink>);

/// The hearing thread is so far behind that it cannot listen to one leg more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hearing thread does not keep up")]
pub struct Behind;

impl Hearing {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(
        silero: Silero,
        recogniser: Arc<dyn SpeechToText>,
        turn_model: Option<Arc<dyn TurnModel>>,
    ) -> std::io::Result<Self> {
        let (asked, queue) = sync_channel(ASKED);
        let frames = Arc::new(Outward::new(QUEUE));
        let counters = Arc::new(Counters::default());
        let probe = Arc::new(OnceLock::new());
        let thread = Thread {
            asked: queue,
            frames: Arc::clone(&frames),
            later: Vec::new(),
            listeners: listener::Listeners::new(silero),
            recogniser,
            turn_model,
            counters: Arc::clone(&counters),
            probe: Arc::clone(&probe),
        };
        std::thread::Builder::new()
            .name("hearing".to_owned())
            .spawn(move || thread.run())?;
        let inputs = Inputs { asked, frames };
        Ok(Self {
            inputs,
            counters,
            probe,
        })
    }

    /// Has a bench's probe look at each frame that is taken from here on; the first one stays.
    pub fn watched_by(&self, probe: Arc<Probe>) {
        let _ = self.probe.set(probe);
    }

    /// Begins to listen to a leg, without waiting. With `suppress_noise` all that is heard of it,
    /// and all that the models get, is without its noise, and comes a frame later.
    ///
    /// # Errors
    /// When the thread does not keep up with those that it has.
    pub fn listen(&self, leg: LegId, suppress_noise: bool) -> Result<Listening, Behind> {
        let (edges, edge_queue) = mailbox(EDGE_QUEUE);
        let held = Arc::new(());
        let open = Input::Open {
            leg,
            edges,
            ears: Arc::downgrade(&held),
            suppress_noise,
        };
        self.inputs.ask(open).map_err(|_| Behind)?;
        let ears = Ears {
            leg,
            inputs: self.inputs.clone(),
            _held: held,
        };
        let frames = Arc::clone(&self.inputs.frames);
        let counters = Arc::clone(&self.counters);
        let sink = GateSink {
            leg,
            gate: Gate::new(),
            frames,
            counters,
        };
        Ok((ears, edge_queue, Box::new(sink)))
    }

    /// What the thread has counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Ears {
    /// Recognises what was heard from `from` until `until`.
    pub fn recognise(
        &self,
        from: Instant,
        until: Instant,
        hint: Option<SlotKind>,
        abandon: Abandon,
        deliver: Deliver<Result<Recognised, String>>,
    ) {
        let leg = self.leg;
        let request = RecogniseRequest {
            leg,
            from,
            until,
            hint,
            abandon,
            deliver,
        };
        if let Err(Input::Recognise(request)) = self.inputs.ask(Input::Recognise(Box::new(request)))
        {
            (request.deliver)(Err("the hearing thread does not keep up".to_owned()));
        }
    }

    /// Asks the turn model whether the caller's turn is over.
    pub fn judge_turn(&self, abandon: Abandon, deliver: Deliver<Result<f32, String>>) {
        let input = Input::Judge {
            leg: self.leg,
            abandon,
            deliver,
        };
        if let Err(Input::Judge { deliver, .. }) = self.inputs.ask(input) {
            deliver(Err("the hearing thread does not keep up".to_owned()));
        }
    }

    /// Says that nothing of what the caller said so far will be asked for any more; the call has
    /// taken so many edges. Speech after those stays.
    pub fn end_turn(&self, edges: u32) {
        let leg = self.leg;
        // What is lost with a queue that is full is memory for a while.
        let _ = self.inputs.ask(Input::EndTurn { leg, edges });
    }
}

fn refused(error: std::sync::mpsc::TrySendError<Input>) -> Input {
    match error {
        std::sync::mpsc::TrySendError::Full(input)
        | std::sync::mpsc::TrySendError::Disconnected(input) => input,
    }
}

/// The media thread's end: the cheap gate, then the queue.
struct GateSink {
    leg: LegId,
    gate: Gate,
    frames: Arc<Outward<Heard>>,
    counters: Arc<Counters>,
}

/// A leg's sink whose frames nobody reads.
#[cfg(test)]
pub(crate) fn unread(leg: LegId) -> impl FrameSink {
    GateSink {
        leg,
        gate: Gate::new(),
        frames: Arc::new(Outward::new(QUEUE)),
        counters: Arc::default(),
    }
}

impl FrameSink for GateSink {
    fn frame(&mut self, frame: &Frame) {
        // Nobody else's sound is in these, and what is in them says nothing of the line.
        let made_here = frame.concealed || frame.echo;
        let voiced = !made_here && self.gate.is_speech(frame);
        self.counters.frames.fetch_add(1, Ordering::Relaxed);
        if voiced {
            self.counters.passed.fetch_add(1, Ordering::Relaxed);
        }
        let heard = Heard {
            leg: self.leg,
            voiced,
            frame: frame.clone(),
        };
        if !self.frames.push(heard) {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Thread {
    asked: Receiver<Input>,
    frames: Arc<Outward<Heard>>,
    /// What waits for the frames that came before it; empty between rounds.
    later: Vec<Input>,
    listeners: listener::Listeners,
    recogniser: Arc<dyn SpeechToText>,
    turn_model: Option<Arc<dyn TurnModel>>,
    counters: Arc<Counters>,
    probe: Arc<OnceLock<Arc<Probe>>>,
}

impl Thread {
    fn run(mut self) {
        self.frames.read_here();
        let mut swept = clock::now();
        while let Some(frames) = self.round() {
            let now = clock::now();
            if now.saturating_duration_since(swept) >= SWEEP {
                swept = now;
                self.listeners.sweep();
            }
            if frames > 0 && self.listeners.count() > PROMPT_LEGS {
                self.frames.pause(BEAT);
            } else {
                self.frames.sleep(SWEEP);
            }
        }
    }

    /// Does what there is to do and gives the number of frames heard; none once everybody who
    /// could ask is gone.
    fn round(&mut self) -> Option<usize> {
        loop {
            match self.asked.try_recv() {
                // A leg is opened before its frames, …
                Ok(input @ Input::Open { .. }) => self.answer(input),
                Ok(input) => self.later.push(input),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        let waiting = self.frames.len();
        for _ in 0..waiting {
            let Some(heard) = self.frames.pop() else {
                break;
            };
            if let Some(probe) = self.probe.get() {
                probe.hear(&heard.frame);
            }
            self.listeners.hear(&heard);
        }
        let windows = self.listeners.finish_round();
        self.counters.windows.fetch_add(windows, Ordering::Relaxed);
        // … and what is asked of it is answered after those that came before the question.
        for input in std::mem::take(&mut self.later) {
            self.answer(input);
        }
        Some(waiting)
    }

    fn answer(&mut self, input: Input) {
        match input {
            Input::Open {
                leg,
                edges,
                ears,
                suppress_noise,
            } => self.listeners.open(leg, edges, ears, suppress_noise),
            Input::Recognise(request) => self.recognise(*request),
            Input::Judge {
                leg,
                abandon,
                deliver,
            } => self.judge(leg, abandon, deliver),
            Input::EndTurn { leg, edges } => self.listeners.end_turn(leg, edges),
        }
    }

    fn recognise(&self, request: RecogniseRequest) {
        let RecogniseRequest {
            leg,
            from,
            until,
            hint,
            abandon,
            deliver,
        } = request;
        match self.listeners.history(leg) {
            Some(history) => {
                let audio = history.between(from, until);
                self.recogniser.recognise(audio, hint, abandon, deliver);
            }
            None => deliver(Err("the leg is closed".to_owned())),
        }
    }

    fn judge(&self, leg: LegId, abandon: Abandon, deliver: Deliver<Result<f32, String>>) {
        match (&self.turn_model, self.listeners.history(leg)) {
            (Some(model), Some(history)) => model.judge(history.recent(), abandon, deliver),
            (None, _) => deliver(Err("no turn model is loaded".to_owned())),
            (_, None) => deliver(Err("the leg is closed".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hearing_thread_that_is_behind_refuses_a_leg_and_holds_up_neither_its_call_nor_its_end() {
        let (asked, queue) = sync_channel(1);
        let frames = Arc::new(Outward::new(1));
        let hearing = Hearing {
            inputs: Inputs { asked, frames },
            counters: Arc::default(),
            probe: Arc::default(),
        };
        let (ears, _edges, _sink) = hearing.listen(1, false).unwrap();
        assert_eq!(hearing.listen(2, false).err(), Some(Behind));
        let Ok(Input::Open {
            leg: 1, ears: held, ..
        }) = queue.recv()
        else {
            panic!("the leg was not opened")
        };
        assert!(hearing.listen(3, false).is_ok(), "there is room again");
        assert_eq!(held.strong_count(), 1);
        // The queue is full again, and what the next sweep asks for is gone all the same.
        drop(ears);
        assert_eq!(held.strong_count(), 0);
    }
}
