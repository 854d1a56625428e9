//! Why models could not be fetched.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::manifest::Manifest;

/// Why a pull ended early.
#[derive(Debug, Error)]
pub enum PullError {
    /// The manifest has no such model.
    #[error("there is no model `{name}`; there are: {known}")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A folder or file cannot be written.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Write {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another pull works on the same folder.
    #[error("another `offhook models pull` is at work in {path}", path = .0.display())]
    Busy(PathBuf),
    /// Every source failed.
    #[error(
        "{file} could not be fetched:\n{reasons}\nCheck the network, or put the models into a \
         folder and name it in OFFHOOK_MODEL_MIRROR"
    )]
    NoSource {
        /// The file.
        file: String,
        /// What each source said, a line each.
        reasons: String,
    },
}

impl PullError {
    pub(super) fn unknown(name: &str, manifest: &Manifest) -> Self {
        let known: Vec<_> = manifest
            .models
            .iter()
            .map(|model| model.name.as_str())
            .collect();
        Self::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        }
    }
}

/// Why one source did not give a file.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It does not have it.
    #[error("it does not have the file")]
    Absent,
    /// The server refused.
    #[error("the server answered {0}")]
    Status(u16),
    /// The connection failed; what came so far is kept.
    #[error("{0}")]
    Connection(String),
    /// The server was connected but sent nothing for so long; what came before is kept.
    #[error("the server sent nothing for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// The server sends, but so little that it would not end; what came before is kept.
    #[error("the server is too slow: {bytes} bytes in {} s", .took.as_secs_f32())]
    Slow {
        /// What came.
        bytes: u64,
        /// In which time.
        took: Duration,
    },
    /// More came than the file has, in bytes.
    #[error("more than {0} bytes came")]
    TooLong(u64),
    /// What came is not the file.
    #[error("what came is not the file: SHA-256 {found} instead of {wanted}")]
    Checksum {
        /// What it has.
        found: String,
        /// What it should have.
        wanted: String,
    },
    /// A wheel cannot be read.
    #[error("the package cannot be read: {0}")]
    Archive(String),
    /// `pip` failed or is not there.
    #[error("pip: {0}")]
    Pip(String),
    /// The disk failed.
    #[error("the disk: {0}")]
    Disk(#[from] io::Error),
}

impl SourceError {
    /// Whether the same source may give the rest when it is asked again.
    pub(super) fn may_be_gone_on_with(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Silent(_))
    }
}
