//! The called party of a bridged call while it rings: one address after the other, until one answers
//! or refuses. What it plays before its answer can be heard.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use offhook_media::Negotiated;
use offhook_sip::{CallHandle, Flow};

use super::dial::{DialFailure, Dialling, invite, next_flow, note};
use super::line::{Attached, Half, Leg, Line, LineError};
use super::party::Party;
use super::redirecting::Redirecting;
use crate::mailbox;
use crate::net::media::LegId;
use crate::net::sip::{Held, PlacedCall, Signal, SipError};
use crate::switch::Reached;

/// A party that is called.
pub(super) struct Outgoing {
    line: Arc<Line>,
    dialling: Dialling,
    leg: LegId,
    /// The address that comes next.
    next: usize,
    rings: Option<Called>,
    redirecting: Box<Redirecting>,
}

/// One address at which it rings. Dropped, it is given up.
struct Called {
    call: CallHandle,
    held: Held,
    signals: mailbox::Receiver<Signal>,
    target: SocketAddr,
    flow: Flow,
    /// Our offer, which waits for its answer …
    offered: Option<Half>,
    /// … or was answered ahead: the leg is there.
    early: Option<Leg>,
}

/// What became of it.
pub(super) enum Progress {
    /// It rings, or something of the kind, by this status.
    Rings(u16),
    /// It plays something before its answer: [`Outgoing::early_leg`] has it.
    Early,
    /// It answered.
    Answered(Box<Party>),
    /// It did not.
    Failed(DialFailure),
}

impl Outgoing {
    /// Makes a party that is not called yet, of which this will be the leg.
    pub(super) fn new(line: Arc<Line>, dialling: Dialling, leg: LegId) -> Self {
        Self {
            redirecting: Box::new(Redirecting::new(&dialling)),
            line,
            dialling,
            leg,
            next: 0,
            rings: None,
        }
    }

    /// Calls the next address.
    pub(super) async fn place(&mut self) -> Option<Progress> {
        self.try_place().await.err().map(Progress::Failed)
    }

    async fn try_place(&mut self) -> Result<(), DialFailure> {
        let (line, dialling) = (&self.line, &self.dialling);
        let (target, flow) = next_flow(line, dialling, &mut self.next).await?;
        let half = line.offer(&flow, &dialling.codecs, dialling.srtp)?;
        let placed = line
            .sip()
            .invite(invite(line, dialling, flow, &half))
            .await?;
        let PlacedCall { call, signals } = placed;
        self.rings = Some(Called {
            call,
            held: line.sip().hold(call),
            signals,
            target,
            flow,
            offered: Some(half),
            early: None,
        });
        Ok(())
    }

