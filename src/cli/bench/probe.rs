//! The probe of a switch under test: what it heard goes to a file, which the bench reads.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::net::media::{Delay, Probe};

/// How often what was heard is written.
const WRITE: Duration = Duration::from_millis(200);

/// Starts a probe that writes to a file.
pub(in crate::cli) fn probe(path: &Path) -> anyhow::Result<Arc<Probe>> {
    let name = path.display().to_string();
    let mut file = std::fs::File::create(path).with_context(|| format!("cannot write {name}"))?;
    let probe = Arc::new(Probe::default());
    let heard = Arc::clone(&probe);
    tokio::spawn(async move {
        let mut times = tokio::time::interval(WRITE);
        loop {
            times.tick().await;
            let mut lines = String::new();
            while let Some(Delay { at, took }) = heard.next_heard() {
                let _ = writeln!(lines, "{} {}", at.as_nanos(), took.as_nanos());
            }
            if let Err(error) = file.write_all(lines.as_bytes()) {
                tracing::error!(%error, name, "the probe cannot write");
                return;
            }
        }
    });
    Ok(probe)
}

/// Reads the delays in ms that a probe took between two moments since 1970.
pub(super) fn read(path: &Path, from: Duration, until: Duration) -> anyhow::Result<Vec<f64>> {
    let text = std::fs::read_to_string(path).context("the switch under test has no probe")?;
    let delays = text.lines().filter_map(|line| {
        let (at, took) = line.split_once(' ')?;
        let at = Duration::from_nanos(at.parse().ok()?);
        let took = Duration::from_nanos(took.parse().ok()?);
        (from..until)
            .contains(&at)
            .then_some(took.as_secs_f64() * 1_000.0)
    });
    Ok(delays.collect())
}
