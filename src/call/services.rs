//! What every call of the switch shares.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use offhook_media::music::Background;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::dialogs::{Dialogs, Given};
use super::line::Line;
use super::places::{Permit, Places};
use super::recording::{Recorder, RecordingSwitch};
use super::refer_out::Dialog;
use super::room::Rooms;
use super::supervise::Talking;
use super::task::{Control, Wishes};
use super::trunk_load::TrunkLoads;
use super::trunk_states::TrunkStates;
use crate::agent::flow::Flow;
use crate::ai::OnBox;
use crate::ai::hearing::Listening;
use crate::ai::llm::LlmClient;
use crate::clock::FreshEpoch;
use crate::config::{AgentConfig, Config};
use crate::crm::Sinks;
use crate::http::events::{Data, Event, EventBus};
use crate::mailbox::{self, mailbox};
use crate::net::media::LegId;
use crate::net::resolver::SharedResolver;
use crate::store::outbox::OutboxItem;
use crate::store::{Appointment, CallRecord, EventRecord, Store, StoreError};
use crate::switch::{Number, Registrar, RouteTable, TrunkTable};

/// Hang-up requests that may wait for one call.
const CONTROLS: usize = 4;

/// An agent that calls can be given to.
pub struct AgentSpec {
    /// Its configuration.
    pub config: AgentConfig,
    /// Its flow, checked.
    pub flow: Arc<Flow>,
    /// Where the flow was read from.
    pub source: String,
    /// What is heard softly behind it.
    pub ambience: Option<Background>,
}

/// What every call of the switch shares.
pub struct Services {
    /// The configuration.
    pub config: Arc<Config>,
    /// SIP, media, ports.
    pub line: Arc<Line>,
    /// The on-box models, once they are loaded.
    pub on_box: OnceLock<Arc<OnBox>>,
    /// Why they could not be loaded.
    pub on_box_failed: OnceLock<String>,
    /// The agents by name.
    pub agents: BTreeMap<String, Arc<AgentSpec>>,
    /// Which agent answers what.
    pub routes: RouteTable,
    /// The trunks.
    pub trunks: TrunkTable,
    /// The database.
    pub store: Store,
    /// Where the CRM hears of calls.
    pub sinks: Arc<Sinks>,
    /// Live events.
    pub bus: EventBus,
    /// The LLM, when one is configured.
    pub llm: Option<LlmClient>,
    /// Connections of the flows' web requests.
    pub http: reqwest::Client,
    /// Writes recordings, when they are wanted.
    pub recorder: Option<Recorder>,
    /// Tells the wall clock's time; a call has an [`Epoch`](crate::clock::Epoch) of its own.
    pub epoch: FreshEpoch,
    /// Hears of each turn, such as the demonstration's terminal.
    pub watcher: Option<Arc<dyn Watcher>>,
    /// What the trunks carry.
    pub trunk_loads: Arc<TrunkLoads>,
    /// How the trunks stand.
    pub trunk_states: Arc<TrunkStates>,
    /// Calls that may still be taken on.
    pub places: Arc<Places>,
    /// What must come to its end before the store is closed, such as deliveries in flight.
    pub background: TaskTracker,
    live: Mutex<HashMap<Uuid, LiveCall>>,
    /// The conference rooms.
    pub(super) rooms: Arc<Rooms>,
    /// The bridged calls by their dialogs.
    pub(super) dialogs: Dialogs,
    registrar: Mutex<Registrar>,
    /// What calls' hosts are looked up with.
    pub(super) resolver: SharedResolver,
}

/// A call that can be reached.
pub(super) struct LiveCall {
    /// Takes requests from outside.
    pub(super) control: mailbox::Sender<Control>,
    /// Whether it is recorded.
    recording: RecordingSwitch,
    /// What is wanted of it.
    pub(super) wishes: watch::Sender<Wishes>,
    /// Who calls, or whom we have called, as a person may see it who takes the call over, as a
    /// name-addr.
    pub(super) shown: Option<String>,
    /// Whom a call that came over a trunk was for, the last of them first.
    pub(super) called: Vec<Number>,
    /// Its dialog, once an agent talks on it.
    pub(super) dialog: Option<Dialog>,
    /// Its leg, once an agent talks on it.
    pub(super) talking: Option<Talking>,
    /// Who takes it over from its agent, until that one lets go.
    pub(super) taker: Option<Box<Given>>,
    /// Whether somebody is there who could be held.
    pub(super) may_be_held: bool,
}

/// Watches conversations as they happen.
pub trait Watcher: Send + Sync {
    /// A call was answered.
    fn answered(&self, record: &CallRecord);
    /// A turn was written down.
    fn turn(&self, call: Uuid, turn: &crate::agent::TurnRecord);
    /// A call is over.
    fn ended(&self, record: &CallRecord);
}

