//! `offhook bench switch --churn`: whether calls leave memory behind. Short calls come and go, many
//! times as many as there ever are at once; what is kept for a while on purpose, such as events for
//! who comes back and transactions for what may be repeated, is full by the first half of them.
//!
//! What the system counts moves in steps, as the allocator takes and keeps blocks: one late step
//! between two looks is no leak, and a leak can hide between two steps. The judgement is therefore
//! the median of the slopes between all pairs of the second half's looks (Theil and Sen), which
//! neither one step nor one look can move.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::capacity::track;
use super::figures::{round, sorted};
use super::load::{Stamps, Stream};
use super::progress::Progress;
use super::subject::{Options, start};
use super::switch::dial;
use crate::net::sip::Signal;
use crate::phone::{Destination, Phone};

/// Calls at once.
const AT_ONCE: usize = 32;
/// Calls that the switch has room for: transactions, of which it takes so many a call, last 32 s.
const ROOM: usize = 2_000;
/// How long one lasts: its first words begin.
const LASTS: Duration = Duration::from_millis(100);
/// How long its end may take.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Parts of the run after each of which memory is looked at.
const PARTS: usize = 10;
/// What a call may leave behind, in bytes: less than a page for hundreds of calls.
const FLAT: f64 = 256.0;

pub(super) async fn run(calls: usize, json: bool) -> anyhow::Result<ExitCode> {
    let options = Options {
        calls: ROOM,
        warm_up: Some(track()?),
        ..Options::default()
    };
    let (subject, phone) = start(&options).await?;
    let destination = Arc::new(Destination::resolve(&subject.uri).await?);
    let bar = Progress::bar(calls as u64, "calls");
    let (mut failed, mut kib) = (0, vec![subject.resident_kib()?]);
    for part in 0..PARTS {
        let count = calls * (part + 1) / PARTS - calls * part / PARTS;
        failed += come_and_go(count, &phone, &destination, || bar.inc(1)).await?;
        kib.push(subject.resident_kib()?);
    }
    bar.finish_and_clear();
    let half = kib.get(PARTS / 2..).unwrap_or_default();
    let left_bytes = left_bytes(half, calls as f64 / PARTS as f64);
    let mib: Vec<f64> = kib.iter().map(|kib| round(*kib as f64 / 1024.0)).collect();
    if json {
        crate::cli::say(json!({
            "bench": "churn", "calls": calls, "at_once": AT_ONCE, "failed_calls": failed,
            "mib": mib, "bytes_left_per_call": round(left_bytes),
        }));
    } else {
        crate::cli::say(format_args!(
            "{calls} calls, {AT_ONCE} at once, {failed} failed: {left_bytes:.0} bytes left behind by \
             each of the second half (median slope); MiB after each tenth: {mib:?}"
        ));
    }
    Ok(if failed == 0 && left_bytes <= FLAT {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What each call leaves behind, in bytes: the median slope between all pairs of looks at memory,
/// in KiB, with so many calls between one look and the next. Negative where memory shrinks.
fn left_bytes(kib: &[u64], calls_apart: f64) -> f64 {
    let looks = || kib.iter().map(|kib| *kib as f64).enumerate();
    let slopes = looks().flat_map(|(from, before)| {
        let later = looks().skip(from + 1);
        later.map(move |(until, after)| (after - before) / (until - from) as f64)
    });
    let slopes = sorted(&slopes.collect::<Vec<f64>>());
    let middle = slopes.len() / 2;
    let upper = slopes.get(middle).copied().unwrap_or(0.0);
    let median = match middle
        .checked_sub(1)
        .filter(|_| slopes.len().is_multiple_of(2))
    {
        Some(below) => f64::midpoint(slopes.get(below).copied().unwrap_or(upper), upper),
        None => upper,
    };
    median * 1024.0 / calls_apart.max(1.0)
}

/// Places so many calls, and gives the number of those that failed.
async fn come_and_go(
    calls: usize,
    phone: &Arc<Phone>,
    destination: &Arc<Destination>,
    done: impl Fn(),
) -> anyhow::Result<usize> {
    let mut under_way: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let mut failed = 0;
    for number in 0..calls {
        if under_way.len() >= AT_ONCE
            && let Some(ended) = under_way.join_next().await
        {
            failed += failures(ended?);
            done();
        }
        let (phone, destination) = (Arc::clone(phone), Arc::clone(destination));
        under_way.spawn(async move { come(number, &phone, &destination).await });
    }
    while let Some(ended) = under_way.join_next().await {
        failed += failures(ended?);
        done();
    }
    Ok(failed)
}

/// 1 for a call that failed, and says why.
fn failures(call: anyhow::Result<()>) -> usize {
    match call {
        Ok(()) => 0,
        Err(error) => {
            tracing::warn!("a call failed: {error:#}");
            1
        }
    }
}

async fn come(number: usize, phone: &Phone, destination: &Destination) -> anyhow::Result<()> {
    let stream = Stream::open(number, 0, Stamps::OneIn(50))?;
    let mut placed = dial(phone, destination, &stream).await?;
    tokio::time::sleep(LASTS).await;
    phone.line.sip().hang_up(placed.call, None).await?;
    let ended = async {
        while let Some(signal) = placed.signals.recv().await {
            if matches!(signal, Signal::Ended { .. }) {
                return;
            }
        }
    };
    Ok(tokio::time::timeout(ENDS_WITHIN, ended).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls between two looks.
    const APART: f64 = 1_000.0;

    #[test]
    fn one_late_step_of_the_allocator_is_no_leak() {
        // 1.5 MiB by the first 1,000 of 5,000 calls: 299 bytes a call between the ends.
        let kib = [708_600, 709_960, 709_980, 710_020, 710_040, 710_060];
        assert!((kib[5] - kib[0]) as f64 * 1024.0 / (5.0 * APART) > FLAT);
        let left = left_bytes(&kib, APART);
        assert!((0.0..FLAT / 4.0).contains(&left), "{left}");
    }

    #[test]
    fn a_leak_is_seen_whether_memory_grows_evenly_or_in_steps() {
        // 512 bytes a call: half a KiB each, or 1 MiB after each 2,000 of them.
        let evenly = [10_000, 10_500, 11_000, 11_500, 12_000, 12_500];
        assert!((left_bytes(&evenly, APART) - 512.0).abs() < 1.0);
        let stepwise = [10_000, 10_000, 11_000, 11_000, 12_000, 12_000];
        assert!(left_bytes(&stepwise, APART) > FLAT);
    }

    #[test]
    fn memory_that_shrinks_or_was_looked_at_once_leaves_nothing() {
        assert!(left_bytes(&[500, 400, 300], APART) < 0.0);
        assert_eq!(left_bytes(&[500], APART), 0.0);
        assert_eq!(left_bytes(&[], APART), 0.0);
    }
}
