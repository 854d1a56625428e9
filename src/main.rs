//! Offhook, a phone switch that talks.

use std::process::ExitCode;

fn main() -> ExitCode {
    offhook::cli::run()
}
