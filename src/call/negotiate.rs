//! Offers and answers within a call: what its dialog says of the session, brought to its leg and
//! back.

use offhook_sip::CallHandle;

use super::line::Leg;
use crate::net::sip::{Signal, Sip};

/// Offers the session anew, as it should be now, or once an offer of ours that is on its way is
/// answered.
pub(super) async fn offer(sip: &Sip, call: CallHandle, leg: &mut Leg) {
    if let Some(offer) = leg.offer() {
        let _ = sip.reoffer(call, offer).await;
    }
}

/// Takes what a dialog says of its session: then whether the other side holds the call may have
/// changed. Gives back what is none of that.
pub(super) async fn negotiate(
    sip: &Sip,
    call: CallHandle,
    leg: &mut Leg,
    signal: Signal,
) -> Option<Signal> {
    match signal {
        Signal::Reoffer { offer } => {
            let answer = leg.answer_reoffer(offer.as_deref());
            let answer = answer.map(Some).map_err(|error| {
                tracing::info!(%error, "a re-offer was refused; the session goes on");
                error.status()
            });
            let _ = sip.answer_reoffer(call, answer).await;
        }
        Signal::ReofferOvertaken => {
            leg.offer_overtaken();
            offer(sip, call, leg).await;
        }
        Signal::Confirmed { body: Some(answer) } => {
            if let Err(error) = leg.take_answer(&answer) {
                tracing::info!(%error, "an answer was of no use; the session goes on");
            }
        }
        Signal::ReofferAnswered {
            offer: answered,
            result,
        } => {
            if let Err(status) = result {
                tracing::info!(status, "our offer was refused; the session goes on");
            }
            let answer = result.ok().flatten();
            if let Err(error) = leg.offer_answered(&answered, answer.as_deref()) {
                tracing::info!(%error, "an answer was of no use; the session goes on");
            }
            if leg.is_outdated() {
                offer(sip, call, leg).await;
            }
        }
        other => return Some(other),
    }
    None
}
