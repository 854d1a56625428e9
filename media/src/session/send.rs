//! One step of the grid: what the peer said is played, what it is to hear is sent.

use std::time::Instant;

use super::event::Leaves;
use super::stream::Packing;
use super::{MediaSession, Notice};
use crate::codec::comfort_noise::{self, ComfortNoise};
use crate::dtmf::{Outgoing, Tone};
use crate::echo::Sounds;
use crate::frame::STEP_SAMPLES;
use crate::playout::{AUDIBLE, Passed, Progress};

/// Comfort noise is sent again after so long, in case that it was lost.
const COMFORT_NOISE_EVERY_MS: u64 = 200;
/// … or when it is louder or softer by so much.
const COMFORT_NOISE_STEP_DB: u8 = 3;

/// What one step of a session has for a conversation of several.
#[derive(Clone, Debug)]
pub struct StepSound {
    samples: usize,
    remote: [i16; STEP_SAMPLES],
    played: [i16; STEP_SAMPLES],
    /// What is played belongs to an utterance.
    sounding: bool,
    /// What the peer says was sent on to the others before.
    passed_on: bool,
}

impl Default for StepSound {
    fn default() -> Self {
        Self {
            samples: 0,
            remote: [0; STEP_SAMPLES],
            played: [0; STEP_SAMPLES],
            sounding: false,
            passed_on: false,
        }
    }
}

impl StepSound {
    /// What the peer says, as the jitter buffer plays it.
    #[must_use]
    pub fn remote(&self) -> &[i16] {
        self.remote.get(..self.samples).unwrap_or_default()
    }

    /// Whether the others have heard what the peer says in this step already: its packets were
    /// passed on as they came.
    #[must_use]
    pub fn is_passed_on(&self) -> bool {
        self.passed_on
    }

    /// What was played with [`MediaSession::play`].
    #[must_use]
    pub fn played(&self) -> &[i16] {
        self.played.get(..self.samples).unwrap_or_default()
    }
}

impl MediaSession {
    /// Takes the step that is due: sends sound or silence, plays what the peer said to the
    /// recording, conceals what is missing, and runs the timers. Does nothing before
    /// [`MediaSession::next_tick`]; a session that is late takes one step a call.
    pub fn tick(&mut self, now: Instant) {
        if now < self.grid.next() {
            return;
        }
        self.grid.part();
        let mut step = StepSound::default();
        let is_heard = self.tape.is_some();
        self.take_step(now, &mut step, is_heard);
        self.give_step(now, &step, None);
    }

    /// Whether a session that is to step together with others at a beat has earlier steps to take
    /// first, by [`MediaSession::tick`].
    #[must_use]
    pub fn is_behind(&self, beat: Instant) -> bool {
        self.grid.is_behind(beat)
    }

    /// Takes the first half of a step together with other sessions: what the peer says and what is
    /// played, for them to hear. Beats are 20 ms apart. Returns false, and does nothing, when the
    /// session has no step for this beat, as once when it joins. Otherwise
    /// [`MediaSession::end_step`] must follow; both halves count as one tick.
    ///
    /// All the sessions of a conversation take their first halves, then their second ones: so what
    /// one peer says waits for nothing on its way to the others.
    pub fn begin_step(&mut self, now: Instant, beat: Instant, step: &mut StepSound) -> bool {
        let joins = self.grid.join(beat);
        if joins {
            self.take_step(now, step, true);
        }
        joins
    }

    /// Takes the second half of a step: sends to the peer what the others say, `heard`, with what
    /// was played.
    pub fn end_step(&mut self, now: Instant, step: &StepSound, heard: &[i16]) {
        self.give_step(now, step, Some(heard));
    }

