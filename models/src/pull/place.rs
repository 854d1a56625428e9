//! Where files lie while they are fetched, and how they get to their place.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{PullError, SourceError};
use crate::manifest;

/// Bytes hashed at once.
const BLOCK: usize = 1 << 20;

/// A folder for what is not whole yet; it survives an interruption.
#[derive(Debug)]
pub(super) struct PartialFolder {
    path: PathBuf,
    /// Held so that two pulls do not write the same file.
    _lock: File,
}

impl PartialFolder {
    pub(super) fn open(dir: &Path) -> Result<Self, PullError> {
        let path = dir.join(".partial");
        let failed = |source| PullError::Write {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(&path).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(PullError::Busy(dir.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(PullError::Write { path, source }),
        }
    }

    /// Where a file of the manifest grows; the checksum in its name keeps versions apart.
    pub(super) fn growing(&self, file: &manifest::File) -> PathBuf {
        self.path.join(&file.sha256)
    }

    /// Where something else grows, by a name that cannot leave the folder.
    pub(super) fn named(&self, name: &str) -> PathBuf {
        let safe = |c: char| c.is_ascii_alphanumeric() || ".-_+".contains(c);
        self.path.join(name.replace(|c: char| !safe(c), "_"))
    }

    /// Checks a whole file; one that is wrong is removed.
    pub(super) fn check(&self, file: &manifest::File) -> Result<(), SourceError> {
        let path = self.growing(file);
        let found = digest(&path)?;
        if found == file.sha256 {
            return Ok(());
        }
        fs::remove_file(&path)?;
        Err(SourceError::Checksum {
            found,
            wanted: file.sha256.clone(),
        })
    }

    /// Moves a checked file to its place in one step.
    pub(super) fn move_into_place(
        &self,
        file: &manifest::File,
        to: &Path,
    ) -> Result<(), PullError> {
        let failed = |source| PullError::Write {
            path: to.to_owned(),
            source,
        };
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let from = self.growing(file);
        File::open(&from)
            .and_then(|whole| whole.sync_all())
            .map_err(failed)?;
        fs::rename(&from, to).map_err(failed)
    }

    /// Removes the folder after a pull that went through.
    pub(super) fn remove(self) {
        // Only litter is left in it; a folder that stays does no harm.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Computes a file's SHA-256 in hexadecimal.
pub(super) fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        let length = file.read(&mut block)?;
        let Some(bytes) = block.get(..length).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        hash.update(bytes);
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
