//! The store's contract without a disk: a call is inserted before it rings, turns follow, the end
//! comes with the rows that tell the CRM, and a key that is there already changes nothing.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::invariants::Rule;
use super::world::Cx;
use crate::crm::Sinks;
use crate::store::outbox::OutboxItem;
use crate::store::{Appointment, CallRecord, TurnRecord};

#[derive(Debug, Default)]
struct Kept {
    call: usize,
    turns: usize,
    finished: Option<CallRecord>,
    appointments: Vec<Appointment>,
}

/// What was written down of every call.
pub(super) struct Ledger {
    sinks: Sinks,
    calls: BTreeMap<Uuid, Kept>,
    outbox: BTreeMap<String, OutboxItem>,
}

impl Ledger {
    pub(super) fn new(sinks: Sinks) -> Self {
        Self {
            sinks,
            calls: BTreeMap::new(),
            outbox: BTreeMap::new(),
        }
    }

    pub(super) fn insert(&mut self, cx: &mut Cx, call: usize, record: &CallRecord) {
        let kept = Kept {
            call,
            ..Kept::default()
        };
        if self.calls.insert(record.id, kept).is_some() {
            cx.violate(Rule::RecordedOnce, call, "a call is inserted twice".into());
        }
    }

    pub(super) fn turn(&mut self, cx: &mut Cx, record: &mut CallRecord, turn: TurnRecord) {
        let Some(kept) = self.calls.get_mut(&record.id) else {
            return;
        };
        kept.turns += 1;
        if kept.finished.is_some() {
            let what = format!("a turn after the end: {:?}", turn.text);
            cx.violate(Rule::RecordedOnce, kept.call, what);
        }
        record.turns.push(turn);
    }

    pub(super) fn book(&mut self, record: &CallRecord, appointment: Appointment) {
        let items = self.sinks.plan_booked(record, &appointment);
        self.add(items);
        if let Some(kept) = self.calls.get_mut(&record.id) {
            kept.appointments.push(appointment);
        }
    }

    /// Writes the end down, in one step with what the CRM must hear.
    pub(super) fn finish(&mut self, cx: &mut Cx, record: &CallRecord) {
        let Some(kept) = self.calls.get_mut(&record.id) else {
            return;
        };
        if kept.finished.replace(record.clone()).is_some() {
            let (call, what) = (kept.call, "a call is finished twice");
            return cx.violate(Rule::RecordedOnce, call, what.into());
        }
        let items = self.sinks.plan_finished(record, &kept.appointments);
        let call = kept.call;
        if items.iter().filter(|item| item.kind == "call-log").count() != 1 {
            cx.violate(Rule::RecordedOnce, call, "the CRM hears no call log".into());
        }
        self.add(items);
    }

    fn add(&mut self, items: Vec<OutboxItem>) {
        for item in items {
            self.outbox
                .entry(item.idempotency_key.clone())
                .or_insert(item);
        }
    }

    /// Checks, once all is over, that every call is told exactly once.
    pub(super) fn check(&self, cx: &mut Cx) {
        for (id, kept) in &self.calls {
            let told = |item: &&OutboxItem| item.call_id == *id && item.kind == "call-log";
            let logs = self.outbox.values().filter(told).count();
            let whole = kept
                .finished
                .as_ref()
                .is_some_and(|record| record.turns.len() == kept.turns && record.state.is_final());
            if logs != 1 || !whole {
                let what = format!("{logs} call logs; the record is whole: {whole}");
                cx.violate(Rule::RecordedOnce, kept.call, what);
            }
        }
    }

    /// The records, in the order of the calls' identifiers.
    pub(super) fn into_records(self) -> Vec<CallRecord> {
        let finished = self.calls.into_values().filter_map(|kept| kept.finished);
        finished.collect()
    }
}