    /// Takes the first half of a step; `is_heard` when somebody wants what the peer says.
    fn take_step(&mut self, now: Instant, step: &mut StepSound, is_heard: bool) {
        self.grid.catch_up(now);
        step.samples = self.grid.step_samples();
        let remote = step.remote.get_mut(..step.samples).unwrap_or_default();
        let receives =
            self.negotiated.direction.receives() && self.relay.is_none_or(|relay| relay.hears);
        match (receives, is_heard) {
            (true, true) => _ = self.jitter.pull(now, remote),
            (true, false) => self.jitter.pass(now, remote.len()),
            (false, _) => remote.fill(0),
        }
        step.passed_on = self.relay.is_some() || self.passed_on_steps > 0;
        self.passed_on_steps = self.passed_on_steps.saturating_sub(1);
        // On hold, and while keys are pressed, what is to be said waits.
        let played = step.played.get_mut(..step.samples).unwrap_or_default();
        step.sounding = if self.packing().is_some() && self.dtmf_sender.is_idle() {
            self.take_playout(played)
        } else {
            played.fill(0);
            false
        };
    }

    fn give_step(&mut self, now: Instant, step: &StepSound, heard: Option<&[i16]>) {
        let mut local = [0; STEP_SAMPLES];
        let local = local.get_mut(..step.samples).unwrap_or_default();
        let position = self.grid.position();
        match self.relay {
            Some(_) => self.step_beside(heard, local),
            None => self.send_step(step, heard, local),
        }
        self.sound_left(now);
        if let Some(echo) = &mut self.echo {
            let waits = self.playout.queued_samples() > 0 || !self.dtmf_sender.is_idle();
            let sounds = match self.sounding {
                true => Sounds::Now,
                false if waits || self.grid.is_together() => Sounds::Soon,
                false => Sounds::NoMore,
            };
            echo.sends(position, local, sounds);
        }
        if let Some(tape) = &mut self.tape {
            self.lost_events += tape.record(position, local, step.remote());
        }
        self.grid.advance(self.playout.is_speaking());
        self.run_timers(now);
    }

    /// Sends one step and leaves in `local` how it sounds.
    fn send_step(&mut self, step: &StepSound, heard: Option<&[i16]>, local: &mut [i16]) {
        let Some(packing) = self.packing() else {
            self.sounding = false;
            self.stream.discard();
            return;
        };
        let position = self.grid.position();
        let ticks = (self.negotiated.dtmf_clock_rate_hz / 50) as u16;
        match self.dtmf_sender.step(position, ticks) {
            Outgoing::Event {
                payload,
                timestamp,
                marker,
                digit,
                held,
                step,
            } => {
                if let Some(payload_type) = self.negotiated.dtmf {
                    self.stream.flush(&packing, &mut self.outbox);
                    let (to, outbox) = (packing.to, &mut self.outbox);
                    self.stream
                        .event(to, payload_type, marker, timestamp, &payload, outbox);
                    self.sounding = false;
                    return;
                }
                if held {
                    let offset = usize::from(step) * local.len();
                    Tone::new(digit, self.rate_hz()).fill(offset, local);
                }
                self.send_sound(&packing, position, local, held);
            }
            Outgoing::Gap => self.send_sound(&packing, position, local, false),
            Outgoing::Idle => {
                // What others say, and what is around, goes on when it is soft.
                let is_alone = heard.is_none() && self.surroundings.is_empty();
                let sounding = self.put_together(step, heard, local);
                // What was sent on lately goes on when it has waited for its turn: nobody shall
                // hear a silence between.
                if !sounding
                    && self.stream.is_in_a_seam(position)
                    && local.iter().all(|sample| *sample == 0)
                {
                    self.sounding = false;
                    return;
                }
                match sounding || is_alone {
                    true => self.send_sound(&packing, position, local, sounding),
                    false => self.send_silence(&packing, position, local, self.continuous),
                }
            }
        }
    }

