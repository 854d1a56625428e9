//! The switch as the HTTP API sees it.

mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use offhook_sip::Transport;
use serde_json::{Value, json};
use uuid::Uuid;

use self::words::{
    answered_before, called, check_headers, cursor_error, internal, mode, nearest, page, parse_id,
    supervise_error,
};
use crate::archive::StoreArchive;
use crate::call::{self, Busy, CalleeError, Callees, Outbound, PausedBy, Person, Services, Wanted};
use crate::clock;
use crate::http::{
    Api, ApiError, CallCreated, CallQuery, Check, Direction, Idempotency, NewCall, OutboxQuery,
    OutboxState, Page, PageQuery, Readiness, Supervise, SupervisorMode, Transfer,
};
use crate::http::{EventFilter, EventStream, replay};
use crate::store::{
    self, CallFilter, CallRecord, CallState, EventRecord, Health, IdempotencyKey, Recording,
    StoreError,
};
use crate::switch::{DialError, Hop};
use crate::switchboard::own_host;

/// The running switch behind the API.
#[derive(Clone)]
pub struct Backend(pub Arc<Services>);

impl Backend {
    fn busy(&self, busy: &Busy) -> ApiError {
        let usual = self.0.config.limits.retry_after_s;
        let retry_after_s = busy.retry_after_s().unwrap_or(usual);
        match busy {
            Busy::Full(max_calls) => ApiError::TooManyCalls {
                max_calls: *max_calls,
                retry_after_s,
            },
            other => ApiError::Unavailable {
                reason: other.to_string(),
                retry_after_s,
            },
        }
    }

    fn dial_error(&self, error: &DialError) -> ApiError {
        let field = match error {
            DialError::UnknownTrunk(name, _) => {
                let names = self
                    .0
                    .trunks
                    .trunks()
                    .iter()
                    .map(|trunk| trunk.name.as_str());
                let nearest = nearest(name, names);
                return ApiError::UnknownTrunk {
                    name: name.clone(),
                    nearest,
                };
            }
            DialError::InboundOnly(_) | DialError::NoTrunk => "trunk",
            DialError::BadTarget(_) | DialError::NotOnTrunk(_) => "to",
            DialError::BadCaller(_) => "from",
        };
        ApiError::Invalid {
            field: field.to_owned(),
            message: error.to_string(),
        }
    }

    /// Finds whom to call.
    fn callees(&self, wanted: Wanted<'_>) -> Result<Callees, ApiError> {
        self.0.callees(wanted).map_err(|error| match error {
            CalleeError::Dial(error) => self.dial_error(&error),
            error @ (CalleeError::NoPhone(_) | CalleeError::Rejected(..)) => {
                ApiError::Conflict(error.to_string())
            }
        })
    }

    /// Finds whom to call for a call that goes on, in its agent's name.
    fn callees_for(&self, record: &CallRecord, to: &str) -> Result<Callees, ApiError> {
        self.callees(Wanted {
            to,
            by: record.agent.as_deref().unwrap_or_default(),
            ..Wanted::default()
        })
    }

    fn store_error(&self, error: StoreError) -> ApiError {
        match error {
            StoreError::Unavailable(reason) => self.busy(&Busy::Store(reason)),
            other => internal(other),
        }
    }

    /// Finds a call that goes on.
    async fn going_on(&self, id: &str) -> Result<CallRecord, ApiError> {
        let record = self.record(id).await?;
        match record.state.is_final() {
            true => Err(ApiError::AlreadyEnded { id: id.to_owned() }),
            false => Ok(record),
        }
    }

    /// Finds a call that goes on between two, a caller and an agent or a called person.
    async fn of_two(&self, id: &str) -> Result<CallRecord, ApiError> {
        let record = self.going_on(id).await?;
        if record.room.is_some() {
            let message = format!(
                "call {id} is in a conference room: nobody is held or supervised there; a phone \
                 joins it by calling the room"
            );
            return Err(ApiError::Conflict(message));
        }
        Ok(record)
    }

    async fn record(&self, id: &str) -> Result<CallRecord, ApiError> {
        let found = self
            .0
            .store
            .call(parse_id("call", id)?)
            .await
            .map_err(internal)?;
        found.ok_or_else(|| ApiError::NotFound {
            what: "call",
            id: id.to_owned(),
        })
    }
}

