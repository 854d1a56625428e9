//! Which rows of the outbox a call leaves, and what they say.
//!
//! A contact comes first; what needs its id depends on it, unless the id is known from the look-up.
//! The call log goes out also when the contact was refused: it is better without an id than not at
//! all.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::identity::{email_key, phone_key, phone_number};
use super::ploink::CRM_CONTACT;
use crate::store::outbox::OutboxItem;
use crate::store::record::names;
use crate::store::{Appointment, CallRecord};

/// The step of a contact that is made while its call goes on.
const WHEN_BOOKING: &str = "contact-when-booking";
/// The longest transcript that is told, in bytes.
const TRANSCRIPT_BYTES: usize = 256 << 10;

/// What a row of the outbox asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Find or make the contact.
    Contact,
    /// Book an appointment.
    Appointment,
    /// Add the contact to a segment.
    Segment,
    /// Log the call.
    CallLog,
}

names!(Kind {
    Contact => "contact",
    Appointment => "appointment",
    Segment => "segment",
    CallLog => "call-log",
});

/// Makes the rows of one call for one sink.
pub(super) struct Plan<'a> {
    sink: &'static str,
    record: &'a CallRecord,
    phone_key: Option<String>,
    email_key: Option<String>,
    due_at: Timestamp,
}

impl<'a> Plan<'a> {
    pub(super) fn new(sink: &'static str, record: &'a CallRecord, due_at: Timestamp) -> Self {
        let text = |name: &str| record.variables.get(name).and_then(Value::as_str);
        Self {
            sink,
            record,
            phone_key: phone_key(text("caller_phone").unwrap_or(record.remote())),
            email_key: text("caller_email").and_then(email_key),
            due_at,
        }
    }

    /// Returns the rows of a call that has ended.
    pub(super) fn finished(&self, appointments: &[Appointment], segment: bool) -> Vec<OutboxItem> {
        let mut items = Vec::new();
        let mut contact = self.contact("contact");
        if let Some(contact) = contact.as_mut().filter(|_| !appointments.is_empty()) {
            // The one that the booking made is this one: it goes by the id that came of it.
            contact.depends_on = Some(self.key(WHEN_BOOKING));
        }
        if let (Some(contact), true) = (&contact, segment) {
            let mut item = self.item(Kind::Segment, "segment", self.variables());
            item.depends_on = Some(contact.idempotency_key.clone());
            item.needs_result = !self.is_known();
            items.push(item);
        }
        for appointment in appointments {
            items.push(self.appointment(appointment, contact.as_ref()));
        }
        items.push(self.call_log(contact.as_ref()));
        items.splice(0..0, contact);
        items
    }

    /// Returns the rows of an appointment while the call goes on, so that its confirmation does not
    /// wait for the end of the call. [`finished`](Self::finished) names the appointment's row
    /// again, which changes nothing.
    pub(super) fn booked(&self, appointment: &Appointment) -> Vec<OutboxItem> {
        let contact = self.contact(WHEN_BOOKING);
        let item = self.appointment(appointment, contact.as_ref());
        contact.into_iter().chain([item]).collect()
    }

    /// A contact is made of whoever was talked to and left a number or an address.
    fn contact(&self, step: &str) -> Option<OutboxItem> {
        let known = self.phone_key.is_some() || self.email_key.is_some();
        (self.record.answered_at.is_some() && known)
            .then(|| self.item(Kind::Contact, step, self.contact_variables()))
    }

    /// Returns what a contact's template may name. A name is there only when this call learnt it:
    /// the CRM's own is not sent back to it. A phone is a number, or none.
    fn contact_variables(&self) -> Map<String, Value> {
        let mut variables = self.variables();
        let (first, last) = learnt_names(&self.record.variables).unwrap_or_default();
        for (name, value) in [("first_name", first), ("last_name", last)] {
            match value.is_empty() {
                true => variables.remove(name),
                false => variables.insert(name.into(), value.into()),
            };
        }
        let party = text(&variables, "caller_phone").unwrap_or_else(|| self.record.remote());
        match phone_number(party) {
            Some(number) => variables.insert("caller_phone".into(), number.into()),
            None => variables.remove("caller_phone"),
        };
        variables
    }

