//! One party's place in a mixer: its sound, its ears, and how both were a step ago.

use super::fade::Fade;
use super::limiter::Limiter;
use super::{PartyId, Role, STEPS_A_SECOND};
use crate::frame::Frame;
use crate::rate::HalfBand;

/// What is no louder than this is silence: a codec's idle noise.
const SILENCE: i16 = 8;

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
    /// A step of its sound, at the mixer's rate, and whether there is anything in it.
    sound: [i16; Frame::MAX_SAMPLES],
    audible: bool,
    samples: usize,
    /// Between its rate and the mixer's.
    inward: Option<HalfBand>,
    outward: Option<HalfBand>,
    limiter: Limiter,
    /// A step of what it hears, at its own rate.
    out: [i16; Frame::MAX_SAMPLES],
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
            sound: [0; Frame::MAX_SAMPLES],
            audible: false,
            samples: (mixer_rate_hz / STEPS_A_SECOND) as usize,
            inward: differs.then(|| HalfBand::to(mixer_rate_hz)),
            outward: differs.then(|| HalfBand::to(rate_hz)),
            limiter: Limiter::new(),
            out: [0; Frame::MAX_SAMPLES],
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

    /// Takes the sound of the coming step.
    pub(super) fn give(&mut self, samples: &[i16]) {
        let len = self.out_samples.min(samples.len());
        let samples = samples.get(..len).unwrap_or_default();
        let silent = samples.iter().all(|sample| is_silent(*sample));
        let sound = self.sound.get_mut(..self.samples).unwrap_or_default();
        let filled = match &mut self.inward {
            // The filter holds no sound any more once a whole step was silent.
            Some(_) if silent && !self.audible => 0,
            Some(filter) => filter.convert(samples, sound),
            None => {
                for (to, from) in sound.iter_mut().zip(samples) {
                    *to = *from;
                }
                len
            }
        };
        sound.get_mut(filled..).unwrap_or_default().fill(0);
        self.audible = sound.iter().any(|sample| !is_silent(*sample));
        self.given = true;
    }

    /// Settles who hears it in this step. Sound that breaks off goes on backwards while it fades.
    pub(super) fn settle(&mut self) {
        self.now = match self.role {
            _ if !self.given || self.leaves => Reach::Nobody,
            Role::Talker | Role::Source => Reach::All,
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
                    self.audible = false;
                }
                _ => sound.reverse(),
            }
        }
    }

    /// How much of its sound this step has for those whom `reach` names.
    pub(super) fn share(&self, reach: Reach) -> Fade {
        match self.audible {
            true => Fade::between(self.before == reach, self.now == reach),
            false => Fade::None,
        }
    }

    /// Whether some of its sound is for one party alone.
    pub(super) fn whispers(&self) -> bool {
        let aside = |reach| matches!(reach, Reach::One(_));
        self.audible && (aside(self.before) || aside(self.now))
    }

    pub(super) fn sound(&self) -> &[i16] {
        self.sound.get(..self.samples).unwrap_or_default()
    }

    /// Whether it hears anything in this step.
    pub(super) fn listens(&self) -> bool {
        self.hearing() != Fade::None
    }

    fn hearing(&self) -> Fade {
        let now = self.role != Role::Source && !self.leaves;
        Fade::between(self.heard, now)
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
        let mut mixed = [0; Frame::MAX_SAMPLES];
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
        self.heard = self.role != Role::Source && !self.leaves;
        self.gone = self.leaves;
    }

    pub(super) fn heard(&self) -> &[i16] {
        self.out.get(..self.out_samples).unwrap_or_default()
    }
}

fn is_silent(sample: i16) -> bool {
    sample.unsigned_abs() <= SILENCE.unsigned_abs()
}
