//! How a call ends: what the conversation wants of it, its leg's figures, its record.

use std::time::{Duration, Instant};

use super::{CLOSING_TIME, Stage, SwitchCall};
use crate::call::conversation::Directive;
use crate::call::{PausedBy, media_summary, stored_state, stored_turn, stored_variables};
use crate::sim::clock::SipCommand;
use crate::sim::ledger::Ledger;
use crate::sim::leg::Command;
use crate::sim::set_up;
use crate::sim::world::Cx;
use crate::store::MediaSummary;
use crate::switch::EndReason;

/// As in `call::talk`.
const CLOSING: Duration = Duration::from_secs(2);

impl SwitchCall {
    /// Carries out what the conversation wants of the call.
    pub(super) fn write_down(&mut self, cx: &mut Cx, ledger: &mut Ledger) {
        for directive in self.conversation.take_directives() {
            match directive {
                Directive::HangUp(_) if self.end.is_none() => {
                    self.end = Some(EndReason::Agent);
                    self.command(cx, SipCommand::HangUp);
                    self.after(cx);
                }
                // Nobody is there who would take it: `Work::NotTransferred` says so.
                Directive::HangUp(_) | Directive::Transfer(_) | Directive::CallOffTransfer => {}
                Directive::PauseRecording(pause) => {
                    self.recording.pause(PausedBy::Flow, pause);
                }
                Directive::Finished(with) => self.outcome = Some(with),
                Directive::Record(turn) => {
                    ledger.turn(cx, &mut self.record, stored_turn(turn));
                }
                Directive::Variables(all) => self.record.variables = stored_variables(&all),
                Directive::Book(request) => {
                    let appointment = set_up::appointment(cx, &self.record, request);
                    ledger.book(&self.record, appointment);
                }
            }
        }
        if self.end.is_none() {
            return;
        }
        if self.outcome.is_some() {
            self.close(cx, ledger);
        } else if !self.conversation.awaits_playout() {
            self.close_leg(cx);
        }
    }

    fn close_leg(&mut self, cx: &mut Cx) {
        if !std::mem::replace(&mut self.leg_closed, true) {
            self.conversation.tell(cx, Command::Close);
        }
    }

    pub(super) fn close(&mut self, cx: &mut Cx, ledger: &mut Ledger) {
        self.close_leg(cx);
        let reason = self.end.clone().unwrap_or(EndReason::Agent);
        self.life.handle_end(cx.clock.now(), reason);
        self.stage = Stage::Closing {
            until: cx.clock.now() + CLOSING,
        };
        if self.stats.is_some() {
            self.write_end(cx, ledger);
        }
    }

    /// How long the call is over.
    pub(in crate::sim) fn over_for(&self, now: Instant) -> Duration {
        let since = self.closing.and_then(|at| at.checked_sub(CLOSING_TIME));
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn never_answered(&mut self, cx: &mut Cx, ledger: &mut Ledger, reason: EndReason) {
        self.half = false;
        self.life.handle_end(cx.clock.now(), reason);
        self.write_end(cx, ledger);
    }

    pub(super) fn write_end(&mut self, cx: &mut Cx, ledger: &mut Ledger) {
        let now = cx.clock.now();
        let state = self.life.state().clone();
        self.record.state = stored_state(&state);
        self.record.ended_at = Some(cx.timestamp(self.life.ended().unwrap_or(now)));
        let outcome = self.outcome.take().map(|outcome| outcome.outcome);
        self.record.outcome = Some(outcome.unwrap_or_else(|| state.as_str().to_owned()));
        let agreed = self.session.negotiated();
        let codec = agreed.map(|n| n.codec.name().to_owned());
        let srtp = agreed.and_then(|n| n.srtp.as_ref());
        let srtp = srtp.map(|keys| keys.suite().name().to_owned());
        let stats = self.stats.as_ref();
        let summary = stats.map(|stats| media_summary(codec, srtp, stats));
        let trouble = std::mem::take(&mut self.troubles).into_words();
        self.record.media = summary.map(|summary| MediaSummary { trouble, ..summary });
        cx.note(self.number, || format!("recorded: {:?}", state.as_str()));
        ledger.finish(cx, &self.record);
        self.stage = Stage::Over { at: now };
    }
}
