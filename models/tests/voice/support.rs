//! Where the tests find the phonemes' program.

use std::path::PathBuf;
use std::process::Command;

/// The program beside this test's, built first if only this package was.
pub(crate) fn phonemes_program() -> PathBuf {
    if let Some(found) = offhook_models::voice::phonemes::find_program() {
        return found;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "offhook-phonemes"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(
        cargo.status().expect("cargo runs").success(),
        "offhook-phonemes does not build"
    );
    offhook_models::voice::phonemes::find_program().expect("offhook-phonemes was just built")
}
