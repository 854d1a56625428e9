//! What a running switch does once an hour: it forgets what need not be kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::call::remove_old;
use crate::clock;
use crate::config::Config;
use crate::store::{self, Store};

const HOUR: Duration = Duration::from_secs(3600);

/// Begins; the tasks last as long as the process.
pub(super) fn begin(store: &Store, config: &Config) {
    tokio::spawn(prune(store.clone()));
    let media = &config.media;
    if let (Some(folder), Some(days)) = (&media.recordings, media.recordings_keep_days) {
        tokio::spawn(remove_old_recordings(store.clone(), folder.clone(), days));
    }
}

/// Forgets old events and deliveries, hourly; calls are kept.
async fn prune(store: Store) {
    let mut hours = tokio::time::interval(HOUR);
    loop {
        hours.tick().await;
        let now = clock::FreshEpoch.timestamp(clock::now());
        if let Err(error) = store.prune(now, &store::Retention::default()).await {
            tracing::warn!(%error, "old events were not removed");
        }
    }
}

/// Removes recordings that were kept for long enough, at once and hourly.
async fn remove_old_recordings(store: Store, folder: PathBuf, days: u32) {
    let kept = jiff::SignedDuration::from_hours(i64::from(days) * 24);
    let mut hours = tokio::time::interval(HOUR);
    loop {
        hours.tick().await;
        let before = clock::FreshEpoch.timestamp(clock::now()) - kept;
        match remove_old(&store, &folder, before).await {
            Ok(0) => {}
            Ok(recordings) => tracing::info!(recordings, "old recordings were removed"),
            Err(error) => tracing::warn!(%error, "old recordings were not removed"),
        }
    }
}
