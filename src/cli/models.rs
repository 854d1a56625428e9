//! `offhook models`: the on-box models' files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use offhook_models::manifest::{self, Manifest, Model};
use offhook_models::pull::{self, FileState, Progress, Sources};
use serde_json::{Value, json};

use crate::ai::needed_models;
use crate::config::Config;

/// Fetches, lists and verifies models.
#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// Fetch what is missing, with checksums; an interrupted pull goes on where it was
    #[command(
        after_help = "Examples:\n  offhook models pull\n  offhook models pull whisper-base\n  \
        offhook models pull --config /etc/offhook/offhook.toml\n  \
        OFFHOOK_MODEL_MIRROR=/mnt/models offhook models pull"
    )]
    Pull(Selection),
    /// List the models, their sizes, licences, and whether they are there
    #[command(after_help = "Example:\n  offhook models list --json")]
    List(Selection),
    /// Check the files that are there by their SHA-256
    #[command(after_help = "Example:\n  offhook models verify")]
    Verify(Selection),
}

/// Which models, and where.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Models by name; without any, those that a switch needs
    names: Vec<String>,
    /// The folder; without it the configuration's, or the cache that every checkout shares
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Take the folder, and without names the models, from what this configuration needs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &ModelsCommand) -> anyhow::Result<ExitCode> {
    let (ModelsCommand::Pull(selection)
    | ModelsCommand::List(selection)
    | ModelsCommand::Verify(selection)) = command;
    let config = match &selection.config {
        None => None,
        Some(file) => match super::config::load(Some(file)) {
            Ok(config) => Some(config),
            Err(errors) => return Ok(super::config::refuse(&errors)),
        },
    };
    let dir = folder(selection, config.as_ref());
    let manifest = Manifest::embedded();
    let models = match (command, &config) {
        _ if !selection.names.is_empty() => pull::select(manifest, &selection.names)?,
        (ModelsCommand::List(_), _) => manifest.models.iter().collect(),
        (_, Some(config)) => needed_models(config),
        (_, None) => pull::select(manifest, &[])?,
    };
    match command {
        ModelsCommand::Pull(_) => fetch(selection, &dir, &models),
        ModelsCommand::List(_) => list(selection, &dir, &models),
        ModelsCommand::Verify(_) => verify(selection, &dir, &models),
    }
}

fn folder(selection: &Selection, config: Option<&Config>) -> PathBuf {
    let environment = || std::env::var_os("OFFHOOK__MODELS__DIR").map(PathBuf::from);
    let named = selection.dir.clone();
    named
        .or_else(|| config.map(|config| config.models.dir.clone()))
        .or_else(environment)
        .unwrap_or_else(manifest::default_dir)
}

fn fetch(selection: &Selection, dir: &Path, models: &[&Model]) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new(selection.json);
    let report = pull::pull(dir, models, &Sources::from_env(), &mut bar)?;
    if selection.json {
        super::say(json!({
            "dir": dir, "fetched": report.fetched, "present": report.present,
        }));
    } else if models.is_empty() {
        super::say("the configuration has no agent: it needs no model");
    } else if report.fetched.is_empty() {
        super::say(format_args!(
            "all {} files are in {}",
            report.present.len(),
            dir.display()
        ));
    } else {
        super::say(format_args!(
            "{} files fetched into {}, {} were there",
            report.fetched.len(),
            dir.display(),
            report.present.len()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(selection: &Selection, dir: &Path, models: &[&Model]) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for model in models {
        let missing = model
            .files_here()
            .filter(|f| pull::state(dir, f) != FileState::Present);
        let present = missing.count() == 0;
        let mib = model.size() as f64 / f64::from(1 << 20);
        if selection.json {
            rows.push(json!({
                "name": model.name, "about": model.about, "license": model.license,
                "note": model.note, "bytes": model.size(), "default": model.default,
                "present": present,
            }));
        } else {
            let mark = if present { "✓" } else { "·" };
            let optional = if model.default { "" } else { " (optional)" };
            super::say(format_args!(
                "{mark} {:24} {mib:7.1} MiB  {} [{}]{optional}",
                model.name, model.about, model.license
            ));
        }
    }
    if selection.json {
        super::say(json!({ "dir": dir, "models": rows }));
    } else {
        super::say(format_args!(
            "in {}; fetch with: offhook models pull [NAME]",
            dir.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(selection: &Selection, dir: &Path, models: &[&Model]) -> anyhow::Result<ExitCode> {
    let mut wrong = Vec::new();
    let mut right = 0;
    for model in models {
        for file in model.files_here() {
            match pull::verify(dir, file) {
                FileState::Present => right += 1,
                state => wrong.push((file.path.display().to_string(), state)),
            }
        }
    }
    if selection.json {
        let wrong: Vec<Value> = wrong
            .iter()
            .map(|(path, state)| json!({ "file": path, "state": word(*state) }))
            .collect();
        super::say(json!({ "dir": dir, "right": right, "wrong": wrong }));
    } else {
        for (path, state) in &wrong {
            super::say(format_args!("{}: {path}", word(*state)));
        }
        super::say(format_args!(
            "{right} files are right, {} are not",
            wrong.len()
        ));
        if !wrong.is_empty() {
            super::say("remove damaged files, then run: offhook models pull");
        }
    }
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn word(state: FileState) -> &'static str {
    match state {
        FileState::Present => "present",
        FileState::Missing => "missing",
        FileState::Damaged => "damaged",
    }
}

/// A progress bar on a terminal, a line a file elsewhere, nothing with `--json`.
struct Bar {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Bar {
    fn new(quiet: bool) -> Self {
        Self { bar: None, quiet }
    }
}

impl Progress for Bar {
    #[allow(clippy::print_stderr)]
    fn begin(&mut self, what: &str, bytes: u64) {
        if self.quiet {
            return;
        }
        let style = ProgressStyle::with_template(
            "{msg:44!} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        );
        let bar = ProgressBar::new(bytes);
        if bar.is_hidden() {
            eprintln!("fetching {what}, {bytes} bytes");
        }
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        self.bar = Some(bar);
    }

    fn reach(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            // A package is larger or smaller than the file that it carries.
            bar.set_length(bar.length().unwrap_or(0).max(bytes));
            bar.set_position(bytes);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }

    #[allow(clippy::print_stderr)]
    fn note(&mut self, text: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) if !bar.is_hidden() => bar.println(text),
            _ => eprintln!("{text}"),
        }
    }
}
