//! What is written down of a call, as it happens: the record and its turns in the store, events
//! for whoever watches. A task of its own, so that a slow disk never holds the conversation up.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

use super::outbound::Whose;
use super::services::Services;
use super::turn_log::TurnLog;
use crate::agent::{self, Variables};
use crate::clock;
use crate::mailbox::{self, mailbox};
use crate::store::{
    Appointment, Bridge, CallRecord, CallState, CallUpdate, EventRecord, MediaSummary, Store,
    StoreError, TurnLatency, TurnRecord, Who,
};

/// Entries that may wait for the disk; a call that writes more loses the oldest news, never its
/// final record.
const ENTRIES: usize = 512;

enum Entry {
    Event(&'static str, Timestamp, Value),
    Answered(Timestamp),
    Turn(Box<TurnRecord>),
    Variables(Map<String, Value>),
    Recording(std::path::PathBuf),
    Over(Option<String>, String),
    LeftTo(String),
    Bridged(Whose),
    Transferred(Box<Bridge>),
    Book(Box<Appointment>, oneshot::Sender<Result<(), String>>),
    Finish(Box<Final>, oneshot::Sender<CallRecord>),
}

/// How a call ended, for its record.
pub struct Final {
    /// `completed`, `busy`, …
    pub state: CallState,
    /// When.
    pub ended_at: Timestamp,
    /// What came of it.
    pub outcome: String,
    /// Why it ended, in words.
    pub reason: String,
    /// What the media measured.
    pub media: Option<MediaSummary>,
    /// What it measured on the other side of a bridge.
    pub far: Option<MediaSummary>,
}

/// Writes one call down. Cloning is cheap.
#[derive(Clone)]
pub struct Journal {
    /// The call's identifier.
    pub id: Uuid,
    entries: mailbox::Sender<Entry>,
}

impl Journal {
    /// Starts the journal of a call whose record is in the store already.
    #[must_use]
    pub fn start(services: &Arc<Services>, record: CallRecord) -> Self {
        let (entries, queue) = mailbox(ENTRIES);
        let id = record.id;
        let writer = Writer::new(services, record);
        tokio::spawn(writer.run(queue).in_current_span());
        Self { id, entries }
    }

    /// Starts the journal of a call whose record it keeps first of all, and gives what tells whether
    /// it is kept. Nothing is written of a call whose record is not.
    pub(super) fn begin(services: &Arc<Services>, record: CallRecord) -> (Self, Kept) {
        let (entries, mut queue) = mailbox(ENTRIES);
        let (tell, kept) = oneshot::channel();
        let id = record.id;
        let writer = Writer::new(services, record);
        let writing = async move {
            let record = writer.record.clone();
            let written = Box::pin(writer.store().insert_call(record)).await;
            let is_kept = written.is_ok();
            // Who has hung up does not wait for it.
            let _ = tell.send(written);
            if is_kept {
                return writer.run(queue).await;
            }
            while queue.recv().await.is_some() {}
        };
        tokio::spawn(writing.in_current_span());
        (Self { id, entries }, Kept::Waiting(kept))
    }

    /// Tells who watches that something happened.
    pub fn event(&self, kind: &'static str, at: Timestamp, data: Value) {
        self.enter(Entry::Event(kind, at, data));
    }

    /// Writes the answer down.
    pub fn answered(&self, at: Timestamp) {
        self.enter(Entry::Answered(at));
    }

    /// Writes a turn down.
    pub fn turn(&self, turn: agent::TurnRecord) {
        self.enter(Entry::Turn(Box::new(stored_turn(turn))));
    }

    /// Writes down what is known now.
    pub fn variables(&self, variables: &Variables) {
        self.enter(Entry::Variables(stored_variables(variables)));
    }

    /// Writes down where the recording lies.
    pub fn recording(&self, path: std::path::PathBuf) {
        self.enter(Entry::Recording(path));
    }

    /// Writes down over which trunk a call goes after all, and what it shows of who calls.
    pub(super) fn over(&self, trunk: Option<String>, from: String) {
        self.enter(Entry::Over(trunk, from));
    }

    /// Writes down that an agent takes a call that nobody else has.
    pub(super) fn left_to(&self, agent: String) {
        self.enter(Entry::LeftTo(agent));
    }

    /// Writes down who of those who were called has answered.
    pub(super) fn bridged(&self, whose: Whose) {
        self.enter(Entry::Bridged(whose));
    }

