//! The switch under test: this program as a process of its own, with a folder and ports of its
//! own, ended with the bench; and the phone that calls it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::caller::BenchCaller;
use super::cpu::{LOAD_CORE, process_seconds, thread_seconds};
use super::process::{Running, free_tcp_port, free_udp_port, pinned, resident_kib};
use crate::clock;
use crate::config::RecordingFormat;
use crate::phone::Phone;

/// How long the switch may take to load its models.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// What its probe writes.
const PROBE: &str = "probe";
/// Lines of its log that are shown when something fails.
const LOG_LINES: usize = 20;
/// Calls that it has room for at least.
const CALLS_MIN: usize = 16;
/// The conversation of a caller who interrupts: long sentences, again and again.
pub(super) const LONG_TALK: &str = include_str!("flow.toml");
/// The conversation of most benches: short sentences, always the same, so that they are made once.
const SHORT_TALK: &str = include_str!("capacity.toml");

pub(super) struct Subject {
    process: Running,
    folder: PathBuf,
    /// The folder as it is removed with the bench, unless it is kept.
    _removed: Option<tempfile::TempDir>,
    /// The agent's URI.
    pub(super) uri: String,
    /// The API's base.
    pub(super) api: String,
}

/// How the switch and its phone are started; by default with what most benches want.
pub(super) struct Options {
    /// The agent's flow.
    pub(super) flow: &'static str,
    /// Pin the process to this core.
    pub(super) core: Option<usize>,
    /// Utterances reach the recogniser's queue and are dropped there.
    pub(super) consume: bool,
    /// The models can be kept busy, by [`Subject::saturate`].
    pub(super) saturates: bool,
    /// Calls that it must take.
    pub(super) calls: usize,
    /// What their recordings are written as, when they have any.
    pub(super) record: Option<RecordingFormat>,
    /// It tells how long packets take to its listeners.
    pub(super) probe: bool,
    /// Where its log, its records and its recordings stay after the bench.
    pub(super) keep: Option<PathBuf>,
    /// Pin the phone's media, of which there is little, to this core.
    pub(super) phone_core: Option<usize>,
    /// Only so many media threads, rather than one for each core.
    pub(super) media_threads: Option<usize>,
    /// What one caller says before the others come, so that the agent's answer is made by then.
    pub(super) warm_up: Option<Arc<[i16]>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            flow: SHORT_TALK,
            core: None,
            consume: true,
            saturates: false,
            calls: CALLS_MIN,
            record: None,
            probe: false,
            keep: None,
            phone_core: Some(LOAD_CORE),
            media_threads: None,
            warm_up: None,
        }
    }
}

/// Starts a switch, and a phone that has warmed it up.
pub(super) async fn start(options: &Options) -> anyhow::Result<(Subject, Arc<Phone>)> {
    let subject = Subject::start(options).await?;
    let phone = phone(options.phone_core).await?;
    if let Some(track) = &options.warm_up {
        let warm = warm_up(&phone, &subject.uri, track).await;
        warm.with_context(|| format!("the switch's log ends with\n{}", subject.log_end()))?;
    }
    Ok((subject, phone))
}

/// A phone with its media on this core.
pub(super) async fn phone(core: Option<usize>) -> anyhow::Result<Arc<Phone>> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Ok(Arc::new(Phone::start(address, core).await?))
}

/// Has the agent say what it will say to everybody, so that it is known when the calls come.
async fn warm_up(phone: &Arc<Phone>, uri: &str, track: &Arc<[i16]>) -> anyhow::Result<()> {
    let mut caller = BenchCaller::dial(Arc::clone(phone), uri).await?;
    caller.heard_after(clock::now()).await?;
    caller.silent_for(Duration::from_secs(1)).await?;
    caller.speak(track);
    let answered = caller.heard_after(clock::now()).await;
    caller.silent_for(Duration::from_secs(1)).await?;
    caller.hang_up().await;
    answered.map(|_| ())
}

