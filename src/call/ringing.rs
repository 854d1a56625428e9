//! A call that rings here and that no agent takes: from what its INVITE says to its answer.

mod leaving;

pub(super) use self::leaving::leave_to;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use offhook_media::{Codec, Negotiated};
use offhook_sip::{CallHandle, EndCause, Flow, Source};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ending::Ending;
use super::inbound::{agree, codecs_of, late_answer, refuse, refuse_because};
use super::journal::{Journal, Kept};
use super::line::{Attached, Half, Leg};
use super::outbound::Whose;
use super::party::Party;
use super::recording::PausedBy;
use super::services::{Live, Services};
use super::talk::end_reason_of;
use super::task::{Control, Wishes};
use crate::clock::{self, Epoch};
use crate::mailbox;
use crate::meters;
use crate::net::media::{Command, LegId};
use crate::net::sip::{Held, IncomingCall, Signal};
use crate::store::{CallRecord, CallState as StoredState, MediaSummary};
use crate::switch::{Call, Cause, EndReason};

/// How long a call that could be answered waits for its record to be kept.
const KEEPING: Duration = Duration::from_secs(5);
/// Why a call is refused whose record cannot be kept.
const NOT_KEPT: &str = "its record was not kept";

/// A call that rings here; its record is being kept, is before it is answered, and it can be reached.
pub(super) struct Ringing {
    pub(super) services: Arc<Services>,
    pub(super) call: CallHandle,
    /// Its dialog ends with it.
    held: Held,
    signals: mailbox::Receiver<Signal>,
    half: Option<Half>,
    negotiated: Option<Negotiated>,
    /// The leg, where something is heard before the answer.
    early: Option<Leg>,
    rang: bool,
    flow: Flow,
    source: Source,
    /// A disk keeps nobody waiting who only rings.
    kept: Kept,
    pub(super) record: CallRecord,
    pub(super) written: Written,
    /// Asked from outside.
    controls: mailbox::Receiver<Control>,
}

/// What is written down of a call.
pub(super) struct Written {
    pub(super) state: Call,
    pub(super) journal: Journal,
    pub(super) epoch: Epoch,
    pub(super) live: Live,
}