impl Api for Backend {
    async fn ready(&self) -> Readiness {
        let services = &self.0;
        let check = |name: &str, ok: bool, detail: String| Check {
            name: name.to_owned(),
            ok,
            detail,
        };
        let listeners: Vec<String> = services
            .line
            .sip()
            .listeners()
            .iter()
            .map(|(t, a)| format!("{t:?} {a}"))
            .collect();
        let store = match services.store.health() {
            Health::Spilling { reason, .. } => check("store", false, reason),
            _ => check("store", true, "records are kept".to_owned()),
        };
        let models = services.on_box.get().is_some();
        let detail = match services.on_box_failed.get() {
            Some(reason) => reason.as_str(),
            None if models => "loaded",
            None => "loading",
        };
        let stopping = services.places.is_closed();
        Readiness {
            checks: vec![
                check("sip", !stopping, listeners.join(", ")),
                store,
                check(
                    "models",
                    models || services.agents.is_empty(),
                    detail.to_owned(),
                ),
            ],
        }
    }

    async fn create_call(
        &self,
        call: NewCall,
        key: Option<Idempotency>,
    ) -> Result<CallCreated, ApiError> {
        let services = &self.0;
        let key = key.map(|key| IdempotencyKey::new(key.key, key.fingerprint.as_bytes()));
        // Before all else: what was taken on stays so, also when the switch has become full since.
        if let Some(key) = &key {
            let before = services.store.created_before(key).await;
            if let Some(answer) = before.map_err(internal)?.and_then(answered_before) {
                return answer;
            }
        }
        let Some(agent) = services.agents.get(&call.agent) else {
            let nearest = nearest(&call.agent, services.agents.keys().map(String::as_str));
            return Err(ApiError::UnknownAgent {
                name: call.agent,
                nearest,
            });
        };
        check_headers(&call.headers)?;
        let mut callees = self.callees(Wanted {
            to: &call.to,
            by: &call.agent,
            trunk: call.trunk.as_deref(),
            from: call.from.as_deref(),
        })?;
        let to = called(&call.to);
        let mut place = services.take_place(&agent.config, callees.places(), None);
        if matches!(place, Err(Busy::NoPorts)) {
            callees.keep_best();
            place = services.take_place(&agent.config, callees.places(), None);
        }
        let (place, on_box) = place.map_err(|busy| self.busy(&busy))?;
        let taken = callees.take_trunk(services);
        taken.map_err(|busy| self.busy(&busy))?;
        let ours = || {
            let own = || format!("sip:offhook@{}", own_host(services));
            call.from.clone().unwrap_or_else(own)
        };
        let mut record = CallRecord::new(
            Uuid::now_v7(),
            store::Direction::Outbound,
            callees.shows().unwrap_or_else(ours),
            to.clone(),
            CallState::Queued,
            services.epoch.timestamp(clock::now()),
        );
        record.agent = Some(call.agent);
        record.trunk = callees.trunk().map(str::to_owned);
        let mut variables = call::outbound_facts(&to);
        variables.extend(call.variables);
        record.variables = variables.iter().cloned().collect();
        let id = record.id;
        let at = record.started_at;
        // Before anybody can know of it: who ends it at once is heard.
        let live = services.go_live(id, record.trunk.as_deref());
        let stored = services.store.create_call(record.clone(), key, at).await;
        let stored = stored.map_err(|error| self.store_error(error))?;
        if let Some(answer) = answered_before(stored) {
            return answer;
        }
        let agent = Arc::clone(agent);
        let outbound = Outbound {
            record,
            agent,
            callees,
            variables,
            place,
            on_box,
            live,
            headers: call.headers.into_iter().collect(),
        };
        tokio::spawn(call::place(Arc::clone(services), outbound));
        Ok(CallCreated {
            id: id.to_string(),
            replayed: false,
        })
    }

    async fn call(&self, id: &str) -> Result<Value, ApiError> {
        serde_json::to_value(self.record(id).await?).map_err(internal)
    }

