//! `offhook bench`.

use std::process::ExitCode;

use clap::Subcommand;

/// Measures the switch on the wire.
#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Voice to voice
    Turn,
}

pub(super) fn run(_command: &BenchCommand) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
