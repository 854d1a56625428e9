//! One leg on its media thread: the session with its sockets, and sound that waits for room.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use offhook_media::{AgentSound, Event, MediaSession, RecordFrame, UtteranceId};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::sync::mpsc;

use super::beats::Beat;
use super::{Counters, FrameSink, LegEvent, LegId, OpenLeg, PortPair, RecordSink, RoomId};
use crate::clock;

/// Packets that are dropped of each socket when a leg opens: more than its buffer holds.
const EARLY_MAX: usize = 4096;
/// Ticks between two looks whether anybody hears of a leg.
const LOOK_TICKS: u8 = 50;
/// Chunks of sound that may wait beside the playout: several minutes of speech.
const WAITING_MAX: usize = 1024;

struct Waiting {
    utterance: UtteranceId,
    /// `None` marks the end of the utterance.
    samples: Option<Arc<[i16]>>,
    taken: usize,
}

pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) session: Box<MediaSession>,
    pub(super) ports: PortPair,
    sink: Option<Box<dyn FrameSink>>,
    pub(super) recorder: Option<Recorder>,
    events: mpsc::Sender<LegEvent>,
    waiting: VecDeque<Waiting>,
    /// The tick that stands in the thread's heap; any other entry of this leg is stale.
    pub(super) scheduled: Option<Instant>,
    /// The room that steps for it.
    pub(super) room: Option<RoomId>,
    /// The slot of the leg that its packets pass on to as they come.
    pub(super) passes_to: Option<usize>,
    /// The beat that is counted as its own.
    pub(super) beat: Beat,
    /// What its session held when that was last counted, in bytes.
    counted_bytes: u64,
    /// The newest key that its peer pressed by a telephone-event, until somebody asks for it.
    pressed: Option<char>,
    /// Ticks since it was looked whether anybody hears of the leg.
    unlooked: u8,
}

impl Leg {
    pub(super) fn new(open: OpenLeg) -> Self {
        Self {
            id: open.leg,
            session: open.session,
            ports: open.ports,
            sink: open.sink,
            recorder: open.recorder.map(Recorder::new),
            events: open.events,
            waiting: VecDeque::new(),
            scheduled: None,
            room: None,
            passes_to: None,
            beat: Beat::default(),
            counted_bytes: 0,
            pressed: None,
            unlooked: 0,
        }
    }

    /// Gives it another name, on another thread where nothing stands in any heap for it.
    pub(super) fn rename(&mut self, id: LegId) {
        self.id = id;
        (self.scheduled, self.passes_to) = (None, None);
    }

    /// Takes a key that its peer pressed since this was last asked; one that came as a tone is in
    /// the sound.
    pub(super) fn take_pressed(&mut self) -> Option<char> {
        self.pressed.take()
    }

    /// Whether somebody hears or records the leg.
    pub(super) fn is_heard(&self) -> bool {
        self.sink.is_some() || self.recorder.is_some() || self.session.needs_sound()
    }

    /// Whether packets may pass between it and another leg as they are.
    pub(super) fn can_relay_with(&self, other: &Self) -> bool {
        let nothing_waits = self.waiting.is_empty() && other.waiting.is_empty();
        nothing_waits && self.session.can_relay_with(&other.session)
    }

    /// Whether nobody hears of the leg any more, so that nobody will close it either: looked at
    /// once a second, with what its session holds, since a look is at memory that nothing else of a
    /// tick needs.
    pub(super) fn is_abandoned(&mut self, counters: &Counters) -> bool {
        self.unlooked += 1;
        if self.unlooked < LOOK_TICKS {
            return false;
        }
        self.unlooked = 0;
        self.count_bytes(self.session.memory_bytes() as u64, counters);
        self.events.is_closed()
    }

    /// Counts it among the legs of its thread.
    pub(super) fn is_on(&mut self, counters: &Counters) {
        counters.count(|c| &c.legs);
        self.count_bytes(self.session.memory_bytes() as u64, counters);
    }

    /// Counts it no longer.
    pub(super) fn is_off(&mut self, counters: &Counters) {
        counters.legs.fetch_sub(1, Ordering::Relaxed);
        self.count_bytes(0, counters);
    }

