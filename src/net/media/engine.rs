//! The media thread's loop: wait for packets, commands or the next tick; serve; arm the timer.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_media::MAX_DATAGRAM_BYTES;
use offhook_media::mixer::MixerError;

use super::beats::Beats;
use super::leg::Leg;
use super::poller::{Events, Poller, Ready, Waker};
use super::room::{Part, Room, RoomId};
use super::{Command, Counters, LegEvent, LegId, OpenLeg, relay};
use crate::clock;
use crate::realtime::Receiver;

/// The most of a datagram that is read: of one that is too long no more than shows that it is.
const DATAGRAM_MAX: usize = MAX_DATAGRAM_BYTES + 1;
/// Up to so many legs each packet ends the wait at once; with more of them the thread takes what
/// came once a beat, which costs a packet half a millisecond and saves most of the waking up.
const PROMPT_LEGS: usize = 16;
/// Packets that are read of one socket before the others have their turn.
const PACKETS_AT_ONCE: usize = 4;
/// Sockets that are read before the clock is looked at again: what is due leaves on time, however
/// much has come.
const READS: usize = 8;

/// What can fail about an engine, made before its thread.
pub(super) struct Setup {
    poller: Poller,
    commands: Receiver<Command>,
    counters: Arc<Counters>,
}

impl Setup {
    pub(super) fn new(commands: Receiver<Command>, counters: Arc<Counters>) -> io::Result<Self> {
        let poller = Poller::new()?;
        Ok(Self {
            poller,
            commands,
            counters,
        })
    }

    pub(super) fn waker(&self) -> Waker {
        self.poller.waker()
    }
}

/// Who steps next: a leg by its slot, or all legs of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Leg(usize),
    Room(RoomId),
}

pub(super) struct Engine {
    poller: Poller,
    commands: Receiver<Command>,
    pub(super) counters: Arc<Counters>,
    slots: Vec<Option<Leg>>,
    free: Vec<usize>,
    by_id: HashMap<LegId, usize>,
    rooms: HashMap<RoomId, Room>,
    ticks: BinaryHeap<Reverse<(Instant, Due)>>,
    beats: Beats,
}

impl Engine {
    pub(super) fn new(setup: Setup) -> Self {
        let Setup {
            poller,
            commands,
            counters,
            ..
        } = setup;
        Self {
            poller,
            commands,
            counters,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            rooms: HashMap::new(),
            ticks: BinaryHeap::new(),
            beats: Beats::default(),
        }
    }

    /// Runs until every handle to the thread is gone.
    pub(super) fn run(mut self) {
        let mut events = Events::new();
        let mut buffer = [0_u8; DATAGRAM_MAX];
        loop {
            if let Err(error) = self.wait(&mut events, clock::now()) {
                tracing::error!(%error, "the media thread cannot wait for its sockets");
                return;
            }
            self.take_in(&events, &mut buffer);
            let now = clock::now();
            if !self.obey(now, &mut buffer) {
                return;
            }
            self.serve_ticks(now);
        }
    }

    /// Reads what has come, between the ticks that are due meanwhile: how long reading takes must
    /// not show in when packets leave. A packet that is read after a tick came after it.
    fn take_in(&mut self, events: &Events, buffer: &mut [u8]) {
        let mut now = clock::now();
        self.serve_ticks(now);
        let mut number = 0;
        while let Some(ready) = events.ready(number) {
            if number.is_multiple_of(READS) {
                now = clock::now();
                self.serve_ticks(now);
            }
            if let Ready::Socket(token) = ready {
                self.receive(token, now, buffer);
            }
            number += 1;
        }
    }

    /// Waits for something to do.
    fn wait(&mut self, events: &mut Events, now: Instant) -> io::Result<()> {
        let next = self.ticks.peek().map(|Reverse((due, _))| *due);
        if self.by_id.len() <= PROMPT_LEGS {
            return self.poller.wait(events, now, next);
        }
        let beat = clock::beat(now) + clock::BEAT;
        let until = next.map_or(beat, |next| next.min(beat));
        self.poller.wait_for_beat(events, now, until)
    }

