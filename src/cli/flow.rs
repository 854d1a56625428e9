//! `offhook flow check`: everything that is wrong with a flow, before a caller finds it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use crate::agent::flow;

/// Checks flows.
#[derive(Debug, Subcommand)]
pub(super) enum FlowCommand {
    /// Read a flow and report every mistake with its node and key
    #[command(
        after_help = "Example:\n  offhook flow check config/flows/lead-qualification.toml\n\n\
        The exit code is 2 when something is wrong."
    )]
    Check {
        /// The flow's TOML file
        file: PathBuf,
        /// Print the problems as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of flow files, for editors
    #[command(after_help = "Example:\n  offhook flow schema > flow.schema.json")]
    Schema,
}

pub(super) fn run(command: &FlowCommand) -> anyhow::Result<ExitCode> {
    match command {
        FlowCommand::Schema => {
            super::say(serde_json::to_string_pretty(&flow::schema())?);
            Ok(ExitCode::SUCCESS)
        }
        FlowCommand::Check { file, json } => {
            let problems = flow::check(file);
            let wrong = problems.iter().any(|p| p.severity == flow::Severity::Error);
            if *json {
                super::say(json!({ "ok": !wrong, "problems": problems }));
            } else {
                problems.iter().for_each(super::say);
                if !wrong {
                    super::say(format_args!("{}: the flow can run", file.display()));
                }
            }
            Ok(if wrong {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            })
        }
    }
}
