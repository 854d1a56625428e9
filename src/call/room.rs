//! Conference rooms: who is in which. The first to come opens a room, the last to go closes it; who
//! is alone hears music. All legs of a room live on one media thread, where they are mixed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::line::{Leg, Line};
use super::music;
use crate::net::media::{Command, LegId, MediaError, MediaThread, Part, RoomId};
use crate::switch::{PinVerdict, WrongPins};

/// The rooms that somebody is in, or comes into.
#[derive(Default)]
pub(super) struct Rooms {
    open: Mutex<HashMap<String, Open>>,
    /// Of rooms that have a PIN, which the configuration names.
    wrong_pins: Mutex<HashMap<String, WrongPins>>,
}

/// A room that is open.
struct Open {
    id: RoomId,
    /// Places that are taken, also by those who are not in it yet.
    seats: usize,
    /// Who is in it.
    inside: Vec<Inside>,
}

struct Inside {
    leg: LegId,
    media: MediaThread,
}

/// A place in a room, until it is dropped.
pub(super) struct Seat {
    rooms: Arc<Rooms>,
    room: String,
    id: RoomId,
    /// The name of the leg that has it.
    leg: LegId,
}

/// Reserves a name for a leg that may come into a room: all of a room live on one thread, which its
/// name decides.
pub(super) fn next_leg(line: &Line, room: &str) -> LegId {
    let mut hasher = DefaultHasher::new();
    room.hash(&mut hasher);
    line.next_leg_beside(hasher.finish())
}

impl Rooms {
    /// Takes a place in a room for a leg; none when there are `max_parties`.
    pub(super) fn seat(
        self: &Arc<Self>,
        room: &str,
        max_parties: usize,
        leg: LegId,
    ) -> Option<Seat> {
        let mut rooms = self.rooms();
        let open = rooms.entry(room.to_owned()).or_insert_with(|| Open {
            id: RoomId::next(),
            seats: 0,
            inside: Vec::new(),
        });
        if open.seats >= max_parties {
            return None;
        }
        open.seats += 1;
        Some(Seat {
            rooms: Arc::clone(self),
            room: room.to_owned(),
            id: open.id,
            leg,
        })
    }

    /// Whether a room has `max_parties`.
    pub(super) fn is_full(&self, room: &str, max_parties: usize) -> bool {
        let rooms = self.rooms();
        rooms
            .get(room)
            .is_some_and(|open| open.seats >= max_parties)
    }

    /// Whether no PIN of a room is taken, since too many were wrong lately.
    pub(super) fn is_locked(&self, now: Instant, room: &str) -> bool {
        let mut pins = self.wrong_pins();
        pins.get_mut(room).is_some_and(|pins| pins.is_locked(now))
    }

    /// Takes a PIN of a room, which is right or not.
    pub(super) fn judge_pin(&self, now: Instant, room: &str, right: bool) -> PinVerdict {
        let mut pins = self.wrong_pins();
        pins.entry(room.to_owned()).or_default().judge(now, right)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong_pins(&self) -> MutexGuard<'_, HashMap<String, WrongPins>> {
        let pins = self.wrong_pins.lock();
        pins.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Lets the leg that has this place into the room; says how many are in it now. The leg's
    /// [`LegEvent::Joined`](crate::net::media::LegEvent::Joined) tells what came of it.
    ///
    /// # Errors
    /// When the media thread does not take it.
    pub(super) fn enter(&self, leg: &Leg) -> Result<usize, MediaError> {
        let mut rooms = self.rooms.rooms();
        leg.media.send(Command::Join {
            leg: leg.id,
            room: self.id,
            part: Part::Talks,
            shares_playout: false,
        })?;
        let Some(open) = rooms.get_mut(&self.room) else {
            return Ok(1);
        };
        // Under the lock, so that who is alone is asked in the order in which it is.
        match open.inside.as_slice() {
            [] => leg.media.send(Command::Hold(leg.id, music::on_hold()))?,
            [alone] => alone.media.send(Command::Unhold(alone.leg))?,
            _ => {}
        }
        open.inside.push(Inside {
            leg: leg.id,
            media: leg.media.clone(),
        });
        Ok(open.inside.len())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = self.rooms.rooms();
        let Some(open) = rooms.get_mut(&self.room) else {
            return;
        };
        open.seats -= 1;
        if open.seats == 0 {
            rooms.remove(&self.room);
            return;
        }
        let before = open.inside.len();
        open.inside.retain(|inside| inside.leg != self.leg);
        if let ([alone], true) = (open.inside.as_slice(), before > 1) {
            let wait = Command::Hold(alone.leg, music::on_hold());
            if let Err(error) = alone.media.send(wait) {
                tracing::error!(%error, "nobody plays to who is alone in a room");
            }
        }
    }
}
