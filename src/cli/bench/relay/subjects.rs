//! The relays under test: processes on a core of their own that are told of two sides for each
//! call.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use tokio::runtime::Handle;

use super::exchange::{self, Phones};
use super::ng::Ng;
use crate::cli::bench::cpu::SUBJECT_CORE;
use crate::cli::bench::process::{
    Running, free_tcp_port, free_udp_port, on_path, pinned, resident_kib,
};
use crate::cli::bench::switch::compile;

const SOURCE: &str = include_str!("../../../../benches/floor/relay.c");
/// The C relay's first port, and those of rtpengine.
const FLOOR_PORT: u16 = 12_000;
const RTPENGINE_PORTS: (u16, u16) = (40_000, 59_998);
const NG_PORT: u16 = 22_222;
/// How long rustpbx may take to start.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often rtpengine is asked whether it is there.
const TRIES: u32 = 100;

/// A relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A C program that does nothing else.
    Floor,
    Offhook,
    /// In user space: without its kernel module.
    Rtpengine,
    /// The whole exchange: each call is placed through it.
    Rustpbx,
}

impl Who {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Floor => "a bare C relay",
            Self::Offhook => "offhook",
            Self::Rtpengine => "rtpengine, user space",
            Self::Rustpbx => "rustpbx",
        }
    }

    /// Those that can be measured here.
    pub(super) fn installed() -> Vec<Self> {
        let peers = [(Self::Rtpengine, "rtpengine"), (Self::Rustpbx, "rustpbx")];
        let peers = peers.into_iter().filter(|(_, program)| on_path(program));
        let mut all = vec![Self::Floor, Self::Offhook];
        all.extend(peers.map(|(who, _)| who));
        all
    }
}

/// A relay that runs, and ends with its owner.
pub(super) struct Subject {
    process: Running,
    _input: Option<ChildStdin>,
    /// The phones at both ends of its calls.
    _phones: Option<Phones>,
    /// Where the two sides of each call are to send.
    pub(super) targets: Vec<[SocketAddr; 2]>,
    /// Its memory with the first call, in KiB.
    first_kib: u64,
}

impl Subject {
    /// Starts a relay for calls between these sides.
    pub(super) fn start(
        who: Who,
        folder: &Path,
        calls: &[[SocketAddr; 2]],
    ) -> anyhow::Result<Self> {
        match who {
            Who::Floor => floor(folder, calls.len()),
            Who::Offhook => offhook(calls),
            Who::Rtpengine => rtpengine(calls),
            Who::Rustpbx => Handle::current().block_on(rustpbx(folder, calls)),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What its memory has grown by with all calls but the first, in KiB.
    pub(super) fn grown_kib(&self) -> anyhow::Result<u64> {
        Ok(resident_kib(self.id())?.saturating_sub(self.first_kib))
    }

    /// It has one more call.
    fn has(&mut self, targets: [SocketAddr; 2]) -> anyhow::Result<()> {
        if self.targets.is_empty() {
            self.first_kib = resident_kib(self.id())?;
        }
        self.targets.push(targets);
        Ok(())
    }

    fn new(process: Running) -> Self {
        Self {
            process,
            _input: None,
            _phones: None,
            targets: Vec::new(),
            first_kib: 0,
        }
    }
}

/// A silent program on the core of what is measured.
fn silent(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = pinned(program, SUBJECT_CORE);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn floor(folder: &Path, calls: usize) -> anyhow::Result<Subject> {
    let program = compile(folder, "relay", SOURCE)?;
    let mut command = silent(program);
    command
        .args([FLOOR_PORT.to_string(), calls.to_string()])
        .stdout(Stdio::piped());
    let mut subject = Subject::new(Running::start(command, "the C relay")?);
    let said = subject.process.child().stdout.take();
    let mut said = BufReader::new(said.context("the C relay says nothing")?);
    // It says so when its sockets are bound.
    anyhow::ensure!(said.read_line(&mut String::new())? > 0, "the C relay ended");
    let port = |number: usize| anyhow::Ok(FLOOR_PORT + u16::try_from(2 * number)?);
    for call in 0..calls {
        let at = |side| {
            anyhow::Ok(SocketAddr::from((
                Ipv4Addr::LOCALHOST,
                port(2 * call + side)?,
            )))
        };
        subject.has([at(0)?, at(1)?])?;
    }
    Ok(subject)
}

fn offhook(calls: &[[SocketAddr; 2]]) -> anyhow::Result<Subject> {
    let mut command = silent(std::env::current_exe()?);
    command
        .args(["bench", "relay-subject"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut subject = Subject::new(Running::start(command, "the relay")?);
    let mut input = subject
        .process
        .child()
        .stdin
        .take()
        .context("no standard input")?;
    let said = subject
        .process
        .child()
        .stdout
        .take()
        .context("no standard output")?;
    let mut said = BufReader::new(said).lines();
    for [a, b] in calls {
        writeln!(input, "{a} {b}")?;
        let line = said.next().context("the relay ended")??;
        let (to_a, to_b) = line.split_once(' ').context("not two addresses")?;
        subject.has([to_a.parse()?, to_b.parse()?])?;
    }
    subject._input = Some(input);
    Ok(subject)
}

fn rtpengine(calls: &[[SocketAddr; 2]]) -> anyhow::Result<Subject> {
    let (first, last) = RTPENGINE_PORTS;
    let mut command = silent("rtpengine");
    command
        .args([
            "--foreground",
            "--log-stderr",
            "--log-level=3",
            "--table=-1",
        ])
        .args([
            "--config-file=none",
            "--num-threads=1",
            "--interface=127.0.0.1",
        ])
        .arg(format!("--listen-ng=127.0.0.1:{NG_PORT}"))
        .args([format!("--port-min={first}"), format!("--port-max={last}")]);
    let mut subject = Subject::new(Running::start(command, "rtpengine")?);
    let mut ng = Ng::connect(NG_PORT)?;
    let mut tries = 0;
    while let Err(error) = ng.ping() {
        tries += 1;
        anyhow::ensure!(tries < TRIES, "rtpengine does not answer: {error:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
    for (number, call) in calls.iter().enumerate() {
        subject.has(ng.call(number, *call)?)?;
    }
    Ok(subject)
}

/// With every packet through it and nothing else to do: no recording, no
/// session timers, only errors in its log.
async fn rustpbx(folder: &Path, calls: &[[SocketAddr; 2]]) -> anyhow::Result<Subject> {
    let mut phones = Phones::open().await?;
    let (sip, http) = (free_udp_port()?, free_tcp_port()?);
    let home = folder.join("rustpbx");
    std::fs::create_dir_all(&home)?;
    std::fs::write(
        home.join("rustpbx.toml"),
        exchange::configuration(sip, http, phones.address()?, "bench"),
    )?;
    let mut command = silent("rustpbx");
    command
        .args(["--conf", "rustpbx.toml"])
        .current_dir(&home)
        .stderr(std::fs::File::create(home.join("log"))?);
    let mut subject = Subject::new(Running::start(command, "rustpbx")?);
    let there = || async move {
        tokio::net::TcpStream::connect(("127.0.0.1", http))
            .await
            .is_ok()
    };
    subject.process.wait_until(READY_WITHIN, there).await?;
    for call in calls {
        subject.has(phones.call_through(sip, *call).await?)?;
    }
    subject._phones = Some(phones);
    Ok(subject)
}
