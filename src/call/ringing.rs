//! A call that rings here and that no agent takes: from what its INVITE says to its answer.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use offhook_media::Negotiated;
use offhook_sip::CallHandle;
use serde_json::json;
use tokio::sync::mpsc;

use super::ending::Ending;
use super::inbound::{agree, codecs_of, late_answer, refuse};
use super::journal::Journal;
use super::line::{Attached, Half, LineError};
use super::party::Party;
use super::services::{Live, Services};
use super::sound::summary;
use super::task::Control;
use crate::clock::{self, Epoch};
use crate::meters;
use crate::net::media::LegId;
use crate::net::sip::{IncomingCall, Signal};
use crate::store::{CallRecord, CallState as StoredState, MediaSummary};
use crate::switch::{Call, EndReason};

/// A call that rings here; its record is kept and it can be reached.
pub(super) struct Ringing {
    pub(super) services: Arc<Services>,
    pub(super) call: CallHandle,
    signals: mpsc::Receiver<Signal>,
    half: Half,
    negotiated: Option<Negotiated>,
    remote: IpAddr,
    pub(super) record: CallRecord,
    pub(super) written: Written,
    /// Asked from outside.
    pub(super) controls: mpsc::Receiver<Control>,
}

/// What is written down of a call.
pub(super) struct Written {
    state: Call,
    pub(super) journal: Journal,
    pub(super) epoch: Epoch,
    live: Live,
}

impl Ringing {
    /// Agrees on media, keeps the record and tells who watches. None when the call was refused.
    pub(super) async fn begin(
        services: Arc<Services>,
        incoming: IncomingCall,
        record: CallRecord,
        epoch: Epoch,
    ) -> Option<Self> {
        let IncomingCall {
            call,
            invite,
            signals,
        } = incoming;
        let state = Call::inbound(clock::now());
        let codecs = codecs_of(&services, &invite.source);
        let (half, negotiated) = match agree(&services, &invite, &codecs) {
            Ok(agreed) => agreed,
            Err(error) => {
                refuse(&services, call, error.status(), &error.to_string()).await;
                return None;
            }
        };
        if let Err(error) = services.store.insert_call(record.clone()).await {
            tracing::error!(%error, "a call's record was not kept: it is refused");
            refuse(&services, call, 503, "its record was not kept").await;
            return None;
        }
        // Nobody is there who could say that it is recorded.
        let (live, controls) = services.go_live_unannounced(record.id, record.trunk.as_deref());
        let journal = Journal::start(&services, record.clone());
        let parties = json!({ "from": record.from, "to": record.to });
        journal.event("call.ringing", record.started_at, parties);
        let written = Written {
            state,
            journal,
            epoch,
            live,
        };
        Some(Self {
            services,
            call,
            signals,
            half,
            negotiated,
            remote: invite.flow.remote.ip(),
            record,
            written,
            controls,
        })
    }

    /// Answers, and starts the leg's media. None when the caller was faster, or somebody wanted the
    /// call's end: that is written down then.
    pub(super) async fn answer(mut self, leg: LegId) -> Option<Answered> {
        match self.settle().await {
            Ok(negotiated) => self.open(leg, negotiated).await,
            Err(reason) => {
                let sip = self.services.line.sip();
                let _ = sip.hang_up(self.call, None).await;
                self.written.end(&self.services, reason, None, None).await;
                None
            }
        }
    }

    async fn settle(&mut self) -> Result<Negotiated, EndReason> {
        let sip = self.services.line.sip();
        if !matches!(sip.answer(self.call, self.half.sdp()).await, Ok(true)) {
            return Err(EndReason::Cancelled);
        }
        match self.negotiated.take() {
            Some(negotiated) => Ok(negotiated),
            None => late_answer(&self.half, &mut self.signals, &mut self.controls).await,
        }
    }

    async fn open(self, leg: LegId, negotiated: Negotiated) -> Option<Answered> {
        let Self {
            services,
            call,
            signals,
            half,
            remote,
            mut record,
            mut written,
            controls,
            ..
        } = self;
        let recording = services.begin_recording(record.id, &written.live.recording);
        let (recorder, path) = recording.unzip();
        let attached = Attached {
            recorder,
            ..Attached::default()
        };
        let opened = services.line.open(leg, half, negotiated, remote, attached);
        let leg = match opened {
            Ok(leg) => leg,
            Err(error) => {
                let _ = services.line.sip().hang_up(call, None).await;
                let reason = EndReason::Failed(LineError::to_string(&error));
                written.end(&services, reason, None, None).await;
                return None;
            }
        };
        let party = Party::new(&services.line, call, signals, leg);
        written.answered(&services, &mut record, path);
        Some(Answered {
            services,
            party,
            record,
            written,
            controls,
        })
    }
}

/// A call that was answered without an agent.
pub(super) struct Answered {
    pub(super) services: Arc<Services>,
    pub(super) party: Party,
    pub(super) record: CallRecord,
    pub(super) written: Written,
    pub(super) controls: mpsc::Receiver<Control>,
}

impl Answered {
    /// Closes the media and writes the end down.
    pub(super) async fn end(mut self, reason: EndReason, outcome: Option<String>) {
        self.party.leg.close();
        let troubles = std::mem::take(&mut self.party.troubles).into_words();
        let media = summary(&mut self.party.leg, troubles).await;
        let written = self.written;
        written.end(&self.services, reason, media, outcome).await;
    }
}

impl Written {
    fn answered(&mut self, services: &Services, record: &mut CallRecord, path: Option<PathBuf>) {
        let now = clock::now();
        self.state.handle_answer(now);
        let waited = now.saturating_duration_since(self.state.started());
        meters::call_answered(self.state.direction().as_str(), waited);
        let at = self.epoch.timestamp(now);
        record.state = StoredState::InProgress;
        record.answered_at = Some(at);
        self.journal.answered(at);
        if let Some(path) = path {
            self.journal.recording(path);
        }
        if let Some(watcher) = &services.watcher {
            watcher.answered(record);
        }
    }

    async fn end(
        mut self,
        services: &Services,
        reason: EndReason,
        media: Option<MediaSummary>,
        outcome: Option<String>,
    ) {
        self.state.handle_end(clock::now(), reason);
        let ending = Ending {
            call: self.state,
            media,
            outcome,
            epoch: self.epoch,
        };
        ending.write(services, self.journal).await;
        drop(self.live);
    }

    /// Tells who watches that something happened now.
    pub(super) fn event(&self, kind: &'static str, data: serde_json::Value) {
        let at = self.epoch.timestamp(clock::now());
        self.journal.event(kind, at, data);
    }
}
