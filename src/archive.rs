//! The events that the store keeps, as the API replays them.

use crate::call;
use crate::http::{Archive, Event};
use crate::store::{self, Store};

/// The events that the store keeps.
#[derive(Debug, Clone)]
pub(crate) struct StoreArchive(pub Store);

impl Archive for StoreArchive {
    async fn read(&self, call: Option<&str>, after: u64, limit: u32) -> Result<Vec<Event>, String> {
        let call_id = call.map(str::parse).transpose();
        let filter = store::EventFilter {
            after: i64::try_from(after).unwrap_or(i64::MAX),
            call_id: call_id.map_err(|_| "the call's id is none".to_owned())?,
        };
        let found = self.0.events(&filter, limit).await;
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.iter().map(call::services::published).collect())
    }

    async fn bounds(&self) -> Result<Option<(u64, u64)>, String> {
        let bounds = self.0.event_bounds().await;
        let bounds = bounds.map_err(|error| error.to_string())?;
        Ok(bounds.map(|(low, high)| (low.cast_unsigned(), high.cast_unsigned())))
    }
}
