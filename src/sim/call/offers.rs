//! Offers and answers within a call, as `call::task` and `call::line` deal with them, and sound that
//! goes one way.

use std::time::Duration;

use offhook_media::OneWay;

use super::SwitchCall;
use crate::call::session::Change;
use crate::call::trouble::Mend;
use crate::sim::clock::SipCommand;
use crate::sim::invariants::Rule;
use crate::sim::leg::Command;
use crate::sim::world::Cx;

impl SwitchCall {
    /// Answers a re-INVITE or UPDATE.
    pub(super) fn handle_reoffer(&mut self, cx: &mut Cx, offer: Option<&[u8]>) {
        let answer = self.answer_reoffer(cx, offer).map(Some);
        self.command(cx, SipCommand::AnswerReoffer(answer));
        self.look_at_hold(cx);
    }

    fn answer_reoffer(&mut self, cx: &mut Cx, offer: Option<&[u8]>) -> Result<Vec<u8>, u16> {
        let change = self.session.answer_reoffer(offer);
        let change = change.map_err(|error| error.status())?;
        let sdp = change.sdp();
        self.adopt(cx, change);
        Ok(sdp)
    }

    pub(super) fn take_answer(&mut self, cx: &mut Cx, answer: &[u8]) {
        if let Ok(change) = self.session.take_answer(answer) {
            self.adopt(cx, change);
        }
        self.look_at_hold(cx);
    }

    fn adopt(&mut self, cx: &mut Cx, change: Change) {
        let Some(negotiated) = change.media() else {
            return self.session.adopt(change);
        };
        let command = Command::Renegotiate(Box::new(negotiated.clone()));
        self.conversation.tell(cx, command);
        self.session.adopt(change);
        self.session.renew_unused_keys(&mut cx.secrets);
    }

    /// Offers the session anew, or once an offer of ours that is on its way is answered.
    pub(super) fn offer(&mut self, cx: &mut Cx) {
        if let Some(offer) = self.session.offer() {
            self.offered.get_or_insert(cx.clock.now());
            self.command(cx, SipCommand::Reoffer(offer));
        }
    }

    /// Makes an offer anew that was not sent.
    pub(super) fn handle_reoffer_overtaken(&mut self, cx: &mut Cx) {
        self.session.offer_overtaken();
        self.offer(cx);
        self.look_at_hold(cx);
    }

    pub(super) fn handle_reoffer_answered(
        &mut self,
        cx: &mut Cx,
        offer: &[u8],
        result: Result<Option<Vec<u8>>, u16>,
    ) {
        let answer = result.ok().flatten();
        let taken = self.session.offer_answered(offer, answer.as_deref());
        if answer.is_some() && matches!(taken, Ok(None)) {
            let what = "an answer came to an offer that was forgotten".to_owned();
            cx.violate(Rule::OfferUnanswered, self.number, what);
        }
        if let Ok(Some(change)) = taken {
            self.adopt(cx, change);
        }
        if !self.session.has_offered() {
            self.offered = None;
        }
        if self.session.is_outdated() && self.end.is_none() {
            self.offer(cx);
        }
        self.look_at_hold(cx);
    }

    /// Takes that one side hears nothing of the other, and mends it where that is possible.
    pub(super) fn handle_one_way(&mut self, cx: &mut Cx, why: OneWay, silent_for: Duration) {
        if self.end.is_none() && cx.is_faultless(self.number) {
            let what = format!("the switch, after {silent_for:?}: {why:?}");
            cx.violate(Rule::OneWaySound, self.number, what);
        }
        let (_, mend) = self.troubles.one_way(why, silent_for);
        if mend == Mend::OfferAgain && self.end.is_none() && !self.session.is_held() {
            self.offer(cx);
        }
    }
}
