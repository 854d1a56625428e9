//! What can go wrong in the store.

use std::path::PathBuf;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL names no database that this build can open.
    #[error("store.url: {0}")]
    Url(String),
    /// A folder or file of the store could not be made or opened.
    #[error("cannot open {path}: {source}", path = path.display())]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has the store open.
    #[error("{path} is in use by another process: stop it first", path = .0.display())]
    InUse(PathBuf),
    /// The database refused a statement.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database cannot be written at present; ask again later (HTTP 503).
    #[error("the database cannot be written at present: {0}")]
    Unavailable(String),
    /// Neither the database nor the spill file took the record.
    #[error("the record could not be kept: {0}")]
    Lost(String),
    /// A value that the caller passed is not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
