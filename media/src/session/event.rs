//! What a session reports.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::dtmf::Digit;
use crate::frame::Frame;
use crate::playout::UtteranceId;
use crate::session::{OneWay, RecordFrame};

/// Reports what happened in a [`MediaSession`](crate::MediaSession).
// A frame lies inline so that no packet costs an allocation; nobody keeps many events.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Event {
    /// Sound from the peer, in order and each sample once: at once when its packet is the next
    /// one, after the jitter buffer gave up waiting when it is not.
    Heard(Frame),
    /// A key that the peer pressed, when it was released: as telephone-events (RFC 4733) or, where
    /// [`InbandDtmf`](crate::InbandDtmf) says so, as tones. Each press is reported once.
    Dtmf {
        /// The key.
        digit: Digit,
        /// How long it was held.
        duration_ms: u32,
    },
    /// The peer holds a key down, by telephone-events (RFC 4733); [`Event::Dtmf`] tells when it is
    /// released. One of which only the end came is told of by that alone.
    KeyDown {
        /// The key.
        digit: Digit,
    },
    /// The first audible packet of an utterance is on its way.
    PlayoutStarted {
        /// The utterance.
        utterance: UtteranceId,
        /// When it was handed to be sent.
        at: Instant,
    },
    /// The last packet of an utterance is on its way.
    PlayoutFinished {
        /// The utterance.
        utterance: UtteranceId,
        /// When it was handed to be sent.
        at: Instant,
        /// Samples of it that were sent.
        played_samples: u64,
    },
    /// 20 ms of the conversation, or 10 ms of a wideband one, when recording is on.
    Recording(RecordFrame),
    /// The peer's media comes from this address from now on.
    Latched {
        /// Where it comes from.
        remote: SocketAddr,
    },
    /// Packets come from an address that may not send to this session; reported once a second
    /// at most.
    SourceRefused {
        /// Where they come from.
        from: SocketAddr,
    },
    /// Nothing came from the peer though something should; repeated while it lasts.
    MediaTimeout {
        /// How long nothing came.
        silent_for: Duration,
    },
    /// One side hears nothing of the other: within half a second after sound should flow, and again
    /// when another reason is found.
    OneWay {
        /// Why.
        why: OneWay,
        /// How long sound should have flowed.
        silent_for: Duration,
    },
    /// The peer is heard after it was missed.
    TwoWay {
        /// How long after it should have been.
        after: Duration,
    },
    /// The peer said goodbye in RTCP (RFC 3550 §6.6).
    RemoteBye,
}

/// Names a packet that is ready to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where it goes.
    pub to: SocketAddr,
    /// Whether it leaves by the RTCP socket; with RTCP on RTP's port it does not.
    pub rtcp: bool,
    /// The packet.
    pub bytes: &'a [u8],
}

/// Tells what became of an utterance that was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// The utterance that was being said, or was next.
    pub utterance: UtteranceId,
    /// Samples of it that were sent.
    pub played_samples: u64,
    /// Samples of it that were queued and will never be sent.
    pub queued_samples: u64,
}

/// When a sample's packet was handed to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaves {
    At(Instant),
    /// Once all sound before this position is sent.
    With(u64),
}

/// An event that carries no sound, kept small while it waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notice {
    Dtmf {
        digit: Digit,
        duration_ms: u32,
    },
    KeyDown {
        digit: Digit,
    },
    PlayoutStarted {
        utterance: UtteranceId,
        leaves: Leaves,
    },
    PlayoutFinished {
        utterance: UtteranceId,
        leaves: Leaves,
        played_samples: u64,
    },
    Latched {
        remote: SocketAddr,
    },
    SourceRefused {
        from: SocketAddr,
    },
    MediaTimeout {
        silent_for: Duration,
    },
    OneWay {
        why: OneWay,
        silent_for: Duration,
    },
    TwoWay {
        after: Duration,
    },
    RemoteBye,
}

impl Notice {
    /// The event; none while it is about sound that is not on its way yet.
    pub(super) fn event(self) -> Option<Event> {
        Some(match self {
            Self::Dtmf { digit, duration_ms } => Event::Dtmf { digit, duration_ms },
            Self::KeyDown { digit } => Event::KeyDown { digit },
            Self::PlayoutStarted { utterance, leaves } => Event::PlayoutStarted {
                utterance,
                at: leaves.at()?,
            },
            Self::PlayoutFinished {
                utterance,
                leaves,
                played_samples,
            } => Event::PlayoutFinished {
                utterance,
                at: leaves.at()?,
                played_samples,
            },
            Self::Latched { remote } => Event::Latched { remote },
            Self::SourceRefused { from } => Event::SourceRefused { from },
            Self::MediaTimeout { silent_for } => Event::MediaTimeout { silent_for },
            Self::OneWay { why, silent_for } => Event::OneWay { why, silent_for },
            Self::TwoWay { after } => Event::TwoWay { after },
            Self::RemoteBye => Event::RemoteBye,
        })
    }

    /// Takes note that sound left at a moment: all that `waits` denies, by its position.
    pub(super) fn sound_left(&mut self, at: Instant, waits: impl Fn(u64) -> bool) {
        if let Self::PlayoutStarted { leaves, .. } | Self::PlayoutFinished { leaves, .. } = self
            && let Leaves::With(position) = *leaves
            && !waits(position)
        {
            *leaves = Leaves::At(at);
        }
    }
}

impl Leaves {
    fn at(self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at),
            Self::With(_) => None,
        }
    }
}
