//! Recordings are kept for so long as the configuration says, and then removed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use uuid::Uuid;

use crate::config::RecordingFormat;
use crate::store::{Store, StoreError};

/// Recordings that are looked at together.
const TOGETHER: u32 = 100;

/// Removes the recordings in `folder` of calls that ended before `before`, and says of how many.
///
/// What the records name is removed if it is a file that a recorder of this folder made: never one
/// that lies elsewhere, has another name than its call's, or is a link. Such a one stays, and so
/// does its record.
///
/// # Errors
/// When the database cannot be read or written.
pub async fn remove_old(
    store: &Store,
    folder: &Path,
    before: Timestamp,
) -> Result<u64, StoreError> {
    let (mut after, mut removed, mut stayed) = (None, 0, 0);
    loop {
        let found = store.recordings_before(before, after, TOGETHER).await?;
        let Some((last, _)) = found.last() else {
            break;
        };
        after = Some(*last);
        stayed += found.len();
        for id in remove_files(folder, found).await {
            store.forget_recording(id).await?;
            removed += 1;
            stayed -= 1;
        }
    }
    if stayed > 0 {
        tracing::warn!(
            stayed,
            "old recordings are no files of media.recordings, or cannot be removed: they stay"
        );
    }
    Ok(removed)
}

/// Removes files off the async threads, and gives the calls that have none any more.
async fn remove_files(folder: &Path, found: Vec<(Uuid, PathBuf)>) -> Vec<Uuid> {
    let folder = folder.to_owned();
    let task = tokio::task::spawn_blocking(move || {
        let gone = |(id, path): (Uuid, PathBuf)| match remove(&folder, id, &path) {
            Ok(()) => Some(id),
            Err(error) => {
                tracing::debug!(%error, call = %id, "an old recording was not removed");
                None
            }
        };
        found.into_iter().filter_map(gone).collect()
    });
    task.await.unwrap_or_default()
}

/// Removes one call's file. One that is not there is kept in the record: its volume may not be
/// mounted, and then nothing would name it any more.
fn remove(folder: &Path, id: Uuid, path: &Path) -> io::Result<()> {
    // Not there: then it cannot be said where its files are, and nothing is.
    let folder = fs::canonicalize(folder)?;
    let (Some(lies_in), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it names no file"));
    };
    let names = [RecordingFormat::Wav, RecordingFormat::Opus]
        .map(|format| OsString::from(format!("{id}.{}", format.extension())));
    if fs::canonicalize(lies_in).ok() != Some(folder.clone()) || !names.iter().any(|n| n == name) {
        return Err(io::Error::other("it is no file of media.recordings"));
    }
    let path = folder.join(name);
    match fs::symlink_metadata(&path)?.is_file() {
        true => fs::remove_file(&path),
        false => Err(io::Error::other("it is a link or a folder")),
    }
}

#[cfg(test)]
mod tests {
    use crate::store::{CallRecord, CallState, Direction, Options, Recording};

    use super::*;

    /// A moment of the test.
    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + number * 86_400).unwrap()
    }

    /// Keeps a call that ended on a day, or goes on, with its recording.
    async fn call(store: &Store, ended: Option<i64>, path: impl Fn(Uuid) -> PathBuf) -> Uuid {
        let id = Uuid::now_v7();
        let (from, to) = ("+12025550123".to_owned(), "+12025550100".to_owned());
        let state = CallState::InProgress;
        let mut record = CallRecord::new(id, Direction::Inbound, from, to, state, day(0));
        store.insert_call(record.clone()).await.unwrap();
        store.set_recording(id, &path(id)).await.unwrap();
        if let Some(ended) = ended {
            record.state = CallState::Completed;
            record.ended_at = Some(day(ended));
            store.finish_call(record, Vec::new()).await.unwrap();
        }
        id
    }

    #[tokio::test]
    async fn only_recordings_of_calls_that_ended_long_ago_are_removed_and_nothing_else() {
        let there = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", there.path().join("db").display());
        let store = Store::open(&url, Options::default()).await.unwrap();
        let folder = there.path().join("recordings");
        fs::create_dir(&folder).unwrap();
        let inside = |id: Uuid| folder.join(format!("{id}.wav"));
        let opus = |id: Uuid| folder.join(format!("{id}.opus"));
        let outside = |id: Uuid| there.path().join(format!("{id}.wav"));
        let escaping = |id: Uuid| folder.join(format!("../{id}.wav"));
        let renamed = |_| folder.join("notes.wav");
        let old = call(&store, Some(1), inside).await;
        let old_opus = call(&store, Some(1), opus).await;
        let gone = call(&store, Some(1), inside).await;
        let young = call(&store, Some(9), inside).await;
        let running = call(&store, None, inside).await;
        let elsewhere = call(&store, Some(1), outside).await;
        let above = call(&store, Some(1), escaping).await;
        let other = call(&store, Some(1), renamed).await;
        let linked = call(&store, Some(1), inside).await;
        let kept = [
            inside(young),
            inside(running),
            outside(elsewhere),
            outside(above),
            renamed(other),
            there.path().join("target.wav"),
        ];
        let removed = [inside(old), opus(old_opus)];
        for path in kept.iter().chain(&removed) {
            fs::write(path, "sound").unwrap();
        }
        std::os::unix::fs::symlink(&kept[5], inside(linked)).unwrap();

        assert_eq!(remove_old(&store, &folder, day(5)).await.unwrap(), 2);
        assert!(removed.iter().all(|path| !path.exists()));
        assert!(kept.iter().all(|path| path.exists()));
        assert!(fs::symlink_metadata(inside(linked)).is_ok());
        for id in [old, old_opus] {
            let recording = store.recording(id).await.unwrap();
            assert_eq!(recording, Some(Recording::Removed));
        }
        // One that is not there may be back when its volume is mounted.
        for id in [young, running, elsewhere, above, other, linked, gone] {
            let recording = store.recording(id).await.unwrap();
            assert!(matches!(recording, Some(Recording::At(_))));
        }
        assert_eq!(remove_old(&store, &folder, day(5)).await.unwrap(), 0);
    }
}
