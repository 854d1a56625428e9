//! The called party of a bridged call while it rings: one address after the other, until one answers
//! or refuses. What it plays before its answer can be heard.

use std::net::SocketAddr;
use std::sync::Arc;

use offhook_sip::{CallHandle, Flow};
use tokio::time::{Instant, sleep_until};

use super::dial::{DialFailure, Dialling, invite, next_flow, note, settled};
use super::fork::Attachment;
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
    /// What its leg gets, where it is an agent's: that one opens with the answer alone.
    attachment: Option<Attachment>,
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
    /// By when something must be heard of it.
    speaks_by: Option<Instant>,
    /// Whether it rang, or played something.
    rang: bool,
    /// What an early answer described that nobody listened to.
    described: Option<Vec<u8>>,
    /// Our offer, which waits for its answer …
    offered: Option<Half>,
    /// … or was answered ahead: the leg is there.
    early: Option<Leg>,
}

/// What is heard of it.
pub(super) enum Heard {
    /// What its dialog says; none where that has ended without a word.
    Signal(Option<Signal>),
    /// It has not said a word in time.
    Silence,
}

/// A call that was given up, and of which that is not settled yet.
pub(super) struct Ending {
    signals: mailbox::Receiver<Signal>,
}

impl Ending {
    /// Waits until it is over.
    pub(super) async fn settled(&mut self) {
        settled(&mut self.signals).await;
    }
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
            attachment: None,
            next: 0,
            rings: None,
        }
    }

    /// Has its leg get something, where that is there.
    pub(super) fn with_attachment(mut self, attachment: Option<Attachment>) -> Self {
        self.attachment = attachment;
        self
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
            speaks_by: dialling.speaks_within.map(|wait| Instant::now() + wait),
            rang: false,
            described: None,
            offered: Some(half),
            early: None,
        });
        Ok(())
    }

    /// Waits for what is heard of it next. Dropped before that, nothing is lost.
    pub(super) async fn hear(&mut self) -> Heard {
        let Some(called) = &mut self.rings else {
            return std::future::pending().await;
        };
        let speaks_by = called.speaks_by;
        tokio::select! {
            // What was said in time counts, whenever it is read.
            biased;
            signal = called.signals.recv() => Heard::Signal(signal),
            () = sleep_until(speaks_by.unwrap_or_else(Instant::now)), if speaks_by.is_some() => {
                Heard::Silence
            }
        }
    }

    /// Takes what was heard of it.
    pub(super) async fn take(&mut self, heard: Heard) -> Option<Progress> {
        let signal = match heard {
            Heard::Signal(signal) => signal,
            Heard::Silence => return self.is_silent().await,
        };
        let failure = match signal {
            Some(Signal::Trying) => {
                self.rings.as_mut()?.speaks_by = None;
                return None;
            }
            Some(Signal::Progress { status, body }) => {
                let early = self.open_early(body.as_deref());
                let called = self.rings.as_mut()?;
                called.speaks_by = None;
                // Some say 183 before they know whether they can; with sound it is one that rings.
                let plays = matches!(early, Ok(true)) || called.described.is_some();
                called.rang |= status != 183 || plays;
                return Some(match early {
                    Ok(true) => Progress::Early,
                    Ok(false) => Progress::Rings(status),
                    Err(error) => Progress::Failed(error.into()),
                });
            }
            Some(Signal::Answered { body }) => {
                let called = self.rings.take()?;
                note(&self.line, &self.dialling, called.target, None);
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
        self.try_others(called, failure).await
    }

    /// Gives an address up that has not said a word: a CANCEL waits until it does, and an answer that
    /// comes late is acknowledged and hung up (RFC 3261 §9.1).
    async fn is_silent(&mut self) -> Option<Progress> {
        let called = self.rings.take()?;
        let _ = self.line.sip().hang_up(called.call, None).await;
        let failure = DialFailure::silent(self.dialling.speaks_within.unwrap_or_default());
        self.try_others(Some(called), failure).await
    }

    /// Calls the next address after one has failed, if there is one and it may do better.
    async fn try_others(
        &mut self,
        called: Option<Called>,
        failure: DialFailure,
    ) -> Option<Progress> {
        if let Some(called) = &called {
            note(&self.line, &self.dialling, called.target, Some(&failure));
        }
        let early = called.as_ref().is_some_and(|called| called.early.is_some());
        let rang = called.is_some_and(|called| called.rang) && !failure.is_silence();
        // Who was heard already is not rung anew, nor is who rings.
        let others = self.next < self.dialling.targets.len() && !early && !rang;
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
        if self.attachment.is_some() {
            called.described = Some(sdp.to_owned());
            return Ok(false);
        }
        if let Some(half) = called.offered.take() {
            let (line, remote) = (&self.line, called.target.ip());
            let leg = line.open(self.leg, half, negotiated, remote, with_tones())?;
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
                // SDP of a 183 may be the only one (RFC 3261 §13.2.1 with RFC 3262 §5).
                let answer = answer.or(called.described);
                let negotiated = half.read_answer(&answer.ok_or(DialFailure::NoDescription)?)?;
                let attached = match &self.attachment {
                    Some(attachment) => attachment.take().ok_or(DialFailure::Cancelled)?,
                    None => with_tones(),
                };
                let remote = called.target.ip();
                let line = &self.line;
                line.open(self.leg, half, negotiated, remote, attached)?
            }
            (None, None) => return Err(DialFailure::NoDescription),
        };
        let (dialog, signals) = ((called.call, called.held), called.signals);
        let sip = self.line.sip().clone();
        let party = Party::new(sip, dialog, called.flow, signals, leg);
        Ok(Progress::Answered(Box::new(party)))
    }

    /// Whether it rings there, or plays something.
    pub(super) fn is_ringing(&self) -> bool {
        self.rings.as_ref().is_some_and(|called| called.rang)
    }

    /// Takes note that the address at which it should ring has said nothing.
    pub(super) fn note_silence(&self) {
        if let Some(called) = &self.rings {
            let hop = (self.dialling.transport, called.target);
            self.line.reach().note_call(hop, Reached::Silent);
        }
    }

    /// Gives up: by CANCEL, or by BYE where the answer was faster; `reason` is its Reason (RFC 3326).
    /// An agent's call may be waited for until that is settled.
    pub(super) async fn give_up(&mut self, reason: Option<&str>) -> Option<Ending> {
        let called = self.rings.take()?;
        let reason = reason.map(str::to_owned);
        let hung_up = self.line.sip().hang_up(called.call, reason).await;
        let signals = called.signals;
        (hung_up.is_ok() && self.attachment.is_some()).then_some(Ending { signals })
    }
}

/// What is attached to the leg of a party that is bridged: a tone that is a key is heard as the tone
/// that it is.
fn with_tones() -> Attached {
    Attached {
        leaves_tones: true,
        ..Attached::default()
    }
}

#[cfg(test)]
mod tests;