    /// Reads the packets of a socket: a leg has two, RTP at its slot's even token and RTCP at the
    /// odd one.
    fn receive(&mut self, token: usize, now: Instant, buffer: &mut [u8]) {
        let (slot, rtcp) = (token / 2, token % 2 == 1);
        for _ in 0..PACKETS_AT_ONCE {
            if !self.receive_one(slot, rtcp, now, buffer) {
                return;
            }
        }
        if let Some(Some(leg)) = self.slots.get(slot)
            && let Err(error) = self.poller.look_again(leg.ports.socket(rtcp), token)
        {
            tracing::error!(%error, leg = leg.id, "a leg's socket cannot be watched any more");
        }
    }

    /// Reads one packet; false when there is none left.
    fn receive_one(&mut self, slot: usize, rtcp: bool, now: Instant, buffer: &mut [u8]) -> bool {
        let Some(Some(leg)) = self.slots.get_mut(slot) else {
            return false;
        };
        if let Some(to) = leg.passes_to.filter(|_| !rtcp) {
            return self.relay(slot, to, now, buffer);
        }
        let received = leg.receive(rtcp, now, buffer, &self.counters);
        if received && let Some(room) = leg.room.and_then(|room| self.rooms.get(&room)) {
            room.pass_key(&mut self.slots, slot);
        }
        received
    }

    /// Passes one packet of a leg on to another; false when there is none left.
    fn relay(&mut self, from: usize, to: usize, now: Instant, buffer: &mut [u8]) -> bool {
        let Some([leg, to]) = relay::pair(&mut self.slots, from, to) else {
            return false;
        };
        let received = leg.relay(to, now, buffer, &self.counters);
        // It has passed as it came.
        let _ = leg.take_pressed();
        if !leg.session.is_relaying()
            && let Some(room) = leg.room.and_then(|room| self.rooms.get_mut(&room))
        {
            room.end_relay(&mut self.slots);
        }
        received
    }

    fn serve_ticks(&mut self, now: Instant) {
        while let Some(Reverse((due, who))) = self.ticks.peek().copied() {
            if due > now {
                return;
            }
            self.ticks.pop();
            match who {
                Due::Leg(slot) => self.serve_leg(slot, due, now),
                Due::Room(room) => self.serve_room(room, due, now),
            }
        }
    }

    fn serve_leg(&mut self, slot: usize, due: Instant, now: Instant) {
        let Some(Some(leg)) = self.slots.get_mut(slot) else {
            return;
        };
        if leg.scheduled != Some(due) {
            return;
        }
        self.counters.count(|c| &c.ticks);
        self.counters.note_late(due, now);
        leg.tick(now, &self.counters);
        leg.scheduled = None;
        if leg.is_abandoned(&self.counters) {
            let id = leg.id;
            self.close(id, now);
        } else {
            self.schedule(slot, now);
        }
    }

    fn serve_room(&mut self, id: RoomId, due: Instant, now: Instant) {
        let Some(room) = self.rooms.get_mut(&id).filter(|room| room.due() == due) else {
            return;
        };
        self.counters.note_late(due, now);
        let steps = room.step(&mut self.slots, now, &self.counters);
        self.ticks.push(Reverse((room.due(), Due::Room(id))));
        if !steps {
            return;
        }
        while let Some(slot) = self.rooms.get_mut(&id).and_then(Room::take_leaver) {
            if let Some(Some(leg)) = self.slots.get_mut(slot) {
                leg.room = None;
            }
            self.schedule(slot, now);
        }
        while let Some(leg) = self.abandoned_in(id) {
            self.close(leg, now);
        }
        self.close_if_empty(id);
    }

    /// A leg of a room of which nobody hears any more.
    fn abandoned_in(&mut self, room: RoomId) -> Option<LegId> {
        let mut slots = self.rooms.get(&room)?.slots();
        slots.find_map(|slot| {
            let leg = self.slots.get_mut(slot)?.as_mut()?;
            leg.is_abandoned(&self.counters).then_some(leg.id)
        })
    }

    fn close_if_empty(&mut self, id: RoomId) {
        if self.rooms.get(&id).is_some_and(Room::is_empty) {
            self.rooms.remove(&id);
        }
    }

    /// Puts the leg's next tick into the heap, unless it stands there already or a room steps for
    /// it.
    fn schedule(&mut self, slot: usize, now: Instant) {
        let Some(Some(leg)) = self.slots.get_mut(slot) else {
            return;
        };
        if leg.room.is_some() {
            return;
        }
        let due = leg.session.next_tick().max(now - Duration::from_secs(1));
        if leg.scheduled != Some(due) {
            leg.scheduled = Some(due);
            self.ticks.push(Reverse((due, Due::Leg(slot))));
        }
    }

