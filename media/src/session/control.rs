//! What the owner of a session asks of it.

use std::time::{Duration, Instant};

use super::{AgentSound, Cancelled, MediaSession, Tape, inband_receiver};
use crate::dtmf::{InbandDtmf, InvalidDigit};
use crate::echo::EchoGate;
use crate::gain::GainControl;
use crate::music::Background;
use crate::playout::UtteranceId;
use crate::sdp::Negotiated;
use crate::source::SourceRule;

impl MediaSession {
    /// Queues sound of an utterance, 16-bit mono at [`MediaSession::rate_hz`], and returns how
    /// many samples were accepted: those for which there is room, none when the utterance was
    /// cancelled or finished, or when another one was begun after it. On a silent session the next
    /// tick is due at once.
    pub fn play(&mut self, now: Instant, utterance: UtteranceId, samples: &[i16]) -> usize {
        let accepted = self.playout.play(utterance, samples);
        self.expect_sound();
        self.start_speaking(now);
        accepted
    }

    /// Says that an utterance is complete; it is finished when its last sample is sent.
    pub fn finish(&mut self, now: Instant, utterance: UtteranceId) {
        self.playout.finish(utterance);
        self.start_speaking(now);
    }

    /// Stops sound with the next tick, within 5 ms; what is queued waits.
    pub fn pause(&mut self) {
        self.playout.pause();
        self.surroundings.resumes_playout = false;
    }

    /// Goes on where [`MediaSession::pause`] stopped.
    pub fn resume(&mut self, now: Instant) {
        if self.surroundings.gates_playout() {
            self.surroundings.resumes_playout = true;
            return;
        }
        self.playout.resume();
        self.start_speaking(now);
    }

    /// Drops all sound that is queued, of all utterances; what is being said ends within 5 ms.
    /// Tells what became of the first utterance: those behind it had not begun. Sound that still
    /// arrives for any of them is refused. What waits for its packet to be full leaves with the
    /// next tick, and counts as sent: events about it go before this.
    pub fn cancel(&mut self) -> Option<Cancelled> {
        let dropped = self.playout.cancel();
        let next = self.grid.next();
        let notices = self.notices.iter_mut();
        notices.for_each(|notice| notice.sound_left(next, |_| false));
        if self.surroundings.gates_playout() {
            self.playout.pause();
            self.surroundings.resumes_playout = true;
        }
        dropped.map(|dropped| Cancelled {
            utterance: dropped.utterance,
            played_samples: dropped.played,
            queued_samples: dropped.queued,
        })
    }

    /// Sets what is heard softly behind all that is played; what was there before fades out.
    pub fn set_ambience(&mut self, ambience: Option<&Background>) {
        self.surroundings.set_ambience(ambience, self.rate_hz);
    }

    /// Leaves the party to people: no agent hears it any more. Its sound is not looked through for
    /// keys and echo nor brought to a level, and what was heard softly around the agent fades out.
    pub fn leave_to_people(&mut self) {
        self.inband_dtmf = InbandDtmf::Off;
        (self.inband, self.echo, self.gain) = (None, None, None);
        self.set_ambience(None);
    }

    /// Has an agent hear the party, who talked with people until now: what [`leave_to_people`] ended
    /// begins, as a session would begin that is made like this.
    ///
    /// [`leave_to_people`]: Self::leave_to_people
    pub fn give_to_agent(&mut self, agent: &AgentSound) {
        self.inband_dtmf = agent.inband_dtmf;
        self.inband = inband_receiver(self.inband_dtmf, &self.negotiated, self.rate_hz);
        self.echo = agent
            .echo_gate
            .then(|| Box::new(EchoGate::new(self.rate_hz)));
        self.gain = agent.gain_control.then(GainControl::new);
        self.set_ambience(agent.ambience.as_ref());
    }

    /// Takes note of the answer to a call of which something was heard before it: sound must flow
    /// both ways from now on, and the wait for it begins now.
    pub fn answered(&mut self, now: Instant) {
        self.peer.is_there(now);
        self.watch.restart(now, &self.stats);
    }

    /// Takes all ticks from now on later by so much, less than 20 ms, for an owner that spreads its
    /// sessions over the grid. No sound is lost: RTP time waits as well.
    pub fn delay_ticks(&mut self, by: Duration) {
        self.grid.delay(by);
    }

    /// Lets the peer wait with music, from the next tick on: what is being said ends within 5 ms,
    /// what is queued waits. It tells the peer nothing: an offer that says `sendonly` does.
    pub fn hold(&mut self, music: &Background) {
        self.expect_sound();
        self.close_gate();
        self.surroundings.play_music(music, self.rate_hz);
    }

    /// Ends [`MediaSession::hold`]: the music fades out and what waited goes on.
    pub fn unhold(&mut self, now: Instant) {
        if self.surroundings.end_music() {
            self.open_gate(now);
        }
    }

