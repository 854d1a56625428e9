//! Media threads: the shell around [`MediaSession`]s. One pinned thread owns the sockets and the
//! sessions of its legs; it waits on `epoll` and one timer, and nothing on its path locks,
//! allocates per packet or blocks.
//!
//! Commands reach it over a bounded queue with a waker; what it learns leaves over bounded queues
//! that never make it wait: a full one drops and counts.

mod beats;
mod engine;
mod leg;
mod moving;
mod poller;
mod ports;
mod probe;
mod relay;
mod room;
#[cfg(test)]
mod tests;
mod threads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offhook_media::mixer::MixerError;
use offhook_media::music::Background;
use offhook_media::{
    AgentSound, Event, Frame, MediaSession, Negotiated, OneWay, RecordFrame, Stats, UtteranceId,
};
use tokio::sync::mpsc;

use crate::realtime::{Sender, Unsent, inward};

pub use moving::Moved;
pub use ports::{PortError, PortPair, PortPool};
pub use probe::{Delay, Probe, Stamp};
pub use room::{Part, RoomId};
pub use threads::MediaThreads;

/// Commands that may wait for one media thread; a full queue is an error to the sender.
const COMMAND_QUEUE: usize = 4096;
/// A tick later than this is counted: half a frame.
const LATE: Duration = Duration::from_millis(10);

/// Names one leg for as long as the process lives.
pub type LegId = u64;

/// Takes what a leg hears, on the media thread: it must return at once and must not allocate.
pub trait FrameSink: Send {
    /// Takes one frame, in order, at most 20 ms of sound.
    fn frame(&mut self, frame: &Frame);
}

/// Takes both parties' sound, 20 ms at a time, on the media thread: it must return at once.
pub trait RecordSink: Send {
    /// Takes one frame of both parties.
    fn record(&mut self, frame: &RecordFrame);
}

/// Everything a leg needs to live on a media thread.
pub struct OpenLeg {
    /// The leg's name.
    pub leg: LegId,
    /// The negotiated session.
    pub session: Box<MediaSession>,
    /// Its sockets.
    pub ports: PortPair,
    /// Who hears it.
    pub sink: Option<Box<dyn FrameSink>>,
    /// Who records it.
    pub recorder: Option<Box<dyn RecordSink>>,
    /// Where its events go; the leg ends when nobody listens any more.
    pub events: mpsc::Sender<LegEvent>,
}

/// Asks something of a leg.
pub enum Command {
    /// Puts a leg on the thread.
    Open(Box<OpenLeg>),
    /// Appends sound to the playout; what does not fit yet waits beside it.
    Play {
        /// The leg.
        leg: LegId,
        /// The utterance that the sound belongs to.
        utterance: UtteranceId,
        /// PCM at the session's rate.
        samples: Arc<[i16]>,
    },
    /// Says that no more sound of the utterance comes.
    Finish(LegId, UtteranceId),
    /// Holds the playout where it is, by the next tick.
    Pause(LegId),
    /// Goes on where the playout was held.
    Resume(LegId),
    /// Drops what is queued; [`LegEvent::Cancelled`] tells what was sent.
    Cancel(LegId),
    /// Sends DTMF digits (RFC 4733).
    SendDtmf(LegId, String),
    /// Records a leg from now on; its session was opened for that.
    Record(LegId, Box<dyn RecordSink>),
    /// Takes what a later offer and answer agreed upon.
    Renegotiate(LegId, Box<Negotiated>),
    /// Lets the other side wait with music; what is being said to it waits as well.
    Hold(LegId, Background),
    /// Ends the wait.
    Unhold(LegId),
    /// The call was answered, of which something was heard before: from now on sound is waited for.
    Answered(LegId),
    /// Has no agent hear a leg any more, nor anything be heard around what is said to it: it talks with
    /// people from now on.
    LeaveToPeople(LegId),
    /// Has an agent hear a leg that talked with people until now.
    GiveToAgent(LegId, Box<dyn FrameSink>, Box<AgentSound>),
    /// Lets what is played to a leg wait while somebody else speaks in its place, or go on.
    SetAside(LegId, bool),
    /// Lets a leg hear the legs of a room, all of which are on this thread; it leaves the room that
    /// it was in. Between two who talk in the same codec and hear nothing else, packets pass as they
    /// come, keys among them; the others are mixed. The first leg opens the room, the last one closes it. What comes of it is told by
    /// [`LegEvent::Joined`].
    Join {
        /// The leg.
        leg: LegId,
        /// The room.
        room: RoomId,
        /// What it does there.
        part: Part,
        /// Whether the others hear what is played to it, such as an agent's voice.
        shares_playout: bool,
    },
    /// Gives a leg another part in its room; told by [`LegEvent::Joined`] as well.
    SetPart(LegId, Part),
    /// Lets a leg out of its room; it goes on by itself.
    Leave(LegId),
    /// Lets a leg live on another thread from now on, by another name; it leaves its room. What was
    /// asked of it before is done before. [`LegEvent::Arrived`] tells that it is there,
    /// [`LegEvent::Stayed`] that the other thread took it not.
    Move {
        /// The leg.
        leg: LegId,
        /// Where it is to live.
        to: MediaThread,
        /// What it is called there.
        renamed: LegId,
    },
    /// Takes a leg over from another thread.
    Adopt(Moved),
    /// Lets one leg be recorded where another one of the thread was.
    PassRecorder {
        /// Whose recording goes on.
        from: LegId,
        /// Who is heard on it from now on.
        to: LegId,
    },
    /// Ends the leg's media; [`LegEvent::Closed`] is its last event.
    Close(LegId),
}

