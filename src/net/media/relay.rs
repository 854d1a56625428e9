//! A room of two between whom packets pass as they come: when that may be, how it begins and ends.

use std::time::Instant;

use super::Counters;
use super::leg::Leg;
use super::room::{Member, Part, Room};

/// Legs by their slots on the thread.
type Slots = [Option<Leg>];

impl Room {
    /// Whether packets pass between its two legs.
    pub(super) fn relays(&self) -> bool {
        self.relays
    }

    /// Begins to pass packets where that may be.
    pub(super) fn begin_relay(&mut self, slots: &mut Slots, counters: &Counters) {
        let Some((a, b)) = self.talkers().filter(|_| !self.relays) else {
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
        self.relays = true;
    }

    /// Mixes again when packets may not pass any more.
    pub(super) fn review_relay(&mut self, slots: &mut Slots) {
        let legs = self.talkers().and_then(|(a, b)| pair(slots, a, b));
        let goes_on = legs.is_some_and(|[a, b]| {
            let relaying = a.session.is_relaying() && b.session.is_relaying();
            relaying && a.can_relay_with(b)
        });
        if !goes_on {
            self.end_relay(slots);
        }
    }

    /// Mixes from now on.
    pub(super) fn end_relay(&mut self, slots: &mut Slots) {
        if !std::mem::take(&mut self.relays) {
            return;
        }
        for member in &self.members {
            if let Some(Some(leg)) = slots.get_mut(member.slot) {
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
        let [a, b] = self.members.as_mut_slice() else {
            return;
        };
        for member in [&mut *a, &mut *b] {
            let Some(Some(leg)) = slots.get_mut(member.slot) else {
                continue;
            };
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
        }
    }

    /// Presses on the other leg what a leg's peer pressed, where two are mixed: their sound carries
    /// no telephone-events. Those that pass as packets are pressed already.
    pub(super) fn pass_key(&self, slots: &mut Slots, slot: usize) {
        let leg = slots.get_mut(slot).and_then(Option::as_mut);
        let Some(key) = leg.and_then(Leg::take_pressed).filter(|_| !self.relays) else {
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
