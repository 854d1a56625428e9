//! Where the program and espeak-ng are.

use std::path::{Path, PathBuf};

const PROGRAM: &str = if cfg!(windows) {
    "offhook-phonemes.exe"
} else {
    "offhook-phonemes"
};

/// Finds the program: `OFFHOOK_PHONEMES`, or beside this executable.
///
/// A test's executable lies one folder below the build's others, so the folder above is looked in
/// as well, and so is an installation's `libexec/offhook`.
#[must_use]
pub fn find_program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("OFFHOOK_PHONEMES").filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let own = std::env::current_exe().ok()?;
    let own = own.canonicalize().unwrap_or(own);
    let beside = own.parent()?;
    let above = beside.parent();
    let candidates = [
        Some(beside.join(PROGRAM)),
        above.map(|above| above.join(PROGRAM)),
        above.map(|above| above.join("libexec/offhook").join(PROGRAM)),
    ];
    candidates.into_iter().flatten().find(|path| path.is_file())
}

/// Finds the folder with libespeak-ng and its data in a model folder.
///
/// `OFFHOOK_ESPEAK_DIR` is left to the program itself, which reads it when nothing is found here.
#[must_use]
pub fn espeak_dir(models: &Path) -> Option<PathBuf> {
    let data = crate::manifest::Manifest::embedded().file(models, "espeak-ng", "phontab");
    let dir = data.parent()?.parent()?;
    let library = std::fs::read_dir(dir).ok()?.flatten().any(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .starts_with("libespeak-ng.")
    });
    (library && data.is_file()).then(|| dir.to_owned())
}