    /// Puts a leg into a room, and takes it out of the one that it was in.
    fn join(&mut self, leg: LegId, id: RoomId, part: Part, shares_playout: bool, now: Instant) {
        let Some(slot) = self.by_id.get(&leg).copied() else {
            return;
        };
        self.leave_at_once(slot);
        if let Some(room) = self.rooms.get_mut(&id) {
            room.end_relay(&mut self.slots);
        }
        let Some(Some(leg)) = self.slots.get_mut(slot) else {
            return;
        };
        let ticks = &mut self.ticks;
        let room = self.rooms.entry(id).or_insert_with(|| {
            let room = Room::open(leg);
            ticks.push(Reverse((room.due(), Due::Room(id))));
            room
        });
        // What was pressed before is not meant for who is there.
        let _ = leg.take_pressed();
        let joined = room.join(slot, leg, part, shares_playout);
        if joined.is_ok() {
            leg.room = Some(id);
            leg.scheduled = None;
        }
        leg.tell(LegEvent::Joined(joined), &self.counters);
        self.close_if_empty(id);
        self.schedule(slot, now);
    }

    fn set_part(&mut self, id: LegId, part: Part) {
        let Some(slot) = self.by_id.get(&id).copied() else {
            return;
        };
        self.end_relay_of(slot);
        let Some(Some(leg)) = self.slots.get(slot) else {
            return;
        };
        let room = leg.room.and_then(|room| self.rooms.get_mut(&room));
        let set = room
            .ok_or(MixerError::NotThere)
            .and_then(|room| room.set_part(id, part));
        leg.tell(LegEvent::Joined(set), &self.counters);
    }

    fn leave(&mut self, id: LegId) {
        let Some(slot) = self.by_id.get(&id).copied() else {
            return;
        };
        self.end_relay_of(slot);
        let leg = self.slots.get(slot);
        if let Some(Some(leg)) = leg
            && let Some(room) = leg.room.and_then(|room| self.rooms.get_mut(&room))
        {
            room.leave(id);
        }
    }

    /// Mixes a leg's room from now on, whatever it did before.
    fn end_relay_of(&mut self, slot: usize) {
        let room = self.room_of(slot);
        if let Some(room) = room.and_then(|room| self.rooms.get_mut(&room)) {
            room.end_relay(&mut self.slots);
        }
    }

    /// Mixes a leg's room from now on if packets may not pass there any more.
    pub(super) fn review_relay_of(&mut self, slot: usize) {
        let room = self.room_of(slot);
        if let Some(room) = room.and_then(|room| self.rooms.get_mut(&room))
            && room.relays()
        {
            room.review_relay(&mut self.slots);
        }
    }

    fn room_of(&self, slot: usize) -> Option<RoomId> {
        self.slots.get(slot)?.as_ref()?.room
    }

    fn leave_at_once(&mut self, slot: usize) {
        self.end_relay_of(slot);
        let Some(Some(leg)) = self.slots.get_mut(slot) else {
            return;
        };
        if let Some(id) = leg.room.take() {
            if let Some(room) = self.rooms.get_mut(&id) {
                room.remove(leg.id);
            }
            self.close_if_empty(id);
        }
    }

    /// Takes every waiting command; false when all senders are gone.
    fn obey(&mut self, now: Instant, buffer: &mut [u8]) -> bool {
        let abandoned = self.commands.is_abandoned();
        while let Some(command) = self.commands.take() {
            self.carry_out(command, now, buffer);
        }
        !abandoned
    }