    /// Lets what is played wait while somebody else speaks in its place, whatever is asked of the
    /// playout meanwhile; or lets it go on after that.
    pub fn set_aside(&mut self, now: Instant, aside: bool) {
        if aside {
            self.close_gate();
            self.surroundings.aside = true;
        } else if std::mem::take(&mut self.surroundings.aside) {
            self.open_gate(now);
        }
    }

    fn close_gate(&mut self) {
        if !self.surroundings.gates_playout() {
            self.surroundings.resumes_playout = !self.playout.is_paused();
            self.playout.pause();
        }
    }

    fn open_gate(&mut self, now: Instant) {
        let gated = self.surroundings.gates_playout();
        if !gated && std::mem::take(&mut self.surroundings.resumes_playout) {
            self.playout.resume();
            self.start_speaking(now);
        }
    }

    /// Whether the peer waits with music.
    #[must_use]
    pub fn is_held_here(&self) -> bool {
        self.surroundings.is_held()
    }

    /// Whether the playout is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.playout.is_paused() && !self.surroundings.resumes_playout
    }

    /// Samples that wait to be sent.
    #[must_use]
    pub fn queued_samples(&self) -> usize {
        self.playout.queued_samples()
    }

    /// Presses keys: `0`–`9`, `*`, `#`, `A`–`D`; `w` and `,` wait half a second, `W` a whole one.
    /// They go as telephone-events (RFC 4733), or as tones to a peer that takes none; what is
    /// being said waits.
    ///
    /// # Errors
    /// Returns [`InvalidDigit`] for what is no key, or when too many wait; nothing is pressed.
    pub fn send_dtmf(&mut self, keys: &str) -> Result<(), InvalidDigit> {
        if !self.presses_keys {
            return Ok(());
        }
        self.expect_sound();
        self.dtmf_sender.dial(keys)
    }

    /// Turns [`Event::Recording`](super::Event::Recording) on or off.
    pub fn set_recording(&mut self, recording: bool) {
        if !recording {
            self.tape = None;
        } else if self.tape.is_none() {
            self.tape = Some(Box::new(Tape::new(self.rate_hz)));
        }
    }

    /// Goes on with what an offer and answer within the call agreed on: hold, resume, another
    /// address, codec, packet time or key. Our source, numbers and timestamps go on, and so does
    /// the rate of the sound; a peer at another address is learned anew.
    pub fn renegotiate(&mut self, now: Instant, negotiated: Negotiated) {
        match self.packing() {
            Some(packing) => self.stream.flush(&packing, &mut self.outbox),
            None => self.stream.discard(),
        }
        let before = std::mem::replace(&mut self.negotiated, negotiated);
        self.voip_metrics_wanted |= self.negotiated.voip_metrics;
        self.secure(now, before.srtp.as_ref());
        let remote = self.negotiated.remote;
        if !remote.ip().is_unspecified() && !self.guard.is_negotiated(remote) {
            let signalling = self.guard.signalling();
            // A peer that came out from behind its NAT is believed; one that was believed stays.
            let rule = match self.guard.rule() {
                SourceRule::Signalling => SourceRule::for_peer(remote.ip(), signalling),
                SourceRule::Negotiated => SourceRule::Negotiated,
            };
            self.guard.renegotiate(rule, remote);
            self.peer.rtcp_from = None;
        }
        self.peer.is_there(now);
        if before.direction != self.negotiated.direction || before.remote != remote {
            self.watch.restart(now, &self.stats);
        }
        if self.negotiated.direction.receives() && !before.direction.receives() {
            self.jitter.restart();
        }
        self.jitter.prepare(self.negotiated.receivable());
        let (codec, wishes) = (self.negotiated.codec, self.negotiated.opus);
        self.stream.encode_as(codec, wishes);
        let inband = inband_receiver(self.inband_dtmf, &self.negotiated, self.rate_hz);
        if inband.is_some() != self.inband.is_some() {
            self.inband = inband;
        }
        if !before.direction.sends() {
            self.stream.mark();
            self.start_speaking(now);
        }
    }

    /// Takes the memory, before the first [`MediaSession::begin_step`] of a conversation, that what
    /// the others say needs in this session: no step allocates any then.
    pub fn expect_sound(&mut self) {
        if let Some(echo) = &mut self.echo {
            echo.expect_sound();
        }
    }

    /// An utterance on a silent session does not wait for the grid.
    fn start_speaking(&mut self, now: Instant) {
        let ready = self.playout.is_ready(self.grid.step_samples());
        let free = !self.playout.is_speaking() && self.dtmf_sender.is_idle();
        if ready && free && self.packing().is_some() {
            self.grid.rephase(now);
        }
    }
}