    /// Writes down who has taken the call over from its agent.
    pub(super) fn transferred(&self, bridge: Bridge) {
        self.enter(Entry::Transferred(Box::new(bridge)));
    }

    /// Writes an appointment down, together with the delivery that tells the CRM.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn book(&self, appointment: Appointment) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let gone = |_| "the call's journal has ended".to_owned();
        let entry = Entry::Book(Box::new(appointment), reply);
        self.entries.send(entry).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }

    /// Writes the end down and waits until it is kept, together with what the CRM must hear.
    pub async fn finish(self, end: Final) -> Option<CallRecord> {
        let (reply, answer) = oneshot::channel();
        self.entries
            .send(Entry::Finish(Box::new(end), reply))
            .await
            .ok()?;
        answer.await.ok()
    }

    fn enter(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            tracing::warn!("a call's journal does not keep up: an entry is lost");
        }
    }
}

/// Whether a call's record is kept.
pub(super) enum Kept {
    Waiting(oneshot::Receiver<Result<(), StoreError>>),
    Known(bool),
}

impl Kept {
    /// Waits until it is known whether it is. Dropped before that, nothing is lost.
    pub(super) async fn is_kept(&mut self) -> bool {
        let kept = match self {
            Self::Known(kept) => return *kept,
            Self::Waiting(written) => match written.await {
                Ok(Err(error)) => {
                    tracing::error!(%error, "a call's record was not kept: it is refused");
                    false
                }
                written => written.is_ok(),
            },
        };
        *self = Self::Known(kept);
        kept
    }

    /// Waits until it is known that it is not: for ever where it is.
    pub(super) async fn is_lost(&mut self) {
        if self.is_kept().await {
            std::future::pending::<()>().await;
        }
    }
}

struct Writer {
    services: Arc<Services>,
    /// Without its turns, which are apart until it is whole.
    record: CallRecord,
    turns: TurnLog,
    /// Whether an appointment was made in it, which its end tells of.
    booked: bool,
    /// Whether the end was written down.
    ended: bool,
}

impl Writer {
    fn new(services: &Arc<Services>, record: CallRecord) -> Self {
        Self {
            services: Arc::clone(services),
            record,
            turns: TurnLog::default(),
            booked: false,
            ended: false,
        }
    }

    async fn run(mut self, mut queue: mailbox::Receiver<Entry>) {
        while let Some(entry) = queue.recv().await {
            // Apart: a call has its journal's task for as long as it lasts, and writes for moments.
            if let Err(error) = Box::pin(self.write(entry)).await {
                tracing::error!(%error, "a call's record was not kept");
            }
        }
        if !self.ended {
            Box::pin(self.write_lost()).await;
        }
    }

    /// Closes the record of a call whose task went without a word, which only a fault makes it do.
    async fn write_lost(&mut self) {
        tracing::error!("a call's task failed: its record is closed as it is");
        let end = Final {
            state: CallState::Failed,
            ended_at: self.now(),
            outcome: "failed".to_owned(),
            reason: "the call's task failed: this is a fault of the switch, its log tells more"
                .to_owned(),
            media: None,
            far: None,
        };
        if let Err(error) = self.write_end(end).await {
            tracing::error!(%error, "a call's record was not kept");
        }
    }

    fn now(&self) -> Timestamp {
        self.services.epoch.timestamp(clock::now())
    }

    fn store(&self) -> &Store {
        &self.services.store
    }