/// Tells what happened on a leg.
#[derive(Debug)]
pub enum LegEvent {
    /// A digit was pressed, and is released now.
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long it was held.
        held: Duration,
    },
    /// A key is held down, told of by a telephone-event; [`LegEvent::Dtmf`] tells of its release.
    KeyDown {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// The first audible packet of an utterance left.
    PlayoutStarted {
        /// The utterance.
        utterance: UtteranceId,
        /// When it left.
        at: Instant,
    },
    /// The last packet of an utterance left.
    PlayoutFinished {
        /// The utterance.
        utterance: UtteranceId,
        /// When it left.
        at: Instant,
        /// Samples sent.
        played_samples: u64,
    },
    /// The playout was cancelled.
    Cancelled {
        /// The utterance that was playing, if one was, and its samples sent.
        played: Option<(UtteranceId, u64)>,
    },
    /// Nothing has come from the other side for as long as its leg allows.
    MediaTimeout {
        /// How long.
        silent_for: Duration,
    },
    /// The other side's true address was learnt.
    Latched {
        /// Where its packets come from.
        remote: SocketAddr,
    },
    /// Packets of a stranger were refused.
    SourceRefused {
        /// Who sent them.
        from: SocketAddr,
    },
    /// One side hears nothing of the other.
    OneWay {
        /// Why.
        why: OneWay,
        /// How long sound should have flowed.
        silent_for: Duration,
    },
    /// The other side is heard after it was missed.
    TwoWay {
        /// How long after it should have been.
        after: Duration,
    },
    /// The leg takes part in a room as was asked, or not, and why not.
    Joined(Result<(), MixerError>),
    /// The leg is on the thread that it was moved to.
    Arrived,
    /// The leg is where it was, by its name of before: the thread that it was to be moved to does not
    /// keep up, or has ended.
    Stayed,
    /// The leg's media is closed.
    Closed {
        /// What was counted.
        stats: Box<Stats>,
    },
}

impl LegEvent {
    /// What the call's task hears of a session's event; nothing of sound and of statistics.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        Some(match *event {
            Event::Dtmf { digit, duration_ms } => Self::Dtmf {
                digit: digit.as_char(),
                held: Duration::from_millis(u64::from(duration_ms)),
            },
            Event::KeyDown { digit } => Self::KeyDown {
                digit: digit.as_char(),
            },
            Event::PlayoutStarted { utterance, at } => Self::PlayoutStarted { utterance, at },
            Event::PlayoutFinished {
                utterance,
                at,
                played_samples,
            } => Self::PlayoutFinished {
                utterance,
                at,
                played_samples,
            },
            Event::Latched { remote } => Self::Latched { remote },
            Event::SourceRefused { from } => Self::SourceRefused { from },
            Event::MediaTimeout { silent_for } => Self::MediaTimeout { silent_for },
            Event::OneWay { why, silent_for } => Self::OneWay { why, silent_for },
            Event::TwoWay { after } => Self::TwoWay { after },
            _ => return None,
        })
    }
}