    /// Puts together what is heard of a step, and tells whether it is more than ambience.
    fn put_together(&mut self, step: &StepSound, heard: Option<&[i16]>, local: &mut [i16]) -> bool {
        let mut sounding = step.sounding;
        // Who waits hears music, and nothing of what the others say meanwhile.
        match heard.filter(|_| !self.surroundings.is_held()) {
            None => local.copy_from_slice(step.played()),
            Some(heard) => {
                let speak = heard.iter().any(|sample| sample.saturating_abs() > AUDIBLE);
                let mut sum = [0; STEP_SAMPLES];
                let sum = sum.get_mut(..step.samples).unwrap_or_default();
                // What is missing of what the others say is silence.
                let heard = heard.iter().chain(std::iter::repeat(&0));
                for (sum, (ours, theirs)) in sum.iter_mut().zip(step.played().iter().zip(heard)) {
                    *sum = i32::from(*ours) + i32::from(*theirs);
                }
                self.limiter.limit(sum, !(speak && sounding), local);
                sounding |= speak;
            }
        }
        sounding |= self.surroundings.add_to(local);
        sounding
    }

    pub(super) fn send_sound(
        &mut self,
        packing: &Packing,
        position: u64,
        sound: &[i16],
        sounding: bool,
    ) {
        if !sounding {
            let is_sent = self.continuous && !self.negotiated.comfort_noise;
            return self.send_silence(packing, position, sound, is_sent);
        }
        if !self.sounding {
            self.stream.mark();
        }
        self.sounding = true;
        self.quiet = None;
        self.stream
            .sound(packing, position, sound, &mut self.outbox);
    }

    /// Sends what is no utterance, as it is or by saying how it sounds.
    fn send_silence(&mut self, packing: &Packing, position: u64, sound: &[i16], as_it_is: bool) {
        self.sounding = false;
        if as_it_is {
            self.quiet = None;
            self.stream
                .sound(packing, position, sound, &mut self.outbox);
        } else {
            self.stream.flush(packing, &mut self.outbox);
            self.stream.mark();
            self.send_comfort_noise(packing, position, sound);
        }
    }

    /// Tells the peer how our silence sounds, where it understands that (RFC 3389): when it
    /// begins, when it changes and now and then.
    fn send_comfort_noise(&mut self, packing: &Packing, position: u64, sound: &[i16]) {
        if !self.negotiated.comfort_noise {
            return;
        }
        let noise = ComfortNoise::describe(sound);
        let repeat = u64::from(self.rate_hz) / 1_000 * COMFORT_NOISE_EVERY_MS;
        if self.quiet.is_some_and(|(sent, at)| {
            sent.level_dbov().abs_diff(noise.level_dbov()) < COMFORT_NOISE_STEP_DB
                && position.wrapping_sub(at) < repeat
        }) {
            return;
        }
        self.quiet = Some((noise, position));
        let mut payload = [0; comfort_noise::MAX_PAYLOAD_BYTES];
        let len = noise.write(&mut payload);
        let payload = payload.get(..len).unwrap_or_default();
        let (to, number) = (packing.to, comfort_noise::PAYLOAD_TYPE);
        self.stream
            .event(to, number, false, position, payload, &mut self.outbox);
    }

    fn take_playout(&mut self, local: &mut [i16]) -> bool {
        // One utterance may end and the next begin within a step; short ones may be many.
        let notices = &mut self.notices;
        let lost = &mut self.lost_events;
        let position = self.grid.position();
        self.playout.take(local, |progress| {
            if notices.len() >= super::MAX_NOTICES {
                notices.pop_front();
                *lost += 1;
            }
            notices.push_back(Notice::of(progress, position));
        })
    }

    /// Takes note of what has left with its packet; the rest of it waits for one to be full.
    fn sound_left(&mut self, now: Instant) {
        let stream = &self.stream;
        for notice in &mut self.notices {
            notice.sound_left(now, |position| stream.holds_back(position));
        }
    }
}

impl Notice {
    /// What is to be told of an utterance, once the sound is on its way that was taken at a position.
    fn of(progress: Progress, position: u64) -> Self {
        let utterance = progress.utterance;
        let leaves = Leaves::With(position + progress.until as u64);
        match progress.what {
            Passed::Start => Self::PlayoutStarted { utterance, leaves },
            Passed::End(played_samples) => Self::PlayoutFinished {
                utterance,
                leaves,
                played_samples,
            },
        }
    }
}