    /// Waits for what its dialog says next. Dropped before that, nothing is lost.
    pub(super) async fn hear(&mut self) -> Option<Signal> {
        match &mut self.rings {
            Some(called) => called.signals.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Takes what its dialog said.
    pub(super) async fn take(&mut self, signal: Option<Signal>) -> Option<Progress> {
        let failure = match signal {
            Some(Signal::Progress { status, body }) => {
                return Some(match self.open_early(body.as_deref()) {
                    Ok(true) => Progress::Early,
                    Ok(false) => Progress::Rings(status),
                    Err(error) => Progress::Failed(error.into()),
                });
            }
            Some(Signal::Answered { body }) => {
                let called = self.rings.take()?;
                note(&self.line, (self.dialling.transport, called.target), None);
                let answered = self.answered(called, body);
                return Some(answered.unwrap_or_else(Progress::Failed));
            }
            Some(Signal::Rejected {
                status,
                reason,
                retry_after_s,
                headers,
            }) => DialFailure::rejected(status, reason, retry_after_s, &headers),
            Some(Signal::Ended { .. }) => DialFailure::Cancelled,
            // What is heard before the answer does not change (RFC 3311 §5.2).
            Some(Signal::Reoffer { .. }) => {
                let call = self.rings.as_ref()?.call;
                let _ = self.line.sip().answer_reoffer(call, Err(488)).await;
                return None;
            }
            Some(_) => return None,
            None => SipError::Gone.into(),
        };
        let called = self.rings.take();
        if let Some(called) = &called {
            let hop = (self.dialling.transport, called.target);
            note(&self.line, hop, Some(&failure));
        }
        let early = called.is_some_and(|called| called.early.is_some());
        // Who was heard already is not rung anew.
        let others = self.next < self.dialling.targets.len() && !early;
        if others && failure.worth_another_target() {
            return self.place().await;
        }
        match early {
            true => Some(Progress::Failed(failure)),
            false => self.follow(failure).await,
        }
    }

    /// Calls whoever comes next of those that redirects have led to.
    async fn follow(&mut self, mut failure: DialFailure) -> Option<Progress> {
        loop {
            self.dialling = match self.redirecting.next(&self.line, failure).await {
                Ok(dialling) => dialling,
                Err(failure) => return Some(Progress::Failed(failure)),
            };
            self.next = 0;
            failure = self.try_place().await.err()?;
        }
    }

    /// Starts the media ahead of the answer, once; false when the description is of no use.
    fn open_early(&mut self, sdp: Option<&[u8]>) -> Result<bool, LineError> {
        let (Some(called), Some(sdp)) = (&mut self.rings, sdp) else {
            return Ok(false);
        };
        let half = called.offered.as_ref();
        let Some(Ok(negotiated)) = half.map(|half| half.read_answer(sdp)) else {
            return Ok(false);
        };
        if let Some(half) = called.offered.take() {
            let leg = open(&self.line, self.leg, half, negotiated, called.target.ip())?;
            called.early = Some(leg);
        }
        Ok(true)
    }

    /// The leg of a party that plays something before its answer.
    pub(super) fn early_leg(&self) -> Option<&Leg> {
        self.rings.as_ref()?.early.as_ref()
    }

    fn answered(&self, called: Called, body: Option<Vec<u8>>) -> Result<Progress, DialFailure> {
        let answer = body.filter(|sdp| !sdp.is_empty());
        let leg = match (called.early, called.offered) {
            // A 200 that says nothing says what was said before it.
            (Some(mut leg), _) => {
                leg.answered().map_err(LineError::from)?;
                if let Some(Err(error)) = answer.map(|answer| leg.take_answer(&answer)) {
                    tracing::info!(%error, "an answer was of no use; what came before it counts");
                }
                leg
            }
            (None, Some(half)) => {
                let negotiated = half.read_answer(&answer.ok_or(DialFailure::NoDescription)?)?;
                open(&self.line, self.leg, half, negotiated, called.target.ip())?
            }
            (None, None) => return Err(DialFailure::NoDescription),
        };
        let (dialog, signals) = ((called.call, called.held), called.signals);
        let sip = self.line.sip().clone();
        let party = Party::new(sip, dialog, called.flow, signals, leg);
        Ok(Progress::Answered(Box::new(party)))
    }

    /// Takes note that the address at which it should ring has said nothing.
    pub(super) fn note_silence(&self) {
        if let Some(called) = &self.rings {
            let hop = (self.dialling.transport, called.target);
            self.line.reach().note_call(hop, Reached::Silent);
        }
    }

    /// Gives up: by CANCEL, or by BYE where the answer was faster; `reason` is its Reason (RFC 3326).
    pub(super) async fn give_up(&mut self, reason: Option<&str>) {
        if let Some(called) = self.rings.take() {
            let reason = reason.map(str::to_owned);
            let _ = self.line.sip().hang_up(called.call, reason).await;
        }
    }
}

fn open(
    line: &Line,
    leg: LegId,
    half: Half,
    negotiated: Negotiated,
    remote: IpAddr,
) -> Result<Leg, LineError> {
    // A tone that is a key is heard as the tone that it is.
    let attached = Attached {
        leaves_tones: true,
        ..Attached::default()
    };
    line.open(leg, half, negotiated, remote, attached)
}

#[cfg(test)]
mod tests;
