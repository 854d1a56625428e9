//! Everything that is SQLite's: connections, schema and statements.
//!
//! This module is the seam for another database: the rest of the store hands it a [`Write`] or an
//! [`Ask`](super::write::Ask) and an open transaction, or asks it to read through a pool, and sees
//! no SQL. A sibling with the same functions is all that PostgreSQL needs.

mod calls;
mod gathered;
mod outbox;
mod perform;
mod rows;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::error::BoxDynError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

pub(super) use calls::{
    appointments, call, call_appointments, calls, contact, contacts, event_bounds, events, phones,
    recording, recordings_before, turns, unfinished,
};
pub(super) use outbox::{depth, list as outbox_rows};
pub(super) use perform::{Batch, created_before, reject};

use super::{Durability, Options, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// Where the database is and how it is opened.
#[derive(Debug, Clone)]
pub(super) struct Database {
    options: SqliteConnectOptions,
    path: PathBuf,
    readers: u32,
}

impl Database {
    /// Reads `sqlite://path`; the path is relative to the working folder unless it begins with `/`.
    pub(super) fn new(url: &str, options: &Options) -> Result<Self, StoreError> {
        let path = path_of(url)?;
        let synchronous = match options.durability {
            Durability::PowerLoss => SqliteSynchronous::Full,
            Durability::Crash => SqliteSynchronous::Normal,
        };
        let mut connect = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .foreign_keys(true)
            .busy_timeout(options.busy_timeout)
            .create_if_missing(true)
            .disable_statement_logging();
        if let Some(bytes) = options.max_database_bytes {
            connect = connect.pragma("max_page_count", (bytes / 4096).max(1).to_string());
        }
        Ok(Self {
            options: connect,
            path,
            readers: options.readers.max(1),
        })
    }

    /// Returns where the database file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folders and the file, readable by its owner alone: it holds what people said.
    /// SQLite gives its journal files the same mode.
    pub(super) fn create(&self) -> Result<(), StoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Open { path, source }
        };
        if let Some(folder) = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
        {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(failed(&self.path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Opens the one connection that writes; it waits `busy_timeout` for other processes' locks.
    pub(super) async fn writer(&self, busy_timeout: Duration) -> sqlx::Result<SqliteConnection> {
        self.options
            .clone()
            .busy_timeout(busy_timeout)
            .connect()
            .await
    }

    /// Opens the connections that read.
    pub(super) fn readers(&self) -> SqlitePool {
        let options = self
            .options
            .clone()
            .create_if_missing(false)
            .pragma("query_only", "1");
        SqlitePoolOptions::new()
            .max_connections(self.readers)
            .connect_lazy_with(options)
    }
}

/// Brings the schema up to date.
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    Ok(MIGRATIONS.run_direct(None, conn, false).await?)
}

/// Proves that the database can be written; returns the number of the last record of this spill
/// file that is in the database.
pub(super) async fn probe(conn: &mut SqliteConnection, spill_id: u64) -> sqlx::Result<u64> {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let known: i64 =
        sqlx::query_scalar("UPDATE meta SET value = value WHERE name = 'spill_id' RETURNING value")
            .fetch_one(&mut *transaction)
            .await?;
    let seq: i64 = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'spill_seq'")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(if known == spill_id.cast_signed() {
        seq.cast_unsigned()
    } else {
        0
    })
}

/// Sets how long the connection waits for another process's lock.
pub(super) async fn set_busy_timeout(
    conn: &mut SqliteConnection,
    timeout: Duration,
) -> sqlx::Result<()> {
    let pragma = format!("PRAGMA busy_timeout = {}", timeout.as_millis());
    sqlx::query(AssertSqlSafe(pragma)).execute(conn).await?;
    Ok(())
}

/// Returns the highest event number ever given.
pub(super) async fn last_event_id(conn: &mut SqliteConnection) -> sqlx::Result<i64> {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
            .fetch_optional(conn)
            .await?;
    Ok(last.unwrap_or(0))
}

/// Gives rows that were in flight when the last process ended back to be delivered.
pub(super) async fn release_claims(conn: &mut SqliteConnection) -> sqlx::Result<u64> {
    let done = sqlx::query("UPDATE outbox SET state = 'pending' WHERE state = 'delivering'")
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// Remembers that every record of the spill file up to `seq` is in the database.
pub(super) async fn set_spill_seq(
    conn: &mut SqliteConnection,
    spill_id: u64,
    seq: u64,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE meta SET value = iif(name = 'spill_id', ?1, ?2) WHERE name LIKE 'spill_%'")
        .bind(spill_id.cast_signed())
        .bind(seq.cast_signed())
        .execute(conn)
        .await?;
    Ok(())
}

/// Returns whether the database as a whole cannot be written, so that another statement would fare
/// no better (<https://www.sqlite.org/rescode.html>).
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    const PERM: i32 = 3;
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const NOMEM: i32 = 7;
    const READONLY: i32 = 8;
    const IOERR: i32 = 10;
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const CANTOPEN: i32 = 14;
    const NOTADB: i32 = 26;
    match error {
        sqlx::Error::Database(error) => {
            let code = error
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                .unwrap_or(0);
            matches!(
                code & 0xFF,
                PERM | BUSY
                    | LOCKED
                    | NOMEM
                    | READONLY
                    | IOERR
                    | CORRUPT
                    | FULL
                    | CANTOPEN
                    | NOTADB
            )
        }
        sqlx::Error::Io(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed => true,
        _ => false,
    }
}

/// An error for a value in the database that this version cannot read.
fn unreadable(error: impl Into<BoxDynError>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    // Another scheme's URL may hold a password: only its scheme is shown.
    let Some(path) = url.strip_prefix("sqlite:") else {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        return Err(StoreError::Url(format!(
            "this build keeps its records in SQLite: expected sqlite://path, found {scheme}:"
        )));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.is_empty() || path == ":memory:" {
        return Err(StoreError::Url(
            "a database in memory would lose every call: give a file, as sqlite://data/offhook.db"
                .into(),
        ));
    }
    // `StoreConfig::sqlite` writes these two so.
    Ok(PathBuf::from(path.replace("%3F", "?").replace("%25", "%")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_path_and_anything_else_is_told_apart() {
        let path = |url| path_of(url).unwrap();
        assert_eq!(
            path("sqlite://data/offhook.db"),
            Path::new("data/offhook.db")
        );
        assert_eq!(
            path("sqlite:///var/lib/offhook.db"),
            Path::new("/var/lib/offhook.db")
        );
        assert_eq!(path("sqlite:offhook.db?mode=rwc"), Path::new("offhook.db"));
        let error = path_of("postgres://user:hush@host/db")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("postgres:") && !error.contains("hush"),
            "{error}"
        );
        assert!(path_of("sqlite::memory:").is_err());
        let odd = Path::new("/data/100% true?/offhook.db");
        let config = crate::config::StoreConfig::sqlite(odd);
        assert_eq!(path(config.url.expose()), odd);
    }
}
