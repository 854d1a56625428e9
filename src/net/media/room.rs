//! A room: legs that hear each other. They step together, on one beat: what one says is on its way
//! to the others in the same step, and waits for nothing but its own jitter buffer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offhook_media::StepSound;
use offhook_media::mixer::{Mixer, MixerError, PartyId, Role};

use super::leg::Leg;
use super::relay::Relays;
use super::{Counters, LegId};
use crate::clock;

/// One step.
const STEP: Duration = Duration::from_millis(20);
/// A room that was not served for so long skips what it missed, as each of its sessions does.
const MAX_LATE: Duration = Duration::from_millis(100);

/// Names a room for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(u64);

impl RoomId {
    /// Draws a name that no other room of the process has.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a leg does in a room; it hears all the others in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is heard by all.
    Talks,
    /// It is heard by nobody: a supervisor who listens.
    Listens,
    /// It is heard by this leg of the room alone.
    WhispersTo(LegId),
}

pub(super) struct Member {
    leg: LegId,
    pub(super) slot: usize,
    pub(super) party: PartyId,
    pub(super) part: Part,
    /// The others hear what is played to it, such as an agent's voice.
    pub(super) shares_playout: bool,
    pub(super) step: StepSound,
    pub(super) takes_part: bool,
    pub(super) leaves: bool,
}

/// The legs of one room, by their slots on the thread.
pub(super) struct Room {
    due: Instant,
    pub(super) mixer: Mixer,
    pub(super) members: Vec<Member>,
    /// Packets pass between its two legs as they come.
    pub(super) relays: Option<Relays>,
}

impl Room {
    /// Opens a room that sounds at the rate of its first leg and steps when that leg would.
    pub(super) fn open(first: &Leg) -> Self {
        Self {
            due: first.session.next_tick(),
            mixer: Mixer::new(first.session.rate_hz()),
            members: Vec::new(),
            relays: None,
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn join(
        &mut self,
        slot: usize,
        leg: &mut Leg,
        part: Part,
        shares_playout: bool,
    ) -> Result<(), MixerError> {
        let role = self.role(part)?;
        let party = self.mixer.join(leg.session.rate_hz(), role)?;
        leg.session.expect_sound();
        self.members.push(Member {
            leg: leg.id,
            slot,
            party,
            part,
            shares_playout,
            step: StepSound::default(),
            takes_part: false,
            leaves: false,
        });
        Ok(())
    }

    pub(super) fn set_part(&mut self, leg: LegId, part: Part) -> Result<(), MixerError> {
        let role = self.role(part)?;
        let party = self.party(leg).ok_or(MixerError::NotThere)?;
        self.mixer.set_role(party, role)?;
        let mut members = self.members.iter_mut();
        if let Some(member) = members.find(|member| member.leg == leg) {
            member.part = part;
        }
        Ok(())
    }

    /// Lets a leg go with the next step, in which it is faded out.
    pub(super) fn leave(&mut self, leg: LegId) {
        let Some(member) = self.members.iter_mut().find(|member| member.leg == leg) else {
            return;
        };
        member.leaves = true;
        self.mixer.leave(member.party);
    }

    /// Lets a leg go at once.
    pub(super) fn remove(&mut self, leg: LegId) {
        self.leave(leg);
        self.members.retain(|member| member.leg != leg);
    }

    /// Takes out a leg whose last step in the room is over, and tells its slot.
    pub(super) fn take_leaver(&mut self) -> Option<usize> {
        let at = self.members.iter().position(|member| member.leaves)?;
        Some(self.members.swap_remove(at).slot)
    }

    /// The slots of the legs.
    pub(super) fn slots(&self) -> impl Iterator<Item = usize> {
        self.members.iter().map(|member| member.slot)
    }

    /// Takes the step that is due: each leg gives what its peer says, and gets what the others say.
    /// False when that was let go by, since nobody needs it.
    pub(super) fn step(
        &mut self,
        slots: &mut [Option<Leg>],
        now: Instant,
        counters: &Counters,
    ) -> bool {
        let late = now.saturating_duration_since(self.due);
        if late > MAX_LATE {
            let steps = late.as_millis() / STEP.as_millis();
            self.due += STEP * u32::try_from(steps).unwrap_or(0);
        }
        let takes = !self.rests();
        if takes {
            self.review_relay(slots);
            if self.relays() {
                self.relay_step(slots, now, counters);
            } else {
                self.mix_step(slots, now, counters);
                self.begin_relay(slots, counters);
            }
        }
        self.due += STEP;
        takes
    }

    fn mix_step(&mut self, slots: &mut [Option<Leg>], now: Instant, counters: &Counters) {
        let beat = clock::beat(now);
        for member in &mut self.members {
            member.takes_part = false;
            let Some(Some(leg)) = slots.get_mut(member.slot) else {
                continue;
            };
            while leg.session.is_behind(self.due) {
                leg.tick(now, counters);
            }
            leg.feed(beat);
            member.takes_part = leg.session.begin_step(now, self.due, &mut member.step);
            // Who is kept waiting with music is not heard.
            if member.takes_part && !leg.session.is_held_here() {
                let played = match member.shares_playout {
                    true => member.step.played(),
                    false => &[],
                };
                let said = match member.step.is_passed_on() {
                    true => &[],
                    false => member.step.remote(),
                };
                self.mixer.give_both(member.party, said, played);
            }
        }
        self.mixer.step();
        for member in self.members.iter().filter(|member| member.takes_part) {
            let Some(Some(leg)) = slots.get_mut(member.slot) else {
                continue;
            };
            let heard = self.mixer.heard(member.party);
            leg.session.end_step(now, &member.step, heard);
            leg.feed(beat);
            leg.drain(counters);
            counters.count(|c| &c.ticks);
            self.pass_key(slots, member.slot);
        }
    }

    fn role(&self, part: Part) -> Result<Role, MixerError> {
        Ok(match part {
            Part::Talks => Role::Talker,
            Part::Listens => Role::Listener,
            Part::WhispersTo(leg) => Role::Whisper(self.party(leg).ok_or(MixerError::NotThere)?),
        })
    }

    fn party(&self, leg: LegId) -> Option<PartyId> {
        let mut members = self.members.iter();
        members
            .find(|member| member.leg == leg)
            .map(|member| member.party)
    }
}
