//! Who is measured: this program as a switch between two trunks, Kamailio as a stateful relay that
//! stays in the path, rustpbx as an exchange; each a process on a core of its own, between the
//! generator's two sides. With nobody between them the generator measures itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::messages::CALLED;
use crate::cli::bench::cpu::{SUBJECT_CORE, process_seconds};
use crate::cli::bench::process::{Running, free_tcp_port, free_udp_port, on_path, pinned};
use crate::cli::bench::relay::exchange;

/// What Kamailio is told.
const KAMAILIO: &str = include_str!("../../../../benches/sip/kamailio.cfg");
/// Kamailio's memory for all of its processes and for each, in MiB.
const KAMAILIO_MEMORY: [&str; 4] = ["-m", "1024", "-M", "32"];
/// How long a subject may take to start, and to stop.
const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// Calls that the switch has room for: what they leave behind for those who repeat themselves
/// lasts 32 s (RFC 6026).
const ROOM: usize = 20_000;

/// A subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The generator's sides, with nobody between them.
    Nobody,
    Offhook,
    Kamailio,
    Rustpbx,
}

/// The programs of the peers, by name or path.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) kamailio: PathBuf,
    pub(super) rustpbx: PathBuf,
}

impl Programs {
    fn of(&self, who: Who) -> Option<&Path> {
        match who {
            Who::Kamailio => Some(&self.kamailio),
            Who::Rustpbx => Some(&self.rustpbx),
            Who::Nobody | Who::Offhook => None,
        }
    }

    /// Whether a subject can be measured here.
    pub(super) fn have(&self, who: Who) -> bool {
        self.of(who)
            .is_none_or(|program| program.is_file() || program.to_str().is_some_and(on_path))
    }
}

impl Who {
    /// The peers that stand beside the switch where they are installed.
    pub(super) const PEERS: [Self; 2] = [Self::Kamailio, Self::Rustpbx];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody between",
            Self::Offhook => "offhook",
            Self::Kamailio => "kamailio",
            Self::Rustpbx => "rustpbx",
        }
    }
}

/// A subject that runs, and ends with its owner.
pub(super) struct Subject {
    process: Option<Running>,
    /// Where the calling side sends to.
    pub(super) address: SocketAddr,
    log: PathBuf,
}

impl Subject {
    /// Starts a subject between the calling side and the called side, with its files in a folder.
    pub(super) async fn start(
        who: Who,
        programs: &Programs,
        folder: &Path,
        sides: [SocketAddr; 2],
    ) -> anyhow::Result<Self> {
        let [_, called] = sides;
        if who == Who::Nobody {
            return Ok(Self {
                process: None,
                address: called,
                log: PathBuf::new(),
            });
        }
        let (sip, http) = (free_udp_port()?, free_tcp_port()?);
        let command = match who {
            Who::Kamailio => kamailio(&programs.kamailio, folder, sip, called)?,
            Who::Rustpbx => rustpbx(&programs.rustpbx, folder, (sip, http), called)?,
            Who::Offhook | Who::Nobody => offhook(folder, (sip, http), sides)?,
        };
        let log = folder.join("log");
        let mut subject = Self {
            process: Some(start(command, &log, who.name())?),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, sip)),
            log,
        };
        subject.wait_until_ready(who, http).await?;
        Ok(subject)
    }

    async fn wait_until_ready(&mut self, who: Who, http: u16) -> anyhow::Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let (client, sip) = (reqwest::Client::new(), self.address);
        let ready = || {
            let client = client.clone();
            async move {
                if who != Who::Offhook {
                    return is_taken(sip);
                }
                let answer = client.get(format!("http://127.0.0.1:{http}/readyz"));
                let answer = answer.send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            }
        };
        let waited = process.wait_until(READY_WITHIN, ready).await;
        waited.with_context(|| std::fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// The process and all that it started, of which Kamailio has many.
    fn processes(&self) -> Vec<u32> {
        self.process
            .as_ref()
            .map(|process| family(process.id()))
            .unwrap_or_default()
    }

    /// CPU time that it has used, in seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.processes().into_iter().map(process_seconds).sum()
    }

    /// Memory that it holds for itself, in KiB: what its processes share counts once.
    pub(super) fn memory_kib(&self) -> u64 {
        self.processes().into_iter().map(own_kib).sum()
    }
}

impl Drop for Subject {
    /// Kamailio's processes outlive their first one when that is killed: they are asked first.
    fn drop(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        let family = family(process.id());
        signal(process.id(), Signal::TERM);
        let mut left = STOPS_WITHIN;
        while !left.is_zero() && matches!(process.child().try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
            left = left.saturating_sub(LOOK);
        }
        // Each is ours, and none is reused while it has not ended.
        if left.is_zero() {
            family.into_iter().for_each(|id| signal(id, Signal::KILL));
        }
    }
}

fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ = kill_process(process, signal);
    }
}

/// A process and its descendants.
fn family(first: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry.file_name().to_string_lossy().parse::<u32>();
        let stat = std::fs::read_to_string(entry.path().join("stat"));
        if let (Ok(id), Ok(stat)) = (id, stat)
            && let Some(parent) = parent(&stat)
        {
            parents.push((id, parent));
        }
    }
    let mut family = vec![first];
    let mut at = 0;
    while let Some(&member) = family.get(at) {
        let children = parents.iter().filter(|(_, parent)| *parent == member);
        family.extend(children.map(|(id, _)| *id));
        at += 1;
    }
    family
}

