//! Python packages that carry models: found in the package index or by `pip`, opened as the zip
//! files that they are.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::Progress;
use super::download::Downloader;
use super::error::SourceError;
use super::place::PartialFolder;
use crate::manifest::Part;

/// The index's JSON form (PEP 691).
const INDEX_TYPE: &str = "application/vnd.pypi.simple.v1+json";
/// No wheel that the manifest names is larger, in bytes.
const LARGEST_WHEEL: u64 = 1 << 30;

#[derive(Deserialize)]
struct Project {
    files: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    filename: String,
    url: String,
}

/// The wheel's file name: name and version normalised, then the tags (PEP 427).
fn wheel_name(part: &Part) -> String {
    format!(
        "{}-{}-{}.whl",
        part.package.replace(['-', '.'], "_"),
        part.version,
        part.wheel
    )
}

/// Two wheels are the same when name, version, Python and ABI agree and the platform is among
/// the tags: `manylinux2014` is published as `manylinux_2_17_….manylinux2014_…`.
fn is_wheel_of(filename: &str, part: &Part) -> bool {
    let normal = |text: &str| text.to_ascii_lowercase().replace(['-', '.'], "_");
    let wanted = wheel_name(part);
    let fields = |name: &str| -> Option<Vec<String>> {
        let stem = name.strip_suffix(".whl")?;
        let mut fields: Vec<String> = stem.rsplitn(4, '-').map(str::to_owned).collect();
        fields.reverse();
        (fields.len() == 4).then_some(fields)
    };
    let (Some(found), Some(wanted)) = (fields(filename), fields(&wanted)) else {
        return false;
    };
    let same = |at: usize| match (found.get(at), wanted.get(at)) {
        (Some(found), Some(wanted)) => normal(found) == normal(wanted),
        _ => false,
    };
    let platform = match (found.get(3), wanted.get(3)) {
        (Some(found), Some(wanted)) => found.split('.').any(|tag| tag == wanted),
        _ => false,
    };
    same(0) && same(1) && same(2) && platform
}

/// Where a part's wheel grows.
pub(super) fn growing(part: &Part, partial: &PartialFolder) -> PathBuf {
    partial.named(&wheel_name(part))
}

/// A package index, asked over HTTP (PEP 691).
pub(super) struct Index {
    base: String,
    downloader: Downloader,
}

impl Index {
    pub(super) fn new(base: &str, downloader: Downloader) -> Self {
        Self {
            base: base.to_owned(),
            downloader,
        }
    }

    /// Fetches a wheel.
    pub(super) fn wheel(
        &self,
        part: &Part,
        partial: &PartialFolder,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, SourceError> {
        let path = growing(part, partial);
        if open(&path).is_ok() {
            return Ok(path);
        }
        let project = format!("{}/{}/", self.base, part.package);
        let project = self.downloader.text(&project, INDEX_TYPE)?;
        let project: Project = serde_json::from_str(&project)
            .map_err(|_| SourceError::Archive("the index does not speak JSON".to_owned()))?;
        let mut listed = project.files.iter();
        let listed = listed.find(|listed| is_wheel_of(&listed.filename, part));
        let url = absolute(&self.base, &listed.ok_or(SourceError::Absent)?.url);
        self.downloader
            .download(&url, &path, LARGEST_WHEEL, progress)?;
        // A file that is no archive must not be gone on with.
        if let Err(error) = open(&path) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }
}

fn absolute(index: &str, url: &str) -> String {
    let base = reqwest::Url::parse(&format!("{index}/x/"));
    base.and_then(|base| base.join(url))
        .map_or_else(|_| url.to_owned(), |url| url.to_string())
}

/// Fetches a wheel by `pip`, which knows private indexes, proxies and certificates.
pub(super) fn from_pip(
    part: &Part,
    partial: &PartialFolder,
    progress: &mut dyn Progress,
) -> Result<PathBuf, SourceError> {
    progress.note(&format!("asking pip for {} {}", part.package, part.version));
    let folder = partial.named("pip");
    std::fs::create_dir_all(&folder)?;
    let mut tags = part.wheel.splitn(3, '-');
    let (python, abi, platform) = (tags.next(), tags.next(), tags.next());
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    pip.args([
        "--disable-pip-version-check",
        "--no-input",
        "--implementation",
        "cp",
    ]);
    let version = python
        .and_then(|tag| tag.strip_prefix("cp"))
        .unwrap_or("311");
    pip.args(["--python-version", version]);
    if let Some(platform) = platform.filter(|platform| *platform != "any") {
        pip.args(["--platform", platform, "--abi", abi.unwrap_or("none")]);
    }
    pip.arg("--dest")
        .arg(&folder)
        .arg(format!("{}=={}", part.package, part.version));
    pip.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = pip
        .output()
        .map_err(|error| SourceError::Pip(error.to_string()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().rev().find(|line| !line.trim().is_empty());
        return Err(SourceError::Pip(last.unwrap_or("it failed").to_owned()));
    }
    let found = std::fs::read_dir(&folder)?
        .filter_map(Result::ok)
        .find(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| is_wheel_of(name, part))
        });
    found.map(|entry| entry.path()).ok_or(SourceError::Absent)
}

fn open(path: &Path) -> Result<zip::ZipArchive<File>, SourceError> {
    let file = File::open(path)?;
    zip::ZipArchive::new(file).map_err(|error| SourceError::Archive(error.to_string()))
}

/// Appends a member of a wheel to `to`, one byte more than `most` at the most; returns how many.
pub(super) fn extract(
    wheel: &Path,
    member: &str,
    most: u64,
    to: &mut File,
) -> Result<u64, SourceError> {
    let mut archive = open(wheel)?;
    let member = archive
        .by_name(member)
        .map_err(|error| SourceError::Archive(format!("{member}: {error}")))?;
    let mut member = member.take(most.saturating_add(1));
    // What cannot be unpacked is the archive's fault far more often than the disk's.
    io::copy(&mut member, to).map_err(|error| SourceError::Archive(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(package: &str, wheel: &str) -> Part {
        Part {
            package: package.to_owned(),
            version: "1.0".to_owned(),
            wheel: wheel.to_owned(),
            member: String::new(),
        }
    }

    #[test]
    fn a_wheel_is_known_by_name_version_and_one_of_its_platforms() {
        let loader = part("espeakng-loader", "py3-none-manylinux2014_x86_64");
        let both = "espeakng_loader-1.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        assert!(is_wheel_of(both, &loader));
        assert!(!is_wheel_of(
            "espeakng_loader-1.0-py3-none-macosx_11_0_arm64.whl",
            &loader
        ));
        assert!(!is_wheel_of(
            "espeakng_loader-1.1-py3-none-manylinux2014_x86_64.whl",
            &loader
        ));
        assert!(is_wheel_of(
            "pipecat_ai-1.0-py3-none-any.whl",
            &part("pipecat-ai", "py3-none-any")
        ));
        assert!(!is_wheel_of("nonsense", &loader));
    }

    #[test]
    fn an_index_may_give_relative_addresses() {
        let url = absolute("http://127.0.0.1:9/simple", "../../files/a.whl");
        assert_eq!(url, "http://127.0.0.1:9/files/a.whl");
    }
}