    fn appointment(&self, appointment: &Appointment, contact: Option<&OutboxItem>) -> OutboxItem {
        let mut variables = self.variables();
        variables.insert("date_time".into(), appointment.date_time.clone().into());
        variables.insert("appointment_type".into(), appointment.kind.clone().into());
        variables.insert("appointment_notes".into(), appointment.notes.clone().into());
        let step = format!("appointment:{}", appointment.id);
        let mut item = self.item(Kind::Appointment, &step, variables);
        item.depends_on = contact.map(|contact| contact.idempotency_key.clone());
        item.needs_result = !self.is_known();
        item
    }

    /// Returns whether the contact's id was looked up already, so that a contact that is refused
    /// holds nothing up.
    fn is_known(&self) -> bool {
        self.record
            .variables
            .get("contact_id")
            .is_some_and(|id| !id.is_null())
    }

    fn call_log(&self, contact: Option<&OutboxItem>) -> OutboxItem {
        let mut variables = self.variables();
        // A caller without a number is logged by whatever the caller is called.
        variables
            .entry("caller_phone")
            .or_insert_with(|| self.record.remote().into());
        let mut item = self.item(Kind::CallLog, "call-log", variables);
        item.depends_on = contact.map(|contact| contact.idempotency_key.clone());
        item
    }

    fn item(&self, kind: Kind, step: &str, variables: Map<String, Value>) -> OutboxItem {
        OutboxItem {
            call_id: self.record.id,
            kind: kind.as_str().into(),
            sink: self.sink.into(),
            payload: variables.into(),
            idempotency_key: self.key(step),
            depends_on: None,
            needs_result: false,
            phone_key: self.phone_key.clone(),
            email_key: self.email_key.clone(),
            due_at: self.due_at,
        }
    }

    fn key(&self, step: &str) -> String {
        format!("{}:{}:{step}", self.record.id, self.sink)
    }

    /// Returns what templates may name: the flow's variables and the call's own.
    fn variables(&self) -> Map<String, Value> {
        let record = self.record;
        let mut variables = record.variables.clone();
        let mut set = |name: &str, value: Value| {
            variables.insert(name.into(), value);
        };
        set("call_id", record.id.to_string().into());
        set("direction", record.direction.as_str().into());
        set("from", record.from.clone().into());
        set("to", record.to.clone().into());
        set("agent", record.agent.clone().into());
        set("trunk", record.trunk.clone().into());
        set("state", record.state.as_str().into());
        set(
            "outcome",
            record
                .outcome
                .as_deref()
                .unwrap_or(record.state.as_str())
                .into(),
        );
        set("duration", record.duration_s().into());
        set("started_at", format!("{:.3}", record.started_at).into());
        set("call_transcript", bounded(record.transcript()).into());
        if let Some(number) = phone_number(record.remote()) {
            variables
                .entry("caller_phone")
                .or_insert_with(|| number.into());
        }
        if let (None, Some((first, rest))) = (
            text(&variables, "first_name").or(text(&variables, "last_name")),
            text(&variables, "caller_name").map(split_name),
        ) {
            variables.insert("first_name".into(), first.into());
            variables.insert("last_name".into(), rest.into());
        }
        variables
    }
}

fn text<'v>(variables: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    let value = variables.get(name).and_then(Value::as_str).map(str::trim);
    value.filter(|text| !text.is_empty())
}

/// Splits a name at its first space.
fn split_name(name: &str) -> (String, String) {
    let (first, rest) = name.split_once(char::is_whitespace).unwrap_or((name, ""));
    (first.to_owned(), rest.trim().to_owned())
}