    fn carry_out(&mut self, command: Command, now: Instant, buffer: &mut [u8]) {
        let counters = Arc::clone(&self.counters);
        // An utterance moves its leg's grid; grids stay on beats.
        let beat = clock::beat(now);
        let leg = match command {
            Command::Open(open) => return self.open(*open, now, buffer),
            Command::Close(leg) => return self.close(leg, now),
            Command::Play {
                leg,
                utterance,
                samples,
            } => self.with(leg, |leg| leg.play(beat, utterance, samples)),
            Command::Finish(leg, utterance) => self.with(leg, |leg| leg.finish(beat, utterance)),
            Command::Pause(leg) => self.with(leg, |leg| leg.session.pause()),
            Command::Resume(leg) => self.with(leg, |leg| leg.session.resume(beat)),
            Command::Cancel(leg) => self.with(leg, |leg| leg.cancel(&counters)),
            Command::SendDtmf(leg, digits) => self.with(leg, |leg| {
                if let Err(error) = leg.session.send_dtmf(&digits) {
                    tracing::warn!(%error, leg = leg.id, "keys were not sent");
                }
            }),
            Command::Record(leg, sink) => self.with(leg, |leg| leg.record(sink)),
            Command::Renegotiate(leg, negotiated) => {
                self.with(leg, |leg| leg.session.renegotiate(beat, *negotiated))
            }
            Command::Hold(leg, music) => self.with(leg, |leg| leg.session.hold(&music)),
            Command::SetAside(leg, aside) => {
                self.with(leg, |leg| leg.session.set_aside(beat, aside))
            }
            Command::GiveToAgent(leg, sink, agent) => {
                self.with(leg, |leg| leg.give_to_agent(sink, &agent))
            }
            Command::LeaveToPeople(leg) => self.with(leg, Leg::leave_to_people),
            Command::Answered(leg) => self.with(leg, |leg| leg.session.answered(now)),
            Command::Unhold(leg) => self.with(leg, |leg| leg.session.unhold(beat)),
            Command::Join {
                leg,
                room,
                part,
                shares_playout,
            } => return self.join(leg, room, part, shares_playout, now),
            Command::SetPart(leg, part) => return self.set_part(leg, part),
            Command::Leave(leg) => return self.leave(leg),
            Command::Move { leg, to, renamed } => {
                return self.give_away(leg, &to, renamed, now);
            }
            Command::Adopt(leg) => return self.adopt(leg, now),
            Command::PassRecorder { from, to } => return self.pass_recorder(from, to),
        };
        if let Some(slot) = leg {
            if let Some(Some(leg)) = self.slots.get_mut(slot) {
                leg.drain(&counters);
            }
            self.review_relay_of(slot);
            self.schedule(slot, now);
        }
    }

    pub(super) fn with(&mut self, leg: LegId, act: impl FnOnce(&mut Leg)) -> Option<usize> {
        let slot = *self.by_id.get(&leg)?;
        act(self.slots.get_mut(slot)?.as_mut()?);
        Some(slot)
    }

    fn open(&mut self, open: OpenLeg, now: Instant, buffer: &mut [u8]) {
        let leg = Leg::new(open);
        leg.discard_early(buffer, &self.counters);
        self.put(leg, now);
    }

    /// Puts a leg onto the thread, on the beat on which the fewest legs step.
    pub(super) fn put(&mut self, mut leg: Leg, now: Instant) {
        let (beat, later) = self.beats.take(leg.session.next_tick_by_rtp_time());
        leg.session.delay_ticks(later);
        leg.beat = beat;
        self.seat(leg, now);
    }

    /// Puts a leg back, on its own beat.
    pub(super) fn put_back(&mut self, leg: Leg, now: Instant) {
        self.beats.count(leg.beat);
        self.seat(leg, now);
    }

    /// Puts a leg into a slot and watches its sockets.
    fn seat(&mut self, mut leg: Leg, now: Instant) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let watched = self
            .poller
            .watch(&leg.ports.rtp, slot * 2)
            .and_then(|()| self.poller.watch(&leg.ports.rtcp, slot * 2 + 1));
        leg.is_on(&self.counters);
        if let Err(error) = watched {
            tracing::error!(%error, "a leg's sockets cannot be watched");
            self.beats.give_back(leg.beat);
            leg.close(now, &self.counters);
            self.free.push(slot);
            return;
        }
        self.by_id.insert(leg.id, slot);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(leg);
        }
        self.schedule(slot, now);
    }

    fn close(&mut self, leg: LegId, now: Instant) {
        if let Some(leg) = self.take(leg) {
            leg.close(now, &self.counters);
        }
    }

    /// Takes a leg out of its slot and its room.
    pub(super) fn take(&mut self, leg: LegId) -> Option<Leg> {
        let slot = self.by_id.remove(&leg)?;
        self.leave_at_once(slot);
        let leg = self.slots.get_mut(slot).and_then(Option::take)?;
        self.beats.give_back(leg.beat);
        self.poller.forget(&leg.ports.rtp);
        self.poller.forget(&leg.ports.rtcp);
        self.free.push(slot);
        Some(leg)
    }
}
