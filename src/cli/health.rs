//! `offhook health`: for a container's or a supervisor's health check.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

/// Exit code 0 when the switch says that it is ready.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  offhook health http://127.0.0.1:8080/readyz")]
pub(super) struct HealthArgs {
    /// The address to ask
    #[arg(default_value = "http://127.0.0.1:8080/readyz")]
    url: String,
    /// Print the answer as it came
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let client = reqwest::blocking::Client::builder()
        .timeout(Duration::from_secs(3))
        .build()?;
    let answer = client.get(&args.url).send()?;
    let ready = answer.status().is_success();
    let body = answer.text()?;
    if args.json || !ready {
        super::say(body.trim_end());
    }
    Ok(if ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
