//! Mixes the voices of a conversation of several: each party hears all others and never itself.
//!
//! One sum of all voices is made, and each party gets it without its own part: what it costs grows
//! with the parties, not with their pairs, and who is silent is left out. A sum that is too loud is
//! turned down, not clipped. Whoever joins, leaves, falls silent or changes role is faded
//! in or out within 10 ms.

mod fade;
pub(crate) mod limiter;
mod seat;

use seat::{Reach, Seat};

use crate::frame::STEP_SAMPLES;

/// Parties that a mixer takes at most.
pub const MAX_PARTIES: usize = 32;
/// A step is 20 ms.
const STEPS_A_SECOND: u32 = 50;

/// Names a party of one mixer; no other one will ever have the same name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartyId {
    seat: u8,
    number: u32,
}

/// Says whom a party hears, and who hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Hears all others and is heard by all: who takes part, and a supervisor who barges in.
    Talker,
    /// Hears all others and is heard by nobody: a supervisor who listens.
    Listener,
    /// Hears all others and is heard by this one alone; by nobody once that one has left.
    Whisper(PartyId),
}

/// Explains why a mixer did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixerError {
    /// There are [`MAX_PARTIES`] already.
    #[error("a conversation has {MAX_PARTIES} parties at most")]
    Full,
    /// The party has left.
    #[error("the party is not in the conversation")]
    NotThere,
}

/// Mixes one conversation, in steps of 20 ms.
///
/// Its owner gives each party's sound of a step ([`Mixer::give`]), then mixes ([`Mixer::step`]),
/// then takes what each hears ([`Mixer::heard`]). A party that gave nothing is silent for that
/// step. Only joining allocates memory.
///
/// ```
/// use offhook_media::mixer::{Mixer, Role};
///
/// let mut mixer = Mixer::new(8_000);
/// let agent = mixer.join(8_000, Role::Talker)?;
/// let caller = mixer.join(8_000, Role::Talker)?;
/// let supervisor = mixer.join(8_000, Role::Whisper(agent))?;
/// for _ in 0..2 {
///     mixer.give(agent, &[100; 160]);
///     mixer.give(caller, &[20; 160]);
///     mixer.give(supervisor, &[3_000; 160]);
///     mixer.step();
/// }
/// // The first step faded them in.
/// assert_eq!(mixer.heard(agent), [3_020; 160]);
/// assert_eq!(mixer.heard(caller), [100; 160]);
/// assert_eq!(mixer.heard(supervisor), [120; 160]);
/// # Ok::<(), offhook_media::mixer::MixerError>(())
/// ```
#[derive(Debug)]
pub struct Mixer {
    rate_hz: u32,
    seats: Vec<Option<Box<Seat>>>,
    parties: usize,
    joined: u32,
}

