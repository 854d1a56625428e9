//! Calls and what belongs to them.

use std::path::{Path, PathBuf};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use uuid::Uuid;

use super::outbox::OutboxItem;
use super::write::{Ask, Reply, Write};
use super::writer::Work;
use super::{
    Appointment, CachedContact, CallFilter, CallRecord, CallState, CallUpdate, Created,
    EventFilter, EventRecord, Health, IdempotencyKey, Page, Recording, Store, StoreError,
    TurnRecord, sqlite,
};

/// The longest page that a list gives.
pub(super) const PAGE_LIMIT: u32 = 200;
/// Calls closed in one go after a restart.
const RECOVERY_BATCH: u32 = 100;

impl Store {
    /// Creates a call that was asked for, once for each key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database cannot be written: answer 503.
    pub async fn create_call(
        &self,
        record: CallRecord,
        key: Option<IdempotencyKey>,
        at: Timestamp,
    ) -> Result<Created, StoreError> {
        let record = Box::new(record);
        let ask = Ask::CreateCall {
            run_id: self.run_id,
            record,
            key,
            at,
        };
        match self.send(Work::Answer(ask)).await? {
            Reply::Created(created) => Ok(created),
            _ => Ok(Created::New),
        }
    }

    /// Returns what [`create_call`](Self::create_call) would answer to a request whose key came
    /// before; none for a new key. It only reads, so that it can be asked of a switch that takes no
    /// new calls.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn created_before(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<Created>, StoreError> {
        let mut reader = self.reads.acquire().await?;
        Ok(sqlite::created_before(&mut reader, key).await?)
    }

    /// Keeps the record of a call that has begun; one with a known id changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when neither database nor spill file takes it.
    pub async fn insert_call(&self, record: CallRecord) -> Result<(), StoreError> {
        self.keep(Write::InsertCall {
            run_id: self.run_id,
            record: Box::new(record),
        })
        .await
    }

    /// Keeps what changed about a call that goes on; one that has ended is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when neither database nor spill file takes it.
    pub async fn update_call(
        &self,
        id: Uuid,
        update: CallUpdate,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.keep(Write::UpdateCall {
            id,
            update: Box::new(update),
            at,
        })
        .await
    }

    /// Keeps turn number `seq` (from 0) of a call; the same number again replaces it, as when it is
    /// known later how much of it was heard.
    ///
    /// # Errors
    /// [`StoreError::Database`] for an unknown call, [`StoreError::Lost`] when neither database nor
    /// spill file takes it.
    pub async fn append_turn(
        &self,
        call_id: Uuid,
        seq: u32,
        turn: TurnRecord,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.keep(Write::AppendTurn {
            call_id,
            seq,
            turn,
            at,
        })
        .await
    }

    /// Keeps an event and returns its number, which is higher than every earlier one.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when neither database nor spill file takes it.
    pub async fn append_event(&self, event: EventRecord) -> Result<i64, StoreError> {
        match self.send(Work::Keep(Write::AppendEvent { event })).await? {
            Reply::Event(id) => Ok(id),
            _ => Ok(0),
        }
    }

    /// Keeps where the recording of a call lies.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when neither database nor spill file takes it.
    pub async fn set_recording(&self, call_id: Uuid, path: &Path) -> Result<(), StoreError> {
        let path = path.to_string_lossy().into_owned();
        self.keep(Write::SetRecording { call_id, path }).await
    }

    /// Keeps that the recording of a call was removed.
    ///
    /// # Errors
    /// [`StoreError::Lost`] when neither database nor spill file takes it.
    pub async fn forget_recording(&self, call_id: Uuid) -> Result<(), StoreError> {
        let path = String::new();
        self.keep(Write::SetRecording { call_id, path }).await
    }

    /// Keeps a call's final record and what is to be told of it, in one transaction; a call that
    /// has ended already stays as its first final record says.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a record that has no end or no final state, [`StoreError::Lost`]
    /// when neither database nor spill file takes it.
    pub async fn finish_call(
        &self,
        record: CallRecord,
        items: Vec<OutboxItem>,
    ) -> Result<(), StoreError> {
        self.finish(self.run_id, record, items, None).await
    }

    /// As [`finish_call`](Self::finish_call), with the event that tells of the end in the same
    /// transaction: whoever hears of it finds the record, and whoever finds it was told.
    ///
    /// # Errors
    /// As [`finish_call`](Self::finish_call).
    pub async fn end_call(
        &self,
        record: CallRecord,
        items: Vec<OutboxItem>,
        event: EventRecord,
    ) -> Result<(), StoreError> {
        self.finish(self.run_id, record, items, Some(event)).await
    }

    async fn finish(
        &self,
        run_id: Uuid,
        record: CallRecord,
        items: Vec<OutboxItem>,
        event: Option<EventRecord>,
    ) -> Result<(), StoreError> {
        if record.ended_at.is_none() || !record.state.is_final() {
            return Err(StoreError::Invalid(
                "a final record has an end and a final state".into(),
            ));
        }
        self.keep(Write::FinishCall {
            run_id,
            record: Box::new(record),
            items,
            event,
        })
        .await
    }

    /// Keeps an appointment while the call goes on, and what is to be told of it already.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when its `date_time` is no date with an offset, [`StoreError::Lost`]
    /// when neither database nor spill file takes it.
    pub async fn book_appointment(
        &self,
        appointment: Appointment,
        items: Vec<OutboxItem>,
    ) -> Result<(), StoreError> {
        if appointment.starts_at().is_none() {
            return Err(StoreError::Invalid(format!(
                "an appointment needs a date with an offset, such as 2026-03-04T15:00:00-05:00, \
                 found {:?}",
                appointment.date_time
            )));
        }
        self.keep(Write::BookAppointment { appointment, items })
            .await
    }

    /// Keeps a contact for later look-ups; returns at once, and a full queue drops it.
    pub fn remember_contact(&self, contact: CachedContact) {
        self.keep_if_there_is_room(Write::RememberContact { contact });
    }

    /// Ends every call that an earlier run of the switch left open: it failed with `switch
    /// restarted`, at the last moment anything was written about it, and `plan` says what is to be
    /// told of it. Whoever watches is told with the event that ends every call. Returns the calls'
    /// final records.
    ///
    /// Waits until the spill file has been drained, since a call's end may lie in it: before, the
    /// database cannot say which calls are open. Calls of this run are left alone.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the store is closed meanwhile, [`StoreError::Database`] when the
    /// database cannot be read, [`StoreError::Lost`] when a record can be kept nowhere.
    pub async fn recover(
        &self,
        plan: impl Fn(&CallRecord, &[Appointment]) -> Vec<OutboxItem>,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let mut health = self.watch_health();
        let drained = health.wait_for(|health| *health == Health::Ready).await;
        drained.map_err(|_| StoreError::Closed)?;
        let mut ended = Vec::new();
        let mut after = None;
        loop {
            let open = sqlite::unfinished(&self.reads, self.run_id, after, RECOVERY_BATCH).await?;
            let Some(last) = open.last() else {
                return Ok(ended);
            };
            after = Some(last.record.id);
            let plan = &plan;
            let ends = open.into_iter().map(async |call| {
                let mut record = call.record;
                record.state = CallState::Failed;
                record.outcome = Some("switch restarted".into());
                record.reason = Some("the switch stopped while the call went on".into());
                record.ended_at = Some(call.last_seen_at);
                let appointments = self.call_appointments(record.id).await?;
                let items = plan(&record, &appointments);
                let event = record.ended_event();
                let end = self.finish(call.run_id, record.clone(), items, Some(event));
                end.await?;
                Ok::<_, StoreError>(record)
            });
            // Side by side: they share what keeping them costs.
            ended.extend(try_join_all(ends).await?);
        }
    }

    /// Lists calls, newest first, without their turns, which a call's own record has. What is in
    /// the spill file is not there yet.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that no page gave, [`StoreError::Database`] when the
    /// database cannot be read.
    pub async fn calls(
        &self,
        filter: &CallFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<CallRecord>, StoreError> {
        let (before, limit) = (before(cursor)?, limit.clamp(1, PAGE_LIMIT));
        let items = sqlite::calls(&self.reads, filter, before, limit + 1).await?;
        Ok(page(items, limit, |call| call.id.to_string()))
    }

    /// Reads one call with its turns.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn call(&self, id: Uuid) -> Result<Option<CallRecord>, StoreError> {
        Ok(sqlite::call(&self.reads, id).await?)
    }

    /// Reads the turns of a call, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn transcript(&self, id: Uuid) -> Result<Vec<TurnRecord>, StoreError> {
        Ok(sqlite::turns(&self.reads, id).await?)
    }

    /// Reads where the recording of a call lies; none when there never was one.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn recording(&self, id: Uuid) -> Result<Option<Recording>, StoreError> {
        let path = sqlite::recording(&self.reads, id).await?;
        Ok(path.map(|path| match path.is_empty() {
            true => Recording::Removed,
            false => Recording::At(path.into()),
        }))
    }

    /// Reads up to `limit` calls after `after` that ended before `before`, in the order of their
    /// numbers, each with where its recording lies.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn recordings_before(
        &self,
        before: Timestamp,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<(Uuid, PathBuf)>, StoreError> {
        let found = sqlite::recordings_before(&self.reads, before, after, limit).await?;
        let paths = found.into_iter().map(|(id, path)| (id, path.into()));
        Ok(paths.collect())
    }

    /// Reads up to `limit` events in order; the last one's number is where to go on.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn events(
        &self,
        filter: &EventFilter,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        Ok(sqlite::events(&self.reads, filter, limit).await?)
    }

    /// Returns the lowest and the highest number of an event that is in the database; none when
    /// there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn event_bounds(&self) -> Result<Option<(i64, i64)>, StoreError> {
        Ok(sqlite::event_bounds(&self.reads).await?)
    }

    /// Lists appointments, the last booked first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a cursor that no page gave, [`StoreError::Database`] when the
    /// database cannot be read.
    pub async fn appointments(
        &self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Appointment>, StoreError> {
        let (before, limit) = (before(cursor)?, limit.clamp(1, PAGE_LIMIT));
        let items = sqlite::appointments(&self.reads, before, limit + 1).await?;
        Ok(page(items, limit, |appointment| appointment.id.to_string()))
    }

    /// Reads the appointments that were booked on a call, the soonest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn call_appointments(&self, id: Uuid) -> Result<Vec<Appointment>, StoreError> {
        Ok(sqlite::call_appointments(&self.reads, id, PAGE_LIMIT).await?)
    }

    /// Reads a contact by its normalised number, as the CRM last told it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn contact(&self, phone_key: &str) -> Result<Option<CachedContact>, StoreError> {
        Ok(sqlite::contact(&self.reads, phone_key).await?)
    }

    /// Lists contacts by their normalised number.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn contacts(
        &self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<CachedContact>, StoreError> {
        let limit = limit.clamp(1, PAGE_LIMIT);
        let items = sqlite::contacts(&self.reads, cursor.unwrap_or(""), limit + 1).await?;
        Ok(page(items, limit, |contact| contact.phone_key.clone()))
    }
}

/// Reads the cursor of a list by identifiers.
fn before(cursor: Option<&str>) -> Result<Option<Uuid>, StoreError> {
    let read = cursor.map(str::parse::<Uuid>).transpose();
    read.map_err(|_| StoreError::Invalid("cursor: pass next_cursor of a page".into()))
}

/// Cuts what was read, one more than a page, down to the page.
pub(super) fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = if more { items.last().map(cursor) } else { None };
    Page { items, next_cursor }
}