/// Returns the caller's first and last name as variables that were given tell them, in the shape of
/// [`CRM_CONTACT`]; none when they tell no name.
pub(crate) fn given_names(variables: &Map<String, Value>) -> Option<Value> {
    let set = (text(variables, "first_name"), text(variables, "last_name"));
    let names = match (set, text(variables, "caller_name")) {
        ((None, None), Some(name)) => split_name(name),
        ((None, None), None) => return None,
        ((first, last), _) => (
            first.unwrap_or_default().to_owned(),
            last.unwrap_or_default().to_owned(),
        ),
    };
    Some(json!({ "first_name": names.0, "last_name": names.1 }))
}

/// Returns the first and the last name that the call learnt, either of them "" when it did not: the
/// name that was said, or what the flow made of it; none when all of it was known before.
fn learnt_names(variables: &Map<String, Value>) -> Option<(String, String)> {
    let names = |of: &Map<String, Value>| {
        let part = |name: &str| text(of, name).unwrap_or_default().to_owned();
        (part("first_name"), part("last_name"))
    };
    let known = variables.get(CRM_CONTACT).and_then(Value::as_object);
    let known = known.map(names).unwrap_or_default();
    let set = names(variables);
    let is = |name: &str, (first, last): &(String, String)| {
        let whole = format!("{first} {last}").to_lowercase();
        let name = name.to_lowercase();
        name.split_whitespace().eq(whole.split_whitespace())
    };
    match text(variables, "caller_name") {
        Some(name) if !is(name, &known) && !is(name, &set) => Some(split_name(name)),
        _ => (set != known && !(set.0.is_empty() && set.1.is_empty())).then_some(set),
    }
}

