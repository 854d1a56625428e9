//! Processes under test: on a core of their own, and ended with their owner.

use std::ffi::OsStr;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::Context;

/// Between two looks at whether a process is ready.
const LOOK: Duration = Duration::from_millis(50);

/// A program that will run on one core.
pub(super) fn pinned(program: impl AsRef<OsStr>, core: usize) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Whether a program is installed where a shell would find it.
pub(super) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A process that ends with its owner.
pub(super) struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a command; the name is for messages.
    pub(super) fn start(mut command: Command, name: &str) -> anyhow::Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
        })
    }

    /// The process: `taskset` becomes the program that it starts.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until `ready` says so, for as long as the process lives and `within` lasts.
    pub(super) async fn wait_until<F>(
        &mut self,
        within: Duration,
        mut ready: impl FnMut() -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = bool>,
    {
        let name = self.name.clone();
        let waiting = async {
            while !ready().await {
                if let Some(status) = self.child.try_wait()? {
                    anyhow::bail!("{} ended with {status}", self.name);
                }
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        tokio::time::timeout(within, waiting)
            .await
            .with_context(|| format!("{name} was not ready"))?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory that a process holds for itself, in KiB: what it maps of files may come and go.
pub(super) fn resident_kib(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    Ok(kib.unwrap_or(0))
}

/// A UDP port of loopback that nobody has.
#[allow(clippy::disallowed_methods)] // asks the system for a free port, nothing more
pub(super) fn free_udp_port() -> anyhow::Result<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

/// The same of TCP.
pub(super) fn free_tcp_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_ends_before_it_is_ready_says_so_at_once() {
        let mut process = Running::start(Command::new("false"), "the peer").unwrap();
        let waited = process.wait_until(Duration::from_secs(60), || async { false });
        let said = waited.await.unwrap_err().to_string();
        assert!(said.starts_with("the peer ended"), "{said}");
    }

    #[test]
    fn a_program_is_found_by_its_name_alone() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program-is-installed-anywhere"));
    }
}
