//! `offhook config check`: what a configuration says, or everything that is wrong with it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use crate::agent::flow;
use crate::config::{Config, ConfigErrors, Env, FlowSource};

/// Checks configurations.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read a configuration as `run` would, and print what was understood
    #[command(
        after_help = "Example:\n  offhook config check /etc/offhook/offhook.toml\n\nThe exit \
        code is 2 when something is wrong."
    )]
    Check {
        /// The file; without it offhook.toml, config/offhook.toml or /etc/offhook/offhook.toml
        file: Option<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Check { file, json } = command;
    match load(file.as_ref()) {
        Err(errors) if *json => {
            let problems: Vec<_> = errors
                .problems()
                .iter()
                .map(|problem| json!({ "key": problem.key, "message": problem.message }))
                .collect();
            super::say(json!({ "ok": false, "file": errors.file(), "problems": problems }));
            Ok(ExitCode::from(ConfigErrors::EXIT_CODE))
        }
        Err(errors) => Ok(refuse(&errors)),
        Ok(config) => {
            let problems = flow_problems(&config);
            if *json {
                super::say(json!({
                    "ok": problems.is_empty(), "file": config.file, "problems": problems,
                    "warnings": config.warnings, "summary": config.summary().to_string(),
                }));
            } else {
                super::say(config.summary());
                problems.iter().for_each(super::say);
            }
            let wrong = !problems.is_empty();
            Ok(if wrong {
                ExitCode::from(ConfigErrors::EXIT_CODE)
            } else {
                ExitCode::SUCCESS
            })
        }
    }
}

/// Reads the named configuration, or the one that there is.
pub(super) fn load(file: Option<&PathBuf>) -> Result<Config, ConfigErrors> {
    let env = Env::process();
    match file.cloned().or_else(|| Config::locate(&env)) {
        Some(path) => Config::load(&path, &env),
        None => Config::from_env(&env),
    }
}

/// What is wrong with the agents' flows.
fn flow_problems(config: &Config) -> Vec<String> {
    let files = config.agents.iter().filter_map(|agent| match &agent.flow {
        FlowSource::File(path) => Some(path),
        FlowSource::BuiltIn(_) => None,
    });
    let problems = files.flat_map(|path| flow::check(path));
    let wrong = problems.filter(|problem| problem.severity == flow::Severity::Error);
    wrong.map(|problem| problem.to_string()).collect()
}

/// Prints everything that is wrong and gives the exit code that says so.
#[allow(clippy::print_stderr)]
pub(super) fn refuse(errors: &ConfigErrors) -> ExitCode {
    eprintln!("{errors}");
    ExitCode::from(ConfigErrors::EXIT_CODE)
}
