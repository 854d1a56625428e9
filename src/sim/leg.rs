//! One leg: a media session and the sound that waits for room in its playout, as
//! `net::media` drives it, without its sockets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use offhook_media::rtp;
use offhook_media::{Event, MediaSession, Negotiated, UtteranceId};

use super::clock::{Datagram, Kind};
use crate::net::media::LegEvent;

/// What a task asks of a leg.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Play(UtteranceId, Arc<[i16]>),
    Finish(UtteranceId),
    Pause,
    Resume,
    Cancel,
    Renegotiate(Box<Negotiated>),
    SetAside(bool),
    Close,
}

struct Waiting {
    utterance: UtteranceId,
    /// `None` marks the end of the utterance.
    samples: Option<Arc<[i16]>>,
    taken: usize,
}

/// What came of driving a leg.
#[derive(Default)]
pub(super) struct Output {
    pub(super) packets: Vec<Datagram>,
    pub(super) events: Vec<Event>,
}

pub(super) struct Leg {
    pub(super) session: Box<MediaSession>,
    local: SocketAddr,
    waiting: VecDeque<Waiting>,
}

impl Leg {
    pub(super) fn new(session: MediaSession, local: SocketAddr) -> Self {
        Self {
            session: Box::new(session),
            local,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn receive(&mut self, now: Instant, datagram: &Datagram) {
        match datagram.to.port() % 2 == 1 {
            true => self
                .session
                .handle_rtcp(now, datagram.from, &datagram.bytes),
            false => self.session.handle_rtp(now, datagram.from, &datagram.bytes),
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.feed(now);
        self.session.tick(now);
        self.feed(now);
    }

    /// Carries a command out; what it has to report at once is returned.
    pub(super) fn obey(&mut self, now: Instant, command: Command) -> Option<LegEvent> {
        match command {
            Command::Play(utterance, samples) => self.wait(now, utterance, Some(samples)),
            Command::Finish(utterance) => self.wait(now, utterance, None),
            Command::Pause => self.session.pause(),
            Command::Resume => self.session.resume(now),
            Command::SetAside(aside) => self.session.set_aside(now, aside),
            Command::Renegotiate(negotiated) => self.session.renegotiate(now, *negotiated),
            Command::Cancel => {
                self.waiting.clear();
                let played = self.session.cancel();
                let played = played.map(|c| (c.utterance, c.played_samples));
                return Some(LegEvent::Cancelled { played });
            }
            Command::Close => {
                self.session.close(now);
                let stats = Box::new(self.session.stats());
                return Some(LegEvent::Closed { stats });
            }
        }
        None
    }

    fn wait(&mut self, now: Instant, utterance: UtteranceId, samples: Option<Arc<[i16]>>) {
        self.waiting.push_back(Waiting {
            utterance,
            samples,
            taken: 0,
        });
        self.feed(now);
    }

    /// Moves waiting sound into the playout as far as there is room.
    fn feed(&mut self, now: Instant) {
        while let Some(waiting) = self.waiting.front_mut() {
            let Some(samples) = &waiting.samples else {
                self.session.finish(now, waiting.utterance);
                self.waiting.pop_front();
                continue;
            };
            let rest = samples.get(waiting.taken..).unwrap_or_default();
            let accepted = self.session.play(now, waiting.utterance, rest);
            waiting.taken += accepted;
            if accepted < rest.len() {
                return;
            }
            self.waiting.pop_front();
        }
    }

    pub(super) fn drain(&mut self) -> Output {
        let mut output = Output::default();
        while let Some(packet) = self.session.poll_transmit() {
            let port = self.local.port() + u16::from(packet.rtcp);
            // Reports may share the port of the sound.
            let kind = match rtp::classify(packet.bytes) {
                rtp::Kind::Rtp => Kind::Rtp,
                _ => Kind::Rtcp,
            };
            output.packets.push(Datagram {
                kind,
                from: SocketAddr::new(self.local.ip(), port),
                to: packet.to,
                bytes: packet.bytes.to_vec(),
            });
        }
        while let Some(event) = self.session.poll_event() {
            output.events.push(event);
        }
        output
    }
}