    fn count_bytes(&mut self, bytes: u64, counters: &Counters) {
        let before = std::mem::replace(&mut self.counted_bytes, bytes);
        // The sum of all wraps back where it was.
        let more = bytes.wrapping_sub(before);
        counters.session_bytes.fetch_add(more, Ordering::Relaxed);
    }

    /// Drops what came before the leg was open: its sockets are bound when the offer is made, and
    /// an announcement before the answer is not what the party says.
    pub(super) fn discard_early(&self, buffer: &mut [u8], counters: &Counters) {
        for socket in [&self.ports.rtp, &self.ports.rtcp] {
            for _ in 0..EARLY_MAX {
                match socket.recv_from(buffer) {
                    Ok(_) => counters.count(|c| &c.early_dropped),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {}
                }
            }
        }
    }

    /// Reads one packet of one of the two sockets; false when there is none left.
    pub(super) fn receive(
        &mut self,
        rtcp: bool,
        now: Instant,
        buffer: &mut [u8],
        counters: &Counters,
    ) -> bool {
        let (length, from) = match receive(self.ports.socket(rtcp), buffer) {
            Read::Packet(length, from) => (length, from),
            Read::Nothing => return false,
            Read::Other => return true,
        };
        counters.count(|c| &c.received);
        let packet = buffer.get(..length).unwrap_or_default();
        if rtcp {
            self.session.handle_rtcp(now, from, packet);
        } else {
            self.session.handle_rtp(now, from, packet);
        }
        self.drain_events(counters);
        true
    }

    /// Reads one packet of sound and passes on to another leg what is heard in it; false when there
    /// is none left.
    pub(super) fn relay(
        &mut self,
        to: &mut Self,
        now: Instant,
        buffer: &mut [u8],
        counters: &Counters,
    ) -> bool {
        let (length, from) = match receive(&self.ports.rtp, buffer) {
            Read::Packet(length, from) => (length, from),
            Read::Nothing => return false,
            Read::Other => return true,
        };
        counters.count(|c| &c.received);
        let packet = buffer.get(..length).unwrap_or_default();
        self.session.relay_rtp(now, from, packet, &mut to.session);
        if to.transmit(counters) > 0 {
            counters.count(|c| &c.relayed);
        }
        self.drain_events(counters);
        true
    }

    pub(super) fn tick(&mut self, now: Instant, counters: &Counters) {
        let beat = clock::beat(now);
        self.feed(beat);
        self.session.tick(now);
        self.feed(beat);
        self.drain(counters);
    }

    /// Sends what the session has for the network and hands its events on.
    pub(super) fn drain(&mut self, counters: &Counters) {
        self.transmit(counters);
        self.drain_events(counters);
    }

    /// Sends what the session has for the network, and tells how much that was.
    pub(super) fn transmit(&mut self, counters: &Counters) -> usize {
        let mut packets = 0;
        while let Some(transmit) = self.session.poll_transmit() {
            let socket = self.ports.socket(transmit.rtcp);
            match send(socket, transmit.bytes, transmit.to) {
                Ok(()) => counters.count(|c| &c.sent),
                Err(_) => counters.count(|c| &c.send_failed),
            }
            packets += 1;
        }
        packets
    }

