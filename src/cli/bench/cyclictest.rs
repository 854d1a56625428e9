//! How late the machine wakes a thread by itself: cyclictest (rt-tests), beside which send jitter is
//! read. A machine without it is measured without it.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::figures::Ranks;

/// Measures how late a thread with real-time priority is woken on a core, in ms, for so long; none
/// where cyclictest is not there or may not have that priority.
pub(super) fn measure(core: usize, time: Duration) -> Option<Ranks> {
    let output = Command::new("cyclictest")
        .args(["--quiet", "--threads=1", "--policy=fifo", "--priority=10"])
        .args(["--interval=1000", "--histogram=20000"])
        .arg(format!("--affinity={core}"))
        .arg(format!("--duration={}s", time.as_secs().max(1)))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| read(&String::from_utf8_lossy(&output.stdout)))?
}

/// Reads a histogram: a line for each microsecond, with how many wake-ups were so late.
fn read(text: &str) -> Option<Ranks> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let counts: Vec<(f64, u64)> = lines
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        })
        .collect();
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let at = |share: f64| {
        let wanted = (share * total as f64).ceil() as u64;
        let mut seen = 0;
        let found = counts.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        found.map(|(us, _)| us / 1_000.0)
    };
    (total > 0).then_some(())?;
    Some(Ranks {
        count: usize::try_from(total).unwrap_or(usize::MAX),
        p50: at(0.5)?,
        p99: at(0.99)?,
        p999: at(0.999)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_read_and_an_empty_one_says_nothing() {
        let text = "# /dev/cpu_dma_latency set to 0us\n# Histogram\n000000 000000\n000002 000980\n\
                    000050 000015\n001200 000005\n# Total: 000001000\n# Max Latencies: 01200\n";
        let ms = read(text).unwrap();
        assert_eq!((ms.p50, ms.p99, ms.p999), (0.002, 0.05, 1.2));
        assert_eq!(read("# Histogram\n000000 000000\n"), None);
        assert_eq!(read("policy: fifo\n"), None);
    }
}