impl Subject {
    async fn start(options: &Options) -> anyhow::Result<Self> {
        let (folder, removed) = folder(options)?;
        let (sip, api) = (free_udp_port()?, free_tcp_port()?);
        write_files(&folder, sip, api, options)?;
        let program = std::env::current_exe()?;
        let mut command = match options.core {
            Some(core) => pinned(&program, core),
            None => Command::new(&program),
        };
        command
            .args(["run", "--config"])
            .arg(folder.join("offhook.toml"));
        if options.consume {
            command.arg("--consume");
        }
        if options.probe {
            command.arg("--probe").arg(folder.join(PROBE));
        }
        if options.saturates {
            command.arg("--saturate");
        }
        let log = std::fs::File::create(folder.join("log"))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let process = Running::start(command, "the switch under test")?;
        let uri = format!("sip:bench@127.0.0.1:{sip}");
        let api = format!("http://127.0.0.1:{api}");
        let mut subject = Self {
            process,
            folder,
            _removed: removed,
            uri,
            api,
        };
        subject.wait_until_ready().await?;
        Ok(subject)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let (client, url) = (reqwest::Client::new(), format!("{}/readyz", self.api));
        let ready = || async {
            let answer = client.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        let waited = self.process.wait_until(READY_WITHIN, ready).await;
        waited.with_context(|| self.log_end())
    }

    /// The last lines of its log.
    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    /// How long packets took to its listeners between two moments since 1970, in ms.
    pub(super) fn heard_after_ms(
        &self,
        from: Duration,
        until: Duration,
    ) -> anyhow::Result<Vec<f64>> {
        super::probe::read(&self.folder.join(PROBE), from, until)
    }

    /// Keeps its models busy from now on.
    pub(super) fn saturate(&self) -> anyhow::Result<()> {
        let process = rustix::process::Pid::from_raw(i32::try_from(self.id())?);
        let process = process.context("the switch has no process")?;
        Ok(rustix::process::kill_process(
            process,
            rustix::process::Signal::USR1,
        )?)
    }

    /// Reads a JSON document of the API.
    pub(super) async fn read(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        let answer = reqwest::get(format!("{}{path}", self.api)).await?;
        Ok(serde_json::from_slice(
            &answer.error_for_status()?.bytes().await?,
        )?)
    }

    /// Reads a sample of `/metrics`, summed over its labels.
    pub(super) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = reqwest::get(format!("{}/metrics", self.api))
            .await?
            .text()
            .await?;
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        Ok(samples
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// CPU time that its threads of this name have used, in seconds.
    pub(super) fn thread_seconds(&self, name: &str) -> anyhow::Result<f64> {
        let mut seconds = 0.0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let task = task?.path();
            let called = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
            if called.trim_end() == name {
                seconds += thread_seconds(&task);
            }
        }
        Ok(seconds)
    }

    /// CPU time that the process has used, in seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        process_seconds(self.id())
    }

    /// The process.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Memory that it holds for itself, in KiB.
    pub(super) fn resident_kib(&self) -> anyhow::Result<u64> {
        resident_kib(self.id())
    }
}

/// Makes the folder that the switch runs in: a temporary one, or the one to be kept.
fn folder(options: &Options) -> anyhow::Result<(PathBuf, Option<tempfile::TempDir>)> {
    let Some(kept) = &options.keep else {
        let temporary = tempfile::tempdir()?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    };
    let cannot = || format!("cannot make the folder {}", kept.display());
    std::fs::create_dir_all(kept).with_context(cannot)?;
    Ok((std::path::absolute(kept)?, None))
}

fn write_files(folder: &Path, sip: u16, api: u16, options: &Options) -> anyhow::Result<()> {
    std::fs::write(folder.join("flow.toml"), options.flow)?;
    let level = match options.keep {
        Some(_) => "debug",
        None => "warn",
    };
    let record = options
        .record
        .map(|format| format!("recordings = \"recordings\"\nrecording_format = \"{format}\"\n"));
    let record = record.unwrap_or_default();
    let threads = options.media_threads.unwrap_or(0);
    let config = format!(
        "[media]\nthreads = {threads}\n{record}[sip]\nlisten = [\"udp://127.0.0.1:{sip}\"]\n[http]\nlisten = \"127.0.0.1:{api}\"\n\
         [limits]\nmax_calls = {}\n[log]\nlevel = \"{level}\"\n\
         [[agent]]\nname = \"bench\"\nflow = \"flow.toml\"\nmax_duration_s = 3600\n",
        options.calls.max(CALLS_MIN)
    );
    std::fs::write(folder.join("offhook.toml"), config)?;
    Ok(())
}