/// Counts what one media thread did; read by `/metrics` and the benches.
#[derive(Debug, Default)]
pub struct Counters {
    /// Ticks served.
    pub ticks: AtomicU64,
    /// Ticks served more than a half frame (10 ms) after their grid point.
    pub late_ticks: AtomicU64,
    /// The worst lateness of a tick since this was last read, in microseconds.
    pub worst_late_us: AtomicU64,
    /// Packets received.
    pub received: AtomicU64,
    /// Packets that passed from one leg to another as they came; those are received and sent as well.
    pub relayed: AtomicU64,
    /// Packets sent.
    pub sent: AtomicU64,
    /// Packets that the kernel did not take.
    pub send_failed: AtomicU64,
    /// Packets dropped because they came before their leg was open, such as early media.
    pub early_dropped: AtomicU64,
    /// Events dropped because their reader did not keep up.
    pub events_dropped: AtomicU64,
    /// Legs on the thread.
    pub legs: AtomicU64,
    /// Memory of their sessions in bytes, as it was when each was last looked at: once a second.
    pub session_bytes: AtomicU64,
}

/// Explains why a media thread did not take a command.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The command queue is full: the thread does not keep up.
    #[error("the media thread is overloaded: its command queue is full")]
    Overloaded,
    /// The thread has ended.
    #[error("the media thread has ended")]
    Gone,
    /// The thread could not be set up.
    #[error("cannot start a media thread: {0}")]
    Start(#[from] std::io::Error),
}

/// Wakes a media thread a last time, so that it finds out that nobody speaks to it any more.
struct LastCall(poller::Waker);

impl Drop for LastCall {
    fn drop(&mut self) {
        // A thread that cannot be woken ends when its next packet comes.
        let _ = self.0.wake();
    }
}

/// Speaks to one media thread, which ends with the last of its handles. Cloning is cheap.
#[derive(Clone)]
pub struct MediaThread {
    // Goes first: by the last call nobody can send any more.
    commands: Sender<Command>,
    waker: Arc<LastCall>,
    counters: Arc<Counters>,
    probe: Option<Arc<Probe>>,
}

impl MediaThread {
    /// Starts a media thread, pinned to `core` when one is named.
    ///
    /// # Errors
    /// When the operating system refuses the thread, its timer or its `epoll`.
    pub fn start(core: Option<usize>) -> Result<Self, MediaError> {
        let (commands, queue) = inward(COMMAND_QUEUE);
        let counters = Arc::new(Counters::default());
        let setup = engine::Setup::new(queue, Arc::clone(&counters))?;
        let waker = setup.waker();
        std::thread::Builder::new()
            .name("media".to_owned())
            .spawn(move || {
                threads::prioritise(core);
                engine::Engine::new(setup).run();
            })?;
        Ok(Self {
            commands,
            waker: Arc::new(LastCall(waker)),
            counters,
            probe: None,
        })
    }

    /// Has a bench's probe look at what its legs hear and are played.
    #[must_use]
    pub fn probed(self, probe: Option<Arc<Probe>>) -> Self {
        Self { probe, ..self }
    }

    /// Hands a command over without waiting.
    ///
    /// # Errors
    /// When the thread does not keep up, or has ended.
    pub fn send(&self, command: Command) -> Result<(), MediaError> {
        let command = match &self.probe {
            Some(probe) => probe.look_at(command),
            None => command,
        };
        self.commands.send(command).map_err(|error| match error {
            Unsent::Full => MediaError::Overloaded,
            Unsent::Gone => MediaError::Gone,
        })?;
        self.waker.0.wake().map_err(MediaError::Start)
    }

    /// Hands a command over without waiting, from a media thread: what was not taken comes back.
    fn hand_over(&self, command: Command) -> Result<(), Command> {
        self.commands.offer(command).map_err(|(_, back)| back)?;
        if let Err(error) = self.waker.0.wake() {
            // It sees the command when its next packet or tick comes.
            tracing::error!(%error, "a media thread cannot be woken");
        }
        Ok(())
    }

    /// What the thread has counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Counters {
    /// Notes how late a tick is served.
    fn note_late(&self, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due);
        if late > LATE {
            self.count(|c| &c.late_ticks);
        }
        let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.worst_late_us.fetch_max(late_us, Ordering::Relaxed);
    }

    fn count(&self, counter: impl FnOnce(&Self) -> &AtomicU64) {
        counter(self).fetch_add(1, Ordering::Relaxed);
    }
}
