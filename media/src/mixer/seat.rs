//! One party's place in a mixer: its sound, its ears, and how both were a step ago.

use super::fade::Fade;
use super::limiter::Limiter;
use super::{PartyId, Role, STEPS_A_SECOND};
use crate::frame::STEP_SAMPLES;
use crate::rate::HalfBand;

/// What is no louder than this is silence: a codec's idle noise.
const SILENCE: i32 = 8;

/// Who hears a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Nobody,
    All,
    One(PartyId),
}

#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) id: PartyId,
    pub(super) role: Role,
    leaves: bool,
    gone: bool,
    /// Sound came for the coming step.
    given: bool,
    /// Who heard it in the step before, and who hears it in this one.
    before: Reach,
    now: Reach,
    /// Whether it heard the others in the step before.
    heard: bool,
    /// A step of its sound, at the mixer's rate, and how many voices are in it.
    sound: [i32; STEP_SAMPLES],
    voices: usize,
    samples: usize,
    /// Between its rate and the mixer's.
    inward: Option<HalfBand>,
    outward: Option<HalfBand>,
    limiter: Limiter,
    /// A step of what it hears, at its own rate.
    out: [i16; STEP_SAMPLES],
    out_samples: usize,
    /// The step before had nothing in it for this party.
    quiet: bool,
}

impl Seat {
    pub(super) fn new(id: PartyId, role: Role, rate_hz: u32, mixer_rate_hz: u32) -> Self {
        let differs = rate_hz != mixer_rate_hz;
        Self {
            id,
            role,
            leaves: false,
            gone: false,
            given: false,
            before: Reach::Nobody,
            now: Reach::Nobody,
            heard: false,
            sound: [0; STEP_SAMPLES],
            voices: 0,
            samples: (mixer_rate_hz / STEPS_A_SECOND) as usize,
            inward: differs.then(|| HalfBand::to(mixer_rate_hz)),
            outward: differs.then(|| HalfBand::to(rate_hz)),
            limiter: Limiter::new(),
            out: [0; STEP_SAMPLES],
            out_samples: (rate_hz / STEPS_A_SECOND) as usize,
            quiet: true,
        }
    }

    pub(super) fn leave(&mut self) {
        self.leaves = true;
    }

    /// Whether it has left, and its last step is over.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Takes the sound of the coming step: what it says, and what is played to it and for the
    /// others to hear.
    pub(super) fn give(&mut self, said: &[i16], played: &[i16]) {
        let said = said.get(..self.out_samples).unwrap_or(said);
        let played = played.get(..self.out_samples).unwrap_or(played);
        let voices = usize::from(is_audible(said)) + usize::from(is_audible(played));
        let sound = self.sound.get_mut(..self.samples).unwrap_or_default();
        sound.fill(0);
        match &mut self.inward {
            // The filter holds no sound any more once a whole step was silent.
            Some(_) if voices == 0 && self.voices == 0 => {}
            Some(filter) => {
                let mut both = [0_i16; STEP_SAMPLES];
                let both = both.get_mut(..self.out_samples).unwrap_or_default();
                for sound in [said, played] {
                    for (to, from) in both.iter_mut().zip(sound) {
                        *to = to.saturating_add(*from);
                    }
                }
                let mut converted = [0; STEP_SAMPLES];
                filter.convert(both, &mut converted);
                for (to, from) in sound.iter_mut().zip(converted) {
                    *to = i32::from(from);
                }
            }
            None => {
                for part in [said, played] {
                    for (to, from) in sound.iter_mut().zip(part) {
                        *to += i32::from(*from);
                    }
                }
            }
        }
        // What is left in the filter ends a sound.
        self.voices = match &self.inward {
            Some(_) if voices == 0 => usize::from(sound.iter().any(|s| s.abs() > SILENCE)),
            Some(_) => 1,
            None => voices,
        };
        self.given = true;
    }

    /// Settles who hears it in this step. Sound that breaks off goes on backwards while it fades.
    pub(super) fn settle(&mut self) {
        self.now = match self.role {
            _ if !self.given || self.leaves => Reach::Nobody,
            Role::Talker => Reach::All,
            Role::Listener => Reach::Nobody,
            Role::Whisper(to) => Reach::One(to),
        };
        if !std::mem::take(&mut self.given) {
            if let Some(filter) = &mut self.inward {
                filter.reset();
            }
            let sound = self.sound.get_mut(..self.samples).unwrap_or_default();
            match self.before {
                Reach::Nobody => {
                    sound.fill(0);
                    self.voices = 0;
                }
                _ => sound.reverse(),
            }
        }
    }

    /// How much of its sound this step has for those whom `reach` names.
    pub(super) fn share(&self, reach: Reach) -> Fade {
        match self.voices {
            0 => Fade::None,
            _ => Fade::between(self.before == reach, self.now == reach),
        }
    }

    /// How many voices its sound adds to a sum of which it has this share.
    pub(super) fn voices(&self, share: Fade) -> usize {
        if share == Fade::None { 0 } else { self.voices }
    }

    /// Whether some of its sound is for one party alone.
    pub(super) fn whispers(&self) -> bool {
        let aside = |reach| matches!(reach, Reach::One(_));
        self.voices > 0 && (aside(self.before) || aside(self.now))
    }

    pub(super) fn sound(&self) -> &[i32] {
        self.sound.get(..self.samples).unwrap_or_default()
    }

    /// Whether it hears anything in this step.
    pub(super) fn listens(&self) -> bool {
        self.hearing() != Fade::None
    }

    fn hearing(&self) -> Fade {
        Fade::between(self.heard, !self.leaves)
    }

    /// Takes what the others say in this step; `voices` are those in the sum.
    pub(super) fn hear(&mut self, sum: &[i32], voices: usize) {
        let hearing = self.hearing();
        let silent = voices == 0 || hearing == Fade::None;
        if silent {
            self.limiter.rest();
            if std::mem::replace(&mut self.quiet, true) {
                self.out.fill(0);
                return;
            }
        }
        let mut mixed = [0; STEP_SAMPLES];
        let mixed = mixed.get_mut(..self.samples).unwrap_or_default();
        if !silent {
            self.quiet = false;
            self.limiter.limit(sum, voices == 1, mixed);
            hearing.apply(mixed);
        }
        let out = self.out.get_mut(..self.out_samples).unwrap_or_default();
        match &mut self.outward {
            Some(filter) => {
                filter.convert(mixed, out);
            }
            None => out.copy_from_slice(mixed),
        }
    }

    /// Ends the step: the next one starts from how things are now.
    pub(super) fn end_step(&mut self) {
        self.before = self.now;
        self.heard = !self.leaves;
        self.gone = self.leaves;
    }

    pub(super) fn heard(&self) -> &[i16] {
        self.out.get(..self.out_samples).unwrap_or_default()
    }
}

fn is_audible(sound: &[i16]) -> bool {
    sound
        .iter()
        .any(|sample| i32::from(*sample).abs() > SILENCE)
}