    async fn write(&mut self, entry: Entry) -> Result<(), StoreError> {
        let id = self.record.id;
        match entry {
            // Nothing comes after a call's end.
            Entry::Event(..) if self.ended => Ok(()),
            Entry::Event(kind, at, data) => self.publish(kind, at, data).await,
            Entry::Answered(at) => {
                self.record.state = CallState::InProgress;
                self.record.answered_at = Some(at);
                let update = CallUpdate {
                    state: Some(CallState::InProgress),
                    answered_at: Some(at),
                    ..CallUpdate::default()
                };
                self.store().update_call(id, update, at).await?;
                let data = json!({ "from": self.record.from, "to": self.record.to });
                self.publish("call.answered", at, data).await
            }
            Entry::Turn(turn) => self.write_turn(*turn).await,
            Entry::Variables(variables) => {
                self.record.variables = variables.clone();
                let update = CallUpdate {
                    variables: Some(variables),
                    ..CallUpdate::default()
                };
                self.store().update_call(id, update, self.now()).await
            }
            Entry::Over(trunk, from) => {
                (self.record.trunk, self.record.from) = (trunk.clone(), from);
                let update = CallUpdate {
                    trunk,
                    ..CallUpdate::default()
                };
                self.store().update_call(id, update, self.now()).await
            }
            Entry::LeftTo(agent) => {
                (self.record.agent, self.record.bridge) = (Some(agent.clone()), None);
                let update = CallUpdate {
                    agent: Some(agent),
                    ..CallUpdate::default()
                };
                self.store().update_call(id, update, self.now()).await
            }
            Entry::Bridged(Whose { trunk, user }) => {
                if let Some(bridge) = &mut self.record.bridge {
                    (bridge.trunk, bridge.user) = (trunk, user);
                }
                self.write_bridge().await
            }
            Entry::Transferred(bridge) => {
                self.record.bridge = Some(*bridge);
                self.write_bridge().await
            }
            Entry::Recording(path) => self.store().set_recording(id, &path).await,
            Entry::Book(appointment, reply) => {
                let kept = self.write_appointment(*appointment).await;
                let _ = reply.send(kept.map_err(|error| error.to_string()));
                Ok(())
            }
            Entry::Finish(end, reply) => {
                let kept = self.write_end(*end).await;
                let _ = reply.send(self.record.clone());
                kept
            }
        }
    }

    async fn write_bridge(&self) -> Result<(), StoreError> {
        let update = CallUpdate {
            bridge: self.record.bridge.clone(),
            ..CallUpdate::default()
        };
        let store = self.store();
        store.update_call(self.record.id, update, self.now()).await
    }

    async fn write_turn(&mut self, turn: TurnRecord) -> Result<(), StoreError> {
        let seq = u32::try_from(self.turns.len()).unwrap_or(u32::MAX);
        let data = serde_json::to_value(&turn).unwrap_or_default();
        let at = turn.started_at;
        self.turns.push(&turn);
        self.store()
            .append_turn(self.record.id, seq, turn, self.now())
            .await?;
        self.publish("call.turn", at, data).await
    }

    async fn write_appointment(&mut self, appointment: Appointment) -> Result<(), StoreError> {
        let record = CallRecord {
            turns: self.turns.records(),
            ..self.record.clone()
        };
        let items = self.services.plan_booking(&record, &appointment);
        let at = appointment.created_at;
        let data = serde_json::to_value(&appointment).unwrap_or_default();
        self.booked = true;
        self.store().book_appointment(appointment, items).await?;
        self.publish("appointment.booked", at, data).await
    }

    async fn write_end(&mut self, end: Final) -> Result<(), StoreError> {
        self.ended = true;
        self.record.turns = self.turns.records();
        self.record.state = end.state;
        self.record.ended_at = Some(end.ended_at);
        self.record.outcome = Some(end.outcome);
        self.record.reason = Some(end.reason);
        self.record.media = end.media;
        if let Some(bridge) = &mut self.record.bridge {
            bridge.media = end.far;
        }
        let appointments = match self.booked {
            true => self.store().call_appointments(self.record.id).await,
            // Most calls make none: nothing needs to be read.
            false => Ok(Vec::new()),
        };
        let appointments = appointments.unwrap_or_default();
        let items = self.services.plan_end(&self.record, &appointments);
        let event = self.record.ended_event();
        let record = self.record.clone();
        self.store().end_call(record, items, event).await
    }

    async fn publish(&self, kind: &str, at: Timestamp, data: Value) -> Result<(), StoreError> {
        self.services
            .publish(EventRecord {
                id: 0,
                call_id: Some(self.record.id),
                kind: kind.to_owned(),
                at,
                data,
            })
            .await
    }
}

pub(crate) fn stored_turn(turn: agent::TurnRecord) -> TurnRecord {
    TurnRecord {
        who: match turn.who {
            agent::Who::Caller => Who::Caller,
            agent::Who::Agent => Who::Agent,
        },
        text: turn.text,
        heard_text: turn.heard_text,
        started_at: turn.started_at,
        latency: TurnLatency {
            endpoint_ms: turn.latency.endpoint_ms,
            stt_ms: turn.latency.stt_ms,
            llm_first_token_ms: turn.latency.llm_first_token_ms,
            tts_first_audio_ms: turn.latency.tts_first_audio_ms,
            voice_to_voice_ms: turn.latency.voice_to_voice_ms,
        },
        interrupted: turn.interrupted,
    }
}

pub(crate) fn stored_variables(variables: &Variables) -> Map<String, Value> {
    variables
        .iter()
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}