/// The parent in a line of `/proc/PID/stat` (proc(5)), whose second field may hold anything.
fn parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// A process's share of the memory that is no file's, in KiB.
fn own_kib(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    let text = text.unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let value = line
            .strip_prefix("Pss_Anon:")
            .or_else(|| line.strip_prefix("Pss_Shmem:"))?;
        value.trim().split(' ').next()?.parse::<u64>().ok()
    });
    lines.sum()
}

/// Whether somebody has a port.
#[allow(clippy::disallowed_methods)] // asks the system whether a port is taken, nothing more
fn is_taken(address: SocketAddr) -> bool {
    std::net::UdpSocket::bind(address).is_err()
}

fn start(mut command: Command, log: &Path, name: &str) -> anyhow::Result<Running> {
    let log = std::fs::File::create(log)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Running::start(command, name)
}

fn offhook(
    folder: &Path,
    (sip, http): (u16, u16),
    [caller, called]: [SocketAddr; 2],
) -> anyhow::Result<Command> {
    let (from, to, port) = (caller.ip(), called.ip(), called.port());
    let config = format!(
        r#"[sip]
listen = ["udp://127.0.0.1:{sip}"]
trusted_networks = ["127.0.0.0/8"]

[media]
ports = "10000-59999"

[http]
listen = "127.0.0.1:{http}"

[store]
url = "sqlite://offhook.db"

[limits]
max_calls = {ROOM}
messages_per_s = 0

[log]
level = "error"

[[trunk]]
name = "callers"
kind = "inbound"
networks = ["{from}/32"]

[[trunk]]
name = "called"
kind = "peer"
host = "{to}"
port = {port}
networks = ["{to}/32"]
ping_s = 0

[[route]]
to = "{CALLED}"
from_trunk = "callers"
trunk = "called"
"#
    );
    let file = folder.join("offhook.toml");
    std::fs::write(&file, config)?;
    let mut command = pinned(std::env::current_exe()?, SUBJECT_CORE);
    command.args(["run", "--config"]).arg(file);
    Ok(command)
}

/// One worker: what one core does is measured.
fn kamailio(
    program: &Path,
    folder: &Path,
    sip: u16,
    called: SocketAddr,
) -> anyhow::Result<Command> {
    let config = KAMAILIO
        .replace("SIP_PORT", &sip.to_string())
        .replace("CALLED", &called.to_string());
    let file = folder.join("kamailio.cfg");
    std::fs::write(&file, config)?;
    let mut command = pinned(program, SUBJECT_CORE);
    command
        .args(["-DD", "-E", "-f"])
        .arg(file)
        .args(KAMAILIO_MEMORY)
        .arg("-P")
        .arg(folder.join("kamailio.pid"))
        .arg("-Y")
        .arg(folder)
        .current_dir(folder);
    Ok(command)
}

fn rustpbx(
    program: &Path,
    folder: &Path,
    (sip, http): (u16, u16),
    called: SocketAddr,
) -> anyhow::Result<Command> {
    let to = CALLED.replace('+', r"\\+");
    let config = exchange::configuration(sip, http, called, &to);
    std::fs::write(folder.join("rustpbx.toml"), config)?;
    let mut command = pinned(program, SUBJECT_CORE);
    command.args(["--conf", "rustpbx.toml"]).current_dir(folder);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env};

    fn sides() -> [SocketAddr; 2] {
        ["127.0.0.2:7000", "127.0.0.3:7000"].map(|side| side.parse().unwrap())
    }

    #[test]
    fn the_switch_is_told_of_both_sides_and_of_no_limit_that_the_load_would_meet() {
        let folder = tempfile::tempdir().unwrap();
        offhook(folder.path(), (5_060, 8_080), sides()).unwrap();
        let file = folder.path().join("offhook.toml");
        let config = Config::load(&file, &Env::default()).unwrap();
        assert_eq!(config.limits.messages_per_s, 0);
        assert_eq!(config.limits.max_calls, ROOM);
        assert!(config.trunk("callers").is_some() && config.trunk("called").is_some());
    }

    #[test]
    fn the_relay_is_told_its_port_and_the_called_side() {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new("kamailio");
        kamailio(program, folder.path(), 5_070, sides()[1]).unwrap();
        let told = std::fs::read_to_string(folder.path().join("kamailio.cfg")).unwrap();
        assert!(told.contains("listen=udp:127.0.0.1:5070\n"), "{told}");
        assert!(told.contains("\"sip:127.0.0.3:7000\""), "{told}");
    }

    #[test]
    fn a_process_and_its_children_are_one_family_and_their_memory_counts() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & wait"]);
        let mut running = Running::start(command, "a family").unwrap();
        let id = running.id();
        while family(id).len() < 2 {
            assert!(running.child().try_wait().unwrap().is_none());
        }
        let children = family(id);
        assert!(children.iter().map(|id| own_kib(*id)).sum::<u64>() > 0);
        children.into_iter().for_each(|id| signal(id, Signal::KILL));
        assert_eq!(parent("12 (a) b) S 7 12 0"), Some(7));
        assert_eq!(parent("12 nonsense"), None);
    }
}