/// Everything that services are made from.
pub struct ServiceParts {
    /// The configuration.
    pub config: Arc<Config>,
    /// SIP, media, ports.
    pub line: Arc<Line>,
    /// The agents by name.
    pub agents: BTreeMap<String, Arc<AgentSpec>>,
    /// The trunks.
    pub trunks: TrunkTable,
    /// The database.
    pub store: Store,
    /// Where the CRM hears of calls.
    pub sinks: Arc<Sinks>,
    /// Live events.
    pub bus: EventBus,
    /// The LLM, when one is configured.
    pub llm: Option<LlmClient>,
    /// Connections of the flows' web requests.
    pub http: reqwest::Client,
    /// Writes recordings, when they are wanted.
    pub recorder: Option<Recorder>,
    /// Hears of each turn.
    pub watcher: Option<Arc<dyn Watcher>>,
}

/// A place among the calls that are allowed, with ears for the call's leg.
pub struct Place {
    /// Given back when the call is over.
    pub(super) permit: Permit,
    /// The leg's name.
    pub(super) leg: LegId,
    /// What hears it.
    pub(super) listening: Listening,
}

impl Services {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: ServiceParts) -> Self {
        let names = parts.agents.keys().cloned().collect();
        let routes = RouteTable::new(parts.config.routes.clone(), names);
        let (limits, ports) = (&parts.config.limits, &parts.config.media.ports);
        let places = Places::new(limits.max_calls, limits.max_cps, ports.pairs());
        let trunk_loads = TrunkLoads::new(&parts.config.trunks);
        let bus = parts.bus.clone();
        // From there, so that what is published is kept already, and in the order of its numbers.
        parts
            .store
            .on_event(move |event| bus.publish_numbered(published(event)));
        Self {
            config: parts.config,
            line: parts.line,
            on_box: OnceLock::new(),
            on_box_failed: OnceLock::new(),
            agents: parts.agents,
            routes,
            trunks: parts.trunks,
            store: parts.store,
            sinks: parts.sinks,
            bus: parts.bus,
            llm: parts.llm,
            http: parts.http,
            recorder: parts.recorder,
            epoch: FreshEpoch,
            watcher: parts.watcher,
            trunk_loads,
            trunk_states: Arc::default(),
            resolver: SharedResolver::default(),
            places,
            background: TaskTracker::new(),
            live: Mutex::default(),
            rooms: Arc::default(),
            dialogs: Dialogs::default(),
            registrar: Mutex::default(),
        }
    }

    /// Takes the models in; false when there were some already.
    pub fn models_loaded(&self, on_box: Arc<OnBox>) -> bool {
        let taken = self.on_box.set(on_box).is_ok();
        self.places.look_again();
        taken
    }

    /// Takes no calls from now on, since the switch stops.
    pub fn stop_taking(&self) {
        self.places.close();
    }

    /// Makes a call by this trunk reachable until its [`Live`] is dropped: it can be ended, and its
    /// recording paused. While the switch stops it is asked to end at once.
    #[must_use]
    pub fn go_live(
        self: &Arc<Self>,
        id: Uuid,
        trunk: Option<&str>,
    ) -> (Live, mailbox::Receiver<Control>) {
        self.make_live(id, self.records(trunk))
    }

    /// Does the same for a call without an agent, over the trunks of its parties. Where one of them
    /// is not to be recorded, or is to be told and no voice is there to tell it, it is not recorded.
    pub(super) fn go_live_between<'t>(
        self: &Arc<Self>,
        id: Uuid,
        mut trunks: impl Iterator<Item = &'t str>,
    ) -> (Live, mailbox::Receiver<Control>) {
        self.make_live(id, trunks.all(|trunk| self.may_record(trunk)))
    }

    fn make_live(self: &Arc<Self>, id: Uuid, recorded: bool) -> (Live, mailbox::Receiver<Control>) {
        let (control, controls) = mailbox(CONTROLS);
        let recording = RecordingSwitch::new(recorded);
        let wishes = watch::Sender::new(Wishes::default());
        let live = LiveCall {
            control: control.clone(),
            recording: recording.clone(),
            wishes: wishes.clone(),
            shown: None,
            called: Vec::new(),
            dialog: None,
            talking: None,
            taker: None,
            may_be_held: false,
        };
        self.live_calls().insert(id, live);
        // After the insertion: whoever comes too late for `end_all` sees here that it has begun.
        if self.places.is_closed() {
            let _ = control.try_send(Control::Shutdown);
        }
        (
            Live {
                services: Arc::clone(self),
                id,
                recording,
                wishes,
            },
            controls,
        )
    }

    /// Asks a call to end; false when it is not running.
    #[must_use]
    pub fn hang_up(&self, id: Uuid) -> bool {
        let calls = self.live_calls();
        calls
            .get(&id)
            .is_some_and(|call| call.control.try_send(Control::HangUp).is_ok())
    }

    /// Asks every call to end, since the switch stops.
    pub fn end_all(&self) {
        for call in self.live_calls().values() {
            let _ = call.control.try_send(Control::Shutdown);
        }
    }

    /// What pauses the recording of a running call; none when it is not running.
    #[must_use]
    pub fn recording_switch(&self, id: Uuid) -> Option<RecordingSwitch> {
        let calls = self.live_calls();
        calls.get(&id).map(|call| call.recording.clone())
    }

    /// Whether calls by a trunk, or by none, are recorded.
    #[must_use]
    pub fn records(&self, trunk: Option<&str>) -> bool {
        let trunk = trunk.and_then(|name| self.config.trunk(name));
        self.recorder.is_some() && trunk.is_none_or(|trunk| trunk.record)
    }

    /// Whether a trunk's calls are recorded that no agent talks on: who is to be told can be.
    pub(super) fn may_record(&self, trunk: &str) -> bool {
        let can_tell = self.announcement(trunk).is_none() || self.on_box.get().is_some();
        self.records(Some(trunk)) && can_tell
    }

    /// What a trunk's calls hear first, because they are recorded.
    #[must_use]
    pub fn announcement(&self, trunk: &str) -> Option<String> {
        self.config.trunk(trunk)?.recording_announcement.clone()
    }

    /// How many calls are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.live_calls().len()
    }

    /// Whether the switch is being stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.places.is_closed()
    }

    pub(super) fn live_calls(&self) -> MutexGuard<'_, HashMap<Uuid, LiveCall>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the users' phones can be reached.
    pub fn registrar(&self) -> MutexGuard<'_, Registrar> {
        self.registrar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an event; the store's writer publishes it to whoever watches.
    ///
    /// # Errors
    /// When it could not be kept.
    pub async fn publish(&self, event: EventRecord) -> Result<(), StoreError> {
        self.store.append_event(event).await.map(|_| ())
    }

    /// What the CRM must hear of a booking.
    #[must_use]
    pub fn plan_booking(&self, record: &CallRecord, appointment: &Appointment) -> Vec<OutboxItem> {
        self.sinks.plan_booked(record, appointment)
    }

    /// What the CRM must hear of a call that has ended: nothing of one that no agent had.
    #[must_use]
    pub fn plan_end(&self, record: &CallRecord, appointments: &[Appointment]) -> Vec<OutboxItem> {
        if record.agent.is_none() {
            return Vec::new();
        }
        self.sinks.plan_finished(record, appointments)
    }

    /// Where the recording of a call goes, when it is wanted.
    #[must_use]
    pub fn recording_path(&self, id: Uuid) -> Option<PathBuf> {
        let media = &self.config.media;
        let name = format!("{id}.{}", media.recording_format.extension());
        media.recordings.as_ref().map(|folder| folder.join(name))
    }
}