impl Ringing {
    /// Agrees on media, begins to keep the record and tells who watches; `others` are trunks that the
    /// call may leave by. None when the call was refused.
    pub(super) async fn begin(
        services: Arc<Services>,
        (incoming, held): (IncomingCall, Held),
        (record, others): (CallRecord, Vec<String>),
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
        let trunks = record.trunk.iter().chain(&others).map(String::as_str);
        let (live, controls) = services.go_live_between(record.id, trunks);
        let (journal, kept) = Journal::begin(&services, record.clone());
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
            held,
            signals,
            half: Some(half),
            negotiated,
            early: None,
            rang: false,
            flow: invite.flow,
            source: invite.source,
            kept,
            record,
            written,
            controls,
        })
    }

    /// Who is called.
    pub(super) fn called(&self) -> String {
        let bridge = self.record.bridge.as_ref();
        bridge.map_or_else(|| self.record.to.clone(), |bridge| bridge.to.clone())
    }

    /// Writes down who of those who were called has answered.
    pub(super) fn answered_by(&mut self, whose: Whose) {
        if let Some(bridge) = &mut self.record.bridge {
            (bridge.trunk, bridge.user) = (whose.trunk.clone(), whose.user.clone());
        }
        self.written.journal.bridged(whose);
    }

    /// The codec that was agreed on, where the caller made the offer.
    pub(super) fn codec(&self) -> Option<Codec> {
        self.negotiated.as_ref().map(|negotiated| negotiated.codec)
    }

    /// Tells the caller, once, that it rings at the called party; `status` is what that said.
    pub(super) async fn rings(&mut self, status: u16) {
        if std::mem::replace(&mut self.rang, true) {
            return;
        }
        self.written
            .event("call.ringing", json!({ "status": status }));
        let sip = self.services.line.sip();
        let _ = sip.ring(self.call, 180, None).await;
    }

    /// Lets the caller hear something before the answer (RFC 3960 §3.2); false where that cannot be,
    /// since it waits for our offer.
    pub(super) async fn open_early(&mut self, leg: LegId) -> bool {
        if self.early.is_some() {
            return true;
        }
        let Some(negotiated) = &self.negotiated else {
            return false;
        };
        let Some(half) = self.half.take() else {
            return false;
        };
        let attached = Attached {
            records_later: self.written.live.recording.is_recorded(),
            ..self.attached()
        };
        let line = &self.services.line;
        let opened = line.open(
            leg,
            half,
            negotiated.clone(),
            self.flow.remote.ip(),
            attached,
        );
        let leg = match opened {
            Ok(leg) => leg,
            Err(error) => {
                tracing::error!(%error, "a leg could not be opened");
                return false;
            }
        };
        self.rang = true;
        self.written.event("call.ringing", json!({ "status": 183 }));
        let _ = line.sip().ring(self.call, 183, Some(leg.sdp())).await;
        self.early = Some(leg);
        true
    }

    /// The leg of a caller who hears something before the answer.
    pub(super) fn early_leg(&self) -> Option<&Leg> {
        self.early.as_ref()
    }

    /// Waits until the caller gives up, somebody asks for the call's end, or its record cannot be kept:
    /// why, and the status that it is refused with then, where somebody still waits for one. Dropped
    /// before that, nothing is lost.
    pub(super) async fn ends(&mut self) -> (Option<u16>, EndReason) {
        loop {
            tokio::select! {
                signal = self.signals.recv() => match signal {
                    Some(Signal::Ended { cause: EndCause::Cancelled { reason } }) => {
                        let said = reason.as_deref().and_then(Cause::parse);
                        return (None, EndReason::Cancelled.said(said));
                    }
                    Some(Signal::Ended { .. }) | None => return (None, EndReason::Cancelled),
                    // What is heard before the answer does not change (RFC 3311 §5.2).
                    Some(Signal::Reoffer { .. }) => {
                        let sip = self.services.line.sip();
                        let _ = sip.answer_reoffer(self.call, Err(488)).await;
                    }
                    Some(_) => {}
                },
                control = self.controls.recv() => return (Some(480), end_reason_of(control)),
                () = self.kept.is_lost() => {
                    return (Some(503), EndReason::Failed(NOT_KEPT.to_owned()));
                }
            }
        }
    }

    fn attached(&self) -> Attached {
        Attached {
            leaves_tones: self.record.bridge.is_some(),
            ..Attached::default()
        }
    }

    /// Refuses the call, and writes that down.
    pub(super) async fn refuse(self, status: u16, reason: EndReason) {
        refuse_because(&self.services, self.call, status, &reason).await;
        self.written
            .end(&self.services, Over::because(reason))
            .await;
    }

    /// Writes down that the caller has given up.
    pub(super) async fn given_up(self, reason: EndReason) {
        self.written
            .end(&self.services, Over::because(reason))
            .await;
    }

    /// Answers, and starts the leg's media. None when the caller was faster, or somebody wanted the
    /// call's end: that is written down then.
    pub(super) async fn answer(mut self, leg: LegId) -> Option<PickedUp> {
        let opened = match self.settle().await {
            Ok(()) => self.open(leg),
            Err(reason) => Err(reason),
        };
        match opened {
            Ok((leg, path)) => Some(self.answered(leg, path)),
            Err(reason) => {
                let sip = self.services.line.sip();
                let _ = sip.hang_up(self.call, None).await;
                self.written
                    .end(&self.services, Over::because(reason))
                    .await;
                None
            }
        }
    }

    /// Sends the answer, once the record is kept, and waits for the caller's where the offer was ours.
    async fn settle(&mut self) -> Result<(), EndReason> {
        let kept = tokio::select! {
            kept = timeout(KEEPING, self.kept.is_kept()) => kept.unwrap_or(false),
            control = self.controls.recv() => return Err(end_reason_of(control)),
        };
        if !kept {
            refuse(&self.services, self.call, 503, NOT_KEPT).await;
            return Err(EndReason::Failed(NOT_KEPT.to_owned()));
        }
        let sdp = match (&self.early, &self.half) {
            (Some(leg), _) => leg.sdp(),
            (None, Some(half)) => half.sdp(),
            (None, None) => return Err(EndReason::Failed("its media is gone".to_owned())),
        };
        let sip = self.services.line.sip();
        if !matches!(sip.answer(self.call, sdp).await, Ok(true)) {
            return Err(EndReason::Cancelled);
        }
        if let (None, Some(half)) = (&self.negotiated, &self.half) {
            let answered = late_answer(half, &mut self.signals, &mut self.controls).await?;
            self.negotiated = Some(answered);
        }
        Ok(())
    }

    /// Starts the leg's media and its recording.
    fn open(&mut self, leg: LegId) -> Result<(Leg, Option<PathBuf>), EndReason> {
        let switch = &self.written.live.recording;
        let recording = self.services.begin_recording(self.record.id, switch);
        let (recorder, path) = recording.unzip();
        if let Some(mut leg) = self.early.take() {
            leg.answered().map_err(failed)?;
            if let Some(recorder) = recorder {
                let record = Command::Record(leg.id, recorder);
                leg.media.send(record).map_err(failed)?;
            }
            return Ok((leg, path));
        }
        let (Some(half), Some(negotiated)) = (self.half.take(), self.negotiated.take()) else {
            return Err(EndReason::Failed("its media is gone".to_owned()));
        };
        let attached = Attached {
            recorder,
            ..self.attached()
        };
        let line = &self.services.line;
        let opened = line.open(leg, half, negotiated, self.flow.remote.ip(), attached);
        Ok((opened.map_err(failed)?, path))
    }

    fn answered(self, leg: Leg, path: Option<PathBuf>) -> PickedUp {
        let Self {
            services,
            call,
            held,
            flow,
            signals,
            mut record,
            mut written,
            controls,
            ..
        } = self;
        let sip = services.line.sip().clone();
        let party = Party::new(sip, (call, held), flow, signals, leg);
        let far = record
            .bridge
            .as_ref()
            .and_then(|bridge| bridge.trunk.as_deref());
        let trunks = [record.trunk.as_deref(), far];
        let recorded = written.live.recording.is_recorded();
        let told = trunks.into_iter().flatten().filter(|_| recorded);
        let announcement = told.filter_map(|trunk| services.announcement(trunk)).next();
        written.answered(&services, &mut record, path);
        PickedUp {
            services,
            party,
            written,
            controls,
            announcement,
            came_to: None,
            last_words: None,
        }
    }
}