    fn drain_events(&mut self, counters: &Counters) {
        while let Some(mut event) = self.session.poll_event() {
            match &mut event {
                Event::Heard(frame) => {
                    if let Some(sink) = &mut self.sink {
                        sink.frame(frame);
                    }
                }
                Event::Recording(frame) => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.record(frame);
                    }
                }
                other => {
                    if let Event::Dtmf { digit, .. } = other
                        && self.session.negotiated().dtmf_receive.is_some()
                    {
                        self.pressed = Some(digit.as_char());
                    }
                    if let Some(told) = LegEvent::of(other) {
                        self.tell(told, counters);
                    }
                }
            }
        }
    }

    pub(super) fn tell(&self, event: LegEvent, counters: &Counters) {
        if self.events.try_send(event).is_err() {
            counters.count(|c| &c.events_dropped);
        }
    }

    pub(super) fn play(&mut self, now: Instant, utterance: UtteranceId, samples: Arc<[i16]>) {
        self.wait(
            now,
            Waiting {
                utterance,
                samples: Some(samples),
                taken: 0,
            },
        );
    }

    /// Has somebody record it.
    pub(super) fn record(&mut self, sink: Box<dyn RecordSink>) {
        self.recorder = Some(Recorder::new(sink));
    }

    /// Has an agent hear it.
    pub(super) fn give_to_agent(&mut self, sink: Box<dyn FrameSink>, agent: &AgentSound) {
        self.sink = Some(sink);
        self.session.give_to_agent(agent);
    }

    /// Has no agent hear it any more.
    pub(super) fn leave_to_people(&mut self) {
        self.sink = None;
        self.session.leave_to_people();
    }

    pub(super) fn finish(&mut self, now: Instant, utterance: UtteranceId) {
        self.wait(
            now,
            Waiting {
                utterance,
                samples: None,
                taken: 0,
            },
        );
    }

    pub(super) fn cancel(&mut self, counters: &Counters) {
        self.waiting.clear();
        let played = self
            .session
            .cancel()
            .map(|c| (c.utterance, c.played_samples));
        // What was sent before goes before.
        self.drain_events(counters);
        self.tell(LegEvent::Cancelled { played }, counters);
    }

    fn wait(&mut self, now: Instant, waiting: Waiting) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(waiting);
        }
        self.feed(now);
    }

    /// Moves waiting sound into the playout as far as there is room.
    pub(super) fn feed(&mut self, now: Instant) {
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

    /// Says goodbye to the peer (RFC 3550 §6.3.7) and tells what was counted.
    pub(super) fn close(mut self, now: Instant, counters: &Counters) {
        self.session.close(now);
        self.drain(counters);
        let stats = Box::new(self.session.stats());
        self.tell(LegEvent::Closed { stats }, counters);
        self.is_off(counters);
    }
}

/// Who records a leg, which may have recorded another one before: what they say of both is one
/// recording.
pub(super) struct Recorder {
    sink: Box<dyn RecordSink>,
    /// What is added to positions, which each session counts from its own beginning; known with the
    /// first frame.
    shift: Option<u64>,
    /// Where the last frame ended.
    end: u64,
}

impl Recorder {
    pub(super) fn new(sink: Box<dyn RecordSink>) -> Self {
        Self {
            sink,
            shift: Some(0),
            end: 0,
        }
    }

    /// Goes on with another session, where the last one ended.
    pub(super) fn passed_on(self) -> Self {
        Self {
            shift: None,
            ..self
        }
    }

    fn record(&mut self, frame: &mut RecordFrame) {
        let shift = self.shift.unwrap_or(self.end.wrapping_sub(frame.position));
        self.shift = Some(shift);
        frame.position = frame.position.wrapping_add(shift);
        self.end = frame.position.wrapping_add(RecordFrame::SAMPLES as u64);
        self.sink.record(frame);
    }
}

/// What a read brought.
enum Read {
    Packet(usize, SocketAddr),
    Nothing,
    /// Not the end of what there is: a refused send is reported on the next receive (ICMP).
    Other,
}

/// Reads a packet. The C library's calls are places where a thread may be cancelled, which has its
/// price a hundred thousand times a second: these are the kernel's.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Read {
    let (length, from) = match rustix::net::recvfrom(socket, buffer, RecvFlags::empty()) {
        Ok((length, _, from)) => (length, from),
        Err(Errno::AGAIN) => return Read::Nothing,
        Err(_) => return Read::Other,
    };
    match from.and_then(|from| SocketAddr::try_from(from).ok()) {
        Some(from) => Read::Packet(length, from),
        None => Read::Other,
    }
}

fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) -> Result<(), Errno> {
    let send = || rustix::net::sendto(socket, bytes, SendFlags::empty(), &to).map(|_| ());
    match send() {
        // The first send after an ICMP refusal reports that refusal and sends nothing.
        Err(Errno::CONNREFUSED) => send(),
        sent => sent,
    }
}
