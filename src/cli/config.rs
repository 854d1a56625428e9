//! `offhook config check`: what a configuration says, or everything that is wrong with it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use offhook_models::manifest::Manifest;
use serde_json::json;

use super::ambience::Ambiences;
use crate::agent::flow;
use crate::config::{Config, ConfigErrors, Env, FlowSource, Origin};

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
                .map(|problem| {
                    let (line, variable) = match &problem.origin {
                        Origin::Line(line) => (Some(line), None),
                        Origin::Env(name) => (None, Some(name)),
                        Origin::Absent => (None, None),
                    };
                    json!({
                        "line": line, "variable": variable, "key": problem.key,
                        "message": problem.message,
                    })
                })
                .collect();
            super::say(json!({ "ok": false, "file": errors.file(), "problems": problems }));
            Ok(ExitCode::from(ConfigErrors::EXIT_CODE))
        }
        Err(errors) => Ok(refuse(&errors)),
        Ok(config) => {
            let wrong = unusable(&config);
            if *json {
                let problems: Vec<_> = wrong.iter().map(Unusable::json).collect();
                super::say(json!({
                    "ok": wrong.is_empty(), "file": config.file, "problems": problems,
                    "warnings": config.warnings, "summary": config.summary().to_string(),
                }));
            } else {
                super::say(config.summary());
                wrong.iter().for_each(super::say);
            }
            Ok(if wrong.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(ConfigErrors::EXIT_CODE)
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

/// Something that a configuration names and that cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// A flow with a mistake.
    Flow(flow::Problem),
    /// A voice that there is not, with the key that names it.
    Voice(String, String),
    /// A sound that cannot be played, with the key that names it.
    Ambience(String, String),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flow(problem) => problem.fmt(f),
            Self::Voice(key, message) | Self::Ambience(key, message) => {
                write!(f, "{key}: {message}")
            }
        }
    }
}

impl Unusable {
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Flow(problem) => json!(problem),
            Self::Voice(key, message) | Self::Ambience(key, message) => {
                json!({ "key": key, "message": message })
            }
        }
    }
}

/// Finds what a well-formed configuration names and what cannot be used: flows with mistakes,
/// voices that there are not, sounds that cannot be played.
pub(super) fn unusable(config: &Config) -> Vec<Unusable> {
    let files = config.agents.iter().filter_map(|agent| match &agent.flow {
        FlowSource::File(path) => Some(path),
        FlowSource::BuiltIn(_) => None,
    });
    let problems = files.flat_map(|path| flow::check(path));
    let wrong = problems.filter(|problem| problem.severity == flow::Severity::Error);
    let unknown = config.voices().filter_map(|(key, voice)| {
        let own = config.models.dir.join(format!("piper-{voice}"));
        let manifest = Manifest::embedded();
        if manifest.voices().any(|known| known == voice) || own.is_dir() {
            return None;
        }
        let known: Vec<&str> = manifest.voices().collect();
        let message = format!(
            "there is no voice {voice:?}: write {:?}, or put a Piper voice of your own into {}",
            known.join(" or "),
            own.display()
        );
        Some(Unusable::Voice(key, message))
    });
    let mut ambiences = Ambiences::default();
    let silent = config.agents.iter().filter_map(|agent| {
        let error = ambiences.of(agent).err()?;
        let key = format!("agent {:?}: ambience", agent.name);
        Some(Unusable::Ambience(key, format!("{error:#}")))
    });
    let wrong = wrong.map(Unusable::Flow).chain(unknown);
    wrong.chain(silent).collect()
}

/// Prints what cannot be used and gives the exit code that says so.
#[allow(clippy::print_stderr)]
pub(super) fn refuse_unusable(wrong: &[Unusable]) -> ExitCode {
    for problem in wrong {
        eprintln!("{problem}");
    }
    ExitCode::from(ConfigErrors::EXIT_CODE)
}

/// Prints everything that is wrong and gives the exit code that says so.
#[allow(clippy::print_stderr)]
pub(super) fn refuse(errors: &ConfigErrors) -> ExitCode {
    eprintln!("{errors}");
    ExitCode::from(ConfigErrors::EXIT_CODE)
}