fn failed(error: impl std::fmt::Display) -> EndReason {
    EndReason::Failed(error.to_string())
}

/// A call that was answered without an agent, or that an agent has given away.
pub(super) struct PickedUp {
    pub(super) services: Arc<Services>,
    pub(super) party: Party,
    pub(super) written: Written,
    pub(super) controls: mailbox::Receiver<Control>,
    /// What those are told who are recorded.
    pub(super) announcement: Option<String>,
    /// What has come of it so far, where that is more than how it will end.
    pub(super) came_to: Option<&'static str>,
    /// What an agent has still to do that has given it away: that is written down before the end.
    pub(super) last_words: Option<JoinHandle<()>>,
}

/// How a call that no agent took has ended.
pub(super) struct Over {
    pub(super) reason: EndReason,
    /// What came of it, where that is more than how it ended.
    pub(super) outcome: Option<&'static str>,
    /// What was measured on the other side of a bridge.
    pub(super) far: Option<MediaSummary>,
}

impl Over {
    pub(super) fn because(reason: EndReason) -> Self {
        Self {
            reason,
            outcome: None,
            far: None,
        }
    }
}

impl PickedUp {
    /// Tells whoever has answered, and the other ones, that they are recorded, where a trunk wants
    /// them told. They hear each other meanwhile.
    pub(super) fn announce(&self, others: &[&Leg]) {
        if let Some(text) = &self.announcement {
            for leg in std::iter::once(&&self.party.leg).chain(others) {
                let recording = self.written.live.recording.clone();
                self.services.announce(text, leg, recording);
            }
        }
    }

    /// Closes the media and writes the end down.
    pub(super) async fn end(mut self, over: Over) {
        let media = self.party.measured().await;
        if let Some(last_words) = self.last_words {
            let _ = last_words.await;
        }
        let over = Over {
            outcome: over.outcome.or(self.came_to),
            ..over
        };
        self.written.end_with(&self.services, over, media).await;
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

    async fn end(self, services: &Services, over: Over) {
        self.end_with(services, over, None).await;
    }

    async fn end_with(mut self, services: &Services, over: Over, media: Option<MediaSummary>) {
        self.state.handle_end(clock::now(), over.reason);
        let ending = Ending {
            call: self.state,
            media,
            far: over.far,
            outcome: over.outcome.map(str::to_owned),
            epoch: self.epoch,
        };
        ending.write(services, self.journal).await;
        drop(self.live);
    }

    /// Keeps what is heard off the recording, or lets it go on; what the API paused stays paused.
    pub(super) fn record(&self, record: bool) {
        let switch = &self.live.recording;
        match record {
            true => switch.resume(PausedBy::Flow),
            false => switch.pause(PausedBy::Flow),
        };
    }

    /// What is wanted of the call from outside.
    pub(super) fn wishes(&self) -> watch::Receiver<Wishes> {
        self.live.wishes()
    }

    /// Tells who watches that something happened now.
    pub(super) fn event(&self, kind: &'static str, data: serde_json::Value) {
        let at = self.epoch.timestamp(clock::now());
        self.journal.event(kind, at, data);
    }
}