fn bounded(mut transcript: String) -> String {
    if transcript.len() > TRANSCRIPT_BYTES {
        transcript.truncate(transcript.floor_char_boundary(TRANSCRIPT_BYTES));
        transcript.push('…');
    }
    transcript
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::{CallState, Direction};

    fn record(from: &str) -> CallRecord {
        let at = Timestamp::UNIX_EPOCH;
        let mut record = CallRecord::new(
            Uuid::nil(),
            Direction::Inbound,
            from,
            "100",
            CallState::Completed,
            at,
        );
        (record.answered_at, record.ended_at) = (Some(at), Some(at));
        record
    }

    fn kinds(items: &[OutboxItem]) -> Vec<&str> {
        items.iter().map(|item| item.kind.as_str()).collect()
    }

    #[test]
    fn the_contact_comes_first_and_the_rest_depends_on_it() {
        let record = record("+12025550123");
        let appointment = Appointment {
            id: Uuid::nil(),
            call_id: record.id,
            date_time: "2026-03-04T15:00:00-05:00".into(),
            kind: "call".into(),
            notes: String::new(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        let plan = Plan::new("ploink", &record, Timestamp::UNIX_EPOCH);
        let items = plan.finished(std::slice::from_ref(&appointment), true);
        assert_eq!(
            kinds(&items),
            ["contact", "segment", "appointment", "call-log"]
        );
        for item in &items[1..] {
            assert_eq!(item.depends_on.as_ref(), Some(&items[0].idempotency_key));
            assert_eq!(item.needs_result, item.kind != "call-log");
        }
        let early = plan.booked(&appointment);
        assert_eq!(kinds(&early), ["contact", "appointment"]);
        assert_eq!(early[1].idempotency_key, items[2].idempotency_key);
        assert_ne!(early[0].idempotency_key, items[0].idempotency_key);
    }

    #[test]
    fn who_was_not_talked_to_or_left_nothing_is_only_logged() {
        let mut missed = record("+12025550123");
        missed.answered_at = None;
        for record in [missed, record("anonymous")] {
            let items = Plan::new("ploink", &record, Timestamp::UNIX_EPOCH).finished(&[], true);
            assert_eq!(kinds(&items), ["call-log"]);
            assert_eq!(items[0].payload["caller_phone"], record.from);
            assert_eq!(items[0].depends_on, None);
        }
    }

    /// The names that a contact's template may send, of a caller whom the CRM knows as so.
    fn sent_names(known: Value, variables: Value) -> (Option<Value>, Option<Value>) {
        let mut record = record("+12025550123");
        record.variables = variables.as_object().unwrap().clone();
        if !known.is_null() {
            record.variables.insert(CRM_CONTACT.into(), known);
        }
        let items = Plan::new("ploink", &record, Timestamp::UNIX_EPOCH).finished(&[], false);
        let of = |name: &str| items[0].payload.get(name).cloned();
        (of("first_name"), of("last_name"))
    }

    #[test]
    fn only_a_name_that_the_call_learnt_is_sent_and_in_its_parts() {
        let ada = json!({"first_name": "Ada", "last_name": "Lovelace"});
        let as_told = json!({"first_name": "Ada", "last_name": "Lovelace",
            "caller_name": "Ada  lovelace"});
        assert_eq!(sent_names(ada.clone(), as_told), (None, None));
        let married = json!({"first_name": "Ada", "last_name": "Lovelace",
            "caller_name": "Ada King"});
        let expected = (Some(json!("Ada")), Some(json!("King")));
        assert_eq!(sent_names(ada.clone(), married), expected);
        let set = json!({"first_name": "Ada", "last_name": "King", "caller_name": "Ada Lovelace"});
        assert_eq!(sent_names(ada, set), expected);
        let stranger = json!({"caller_name": "Ada King"});
        assert_eq!(sent_names(json!(null), stranger), expected);
        let given = json!({"first_name": "Ann", "caller_name": "Ann Smith"});
        let expected = (Some(json!("Ann")), Some(json!("Smith")));
        assert_eq!(sent_names(json!(null), given), expected);
        let half = json!({"first_name": "Ada", "caller_name": "Ada"});
        let known = json!({"first_name": "Ada", "last_name": null});
        assert_eq!(sent_names(known, half), (None, None));
    }

    #[test]
    fn a_contact_goes_by_the_id_that_its_booking_brought_and_its_phone_is_a_number() {
        let mut record = record("sip:anonymous@anonymous.invalid");
        record
            .variables
            .insert("caller_email".into(), "ada@example.com".into());
        let plan = Plan::new("ploink", &record, Timestamp::UNIX_EPOCH);
        let contact = &plan.finished(&[], false)[0];
        assert_eq!(
            (&contact.depends_on, contact.payload.get("caller_phone")),
            (&None, None)
        );
        let booked = Appointment {
            id: Uuid::nil(),
            call_id: record.id,
            date_time: "2026-03-04T15:00:00-05:00".into(),
            kind: "call".into(),
            notes: String::new(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        let early = &plan.booked(&booked)[0];
        let contact = &plan.finished(std::slice::from_ref(&booked), false)[0];
        assert_eq!(contact.depends_on.as_ref(), Some(&early.idempotency_key));
        assert!(
            !contact.needs_result,
            "it goes without, when the first is dead"
        );
    }

    #[test]
    fn a_name_has_parts_and_what_the_flow_knows_goes_before_what_is_derived() {
        let mut record = record("+12025550123");
        record
            .variables
            .insert("caller_name".into(), "Ada King Lovelace".into());
        record
            .variables
            .insert("caller_phone".into(), "+12025550199".into());
        let items = Plan::new("ploink", &record, Timestamp::UNIX_EPOCH).finished(&[], false);
        assert_eq!(items[0].payload["first_name"], "Ada");
        assert_eq!(items[0].payload["last_name"], "King Lovelace");
        assert_eq!(items[0].payload["caller_phone"], "+12025550199");
        assert_eq!(items[0].phone_key.as_deref(), Some("025550199"));
    }
}
