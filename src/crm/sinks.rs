//! The sinks that are configured.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::error::SinkError;
use super::identity::{phone_key, phone_number, same_phone};
use super::plan::{Kind, Plan};
use super::ploink::{self, CRM_CONTACT, Contact, Ploink, PloinkConfig};
use crate::store::outbox::{Claim, OutboxItem, OutboxRow};
use crate::store::{Appointment, CachedContact, CallRecord, Store};

/// How long the cache of contacts may take.
const CACHE_TIMEOUT: Duration = Duration::from_millis(500);
/// The cached variable that says whose number it is, in full: the key is only its end.
const CACHED_PHONE: &str = "contact_phone";

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
                store.remember_contact(cached(key, party, &contact, now));
                return variables;
            }
            Ok(Ok(None)) => return Map::new(),
            Ok(Err(error)) => tracing::warn!(%error, "contact look-up failed"),
            Err(_) => tracing::warn!(?deadline, "contact look-up took too long"),
        }
        metrics::counter!(crate::observe::metrics::CRM_LOOK_UP_FAILURES).increment(1);
        match tokio::time::timeout(CACHE_TIMEOUT, store.contact(&key)).await {
            Ok(Ok(contact)) => contact.and_then(|contact| of(contact, party)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "contact cache");
                None
            }
            Err(_) => {
                tracing::warn!("contact cache took too long");
                None
            }
        }
        .unwrap_or_default()
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

fn cached(
    phone_key: String,
    party: &str,
    contact: &Contact,
    fetched_at: Timestamp,
) -> CachedContact {
    let mut variables = contact.variables();
    variables.insert(CACHED_PHONE.into(), phone_number(party).into());
    CachedContact {
        phone_key,
        contact_id: spelled(&contact.id),
        variables,
        fetched_at,
    }
}

/// Returns what a cached contact tells, if it is this party and not somebody whose number ends
/// alike.
fn of(contact: CachedContact, party: &str) -> Option<Map<String, Value>> {
    let mut variables = contact.variables;
    let phone = variables.remove(CACHED_PHONE)?;
    same_phone(phone.as_str()?, party).then_some(variables)
}

/// Returns what a delivered row tells of a contact, for the next look-up.
pub(super) fn learned(row: &OutboxRow, result: &Value, now: Timestamp) -> Option<CachedContact> {
    if row.kind != Kind::Contact.as_str() {
        return None;
    }
    let id = result.get("contact_id").filter(|id| !id.is_null())?;
    let phone_key = row.phone_key.clone()?;
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    // A name that the call learnt goes before the one that the CRM had told.
    let name = |name: &str| {
        let told = row.payload.get(CRM_CONTACT);
        text(&row.payload, name).or_else(|| text(told?, name))
    };
    let contact = Contact {
        id: id.clone(),
        first_name: name("first_name"),
        last_name: name("last_name"),
        email: text(&row.payload, "caller_email").filter(|email| !email.is_empty()),
        phone: None,
    };
    let phone = text(&row.payload, "caller_phone")?;
    Some(cached(phone_key, &phone, &contact, now))
}

fn spelled(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
