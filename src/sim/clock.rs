//! Virtual time: an agenda of what will happen, in the order of its moments.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use offhook_sip::Invite;

use super::leg::Command;
use super::plan::{Intrusion, KeyWay};
use crate::ai::hearing::Edge;
use crate::call::conversation::Work;
use crate::net::media::LegEvent;
use crate::net::sip::Signal;

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sip,
    Rtp,
    Rtcp,
}

/// One datagram on its way.
#[derive(Debug, Clone)]
pub(super) struct Datagram {
    pub(super) kind: Kind,
    pub(super) from: std::net::SocketAddr,
    pub(super) to: std::net::SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What reaches a call's task on the switch.
#[derive(Debug)]
pub(super) enum Input {
    Signal(Signal),
    Leg(LegEvent),
    Edge(Edge),
    Work(Work),
    HangUpByApi,
    /// The recording is to pause, or to go on.
    PauseRecording(bool),
    /// Whether our answer was sent.
    Answered(bool),
    /// Whether our INVITE was sent.
    Placed(bool),
    /// The session is to be offered anew.
    OfferAgain,
    /// A supervisor talks in the agent's place, or no longer does.
    StandAside(bool),
}

/// What a call's task asks of the SIP task.
#[derive(Debug)]
pub(super) enum SipCommand {
    Ring,
    Answer(Vec<u8>),
    HangUp,
    AnswerReoffer(Result<Option<Vec<u8>>, u16>),
    Invite(Box<Invite>),
    Reoffer(Vec<u8>),
}

/// What a caller does.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Dial,
    HangUp,
    Say(u8, u64),
    Offer(offhook_media::Direction),
    /// Sends a re-INVITE without an offer.
    AskForOffer,
    Key(char, KeyWay),
    Refresh,
    Update,
    /// Says 180, or 183 with sound.
    Ring(u16),
    Answer,
    Refuse(u16),
}

/// What happens at a moment.
#[derive(Debug)]
pub(super) enum Moment {
    /// A datagram arrives.
    Arrive(Datagram),
    /// Something reaches a call's task.
    Task(usize, Input),
    /// Something reaches a leg's media thread.
    Media(usize, Command),
    /// Something reaches the SIP task.
    Sip(usize, SipCommand),
    /// The look-up before the answer, or before the call is placed, is done.
    Prepared(usize),
    /// The switch is asked to call somebody.
    Place(usize),
    /// Somebody intrudes upon a call's media.
    Intrude(usize, Intrusion),
    /// A phone acts.
    Act(usize, Action),
    /// The proxy before two phones says something to one of them.
    FromProxy(usize, Vec<u8>),
}

impl Moment {
    /// Whether a standstill of the switch holds it up.
    pub(super) fn is_the_switchs(&self, is_switch: impl Fn(std::net::SocketAddr) -> bool) -> bool {
        match self {
            Self::Arrive(datagram) => is_switch(datagram.to),
            Self::Act(..) | Self::FromProxy(..) => false,
            _ => true,
        }
    }
}

/// The virtual clock with its agenda.
pub(super) struct Clock {
    origin: Instant,
    now: Instant,
    agenda: BTreeMap<(Instant, u64), Moment>,
    last: u64,
}

impl Clock {
    pub(super) fn new() -> Self {
        // Any origin will do: only differences are ever looked at.
        let origin = crate::clock::now();
        Self {
            origin,
            now: origin,
            agenda: BTreeMap::new(),
            last: 0,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// The instant that lies so far behind the beginning.
    pub(super) fn at_ms(&self, ms: u64) -> Instant {
        self.origin + Duration::from_millis(ms)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.since_start(self.now)
    }

    pub(super) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.origin)
    }

    /// Puts something on the agenda; moments of one instant keep their order.
    pub(super) fn at(&mut self, at: Instant, moment: Moment) {
        self.last += 1;
        self.agenda.insert((at.max(self.now), self.last), moment);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    /// Moves on; time never runs back.
    pub(super) fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
    }

    /// Takes the next moment that is due.
    pub(super) fn pop_due(&mut self) -> Option<Moment> {
        let (at, _) = *self.agenda.keys().next()?;
        if at > self.now {
            return None;
        }
        self.agenda.pop_first().map(|(_, moment)| moment)
    }
}

/// A queue between two tasks: what is sent into it comes out in order, each after a lag of its own.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Channel {
    last: Option<Instant>,
}

impl Channel {
    pub(super) fn due(&mut self, now: Instant, lag: Duration) -> Instant {
        let at = self.last.map_or(now + lag, |last| last.max(now + lag));
        self.last = Some(at);
        at
    }
}
