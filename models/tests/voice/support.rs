//! Where the tests find the models and the phonemes' program.

use std::path::PathBuf;
use std::process::Command;

/// The model folder: `OFFHOOK_MODELS_DIR`, or the user's cache.
pub fn models_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("OFFHOOK_MODELS_DIR") {
        return PathBuf::from(dir);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    cache.unwrap_or_else(home).join("offhook")
}

/// The program beside this test's, built first if only this package was.
pub fn phonemes_program() -> PathBuf {
    if let Some(found) = offhook_models::voice::phonemes::find_program() {
        return found;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "offhook-phonemes"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "offhook-phonemes does not build");
    offhook_models::voice::phonemes::find_program().expect("offhook-phonemes was just built")
}
