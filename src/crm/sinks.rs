//! The sinks that are configured.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::error::SinkError;
use super::identity::phone_key;
use super::plan::{Kind, Plan};
use super::ploink::{self, Contact, Ploink, PloinkConfig};
use crate::store::outbox::{Claim, OutboxItem, OutboxRow};
use crate::store::{Appointment, CachedContact, CallRecord, Store};

/// Every sink of this switch; without any, calls leave nothing in the outbox.
#[derive(Debug, Clone, Default)]
pub struct Sinks {
    ploink: Option<Ploink>,
}

impl Sinks {
    /// Makes the sinks that are configured.
    ///
    /// # Errors
    /// A permanent error that names the key that is wrong.
    pub fn new(ploink: Option<PloinkConfig>) -> Result<Self, SinkError> {
        Ok(Self {
            ploink: ploink.map(Ploink::new).transpose()?,
        })
    }

    /// Returns the Ploink client, when Ploink is configured.
    pub fn ploink(&self) -> Option<&Ploink> {
        self.ploink.as_ref()
    }

    /// Returns what is to be told of a call that has ended, for [`Store::finish_call`] and
    /// [`Store::recover`].
    pub fn plan_finished(
        &self,
        record: &CallRecord,
        appointments: &[Appointment],
    ) -> Vec<OutboxItem> {
        let Some(ploink) = &self.ploink else {
            return Vec::new();
        };
        let due_at = record.ended_at.unwrap_or(record.started_at);
        let segment = ploink.config().segment.is_some();
        Plan::new(ploink::SINK, record, due_at).finished(appointments, segment)
    }

    /// Returns what is to be told of an appointment at once, for [`Store::book_appointment`], so
    /// that the confirmation is there before the caller hangs up. `record` is the call so far.
    pub fn plan_booked(&self, record: &CallRecord, appointment: &Appointment) -> Vec<OutboxItem> {
        if self.ploink.is_none() {
            return Vec::new();
        }
        Plan::new(ploink::SINK, record, appointment.created_at).booked(appointment)
    }

    /// Returns what is known of a caller, as flow variables, before the call is answered.
    ///
    /// Asks the CRM, within its `look_up_timeout_ms`; when it does not answer in time, what it said
    /// the last time counts. Empty for somebody unknown.
    pub async fn look_up(&self, store: &Store, party: &str, now: Timestamp) -> Map<String, Value> {
        let (Some(ploink), Some(key)) = (&self.ploink, phone_key(party)) else {
            return Map::new();
        };
        let deadline = Duration::from_millis(ploink.config().look_up_timeout_ms);
        match tokio::time::timeout(deadline, ploink.look_up(party)).await {
            Ok(Ok(Some(contact))) => {
                let variables = contact.variables();
                store.remember_contact(cached(key, &contact, now));
                return variables;
            }
            Ok(Ok(None)) => return Map::new(),
            Ok(Err(error)) => tracing::warn!(%error, "contact look-up failed"),
            Err(_) => tracing::warn!(?deadline, "contact look-up took too long"),
        }
        metrics::counter!(crate::observe::metrics::CRM_LOOK_UP_FAILURES).increment(1);
        match store.contact(&key).await {
            Ok(contact) => contact.map(|contact| contact.variables).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "contact cache");
                Map::new()
            }
        }
    }

    /// Carries out a row of the outbox and returns what its dependants need.
    pub(super) async fn deliver(&self, claim: &Claim) -> Result<Value, SinkError> {
        let row = &claim.row;
        let kind: Kind = row
            .kind
            .parse()
            .map_err(|_| SinkError::permanent(format!("nobody knows how to do {:?}", row.kind)))?;
        let Value::Object(variables) = &row.payload else {
            return Err(SinkError::permanent("the payload is no object"));
        };
        match (row.sink.as_str(), &self.ploink) {
            (ploink::SINK, Some(ploink)) => {
                let before = claim.dependency.as_ref();
                ploink
                    .deliver(kind, variables, before, &row.idempotency_key)
                    .await
            }
            (sink, _) => Err(SinkError::permanent(format!(
                "the sink {sink:?} is not configured"
            ))),
        }
    }
}

fn cached(phone_key: String, contact: &Contact, fetched_at: Timestamp) -> CachedContact {
    CachedContact {
        phone_key,
        contact_id: spelled(&contact.id),
        variables: contact.variables(),
        fetched_at,
    }
}

/// Returns what a delivered row tells of a contact, for the next look-up.
pub(super) fn learned(row: &OutboxRow, result: &Value, now: Timestamp) -> Option<CachedContact> {
    if row.kind != Kind::Contact.as_str() {
        return None;
    }
    let id = result.get("contact_id").filter(|id| !id.is_null())?;
    let mut variables = Map::new();
    variables.insert("contact_id".into(), id.clone());
    for name in ["first_name", "last_name", "caller_name", "caller_email"] {
        if let Some(value) = row.payload.get(name).filter(|value| **value != "") {
            variables.insert(name.into(), value.clone());
        }
    }
    let phone_key = row.phone_key.clone()?;
    Some(CachedContact {
        phone_key,
        contact_id: spelled(id),
        variables,
        fetched_at: now,
    })
}

fn spelled(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