    async fn calls(&self, query: CallQuery) -> Result<Page, ApiError> {
        let state = query.state.as_deref().map(str::parse).transpose();
        let state = state.map_err(|_| ApiError::Invalid {
            field: "state".to_owned(),
            message:
                "is none of queued, ringing, in-progress, completed, failed, busy, no-answer, \
                      canceled"
                    .to_owned(),
        })?;
        let direction = query.direction.map(|direction| match direction {
            Direction::Inbound => store::Direction::Inbound,
            Direction::Outbound => store::Direction::Outbound,
        });
        let filter = CallFilter {
            state,
            direction,
            ..CallFilter::default()
        };
        let cursor = query.page.cursor.as_deref();
        match self.0.store.calls(&filter, cursor, query.page.limit).await {
            Ok(found) => {
                let mut found = page(found);
                // A list has none: they are read call by call.
                for call in found.items.iter_mut().filter_map(Value::as_object_mut) {
                    call.remove("turns");
                }
                Ok(found)
            }
            Err(error) => Err(cursor_error(error)),
        }
    }

    async fn recording(&self, id: &str) -> Result<PathBuf, ApiError> {
        let record = self.record(id).await?;
        let none = |reason: &str| ApiError::NoRecording {
            id: id.to_owned(),
            reason: reason.to_owned(),
        };
        let path = self.0.store.recording(record.id).await.map_err(internal)?;
        Err(match path {
            Some(Recording::At(path)) => return Ok(path),
            Some(Recording::Removed) => ApiError::RecordingRemoved { id: id.to_owned() },
            None if record.answered_at.is_some() => {
                none("`media.recordings` was not set when it was made, or its trunk says no")
            }
            None if record.state.is_final() => none("it was not answered"),
            None => none("it is not answered yet"),
        })
    }

    async fn pause_recording(&self, id: &str, pause: bool) -> Result<bool, ApiError> {
        let record = self.record(id).await?;
        let Some(recording) = self.0.recording_switch(record.id) else {
            return Err(ApiError::AlreadyEnded { id: id.to_owned() });
        };
        if !recording.is_recorded() {
            let message = format!("call {id} is not recorded");
            return Err(ApiError::Conflict(message));
        }
        let changed = match pause {
            true => recording.pause(PausedBy::Api),
            false => recording.resume(PausedBy::Api),
        };
        if changed {
            let event = EventRecord {
                id: 0,
                call_id: Some(record.id),
                kind: call::recording_event(pause).to_owned(),
                at: self.0.epoch.timestamp(clock::now()),
                data: json!({ "by": PausedBy::Api.as_str() }),
            };
            // It is done, told or not.
            if let Err(error) = self.0.publish(event).await {
                tracing::error!(%error, call = id, "nobody hears that a recording was paused");
            }
        }
        Ok(recording.is_paused())
    }

    async fn hang_up(&self, id: &str) -> Result<(), ApiError> {
        let record = self.record(id).await?;
        if self.0.hang_up(record.id) {
            return Ok(());
        }
        Err(ApiError::AlreadyEnded { id: id.to_owned() })
    }

    async fn hold(&self, id: &str, hold: bool) -> Result<(), ApiError> {
        let record = self.of_two(id).await?;
        self.0.hold(record.id, hold).map_err(supervise_error)
    }

    async fn transfer(&self, id: &str, transfer: Transfer) -> Result<(), ApiError> {
        let record = self.of_two(id).await?;
        let callees = self.callees_for(&record, &transfer.to)?;
        let person = Person {
            to: transfer.to,
            callees,
            ring: Duration::from_secs(transfer.ring_s.into()),
            briefing: self.0.briefing(record.agent.as_deref(), &transfer.briefing),
            on_failure: None,
        };
        let begun = self.0.transfer(record.id, person);
        begun.map_err(supervise_error)
    }

    async fn supervise(&self, id: &str, supervise: Supervise) -> Result<(), ApiError> {
        let record = self.of_two(id).await?;
        let mode = mode(supervise.mode);
        let phones = self.callees_for(&record, &supervise.to)?;
        let supervised = self.0.supervise(record.id, supervise.to, phones, mode);
        supervised.map_err(supervise_error)
    }

