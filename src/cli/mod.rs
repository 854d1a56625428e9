//! The command line: what each command is called, what it takes, and how it ends.

mod ambience;
mod bench;
mod call;
mod config;
mod demonstration;
mod doctor;
mod flow;
mod health;
mod housekeeping;
mod models;
pub mod run;
mod saturation;
mod sip_settings;
pub(crate) mod wav;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Offhook: a phone switch that talks.
#[derive(Debug, Parser)]
#[command(
    name = "offhook",
    version,
    about = "A phone switch that talks: SIP trunk in, on-box speech, CRM out",
    after_help = "Examples:\n  offhook run --demo\n  offhook call sip:lead-qualification@127.0.0.1 \
                  --play hello.wav --record heard.wav",
    propagate_version = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the switch
    Run(run::RunArgs),
    /// Place a call from the command line
    Call(call::CallArgs),
    /// Fetch, list and verify the on-box models
    #[command(subcommand, after_help = "Example:\n  offhook models pull")]
    Models(models::ModelsCommand),
    /// Check a configuration
    #[command(
        subcommand,
        after_help = "Example:\n  offhook config check offhook.toml"
    )]
    Config(config::ConfigCommand),
    /// Check a flow
    #[command(subcommand, after_help = "Example:\n  offhook flow check flow.toml")]
    Flow(flow::FlowCommand),
    /// Find out what is wrong with a trunk: its addresses, its registration, a call over it
    Doctor(doctor::DoctorArgs),
    /// Measure the switch on the wire
    #[command(
        subcommand,
        after_help = "Example:\n  offhook bench turn --calls 1 --json"
    )]
    Bench(bench::BenchCommand),
    /// Ask a running switch whether it is ready, for health checks
    Health(health::HealthArgs),
}

/// Runs the command that was asked for and gives the program's exit code.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    crate::tls::install();
    let ended = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Call(args) => call::run(&args),
        Command::Models(command) => models::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Flow(command) => flow::run(&command),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(command) => bench::run(&command),
        Command::Health(args) => health::run(&args),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error with everything that led to it.
#[allow(clippy::print_stderr)]
fn say_error(error: &anyhow::Error) {
    eprintln!("offhook: {error:#}");
}

/// Prints a line of a command's result.
pub(crate) fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    // Who reads the first line only, as `head -1` does, has read enough.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Starts the runtime of a command that waits for the network.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
