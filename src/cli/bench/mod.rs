//! `offhook bench`: figures taken on the wire, from a caller's packets and waveform, never from
//! the switch's own events. The switch under test is a process of its own. The jitter buffer alone
//! is measured offline.

mod active_call;
mod barge_in;
mod caller;
mod capacity;
mod churn;
mod cpu;
mod cyclictest;
mod figures;
mod graph;
mod jitter;
mod load;
mod pressure;
mod probe;
mod process;
mod progress;
mod relay;
mod sip;
mod subject;
mod switch;
mod turn;

pub(in crate::cli) use probe::probe;

use std::process::ExitCode;

use clap::Subcommand;

/// Measures the switch on the wire.
#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Voice to voice and barge-in, with everything on the box
    #[command(after_help = "Example:\n  offhook bench turn --calls 1 --json")]
    Turn(turn::TurnArgs),
    /// Whether the agent gives way to whoever interrupts it, and to nothing else
    #[command(
        after_help = "Examples:\n  offhook bench barge-in\n  offhook bench barge-in --only \
                            echo --json\n  offhook bench barge-in --sounds /usr/share/asterisk/moh"
    )]
    BargeIn(barge_in::BargeInArgs),
    /// Simultaneous calls with voice detection on one core, and what they cost
    #[command(after_help = "Example:\n  offhook bench capacity --calls 100 --seconds 30 --json")]
    Capacity(capacity::CapacityArgs),
    /// What a call costs beside the machine's floor, a bare C echo, and how evenly it is sent
    #[command(
        after_help = "Examples:\n  offhook bench switch --calls 100 --json\n  offhook bench \
                            switch --relay --calls 200\n  offhook bench switch --calls 1000 \
                            --load\n  offhook bench switch --churn 20000"
    )]
    Switch(switch::SwitchArgs),
    /// What signalling costs: reading a message, INVITE to 180, calls a second, beside Kamailio
    #[command(
        after_help = "Examples:\n  offhook bench sip --json\n  offhook bench sip --rate 500 \
                            --max-rate 0\n  offhook bench sip --parse"
    )]
    Sip(sip::SipArgs),
    /// Reads an INVITE so often, for `sip`
    #[command(hide = true)]
    SipReader {
        /// How often
        count: u32,
    },
    /// The engine alone as a relay, for `switch --relay`
    #[command(hide = true)]
    RelaySubject,
    /// The jitter buffer over traces, offline: delay, concealment, stretching
    #[command(
        after_help = "Examples:\n  offhook bench jitter\n  offhook bench jitter wifi \
                            lte-handover --json\n  offhook bench jitter measured.txt --voice hello.wav"
    )]
    Jitter(jitter::JitterArgs),
}

pub(super) fn run(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Turn(args) => super::runtime()?.block_on(turn::run(args)),
        BenchCommand::BargeIn(args) => super::runtime()?.block_on(barge_in::run(args)),
        BenchCommand::Capacity(args) => super::runtime()?.block_on(capacity::run(args)),
        BenchCommand::Jitter(args) => jitter::run(args),
        BenchCommand::Sip(args) => super::runtime()?.block_on(sip::run(args)),
        BenchCommand::SipReader { count } => Ok(sip::reader(*count)),
        BenchCommand::RelaySubject => relay::engine::run(),
        BenchCommand::Switch(args) => super::runtime()?.block_on(switch::run(args)),
    }
}