    async fn set_supervision(&self, id: &str, to: SupervisorMode) -> Result<(), ApiError> {
        let record = self.record(id).await?;
        let set = self.0.set_supervision(record.id, mode(to));
        set.map_err(supervise_error)
    }

    async fn end_supervision(&self, id: &str) -> Result<(), ApiError> {
        let record = self.record(id).await?;
        let ended = self.0.end_supervision(record.id);
        ended.map_err(supervise_error)
    }

    async fn trunks(&self) -> Result<Vec<Value>, ApiError> {
        let (reach, sip) = (self.0.line.reach(), self.0.line.sip());
        let trunks = self.0.config.trunks.iter().map(|trunk| {
            let state = self.0.trunk_states.of(&trunk.name);
            let address = |hop: &Hop| {
                let standing = reach.standing(*hop).as_str();
                let whom = crate::call::first_hop::whom(trunk);
                let tls = (hop.0 == Transport::Tls).then(|| sip.tls_trouble(hop.1, &whom));
                json!({ "address": hop.1.to_string(), "transport": hop.0.to_string().to_lowercase(), "state": standing, "trouble": tls.flatten() })
            };
            json!({
                "name": trunk.name, "kind": trunk.kind.to_string(), "host": trunk.host,
                "caller_id": trunk.caller_id, "registration": state.registration,
                "calls": self.0.trunk_loads.calls(&trunk.name),
                "addresses": state.hops.iter().map(address).collect::<Vec<_>>(),
            })
        });
        Ok(trunks.collect())
    }

    async fn agents(&self) -> Result<Vec<Value>, ApiError> {
        let agents = self.0.agents.values().map(|agent| {
            json!({
                "name": agent.config.name, "flow": agent.source,
                "voice": agent.config.voice.as_deref().unwrap_or(&self.0.config.models.voice),
            })
        });
        Ok(agents.collect())
    }

    async fn flows(&self) -> Result<Vec<Value>, ApiError> {
        let flows = self.0.agents.values().map(|agent| {
            json!({ "name": agent.flow.name, "description": agent.flow.description, "source": agent.source, "agent": agent.config.name })
        });
        Ok(flows.collect())
    }

    async fn appointments(&self, query: PageQuery) -> Result<Page, ApiError> {
        let cursor = query.cursor.as_deref();
        match self.0.store.appointments(cursor, query.limit).await {
            Ok(found) => Ok(page(found)),
            Err(error) => Err(cursor_error(error)),
        }
    }

    async fn outbox(&self, query: OutboxQuery) -> Result<Page, ApiError> {
        let state = query.state.map(|state| match state {
            OutboxState::Pending => store::outbox::OutboxState::Pending,
            OutboxState::Delivering => store::outbox::OutboxState::Delivering,
            OutboxState::Delivered => store::outbox::OutboxState::Delivered,
            OutboxState::Dead => store::outbox::OutboxState::Dead,
        });
        let cursor = query.page.cursor.as_deref();
        match self
            .0
            .store
            .outbox(state, None, cursor, query.page.limit)
            .await
        {
            Ok(found) => Ok(page(found)),
            Err(error) => Err(cursor_error(error)),
        }
    }

    async fn retry(&self, id: &str) -> Result<(), ApiError> {
        let not_found = || ApiError::NotFound {
            what: "delivery",
            id: id.chars().take(64).collect(),
        };
        let number: i64 = id.parse().map_err(|_| not_found())?;
        let (store, now) = (&self.0.store, self.0.epoch.timestamp(clock::now()));
        let retried = store.retry_dead(number, now).await;
        if retried.map_err(|error| self.store_error(error))? {
            return Ok(());
        }
        let row = store.outbox_row(number).await.map_err(internal)?;
        let state = row.ok_or_else(not_found)?.state;
        Err(ApiError::Conflict(format!(
            "delivery {number} is {state}: only one that was given up (dead) is tried again"
        )))
    }

    async fn subscribe(
        &self,
        filter: EventFilter,
        after: Option<u64>,
    ) -> Result<EventStream, ApiError> {
        let archive = StoreArchive(self.0.store.clone());
        replay(&self.0.bus, archive, filter, after)
    }
}