/// Keeps a call reachable while it runs.
pub struct Live {
    services: Arc<Services>,
    id: Uuid,
    /// What pauses its recording.
    pub(super) recording: RecordingSwitch,
    wishes: watch::Sender<Wishes>,
}

impl Live {
    /// What is wanted of the call from outside.
    pub(super) fn wishes(&self) -> watch::Receiver<Wishes> {
        let mut wishes = self.wishes.subscribe();
        // What was wanted before somebody could hear of it is wanted still.
        wishes.mark_changed();
        wishes
    }

    /// Forgets what was wanted of whoever talked on the call before.
    pub(super) fn forget_wishes(&self) {
        self.wishes.send_replace(Wishes::default());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.services.live_calls().remove(&self.id);
    }
}

/// An event as those who watch see it, live or from the store.
#[must_use]
pub fn published(event: &EventRecord) -> Event {
    Event {
        id: u64::try_from(event.id).unwrap_or(0),
        kind: event.kind.clone(),
        call_id: event.call_id.map(|id| id.to_string()),
        at: format!("{:.3}", event.at),
        data: Data::new(&event.data),
    }
}

/// Flow variables of a call, from JSON.
#[must_use]
pub fn variables(from: impl IntoIterator<Item = (String, Value)>) -> crate::agent::Variables {
    let mut variables = crate::agent::Variables::new();
    for (name, value) in from {
        variables.insert(name, value);
    }
    variables
}
