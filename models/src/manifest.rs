//! The manifest: which files there are, what they must be, and where they come from.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;

/// The models that Offhook knows, as `manifest.toml` lists them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models in the order in which they are fetched.
    #[serde(rename = "model")]
    pub models: Vec<Model>,
}

/// A model: files that are fetched and used together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name by which it is selected.
    pub name: String,
    /// What it is for, in one line.
    pub about: String,
    /// Its licence.
    pub license: String,
    /// What a person should read about the licence before using it.
    #[serde(default)]
    pub note: Option<String>,
    /// Whether it is fetched when nothing is selected.
    #[serde(default)]
    pub default: bool,
    /// Its files; one of several platforms is kept only there.
    #[serde(rename = "file")]
    pub files: Vec<File>,
}

/// A file, put together from its parts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Path below the model folder.
    pub path: PathBuf,
    /// Platform (`linux-x86_64`) that alone needs it; none for all.
    #[serde(default)]
    pub platform: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Where its authors publish it.
    #[serde(default)]
    pub original: Option<Original>,
    /// Members of Python packages that, joined in order, are the file.
    #[serde(rename = "part")]
    pub parts: Vec<Part>,
}

/// A file in a repository on Hugging Face.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Original {
    /// Owner and name of the repository.
    pub repository: String,
    /// Path in the repository.
    pub file: String,
}

/// A member of a Python package's wheel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Name of the package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Python, ABI and platform tags of the wheel.
    pub wheel: String,
    /// Path in the wheel.
    pub member: String,
}

/// The platform that this binary was built for, as the manifest spells it.
pub const PLATFORM: &str = platform();

const fn platform() -> &'static str {
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        "linux-x86_64"
    } else if cfg!(all(target_os = "linux", target_arch = "aarch64")) {
        "linux-aarch64"
    } else {
        "unsupported"
    }
}

impl Manifest {
    /// Returns the manifest built into this binary.
    ///
    /// # Panics
    /// Never: a test reads the file that is built in.
    #[must_use]
    pub fn embedded() -> &'static Self {
        static EMBEDDED: OnceLock<Manifest> = OnceLock::new();
        EMBEDDED.get_or_init(|| {
            toml::from_str(include_str!("../manifest.toml")).unwrap_or(Self { models: Vec::new() })
        })
    }

    /// Returns the model of a name.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// Returns the names of the voices, as a configuration spells them.
    pub fn voices(&self) -> impl Iterator<Item = &str> {
        self.models
            .iter()
            .filter_map(|model| model.name.strip_prefix("piper-"))
    }

    /// Says which command fetches a file that is missing from a model folder.
    #[must_use]
    pub fn mend(&self, missing: &Path) -> String {
        let found = self.models.iter().find_map(|model| {
            let file = model.files_here().find(|f| missing.ends_with(&f.path))?;
            let depth = file.path.components().count();
            Some((model, missing.ancestors().nth(depth)?))
        });
        let Some((model, dir)) = found else {
            return "it cannot be fetched; `offhook models list` shows what can".to_owned();
        };
        let mut command = "offhook models pull".to_owned();
        // Without a name those come that a switch needs by default.
        if !model.default {
            command = format!("{command} {}", model.name);
        }
        if dir != default_dir() {
            command = format!("{command} --dir {}", dir.display());
        }
        format!("run `{command}`")
    }

    /// Returns the path of ONNX Runtime's library in a model folder; `ORT_DYLIB_PATH` in the
    /// environment, if set, names another one.
    #[must_use]
    pub fn runtime_library(&self, dir: &Path) -> PathBuf {
        if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
            return PathBuf::from(path);
        }
        let files = self
            .model("onnxruntime")
            .into_iter()
            .flat_map(Model::files_here);
        let path = files.map(|file| dir.join(&file.path)).next();
        path.unwrap_or_else(|| dir.join("onnxruntime/libonnxruntime.so"))
    }

    /// Returns the path in a model folder of the file of `model` whose name ends in `suffix`.
    #[must_use]
    pub fn file(&self, dir: &Path, model: &str, suffix: &str) -> PathBuf {
        let files = self.model(model).into_iter().flat_map(Model::files_here);
        let named = |file: &&File| file.path.to_string_lossy().ends_with(suffix);
        let mut found = files.filter(named).map(|file| dir.join(&file.path));
        found.next().unwrap_or_else(|| dir.join(model).join(suffix))
    }
}

impl Model {
    /// Returns the files that this platform needs.
    pub fn files_here(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| {
            file.platform
                .as_deref()
                .is_none_or(|platform| platform == PLATFORM)
        })
    }

    /// Returns the size in bytes of the files that this platform needs.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files_here().map(|file| file.size).sum()
    }
}

/// Returns the folder that holds the models when none is configured: `OFFHOOK_MODELS_DIR`,
/// `$XDG_CACHE_HOME/offhook` or `~/.cache/offhook`.
#[must_use]
pub fn default_dir() -> PathBuf {
    let folder = |variable| std::env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(dir) = folder("OFFHOOK_MODELS_DIR") {
        return PathBuf::from(dir);
    }
    let cache = folder("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| folder("HOME").map(|home| Path::new(&home).join(".cache")));
    cache.unwrap_or_else(|| PathBuf::from(".")).join("offhook")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_names_the_command_that_fetches_it() {
        let manifest = Manifest::embedded();
        let mend = |dir: &Path, model| manifest.mend(&manifest.file(dir, model, ""));
        let here = default_dir();
        assert_eq!(mend(&here, "silero-vad"), "run `offhook models pull`");
        assert_eq!(
            mend(&here, "whisper-base"),
            "run `offhook models pull whisper-base`"
        );
        assert_eq!(
            mend(Path::new("/srv/models"), "whisper-base"),
            "run `offhook models pull whisper-base --dir /srv/models`"
        );
        let unknown = manifest.mend(&here.join("piper-xx/xx.onnx"));
        assert!(unknown.contains("offhook models list"), "{unknown}");
    }
}
