//! A room of two between whom packets pass as they come: when that may be, how it begins and ends.

use std::time::Instant;

use super::Counters;
use super::leg::Leg;
use super::room::{Member, Part, Room};

/// Steps that a relay which nobody hears lets go by after each that it takes: all that its legs do
/// at a step then is look at timers of half a second and more, and with many calls each look is at
/// memory that no cache holds any more.
const RESTS: u8 = 4;

/// How packets pass between two legs.
pub(super) struct Relays {
    /// Somebody hears or records one of them: every step is taken.
    heard: bool,
    /// Steps that are let go by before the next one is taken.
    rests: u8,
}

/// Legs by their slots on the thread.
type Slots = [Option<Leg>];

impl Room {
    /// Whether packets pass between its two legs.
    pub(super) fn relays(&self) -> bool {
        self.relays.is_some()
    }

    /// Whether it lets the step go by that is due.
    pub(super) fn rests(&mut self) -> bool {
        let Some(relays) = self.relays.as_mut().filter(|relays| relays.rests > 0) else {
            return false;
        };
        relays.rests -= 1;
        true
    }

    /// Begins to pass packets where that may be.
    pub(super) fn begin_relay(&mut self, slots: &mut Slots, counters: &Counters) {
        let Some((a, b)) = self.talkers().filter(|_| !self.relays()) else {
            return;
        };
        let Some([first, second]) = pair(slots, a, b) else {
            return;
        };
        if !first.can_relay_with(second) {
            return;
        }
        let heard = first.is_heard() || second.is_heard();
        first.session.begin_relay(&mut second.session, heard);
        second.session.begin_relay(&mut first.session, heard);
        (first.passes_to, second.passes_to) = (Some(b), Some(a));
        first.transmit(counters);
        second.transmit(counters);
        self.relays = Some(Relays { heard, rests: 0 });
    }

    /// Mixes again when packets may not pass any more; the next step is taken in any case.
    pub(super) fn review_relay(&mut self, slots: &mut Slots) {
        let Some(relays) = &mut self.relays else {
            return;
        };
        relays.rests = 0;
        let legs = self.talkers().and_then(|(a, b)| pair(slots, a, b));
        let goes_on = legs.is_some_and(|[a, b]| {
            let relaying = a.session.is_relaying() && b.session.is_relaying();
            relaying && a.can_relay_with(b)
        });
        if !goes_on {
            self.end_relay(slots);
        }
    }

    /// Mixes from the step on that is due next.
    pub(super) fn end_relay(&mut self, slots: &mut Slots) {
        let Some(relays) = self.relays.take() else {
            return;
        };
        for member in &self.members {
            if let Some(Some(leg)) = slots.get_mut(member.slot) {
                if !relays.heard {
                    leg.session.pass_steps(self.due());
                }
                leg.session.end_relay();
                leg.passes_to = None;
            }
            // What was mixed last is long over.
            self.mixer.give(member.party, &[]);
        }
        self.mixer.step();
    }

    /// Takes the step of two legs between whom packets pass: their timers, and what is put down of
    /// them.
    pub(super) fn relay_step(&mut self, slots: &mut Slots, now: Instant, counters: &Counters) {
        let due = self.due();
        let (Some(relays), [a, b]) = (&mut self.relays, self.members.as_mut_slice()) else {
            return;
        };
        relays.rests = if relays.heard { 0 } else { RESTS };
        for member in [&mut *a, &mut *b] {
            let Some(Some(leg)) = slots.get_mut(member.slot) else {
                continue;
            };
            if !relays.heard {
                leg.session.pass_steps(due);
            }
            while leg.session.is_behind(due) {
                leg.tick(now, counters);
            }
            member.takes_part = leg.session.begin_step(now, due, &mut member.step);
        }
        for (member, other) in [(&*a, &*b), (&*b, &*a)] {
            let Some(Some(leg)) = slots.get_mut(member.slot) else {
                continue;
            };
            if member.takes_part {
                let heard = match other.takes_part {
                    true => other.step.remote(),
                    false => &[],
                };
                leg.session.end_step(now, &member.step, heard);
                leg.drain(counters);
                counters.count(|c| &c.ticks);
            }
            if !leg.session.can_rest() {
                relays.rests = 0;
            }
        }
    }

    /// Presses on the other leg what a leg's peer pressed, where two are mixed: their sound carries
    /// no telephone-events. Those that pass as packets are pressed already.
    pub(super) fn pass_key(&self, slots: &mut Slots, slot: usize) {
        let leg = slots.get_mut(slot).and_then(Option::as_mut);
        let Some(key) = leg.and_then(Leg::take_pressed).filter(|_| !self.relays()) else {
            return;
        };
        let other = match self.two_who_talk() {
            Some((a, b)) if a == slot => b,
            Some((a, b)) if b == slot => a,
            _ => return,
        };
        if let Some(Some(leg)) = slots.get_mut(other)
            && let Err(error) = leg.session.send_dtmf(key.encode_utf8(&mut [0; 4]))
        {
            tracing::warn!(%error, leg = leg.id, "a key was not passed on");
        }
    }

    /// The slots of two who talk and share nothing else, when there is nobody else.
    fn talkers(&self) -> Option<(usize, usize)> {
        self.two_who_talk().filter(|_| self.members.len() == 2)
    }

    /// The slots of two who talk, whoever listens or whispers besides.
    fn two_who_talk(&self) -> Option<(usize, usize)> {
        let talks = |of: &&Member| of.part == Part::Talks && !of.shares_playout && !of.leaves;
        let mut talkers = self.members.iter().filter(talks);
        let (a, b) = (talkers.next()?, talkers.next()?);
        talkers.next().is_none().then_some((a.slot, b.slot))
    }
}

/// Two legs at once.
pub(super) fn pair(slots: &mut Slots, a: usize, b: usize) -> Option<[&mut Leg; 2]> {
    let [a, b] = slots.get_disjoint_mut([a, b]).ok()?;
    Some([a.as_mut()?, b.as_mut()?])
}
