//! The cores of a bench, and CPU time: of a process, by the scheduler's own count, and of a core,
//! with all that ran there.

use std::path::Path;

use anyhow::Context;

/// The core of what is measured, and the core of those who call it.
pub(super) const SUBJECT_CORE: usize = 0;
pub(super) const LOAD_CORE: usize = 1;

/// CPU time that a process's threads have used, in seconds. The scheduler counts it in nanoseconds
/// where `utime` and `stime` are sampled at ticks, which what steps with the clock can miss.
pub(super) fn process_seconds(process: u32) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        seconds += thread_seconds(&task?.path());
    }
    Ok(seconds)
}

/// The same of one thread, by its folder in `/proc`; nothing of one that is gone.
pub(super) fn thread_seconds(task: &Path) -> f64 {
    let text = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let ran = text.split(' ').next();
    ran.and_then(|ran| ran.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// How long a core has been idle since the machine started, in seconds: the kernel takes the time
/// when it goes to sleep and wakes up, where busy time is sampled as well.
pub(super) fn idle_seconds(core: usize) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    // Idle, and waiting for a disk, are the fourth and the fifth of proc(5).
    let ticks = line.context("no such core")?.split_whitespace().skip(3);
    let ticks = ticks.take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / 100.0)
}