impl Mixer {
    /// Makes an empty mixer that works at 8,000 or 16,000 samples per second: parties of the other
    /// rate are converted both ways, which takes 2 ms each way.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz: known_rate(rate_hz),
            seats: Vec::with_capacity(MAX_PARTIES),
            parties: 0,
            joined: 0,
        }
    }

    /// Samples per second at which sums are made.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// How many parties there are; one that leaves counts until its last step is over.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// Takes in a party whose sound has 8,000 or 16,000 samples per second.
    ///
    /// # Errors
    /// Returns [`MixerError::Full`] when there are [`MAX_PARTIES`].
    pub fn join(&mut self, rate_hz: u32, role: Role) -> Result<PartyId, MixerError> {
        let free = self.seats.iter().position(Option::is_none);
        let at = free.unwrap_or(self.seats.len());
        if at >= MAX_PARTIES {
            return Err(MixerError::Full);
        }
        let id = PartyId {
            seat: at as u8,
            number: self.joined,
        };
        self.joined = self.joined.wrapping_add(1);
        let seat = Seat::new(id, role, known_rate(rate_hz), self.rate_hz);
        let seat = Some(Box::new(seat));
        match self.seats.get_mut(at) {
            Some(place) => *place = seat,
            None => self.seats.push(seat),
        }
        self.parties += 1;
        Ok(id)
    }

    /// Lets a party go: it is faded out with the next step, and not known any more after the one
    /// that follows it.
    pub fn leave(&mut self, party: PartyId) {
        if let Some(seat) = self.seat_mut(party) {
            seat.leave();
        }
    }

    /// Gives a party another role from the next step on.
    ///
    /// # Errors
    /// Returns [`MixerError::NotThere`] when it has left, or the one to whom it would whisper.
    pub fn set_role(&mut self, party: PartyId, role: Role) -> Result<(), MixerError> {
        if let Role::Whisper(to) = role {
            self.seat(to).ok_or(MixerError::NotThere)?;
        }
        self.seat_mut(party).ok_or(MixerError::NotThere)?.role = role;
        Ok(())
    }

    /// A party's role, while it is there.
    #[must_use]
    pub fn role(&self, party: PartyId) -> Option<Role> {
        self.seat(party).map(|seat| seat.role)
    }

    /// Takes a party's sound of the coming step: 20 ms at its own rate. What is missing of it is
    /// silence, what is too long is left out.
    pub fn give(&mut self, party: PartyId, samples: &[i16]) {
        self.give_both(party, samples, &[]);
    }

    /// Takes what a party says and what is played to it, such as an agent's voice: the others hear
    /// both, and it hears neither, since its own session plays the one to it.
    pub fn give_both(&mut self, party: PartyId, said: &[i16], played: &[i16]) {
        if let Some(seat) = self.seat_mut(party) {
            seat.give(said, played);
        }
    }

    /// Mixes one step of what was given.
    pub fn step(&mut self) {
        for place in &mut self.seats {
            if place.as_ref().is_some_and(|seat| seat.is_gone()) {
                *place = None;
                self.parties -= 1;
            }
        }
        let samples = (self.rate_hz / STEPS_A_SECOND) as usize;
        let mut total = [0; STEP_SAMPLES];
        let total = total.get_mut(..samples).unwrap_or_default();
        let (mut voices, mut whispers) = (0, false);
        for seat in self.seats.iter_mut().flatten() {
            seat.settle();
            let share = seat.share(Reach::All);
            share.add::<false>(seat.sound(), total);
            voices += seat.voices(share);
            whispers |= seat.whispers();
        }
        for at in 0..self.seats.len() {
            self.serve(at, total, voices, whispers);
        }
        for seat in self.seats.iter_mut().flatten() {
            seat.end_step();
        }
    }

    /// Gives one party the sum without its own part, and what is said to it alone.
    fn serve(&mut self, at: usize, total: &[i32], mut voices: usize, whispers: bool) {
        let Some(seat) = self.seats.get(at).and_then(Option::as_ref) else {
            return;
        };
        let mut sum = [0; STEP_SAMPLES];
        let sum = sum.get_mut(..total.len()).unwrap_or_default();
        if seat.listens() {
            sum.copy_from_slice(total);
            let own = seat.share(Reach::All);
            own.add::<true>(seat.sound(), sum);
            voices -= seat.voices(own);
            if whispers {
                voices += self.add_whispers(seat.id, sum);
            }
        }
        if let Some(seat) = self.seats.get_mut(at).and_then(Option::as_mut) {
            seat.hear(sum, voices);
        }
    }

    /// Adds what is said to one party alone; gives how many say something.
    fn add_whispers(&self, to: PartyId, sum: &mut [i32]) -> usize {
        let mut voices = 0;
        for seat in self.seats.iter().flatten().filter(|seat| seat.id != to) {
            let share = seat.share(Reach::One(to));
            share.add::<false>(seat.sound(), sum);
            voices += seat.voices(share);
        }
        voices
    }

    /// What a party hears of the last step: 20 ms at its own rate; nothing of one that has left.
    #[must_use]
    pub fn heard(&self, party: PartyId) -> &[i16] {
        self.seat(party).map_or(&[], |seat| seat.heard())
    }

    /// Memory that the mixer holds in bytes, inline and on the heap; it changes when parties join
    /// and leave.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.seats.capacity() * size_of::<Option<Box<Seat>>>()
            + self.parties * size_of::<Seat>()
    }

    fn seat(&self, party: PartyId) -> Option<&Seat> {
        let seat = self.seats.get(usize::from(party.seat))?.as_deref();
        seat.filter(|seat| seat.id == party)
    }

    fn seat_mut(&mut self, party: PartyId) -> Option<&mut Seat> {
        let seat = self.seats.get_mut(usize::from(party.seat))?.as_deref_mut();
        seat.filter(|seat| seat.id == party)
    }
}

fn known_rate(rate_hz: u32) -> u32 {
    if rate_hz > 8_000 { 16_000 } else { 8_000 }
}
